//! What a command answers, and how it fails.

use std::borrow::Cow;
use std::io;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

/// Titles.
pub(crate) const TITLE: Style = Style::new().bold();
/// What is as it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What is not.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What matters less.
pub(crate) const DIM: Style = Style::new().dimmed();

/// Things that were compared differ.
pub(crate) const DIFFERENT: u8 = 1;

/// What a command has found: the same as text for people and as JSON for programs.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) json: Value,
    /// The exit code: 0, or [`DIFFERENT`].
    pub(crate) code: u8,
}

impl Answer {
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        Answer { text: text.into(), json, code: 0 }
    }
}

/// Why a command has no answer. Messages name the file and what was found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Arguments that contradict each other, or what the command line's parser cannot know to be wrong.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read or written, is damaged or foreign, or has a class that is not known.
    #[error("{0}")]
    File(String),
    /// Data does not fit the model.
    #[error("{0}")]
    Data(String),
    /// There is no such backend, or it fails.
    #[error("{0}")]
    Compute(String),
    /// Standard output cannot be written.
    #[error("standard output: {0}")]
    Stdout(io::Error),
}

impl Failure {
    /// The exit code; `docs/src/command-line.md` lists them.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::File(_) | Failure::Stdout(_) => 3,
            Failure::Data(_) => 4,
            Failure::Compute(_) => 5,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "error": self.to_string(), "exit_code": self.code() })
    }

    /// A [`Failure::File`] of a file, whose name is put before messages that lack it.
    pub(crate) fn file(path: &std::path::Path, why: impl std::fmt::Display) -> Self {
        let (name, why) = (path.display().to_string(), why.to_string());
        Failure::File(if why.starts_with(&name) { why } else { format!("{name}: {why}") })
    }

    /// A [`Failure::File`] whose message names the file already.
    pub(crate) fn named(error: impl std::fmt::Display) -> Self {
        Failure::File(error.to_string())
    }

    /// A [`Failure::Compute`].
    pub(crate) fn compute(error: impl std::fmt::Display) -> Self {
        Failure::Compute(error.to_string())
    }
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// A table of text: columns as wide as their widest cell, two spaces between them, numbers to the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0).max(header.len());
    let column = |i: usize| rows.iter().map(move |row| row.get(i).map_or("", String::as_str));
    let numeric = |c: &str| c.is_empty() || c.starts_with(|c: char| c.is_ascii_digit() || "-.".contains(c));
    let layout: Vec<(usize, bool)> = (0..columns)
        .map(|i| {
            let width = column(i).chain(header.get(i).copied()).map(|c| c.chars().count()).max();
            (width.unwrap_or(0), i > 0 && column(i).all(numeric))
        })
        .collect();
    let line = |cells: &[&str]| {
        let pad = |(i, &(width, is_number)): (usize, &(usize, bool))| {
            let text = cells.get(i).copied().unwrap_or_default();
            if is_number { format!("{text:>width$}") } else { format!("{text:<width$}") }
        };
        layout.iter().enumerate().map(pad).collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut out = String::new();
    if !header.is_empty() {
        out += &format!("{TITLE}{}{TITLE:#}\n", line(header));
    }
    for row in rows {
        out += &line(&row.iter().map(String::as_str).collect::<Vec<_>>());
        out.push('\n');
    }
    out
}

/// Text with what would command the terminal made visible: names in files may hold anything. Ends of lines stay, and the colours
/// and weights that are put on text here.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| c.is_control() && !['\n', '\t'].contains(&c)) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let style = style_len(rest);
        if style > 0 {
            out += &rest[..style];
            rest = &rest[style..];
            continue;
        }
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    out.into()
}

/// The length of the sequence at the start of a text that sets a style: `ESC [ 1 ; 31 m`.
fn style_len(text: &str) -> usize {
    let Some(numbers) = text.strip_prefix("\x1b[") else { return 0 };
    let len = numbers.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
    if numbers[len..].starts_with('m') { 2 + len + 1 } else { 0 }
}

/// A number with six significant digits, as short as it can be.
pub(crate) fn short(x: f64) -> String {
    if !x.is_finite() || x == 0.0 {
        return x.to_string();
    }
    let digits = 5 - x.abs().log10().floor() as i32;
    if !(0..=10).contains(&digits) {
        return format!("{x:.5e}");
    }
    let text = format!("{x:.*}", digits as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (x, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-0.25, "-0.25"),
            (1.0 / 3.0, "0.333333"),
            (123456.0, "123456"),
            (1e9, "1.00000e9"),
            (1.5e-7, "1.50000e-7"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(short(x), text);
        }
    }

    #[test]
    fn nothing_commands_the_terminal() {
        let title = format!("{TITLE}weights{TITLE:#}\n├─ α\tβ");
        assert_eq!(printable(&title), title);
        assert_eq!(
            printable("a\0b\x1b]0;title\x07\x1b[2Jc\u{9b}2J\r"),
            "a\\u{0}b\\u{1b}]0;title\\u{7}\\u{1b}[2Jc\\u{9b}2J\\r"
        );
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["bcd".to_owned(), "10".to_owned()]];
        let text = anstream::adapter::strip_str(&table(&["x", "n"], &rows)).to_string();
        assert_eq!(text, "x     n\na     1\nbcd  10\n");
    }
}
