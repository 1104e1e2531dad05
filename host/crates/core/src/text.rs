//! Text of others (guests, records, brokers, files) on its way to people. A terminal acts on what it is shown, and a
//! reader trusts what looks like Weir's own line: so whatever could move the cursor, reverse the reading order or begin
//! a line is shown as an escape, at the edge where text leaves.

use std::borrow::Cow;
use std::fmt;

/// `text` on one line: every control character, line breaks among them, and every invisible character that changes
/// how its neighbours are read is escaped. Copies only if there is one.
///
/// ```
/// assert_eq!(weir_core::text::printable("no\u{1b}[31m red\n"), "no\\u{1b}[31m red\\n");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unprintable) { Cow::Owned(escaped(text, Break::Escaped)) } else { Cow::Borrowed(text) }
}

/// The same for text that may have several lines, as an error with the frames of a trap: line breaks stay, and every
/// line after the first is indented by `indent`, so that none looks like one of Weir's own.
pub fn printable_lines<'a>(text: &'a str, indent: &str) -> Cow<'a, str> {
    if text.chars().any(is_unprintable) {
        Cow::Owned(escaped(text, Break::Indented(indent)))
    } else {
        Cow::Borrowed(text)
    }
}

/// `json` as it may be printed, and still means the same: what acts on a terminal is escaped as JSON escapes it. Line
/// breaks and tabs stay, since in JSON they only stand between values.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let acts = |c: char| is_unprintable(c) && !['\n', '\t'].contains(&c);
    if !json.contains(acts) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if acts(c) {
            // Above the basic plane: a pair of surrogates.
            let units = c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            out.push_str(&units);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// What is written through it comes out as [`printable_lines`] would show it.
#[derive(Debug)]
pub struct Printing<'a, W> {
    to: &'a mut W,
    breaks: Break<'a>,
}

impl<'a, W: fmt::Write> Printing<'a, W> {
    /// On one line.
    pub fn on_one_line(to: &'a mut W) -> Self {
        Self { to, breaks: Break::Escaped }
    }

    /// On several lines; all but the first begin with `indent`.
    pub fn indented(to: &'a mut W, indent: &'a str) -> Self {
        Self { to, breaks: Break::Indented(indent) }
    }
}

impl<W: fmt::Write> fmt::Write for Printing<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write_escaped(self.to, text, self.breaks)
    }
}

/// What becomes of a line break.
#[derive(Debug, Clone, Copy)]
enum Break<'a> {
    Escaped,
    Indented(&'a str),
}

fn escaped(text: &str, breaks: Break<'_>) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    write_escaped(&mut out, text, breaks).expect("a string takes everything");
    out
}

fn write_escaped(to: &mut impl fmt::Write, text: &str, breaks: Break<'_>) -> fmt::Result {
    let mut plain_from = 0;
    for (at, c) in text.char_indices().filter(|(_, c)| is_unprintable(*c)) {
        to.write_str(text.get(plain_from..at).unwrap_or_default())?;
        plain_from = at + c.len_utf8();
        match (c, breaks) {
            ('\n', Break::Indented(indent)) => write!(to, "\n{indent}")?,
            ('\t', Break::Indented(_)) => to.write_char('\t')?,
            _ => write!(to, "{}", c.escape_default())?,
        }
    }
    to.write_str(text.get(plain_from..).unwrap_or_default())
}

/// Control characters (C0, DEL, C1), and what is invisible and moves or hides what stands beside it: marks, embeddings,
/// overrides and isolates of the writing direction, line and paragraph separators, zero-width characters and tags.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_escaped() {
        for (text, wanted) in [
            ("", ""),
            ("Größe 日本 🦀 \"a\\b\"", "Größe 日本 🦀 \"a\\b\""),
            ("\x1b[2J\x1b]0;title\x07", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"),
            ("a\nerror: b\r\n\tc", "a\\nerror: b\\r\\n\\tc"),
            ("\u{9b}31m\u{7f}\0", "\\u{9b}31m\\u{7f}\\u{0}"),
            ("user\u{202e}gnp.exe\u{2066}\u{200b}", "user\\u{202e}gnp.exe\\u{2066}\\u{200b}"),
            ("\u{2028}\u{feff}", "\\u{2028}\\u{feff}"),
        ] {
            assert_eq!(printable(text), wanted, "{text:?}");
        }
        assert!(matches!(printable("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn lines_stay_lines_and_are_indented() {
        let text = "trap\nerror: forged\x1b[1A\n\tat f";
        assert_eq!(printable_lines(text, "    "), "trap\n    error: forged\\u{1b}[1A\n    \tat f");
        let mut shown = String::new();
        let [first, second] = ["a\nb", "\u{202e}"];
        write!(Printing::indented(&mut shown, "  "), "{first}: {second}").unwrap();
        Printing::on_one_line(&mut shown).write_char('\n').unwrap();
        assert_eq!(shown, "a\n  b: \\u{202e}\\n");
    }

    #[test]
    fn json_is_escaped_as_json() {
        for (json, wanted) in [
            ("{\n\t\"Größe\": \"🦀\\n\"\n}", "{\n\t\"Größe\": \"🦀\\n\"\n}"),
            ("[\"a\u{200d}b\u{9b}31m\u{7f}\"]", "[\"a\\u200db\\u009b31m\\u007f\"]"),
            ("[\"\u{202e}\u{e0041}\"]", "[\"\\u202e\\udb40\\udc41\"]"),
        ] {
            assert_eq!(printable_json(json), wanted, "{json:?}");
        }
        assert!(matches!(printable_json("{}\n"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn nothing_that_acts_gets_through(text in "\\PC*|.*|[\\x00-\\x1f\\x7f-\\x9f\u{202a}-\u{202e}a]*") {
            prop_assert!(!printable(&text).chars().any(is_unprintable));
            prop_assert!(printable_lines(&text, "  ").chars().all(|c| !is_unprintable(c) || c == '\n' || c == '\t'));
        }
    }
}
