//! `window-count`: how often each key came in each window, 10 s of event time unless the pipeline names others. What a window
//! sends has its key, the value `START_MS,COUNT`, and as its timestamp the window's last millisecond.

use std::io::Write;

use weir_sdk::{Aggregate, Context, Description, Failure, NoConfig, Record, Window};

/// The aggregate.
pub struct WindowCount;

impl Aggregate for WindowCount {
    type Config = NoConfig;
    type Accumulator = u64;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).window("tumbling:10s")
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn fold(&mut self, count: &mut u64, _: &Record<'_>) -> Result<(), Failure> {
        *count += 1;
        Ok(())
    }

    fn merge(&mut self, count: &mut u64, later: u64) -> Result<(), Failure> {
        *count += later;
        Ok(())
    }

    fn finish(&mut self, window: &Window<'_>, count: u64, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let mut written = Ok(());
        ctx.emit_with(window.record(b""), |value| written = write!(value, "{},{count}", window.start_ms()));
        Ok(written?)
    }
}

weir_sdk::aggregate!(WindowCount);
