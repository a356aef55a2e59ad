//! Text for people: on one line, of bounded length, and without characters that can't be seen.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use jiff::fmt::friendly::{Spacing, SpanPrinter};
use kube::runtime::watcher;
use tracing::warn;

/// A text of somebody else's is a part of a message, which has a bound as well.
const MOST_BYTES: usize = 400;

/// The bound of a condition's or an event's message. The API server refuses events of more than 1 kB.
const MESSAGE_BYTES: usize = 1_000;

/// What is kept of the end of a message that is too long.
const MESSAGE_END_BYTES: usize = 300;

/// An error with its causes.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors repeat their cause.
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    one_line(&line)
}

/// What Kubernetes said: the API server's message where it answered, the causes where it didn't.
#[must_use]
pub fn kubernetes(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => one_line(&format!("{} (HTTP {})", status.message, status.code)),
        // The outer words only name a layer of the client.
        error => error.source().map_or_else(|| chain(error), chain),
    }
}

/// A text of somebody else's, as it may stand in a sentence: white space folded, hidden characters written out, and no longer
/// than fits.
#[must_use]
pub fn one_line(text: &str) -> String {
    cut(text, MOST_BYTES)
}

/// The same with a bound of one's own.
#[must_use]
pub fn cut(text: &str, most_bytes: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line = visible(&line).into_owned();
    if line.len() > most_bytes {
        line.truncate(line.floor_char_boundary(most_bytes));
        line.push('…');
    }
    line
}

/// A message as a condition or an event may have it: hidden characters written out, and no longer than fits. Where it is too
/// long, its middle is left out, since its end says what to do.
#[must_use]
pub fn message(text: &str) -> String {
    let text = visible(text);
    if text.len() <= MESSAGE_BYTES {
        return text.into_owned();
    }
    let gap = " … ";
    let begin = &text[..text.floor_char_boundary(MESSAGE_BYTES - MESSAGE_END_BYTES - gap.len())];
    let end = &text[text.ceil_char_boundary(text.len() - MESSAGE_END_BYTES)..];
    format!("{begin}{gap}{end}")
}

/// A text whose hidden characters are written out, such as `\u001b`. As a string of JSON it remains one.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut visible = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_hidden(character) {
            // Writing to a String doesn't fail.
            let _ = write!(visible, "\\u{:04x}", u32::from(character));
        } else {
            visible.push(character);
        }
    }
    Cow::Owned(visible)
}

/// Whether a character can't be seen: a control character, which may command a terminal, the end of a line, a character
/// without width, or a mark that turns the direction of writing. With these a text can look like another one.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    let has_no_width = matches!(character, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{feff}');
    let turns_direction =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}');
    character.is_control() || has_no_width || turns_direction || matches!(character, '\u{2028}' | '\u{2029}')
}

/// A duration as people write it in a spec: `30m`, not `1800s`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    SpanPrinter::new().spacing(Spacing::None).unsigned_duration_to_string(&duration)
}

/// What is wrong with a watch.
#[must_use]
pub fn watch_problem(error: &watcher::Error) -> String {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<kube::Error>());
    cause.map_or_else(|| chain(error), kubernetes)
}

/// Says a problem of a watch once, not at each retry.
#[derive(Debug)]
pub struct Told {
    what: String,
    last: Option<(String, Instant)>,
}

impl Told {
    /// The same problem after so long is news again.
    const NEWS_AGAIN: Duration = Duration::from_secs(600);

    /// For the watch of this name.
    #[must_use]
    pub fn of(what: String) -> Self {
        Self { what, last: None }
    }

    /// The watch has this problem.
    pub fn trouble(&mut self, problem: &str) {
        let told = self.last.as_ref().is_some_and(|(told, at)| told == problem && at.elapsed() < Self::NEWS_AGAIN);
        if !told {
            warn!(problem, "the {} is broken; it is tried again, at the latest every 30 s", self.what);
            self.last = Some((problem.to_owned(), Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_as_in_a_spec() {
        for (millis, written) in
            [(500, "500ms"), (2_000, "2s"), (90_000, "1m30s"), (1_800_000, "30m"), (259_200_000, "72h")]
        {
            assert_eq!(duration(Duration::from_millis(millis)), written);
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let line = one_line(&format!("a\n\tb {}", "ü".repeat(MOST_BYTES)));
        assert!(line.starts_with("a b ü") && line.ends_with("ü…"));
        assert!(line.len() <= MOST_BYTES + '…'.len_utf8());
    }

    #[test]
    fn hidden_characters_are_written_out() {
        for (text, seen) in [
            ("plain, ü and 会話", "plain, ü and 会話"),
            ("\u{1b}[31mred\u{1b}[0m", r"\u001b[31mred\u001b[0m"),
            ("\u{9b}2J\u{7f}\u{0}", r"\u009b2J\u007f\u0000"),
            ("a\u{202e}b\u{2066}c\u{2069}\u{200f}\u{61c}", r"a\u202eb\u2066c\u2069\u200f\u061c"),
            ("one\u{2028}two\u{85}three", r"one\u2028two\u0085three"),
            ("TERMINATED\u{200b}\u{feff}", r"TERMINATED\u200b\ufeff"),
        ] {
            assert_eq!(visible(text), seen);
            assert!(!one_line(text).contains(is_hidden));
        }
        assert_eq!(one_line("one\u{2028}two\u{85}three\t\u{1b}"), r"one two three \u001b");
    }

    #[test]
    fn a_message_that_is_too_long_keeps_its_beginning_and_its_end() {
        let long = format!("It begins {} Do this.", "ü".repeat(MESSAGE_BYTES));
        let cut = message(&long);
        assert!(cut.starts_with("It begins ü") && cut.contains(" … ü") && cut.ends_with("ü Do this."), "{cut}");
        assert!(cut.len() <= MESSAGE_BYTES, "{}", cut.len());
        let fits = "x".repeat(MESSAGE_BYTES);
        assert_eq!(message(&fits), fits);
        assert!(message(&"\u{1b}".repeat(MESSAGE_BYTES)).len() <= MESSAGE_BYTES);
    }
}
