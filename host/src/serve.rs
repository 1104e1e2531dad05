//! The API's thread: a small tokio runtime beside the engine. Nothing of the data path waits for it. It answers from the
//! moment the port is taken: plugins that take long to compile and state that takes long to open look like a start.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use weir_api::{Access, Hosts, JobView, Listen};
use weir_core::PortError;
use weir_pipeline::plan::{ApiPlan, Plan};
use weir_plan::Shown;
use weir_runtime::JobHandle;

use crate::control::{JobControl, PluginShelf};
use crate::signals::Signals;
use crate::telemetry::Screen;
use crate::{token, view};

/// Serves until it is dropped.
pub(crate) struct Serving {
    /// Once there is one.
    job: Arc<OnceLock<(JobHandle, Shown)>>,
    control: JobControl,
    api: Option<Api>,
}

struct Api {
    address: SocketAddr,
    /// Dropped, it ends the thread. Nobody waits for that: a client that keeps its connection open must not keep the
    /// process.
    _stop: oneshot::Sender<()>,
}

/// Listens where the plan says, and answers that the job is starting. A port that cannot be had is an error before
/// anything else happens.
pub(crate) fn start(plan: &Plan, screen: &Screen, signals: &Signals) -> Result<Serving> {
    let (job, control) = (Arc::default(), JobControl::new(signals.clone()));
    let ApiPlan::Listen { host, port, explicit } = &plan.api else { return Ok(Serving { job, control, api: None }) };
    let token = token::read(plan.access.token_file.as_deref())?;
    let runtime = Builder::new_current_thread().enable_all().build().context("failed to start the API's runtime")?;
    let listen = Listen { host: host.clone(), port: *port, explicit: *explicit };
    let listening = runtime.block_on(weir_api::bind(&listen)).map_err(PortError::from)?;
    let address = listening.address;
    let access = Access::of(address, token, plan.access.is_plaintext).map_err(PortError::from)?;
    let metrics = weir_api::metrics::install().map_err(PortError::from)?;
    screen.count_lost();
    let router = weir_api::router(
        view_of(plan, Arc::clone(&job)),
        (Arc::new(control.clone()), access),
        metrics.clone(),
        Hosts::of(address, host),
    );
    let (stop, stopped) = oneshot::channel::<()>();
    let until = async { drop(stopped.await) };
    let run = move || runtime.block_on(weir_api::serve(listening, router, metrics, until));
    weir_machine::spawn("weir-api", run).context("failed to start the API")?;
    Ok(Serving { job, control, api: Some(Api { address, _stop: stop }) })
}

fn view_of(plan: &Plan, job: Arc<OnceLock<(JobHandle, Shown)>>) -> JobView {
    let starting = view::starting(plan);
    let running = |(job, plan): &(JobHandle, Shown)| view::job(job.status(), plan.clone());
    Arc::new(move || job.get().map_or_else(|| starting.clone(), running))
}

impl Serving {
    /// From now on `job`, which runs `plan`, is what is shown, and changed.
    pub(crate) fn show(&self, job: JobHandle, (plan, shelf): (Shown, Arc<PluginShelf>)) {
        self.control.show(job.clone(), shelf);
        drop(self.job.set((job, plan)));
    }

    /// What may be asked of the job.
    pub(crate) fn control(&self) -> JobControl {
        self.control.clone()
    }

    /// Where it listens; `None`: it is off.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.api.as_ref().map(|api| api.address)
    }
}
