//! What is written, and committed in one transaction: or not, as a test wants.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use weir_core::ports::*;
use weir_core::*;

use super::{Broker, Failure, Hang, World, Written, for_ever};

/// The sink side: what it opens shares the world.
pub(crate) struct SinkSide {
    pub(crate) world: Arc<World>,
    /// How many sinks.
    pub(crate) sinks: usize,
}

impl SinkSide {
    fn read(&self, splits: &[SplitId]) -> Result<Vec<Committed>, PortError> {
        let broker = self.world.lock();
        let found = splits.iter().filter_map(|split| {
            let (position, metadata) = broker.committed.get(split)?;
            Some(Committed { split: split.clone(), position: *position, metadata: metadata.clone().into_bytes() })
        });
        Ok(found.collect())
    }
}

impl SinkConnector for SinkSide {
    fn read_marker(&self, splits: &[SplitId], _: MarkerRead) -> Result<Vec<Committed>, PortError> {
        self.world.pass(Hang::Marker);
        self.read(splits)
    }
    fn committed(&self) -> Result<Vec<Committed>, PortError> {
        self.world.pass(Hang::Marker);
        let splits: Vec<_> = self.world.lock().committed.keys().cloned().collect();
        self.read(&splits)
    }
    fn fence(&self) -> Result<(), PortError> {
        self.world.pass(Hang::Fence);
        self.world.lock().generation += 1;
        Ok(())
    }
    fn open(&self) -> Result<Outputs, PortError> {
        self.world.pass(Hang::OpenSinks);
        let open = Arc::new(Mutex::new(Vec::new()));
        let generation = self.world.lock().generation;
        let sink = |index| {
            let (world, open) = (Arc::clone(&self.world), Arc::clone(&open));
            Box::new(MemorySink { index, world, open }) as Box<dyn Sink>
        };
        let sinks = (0..self.sinks).map(sink).collect();
        let committer = MemoryCommitter { world: Arc::clone(&self.world), open, generation };
        Ok(Outputs { sinks, committer: Box::new(committer) })
    }
    fn marker_home(&self) -> Option<String> {
        Some("memory".to_owned())
    }
}

type OpenTransaction = Arc<Mutex<Vec<Written>>>;

struct MemorySink {
    index: usize,
    world: Arc<World>,
    open: OpenTransaction,
}

impl Sink for MemorySink {
    fn write(&mut self, batch: &Batch) -> Result<(), PortError> {
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        let records =
            batch.frame.records().map(|r| (self.index, text(r.key), text(r.value).parse().unwrap_or_default()));
        self.open.lock().unwrap().extend(records);
        Ok(())
    }
    fn flush(&mut self) -> Result<(), PortError> {
        let mut broker = self.world.lock();
        let now = broker.commits;
        match broker.failures.iter().position(|f| *f == (now, Failure::Write)) {
            Some(at) => {
                broker.failures.remove(at);
                broker.commits += 1;
                // Slow enough for a log record that did not wait for the acknowledgements.
                drop(broker);
                std::thread::sleep(Duration::from_millis(50));
                Err(PortError::new(Fault::Transient, "a message timed out"))
            }
            None => {
                if broker.is_plain {
                    broker.output.append(&mut self.open.lock().unwrap());
                }
                Ok(())
            }
        }
    }
}

struct MemoryCommitter {
    world: Arc<World>,
    open: OpenTransaction,
    generation: u64,
}

impl MemoryCommitter {
    fn happen(&self, broker: &mut Broker, commit: &Commit) {
        assert_eq!(broker.generation, self.generation, "a fenced producer commits nothing");
        broker.output.append(&mut self.open.lock().unwrap());
        for (split, position) in &commit.positions {
            let verified = self.world.verified.lock().unwrap().get(split).copied();
            let is_read = split.stream.starts_with("in");
            assert!(
                !is_read || verified.is_some_and(|verified| *position <= verified),
                "{split} at {position}: {verified:?}"
            );
            broker.committed.insert(split.clone(), (*position, commit.marker.clone()));
        }
    }
}

impl Committer for MemoryCommitter {
    fn commit(&mut self, commit: &Commit) -> Result<(), PortError> {
        let mut broker = self.world.lock();
        let now = broker.commits;
        broker.commits += 1;
        let due = |f: &(u64, Failure)| f.0 == now;
        let failure = broker.failures.iter().position(due).map(|at| broker.failures.remove(at).1);
        if let Some((begin, limit)) = broker.turn.take_if(|_| failure.is_some()) {
            (broker.begin, broker.limit) = (begin, limit);
        }
        let transient = |text: &str| Err(PortError::new(Fault::Transient, text));
        match failure {
            None => {
                self.happen(&mut broker, commit);
                Ok(())
            }
            Some(Failure::Slow) => {
                std::thread::sleep(Duration::from_millis(100));
                self.happen(&mut broker, commit);
                Ok(())
            }
            // A flush failure that was named for an attempt's first, empty epoch shows here.
            Some(Failure::BeforeCommit | Failure::Write) => transient("the commit timed out"),
            Some(Failure::AfterCommit) => {
                self.happen(&mut broker, commit);
                transient("the answer was lost")
            }
            Some(Failure::Denied) => Err(PortError::new(Fault::Denied, "not authorized")),
            Some(Failure::User) => Err(PortError::new(Fault::User, "a bad record")),
            Some(Failure::Fenced) => Err(PortError::new(Fault::Fenced, "fenced")),
            Some(Failure::Hang) => {
                drop(broker);
                for_ever();
                transient("never")
            }
            Some(Failure::Rival) => {
                let marker = commit.marker.replacen("weir;1;sim;0;", "weir;1;sim;0;9", 1);
                let mut fields: Vec<&str> = marker.split(';').collect();
                fields[5] = "somebody-else";
                let marker = fields.join(";");
                broker.committed.values_mut().for_each(|c| c.1.clone_from(&marker));
                Err(PortError::new(Fault::Fenced, "fenced"))
            }
        }
    }
}
