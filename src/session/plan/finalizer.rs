//! When our finalizer is put on an object, and when it goes. PURE.

use super::step::Step;
use super::waiting::wait_for_others;
use super::{events, retain, start};
use crate::api::session::DeletionPolicy;
use crate::index::claims::Claim;
use crate::session::conditions::Findings;
use crate::session::observed::ANSWER_LIFE;
use crate::session::rules::Case;

pub(super) fn take_on(case: &Case<'_>, findings: &Findings) -> Step {
    if case.facts.is_deleted() {
        return Step::Wait(None);
    }
    match &findings.not_taken_on {
        Some(finding) => wait_for_others(case.facts, Some(finding.reason)),
        None if case.facts.access.lacks_finalizer => Step::Wait(None),
        None => start::record_not_attempted(case).unwrap_or(Step::AddFinalizer),
    }
}

/// The next step for an object with our finalizer, where it doesn't depend on a further look at the session: the object goes,
/// or the session isn't this object's. None where it does.
pub(super) fn settled(case: &Case<'_>, findings: &Findings) -> Option<Step> {
    let facts = case.facts;
    let is_deleted = facts.is_deleted();
    if is_deleted && facts.object.spec.deletion_policy == DeletionPolicy::Retain {
        return Some(retain::next(case, findings));
    }
    // No session was started: the object goes without a word to Athena, whatever else holds it up.
    if is_deleted && case.start.state.is_none_shown() {
        return Some(release(case));
    }
    if let Some(owner) = &facts.access.owner {
        return Some(defer_to_owner(case, owner));
    }
    let was_never_ours = case.whose.is_foreign && !case.whose.was_ours;
    if is_deleted && (case.has_ended() || was_never_ours) {
        return Some(release(case));
    }
    case.whose.is_foreign.then_some(Step::Wait(None))
}

/// Removes the finalizer: there is evidence that no session of the object is left to be ended.
pub(super) fn release(case: &Case<'_>) -> Step {
    Step::RemoveFinalizer { event: events::released_event(case) }
}

/// The next step for an object whose session another object owns. A deleted object is let go only when the API server
/// has just shown that the owner exists and isn't being deleted: otherwise nobody would end the session.
fn defer_to_owner(case: &Case<'_>, owner: &Claim) -> Step {
    let facts = case.facts;
    if !facts.is_deleted() {
        return Step::Wait(Some(facts.timing.steady));
    }
    match &facts.observed.session.owner {
        Some(read) if read.uid == owner.uid && facts.now.tick <= read.at + ANSWER_LIFE => {
            // Where the owner is gone, or leaves the session, the watch shows that soon, and the owner changes.
            if read.stands { release(case) } else { Step::Wait(Some(facts.timing.changing)) }
        }
        _ => Step::GetOwner { owner: owner.clone() },
    }
}
