//! What is asked of the poller of the session's work group. PURE.

use std::time::Duration;

use super::poll::{is_overdue, sight_lasts, until_throttling_is_over};
use super::ttl;
use super::waiting::{due_beside_session, sooner, until_described};
pub use crate::athena::informer::types::Interest;
use crate::index::access::Denied;
use crate::session::conditions::Findings;
use crate::session::observed::Seen;
use crate::session::rules::{Case, Evidence};
use crate::status::reason::{Pace, Reason};

/// A wait that each sight of the unchanged session prolongs, so that the object isn't reconciled for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prolonged {
    pub sight_lasts: Duration,
    /// How long from now until the object is reconciled for another reason, as far as is known now; None: never.
    pub at_most: Option<Duration>,
}

/// How closely the poller of the work group is to watch the object's session; None: not at all.
pub fn of(case: &Case<'_>, findings: &Findings) -> Option<Interest> {
    let facts = case.facts;
    facts.session_id()?;
    // A recorded session counts as this object's only after Athena has shown its mark, so it has to be polled first.
    let is_own_to_see = facts.is_held() && case.start.state.is_pending() && facts.observed.session.absence.is_none();
    let may_ask = case.whose.may_know || is_own_to_see;
    if !may_ask || facts.access.denied == Some(Denied::WorkGroupNotFound) || findings.wrong_target.is_some() {
        return None;
    }
    match case.evidence {
        Evidence::None => Some(Interest::FirstSight),
        Evidence::Unconfirmed(_) => Some(Interest::Changing),
        Evidence::Alive(_) => Some(match findings.told.as_ref().map(|told| told.reason) {
            Some(Reason::Terminating) if case.end_reason.is_some() => Interest::Ending,
            Some(reason) if reason.row().pace != Pace::Fast => Interest::Steady,
            _ => Interest::Changing,
        }),
        // A list that shows it after all wakes the object.
        Evidence::Missing(_) | Evidence::Absent if !facts.once_seen() => Some(Interest::FirstSight),
        Evidence::Ended | Evidence::Missing(_) | Evidence::Absent => None,
    }
}

/// Where an object waits `after` only for the poller to show its session again: how that wait is prolonged. A sight of the
/// unchanged session is all that the object would look for, so it needn't be reconciled to find that.
pub(super) fn prolonged(case: &Case<'_>, findings: &Findings, after: Option<Duration>) -> Option<Prolonged> {
    let Evidence::Alive(seen) = case.evidence else { return None };
    let sight_lasts = sight_lasts(case.facts, findings);
    let is_for_sight = after == Some(case.facts.until(seen.at + sight_lasts));
    let is_steady = of(case, findings) == Some(Interest::Steady) && !is_overdue(findings);
    let at_most = due_beside_sights(case, findings, seen);
    (case.facts.polled && is_for_sight && is_steady).then_some(Prolonged { sight_lasts, at_most })
}

/// How long from now until an object whose session stays as it is has to be reconciled. Without these waits a limit that is
/// reached later than the next sight is due would be missed.
fn due_beside_sights(case: &Case<'_>, findings: &Findings, seen: &Seen) -> Option<Duration> {
    let facts = case.facts;
    let of_session = [case.next_limit_in(), until_described(facts), until_throttling_is_over(facts, seen)];
    of_session.into_iter().fold(sooner(due_beside_session(case, findings), ttl::wait(case)), sooner)
}
