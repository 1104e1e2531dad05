//! One broker for all tests of this program, behind several proxies: a test takes one, and nobody else's requests pass
//! there.

use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

use weir_tests::broker::Broker;
use weir_tests::proxy::Proxy;

const LANES: usize = 6;

struct Lanes {
    broker: Broker,
    proxies: Vec<Proxy>,
    free: Mutex<Vec<usize>>,
    changed: Condvar,
}

fn lanes() -> &'static Lanes {
    static LANES_OF_ALL: OnceLock<Lanes> = OnceLock::new();
    LANES_OF_ALL.get_or_init(|| {
        let start = || {
            let proxies = (0..LANES).map(|_| Proxy::start()).collect::<anyhow::Result<Vec<_>>>()?;
            Ok((Broker::start_behind(&proxies)?, proxies))
        };
        match start() {
            Ok((broker, proxies)) => {
                let free = Mutex::new((0..LANES).collect());
                Lanes { broker, proxies, free, changed: Condvar::new() }
            }
            #[expect(clippy::panic, reason = "no test can go on without a broker")]
            Err(error) => {
                let error: anyhow::Error = error;
                panic!("{error:#}")
            }
        }
    })
}

/// A way to the broker that is taken.
pub(crate) struct Lane(usize);

impl Lane {
    /// Waits for a free one.
    pub(crate) fn take() -> Self {
        let lanes = lanes();
        let free = lanes.free.lock().unwrap_or_else(PoisonError::into_inner);
        let free = lanes.changed.wait_while(free, |free| free.is_empty());
        let taken = free.unwrap_or_else(PoisonError::into_inner).pop();
        Self(taken.expect("waited until there is one"))
    }

    /// Its proxy.
    pub(crate) fn proxy(&self) -> &'static Proxy {
        lanes().proxies.get(self.0).expect("as many as lanes")
    }

    /// What clients behind the proxy begin with.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.proxy().port())
    }

    /// The broker, without proxy.
    pub(crate) fn broker() -> &'static Broker {
        &lanes().broker
    }
}

/// The next one finds it as new.
impl Drop for Lane {
    fn drop(&mut self) {
        self.proxy().clear();
        self.proxy().heal();
        let lanes = lanes();
        lanes.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.0);
        lanes.changed.notify_one();
    }
}
