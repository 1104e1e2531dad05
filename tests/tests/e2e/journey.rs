//! Lists and maps: what a visitor saw is told exactly once and in order, killed with -9 at random moments, with little
//! memory and another parallelism.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use weir_tests::host::run;
use weir_tests::machine;
use weir_tests::random::Random;
use weir_tests::reader::{Observer, read_all};
use weir_tests::topics::Writer;

use crate::scene::{PATIENCE, Scene};

const VISITORS: u64 = 400;
const VISITS: u64 = 12;
const PAGES: u64 = 9;
const KILLS: u32 = 4;

/// The page that a visitor sees as the nth of a visit.
fn page(visitor: u64, visit: u64, nth: u64) -> String {
    format!("/{}", (visitor + visit * 3 + nth * nth) % 5)
}

/// What must be told of a visit.
fn told(visitor: u64, visit: u64) -> String {
    let pages: Vec<String> = (0..PAGES).map(|nth| page(visitor, visit, nth)).collect();
    let mut views: BTreeMap<&str, u64> = BTreeMap::new();
    pages.iter().for_each(|page| *views.entry(page).or_default() += 1);
    let mut most: Vec<(&str, u64)> = views.into_iter().collect();
    most.sort_by_key(|(_, views)| u64::MAX - views);
    let most: Vec<String> = most.iter().take(3).map(|(page, views)| format!("{page} ({views})")).collect();
    format!("{}; most often: {}", pages.join(" > "), most.join(", "))
}

/// All visits, those of all visitors mixed; the last one of each is still open.
fn fill(scene: &Scene<'_>) -> Result<()> {
    let writer = Writer::new(scene.broker)?;
    for visit in 0..=VISITS {
        for nth in 0..PAGES {
            for visitor in 0..VISITORS {
                writer.write(&scene.input, visitor.to_string().as_bytes(), page(visitor, visit, nth).as_bytes())?;
            }
        }
        for visitor in (0..VISITORS).filter(|_| visit < VISITS) {
            writer.write(&scene.input, visitor.to_string().as_bytes(), b"checkout")?;
        }
    }
    writer.flush()
}

#[test]
fn every_visit_is_told_once_whoever_is_killed() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("journey")?;
    fill(&scene)?;
    let mut random = Random::new();
    let observer = Observer::new(scene.broker, &scene.output)?;
    for kill in 0..KILLS {
        let parallelism = (kill % 2 + 1).to_string();
        let more = ["--until", "latest", "--max-rate", "2000", "--state-memory", "8MiB", "--parallelism", &parallelism];
        let mut host = scene.start("journey", &more)?;
        let before = observer.high()?;
        host.wait_until(&format!("output, before kill {kill}"), PATIENCE, |_| Ok(observer.high()? > before))?;
        std::thread::sleep(random.between(Duration::ZERO, Duration::from_millis(400)));
        ensure!(!host.is_over()?, "it was through before kill {kill}: {}", host.log()?);
        host.kill()?;
    }
    let seed = random.seed();
    scene.run("journey", &["--state-memory", "8MiB"])?.expect(0)?;
    judge(&scene).with_context(|| format!("WEIR_SEED={seed}"))?;
    judge_entries(&scene)
}

/// What came out of each visitor, in order, against what went in.
fn judge(scene: &Scene<'_>) -> Result<()> {
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in read_all(scene.broker, &scene.output)? {
        let (key, value) = (record.key.context("a key")?, record.value.context("a value")?);
        seen.entry(String::from_utf8(key)?).or_default().push(String::from_utf8(value)?);
    }
    for visitor in 0..VISITORS {
        let expected: Vec<String> = (0..VISITS).map(|visit| told(visitor, visit)).collect();
        let seen = seen.remove(&visitor.to_string()).unwrap_or_default();
        ensure!(seen == expected, "visitor {visitor}:\n{seen:#?}\ninstead of\n{expected:#?}");
    }
    ensure!(seen.is_empty(), "nobody knows {seen:?}");
    Ok(())
}

/// The state holds the visits that are open, and nothing of those that ended.
fn judge_entries(scene: &Scene<'_>) -> Result<()> {
    let state = scene.state_dir().display().to_string();
    let ended = run(&["inspect", &state, "--entries", "--brokers", scene.broker.bootstrap()], PATIENCE)?.expect(0)?;
    let text = String::from_utf8(ended.stdout)?;
    let lines: Vec<serde_json::Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    for visitor in 0..VISITORS {
        let visitor_name = visitor.to_string();
        let own = |table: &str| -> Vec<&serde_json::Value> {
            lines.iter().filter(|line| line["table"] == table && line["key"] == visitor_name.as_str()).collect()
        };
        let pages: Vec<&str> = own("pages").iter().filter_map(|line| line["value"].as_str()).collect();
        let expected: Vec<String> = (0..PAGES).map(|nth| page(visitor, VISITS, nth)).collect();
        ensure!(pages == expected, "the open visit of {visitor}: {pages:?}");
        ensure!(own("pages").iter().all(|line| line["index"].is_u64()), "elements have their index: {text}");
        let views: u64 = own("views").iter().filter_map(|line| line["value"].as_u64()).sum();
        ensure!(views == PAGES, "{views} views of {visitor}");
        ensure!(own("views").iter().all(|line| line["entry"].is_string()), "entries have their key: {text}");
    }
    Ok(())
}
