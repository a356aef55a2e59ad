//! What failed calls to AWS mean for people, and what to do. PURE.

use super::finding::Finding;
use super::words::with_way_out;
use crate::athena::types::ErrorClass;
use crate::session::observed::Trouble;
use crate::session::rules::case::Case;
use crate::status::failure::explain;

/// Passing trouble is told from this failure in a row on.
const TOLD_AFTER: u32 = 3;

/// Whether a person should hear of the failure: of passing trouble only when it stays.
pub(crate) fn is_told(trouble: &Trouble) -> bool {
    match trouble.error.class {
        ErrorClass::Throttled | ErrorClass::Unavailable => trouble.attempts >= TOLD_AFTER,
        _ => true,
    }
}

/// What is told of a call that fails.
pub(super) fn trouble(case: &Case<'_>, trouble: &Trouble) -> Finding {
    let (reason, message) = explain(&trouble.error, case.facts.scope, case.facts.timing);
    Finding { reason, message: with_way_out(case, message) }
}
