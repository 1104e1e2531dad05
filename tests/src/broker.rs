//! A real Apache Kafka, one JVM process in KRaft mode on free ports and data of its own, gone when dropped.
//!
//! `KAFKA_BOOTSTRAP=HOST:PORT` makes `Broker::start` use a broker that runs already. Tests that stop, pause or secure
//! a broker take `Broker::start_own` or `Broker::start_secured`, which never touch that one.

/// Three brokers that stand in for each other.
pub mod cluster;
mod jars;
mod settings;

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use rdkafka::ClientConfig;
use tempfile::TempDir;

use crate::process::Process;
use crate::proxy::Proxy;

/// The user of a secured broker that may do everything; its password is the name.
pub const ADMIN: &str = "admin";
/// The user of a secured broker that may do what [`Broker::allow`] says; its password is the name.
pub const USER: &str = "weir";

const START_WITHIN: Duration = Duration::from_secs(90);
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// What Kafka says, in the broker's own directory.
const LOG: &str = "kafka.log";

/// A Kafka cluster of one node.
#[derive(Debug)]
pub struct Broker {
    bootstrap: String,
    server: Option<Server>,
}

/// What belongs to a broker that we started.
#[derive(Debug)]
struct Server {
    home: TempDir,
    ports: settings::Ports,
    heap: &'static str,
    process: Option<Process>,
    secured: bool,
}

impl Broker {
    /// The broker that all tests of one program share; it ends with the program.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| match Self::start() {
            Ok(broker) => broker,
            #[expect(clippy::panic, reason = "no test can go on without a broker")]
            Err(error) => panic!("{error:#}"),
        })
    }

    /// The broker at `KAFKA_BOOTSTRAP`, or a new one.
    pub fn start() -> Result<Self> {
        match std::env::var("KAFKA_BOOTSTRAP") {
            Ok(bootstrap) if !bootstrap.is_empty() => Ok(Self { bootstrap, server: None }),
            _ => Self::start_own(),
        }
    }

    /// A new broker.
    pub fn start_own() -> Result<Self> {
        Self::start_server(false, &[])
    }

    /// A new broker with a further listener for each of `proxies`, which it takes for its own address there: clients that
    /// begin at a proxy stay behind it. [`Broker::bootstrap`] is without proxy.
    pub fn start_behind(proxies: &[Proxy]) -> Result<Self> {
        Self::start_server(false, proxies)
    }

    /// A new broker that asks for SASL/PLAIN and refuses what no ACL allows.
    pub fn start_secured() -> Result<Self> {
        Self::start_server(true, &[])
    }

    fn start_server(secured: bool, proxies: &[Proxy]) -> Result<Self> {
        let mut ports = free_ports()?;
        for proxy in proxies {
            let port = free_port()?;
            proxy.lead_to(port);
            ports.proxied.push((port, proxy.port()));
        }
        let mut server = Server::format(&settings::Node::ALONE, ports, "512m", secured)?;
        server.start()?;
        Ok(Self { bootstrap: format!("127.0.0.1:{}", server.ports.clients), server: Some(server) })
    }

    /// `HOST:PORT` for clients.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// What every client of this broker must be configured with; the admin's, if it is secured.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        if self.server.as_ref().is_some_and(|server| server.secured) {
            for (key, value) in credentials(ADMIN) {
                config.set(key, value);
            }
        }
        config
    }

    /// Stops the process as a machine that hangs would (SIGSTOP); sockets stay open.
    pub fn pause(&self) -> Result<()> {
        self.process()?.signal(Signal::SIGSTOP)
    }

    /// Goes on after [`Broker::pause`].
    pub fn resume(&self) -> Result<()> {
        self.process()?.signal(Signal::SIGCONT)
    }

    /// Shuts down in good order; the data stay.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.server()?.process.take().context("the broker is stopped already")?;
        process.signal(Signal::SIGTERM)?;
        ensure!(process.wait(STOP_WITHIN)?.is_some(), "the broker did not stop within {STOP_WITHIN:?}");
        Ok(())
    }

    /// Kills with -9; the data stay.
    pub fn kill(&mut self) -> Result<()> {
        drop(self.server()?.process.take().context("the broker is stopped already")?);
        Ok(())
    }

    /// Starts again, on the same ports and data.
    pub fn restart(&mut self) -> Result<()> {
        self.server()?.start()
    }

    /// Lets [`USER`] do `operations` (`Read`, `Write`, `Describe`, ..) on `kind` (`--topic`, `--group`,
    /// `--transactional-id`) `name`.
    pub fn allow(&self, operations: &[&str], kind: &str, name: &str) -> Result<()> {
        let server = self.server.as_ref().context("ACLs need a broker of our own")?;
        let internal = format!("127.0.0.1:{}", server.ports.internal);
        let principal = format!("User:{USER}");
        let mut args = vec!["org.apache.kafka.tools.AclCommand", "--bootstrap-server", &internal, "--add"];
        args.extend(["--allow-principal", &principal, kind, name]);
        args.extend(operations.iter().flat_map(|operation| ["--operation", operation]));
        java(&args, server.home.path()).map(drop)
    }

    /// Runs one of Kafka's tools (its main class, then its arguments) on this broker; returns what it printed.
    pub fn tool(&self, class: &str, args: &[&str]) -> Result<String> {
        java(&[&[class, "--bootstrap-server", &self.bootstrap], args].concat(), &std::env::temp_dir())
    }

    /// Takes back what [`Broker::allow`] gave.
    pub fn disallow(&self, operations: &[&str], kind: &str, name: &str) -> Result<()> {
        let server = self.server.as_ref().context("ACLs need a broker of our own")?;
        let internal = format!("127.0.0.1:{}", server.ports.internal);
        let principal = format!("User:{USER}");
        let mut args =
            vec!["org.apache.kafka.tools.AclCommand", "--bootstrap-server", &internal, "--remove", "--force"];
        args.extend(["--allow-principal", &principal, kind, name]);
        args.extend(operations.iter().flat_map(|operation| ["--operation", operation]));
        java(&args, server.home.path()).map(drop)
    }

    /// The files in which the broker keeps the records of a partition, oldest first.
    pub fn segments(&self, topic: &str, partition: i32) -> Result<Vec<PathBuf>> {
        let server = self.server.as_ref().context("the files of a broker that is not ours are not known")?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(server.home.path().join("kafka").join(format!("{topic}-{partition}")))? {
            found.push(entry?.path());
        }
        found.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        found.sort();
        Ok(found)
    }

    fn server(&mut self) -> Result<&mut Server> {
        self.server.as_mut().context("this broker was not started by the test: take Broker::start_own")
    }

    fn process(&self) -> Result<&Process> {
        self.server.as_ref().and_then(|server| server.process.as_ref()).context("the broker is not ours or not running")
    }
}

impl Server {
    /// Makes its directory and its data.
    fn format(node: &settings::Node, ports: settings::Ports, heap: &'static str, secured: bool) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("weir-kafka-").tempdir()?;
        std::fs::write(home.path().join(settings::FILE), settings::properties(home.path(), node, &ports, secured))?;
        let mut args = vec!["kafka.tools.StorageTool", "format", "-t", settings::CLUSTER_ID, "-c", settings::FILE];
        args.extend(node.voters.is_empty().then_some("--standalone"));
        java(&args, home.path())?;
        Ok(Self { home, ports, heap, process: None, secured })
    }

    fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_until_it_listens()
    }

    fn launch(&mut self) -> Result<()> {
        let home = self.home.path();
        let out = File::create(home.join(LOG))?;
        let mut command = java_command(home, self.heap)?;
        command.args(["kafka.Kafka", settings::FILE]).stdout(out.try_clone()?).stderr(out);
        self.process = Some(Process::spawn(&mut command, Some(home))?);
        Ok(())
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let log = self.home.path().join(LOG);
        let process = self.process.as_mut().context("the broker was not launched")?;
        let deadline = Instant::now() + START_WITHIN;
        let address = SocketAddr::from(([127, 0, 0, 1], self.ports.clients));
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            if let Some(status) = process.ended()? {
                self.process = None;
                bail!("Kafka ended with {status}: {}", std::fs::read_to_string(&log)?);
            }
            ensure!(Instant::now() < deadline, "Kafka did not listen within {START_WITHIN:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// What a client sends to log in as `user` on a secured broker, as `key, value`.
pub fn credentials(user: &str) -> [(&'static str, String); 4] {
    [
        ("security.protocol", "SASL_PLAINTEXT".to_owned()),
        ("sasl.mechanism", "PLAIN".to_owned()),
        ("sasl.username", user.to_owned()),
        ("sasl.password", user.to_owned()),
    ]
}

fn free_ports() -> Result<settings::Ports> {
    let (clients, controller, internal) = (free_port()?, free_port()?, free_port()?);
    Ok(settings::Ports { clients, controller, internal, proxied: Vec::new() })
}

/// A port that nothing listens on now, and that nobody else here was given: until its server starts it is free for all.
pub fn free_port() -> Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return Ok(port);
        }
    }
}

fn java_command(home: &Path, heap: &str) -> Result<Command> {
    let jars: PathBuf = jars::directory()?.join("*");
    let mut command = Command::new("java");
    command.arg(format!("-Xmx{heap}")).args(["-XX:+UseSerialGC", "-cp"]).arg(jars);
    command.current_dir(home).stdin(Stdio::null());
    Ok(command)
}

/// Runs one of Kafka's tools to its end; returns what it printed.
fn java(args: &[&str], home: &Path) -> Result<String> {
    let output = java_command(home, "256m")?.arg("-XX:TieredStopAtLevel=1").args(args).output();
    let output = output.context("failed to start java; `make deps` installs it")?;
    let said = || String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {}", args.join(" "), said());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
