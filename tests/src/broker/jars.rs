//! Kafka's jars: taken from Maven Central once, as `tests/kafka/pom.xml` says, and kept for all checkouts.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Of which version the jars are is told by this one, which the pom names.
const WITNESS: &str = "kafka_2.13-4.3.1.jar";

/// Where the jars are; fetches them the first time.
pub(super) fn directory() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").context("HOME is not set: it says where the jars are kept")?;
    let directory = Path::new(&home).join(".cache/weir/kafka");
    if !directory.join(WITNESS).exists() {
        fetch(&directory)?;
    }
    Ok(directory)
}

/// Fetches beside and renames, so that a test program that runs at the same time sees all jars or none.
fn fetch(directory: &Path) -> Result<()> {
    let parent = directory.parent().context("the directory of the jars has a parent")?;
    std::fs::create_dir_all(parent)?;
    let fresh = tempfile::tempdir_in(parent)?;
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/pom.xml");
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "dependency:copy-dependencies", "-f"]).arg(pom);
    maven.arg(format!("-DoutputDirectory={}", fresh.path().display()));
    let output = maven.output().context("failed to start mvn; `make deps` installs it")?;
    ensure!(output.status.success(), "mvn could not fetch Kafka: {}", String::from_utf8_lossy(&output.stdout));
    // What is there is of another version, or was put there a moment ago by another program: then it is complete.
    if !directory.join(WITNESS).exists() {
        if directory.exists() {
            std::fs::remove_dir_all(directory)?;
        }
        std::fs::rename(fresh.keep(), directory)?;
    }
    Ok(())
}
