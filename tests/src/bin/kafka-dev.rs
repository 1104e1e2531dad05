//! A Kafka to try things with: prints `HOST:PORT`, runs until standard input closes or it is killed.
//! `--secured` asks for SASL/PLAIN (users `admin` and `weir`, each its own password).

use std::io::{Read as _, Write as _};

use anyhow::{Result, bail};
use weir_tests::broker::Broker;

fn main() -> Result<()> {
    let broker = match std::env::args().nth(1).as_deref() {
        None => Broker::start_own()?,
        Some("--secured") => Broker::start_secured()?,
        Some(other) => bail!("unknown argument {other}; there is only --secured"),
    };
    writeln!(std::io::stdout(), "{}", broker.bootstrap())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(broker);
    Ok(())
}
