//! The items of a key with the greatest scores.

use crate::context::Context;
use crate::description::{Declare, Description};
use crate::failure::Failure;
use crate::state::{Json, ValueTable};

/// Ranks the items of each key: those with the greatest scores, and of items with the same score the first in the order of their
/// names. An item has the greatest score that it was ever offered with, so that nothing that was left out comes back.
/// ```
/// use weir_sdk::join::TopN;
/// use weir_sdk::testing::{Harness, Message};
/// use weir_sdk::{Context, Description, Failure, NoConfig, Operator, Record};
///
/// const TOP: TopN = TopN::new("top");
///
/// /// The two longest words of each key, whenever they change.
/// struct Longest;
///
/// impl Operator for Longest {
///     type Config = NoConfig;
///
///     fn describe() -> Description {
///         Description::new("longest", "1.0.0").table(TOP)
///     }
///
///     fn open(_: NoConfig) -> Result<Self, Failure> {
///         Ok(Self)
///     }
///
///     fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
///         let word = str::from_utf8(record.value().unwrap_or_default())?;
///         if TOP.offer(word, word.len() as i64, 2, ctx)? {
///             let words: Vec<String> = TOP.ranks(ctx)?.into_iter().map(|(_, word)| word).collect();
///             ctx.emit(record.with_value(words.join(" ").as_bytes()));
///         }
///         Ok(())
///     }
/// }
///
/// let mut longest = Harness::<Longest>::new("{}")?;
/// let words = ["a", "abc", "ab", "b", "abcd"].map(|word| Message::new("k", word));
/// let seen: Vec<Message> = longest.process(&words)?.into_iter().map(|output| output.message).collect();
/// assert_eq!(seen, ["a", "abc a", "abc ab", "abcd abc"].map(|ranks| Message::new("k", ranks)));
/// # Ok::<(), Failure>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TopN(ValueTable<Json<Vec<(i64, String)>>>);

impl TopN {
    /// By the name of its table: it holds scores and items, best first, as JSON.
    pub const fn new(table: &'static str) -> Self {
        Self(ValueTable::new(table))
    }

    /// Offers an item to the best `most` of the key of the current record; whether these have changed. Fails for a record without
    /// a key.
    pub fn offer(&self, item: &str, score: i64, most: usize, ctx: &mut Context<'_>) -> Result<bool, Failure> {
        let before = self.ranks(ctx)?;
        let mut ranks = before.clone();
        match ranks.iter_mut().find(|(_, known)| known == item) {
            Some((known, _)) => *known = score.max(*known),
            None => ranks.push((score, item.to_owned())),
        }
        ranks.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.cmp(other)));
        ranks.truncate(most);
        let has_changed = ranks != before;
        if has_changed {
            ctx.value(self.0).set(&Json(ranks))?;
        }
        Ok(has_changed)
    }

    /// Scores and items of the key of the current record, best first. Fails for a record without a key.
    pub fn ranks(&self, ctx: &mut Context<'_>) -> Result<Vec<(i64, String)>, Failure> {
        Ok(ctx.value(self.0).get()?.map(|Json(ranks)| ranks).unwrap_or_default())
    }
}

impl Declare for TopN {
    fn declare(self, description: &mut Description) {
        self.0.declare(description);
    }
}
