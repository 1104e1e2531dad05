//! The drawing, walked; and random events, none of which may commit before the log is durable.
use super::*;

const PACE: Pace =
    Pace { interval: Duration::from_millis(100), keep_alive: Duration::from_secs(3600), log_decides: false };

fn tick(ms: u64, active: bool) -> Event {
    Event::Tick { now: Duration::from_millis(ms), active }
}

/// Every order of three answers.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[test]
fn one_epoch_in_every_order_of_answers() {
    let answers = [Event::Flushed(Epoch(8)), Event::Logged(Epoch(8)), Event::Verified(Epoch(8))];
    for [first, second, third] in ORDERS.map(|order| order.map(|i| answers[i])) {
        let mut c = Coordinator::new(PACE, Epoch(7), 2);
        assert_eq!(c.step(tick(99, true)), None, "not yet");
        assert_eq!(c.step(tick(100, false)), None, "nothing to commit");
        assert_eq!(c.step(tick(101, true)), Some(Command::Barrier { epoch: Epoch(8), last: false }));
        assert_eq!(c.step(Event::Sealed(Epoch(8))), None);
        assert_eq!(c.step(tick(500, true)), None, "one epoch at a time");
        assert_eq!(c.step(Event::Sealed(Epoch(8))), Some(Command::WriteLog(Epoch(8))));
        assert_eq!(c.step(first), None);
        assert_eq!(c.step(second), None);
        assert_eq!(c.step(third), Some(Command::Commit(Epoch(8))));
        assert_eq!(c.step(Event::Committed(Epoch(8))), Some(Command::Apply(Epoch(8))));
        assert_eq!(c.step(tick(501, true)), Some(Command::Barrier { epoch: Epoch(9), last: false }));
    }
}

#[test]
fn where_the_log_decides_it_is_written_last() {
    let pace = Pace { log_decides: true, ..PACE };
    let epoch = Epoch(1);
    let answers = [Event::Sealed(epoch), Event::Flushed(epoch), Event::Verified(epoch)];
    for [first, second, third] in ORDERS.map(|order| order.map(|i| answers[i])) {
        let mut c = Coordinator::new(pace, Epoch(0), 1);
        c.step(tick(100, true));
        assert_eq!(c.step(first), None, "output without acknowledgement, records without identity must not count");
        assert_eq!(c.step(second), None);
        assert_eq!(c.step(third), Some(Command::WriteLog(epoch)));
        assert_eq!(c.step(Event::Logged(epoch)), Some(Command::Commit(epoch)));
    }
}

#[test]
fn the_outside_may_answer_before_the_last_task_has_sealed() {
    let mut c = Coordinator::new(PACE, Epoch(0), 1);
    c.step(tick(100, true));
    assert_eq!(c.step(Event::Flushed(Epoch(1))), None);
    assert_eq!(c.step(Event::Verified(Epoch(1))), None);
    assert_eq!(c.step(Event::Sealed(Epoch(1))), Some(Command::WriteLog(Epoch(1))));
    assert_eq!(c.step(Event::Logged(Epoch(1))), Some(Command::Commit(Epoch(1))));
}

#[test]
fn nothing_is_committed_that_is_not_verified_and_the_wait_says_so() {
    let mut c = Coordinator::new(PACE, Epoch(0), 1);
    c.step(tick(100, true));
    c.step(Event::Sealed(Epoch(1)));
    c.step(Event::Logged(Epoch(1)));
    assert_eq!(c.step(Event::Flushed(Epoch(1))), None);
    assert_eq!(c.step(tick(100_000, true)), None);
    assert!(c.is_waiting() && !c.is_committing());
    assert_eq!(c.waiting_for(), "the source to verify what was read");
}

#[test]
fn a_stop_during_an_epoch_brings_one_more() {
    let mut c = Coordinator::new(PACE, Epoch(0), 1);
    c.step(tick(100, true));
    assert_eq!(c.step(Event::Stop), None);
    c.step(Event::Sealed(Epoch(1)));
    c.step(Event::Flushed(Epoch(1)));
    c.step(Event::Verified(Epoch(1)));
    c.step(Event::Logged(Epoch(1)));
    c.step(Event::Committed(Epoch(1)));
    assert!(!c.is_done(), "records read since the barrier still count");
    assert_eq!(c.step(tick(101, false)), Some(Command::Barrier { epoch: Epoch(2), last: true }));
    c.step(Event::Sealed(Epoch(2)));
    c.step(Event::Flushed(Epoch(2)));
    c.step(Event::Verified(Epoch(2)));
    c.step(Event::Logged(Epoch(2)));
    c.step(Event::Committed(Epoch(2)));
    assert!(c.is_done());
}

#[test]
fn a_full_task_brings_the_next_barrier_early_and_once() {
    let mut c = Coordinator::new(PACE, Epoch(7), 1);
    assert_eq!(c.step(tick(1, true)), None);
    assert_eq!(c.step(Event::Full(Epoch(7))), None);
    assert_eq!(c.next_tick(), Duration::ZERO);
    assert_eq!(c.step(tick(2, true)), Some(Command::Barrier { epoch: Epoch(8), last: false }));
    assert_eq!(c.step(Event::Full(Epoch(7))), None, "the barrier is on its way to it");
    c.step(Event::Sealed(Epoch(8)));
    assert_eq!(c.step(Event::Full(Epoch(8))), None, "another one, behind the barrier");
    c.step(Event::Flushed(Epoch(8)));
    c.step(Event::Logged(Epoch(8)));
    c.step(Event::Verified(Epoch(8)));
    c.step(Event::Committed(Epoch(8)));
    assert_eq!(c.step(tick(3, false)), Some(Command::Barrier { epoch: Epoch(9), last: false }));
    for event in [
        Event::Sealed(Epoch(9)),
        Event::Flushed(Epoch(9)),
        Event::Logged(Epoch(9)),
        Event::Verified(Epoch(9)),
        Event::Committed(Epoch(9)),
    ] {
        c.step(event);
    }
    assert_eq!(c.step(tick(50, true)), None, "it was told for one epoch");
}

#[test]
fn an_idle_job_is_kept_alive() {
    let mut c = Coordinator::new(PACE, Epoch(3), 1);
    assert_eq!(c.step(tick(3_599_999, false)), None);
    assert!(c.step(tick(3_600_000, false)).is_some());
}

#[test]
fn a_commit_nobody_asked_for_is_a_bug() {
    let wrong = std::panic::catch_unwind(|| Coordinator::new(PACE, Epoch(0), 1).step(Event::Committed(Epoch(1))));
    assert!(wrong.is_err());
}
