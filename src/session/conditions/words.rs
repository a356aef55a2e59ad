//! What several findings share: parts of their sentences, and what is told of a failed call to AWS. PURE.

use super::finding::Finding;
use crate::api::session::DeletionPolicy;
use crate::athena::types::{Account, ErrorClass};
use crate::session::observed::Trouble;
use crate::session::rules::Case;
use crate::status::failure::explain;

/// A failure that may pass by itself is reported only after this many failures in a row.
const TOLD_AFTER: u32 = 3;

/// Whether a person should hear of the failure: of passing trouble only when it stays.
pub(crate) fn is_told(trouble: &Trouble) -> bool {
    match trouble.error.class {
        ErrorClass::Throttled | ErrorClass::Unavailable => trouble.attempts >= TOLD_AFTER,
        _ => true,
    }
}

pub(super) fn failed_call(case: &Case<'_>, trouble: &Trouble) -> Finding {
    let (reason, message) = explain(&trouble.error, case.facts.scope, case.facts.timing);
    Finding { reason, message: with_way_out(case, message) }
}

/// The message, and how to let the object go at once, where the object is being deleted. A person who reads why a deletion hangs should read
/// that, too.
pub(super) fn with_way_out(case: &Case<'_>, message: impl Into<String>) -> String {
    let message = message.into();
    if case.facts.is_deleted() && case.facts.object.spec.deletion_policy == DeletionPolicy::Terminate {
        format!(
            "{message} To remove the object at once, set spec.deletionPolicy: Retain. The session then keeps running, \
             and is billed until it ends."
        )
    } else {
        message
    }
}

pub(crate) fn target(case: &Case<'_>) -> String {
    let region = case.facts.scope.region.as_deref().unwrap_or("unknown");
    match &case.facts.scope.account {
        Account::Known(account) => format!("in account {account}, Region {region}"),
        Account::Unknown(_) => format!("in Region {region}"),
    }
}

/// The beginning of a message about what keeps the session from being handed over, or from being ended with its workloads.
pub(super) fn blocker_prefix(case: &Case<'_>) -> &'static str {
    if case.start.state.is_pending() { "No session is started, since" } else { "The session is up, and" }
}

/// The name of the AthenaWorkGroup that the object refers to.
pub(super) fn reference<'a>(case: &Case<'a>) -> &'a str {
    case.facts.access.reference.as_deref().unwrap_or_default()
}
