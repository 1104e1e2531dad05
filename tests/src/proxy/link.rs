//! One connection of a client and the one to the broker that belongs to it, with a thread for each direction.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use socket2::SockRef;

use super::rule::{Fault, Held, Watch};
use super::wire::{Answer, Api, Frames, Request, correlation};
use super::{Shared, lock};

/// Both sockets; closed when the threads of both directions, and whoever keeps a request, are done with them.
#[derive(Debug)]
pub(super) struct Link {
    client: TcpStream,
    broker: TcpStream,
    /// What is to be done to the answer of a request, by its correlation id.
    expected: Mutex<HashMap<i32, Expected>>,
    fate: Mutex<Fate>,
}

/// What a rule has decided about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// When one side closes, so does the other.
    Joined,
    /// The client's side was closed on purpose; the broker's goes on.
    Kept,
    /// Both sides are reset, so nothing may be sent any more, not even that it is over.
    Reset,
}

/// An answer that a rule waits for.
#[derive(Debug)]
enum Expected {
    Fault(Fault),
    Late(Arc<Watch>, (Api, i16)),
}

/// Whether a direction goes on.
enum Flow {
    On,
    /// Read on and pass nothing.
    Silent,
    Over,
}

impl Link {
    /// Starts both directions.
    pub(super) fn open(client: TcpStream, broker: TcpStream, shared: &Arc<Shared>) -> Result<Arc<Self>> {
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let link = Arc::new(Self { client, broker, expected: Mutex::default(), fate: Mutex::new(Fate::Joined) });
        for direction in [Self::requests, Self::answers] {
            let (link, shared) = (Arc::clone(&link), Arc::clone(shared));
            thread::spawn(move || direction(&link, &shared));
        }
        Ok(link)
    }

    /// Ends both directions.
    pub(super) fn close(&self) {
        // The end of reading is not told to the other side.
        let how = if self.fate() == Fate::Reset { Shutdown::Read } else { Shutdown::Both };
        // A socket that is closed already is fine.
        let _closed = self.client.shutdown(how);
        let _closed = self.broker.shutdown(how);
    }

    fn fate(&self) -> Fate {
        *lock(&self.fate)
    }

    /// Writes to the broker what was kept.
    pub(super) fn send_late(&self, frame: &[u8]) -> std::io::Result<()> {
        (&self.broker).write_all(frame)
    }

    fn requests(self: &Arc<Self>, shared: &Shared) {
        let passed = pump(&self.client, shared, |frame| self.pass_request(frame, shared));
        if passed != Passed::Silenced && self.fate() != Fate::Kept {
            self.close();
        }
    }

    fn answers(self: &Arc<Self>, shared: &Shared) {
        if pump(&self.broker, shared, |frame| self.pass_answer(frame)) != Passed::Silenced {
            self.close();
        }
    }

    fn pass_request(self: &Arc<Self>, frame: Vec<u8>, shared: &Shared) -> Result<Flow> {
        let request = Request::parse(&frame)?;
        if let Some(watch) = shared.judge(&request) {
            if watch.rule.hold {
                self.expect(&request, Expected::Late(Arc::clone(&watch), (request.api, request.version)));
                *lock(&self.fate) = Fate::Kept;
                watch.keep(Held { link: Arc::clone(self), frame });
                self.client.shutdown(Shutdown::Both)?;
                return Ok(Flow::Over);
            }
            if let Some(fault) = watch.rule.answer {
                self.expect(&request, Expected::Fault(fault));
            }
            if let Some(flow) = watch.rule.request.map(|fault| self.suffer(fault)).transpose()?.flatten() {
                return Ok(flow);
            }
        }
        (&self.broker).write_all(&frame)?;
        Ok(Flow::On)
    }

    fn expect(&self, request: &Request, expected: Expected) {
        lock(&self.expected).insert(request.correlation, expected);
    }

    fn pass_answer(&self, frame: Vec<u8>) -> Result<Flow> {
        let expected = lock(&self.expected).remove(&correlation(&frame)?);
        match expected {
            Some(Expected::Late(watch, request)) => {
                watch.answered(Answer { request, frame });
                return Ok(Flow::Over);
            }
            Some(Expected::Fault(fault)) => {
                if let Some(flow) = self.suffer(fault)? {
                    return Ok(flow);
                }
            }
            None => {}
        }
        if self.fate() != Fate::Kept {
            (&self.client).write_all(&frame)?;
        }
        Ok(Flow::On)
    }

    /// `None`: the frame passes after all. A frame that is dropped was read, so the next one is at its place.
    fn suffer(&self, fault: Fault) -> Result<Option<Flow>> {
        Ok(match fault {
            Fault::Delay(time) => {
                thread::sleep(time);
                None
            }
            Fault::Drop => Some(Flow::On),
            Fault::Silence => Some(Flow::Silent),
            Fault::Reset => {
                // Closed with nothing to linger for, a socket is reset. It closes when both threads have ended.
                *lock(&self.fate) = Fate::Reset;
                for socket in [&self.client, &self.broker] {
                    SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
                }
                Some(Flow::Over)
            }
        })
    }
}

/// How a direction ended.
#[derive(PartialEq, Eq)]
enum Passed {
    /// One side closed, or what came was no Kafka.
    Closed,
    /// A rule silenced it: neither side may learn that the other one closes.
    Silenced,
}

/// Reads frames and hands each to `pass`, until the end.
fn pump(mut from: &TcpStream, shared: &Shared, mut pass: impl FnMut(Vec<u8>) -> Result<Flow>) -> Passed {
    let (mut frames, mut buffer) = (Frames::default(), vec![0; 64 * 1024]);
    let mut is_silent = false;
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        shared.gate.pass();
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return if is_silent { Passed::Silenced } else { Passed::Closed };
        };
        if is_silent {
            continue;
        }
        frames.push(bytes);
        loop {
            match frames.cut().and_then(|frame| frame.map(&mut pass).transpose()) {
                Ok(Some(Flow::On)) => {}
                Ok(None) => break,
                Ok(Some(Flow::Silent)) => {
                    is_silent = true;
                    break;
                }
                Ok(Some(Flow::Over)) | Err(_) => return Passed::Closed,
            }
        }
    }
}
