//! What is told of an object. PURE.

use crate::status::reason::Reason;

/// Where the object stands, and the sentence that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In a word.
    pub reason: Reason,
    /// In a sentence that stays the same as long as nothing changes.
    pub message: String,
}
