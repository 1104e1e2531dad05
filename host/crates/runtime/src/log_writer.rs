//! The epoch log of a job, and the thread that writes it while an attempt runs, so that `fdatasync` runs beside the
//! draining of the sinks. A write error is fatal: the attempt ends, the log takes nothing more.

use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::Gauge;
use weir_checkpoint::epochs::Record;
use weir_core::ports::{Delta, EpochLog};
use weir_core::{Epoch, crash_point};
use weir_machine::channel::{Sender, bounded};

use crate::error::Error;
use crate::signals::TaskEvent;

/// One epoch under way, one to trim: nothing ever queues here.
const COMMANDS_MAX: usize = 4;
/// How often a write under way is looked at, at the end.
const FINISH_POLL: Duration = Duration::from_millis(1);

enum Command {
    Append { record: Record, deltas: Vec<Delta>, sync: bool },
    Trim(Epoch),
}

/// The one log, for as long as the job lives. Whoever works on it holds it meanwhile: one call at a time. A call that
/// hangs holds it for ever, and everybody else waits under a watch, which ends the job.
#[derive(Clone)]
pub(crate) struct JobLog(Arc<Mutex<Box<dyn EpochLog>>>);

impl JobLog {
    /// Of a job that begins.
    pub(crate) fn new(log: Box<dyn EpochLog>) -> Self {
        Self(Arc::new(Mutex::new(log)))
    }

    /// To work on. Waits for whoever else does: call it where a wait is watched.
    pub(crate) fn hold(&self) -> Result<MutexGuard<'_, Box<dyn EpochLog>>, Error> {
        self.0.lock().map_err(|_| Error::Panicked("weir-log".into()))
    }
}

/// Handle to the thread.
pub(crate) struct LogWriter {
    commands: Sender<Command>,
    thread: JoinHandle<()>,
}

impl LogWriter {
    /// Starts the thread; answers go to `events`, the log's size to `bytes`.
    pub(crate) fn start(log: JobLog, events: Sender<TaskEvent>, bytes: Gauge) -> std::io::Result<Self> {
        let (commands, inbox) = bounded(COMMANDS_MAX);
        let thread = weir_machine::spawn("weir-log", move || {
            for command in inbox {
                let mut log = match log.hold() {
                    Ok(log) => log,
                    Err(error) => return drop(events.send(TaskEvent::Failed(error))),
                };
                let event = match command {
                    Command::Append { record, deltas, sync } => {
                        let epoch = record.id.epoch;
                        let appended = crash_point!("delta-serialised").map_err(Error::from).and_then(|()| {
                            let failed = Error::port("failed to write the epoch log");
                            log.set_plan(&record.plan.bytes);
                            log.append(epoch, &record.manifest, &deltas, sync).map_err(failed)
                        });
                        appended.map_or_else(TaskEvent::Failed, |()| TaskEvent::Logged(epoch))
                    }
                    Command::Trim(durable) => match log.trim(durable) {
                        Ok(()) => {
                            bytes.set(log.bytes() as f64);
                            continue;
                        }
                        Err(error) => TaskEvent::Failed(Error::port("failed to trim the epoch log")(error)),
                    },
                };
                if events.send(event).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { commands, thread })
    }

    /// Appends; the answer is [`TaskEvent::Logged`].
    pub(crate) fn append(&self, record: Record, deltas: Vec<Delta>, sync: bool) {
        // A thread that is gone has told why.
        drop(self.commands.send(Command::Append { record, deltas, sync }));
    }

    /// Drops what is no longer needed.
    pub(crate) fn trim(&self, durable: Epoch) {
        drop(self.commands.send(Command::Trim(durable)));
    }

    /// Ends the thread; waits for a write under way, but not for ever.
    pub(crate) fn finish(self, within: Duration) -> Result<(), Error> {
        drop(self.commands);
        let began = weir_machine::now();
        while !self.thread.is_finished() {
            let waited = weir_machine::since(began);
            if waited > within {
                return Err(Error::Stuck { what: "write the epoch log", waited });
            }
            weir_machine::sleep(FINISH_POLL);
        }
        self.thread.join().map_err(|_| Error::Panicked("weir-log".into()))
    }
}
