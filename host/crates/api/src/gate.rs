//! The gate before every change. Whoever may change nothing, or does not say what is sent, is told so by the head of the
//! request: not a byte of its body is read. One change of an operator at a time holds its bytes in memory.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::Access;
use crate::audit::Outcome;
use crate::control::Control;
use crate::model::{Refusal, RefusalKind, Swapped};
use crate::upload::{self, Bounds};

/// Where changes come in.
#[derive(Clone)]
pub(crate) struct Gate {
    control: Arc<dyn Control>,
    access: Access,
    turns: Arc<Semaphore>,
    uploads: Bounds,
}

/// Why a change is refused before anybody is asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "this API is open to the network and has no token: it shows the job and changes nothing; start the job with \
         --api-token @FILE, or with --api 127.0.0.1:PORT, which keeps it on this machine"
    )]
    ReadOnly,
    #[error(
        "changes of this job need its token, as in `Authorization: Bearer TOKEN`; commands take it from --api-token @FILE or \
         WEIR_API_TOKEN"
    )]
    NoToken,
    #[error("this is not the token of this job")]
    WrongToken,
    #[error("say what is sent: the header content-type is to be {0}")]
    Content(&'static str),
    #[error("another change of an operator is under way; try again after it")]
    Busy,
    #[error("a plugin has {0} bytes at most")]
    TooLarge(u64),
    #[error("the plugin did not arrive within {0} s")]
    Slow(u64),
    #[error("the plugin did not arrive to its end")]
    Cut,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::ReadOnly => StatusCode::FORBIDDEN,
            Self::Content(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Cut => StatusCode::BAD_REQUEST,
            Self::Busy => return Refusal::new(RefusalKind::Busy, self.to_string()).into_response(),
        };
        let mut response = (status, format!("{self}\n")).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Outcome::TurnedAway(self.to_string()));
        response
    }
}

impl Gate {
    pub(crate) fn new(control: Arc<dyn Control>, access: Access, uploads: Bounds) -> Self {
        Self { control, access, turns: Arc::new(Semaphore::new(1)), uploads }
    }

    /// Lets a change in whose body is said to be `content`.
    pub(crate) fn admit(&self, headers: &HeaderMap, content: &'static str) -> Result<Arc<dyn Control>, Refused> {
        self.access.check(headers)?;
        match headers.get(header::CONTENT_TYPE) {
            Some(given) if given.as_bytes() == content.as_bytes() => Ok(self.control()),
            _ => Err(Refused::Content(content)),
        }
    }

    /// The same for a change of an operator, in its turn.
    pub(crate) fn pass(&self, headers: &HeaderMap, content: &'static str) -> Result<Pass, Refused> {
        let control = self.admit(headers, content)?;
        let turn = Arc::clone(&self.turns).try_acquire_owned().map_err(|_| Refused::Busy)?;
        Ok(Pass { control, turn, uploads: self.uploads })
    }

    /// Whoever answers questions that change nothing.
    pub(crate) fn control(&self) -> Arc<dyn Control> {
        Arc::clone(&self.control)
    }

    /// By what it lets changes in.
    pub(crate) fn by(&self) -> &'static str {
        self.access.word()
    }
}

/// Leave to change an operator; nobody else has it meanwhile.
pub(crate) struct Pass {
    control: Arc<dyn Control>,
    turn: OwnedSemaphorePermit,
    uploads: Bounds,
}

impl Pass {
    /// Takes the plugin that is sent.
    pub(crate) async fn upload(&self, body: Body) -> Result<Bytes, Refused> {
        upload::take(body, self.uploads).await
    }

    /// Asks for the change. It goes on if whoever asked leaves, and so does its turn.
    pub(crate) async fn change(
        self,
        change: impl FnOnce(&dyn Control) -> Result<Swapped, Refusal> + Send + 'static,
    ) -> Response {
        let Self { control, turn, .. } = self;
        let answer = ask(control, move |control| {
            let _turn = turn;
            change(control)
        });
        told(answer.await, |swapped| swapped.epoch)
    }
}

/// Asks on a thread that may block.
pub(crate) async fn ask<T: Send + 'static>(
    control: Arc<dyn Control>,
    ask: impl FnOnce(&dyn Control) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let answer = tokio::task::spawn_blocking(move || ask(control.as_ref())).await;
    answer.unwrap_or_else(|error| Err(Refusal::new(RefusalKind::Failed, error.to_string())))
}

/// The answer to a change, with what the log says of it.
pub(crate) fn told<T: serde::Serialize>(answer: Result<T, Refusal>, epoch: impl FnOnce(&T) -> Option<u64>) -> Response {
    let outcome = match &answer {
        Ok(done) => Outcome::Done(epoch(done)),
        Err(refusal) => Outcome::Refused(refusal.error.clone()),
    };
    let mut response = answer.map(Json).into_response();
    response.extensions_mut().insert(outcome);
    response
}
