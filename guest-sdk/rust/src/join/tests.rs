//! Joins against plain computations of the same, for any order, any batches, and a new instance whenever.
use super::*;
use crate::testing::{Harness, Message};
use crate::{Context, Description, NoConfig, Operator, Timer};

/// How the test operators write a pair: `LEFT+RIGHT@TIME`, where `-` is nobody and `~` a null.
fn written(pair: &Pair<'_>) -> String {
    let side = |side: Option<Option<&[u8]>>| match side {
        None => "-".to_owned(),
        Some(None) => "~".to_owned(),
        Some(Some(value)) => String::from_utf8_lossy(value).into_owned(),
    };
    format!("{}+{}@{}", side(pair.left()), side(pair.right()), pair.timestamp())
}

fn put_out(pair: &Pair<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    ctx.emit(pair.record(written(pair).as_bytes()));
    Ok(())
}

macro_rules! joins {
    ($name:ident, $join:expr, $process:expr) => {
        struct $name;

        impl Operator for $name {
            type Config = NoConfig;

            fn describe() -> Description {
                Description::new("join", "1").inputs(&["left", "right"]).table($join).with_timers()
            }

            fn open(_: NoConfig) -> Result<Self, Failure> {
                Ok(Self)
            }

            fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
                $process(record, ctx)
            }

            fn on_timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
                $join.on_timer(timer, ctx, put_out)
            }
        }
    };
}

const LOWER_MS: i64 = -3;
const UPPER_MS: i64 = 7;
const INNER: IntervalJoin = IntervalJoin::inner("l", "r").between(LOWER_MS, UPPER_MS);
const LEFT: IntervalJoin = IntervalJoin::left("l", "r").between(LOWER_MS, UPPER_MS);
const OUTER: IntervalJoin = IntervalJoin::outer("l", "r").between(LOWER_MS, UPPER_MS);
const BEFORE: IntervalJoin = IntervalJoin::outer("l", "r").between(-9, -4);
const AS_OF: AsOfJoin = AsOfJoin::new("waiting", "rows");

joins!(Inner, INNER, |record, ctx: &mut Context<'_>| INNER.process(record, ctx, put_out));
joins!(Left, LEFT, |record, ctx: &mut Context<'_>| LEFT.process(record, ctx, put_out));
joins!(Outer, OUTER, |record, ctx: &mut Context<'_>| OUTER.process(record, ctx, put_out));
joins!(Before, BEFORE, |record, ctx: &mut Context<'_>| BEFORE.process(record, ctx, put_out));
joins!(AsOf, AS_OF, |record, ctx: &mut Context<'_>| AS_OF.process(record, ctx));

/// Which input, key, time, and value.
type Input = (u32, &'static str, i64, String);

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// In the order of time but for a disorder of up to ten milliseconds.
fn inputs(seed: u64) -> Vec<Input> {
    let mut dice = Dice(seed);
    let mut inputs: Vec<(i64, Input)> = (0..120)
        .map(|number| {
            let (input, key, at_ms) = (dice.roll(2) as u32, ["a", "b"][dice.roll(2) as usize], dice.roll(200) as i64);
            (at_ms + dice.roll(10) as i64, (input, key, at_ms, format!("{input}.{number}")))
        })
        .collect();
    inputs.sort_by_key(|(came, _)| *came);
    inputs.into_iter().map(|(_, input)| input).collect()
}

/// What comes out, sorted, if time follows up to ten milliseconds behind, in batches of up to `size`.
fn run<Op: Operator>(inputs: &[Input], size: usize) -> Vec<(String, String)> {
    let mut harness = Harness::<Op>::new("{}").unwrap();
    let (mut out, mut latest_ms) = (Vec::new(), 0);
    let mut rest = inputs;
    while let Some((input, ..)) = rest.first() {
        let same = rest.iter().take(size).take_while(|(other, ..)| other == input).count();
        let (batch, after) = rest.split_at(same);
        let batch_of = |(_, key, at_ms, value): &Input| Message::new(*key, value.as_str()).with_timestamp(*at_ms);
        let messages: Vec<Message> = batch.iter().map(batch_of).collect();
        out.extend(harness.process_input(*input, &messages).unwrap());
        latest_ms = batch.iter().map(|(_, _, at_ms, _)| *at_ms).max().unwrap().max(latest_ms);
        out.extend(harness.advance((latest_ms - 10).max(0)).unwrap());
        rest = after;
    }
    out.extend(harness.advance(i64::MAX).unwrap());
    for key in [&b"a"[..], b"b"] {
        assert!(harness.timers(key).is_empty() && harness.map("l", key).is_empty(), "something is left");
        assert!(
            harness.map("r", key).is_empty()
                && harness.map("waiting", key).is_empty()
                && harness.map("rows", key).len() <= 1
        );
    }
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap();
    let mut seen: Vec<_> = out.into_iter().map(|o| (text(o.message.key), text(o.message.value))).collect();
    seen.sort();
    seen
}

/// Every pair of an interval join, and whoever is alone of the sides that are told of.
fn expected(inputs: &[Input], (lower_ms, upper_ms): (i64, i64), tells: [bool; 2]) -> Vec<(String, String)> {
    let is_pair = |left: &Input, right: &Input| {
        left.0 == 0 && right.0 == 1 && left.1 == right.1 && (lower_ms..=upper_ms).contains(&(right.2 - left.2))
    };
    let mut all = Vec::new();
    for one in inputs {
        let (side, key, at_ms, value) = one;
        all.extend(
            inputs
                .iter()
                .filter(|right| is_pair(one, right))
                .map(|(_, _, right_ms, right)| ((*key).to_owned(), format!("{value}+{right}@{}", at_ms.max(right_ms)))),
        );
        let is_alone = !inputs.iter().any(|other| is_pair(one, other) || is_pair(other, one));
        if is_alone && tells[*side as usize] {
            let reach_ms = if *side == 0 { upper_ms } else { -lower_ms };
            let known_ms = at_ms + reach_ms.max(0) + 1;
            let pair = if *side == 0 { format!("{value}+-@{known_ms}") } else { format!("-+{value}@{known_ms}") };
            all.push(((*key).to_owned(), pair));
        }
    }
    all.sort();
    all
}

#[test]
fn an_interval_join_is_what_a_plain_computation_says_in_any_order_and_batches() {
    for seed in 0..20 {
        let inputs = inputs(seed);
        for size in [1, 7, 1000] {
            let interval = (LOWER_MS, UPPER_MS);
            assert_eq!(run::<Inner>(&inputs, size), expected(&inputs, interval, [false, false]), "inner, seed {seed}");
            assert_eq!(run::<Left>(&inputs, size), expected(&inputs, interval, [true, false]), "left, seed {seed}");
            assert_eq!(run::<Outer>(&inputs, size), expected(&inputs, interval, [true, true]), "outer, seed {seed}");
            assert_eq!(run::<Before>(&inputs, size), expected(&inputs, (-9, -4), [true, true]), "before, seed {seed}");
        }
    }
}

#[test]
fn an_as_of_join_finds_the_row_of_the_time_in_any_order_and_batches() {
    for seed in 0..20 {
        // Of two rows of one time the later one counts: here all have times of their own.
        let mut times = std::collections::BTreeSet::new();
        let inputs: Vec<Input> =
            inputs(seed).into_iter().filter(|(side, key, at, _)| *side == 0 || times.insert((*key, *at))).collect();
        let mut expected: Vec<_> = inputs
            .iter()
            .filter(|(side, ..)| *side == 0)
            .map(|(_, key, at_ms, value)| {
                let rows = inputs.iter().filter(|(side, of, row_ms, _)| *side == 1 && of == key && row_ms <= at_ms);
                let row = rows.max_by_key(|(_, _, row_ms, _)| *row_ms).map_or("-", |(_, _, _, row)| row.as_str());
                ((*key).to_owned(), format!("{value}+{row}@{at_ms}"))
            })
            .collect();
        expected.sort();
        for size in [1, 7, 1000] {
            assert_eq!(run::<AsOf>(&inputs, size), expected, "seed {seed}");
        }
    }
}

#[test]
fn a_row_that_is_taken_away_is_none_and_a_null_is_no_row() {
    let mut join = Harness::<AsOf>::new("{}").unwrap();
    let at = |value: Option<&str>, ms| Message {
        value: value.map(|v| v.as_bytes().to_vec()),
        ..Message::new("k", "").with_timestamp(ms)
    };
    join.process_input(1, &[at(Some("row"), 10), at(None, 20)]).unwrap();
    join.process_input(0, &[at(Some("x"), 15), at(None, 19), at(Some("y"), 20)]).unwrap();
    let out = join.advance(30).unwrap();
    let values: Vec<_> = out.iter().map(|o| str::from_utf8(o.message.value.as_ref().unwrap()).unwrap()).collect();
    assert_eq!(values, ["x+row@15", "~+row@19", "y+-@20"]);
    assert!(join.map("rows", b"k").is_empty());
}

#[test]
fn what_cannot_be_joined_is_said() {
    let mut join = Harness::<Inner>::new("{}").unwrap();
    let timeless = join.process(&[Message::new("k", "v")]).unwrap_err();
    assert!(timeless.message.contains("no timestamp"), "{timeless:?}");
    let early = join.process(&[Message::new("k", "v").with_timestamp(-1)]).unwrap_err();
    assert!(early.message.contains("-1 lies outside"), "{early:?}");
    for bytes in [&[4u8, 0, 0, 0, 0][..], &[0], &[2, 9, 0, 0, 0, 1]] {
        assert!(Bundle::decode(bytes).is_err(), "{bytes:?}");
    }
}

const FIRST: First = First::new("first");

/// Lets the first of each key through, for as long as it is configured.
struct Once(i64);

impl Operator for Once {
    type Config = i64;

    fn describe() -> Description {
        Description::new("once", "1").table(FIRST)
    }

    fn open(within_ms: i64) -> Result<Self, Failure> {
        Ok(Self(within_ms))
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        // A timer that is not the block's.
        ctx.set_timer(105)?;
        if FIRST.is_first(record, self.0, ctx)? {
            ctx.emit(*record);
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        FIRST.on_timer(timer, self.0, ctx)
    }
}

#[test]
fn a_first_is_not_forgotten_by_timers_of_others() {
    let mut once = Harness::<Once>::new("10").unwrap();
    once.process(&[Message::new("k", "v").with_timestamp(100)]).unwrap();
    once.advance(109).unwrap();
    assert!(once.state("first", b"k").is_some(), "its time is over at 110");
    once.advance(110).unwrap();
    assert!(once.state("first", b"k").is_none() && once.timers(b"k").is_empty());
}
