//! Connections, and what one may cost. The API shares its process with a job: whoever connects, by mistake or on
//! purpose, gets a bounded number of descriptors, bytes and seconds, and never keeps the others out.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWrite as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::audit::Peer;

/// What connections may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many are open at most. One more ends the oldest that has asked nothing yet: a crowd of silent ones does not
    /// keep a probe out, nor cut off one that is answered. If all have asked, it is the one more that is closed.
    pub(crate) connections: usize,
    /// How long the head of a request may take, the silence before it included.
    pub(crate) head_within: Duration,
    /// How long a connection lasts, however busy it is. A client opens the next one.
    pub(crate) lasts: Duration,
    /// How long its last answer may take to be written after that. What is still being answered then is waited for: a swap
    /// happens whether or not anybody is told, and whoever answers has bounds of his own.
    pub(crate) last_answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let [head_within, lasts, last_answer] = [5, 60, 5].map(Duration::from_secs);
        Self { connections: 64, head_within, lasts, last_answer }
    }
}

/// Fields in the head of a request.
const HEAD_FIELDS: usize = 64;
/// The head of a request in bytes.
const HEAD_BYTES: usize = 16 << 10;
/// How long whoever still sends is listened to after the last answer.
const LINGERS: Duration = Duration::from_secs(1);
/// How long nobody is accepted when the process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts and answers; never ends by itself.
pub(crate) async fn accept(listener: TcpListener, router: Router, limits: Limits) {
    let mut open = Open::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if open.make_room(limits.connections) {
                    open.add(|asked| converse((stream, Peer(peer)), router.clone(), limits, asked));
                }
                // Whoever has sent a request by now is heard before the next one could push him out.
                tokio::task::yield_now().await;
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::debug!(%error, "the API cannot accept a connection");
                open.end_oldest_silent();
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The connections, oldest first.
#[derive(Default)]
struct Open(VecDeque<Connection>);

/// Set once a connection has sent the head of a request.
type Asked = Arc<AtomicBool>;

struct Connection {
    task: AbortHandle,
    asked: Asked,
}

impl Open {
    fn add<F: Future<Output = ()> + Send + 'static>(&mut self, converse: impl FnOnce(Asked) -> F) {
        let asked = Asked::default();
        let task = tokio::spawn(converse(Arc::clone(&asked))).abort_handle();
        self.0.push_back(Connection { task, asked });
    }

    /// Whether there is room for one more.
    fn make_room(&mut self, limit: usize) -> bool {
        self.0.retain(|connection| !connection.task.is_finished());
        self.0.len() < limit || self.end_oldest_silent()
    }

    /// Whether there was one.
    fn end_oldest_silent(&mut self) -> bool {
        let oldest = self.0.iter().position(|connection| !connection.asked.load(Ordering::Relaxed));
        let oldest = oldest.and_then(|at| self.0.remove(at));
        oldest.map(|connection| connection.task.abort()).is_some()
    }
}

/// A connection that was gone before it was accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionAborted | K::ConnectionRefused | K::ConnectionReset | K::Interrupted)
}

/// One connection, to its end. How it ended is the client's affair.
async fn converse((stream, peer): (TcpStream, Peer), router: Router, limits: Limits, asked: Asked) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head_within);
    http.max_headers(HEAD_FIELDS).max_buf_size(HEAD_BYTES);
    let router = TowerToHyperService::new(router);
    let (answering, is_answering) = watch::channel(false);
    let service = service_fn(move |mut request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        answering.send_replace(true);
        request.extensions_mut().insert(peer);
        let (answer, answering) = (router.call(request), answering.clone());
        Box::pin(async move {
            let answer = answer.await;
            answering.send_replace(false);
            answer
        })
    });
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    let is_over = tokio::select! {
        _ended = poll_fn(|context| connection.poll_without_shutdown(context)) => true,
        () = tokio::time::sleep(limits.lasts) => false,
    };
    if !is_over {
        Pin::new(&mut connection).graceful_shutdown();
        tokio::select! {
            _ended = poll_fn(|context| connection.poll_without_shutdown(context)) => {}
            () = last_answer(is_answering, limits) => {}
        }
    }
    linger(connection.into_parts().io.into_inner()).await;
}

/// What is being answered is waited for; then it is to be written in time.
async fn last_answer(mut is_answering: watch::Receiver<bool>, limits: Limits) {
    // Nobody answers any more where nobody can say so.
    drop(is_answering.wait_for(|is_answering| !is_answering).await);
    tokio::time::sleep(limits.last_answer).await;
}

/// Ends a connection of which something may still be on its way here, as the body of a request that was refused. Bytes that
/// nobody reads have the kernel reset the connection, and the client lose the answer.
async fn linger(mut stream: TcpStream) {
    let rest = async {
        let closed = poll_fn(|context| Pin::new(&mut stream).poll_shutdown(context)).await;
        let mut unread = vec![0; 16 << 10];
        while closed.is_ok() && stream.readable().await.is_ok() {
            match stream.try_read(&mut unread) {
                Ok(0) => break,
                // A sender that is always ahead must not keep the thread from everybody else.
                Ok(_) => tokio::task::yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    drop(tokio::time::timeout(LINGERS, rest).await);
}
