//! Which request is picked, what is done to it, and what became of it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::link::Link;
use super::lock;
use super::wire::{Answer, Api, Request};

/// What befalls a request or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It comes later, and with it all that follows on the connection in its direction.
    Delay(Duration),
    /// It never arrives; what follows does.
    Drop,
    /// It never arrives, and both ends see the connection reset.
    Reset,
    /// Neither it nor anything after it arrives in its direction, and nobody is told: the connection is half open.
    Silence,
}

/// Which requests are picked (by default every one of its API), and what is done to them.
#[derive(Debug, Clone)]
pub struct Rule {
    api: Api,
    transactional_id: Option<String>,
    skip: u64,
    every: u64,
    times: u64,
    pub(super) request: Option<Fault>,
    pub(super) answer: Option<Fault>,
    pub(super) hold: bool,
}

impl Rule {
    /// Every request of `api`; nothing is done to it yet, it is counted.
    pub fn on(api: Api) -> Self {
        let (transactional_id, request, answer) = (None, None, None);
        Self { api, transactional_id, skip: 0, every: 1, times: u64::MAX, request, answer, hold: false }
    }

    /// Only those of this transactional id.
    pub fn of(self, transactional_id: &str) -> Self {
        Self { transactional_id: Some(transactional_id.to_owned()), ..self }
    }

    /// Not the first `skip` of them.
    pub fn skip(self, skip: u64) -> Self {
        Self { skip, ..self }
    }

    /// Of the rest the first and then each `every`-th.
    pub fn every(self, every: u64) -> Self {
        Self { every: every.max(1), ..self }
    }

    /// Of those only the first one.
    pub fn once(self) -> Self {
        Self { times: 1, ..self }
    }

    /// On its way to the broker.
    pub fn request(self, fault: Fault) -> Self {
        Self { request: Some(fault), ..self }
    }

    /// On its way back: the broker has done what was asked.
    pub fn answer(self, fault: Fault) -> Self {
        Self { answer: Some(fault), ..self }
    }

    /// Keep it. The client's connection is closed, so that the client sends it again on another; the connection to the
    /// broker stays, and [`Watch::deliver`] sends it there.
    pub fn hold(self) -> Self {
        Self { hold: true, ..self }
    }
}

/// A rule at work.
#[derive(Debug)]
pub struct Watch {
    pub(super) rule: Rule,
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    matched: u64,
    picked: u64,
    held: Option<Held>,
    answer: Option<Answer>,
}

/// A request that was kept.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) link: Arc<Link>,
    pub(super) frame: Vec<u8>,
}

impl Watch {
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, progress: Mutex::default(), changed: Condvar::new() }
    }

    /// Whether the rule acts on `request`; counts it.
    pub(super) fn picks(&self, request: &Request) -> bool {
        let rule = &self.rule;
        let is_meant = request.api == rule.api
            && rule.transactional_id.as_ref().is_none_or(|id| request.transactional_id.as_ref() == Some(id));
        if !is_meant {
            return false;
        }
        let mut progress = lock(&self.progress);
        let number = progress.matched.checked_sub(rule.skip);
        progress.matched += 1;
        let picked = number.is_some_and(|number| number.is_multiple_of(rule.every)) && progress.picked < rule.times;
        progress.picked += u64::from(picked);
        drop(progress);
        self.changed.notify_all();
        picked
    }

    pub(super) fn keep(&self, held: Held) {
        lock(&self.progress).held = Some(held);
        self.changed.notify_all();
    }

    pub(super) fn answered(&self, answer: Answer) {
        lock(&self.progress).answer = Some(answer);
        self.changed.notify_all();
    }

    /// How many requests it has acted on.
    pub fn picked(&self) -> u64 {
        lock(&self.progress).picked
    }

    /// Waits until it has acted on `count` requests.
    pub fn wait(&self, count: u64, patience: Duration) -> Result<()> {
        let what = format!("{count} requests for {:?}", self.rule);
        self.wait_for(&what, patience, |progress| (progress.picked >= count).then_some(()))
    }

    /// Sends the request that was kept to the broker; returns the broker's answer.
    pub fn deliver(&self, patience: Duration) -> Result<Answer> {
        let held = self.wait_for("a request to keep", patience, |progress| progress.held.take())?;
        held.link.send_late(&held.frame).context("the broker does not take the late request")?;
        self.wait_for("the answer to the late request", patience, |progress| progress.answer.take())
    }

    fn wait_for<T>(
        &self,
        what: &str,
        patience: Duration,
        mut take: impl FnMut(&mut Progress) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + patience;
        let mut progress = lock(&self.progress);
        loop {
            if let Some(taken) = take(&mut progress) {
                return Ok(taken);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "waited {patience:?} for {what}");
            (progress, _) = self.changed.wait_timeout(progress, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
