//! HOT PATH. The sink task: writes the batches of an epoch, has them acknowledged, and commits when it is told to.
//! While it commits epoch N, the output of N+1 waits in its bounded inbox: only one epoch is ever written and uncommitted, so the
//! order of epochs outside is the order of epochs here (I3, I9).

use std::sync::Arc;
use std::time::Duration;

use weir_checkpoint::Aligner;
use weir_core::ports::{Commit, Outputs};
use weir_core::{Batch, Element, crash_point};
use weir_machine::channel::{Receiver, RecvTimeoutError, Sender};

use super::flow::Stopped;
use crate::error::Error;
use crate::exchange::inbox::{Inbox, Received};
use crate::metrics::SinkMetrics;
use crate::signals::{Signals, SinkCommand, TaskEvent};

/// How often an idle task looks at its signals.
const IDLE_WAIT: Duration = Duration::from_millis(20);

/// The sink task's own things.
pub(crate) struct SinkTask {
    /// Its input: every task that feeds a sink.
    pub inbox: Inbox,
    /// Sinks and committer; only this thread calls them.
    pub outputs: Outputs,
    /// One for each sink.
    pub metrics: Vec<SinkMetrics>,
    /// When to commit.
    pub commands: Receiver<SinkCommand>,
    /// From the coordinator.
    pub signals: Arc<Signals>,
    /// To the coordinator.
    pub events: Sender<TaskEvent>,
}

impl SinkTask {
    /// Runs until every input has ended, or until the attempt is over.
    pub(crate) fn run(mut self) {
        if let Err(Stopped::Failed(error)) = self.work() {
            drop(self.events.send(TaskEvent::Failed(error)));
        }
    }

    fn work(&mut self) -> Result<(), Stopped> {
        // The first epoch of an attempt is empty: it makes ownership visible before any output.
        self.commit_when_told()?;
        let mut open = self.inbox.inputs();
        let mut aligner = Aligner::new(open);
        while !self.signals.is_cancelled() {
            match self.inbox.receive(|input| aligner.is_blocked(input), IDLE_WAIT) {
                Received::Element(_, Element::Batch { port, batch }) => self.write(port, &batch)?,
                Received::Element(input, Element::Barrier(epoch)) => {
                    if aligner.barrier(input, epoch).is_some() {
                        let flush = |sink: &mut Box<dyn weir_core::ports::Sink>| sink.flush();
                        self.outputs
                            .sinks
                            .iter_mut()
                            .try_for_each(flush)
                            .map_err(Error::port("failed to flush a sink"))?;
                        crash_point!("outputs-acknowledged").map_err(Error::from)?;
                        self.tell(TaskEvent::Flushed(epoch))?;
                        self.commit_when_told()?;
                    }
                }
                // What is written has its own timestamp.
                Received::Element(_, Element::Time(_)) => {}
                Received::Element(_, Element::End) => {
                    open -= 1;
                    if open == 0 {
                        return Ok(());
                    }
                }
                Received::Nothing => {}
                Received::SenderGone => return Ok(()),
            }
        }
        Ok(())
    }

    /// A port of this task is a sink.
    fn write(&mut self, port: u32, batch: &Arc<Batch>) -> Result<(), Stopped> {
        let index = port as usize;
        if let (Some(sink), Some(metrics)) = (self.outputs.sinks.get_mut(index), self.metrics.get(index)) {
            sink.write(batch).map_err(Error::port("failed to write a sink"))?;
            metrics.wrote(batch.frame.len());
        }
        Ok(())
    }

    fn commit_when_told(&mut self) -> Result<(), Stopped> {
        let command = loop {
            match self.commands.recv_timeout(IDLE_WAIT) {
                Ok(command) => break command,
                Err(RecvTimeoutError::Timeout) if !self.signals.is_cancelled() => {}
                Err(_) => return Err(Stopped::Closed),
            }
        };
        let SinkCommand::Commit(commit) = command;
        self.commit(&commit)
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), Stopped> {
        let began = weir_machine::now();
        self.outputs.committer.commit(commit).map_err(Error::port("failed to commit an epoch"))?;
        crash_point!("commit-acknowledged").map_err(Error::from)?;
        self.tell(TaskEvent::Committed { epoch: commit.epoch, took: weir_machine::since(began) })
    }

    fn tell(&self, event: TaskEvent) -> Result<(), Stopped> {
        self.events.send(event).map_err(|_| Stopped::Closed)
    }
}
