//! The routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use weir_core::text::printable_lines;

use crate::access::Access;
use crate::control::{self, Control};
use crate::gate::Gate;
use crate::hosts::{self, Hosts};
use crate::upload::Bounds;
use crate::{model, openapi};

/// Gives the job as it stands; called once per request.
pub type JobView = Arc<dyn Fn() -> model::Job + Send + Sync>;

/// Everything that is served, to requests that name one of `hosts`; whom `access` lets in changes the job by it.
pub fn router(
    view: JobView,
    (control, access): (Arc<dyn Control>, Access),
    metrics: PrometheusHandle,
    hosts: Hosts,
) -> Router {
    through(Gate::new(control, access, Bounds::default()), view, metrics, hosts)
}

/// The same, with changes through this gate.
pub(crate) fn through(gate: Gate, view: JobView, metrics: PrometheusHandle, hosts: Hosts) -> Router {
    Router::new()
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/healthz", get(health))
        .route("/v1/job", get(job))
        .route(openapi::PATH, get(openapi::document))
        .with_state(view)
        .merge(control::routes(gate))
        .merge(Router::new().route("/metrics", get(render)).with_state(metrics))
        .fallback(unknown)
        .layer(from_fn_with_state(hosts, hosts::check))
}

/// A process that answers lives.
async fn alive() -> &'static str {
    "ok\n"
}

async fn ready(State(view): State<JobView>) -> Response {
    state_of(view().unreadiness(), None)
}

async fn health(State(view): State<JobView>) -> Response {
    let job = view();
    state_of(job.illness(), job.remark())
}

/// The reason may quote guests and records, and is read on terminals.
fn state_of(reason: Option<String>, remark: Option<String>) -> Response {
    match (reason, remark) {
        (None, None) => (StatusCode::OK, "ok\n").into_response(),
        (None, Some(remark)) => (StatusCode::OK, format!("ok, {remark}\n")).into_response(),
        (Some(reason), _) => {
            let text = format!("{}\n", printable_lines(&reason, "    "));
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn job(State(view): State<JobView>) -> Json<model::Job> {
    Json(view())
}

async fn render(State(metrics): State<PrometheusHandle>) -> Response {
    let prometheus = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (prometheus, metrics.render()).into_response()
}

async fn unknown() -> Response {
    (
        StatusCode::NOT_FOUND,
        "there are /healthz, /livez, /readyz, /metrics, /v1/openapi.json, /v1/job, /v1/job/{pause,resume,stop} and \
         /v1/operators/NAME/{swap,rollback,versions}\n",
    )
        .into_response()
}
