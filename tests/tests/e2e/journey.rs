//! Lists and maps: what a visitor saw is told exactly once and in order, killed with -9 at random moments, with little
//! memory and another parallelism.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
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
    let ended = scene.run("journey", &["--state-memory", "8MiB"])?.expect(0)?;
    ended.says(&["restored"]).with_context(|| format!("WEIR_SEED={seed}"))?;
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

/// The state holds the visits that are open, entry by entry, and nothing of those that ended.
fn judge_entries(scene: &Scene<'_>) -> Result<()> {
    let state = scene.state_dir().display().to_string();
    let ended = run(&["inspect", &state, "--entries", "--brokers", scene.broker.bootstrap()], PATIENCE)?.expect(0)?;
    let text = String::from_utf8(ended.stdout)?;
    let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    // What was cleared may leave its numbers behind: those of a list begin anywhere, and have no gap.
    let mut firsts: BTreeMap<String, u64> = BTreeMap::new();
    for line in &lines {
        if let Some(index) = line["index"].as_u64() {
            let first = firsts.entry(line["key"].to_string()).or_insert(index);
            *first = index.min(*first);
        }
    }
    // A line by its table, its key, and what tells it from the others of the key.
    let place = |line: &Value, first: u64| {
        let index = line["index"].as_u64().map(|index| index - first);
        format!("{} {} {index:?} {}", line["table"], line["key"], line["entry"])
    };
    let own = |line: &Value| place(line, firsts.get(&line["key"].to_string()).copied().unwrap_or_default());
    let held: BTreeMap<String, Value> = lines.iter().map(|line| (own(line), line["value"].clone())).collect();
    ensure!(held.len() == lines.len(), "{} lines for {} entries", lines.len(), held.len());
    let mut wanted = BTreeMap::new();
    for visitor in 0..VISITORS {
        let key = visitor.to_string();
        let mut views: BTreeMap<String, u64> = BTreeMap::new();
        for nth in 0..PAGES {
            let page = page(visitor, VISITS, nth);
            *views.entry(page.clone()).or_default() += 1;
            wanted.insert(place(&json!({"table": "pages", "key": key, "index": nth}), 0), json!(page));
        }
        let views = views
            .into_iter()
            .map(|(page, count)| (place(&json!({"table": "views", "key": key, "entry": page}), 0), json!(count)));
        wanted.extend(views);
    }
    let is_other = |(place, value): &(&String, &Value)| held.get(*place) != Some(value);
    let missing: Vec<_> = wanted.iter().filter(is_other).take(5).collect();
    ensure!(missing.is_empty() && held.len() == wanted.len(), "{} of {}: {missing:?}", held.len(), wanted.len());
    Ok(())
}
