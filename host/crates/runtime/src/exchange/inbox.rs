//! A task's input: one queue per sending task, behind one lock that is taken once per element (never per record). A
//! sender waits while all that it has under way, here and to other tasks, fills its credit: that is the back-pressure. An
//! input that is blocked for alignment is simply not read.
//!
//! What is under way is bounded in time, too: a barrier waits for all that is before it, and a slow reader must not let
//! that be minutes. The reader says how many records it can take in the time that a queue may hold, and a sender cuts what
//! is larger.
//!
//! The lock is held only to move an element; waiting is on two condition variables (one reader, many senders), and for
//! bytes on the sender's credit.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_core::Element;

use super::credit::Credit;

/// The reading end. Dropping it closes every outlet.
pub(crate) struct Inbox {
    shared: Arc<Shared>,
}

/// One sending end. Dropping it without [`Element::End`] tells the reader that its sender died.
pub(crate) struct Outlet {
    shared: Arc<Shared>,
    input: usize,
    credit: Arc<Credit>,
}

/// Closes an inbox from outside: its senders and its reader see an end. For a reader that no longer comes back.
pub(crate) struct Closer {
    shared: Arc<Shared>,
}

/// The other end is gone: the attempt is over, whoever ended it says why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

struct Shared {
    state: Mutex<State>,
    readable: Condvar,
    writable: Condvar,
    /// Records that each sender may have under way. A hint that may be seen late.
    records_max: AtomicUsize,
}

struct State {
    queues: Vec<Queue>,
    reader_gone: bool,
    /// Where the next search begins, so that no input starves.
    next: usize,
}

struct Queue {
    elements: VecDeque<(Element, Size)>,
    records: usize,
    sender_gone: bool,
    /// Its end was taken: that its sender is gone says nothing then.
    has_ended: bool,
    /// Of its sender.
    credit: Arc<Credit>,
}

/// What an element adds to its queue.
#[derive(Debug, Default, Clone, Copy)]
struct Size {
    bytes: usize,
    records: usize,
}

impl Size {
    fn of(element: &Element) -> Self {
        match element {
            Element::Batch { batch, .. } => Self { bytes: batch.bytes(), records: batch.frame.len() },
            Element::Time(_) | Element::Barrier(_) | Element::End => Self::default(),
        }
    }
}

impl Queue {
    fn clear(&mut self) {
        self.credit.give(self.elements.drain(..).map(|(_, size)| size.bytes).sum());
        self.records = 0;
    }
}

/// An inbox with one input for each of the senders that have these credits; of any number of records until the reader
/// says otherwise.
pub(crate) fn inbox(credits: &[Arc<Credit>]) -> (Inbox, Vec<Outlet>) {
    let queue = |credit: &Arc<Credit>| {
        let (elements, credit) = (VecDeque::new(), Arc::clone(credit));
        Queue { elements, records: 0, sender_gone: false, has_ended: false, credit }
    };
    let state = Mutex::new(State { queues: credits.iter().map(queue).collect(), reader_gone: false, next: 0 });
    let (readable, writable, records_max) = (Condvar::new(), Condvar::new(), AtomicUsize::new(usize::MAX));
    let shared = Arc::new(Shared { state, readable, writable, records_max });
    let outlet = |(input, credit)| Outlet { shared: Arc::clone(&shared), input, credit: Arc::clone(credit) };
    let outlets = credits.iter().enumerate().map(outlet).collect();
    (Inbox { shared }, outlets)
}

impl Shared {
    /// A panic elsewhere does not make the queues wrong: each change is complete before anything can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn records_max(&self) -> usize {
        self.records_max.load(Ordering::Relaxed)
    }
}

#[expect(clippy::indexing_slicing, reason = "an outlet's input exists as long as the inbox")]
impl Outlet {
    /// Hands over `element`, in parts if it has more records than may be under way; waits while this outlet's queue is
    /// full, or its sender has too much under way.
    pub(crate) fn send(&self, mut element: Element) -> Result<(), Closed> {
        while let Element::Batch { port, batch } = &element
            && batch.frame.len() > self.shared.records_max()
        {
            let (port, (part, rest)) = (*port, batch.split_at(self.shared.records_max()));
            self.put(Element::Batch { port, batch: Arc::new(part) })?;
            element = Element::Batch { port, batch: Arc::new(rest) };
        }
        self.put(element)
    }

    fn put(&self, element: Element) -> Result<(), Closed> {
        let (size, is_batch) = (Size::of(&element), matches!(element, Element::Batch { .. }));
        // Only this outlet adds to its queue: what has room in it now has it later.
        let full = |state: &mut State| {
            let queue = &state.queues[self.input];
            let is_full = queue.records + size.records > self.shared.records_max();
            // What is no batch takes no room, and a barrier is waited for.
            !state.reader_gone && !queue.elements.is_empty() && is_batch && is_full
        };
        drop(self.shared.writable.wait_while(self.shared.lock(), full).unwrap_or_else(PoisonError::into_inner));
        self.credit.take(size.bytes);
        let mut state = self.shared.lock();
        if state.reader_gone {
            self.credit.give(size.bytes);
            return Err(Closed);
        }
        let queue = &mut state.queues[self.input];
        queue.records += size.records;
        queue.elements.push_back((element, size));
        drop(state);
        self.shared.readable.notify_one();
        Ok(())
    }
}

#[expect(clippy::indexing_slicing, reason = "an outlet's input exists as long as the inbox")]
impl Drop for Outlet {
    fn drop(&mut self) {
        self.shared.lock().queues[self.input].sender_gone = true;
        self.shared.readable.notify_one();
    }
}

/// What [`Inbox::receive`] brought.
#[derive(Debug)]
pub(crate) enum Received {
    /// An element of an input.
    Element(usize, Element),
    /// Nothing within the wait.
    Nothing,
    /// A sender died without an end.
    SenderGone,
}

impl Closer {
    /// Every sender gets [`Closed`] from now on; what was under way is dropped.
    pub(crate) fn close(&self) {
        let mut state = self.shared.lock();
        state.reader_gone = true;
        state.queues.iter_mut().for_each(Queue::clear);
        drop(state);
        self.shared.writable.notify_all();
    }
}

impl Inbox {
    /// A handle to close it with.
    pub(crate) fn closer(&self) -> Closer {
        Closer { shared: Arc::clone(&self.shared) }
    }

    /// From now on each sender may have about so many records under way, and at least one.
    pub(crate) fn limit_records(&self, records: usize) {
        self.shared.records_max.store(records.max(1), Ordering::Relaxed);
    }

    /// How many inputs.
    pub(crate) fn inputs(&self) -> usize {
        self.shared.lock().queues.len()
    }

    /// The next element of any input for which `is_blocked` is false; waits at most `wait`.
    pub(crate) fn receive(&self, is_blocked: impl Fn(usize) -> bool, wait: Duration) -> Received {
        let mut state = self.shared.lock();
        if let Some(received) = take(&mut state, &is_blocked) {
            drop(state);
            self.shared.writable.notify_all();
            return received;
        }
        let waited = self.shared.readable.wait_timeout(state, wait);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let received = take(&mut state, &is_blocked).unwrap_or(Received::Nothing);
        drop(state);
        self.shared.writable.notify_all();
        received
    }
}

#[expect(clippy::indexing_slicing, reason = "counted modulo the number of inputs")]
fn take(state: &mut State, is_blocked: &impl Fn(usize) -> bool) -> Option<Received> {
    let inputs = state.queues.len();
    for step in 0..inputs {
        let input = (state.next + step) % inputs;
        if is_blocked(input) {
            continue;
        }
        let queue = &mut state.queues[input];
        if let Some((element, size)) = queue.elements.pop_front() {
            queue.credit.give(size.bytes);
            queue.records -= size.records;
            queue.has_ended = matches!(element, Element::End);
            state.next = input + 1;
            return Some(Received::Element(input, element));
        }
        if queue.sender_gone && !queue.has_ended {
            return Some(Received::SenderGone);
        }
    }
    None
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.closer().close();
    }
}

#[cfg(test)]
mod tests {
    use weir_core::{Batch, Epoch, FrameWriter, Origin, RecordView};

    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    /// One inbox for `inputs` senders of `bytes` each.
    fn inbox_of(inputs: usize, bytes: usize) -> (Inbox, Vec<Outlet>) {
        inbox(&(0..inputs).map(|_| Arc::new(Credit::new(bytes))).collect::<Vec<_>>())
    }

    fn batch() -> Element {
        let batch = Batch { frame: FrameWriter::new(vec![]).finish(), origins: vec![] };
        Element::Batch { port: 0, batch: Arc::new(batch) }
    }

    #[test]
    fn a_blocked_input_is_not_read() {
        let (inbox, outlets) = inbox_of(2, 100);
        outlets[0].send(Element::Barrier(Epoch(1))).unwrap();
        assert!(matches!(inbox.receive(|i| i == 0, SOON), Received::Nothing));
        assert!(matches!(inbox.receive(|_| false, SOON), Received::Element(0, Element::Barrier(Epoch(1)))));
    }

    #[test]
    fn a_full_queue_blocks_its_sender_until_it_is_read_or_closed() {
        let (inbox, mut outlets) = inbox_of(1, 10);
        let outlet = outlets.remove(0);
        let sender = std::thread::spawn(move || (0..3).map(|_| outlet.send(batch())).collect::<Vec<_>>());
        // An empty frame has 8 bytes: the second does not fit beside the first.
        assert!(matches!(inbox.receive(|_| false, Duration::from_secs(10)), Received::Element(0, _)));
        drop(inbox);
        let sent = sender.join().unwrap();
        assert_eq!(sent.last(), Some(&Err(Closed)));
    }

    /// With a bound for each pair, 32 senders to 32 receivers could have 32 times as much under way.
    #[test]
    fn what_a_sender_has_under_way_is_bounded_over_all_its_receivers() {
        let credit = Arc::new(Credit::new(20));
        let (inboxes, outlets): (Vec<Inbox>, Vec<Outlet>) = (0..32)
            .map(|_| inbox(std::slice::from_ref(&credit)))
            .map(|(inbox, mut outlets)| (inbox, outlets.remove(0)))
            .unzip();
        let (sent, count) = std::sync::mpsc::sync_channel(64);
        let sender = std::thread::spawn(move || {
            outlets.iter().for_each(|outlet| {
                outlet.send(batch()).unwrap();
                sent.send(()).unwrap();
            });
            outlets.iter().for_each(|outlet| outlet.send(Element::Barrier(Epoch(1))).unwrap());
        });
        // An empty frame has 8 bytes: two fit.
        let arrived = || std::iter::from_fn(|| count.recv_timeout(SOON).ok()).count();
        assert_eq!(arrived(), 2);
        for (at, inbox) in inboxes.iter().enumerate() {
            assert!(matches!(inbox.receive(|_| false, Duration::from_secs(10)), Received::Element(0, _)), "{at}");
        }
        sender.join().unwrap();
        assert_eq!(arrived(), 30);
    }

    #[test]
    fn a_slow_reader_has_few_records_before_a_barrier_and_all_of_them_in_order() {
        let (inbox, mut outlets) = inbox_of(1, 1 << 20);
        inbox.limit_records(7);
        let mut writer = FrameWriter::new(vec![]);
        let origins: Vec<_> = (0..100).map(|offset| Origin::new(0, offset)).collect();
        let record = RecordView { timestamp_ms: 0, source: 0, key: None, value: None, headers: &[] };
        origins.iter().for_each(|_| writer.push(record));
        let batch = Arc::new(Batch { frame: writer.finish(), origins: origins.clone() });
        let outlet = outlets.remove(0);
        let sender = std::thread::spawn(move || {
            outlet.send(Element::Batch { port: 3, batch }).unwrap();
            outlet.send(Element::Barrier(Epoch(1))).unwrap();
        });
        let mut seen: Vec<Origin> = Vec::new();
        while let Received::Element(0, element) = inbox.receive(|_| false, Duration::from_secs(10)) {
            assert!(inbox.shared.lock().queues[0].records <= 7);
            match element {
                Element::Batch { port: 3, batch } => {
                    assert!(batch.frame.len() <= 7);
                    assert!(batch.frame.records().zip(0..).all(|(record, index)| record.source == index));
                    seen.extend(&batch.origins);
                }
                Element::Barrier(Epoch(1)) => break,
                other => panic!("{other:?}"),
            }
        }
        sender.join().unwrap();
        assert_eq!(seen, origins);
    }

    #[test]
    fn a_sender_that_has_ended_may_go_before_the_others() {
        let (inbox, mut outlets) = inbox_of(2, 100);
        outlets[0].send(Element::End).unwrap();
        drop(outlets.remove(0));
        assert!(matches!(inbox.receive(|_| false, SOON), Received::Element(0, Element::End)));
        assert!(matches!(inbox.receive(|_| false, SOON), Received::Nothing));
        outlets[0].send(Element::End).unwrap();
        assert!(matches!(inbox.receive(|_| false, SOON), Received::Element(1, Element::End)));
    }

    #[test]
    fn a_dead_sender_is_noticed_after_what_it_sent() {
        let (inbox, outlets) = inbox_of(1, 100);
        outlets[0].send(batch()).unwrap();
        drop(outlets);
        assert!(matches!(inbox.receive(|_| false, SOON), Received::Element(..)));
        assert!(matches!(inbox.receive(|_| false, SOON), Received::SenderGone));
    }
}
