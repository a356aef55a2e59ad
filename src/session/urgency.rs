//! How urgent a call to Athena is. PURE.

use super::decide::Step;
use super::starting;
use super::view::{Evidence, View};
use crate::athena::quota::Priority;

/// The priority of the call that the step makes.
#[must_use]
pub fn priority(view: &View<'_>, step: &Step) -> Priority {
    match step {
        Step::TerminateSession { .. } => Priority::End,
        Step::StartSession { .. } => Priority::Start,
        _ if ends_a_session(view) => Priority::FreshLook,
        // An id that Athena doesn't know may never be known.
        Step::GetSession if view.observed.absence.is_none() => Priority::Adopt,
        _ => Priority::Poll,
    }
}

/// Whether an end is asked for of a session that there is, as far as is known: Athena has shown it, to this process or to an
/// earlier one, or StartSession may have started it. Anybody can ask for the end of thousands of ids that no session has,
/// so the request alone makes no call urgent.
fn ends_a_session(view: &View<'_>) -> bool {
    if view.intent().is_none() {
        return false;
    }
    match view.evidence() {
        Evidence::Alive(_) | Evidence::Unconfirmed(_) | Evidence::Ended => true,
        Evidence::None if view.is_starting() => starting::may_run(view),
        Evidence::None => view.once_seen(),
        Evidence::Missing(_) | Evidence::Absent => false,
    }
}
