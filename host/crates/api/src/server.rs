//! The listening socket and the server on it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::{BuildError, PrometheusHandle};
use tokio::net::TcpListener;
use weir_core::{Fault, PortError};

use crate::connections::{self, Limits};

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
    /// The socket does not say where it is.
    #[error("failed to serve the API")]
    Serve(#[source] io::Error),
    /// The token would cross the network in clear.
    #[error(
        "the API has no TLS, and {0} is not of this machine alone: its token would cross the network in clear; keep the API on \
         this machine (--api 127.0.0.1:PORT) behind a proxy with TLS, or say --api-plaintext where the network is one to trust"
    )]
    Clear(SocketAddr),
    /// It may, and there is none.
    #[error("--api-plaintext speaks of a token, and there is none; give --api-token @FILE, or set WEIR_API_TOKEN")]
    NoToken,
    /// The recorder could not be made.
    #[error("failed to set up metrics")]
    Metrics(#[source] BuildError),
}

impl Error {
    /// Who must act.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Bind { .. } | Self::Clear(_) | Self::NoToken => Fault::Config,
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

/// A socket that listens, and where: the port may be another one than was asked for.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    /// Where it is.
    pub address: SocketAddr,
}

/// Listens at `listen`. If nobody chose the port and it is taken, the next free one serves as well, and is logged.
pub async fn bind(listen: &Listen) -> Result<Listening, Error> {
    let last = if listen.explicit { listen.port } else { listen.port.saturating_add(PORTS_TRIED) };
    let mut port = listen.port;
    let listener = loop {
        let address = format!("{}:{port}", listen.host);
        match TcpListener::bind(&address).await {
            Ok(listener) => break listener,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port < last => port += 1,
            Err(source) => return Err(Error::Bind { address, source }),
        }
    };
    let address = listener.local_addr().map_err(Error::Serve)?;
    if listen.port != 0 && address.port() != listen.port {
        tracing::info!(%address, taken = listen.port, "api listens at the next free port");
    } else {
        tracing::info!(%address, "api listens");
    }
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "the API is open to the network, without TLS: it tells everybody names, positions and errors of the job; --api \
             127.0.0.1:PORT keeps it on this machine"
        );
    }
    Ok(Listening { listener, address })
}

/// Serves until `shutdown` is ready.
pub async fn serve(
    listening: Listening,
    router: Router,
    metrics: PrometheusHandle,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    // Neither the server nor its upkeep ends by itself. Answers under way end with the runtime: nobody waits for a client.
    tokio::select! {
        () = connections::accept(listening.listener, router, Limits::default()) => {}
        () = upkeep(metrics) => {}
        () = shutdown => {}
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
mod tests;
