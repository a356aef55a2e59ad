//! Parts of sentences that several messages share. PURE.

use crate::api::PAUSED;
use crate::api::session::DeletionPolicy;
use crate::athena::types::Account;
use crate::index::access::{HOW_TO_RESUME, Suspension};
use crate::session::rules::case::Case;

/// The message, and how to let the object go at once, where the object is being deleted. A person who reads why a deletion hangs should read
/// that, too.
pub(super) fn with_way_out(case: &Case<'_>, message: String) -> String {
    if case.facts.is_deleted() && case.facts.object.spec.deletion_policy == DeletionPolicy::Terminate {
        format!(
            "{message} To let the object go at once, set spec.deletionPolicy: Retain. Its session is left alone then, and \
             billed until it ends."
        )
    } else {
        message
    }
}

/// What chooses the account and Region, as the beginning of a sentence that names them.
pub(super) fn worker(case: &Case<'_>) -> String {
    let group = case.facts.access.reference.as_ref();
    group.map_or_else(|| "the operator works".to_owned(), |name| format!("AthenaWorkGroup {name} is"))
}

/// Where calls to Athena go.
pub(crate) fn place(case: &Case<'_>) -> String {
    let region = case.facts.scope.region.as_deref().unwrap_or("unknown");
    match &case.facts.scope.account {
        Account::Known(account) => format!("in account {account}, Region {region}"),
        Account::Unknown(_) => format!("in Region {region}"),
    }
}

/// The message where the annotation `paused` holds up the `start` or the `end` of the session; None where it doesn't.
pub(super) fn paused(case: &Case<'_>, held_up: &str) -> Option<String> {
    let place = match case.facts.access.suspension? {
        Suspension::ReadOnly => return None,
        Suspension::ObjectPaused => "this object".to_owned(),
        Suspension::WorkGroupPaused => {
            format!("AthenaWorkGroup {}", reference(case))
        }
    };
    Some(format!("The annotation {PAUSED} on {place} holds up the {held_up} of the session{HOW_TO_RESUME}"))
}

/// The beginning of a message about what keeps the session from being handed over, or from being ended with its workloads.
pub(super) fn blocker_prefix(case: &Case<'_>) -> &'static str {
    if case.start.state.is_pending() { "No session is started, since" } else { "The session is up, and" }
}

/// The name of the AthenaWorkGroup that the object refers to.
pub(super) fn reference<'a>(case: &Case<'a>) -> &'a str {
    case.facts.access.reference.as_deref().unwrap_or_default()
}
