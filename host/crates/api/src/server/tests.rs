//! The server, asked over real sockets.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use weir_plan::{Shown, ShownEdge, ShownTask};

use crate::control::{Control, SwapRequest};
use crate::model::{self, Refusal, RefusalKind};
use crate::model::{Job, Operator, Plugin, Sink, Split, State, Waiting};
use weir_core::Secret;

use crate::gate::Gate;
use crate::upload::Bounds;
use crate::{Access, Hosts, router, routes};

const PATIENCE: Duration = Duration::from_secs(20);

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
            watermark_ms: Some(1_000),
        }],
        splits: vec![Split {
            source: "clicks".into(),
            topic: "in".into(),
            partition: 3,
            position: 5,
            end: None,
            lag: None,
            watermark_ms: None,
            idle: true,
        }],
        sinks: vec![Sink { topic: "out".into(), records: 4 }],
        plan: Some(Shown {
            tasks: vec![ShownTask {
                thread: "weir-sink".into(),
                nodes: vec!["counts".into()],
                key_groups: Some((0, 1023)),
            }],
            edges: vec![ShownEdge {
                from: "in".into(),
                output: "0".into(),
                to: "counts".into(),
                input: "0".into(),
                by: "gather",
            }],
        }),
    }
}

fn loopback(port: u16, explicit: bool) -> Listen {
    Listen { host: "127.0.0.1".into(), port, explicit }
}

async fn get(port: u16, path: &str) -> String {
    ask(port, format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await
}

async fn ask(port: u16, request: String) -> String {
    let exchange = move || {
        let mut stream = connect(port);
        stream.write_all(request.as_bytes()).unwrap();
        io::read_to_string(stream).unwrap()
    };
    tokio::task::spawn_blocking(exchange).await.unwrap()
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A job that nobody changes.
struct Steady;

impl Control for Steady {
    fn swap(&self, operator: &str, request: SwapRequest) -> Result<model::Swapped, Refusal> {
        let SwapRequest { plugin, config, probation, dry_run } = request;
        let config = config.unwrap_or_default();
        let error = format!("{operator} {} {config} {} {dry_run}", plugin.len(), probation.as_millis());
        Err(Refusal::new(RefusalKind::State, error))
    }

    fn rollback(&self, operator: &str) -> Result<model::Swapped, Refusal> {
        if operator == "slow" {
            std::thread::sleep(Duration::from_millis(600));
        }
        Err(Refusal::new(RefusalKind::Conflict, operator))
    }

    fn versions(&self, operator: &str) -> Result<Vec<model::Turn>, Refusal> {
        if operator == "count" { Ok(Vec::new()) } else { Err(Refusal::new(RefusalKind::Unknown, operator)) }
    }

    fn pause(&self) -> Result<model::Standing, Refusal> {
        Ok(model::Standing { state: State::Paused, epoch: 7 })
    }

    fn resume(&self) -> Result<model::Standing, Refusal> {
        Ok(model::Standing { state: State::Running, epoch: 7 })
    }

    fn stop(&self) -> Result<model::Standing, Refusal> {
        Err(Refusal::new(RefusalKind::Conflict, "it does not go on"))
    }
}

/// A server with these limits, on a runtime of its own; it ends with the process.
fn limited(limits: Limits) -> u16 {
    serving(Access::Machine, limits, Bounds::default())
}

fn serving(access: Access, limits: Limits, uploads: Bounds) -> u16 {
    let (port, listens) = std::sync::mpsc::sync_channel(1);
    let serve = async move {
        let listening = bind(&loopback(0, true)).await.unwrap();
        port.send(listening.address.port()).unwrap();
        let recorder = PrometheusBuilder::new().build_recorder();
        let hosts = Hosts::of(listening.address, "127.0.0.1");
        let gate = Gate::new(Arc::new(Steady), access, uploads);
        let routes = routes::through(gate, Arc::new(job), recorder.handle(), hosts);
        connections::accept(listening.listener, routes, limits).await;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::spawn(move || runtime.block_on(serve));
    listens.recv().unwrap()
}

#[tokio::test]
async fn everything_is_served() {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || metrics::counter!("weir_source_records_total").increment(3));
    let shown = Arc::new(Mutex::new(job()));
    let view = Arc::clone(&shown);
    let listening = bind(&loopback(0, true)).await.unwrap();
    let hosts = Hosts::of(listening.address, "127.0.0.1");
    let control = (Arc::new(Steady) as Arc<dyn Control>, Access::Machine);
    let routes = router(Arc::new(move || view.lock().unwrap().clone()), control, recorder.handle(), hosts);
    let port = listening.address.port();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listening, routes, recorder.handle(), async { stopped.await.unwrap() }));

    let health = get(port, "/healthz").await;
    assert!(health.starts_with("HTTP/1.1 200") && health.ends_with("ok\n"), "{health}");
    let wanted = serde_json::json!({
        "job": "orders", "shard": 0, "state": "running", "delivery": "exactly-once", "epoch": 7, "attempt": "a",
        "restarts": 1, "last_error": "lost", "next_attempt": null, "waiting": null,
        "operators": [{"name": "count", "parallelism": 2, "state_bytes": 9, "watermark_ms": 1_000,
            "plugin": {"name": "count", "version": "1", "digest": "d"}}],
        "splits": [{"source": "clicks", "topic": "in", "partition": 3, "position": 5, "end": null, "lag": null, "watermark_ms": null, "idle": true}],
        "sinks": [{"topic": "out", "records": 4}],
        "plan": {
            "tasks": [{"thread": "weir-sink", "nodes": ["counts"], "key_groups": [0, 1023]}],
            "edges": [{"from": "in", "output": "0", "to": "counts", "input": "0", "by": "gather"}],
        },
    });
    let answer = get(port, "/v1/job").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("application/json"), "{head}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), wanted);
    let answer = get(port, "/metrics").await;
    assert!(answer.contains("\nweir_source_records_total 3\n"), "{answer}");
    assert!(get(port, "/").await.starts_with("HTTP/1.1 404"));

    shown.lock().unwrap().waiting = Some(Waiting { what: "for the commit".into(), seconds: 7.5, patient: false });
    let health = get(port, "/healthz").await;
    assert!(health.starts_with("HTTP/1.1 503") && health.ends_with("waiting for the commit for 7.5 s\n"), "{health}");
    shown.lock().unwrap().waiting = Some(Waiting { what: "for a reader".into(), seconds: 7.5, patient: true });
    let health = get(port, "/healthz").await;
    assert!(health.starts_with("HTTP/1.1 200") && health.ends_with("ok, waiting for a reader for 7.5 s\n"), "{health}");
    shown.lock().unwrap().waiting = None;
    shown.lock().unwrap().state = State::Recovering;
    let health = get(port, "/healthz").await;
    assert!(health.starts_with("HTTP/1.1 503") && health.ends_with("recovering: lost\n"), "{health}");
    stop.send(()).unwrap();
    server.await.unwrap();
}

#[tokio::test]
async fn alive_ready_and_healthy_are_three_things() {
    let shown = Arc::new(Mutex::new(job()));
    let view = Arc::clone(&shown);
    let recorder = PrometheusBuilder::new().build_recorder();
    let listening = bind(&loopback(0, true)).await.unwrap();
    let port = listening.address.port();
    let control = (Arc::new(Steady) as Arc<dyn Control>, Access::Nobody);
    let routes = router(Arc::new(move || view.lock().unwrap().clone()), control, recorder.handle(), Hosts::Any);
    tokio::spawn(serve(listening, routes, recorder.handle(), std::future::pending()));
    let waiting = Some(Waiting { what: "for the commit".into(), seconds: 7.5, patient: false });
    for (state, waiting, ready, healthy) in [
        (State::Starting, None, "503", "503"),
        (State::Running, None, "200", "200"),
        (State::Running, waiting, "200", "503"),
        (State::Paused, None, "503", "200"),
        (State::Recovering, None, "503", "503"),
        (State::Stopping, None, "503", "200"),
        (State::Failed, None, "503", "503"),
    ] {
        (shown.lock().unwrap().state, shown.lock().unwrap().waiting) = (state, waiting);
        for (path, wanted) in [("/livez", "200"), ("/readyz", ready), ("/healthz", healthy)] {
            let answer = get(port, path).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {wanted}")), "{path} while {state:?}: {answer}");
        }
    }
    shown.lock().unwrap().last_error = Some("trap\x1b[2J\u{202e}\n\nok".into());
    let answer = get(port, "/healthz").await;
    assert!(answer.ends_with("failed: trap\\u{1b}[2J\\u{202e}\n    \n    ok\n"), "{answer:?}");
}

#[tokio::test]
async fn a_request_that_names_a_foreign_host_learns_nothing() {
    let port = limited(Limits::default());
    let request = |host: &str| format!("GET /v1/job HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    let answer = ask(port, request("rebound.example:7070")).await;
    assert!(answer.starts_with("HTTP/1.1 403") && !answer.contains("orders"), "{answer}");
    assert!(ask(port, request("localhost:7070")).await.contains("orders"));
}

#[tokio::test]
async fn heads_and_bodies_are_bounded() {
    let port = limited(Limits::default());
    let field = |n: usize| format!("x{n}: y\r\n");
    let many: String = (0..100).map(field).collect();
    for (request, wanted) in [
        (format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"), "431"),
        (format!("GET /healthz?{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(20_000)), "4"),
        ("POST /v1/job HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n".into(), "405"),
    ] {
        let answer = ask(port, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {wanted}")), "{answer}");
    }
}

/// The head of a swap, after which the body is awaited.
fn swap(content: &str, length: &str) -> String {
    format!("POST /v1/operators/count/swap HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content}\r\n{length}\r\n\r\n")
}

/// Not a byte of the body is sent: whoever waited for it would wait for ever.
#[tokio::test]
async fn a_body_that_is_not_wanted_is_refused_by_its_head() {
    let [open, local, token] = [Access::Nobody, Access::Machine, Access::Token(Secret::new("a-token-of-length"))]
        .map(|access| serving(access, Limits::default(), Bounds::default()));
    let [large, too_large] = ["content-length: 200000000", "content-length: 300000000"];
    let with = |token: &str| format!("authorization: Bearer {token}\r\n{large}");
    for (port, request, wanted) in [
        (open, swap("application/wasm", large), "403"),
        (open, swap("text/plain", too_large), "403"),
        (open, swap("application/wasm", "transfer-encoding: chunked"), "403"),
        (local, swap("text/plain", large), "415"),
        (local, swap("application/x-www-form-urlencoded", "transfer-encoding: chunked"), "415"),
        (local, swap("application/wasm", too_large), "413"),
        (local, swap("application/wasm", too_large).replace("count/swap", "count/rollback"), "415"),
        (token, swap("application/wasm", large), "401"),
        (token, swap("application/wasm", &with("a-token-of-lengti")), "401"),
        (token, swap("text/plain", &with("a-token-of-length")), "415"),
    ] {
        let answer = ask(port, request.clone()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {wanted}")), "{request}{answer}");
    }
}

/// Whoever may not change the job may look at it.
#[tokio::test]
async fn the_token_lets_changes_in_and_nothing_else() {
    let port = serving(Access::Token(Secret::new("a-token-of-length")), Limits::default(), Bounds::default());
    let rollback = |more: &str| swap("application/json", more).replace("/swap", "/rollback");
    let answer = ask(port, rollback("authorization: Bearer a-token-of-length\r\nconnection: close")).await;
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    let answer = ask(port, rollback("connection: close")).await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("www-authenticate: Bearer"), "{answer}");
    assert!(!answer.contains("a-token-of-length"), "{answer}");
    for access in [Access::Token(Secret::new("a-token-of-length")), Access::Nobody] {
        let port = serving(access, Limits::default(), Bounds::default());
        for path in ["/v1/job", "/v1/operators/count/versions", "/metrics"] {
            assert!(get(port, path).await.starts_with("HTTP/1.1 200"), "{path}");
        }
    }
}

/// Also while an operator is being changed, which may take minutes.
#[test]
fn the_job_as_a_whole_is_changed_at_once() {
    let port = limited(Limits::default());
    let _under_way = begin_upload(port);
    let exchange = |what: &str, content: &str| {
        let mut stream = connect(port);
        let request =
            swap(content, "connection: close").replace("/v1/operators/count/swap", &format!("/v1/job/{what}"));
        stream.write_all(request.as_bytes()).unwrap();
        io::read_to_string(stream).unwrap()
    };
    for (what, wanted, word) in [("pause", "200", "paused"), ("resume", "200", "running"), ("stop", "409", "conflict")]
    {
        let answer = exchange(what, "application/json");
        assert!(answer.starts_with(&format!("HTTP/1.1 {wanted}")) && answer.contains(word), "{what}: {answer}");
        assert!(exchange(what, "text/plain").starts_with("HTTP/1.1 415"), "{what}: a form of a browser");
    }
    assert!(!is_free(port), "the other change is still under way");
}

#[tokio::test]
async fn a_body_that_does_not_say_its_length_is_counted() {
    let uploads = Bounds { bytes: 10, ..Bounds::default() };
    let port = serving(Access::Machine, Limits::default(), uploads);
    let head = swap("application/wasm", "connection: close\r\ntransfer-encoding: chunked");
    for (body, wanted) in [("a\r\n0123456789\r\n0\r\n\r\n", "422"), ("b\r\n0123456789a\r\n", "413")] {
        let answer = ask(port, format!("{head}{body}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {wanted}")), "{body}: {answer}");
    }
}

/// Begins a swap of four bytes, and returns once its body is awaited.
fn begin_upload(port: u16) -> TcpStream {
    let mut stream = connect(port);
    let awaited = "connection: close\r\nexpect: 100-continue\r\ncontent-length: 4";
    stream.write_all(swap("application/wasm", awaited).as_bytes()).unwrap();
    let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut go_on).unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"));
    stream
}

#[test]
fn one_change_at_a_time_holds_its_bytes() {
    let port = limited(Limits::default());
    let mut first = begin_upload(port);
    let mut second = connect(port);
    second.write_all(swap("application/wasm", "connection: close\r\ncontent-length: 4").as_bytes()).unwrap();
    let answer = io::read_to_string(second).unwrap();
    assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("busy"), "{answer}");
    first.write_all(b"wasm").unwrap();
    let answer = io::read_to_string(first).unwrap();
    assert!(answer.starts_with("HTTP/1.1 422") && answer.contains("count 4"), "{answer}");
    // Whoever leaves gives up the turn.
    drop(begin_upload(port));
    let began = std::time::Instant::now();
    while !is_free(port) {
        assert!(began.elapsed() < PATIENCE, "nobody has the turn, and nobody gets it");
    }
}

/// Whether a change is let in.
fn is_free(port: u16) -> bool {
    let mut stream = connect(port);
    let rollback = swap("application/json", "connection: close").replace("/swap", "/rollback");
    stream.write_all(rollback.as_bytes()).unwrap();
    io::read_to_string(stream).unwrap().contains("\"error\":\"count\"")
}

#[test]
fn a_body_that_takes_too_long_is_given_up() {
    let uploads = Bounds { within: Duration::from_millis(300), ..Bounds::default() };
    let port = serving(Access::Machine, Limits::default(), uploads);
    let mut slow = begin_upload(port);
    // A byte now and then keeps nothing open.
    slow.write_all(b"w").unwrap();
    let answer = io::read_to_string(slow).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(is_free(port));
}

/// A client that sends before it reads learns why nobody wants it.
#[test]
fn whoever_still_sends_hears_the_answer() {
    let port = limited(Limits::default());
    let mut stream = connect(port);
    stream.write_all(swap("text/plain", "connection: close\r\ncontent-length: 8000000").as_bytes()).unwrap();
    stream.write_all(&vec![0; 8_000_000]).unwrap();
    let answer = io::read_to_string(stream).unwrap();
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
}

#[test]
fn a_request_that_never_ends_is_given_up() {
    let limits = Limits { head_within: Duration::from_millis(300), ..Limits::default() };
    let port = limited(limits);
    let mut stream = connect(port);
    let began = std::time::Instant::now();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nx: ").unwrap();
    // A byte now and then keeps nothing open.
    while stream.write_all(b"y").is_ok() {
        assert!(began.elapsed() < PATIENCE, "it is still open");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_connection_lasts_for_a_while_however_busy_it_is() {
    let [lasts, last_answer] = [300, 300].map(Duration::from_millis);
    let port = limited(Limits { lasts, last_answer, ..Limits::default() });
    let mut stream = connect(port);
    let began = std::time::Instant::now();
    let mut answer = [0; 512];
    while stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").is_ok() {
        if stream.read(&mut answer).unwrap_or(0) == 0 {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "it is still open");
    }
    // Who asks and does not read the answers is not waited for either.
    let mut deaf = connect(port);
    let began = std::time::Instant::now();
    while deaf.write_all(&b"GET /v1/job HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(64)).is_ok() {
        assert!(began.elapsed() < PATIENCE, "it is still open");
    }
}

/// What was asked happens, so whoever asked is told.
#[tokio::test]
async fn an_answer_that_takes_longer_than_its_connection_arrives() {
    let [lasts, last_answer] = [100, 100].map(Duration::from_millis);
    let port = limited(Limits { lasts, last_answer, ..Limits::default() });
    // The second question comes too late: there is no connection for it any more.
    let request = swap("application/json", "").replace("count/swap", "slow/rollback");
    let answer = ask(port, request.repeat(2)).await;
    assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("\"error\":\"slow\""), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[tokio::test]
async fn a_crowd_of_silent_connections_keeps_nobody_out() {
    let limits = Limits { head_within: PATIENCE, ..Limits::default() };
    let port = limited(limits);
    let crowd = tokio::task::spawn_blocking(move || (0..400).map(|_| connect(port)).collect::<Vec<_>>()).await.unwrap();
    assert!(get(port, "/healthz").await.starts_with("HTTP/1.1 200"));
    // All but the last of them were ended.
    let ended = move || crowd.into_iter().take(300).all(|mut stream| matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    assert!(tokio::task::spawn_blocking(ended).await.unwrap());
}

#[tokio::test]
async fn a_connection_that_has_asked_is_not_cut_off_by_a_crowd() {
    let port = limited(Limits { connections: 2, head_within: PATIENCE, ..Limits::default() });
    let exchange = move || {
        let mut asking = [connect(port), connect(port)];
        let mut again = || {
            for stream in &mut asking {
                stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(b"ok\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    answer.extend(byte);
                }
            }
        };
        again();
        for _ in 0..100 {
            assert!(matches!(connect(port).read(&mut [0]), Ok(0) | Err(_)), "one more is closed");
        }
        again();
    };
    tokio::task::spawn_blocking(exchange).await.unwrap();
}

#[tokio::test]
async fn an_address_is_the_one_that_can_be_asked() {
    let listening = bind(&loopback(0, true)).await.unwrap();
    assert_ne!(listening.address.port(), 0);
}

#[tokio::test]
async fn only_a_default_port_may_move() {
    let first = bind(&loopback(0, true)).await.unwrap();
    let port = first.address.port();
    let next = bind(&loopback(port, false)).await.unwrap();
    assert_ne!(next.address.port(), port);
    let error = bind(&loopback(port, true)).await.unwrap_err();
    assert!(error.to_string().contains("choose another with --api"), "{error}");
    assert_eq!(error.fault(), Fault::Config);
}
