//! The regular expressions of all rules and protections, which are matched against a description in one pass. PURE.

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder, SetMatches};

use crate::text::one_line;

/// The most bytes that a compiled pattern may take. Patterns such as `(x{1000}){1000}` would take all memory.
const PATTERN_BYTES: usize = 128 * 1024;

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
        self.texts.push(text.to_owned());
        Ok(Pattern(self.texts.len() - 1))
    }

    /// All of them, ready to match.
    pub(super) fn build(self) -> PatternSet {
        let bound = PATTERN_BYTES * self.texts.len().max(1) * 2;
        // Each has been compiled by itself, within half of this bound.
        let set = RegexSetBuilder::new(&self.texts).size_limit(bound).build();
        match set {
            Ok(set) => PatternSet::Set(set),
            Err(_) => PatternSet::Each(self.texts.iter().filter_map(|text| compile(text).ok()).collect()),
        }
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
pub(super) enum PatternSet {
    /// All in one pass.
    Set(RegexSet),
    /// Together they are too large for one pass.
    Each(Vec<Regex>),
}

/// Which patterns match a description.
pub(super) enum Matches<'a> {
    Set(SetMatches),
    Each(&'a [Regex], &'a str),
}

impl PatternSet {
    pub(super) fn of<'a>(&'a self, description: &'a str) -> Matches<'a> {
        match self {
            Self::Set(set) => Matches::Set(set.matches(description)),
            Self::Each(patterns) => Matches::Each(patterns, description),
        }
    }
}

impl Matches<'_> {
    pub(super) fn has(&self, pattern: Pattern) -> bool {
        match self {
            Self::Set(found) => found.matched(pattern.0),
            Self::Each(patterns, description) => patterns[pattern.0].is_match(description),
        }
    }
}
