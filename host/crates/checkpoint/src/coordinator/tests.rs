//! The drawing, walked; and random events, none of which may commit before the log is durable.
use super::*;

const PACE: Pace =
    Pace { interval: Duration::from_millis(100), keep_alive: Duration::from_secs(3600), log_decides: false };

/// One source and `sealers` tasks, among them its own; idle after `epoch`.
fn idle(pace: Pace, epoch: Epoch, sealers: usize) -> Coordinator {
    several(pace, epoch, Tasks { sealers, sources: 1 })
}

fn several(pace: Pace, epoch: Epoch, tasks: Tasks) -> Coordinator {
    let mut c = Coordinator::new(pace, epoch, tasks);
    assert_eq!(c.step(Event::Committed(epoch)), Ok(Some(Command::Apply(epoch))));
    c
}

fn tick(ms: u64, active: bool) -> Event {
    Event::Tick { now: Duration::from_millis(ms), active }
}

/// Every order of three answers.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[test]
fn one_epoch_in_every_order_of_answers() {
    let answers = [Event::Flushed(Epoch(8)), Event::Logged(Epoch(8)), Event::Verified(Epoch(8))];
    for [first, second, third] in ORDERS.map(|order| order.map(|i| answers[i])) {
        let mut c = idle(PACE, Epoch(7), 2);
        assert_eq!(c.step(tick(99, true)), Ok(None), "not yet");
        assert_eq!(c.step(tick(100, false)), Ok(None), "nothing to commit");
        assert_eq!(c.step(tick(101, true)), Ok(Some(Command::Barrier { epoch: Epoch(8), last: false })));
        assert_eq!(c.step(Event::Sealed(Epoch(8))), Ok(None));
        assert_eq!(c.step(tick(500, true)), Ok(None), "one epoch at a time");
        assert_eq!(c.step(Event::Sealed(Epoch(8))), Ok(Some(Command::WriteLog(Epoch(8)))));
        assert_eq!(c.step(first), Ok(None));
        assert_eq!(c.step(second), Ok(None));
        assert_eq!(c.step(third), Ok(Some(Command::Commit(Epoch(8)))));
        assert_eq!(c.step(Event::Committed(Epoch(8))), Ok(Some(Command::Apply(Epoch(8)))));
        assert_eq!(c.step(tick(501, true)), Ok(Some(Command::Barrier { epoch: Epoch(9), last: false })));
    }
}

#[test]
fn where_the_log_decides_it_is_written_last() {
    let pace = Pace { log_decides: true, ..PACE };
    let epoch = Epoch(1);
    let answers = [Event::Sealed(epoch), Event::Flushed(epoch), Event::Verified(epoch)];
    for [first, second, third] in ORDERS.map(|order| order.map(|i| answers[i])) {
        let mut c = idle(pace, Epoch(0), 1);
        c.step(tick(100, true)).unwrap();
        assert_eq!(c.step(first), Ok(None), "output without acknowledgement, records without identity must not count");
        assert_eq!(c.step(second), Ok(None));
        assert_eq!(c.step(third), Ok(Some(Command::WriteLog(epoch))));
        assert_eq!(c.step(Event::Logged(epoch)), Ok(Some(Command::Commit(epoch))));
    }
}

#[test]
fn the_outside_may_answer_before_the_last_task_has_sealed() {
    let mut c = idle(PACE, Epoch(0), 1);
    c.step(tick(100, true)).unwrap();
    assert_eq!(c.step(Event::Flushed(Epoch(1))), Ok(None));
    assert_eq!(c.step(Event::Verified(Epoch(1))), Ok(None));
    assert_eq!(c.step(Event::Sealed(Epoch(1))), Ok(Some(Command::WriteLog(Epoch(1)))));
    assert_eq!(c.step(Event::Logged(Epoch(1))), Ok(Some(Command::Commit(Epoch(1)))));
}

#[test]
fn nothing_is_committed_that_is_not_verified_and_the_wait_says_so() {
    let mut c = idle(PACE, Epoch(0), 1);
    c.step(tick(100, true)).unwrap();
    c.step(Event::Sealed(Epoch(1))).unwrap();
    c.step(Event::Logged(Epoch(1))).unwrap();
    assert_eq!(c.step(Event::Flushed(Epoch(1))), Ok(None));
    assert_eq!(c.step(tick(100_000, true)), Ok(None));
    assert!(c.is_waiting() && !c.is_committing());
    assert_eq!(c.waiting_for(), "the source to verify what was read");
}

#[test]
fn a_stop_during_an_epoch_brings_one_more() {
    let mut c = idle(PACE, Epoch(0), 1);
    c.step(tick(100, true)).unwrap();
    assert_eq!(c.step(Event::Stop), Ok(None));
    c.step(Event::Sealed(Epoch(1))).unwrap();
    c.step(Event::Flushed(Epoch(1))).unwrap();
    c.step(Event::Verified(Epoch(1))).unwrap();
    c.step(Event::Logged(Epoch(1))).unwrap();
    c.step(Event::Committed(Epoch(1))).unwrap();
    assert!(!c.is_done(), "records read since the barrier still count");
    assert_eq!(c.step(tick(101, false)), Ok(Some(Command::Barrier { epoch: Epoch(2), last: true })));
    c.step(Event::Sealed(Epoch(2))).unwrap();
    c.step(Event::Flushed(Epoch(2))).unwrap();
    c.step(Event::Verified(Epoch(2))).unwrap();
    c.step(Event::Logged(Epoch(2))).unwrap();
    c.step(Event::Committed(Epoch(2))).unwrap();
    assert!(c.is_done());
}

#[test]
fn a_full_task_brings_the_next_barrier_early_and_once() {
    let mut c = idle(PACE, Epoch(7), 1);
    assert_eq!(c.step(tick(1, true)), Ok(None));
    assert_eq!(c.step(Event::Full(Epoch(7))), Ok(None));
    assert_eq!(c.next_tick(), Duration::ZERO);
    assert_eq!(c.step(tick(2, true)), Ok(Some(Command::Barrier { epoch: Epoch(8), last: false })));
    assert_eq!(c.step(Event::Full(Epoch(7))), Ok(None), "the barrier is on its way to it");
    c.step(Event::Sealed(Epoch(8))).unwrap();
    assert_eq!(c.step(Event::Full(Epoch(8))), Ok(None), "another one, behind the barrier");
    c.step(Event::Flushed(Epoch(8))).unwrap();
    c.step(Event::Logged(Epoch(8))).unwrap();
    c.step(Event::Verified(Epoch(8))).unwrap();
    c.step(Event::Committed(Epoch(8))).unwrap();
    assert_eq!(c.step(tick(3, false)), Ok(Some(Command::Barrier { epoch: Epoch(9), last: false })));
    for event in [
        Event::Sealed(Epoch(9)),
        Event::Flushed(Epoch(9)),
        Event::Logged(Epoch(9)),
        Event::Verified(Epoch(9)),
        Event::Committed(Epoch(9)),
    ] {
        c.step(event).unwrap();
    }
    assert_eq!(c.step(tick(50, true)), Ok(None), "it was told for one epoch");
}

#[test]
fn an_idle_job_is_kept_alive() {
    let mut c = idle(PACE, Epoch(3), 1);
    assert_eq!(c.step(tick(3_599_999, false)), Ok(None));
    assert!(c.step(tick(3_600_000, false)).is_ok_and(|command| command.is_some()));
}

#[test]
fn an_attempt_begins_with_a_commit() {
    let mut c = Coordinator::new(PACE, Epoch(7), Tasks { sealers: 1, sources: 1 });
    assert!(c.is_committing() && c.is_waiting());
    assert_eq!(c.waiting_for(), "the first commit of the attempt");
    // Tasks run already: what they say of what comes next is not lost.
    assert_eq!(c.step(tick(1_000, true)), Ok(None));
    assert_eq!(c.step(Event::Ended), Ok(None));
    assert_eq!(c.step(Event::Committed(Epoch(7))), Ok(Some(Command::Apply(Epoch(7)))));
    assert_eq!(c.step(tick(1_001, false)), Ok(Some(Command::Barrier { epoch: Epoch(8), last: true })));
}

#[test]
fn every_source_verifies_and_ends() {
    let mut c = several(PACE, Epoch(7), Tasks { sealers: 3, sources: 2 });
    c.step(tick(100, true)).unwrap();
    for event in [Event::Sealed(Epoch(8)), Event::Sealed(Epoch(8)), Event::Verified(Epoch(8)), Event::Ended] {
        assert_eq!(c.step(event), Ok(None));
    }
    assert_eq!(c.step(Event::Sealed(Epoch(8))), Ok(Some(Command::WriteLog(Epoch(8)))));
    assert_eq!(c.step(Event::Flushed(Epoch(8))), Ok(None));
    assert_eq!(c.step(Event::Logged(Epoch(8))), Ok(None), "one source has not verified");
    assert_eq!(c.step(Event::Verified(Epoch(8))), Ok(Some(Command::Commit(Epoch(8)))));
    assert!(c.step(Event::Verified(Epoch(8))).is_err(), "more answers than sources");
    c.step(Event::Committed(Epoch(8))).unwrap();
    assert_eq!(c.step(tick(101, false)), Ok(None), "one source goes on");
    assert_eq!(c.step(Event::Ended), Ok(None));
    assert_eq!(c.step(tick(102, false)), Ok(Some(Command::Barrier { epoch: Epoch(9), last: true })));
    assert!(c.step(Event::Ended).is_err(), "more ends than sources");
}

#[test]
fn what_the_drawing_does_not_have_is_a_bug() {
    let mut c = idle(PACE, Epoch(0), 1);
    let error = c.step(Event::Committed(Epoch(0))).unwrap_err();
    assert_eq!(error.to_string(), "epochs: Committed(Epoch(0)) in epoch 0 while Idle");
    c.step(tick(100, true)).unwrap();
    for wrong in
        [Event::Committed(Epoch(1)), Event::Logged(Epoch(1)), Event::Sealed(Epoch(2)), Event::Flushed(Epoch(0))]
    {
        assert!(c.step(wrong).is_err(), "{wrong:?}");
    }
}
