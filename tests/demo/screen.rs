//! What the demo prints, in colour on a terminal only.

use std::io::{IsTerminal, Write, stderr, stdout};

/// A chapter of the story.
pub fn chapter(title: &str) {
    line(&format!("\n{}", paint("1;36", &format!("── {title}"))));
}

/// What the reader should know.
pub fn tell(text: &str) {
    line(text);
}

/// What is of less interest.
pub fn note(text: &str) {
    line(&paint("2", text));
}

/// A command, as a user would type it.
pub fn command(typed: &str) {
    line(&format!("\n{}", paint("1", &format!("$ {typed}"))));
}

/// What holds.
pub fn good(text: &str) {
    line(&paint("32", text));
}

/// What ends the demo.
pub fn bad(text: &str) {
    let text = if stderr().is_terminal() && wants_colour() { painted("1;31", text) } else { text.to_owned() };
    // Nobody is left to be told where stderr is closed.
    let _ = writeln!(stderr(), "{text}");
}

/// Arguments as a shell reads them.
pub fn typed(program: &str, arguments: &[&str]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:@,".contains(c);
    let quoted = arguments.iter().map(|argument| {
        if argument.chars().all(plain) {
            (*argument).to_owned()
        } else {
            format!("'{}'", argument.replace('\'', r"'\''"))
        }
    });
    std::iter::once(program.to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

/// A table whose columns are as wide as their longest cell; the first row is the head.
pub fn table(rows: &[Vec<String>]) {
    let mut widths = vec![];
    for row in rows {
        widths.resize(row.len(), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        line(cells.collect::<Vec<_>>().join("   ").trim_end());
    }
}

fn paint(style: &str, text: &str) -> String {
    if stdout().is_terminal() && wants_colour() { painted(style, text) } else { text.to_owned() }
}

fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn painted(style: &str, text: &str) -> String {
    format!("\x1b[{style}m{text}\x1b[0m")
}

fn line(text: &str) {
    // A reader that has gone, as `head` does, is no reason to leave the stage standing.
    let _ = writeln!(stdout(), "{text}");
}
