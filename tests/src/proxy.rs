//! A network that misbehaves on purpose: a TCP proxy between clients and one broker that reads enough of Kafka's
//! protocol to pick a request by its API, its number and its transactional id, and then delays, swallows, resets, goes
//! silent, or keeps a request and delivers it later. It changes no byte: a broker advertises the proxy's address on a
//! listener of its own ([`crate::broker::Broker::start_behind`]), so that clients stay behind the proxy.
//!
//! Threads, not tasks: two for each connection, blocked most of the time. A delay holds up what comes after it on the
//! same connection and direction, as a slow line does.

mod link;
mod rule;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use anyhow::Result;

use self::link::Link;
pub use self::rule::{Fault, Rule, Watch};
pub use self::wire::{Answer, Api};

/// A proxy that listens; gone when dropped, with all its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

/// What the threads of all connections share.
#[derive(Debug, Default)]
struct Shared {
    broker: Mutex<Option<SocketAddr>>,
    rules: Mutex<Vec<Arc<Watch>>>,
    seen: Mutex<HashMap<Api, u64>>,
    links: Mutex<Vec<Weak<Link>>>,
    gate: Gate,
    is_closed: AtomicBool,
}

/// While it is shut, nothing passes.
#[derive(Debug, Default)]
struct Gate {
    is_shut: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, is_shut: bool) {
        *lock(&self.is_shut) = is_shut;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let shut = self.changed.wait_while(lock(&self.is_shut), |shut| *shut);
        drop(shut.unwrap_or_else(PoisonError::into_inner));
    }
}

/// A thread that panicked has failed its test; the others may go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Listens on a free port; connections are closed at once until [`Proxy::lead_to`] says where they go.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { port, shared })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where new connections go from now on: a port of this machine.
    pub fn lead_to(&self, port: u16) {
        *lock(&self.shared.broker) = Some(SocketAddr::from(([127, 0, 0, 1], port)));
    }

    /// Applies `rule` to requests from now on. Of several rules that pick a request, the one added first acts.
    pub fn add(&self, rule: Rule) -> Arc<Watch> {
        let watch = Arc::new(Watch::new(rule));
        lock(&self.shared.rules).push(Arc::clone(&watch));
        watch
    }

    /// Forgets all rules. What they have begun goes on.
    pub fn clear(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Lets nothing pass any more, in both directions: the cable is cut, and nobody is told.
    pub fn cut(&self) {
        self.shared.gate.set(true);
    }

    /// Lets everything pass again, first what waited.
    pub fn heal(&self) {
        self.shared.gate.set(false);
    }

    /// How many requests of `api` have come by.
    pub fn seen(&self, api: Api) -> u64 {
        lock(&self.shared.seen).get(&api).copied().unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
        self.heal();
        for link in lock(&self.shared.links).drain(..).filter_map(|link| link.upgrade()) {
            link.close();
        }
        // Wakes the thread that accepts; if nobody is there any more, all the better.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Shared {
    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Counts a request and finds the rule that acts on it.
    fn judge(&self, request: &wire::Request) -> Option<Arc<Watch>> {
        *lock(&self.seen).entry(request.api).or_default() += 1;
        lock(&self.rules).iter().find(|watch| watch.picks(request)).cloned()
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((client, _)) = listener.accept() {
        if shared.is_closed() {
            return;
        }
        // A broker that is not there closes the connection, as it would its own.
        let Some(broker) = *lock(&shared.broker) else { continue };
        let Ok(broker) = TcpStream::connect(broker) else { continue };
        if let Ok(link) = Link::open(client, broker, shared) {
            let mut links = lock(&shared.links);
            links.retain(|link| link.strong_count() > 0);
            links.push(Arc::downgrade(&link));
        }
    }
}
