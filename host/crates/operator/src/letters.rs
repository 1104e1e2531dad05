//! Dead letters: records that failed, as they came, with headers that say where, in what, and why. They go out by an output of
//! the node's own, behind those of its plugin, and so in the transaction of everything else.

use weir_core::frame::{NO_TIMESTAMP, encode_headers};
use weir_core::ports::{CallError, RecordCheck, Unfit};
use weir_core::text::printable;
use weir_core::{Batch, FrameWriter, Origin, RecordView, letter};

use crate::driver::Driver;
use crate::origin;
use crate::skips::one_line;
use crate::version::PluginLabel;

/// Where the dead letters of a node go.
#[derive(Debug, Clone)]
pub struct LetterOptions {
    /// The job, which shares the topic with others perhaps.
    pub job: String,
    /// The output that they go to.
    pub output: u32,
    /// What its sinks take.
    pub checks: Vec<RecordCheck>,
    /// For each input of the node whether all that comes in there comes as it was read.
    pub as_read: Vec<bool>,
}

/// The dead letters of a node.
pub(crate) struct Letters {
    pub(crate) options: LetterOptions,
    /// Those of the batch under way.
    writer: FrameWriter,
    origins: Vec<Origin>,
    headers: Vec<u8>,
}

/// What failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed<'a> {
    /// The record; of what was due, its key and the time that it would have sent with.
    pub record: RecordView<'a>,
    pub origin: Origin,
    pub of: Of<'a>,
}

/// What a letter is of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of<'a> {
    /// A record that came in by this input.
    Record { input: u32 },
    /// A window or a timer, in words.
    Due(&'a str),
}

/// What failed where, and of which plugin.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub operator: &'a str,
    pub plugin: &'a PluginLabel,
    pub driver: &'a dyn Driver,
    pub now_ms: i64,
}

impl Letters {
    pub(crate) fn new(options: LetterOptions) -> Self {
        Self { options, writer: FrameWriter::new(Vec::new()), origins: Vec::new(), headers: Vec::new() }
    }

    /// One more. What its topic would refuse is an error: it must not be lost without a word.
    pub(crate) fn add(&mut self, failed: Failed<'_>, why: &CallError, scene: Scene<'_>) -> Result<(), Unfit> {
        let Failed { mut record, origin, .. } = failed;
        let own_ms = record.timestamp_ms;
        record.source = self.writer.len() as u32;
        if self.check(&RecordView { key: Some(b""), value: None, headers: &[], ..record }, scene.now_ms).is_err() {
            record.timestamp_ms = NO_TIMESTAMP;
        }
        let kept_ms = (record.timestamp_ms != own_ms).then_some(own_ms);
        self.write_headers(&failed, why, (scene, kept_ms));
        let headers = std::mem::take(&mut self.headers);
        record.headers = &headers;
        let fits = self.check(&record, scene.now_ms);
        if fits.is_ok() {
            self.writer.push(record);
            self.origins.push(origin);
        }
        self.headers = headers;
        fits
    }

    /// A letter keeps the headers of its record, also those by which that would have chosen another topic.
    fn check(&self, record: &RecordView<'_>, now_ms: i64) -> Result<(), Unfit> {
        self.options.checks.iter().try_for_each(|check| match check {
            RecordCheck::Limit(limit) | RecordCheck::Unrouted(limit) => limit.check(record, now_ms),
            RecordCheck::Routes(_) | RecordCheck::Form { .. } => check.check(record, now_ms),
        })
    }

    /// The record's own, and behind them what is known of its failure.
    fn write_headers(&mut self, failed: &Failed<'_>, why: &CallError, (scene, kept_ms): (Scene<'_>, Option<i64>)) {
        let message = clipped(&one_line(why));
        let (of, due) = match failed.of {
            Of::Record { input } if self.options.as_read.get(input as usize) == Some(&true) => (letter::RECORD, None),
            Of::Record { .. } => (letter::DERIVED, None),
            Of::Due(due) => (letter::DUE, Some(clipped(due))),
        };
        let (time, timestamp) = (scene.now_ms.to_string(), kept_ms.map(|ms| ms.to_string()));
        let (headers, job) = (&mut self.headers, self.options.job.as_str());
        let (offset, origin) = (failed.origin.offset.to_string(), failed.origin);
        scene.driver.with_splits(&mut |splits| {
            let split = splits.get(origin);
            let partition = split.map(|split| split.number.to_string());
            let added = [
                (letter::JOB, Some(job)),
                (letter::OPERATOR, Some(scene.operator)),
                (letter::PLUGIN, Some(scene.plugin.name.as_str())),
                (letter::DIGEST, Some(scene.plugin.digest.as_str())),
                (letter::KIND, Some(why.kind().word())),
                (letter::MESSAGE, Some(message.as_str())),
                (letter::TIME, Some(time.as_str())),
                (letter::OF, Some(of)),
                (letter::DUE_NAME, due.as_deref()),
                (letter::TIMESTAMP, timestamp.as_deref()),
                (letter::STREAM, split.map(|split| &*split.stream)),
                (letter::PARTITION, partition.as_deref()),
                (letter::OFFSET, split.map(|_| offset.as_str())),
            ];
            let added = added.iter().filter_map(|(name, text)| Some((*name, Some((*text)?.as_bytes()))));
            let is_own = |name: &[u8]| !name.starts_with(origin::OWN) && !name.starts_with(letter::PREFIX);
            let own = failed.record.headers().filter(|(name, _)| is_own(name));
            encode_headers(own.chain(added), headers);
        });
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.writer.is_empty()
    }

    /// Puts out what there is.
    pub(crate) fn put_out(&mut self, out: &mut Vec<(u32, Batch)>) {
        if !self.is_empty() {
            let frame = std::mem::replace(&mut self.writer, FrameWriter::new(Vec::new())).finish();
            out.push((self.options.output, Batch { frame, origins: std::mem::take(&mut self.origins) }));
        }
    }
}

/// `text` on one line, without what would act on a terminal, and not longer than a header should be.
fn clipped(text: &str) -> String {
    let text = printable(text);
    let end = text.floor_char_boundary(letter::MESSAGE_BYTES_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
