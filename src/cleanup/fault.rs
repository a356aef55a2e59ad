//! What is wrong with a rule or with an entry of `protect`. PURE.

use std::fmt;

/// A rule, or an entry of `protect`, that can't be used as it is written. It ends nothing, and it protects the sessions that
/// its readable conditions match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The path of the field, such as `rules[1].match.description`.
    pub path: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl Fault {
    pub(super) fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}
