//! HOT PATH. An operator task: batches in from every upstream task, barriers aligned, batches out.

use std::sync::Arc;
use std::time::Duration;

use weir_checkpoint::{Aligner, TaskTimes};
use weir_core::{Element, Epoch};
use weir_machine::channel::Sender;
use weir_operator::Pace;
use weir_time::Merge;

use super::flow::{Flow, Room, Stopped};
use super::wake::wake;
use crate::exchange::inbox::{Inbox, Received};
use crate::signals::{Signals, TaskEvent};

/// How often an idle task looks at its signals.
const IDLE_WAIT: Duration = Duration::from_millis(20);

/// How often a task whose state is full looks whether it has room again.
const FULL_WAIT: Duration = Duration::from_millis(2);

/// How much may wait before a barrier, at the pace of this task: all that is before it belongs to its epoch, and the
/// epoch's transaction has a time-out.
const QUEUED_TIME: Duration = Duration::from_millis(500);

/// The operator task's own things.
pub(crate) struct OperatorTask {
    /// Its input.
    pub inbox: Inbox,
    /// Its operators.
    pub flow: Flow,
    /// How far the time of everything that it reads has come, sender by sender.
    pub time: Merge,
    /// From the coordinator.
    pub signals: Arc<Signals>,
    /// To the coordinator.
    pub events: Sender<TaskEvent>,
}

impl OperatorTask {
    /// Runs until every input has ended, or until the attempt is over.
    pub(crate) fn run(mut self) {
        if let Err(Stopped::Failed(error)) = self.work() {
            drop(self.events.send(TaskEvent::Failed(error)));
        }
    }

    fn work(&mut self) -> Result<(), Stopped> {
        let mut open = self.inbox.inputs();
        // Each sender's share of the time, not of the records: their number has to be able to grow.
        let share = QUEUED_TIME / u32::try_from(open.max(1)).unwrap_or(u32::MAX);
        let mut pace = Pace::default();
        let mut aligner = Aligner::new(open);
        self.flow.tell_time(self.time.progress())?;
        while !self.signals.is_cancelled() {
            self.flow.note_committed(self.signals.committed());
            self.flow.look();
            if let Room::None { tell } = self.flow.room(self.signals.barrier().0) {
                if let Some(sealed) = tell {
                    self.events.send(TaskEvent::Full(sealed)).map_err(|_| Stopped::Closed)?;
                }
                weir_machine::sleep(FULL_WAIT);
                continue;
            }
            let wait = wake(&mut self.flow, &self.signals, IDLE_WAIT)?;
            match self.inbox.receive(|input| aligner.is_blocked(input), wait) {
                Received::Element(_, Element::Batch { port, batch }) => {
                    let (records, began) = (batch.frame.len(), weir_machine::now());
                    self.flow.receive(port, batch)?;
                    // With the time that it waited for the next task: whoever feeds this one waits for that, too.
                    pace.took(records, weir_machine::since(began));
                    self.inbox.limit_records(pace.records_in(share));
                }
                Received::Element(input, Element::Time(progress)) => {
                    self.time.set(input, progress);
                    let fired = self.time.step().map_or(Ok(false), |progress| self.flow.advance(progress))?;
                    self.signals.note_fired(fired);
                }
                Received::Element(input, Element::Barrier(epoch)) => {
                    if aligner.barrier(input, epoch).is_some() {
                        self.seal(epoch)?;
                    }
                }
                Received::Element(_, Element::End) => {
                    open -= 1;
                    if open == 0 {
                        return Ok(self.flow.broadcast(|| Element::End)?);
                    }
                }
                Received::Nothing => {}
                // Whoever died has told why, or the attempt was cancelled.
                Received::SenderGone => return Ok(()),
            }
        }
        Ok(())
    }

    fn seal(&mut self, epoch: Epoch) -> Result<(), Stopped> {
        self.flow.note_committed(self.signals.committed());
        let state = self.flow.seal(epoch)?;
        self.flow.switch(epoch, &self.signals)?;
        let kept = TaskTimes { source: None, operators: self.flow.floors() };
        self.events.send(TaskEvent::Sealed { epoch, state, kept }).map_err(|_| Stopped::Closed)?;
        Ok(self.flow.broadcast(|| Element::Barrier(epoch))?)
    }
}
