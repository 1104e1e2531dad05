//! What a person sees who runs it on a terminal.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use weir_tests::host::{Host, plugin, program};
use weir_tests::machine;

const PATIENCE: Duration = Duration::from_secs(30);
/// What only the bar says.
const BAR: &str = " of 600 ";

/// The whole screen of a terminal on which `command` ran; `$0` is the program, `$1` the plugin.
fn screen(command: &str) -> Result<String> {
    let (program, plugin) = (program()?.canonicalize()?.display().to_string(), plugin("uppercase")?);
    let run = format!("sh -c '{command}' {program} {plugin}");
    let env = [("TERM", "xterm")];
    let host = Host::start_program_with(Path::new("script"), &["-q", "-e", "-c", &run, "/dev/null"], &env)?;
    Ok(String::from_utf8_lossy(&host.wait(PATIENCE)?.expect(0)?.stdout).into_owned())
}

/// Where the job's own lines go to the terminal, a bar would run through them.
#[test]
fn a_bar_is_drawn_only_where_no_output_goes() -> Result<()> {
    let _machine = machine::shared();
    let run = "exec $0 run --api off --plugin $1 --from \"generate:sequence?count=600&rate=300\"";
    for (to, is_drawn) in
        [("", false), ("--to file:/dev/null", true), ("| cat >/dev/null", true), ("2>/dev/null", false)]
    {
        let shown = screen(&format!("{run} {to}"))?;
        ensure!(shown.contains(BAR) == is_drawn, "{to:?}: {shown:?}");
    }
    Ok(())
}
