//! Crash points are for tests: the product has none, and what a test misspells is refused.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use regex::bytes::Regex;
use weir_core::crash::POINTS;
use weir_tests::host::{self, Host};
use weir_tests::machine;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_product_has_no_crash_point() -> Result<()> {
    let _machine = machine::shared();
    // "restored" is a word of the log, too.
    let points = POINTS.iter().map(|(point, _)| *point).filter(|point| *point != "restored");
    let texts: BTreeSet<&[u8]> = points.chain(["WEIR_SABOTAGE", "FAILPOINTS"]).map(str::as_bytes).collect();
    let any: Vec<_> = texts.iter().map(|text| String::from_utf8_lossy(text)).collect();
    let any = Regex::new(&any.join("|"))?;
    let (product, with_points) = (std::fs::read(host::program()?)?, std::fs::read(host::crash_program()?)?);
    let found = |program| any.find_iter(program).map(|found| found.as_bytes()).collect::<BTreeSet<&[u8]>>();
    ensure!(found(&with_points) == texts, "host-crash-points does not hold every point: the search is wrong");
    ensure!(found(&product).is_empty(), "the product holds {}", found(&product).len());
    let plugin = host::plugin("uppercase")?;
    let every = POINTS.map(|(point, _)| format!("{point}=return(kill)")).join(";");
    let env = [("FAILPOINTS", every.as_str()), ("WEIR_SABOTAGE", "no-durable-log")];
    let args = ["run", "--plugin", &plugin, "--from", "generate:sequence?count=3", "--api", "off"];
    let ended = Host::start_program_with(&host::program()?, &args, &env)?.wait(PATIENCE)?.expect(0)?;
    ensure!(ended.stdout.iter().filter(|byte| **byte == b'\n').count() == 3, "it did not run as usual");
    Ok(())
}

#[test]
fn a_misspelt_point_action_or_rule_is_refused() -> Result<()> {
    let _machine = machine::shared();
    for (variable, value, says) in [
        ("FAILPOINTS", "log-sinked=1*return(kill)", "names no crash point"),
        ("FAILPOINTS", "log-synced", "is not POINT=ACTIONS"),
        ("FAILPOINTS", "log-synced=3*off->1*return(kil)", "kill, stop or error"),
        ("FAILPOINTS", "log-synced=return", "kill, stop or error"),
        ("FAILPOINTS", "log-synced=panic", "has the action"),
        ("FAILPOINTS", "log-synced=x*return(kill)", "log-synced"),
        ("WEIR_SABOTAGE", "no-log", "no-durable-log, unknown-is-success"),
    ] {
        let host = Host::start_program_with(&host::crash_program()?, &["run"], &[(variable, value)])?;
        host.wait(PATIENCE)?.expect(2)?.says(&[variable, says])?;
    }
    Ok(())
}
