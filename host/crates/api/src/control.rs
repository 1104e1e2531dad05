//! What may be asked of a job, and the routes for it. Every question that changes something says with its content type that
//! it is none of a browser's forms: a page of somebody else would have to ask for leave first, and gets none.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use crate::model::{self, Refusal, RefusalKind};

/// The largest plugin that is taken: as large as a file that is run.
const PLUGIN_BYTES_MAX: usize = 256 << 20;
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
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(self)).into_response()
    }
}

/// Who is asked; `None` where the API is open to the network, and changes nothing.
type Controlled = Option<Arc<dyn Control>>;

/// The routes.
pub(crate) fn routes(control: Controlled) -> Router {
    Router::new()
        .route("/v1/operators/{name}/swap", post(swap))
        .route("/v1/operators/{name}/rollback", post(rollback))
        .route("/v1/operators/{name}/versions", get(versions))
        .layer(DefaultBodyLimit::max(PLUGIN_BYTES_MAX))
        .with_state(control)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct SwapQuery {
    config: Option<String>,
    probation_ms: Option<u64>,
    #[serde(default)]
    dry_run: bool,
}

async fn swap(
    State(control): State<Controlled>,
    Path(name): Path<String>,
    Query(query): Query<SwapQuery>,
    headers: HeaderMap,
    plugin: Bytes,
) -> Response {
    let SwapQuery { config, probation_ms, dry_run } = query;
    let probation = probation_ms.map_or(PROBATION, Duration::from_millis);
    let request = SwapRequest { plugin, config, probation, dry_run };
    change(control, &headers, "application/wasm", move |control| control.swap(&name, request)).await
}

async fn rollback(State(control): State<Controlled>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    change(control, &headers, "application/json", move |control| control.rollback(&name)).await
}

async fn versions(State(control): State<Controlled>, Path(name): Path<String>) -> Response {
    ask(control, move |control| control.versions(&name)).await
}

/// Something that is changed.
async fn change(
    control: Controlled,
    headers: &HeaderMap,
    content: &str,
    change: impl FnOnce(&dyn Control) -> Result<model::Swapped, Refusal> + Send + 'static,
) -> Response {
    if headers.get(header::CONTENT_TYPE).is_none_or(|given| given.as_bytes() != content.as_bytes()) {
        let text = format!("say what is sent: the header content-type is to be {content}\n");
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
    }
    ask(control, change).await
}

async fn ask<T: serde::Serialize + Send + 'static>(
    control: Controlled,
    ask: impl FnOnce(&dyn Control) -> Result<T, Refusal> + Send + 'static,
) -> Response {
    let Some(control) = control else {
        let text = "this API is open to the network and has no password: it shows the job and changes nothing; --api \
                    127.0.0.1:PORT keeps it on this machine\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    };
    match tokio::task::spawn_blocking(move || ask(control.as_ref())).await {
        Ok(answer) => answer.map(Json).into_response(),
        Err(error) => Refusal::new(RefusalKind::Failed, error.to_string()).into_response(),
    }
}
