//! Text for people: on one line, of bounded length, and without characters that can't be seen. PURE.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::friendly::{Spacing, SpanPrinter};

/// The bound of a text of somebody else's, which is a part of a message.
const MOST_BYTES: usize = 400;

/// The bound of a condition's or an event's message. The API server refuses events of more than 1 kB.
const MESSAGE_BYTES: usize = 1_000;

/// What is kept of the end of a message that is too long.
const MESSAGE_END_BYTES: usize = 300;

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

/// A text of somebody else's, as it may stand in a sentence: with white space folded, with hidden characters written out, and
/// cut where it is too long.
pub fn one_line(text: &str) -> String {
    cut(text, MOST_BYTES)
}

/// A text of somebody else's, as [`one_line`] makes it, of at most so many bytes.
pub fn cut(text: &str, most_bytes: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line = visible(&line).into_owned();
    if line.len() > most_bytes {
        line.truncate(line.floor_char_boundary(most_bytes));
        line.push('…');
    }
    line
}

/// The message of a condition or an event: hidden characters are written out, and a message that is too long loses its
/// middle, since its end says what to do.
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

/// A text with its hidden characters written out, such as `\u001b`. A string of JSON remains a string of JSON.
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
pub fn is_hidden(character: char) -> bool {
    let has_no_width = matches!(character, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{feff}');
    let turns_direction =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}');
    character.is_control() || has_no_width || turns_direction || matches!(character, '\u{2028}' | '\u{2029}')
}

/// A duration as people write it in a spec: `30m`, not `1800s`.
pub fn duration(duration: Duration) -> String {
    SpanPrinter::new().spacing(Spacing::None).unsigned_duration_to_string(&duration)
}

/// How long something has lasted, as kubectl shows ages: `5d`, `3h20m`, `90s`.
pub fn age(long: SignedDuration) -> String {
    let seconds = long.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{minutes}m"),
        7200..172_800 if minutes % 60 > 0 => format!("{hours}h{}m", minutes % 60),
        7200..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
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
