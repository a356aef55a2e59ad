//! The note on why an object stays that `spec.ttlAfterEnded` should delete. PURE.

use super::finding::Finding;
use crate::session::rules::Case;
use crate::session::rules::ttl::tracker;
use crate::status::reason::Reason;

const NOTE: &str = " spec.ttlAfterEnded ";

/// Adds to the finding why the object still exists, where `spec.ttlAfterEnded` should have deleted it.
pub(super) fn with_note(case: &Case<'_>, finding: Finding) -> Finding {
    let facts = case.facts;
    let is_end = matches!(finding.reason, Reason::Ended | Reason::Failed | Reason::SessionNotFound);
    if !is_end || facts.object.spec.ttl_after_ended.is_none() || facts.is_deleted() {
        return finding;
    }
    // One that is kept from an earlier process may have a note already.
    let message = finding.message.split(NOTE).next().unwrap_or_default();
    let refusal = facts.observed.session.ttl.retry.as_ref().and_then(|retry| retry.refusal.as_ref());
    let note = match (tracker(facts), refusal) {
        (Some(tracker), _) => format!(
            "{NOTE}doesn't delete this object: {tracker} tracks the object and would create it again, which would \
             start another session. Remove the object from the sources of that tool."
        ),
        (None, Some(refusal)) => format!(
            "{NOTE}can't delete this object ({refusal}): a cluster administrator can add the component deploy/workloads \
             to the operator's installation."
        ),
        (None, None) if case.workloads.keep_object() => {
            format!("{NOTE}counts from when the workloads of spec.endWith have finished.")
        }
        (None, None) => String::new(),
    };
    Finding { message: format!("{message}{note}"), ..finding }
}
