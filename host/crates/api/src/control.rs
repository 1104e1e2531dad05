//! What may be asked of a job, and the routes for it. Every question that changes something says with its content type that
//! it is none of a browser's forms: a page of somebody else would have to ask for leave first, and gets none.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use crate::audit::{self, Audit};
use crate::gate::{self, Gate, Refused, ask};
use crate::model::{self, Refusal, RefusalKind};

/// What changes say that need no body: no form of a browser does.
const NO_BODY: &str = "application/json";
/// How long the version before waits, unless somebody says otherwise.
pub const PROBATION: Duration = Duration::from_secs(60);

/// The job, as far as it can be changed. Calls may block.
pub trait Control: Send + Sync {
    /// Has a plugin take over an operator; returns once that holds.
    fn swap(&self, operator: &str, request: SwapRequest) -> Result<model::Swapped, Refusal>;

    /// Goes back to the version before.
    fn rollback(&self, operator: &str) -> Result<model::Swapped, Refusal>;

    /// What took over from what, the oldest first.
    fn versions(&self, operator: &str) -> Result<Vec<model::Turn>, Refusal>;

    /// Sources stand still until [`Self::resume`].
    fn pause(&self) -> Result<model::Standing, Refusal>;

    /// Sources read on.
    fn resume(&self) -> Result<model::Standing, Refusal>;

    /// Does what SIGTERM does: the job commits and leaves. Returns before it has.
    fn stop(&self) -> Result<model::Standing, Refusal>;
}

/// What is to take over.
#[derive(Debug, Clone)]
pub struct SwapRequest {
    /// The file.
    pub plugin: Bytes,
    /// JSON for the plugin, if another than the version before has.
    pub config: Option<String>,
    /// For how long the version before waits to take over again.
    pub probation: Duration,
    /// Whether it is only to be said whether it could.
    pub dry_run: bool,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.kind {
            RefusalKind::Unknown => StatusCode::NOT_FOUND,
            RefusalKind::Unfit | RefusalKind::State => StatusCode::UNPROCESSABLE_ENTITY,
            RefusalKind::Conflict | RefusalKind::Busy => StatusCode::CONFLICT,
            RefusalKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(self)).into_response()
    }
}

/// The routes.
pub(crate) fn routes(gate: Gate) -> Router {
    let audit = Audit::new(gate.by());
    Router::new()
        .route("/v1/operators/{name}/swap", post(swap))
        .route("/v1/operators/{name}/rollback", post(rollback))
        .route("/v1/operators/{name}/versions", get(versions))
        .route("/v1/job/pause", post(|gate, headers| steer(gate, headers, |job| job.pause())))
        .route("/v1/job/resume", post(|gate, headers| steer(gate, headers, |job| job.resume())))
        .route("/v1/job/stop", post(|gate, headers| steer(gate, headers, |job| job.stop())))
        .with_state(gate)
        .route_layer(from_fn_with_state(audit, audit::note))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct SwapQuery {
    config: Option<String>,
    probation_ms: Option<u64>,
    #[serde(default)]
    dry_run: bool,
}

/// The body is the last thing that is looked at.
async fn swap(
    State(gate): State<Gate>,
    Path(name): Path<String>,
    Query(query): Query<SwapQuery>,
    asked: Request,
) -> Result<Response, Refused> {
    let pass = gate.pass(asked.headers(), "application/wasm")?;
    let plugin = pass.upload(asked.into_body()).await?;
    let SwapQuery { config, probation_ms, dry_run } = query;
    let probation = probation_ms.map_or(PROBATION, Duration::from_millis);
    let request = SwapRequest { plugin, config, probation, dry_run };
    Ok(pass.change(move |control| control.swap(&name, request)).await)
}

/// The job as a whole: at once, whatever changes one of its operators meanwhile.
async fn steer(
    State(gate): State<Gate>,
    headers: HeaderMap,
    change: fn(&dyn Control) -> Result<model::Standing, Refusal>,
) -> Result<Response, Refused> {
    let control = gate.admit(&headers, NO_BODY)?;
    Ok(gate::told(ask(control, change).await, |standing| Some(standing.epoch)))
}

async fn rollback(State(gate): State<Gate>, Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Refused> {
    let pass = gate.pass(&headers, NO_BODY)?;
    Ok(pass.change(move |control| control.rollback(&name)).await)
}

async fn versions(State(gate): State<Gate>, Path(name): Path<String>) -> Response {
    ask(gate.control(), move |control| control.versions(&name)).await.map(Json).into_response()
}
