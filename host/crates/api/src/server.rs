//! The listening socket and the server on it.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::{BuildError, PrometheusHandle};
use tokio::net::TcpListener;
use weir_core::{Fault, PortError};

/// How many ports after the default one are tried.
const PORTS_TRIED: u16 = 100;
/// How often histograms are drained, so that they stay small while nobody asks for them.
const UPKEEP: Duration = Duration::from_secs(5);

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Name or number; an IPv6 number in brackets.
    pub host: String,
    /// The port; 0 for any.
    pub port: u16,
    /// True when the user chose it: then no other will do.
    pub explicit: bool,
}

/// What can go wrong here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address the user chose cannot be listened at.
    #[error("failed to listen at {address}; choose another with --api HOST:PORT, or --api off")]
    Bind {
        /// It.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server stopped.
    #[error("failed to serve the API")]
    Serve(#[source] io::Error),
    /// The recorder could not be made.
    #[error("failed to set up metrics")]
    Metrics(#[source] BuildError),
}

impl Error {
    /// Who must act.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Bind { .. } => Fault::Config,
            Self::Serve(_) => Fault::User,
            Self::Metrics(_) => Fault::Bug,
        }
    }
}

impl From<Error> for PortError {
    fn from(error: Error) -> Self {
        Self::new(error.fault(), error)
    }
}

/// Listens at `listen`. If nobody chose the port and it is taken, the next free one serves as well, and is logged.
pub async fn bind(listen: &Listen) -> Result<TcpListener, Error> {
    let last = if listen.explicit { listen.port } else { listen.port.saturating_add(PORTS_TRIED) };
    let mut port = listen.port;
    loop {
        let address = format!("{}:{port}", listen.host);
        match TcpListener::bind(&address).await {
            Ok(listener) => {
                if port != listen.port {
                    tracing::info!(%address, taken = listen.port, "api listens at the next free port");
                } else {
                    tracing::info!(%address, "api listens");
                }
                return Ok(listener);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port < last => port += 1,
            Err(source) => return Err(Error::Bind { address, source }),
        }
    }
}

/// Serves until `shutdown` is ready.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    metrics: PrometheusHandle,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    // The server and its upkeep end together, whichever comes first; upkeep itself never does.
    tokio::select! {
        served = axum::serve(listener, router).with_graceful_shutdown(shutdown) => served.map_err(Error::Serve),
        () = upkeep(metrics) => Ok(()),
    }
}

async fn upkeep(metrics: PrometheusHandle) {
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tick.tick().await;
        metrics.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpStream;
    use std::sync::{Arc, Mutex};

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::model::{Job, Operator, Plugin, Sink, Split, State, Waiting};
    use crate::router;

    fn job() -> Job {
        Job {
            job: "orders".into(),
            shard: 0,
            state: State::Running,
            delivery: "exactly-once".into(),
            epoch: 7,
            attempt: Some("a".into()),
            restarts: 1,
            last_error: Some("lost".into()),
            next_attempt: None,
            waiting: None,
            operators: vec![Operator {
                name: "count".into(),
                parallelism: 2,
                plugin: Plugin { name: "count".into(), version: "1".into(), digest: "d".into() },
                state_bytes: 9,
            }],
            splits: vec![Split { topic: "in".into(), partition: 3, position: 5, end: None, lag: None }],
            sinks: vec![Sink { topic: "out".into(), records: 4 }],
        }
    }

    fn loopback(port: u16, explicit: bool) -> Listen {
        Listen { host: "127.0.0.1".into(), port, explicit }
    }

    async fn get(port: u16, path: &'static str) -> String {
        let exchange = move || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
            io::read_to_string(stream).unwrap()
        };
        tokio::task::spawn_blocking(exchange).await.unwrap()
    }

    #[tokio::test]
    async fn everything_is_served() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || metrics::counter!("weir_source_records_total").increment(3));
        let shown = Arc::new(Mutex::new(job()));
        let view = Arc::clone(&shown);
        let routes = router(Arc::new(move || view.lock().unwrap().clone()), recorder.handle());
        let listener = bind(&loopback(0, true)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, routes, recorder.handle(), async { stopped.await.unwrap() }));

        let health = get(port, "/healthz").await;
        assert!(health.starts_with("HTTP/1.1 200") && health.ends_with("ok\n"), "{health}");
        let wanted = serde_json::json!({
            "job": "orders", "shard": 0, "state": "running", "delivery": "exactly-once", "epoch": 7, "attempt": "a",
            "restarts": 1, "last_error": "lost", "next_attempt": null, "waiting": null,
            "operators": [{"name": "count", "parallelism": 2, "state_bytes": 9,
                "plugin": {"name": "count", "version": "1", "digest": "d"}}],
            "splits": [{"topic": "in", "partition": 3, "position": 5, "end": null, "lag": null}],
            "sinks": [{"topic": "out", "records": 4}],
        });
        let answer = get(port, "/v1/job").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("application/json"), "{head}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), wanted);
        let answer = get(port, "/metrics").await;
        assert!(answer.contains("\nweir_source_records_total 3\n"), "{answer}");
        assert!(get(port, "/").await.starts_with("HTTP/1.1 404"));

        shown.lock().unwrap().waiting = Some(Waiting { what: "for the commit".into(), seconds: 7.5 });
        let health = get(port, "/healthz").await;
        assert!(
            health.starts_with("HTTP/1.1 503") && health.ends_with("waiting for the commit for 7.5 s\n"),
            "{health}"
        );
        shown.lock().unwrap().waiting = None;
        shown.lock().unwrap().state = State::Recovering;
        let health = get(port, "/healthz").await;
        assert!(health.starts_with("HTTP/1.1 503") && health.ends_with("recovering: lost\n"), "{health}");
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn only_a_default_port_may_move() {
        let first = bind(&loopback(0, true)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let next = bind(&loopback(port, false)).await.unwrap();
        assert_ne!(next.local_addr().unwrap().port(), port);
        let error = bind(&loopback(port, true)).await.unwrap_err();
        assert!(error.to_string().contains("choose another with --api"), "{error}");
        assert_eq!(error.fault(), Fault::Config);
    }
}
