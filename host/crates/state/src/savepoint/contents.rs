//! The bytes of the `SAVEPOINT` file; its lines are shown in the module above.

use std::path::{Component, Path};

use weir_core::{AttemptId, Digest, Epoch, JobName, ShardId};

use crate::format::Identity;

const MAGIC: &str = "weir-savepoint";
const VERSION: &str = "1";

/// The record whose epoch certainly holds: its epoch was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its number.
    pub epoch: Epoch,
    /// Who wrote it.
    pub attempt: AttemptId,
    /// Digest of its manifest.
    pub digest: Digest,
}

/// All that a savepoint says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) identity: Identity,
    pub(super) holds: Option<Held>,
    pub(super) files: Vec<Entry>,
}

/// One of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    /// Below `state/`.
    pub(super) path: String,
}

impl Contents {
    /// The text of the file, and the digest at its end.
    pub(super) fn encode(&self) -> (String, Digest) {
        let Identity { job, shard } = &self.identity;
        let holds = self.holds.as_ref().map_or_else(
            || "unknown".to_owned(),
            |Held { epoch, attempt, digest }| format!("{epoch} {attempt} {digest}"),
        );
        let mut text = format!("{MAGIC}\nversion {VERSION}\njob {job}\nshard {shard}\nholds {holds}\n");
        for Entry { digest, bytes, path } in &self.files {
            text.push_str(&format!("file {digest} {bytes} {path}\n"));
        }
        let digest = digest_of(text.as_bytes());
        text.push_str(&format!("digest {digest}\n"));
        (text, digest)
    }

    /// `Err`: what does not check.
    pub(super) fn decode(text: &str) -> Result<(Self, Digest), String> {
        let field = |line: Option<&str>, name: &str| {
            let value = line.and_then(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned);
            value.ok_or_else(|| format!("it has no line {name:?} where it belongs"))
        };
        let mut lines = text.lines();
        if lines.next() != Some(MAGIC) {
            return Err(format!("it does not begin with {MAGIC:?}"));
        }
        // Before anything else is believed: another version may look different from here on.
        let version = field(lines.next(), "version")?;
        if version != VERSION {
            return Err(format!("it has version {version}, and this Weir knows version {VERSION}"));
        }
        let whole = text.strip_suffix('\n').ok_or("it is cut short")?;
        let (before, last) = whole.rsplit_once('\n').ok_or("it is cut short")?;
        let digest = Digest(field(Some(last), "digest").map_err(|_| "it is cut short")?);
        if digest_of(format!("{before}\n").as_bytes()) != digest {
            return Err("its digest does not match its lines".to_owned());
        }
        let malformed = |what: &str| format!("its {what} cannot be read");
        let job = JobName::new(field(lines.next(), "job")?).map_err(|_| malformed("job"))?;
        let shard = ShardId(field(lines.next(), "shard")?.parse().map_err(|_| malformed("shard"))?);
        let holds = held(&field(lines.next(), "holds")?).ok_or_else(|| malformed("epoch"))?;
        let files = lines.take_while(|line| *line != last);
        let files = files.map(|line| entry(&field(Some(line), "file")?).ok_or_else(|| malformed("list of files")));
        Ok((Self { identity: Identity { job, shard }, holds, files: files.collect::<Result<_, _>>()? }, digest))
    }
}

fn held(text: &str) -> Option<Option<Held>> {
    if text == "unknown" {
        return Some(None);
    }
    let mut words = text.split(' ');
    let (epoch, attempt, digest) = (words.next()?, words.next()?, words.next()?);
    let (attempt, digest) = (AttemptId(attempt.to_owned()), Digest(digest.to_owned()));
    Some(Some(Held { epoch: Epoch(epoch.parse().ok()?), attempt, digest }))
}

/// A path that leads out of the savepoint is none.
fn entry(text: &str) -> Option<Entry> {
    let mut words = text.splitn(3, ' ');
    let (digest, bytes, path) = (words.next()?, words.next()?, words.next()?);
    let is_below = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    is_below.then_some(())?;
    Some(Entry { digest: Digest(digest.to_owned()), bytes: bytes.parse().ok()?, path: path.to_owned() })
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest(blake3::hash(bytes).to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../tests/golden/savepoint/SAVEPOINT");

    fn golden() -> Contents {
        Contents::decode(GOLDEN).expect("it checks").0
    }

    #[test]
    fn the_bytes_of_the_description_are_pinned() {
        let contents = golden();
        assert_eq!(contents.encode().0, GOLDEN);
        assert_eq!((contents.identity.job.as_str(), contents.files.len()), ("golden", 8));
        assert_eq!(contents.holds.as_ref().map(|held| held.epoch), Some(Epoch(9)));
        let unknown = Contents { holds: None, ..contents };
        assert_eq!(Contents::decode(&unknown.encode().0).map(|(contents, _)| contents), Ok(unknown));
    }

    #[test]
    fn a_description_that_was_changed_in_any_bit_is_none() {
        for bit in 0..GOLDEN.len() * 8 {
            let mut bytes = GOLDEN.as_bytes().to_vec();
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(Contents::decode(&changed).is_err(), "bit {bit}");
        }
        for len in 0..GOLDEN.len() - 1 {
            assert!(Contents::decode(&GOLDEN[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn another_version_and_a_way_out_are_refused() {
        let newer = GOLDEN.replace("version 1", "version 2");
        assert!(Contents::decode(&newer).expect_err("refused").contains("this Weir knows version 1"));
        let mut out = golden();
        out.files.push(Entry { digest: Digest("c".repeat(64)), bytes: 1, path: "../../etc/passwd".into() });
        assert!(Contents::decode(&out.encode().0).expect_err("refused").contains("list of files"));
    }
}
