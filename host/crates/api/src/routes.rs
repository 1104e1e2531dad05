//! The routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::model;

/// Gives the job as it stands; called once per request.
pub type JobView = Arc<dyn Fn() -> model::Job + Send + Sync>;

/// Everything that is served.
pub fn router(view: JobView, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/v1/job", get(job))
        .with_state(view)
        .merge(Router::new().route("/metrics", get(render)).with_state(metrics))
        .fallback(unknown)
}

async fn health(State(view): State<JobView>) -> Response {
    match view().illness() {
        None => (StatusCode::OK, "ok\n").into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
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
    (StatusCode::NOT_FOUND, "there are /healthz, /metrics and /v1/job\n").into_response()
}
