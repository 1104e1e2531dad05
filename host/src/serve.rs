//! The API's thread: a small tokio runtime beside the engine. Nothing of the data path waits for it.

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use weir_api::Listen;
use weir_core::PortError;
use weir_pipeline::plan::ApiPlan;
use weir_runtime::JobHandle;

use crate::view;

/// A socket that listens and is not served yet: a port that cannot be had is an error before anything else happens.
pub(crate) struct Bound {
    runtime: Runtime,
    listener: TcpListener,
}

/// Serves until it is dropped.
pub(crate) struct Serving {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Listens where the plan says; `None` when it says off.
pub(crate) fn bind(plan: &ApiPlan) -> Result<Option<Bound>> {
    let ApiPlan::Listen { host, port, explicit } = plan else { return Ok(None) };
    let runtime = Builder::new_current_thread().enable_all().build().context("failed to start the API's runtime")?;
    let listen = Listen { host: host.clone(), port: *port, explicit: *explicit };
    let listener = runtime.block_on(weir_api::bind(&listen)).map_err(PortError::from)?;
    Ok(Some(Bound { runtime, listener }))
}

impl Bound {
    /// Serves what `job` shows.
    pub(crate) fn serve(self, job: JobHandle, metrics: PrometheusHandle) -> Result<Serving> {
        let (stop, stopped) = oneshot::channel::<()>();
        let router = weir_api::router(Arc::new(move || view::job(job.status())), metrics.clone());
        let Self { runtime, listener } = self;
        let run = move || {
            let until = async { drop(stopped.await) };
            if let Err(error) = runtime.block_on(weir_api::serve(listener, router, metrics, until)) {
                tracing::error!(%error, "the API has stopped; the job goes on");
            }
        };
        let thread =
            std::thread::Builder::new().name("weir-api".into()).spawn(run).context("failed to start the API")?;
        Ok(Serving { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Serving {
    /// Does not wait: a client that keeps its connection open must not keep the process.
    fn drop(&mut self) {
        drop(self.stop.take());
        drop(self.thread.take());
    }
}
