//! How urgent a call to Athena is. PURE.

use super::step::Step;
use crate::athena::quota::Priority;
use crate::session::rules::{Case, Evidence};

pub fn of(case: &Case<'_>, step: &Step) -> Priority {
    match step {
        Step::TerminateSession { .. } => Priority::End,
        Step::StartSession { .. } => Priority::Start,
        _ if ends_a_session(case) => Priority::FreshLook,
        // An id that Athena doesn't know may never be known.
        Step::GetSession if case.facts.observed.session.absence.is_none() => Priority::Adopt,
        _ => Priority::Poll,
    }
}

/// Whether an end is asked for of a session that there is, as far as is known: Athena has shown it, to this process or to an
/// earlier one, or StartSession may have started it. Anybody can ask for the end of thousands of ids that no session has,
/// so the request alone makes no call urgent.
fn ends_a_session(case: &Case<'_>) -> bool {
    let there_is_one = match case.evidence {
        Evidence::Alive(_) | Evidence::Unconfirmed(_) | Evidence::Ended => true,
        Evidence::None if case.start.state.is_pending() => case.start.may_run,
        Evidence::None => case.facts.once_seen(),
        Evidence::Missing(_) | Evidence::Absent => false,
    };
    case.end_reason.is_some() && there_is_one
}
