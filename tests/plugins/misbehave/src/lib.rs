//! `misbehave`: passes records on, except those whose value asks for trouble:
//!
//! | value | what happens |
//! |---|---|
//! | `boom` | a panic |
//! | `spin` | an endless loop |
//! | `alloc` | allocates until it may not |
//! | `deep` | recursion without end |
//! | `fail..` | a failure of the record, code 100, the value as its message |
//! | `big` | a value of 2 MB |
//! | `many` | 100,000 records |
//! | `log` | a line of every level |
//! | `murmur` | a text of 24 MiB |
//! | `shout` | a line of the same length |
//! | `lost` | emits to an output it does not describe |
//! | `side` | goes to the output `side`; all else to the output `main` |
//! | `where` | the value becomes where the record was read, as the `weir.origin.*` headers say |
//!
//! The configuration `open` = `fail` or `trap` does so in `open`; `turns` is how often a loop turns for each record:
//! three million take about a millisecond.

use std::hint::black_box;

use serde::Deserialize;
use weir_sdk::{Context, Description, Failure, Level, Operator, Record};

/// What the user may configure.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    open: Open,
    turns: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Open {
    #[default]
    Ok,
    Fail,
    Trap,
}

/// The operator.
pub struct Misbehave {
    turns: u64,
}

impl Operator for Misbehave {
    type Config = Config;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).outputs(&["main", "side"]).with_origin()
    }

    fn open(config: Config) -> Result<Self, Failure> {
        match config.open {
            Open::Ok => Ok(Self { turns: config.turns }),
            Open::Fail => Err(Failure::new("told to fail in open").with_code(100)),
            Open::Trap => panic!("told to trap in open"),
        }
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        for turn in 0..self.turns {
            black_box(turn);
        }
        match record.value().unwrap_or_default() {
            b"boom" => panic!("boom"),
            b"spin" => spin(),
            b"alloc" => allocate(),
            b"deep" => drop(black_box(recurse(black_box(1)))),
            b"big" => ctx.emit(record.with_value(&vec![b'x'; 2_000_000])),
            b"many" => (0..100_000).for_each(|_| ctx.emit(*record)),
            b"log" => log(ctx),
            b"murmur" => drop(black_box(text())),
            b"shout" => ctx.log(Level::Warn, text()),
            b"lost" => ctx.emit_to(7, *record),
            b"side" => ctx.emit_to(1, *record),
            b"where" => ctx.emit(record.with_value(place(record)?.as_bytes())),
            value if value.starts_with(b"fail") => {
                return Err(Failure::new(String::from_utf8_lossy(value)).with_code(100));
            }
            _ => ctx.emit(*record),
        }
        Ok(())
    }
}

fn spin() {
    let mut turns = 0u64;
    while black_box(turns) != u64::MAX {
        turns = black_box(turns).wrapping_add(2) & !1;
    }
}

fn allocate() {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1u8; 1 << 20]));
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if frame.contains(&0) { 0 } else { recurse(black_box(depth + 1)) + frame.iter().sum::<u64>() }
}

fn place(record: &Record<'_>) -> Result<String, Failure> {
    let part = |name| match record.header(name) {
        Some(Some(text)) => Ok(str::from_utf8(text)?),
        _ => Err(Failure::new(format!("no header {name}"))),
    };
    let (topic, partition) = (part("weir.origin.topic")?, part("weir.origin.partition")?);
    Ok(format!("{topic}[{partition}]@{}", part("weir.origin.offset")?))
}

fn text() -> String {
    "a".repeat(24 << 20)
}

fn log(ctx: &mut Context<'_>) {
    for level in [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error] {
        ctx.log(level, format!("this is {level:?}"));
    }
}

weir_sdk::operator!(Misbehave);
