//! The fields of a log line as text. Values are of anybody (guests, records, brokers, files), so each is made printable
//! here: a field is one line, and a message that has several indents all but the first.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use weir_core::text::Printing;

use super::INDENT;

/// `message name=value name=value`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Visitor { writer, is_first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'w> {
    writer: Writer<'w>,
    is_first: bool,
    result: fmt::Result,
}

impl Visitor<'_> {
    fn show(&mut self, name: &str, value: &dyn fmt::Debug) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.writer.write_char(' ')?;
        }
        if name == "message" {
            return write!(Printing::indented(&mut self.writer, INDENT), "{value:?}");
        }
        let name = name.strip_prefix("r#").unwrap_or(name);
        if self.writer.has_ansi_escapes() {
            write!(self.writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?;
        } else {
            write!(self.writer, "{name}=")?;
        }
        write!(Printing::on_one_line(&mut self.writer), "{value:?}")
    }
}

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // What comes from the crate `log` has its metadata as fields; they are in the line's head already.
        if self.result.is_ok() && !field.name().starts_with("log.") {
            self.result = self.show(field.name(), value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.record_debug(field, &format_args!("{value}")),
            _ => self.record_debug(field, &value),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Memory {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn logged(with_ansi: bool, log: impl FnOnce()) -> String {
        let memory = Memory::default();
        let lines = tracing_subscriber::fmt().with_writer(memory.clone()).with_target(false).without_time();
        let lines = lines.fmt_fields(Fields).with_ansi(with_ansi).log_internal_errors(false);
        tracing::subscriber::with_default(lines.finish(), log);
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lines_look_as_before() {
        let line = logged(false, || {
            tracing::info!(epoch = 7, name = "a b", job = %"orders", r#type = ?Some(1), "run {}", "on");
        });
        assert_eq!(line, " INFO run on epoch=7 name=\"a b\" job=orders type=Some(1)\n");
    }

    #[test]
    fn text_of_others_does_not_act() {
        let evil = "x\x1b[2J\u{202e}\n2026-01-01 ERROR forged";
        let error = io::Error::other(evil);
        let (safe, lines) =
            (r"x\u{1b}[2J\u{202e}\n2026-01-01 ERROR forged", "x\\u{1b}[2J\\u{202e}\n    2026-01-01 ERROR forged");
        let log = || tracing::warn!(operator = %evil, error = &error as &dyn std::error::Error, "{evil}");
        assert_eq!(logged(false, log), format!(" WARN {lines} operator={safe} error={safe}\n"));
        let colored = logged(true, log);
        assert!(colored.contains(safe) && !colored.contains("\x1b[2J") && colored.lines().count() == 2, "{colored:?}");
    }
}
