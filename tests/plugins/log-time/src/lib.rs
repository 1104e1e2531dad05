//! `log-time`: says when lines of a log were written, which begin with the seconds since 1970: `1700000000.250 GET /`. Where
//! the rest is `boom` it panics, where it is `spin` it never comes back, where it is `fail` it returns a failure.

use weir_sdk::{Failure, Record, Timestamps};

/// See the module.
pub struct LogTime;

impl Timestamps for LogTime {
    fn timestamp(record: &Record<'_>) -> Result<Option<i64>, Failure> {
        let text = str::from_utf8(record.value().unwrap_or_default())?;
        let (seconds, rest) = text.split_once(' ').unwrap_or((text, ""));
        match rest {
            "boom" => panic!("told to panic"),
            "spin" => loop {
                std::hint::black_box(());
            },
            "fail" => return Err(Failure::new("told to fail").with_code(100)),
            _ => {}
        }
        Ok(seconds.parse::<f64>().ok().map(|seconds| (seconds * 1_000.0).round() as i64))
    }
}

weir_sdk::timestamps!(LogTime);
