//! The regular expressions of all rules and protections. PURE.
//!
//! 50 of them against each of 10,000 descriptions, after each list: in one pass that takes milliseconds. But crate regex leaves its
//! fast way, and takes a second or more, where a pattern has `\b` and the description isn't ASCII, and where many patterns with
//! classes such as `\w` need more memory than it may use. So a description that isn't ASCII is matched by one pattern after the
//! other, and a pass may use more memory than by default.

use std::sync::{LazyLock, OnceLock};

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder, SetMatches};

use crate::api::cleanup::{HOW_TO_BE_READ_ALIKE, READ_DIFFERENTLY};
use crate::text::one_line;

/// None would mean that the expression itself can't be read. The tests would notice.
static DIFFERENCE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(READ_DIFFERENTLY).ok());

/// The most bytes that a compiled pattern may take. Patterns such as `(x{1000}){1000}` would take all memory.
const PATTERN_BYTES: usize = 128 * 1024;

/// The most bytes that a pass may keep to be fast. 50 patterns such as `\d+ of \w+ in team 7$` need more than the default of 2 MiB.
const PASS_BYTES: usize = 4 * 1024 * 1024;

/// Which pattern, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pattern(usize);

/// The patterns, while they are being read.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    texts: Vec<String>,
}

impl Patterns {
    /// Adds a pattern.
    ///
    /// # Errors
    /// Why the pattern can't be used, in one line.
    pub(super) fn add(&mut self, text: &str) -> Result<Pattern, String> {
        compile(text)?;
        if DIFFERENCE.as_ref().is_none_or(|difference| difference.is_match(text)) {
            return Err(HOW_TO_BE_READ_ALIKE.to_owned());
        }
        self.texts.push(text.to_owned());
        Ok(Pattern(self.texts.len() - 1))
    }

    /// All of them, ready to match.
    pub(super) fn build(self) -> PatternSet {
        let bound = PATTERN_BYTES * self.texts.len().max(1) * 2;
        // Each has been compiled by itself, within half of this bound.
        let together = RegexSetBuilder::new(&self.texts).size_limit(bound).dfa_size_limit(PASS_BYTES).build().ok();
        PatternSet { texts: self.texts, together, each: OnceLock::new() }
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(PATTERN_BYTES).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            "the regular expression is too large: make its repetitions smaller".to_owned()
        }
        // The message has the pattern with a pointer below it, on lines of their own, before the reason.
        error => {
            let error = error.to_string();
            let reason = error.rsplit("error: ").next().unwrap_or_default();
            format!("the regular expression {text:?} can't be read: {}", one_line(reason))
        }
    })
}

/// The patterns, ready to match.
#[derive(Debug)]
pub(super) struct PatternSet {
    texts: Vec<String>,
    /// For one pass; None where they are too large together.
    together: Option<RegexSet>,
    /// One by one, from the first description on that needs them.
    each: OnceLock<Vec<Regex>>,
}

/// Which patterns match a description.
pub(super) enum Matches<'a> {
    Together(SetMatches),
    Each(&'a [Regex], &'a str),
}

impl PatternSet {
    pub(super) fn of<'a>(&'a self, description: &'a str) -> Matches<'a> {
        match &self.together {
            Some(together) if description.is_ascii() => Matches::Together(together.matches(description)),
            Some(_) | None => Matches::Each(self.each(), description),
        }
    }

    fn each(&self) -> &[Regex] {
        self.each.get_or_init(|| self.texts.iter().filter_map(|text| compile(text).ok()).collect())
    }
}

impl Matches<'_> {
    pub(super) fn has(&self, pattern: Pattern) -> bool {
        match self {
            Self::Together(found) => found.matched(pattern.0),
            Self::Each(patterns, description) => patterns[pattern.0].is_match(description),
        }
    }
}
