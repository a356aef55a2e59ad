//! The end of a session that is asked for: why, what holds it up, and how long it takes. PURE.

use std::time::Duration;

use super::finding::{Finding, Findings};
use super::words::{reference, with_way_out};
use super::{limits, workloads};
use crate::api::session::TerminationReason;
use crate::athena::types::SessionState;
use crate::session::rules::limits::Grace;
use crate::session::rules::{Case, Evidence};
use crate::status::reason::Reason;
use crate::text::duration;

/// An end that is asked for, and what is in its way.
pub(super) fn awaited(case: &Case<'_>, sentence: &str) -> Finding {
    let asked = case.end_reason.map_or_else(String::new, |reason| format!("{}: ", why(case, reason)));
    let message = format!("{asked}the end of the session is requested. {sentence}");
    Finding { reason: Reason::Terminating, message: with_way_out(case, message) }
}

/// Why the session is ended, as the beginning of a sentence.
pub(super) fn why(case: &Case<'_>, reason: TerminationReason) -> String {
    match reason {
        TerminationReason::ObjectDeleted => "The object was deleted".to_owned(),
        TerminationReason::WorkGroupLimit if case.ending_limit.is_none() => {
            format!("A limit of AthenaWorkGroup {} (spec.limits) is reached", reference(case))
        }
        reason => clause(case, reason),
    }
}

/// Why the session is ended, as a part of a sentence.
pub(super) fn clause(case: &Case<'_>, reason: TerminationReason) -> String {
    match reason {
        TerminationReason::WorkloadFinished => workloads::finished(case),
        TerminationReason::WorkGroupLimit => match case.ending_limit {
            Some(limit) => format!("{} is reached", limits::name(case, limit.bound)),
            None => format!("a limit of AthenaWorkGroup {} (spec.limits) is reached", reference(case)),
        },
        reason => reason.clause().to_owned(),
    }
}

/// What holds up the end of a session that lives. `ReadOnly` says what would be done now. An end that would wait for a BUSY
/// session isn't due now.
pub(super) fn held_up(case: &Case<'_>, findings: &Findings) -> Option<Finding> {
    let Evidence::Alive(seen) = case.evidence else { return None };
    let blocker = findings.end_blocker.as_ref()?;
    let isnt_due = blocker.reason == Reason::ReadOnly && case.draining.is_some();
    (seen.status.state != SessionState::Terminating && !isnt_due).then(|| blocker.clone())
}

pub(super) fn draining(case: &Case<'_>) -> Option<Finding> {
    let (reason, Grace { since, until, .. }) = (case.end_reason?, case.draining?);
    let message = format!(
        "{}. The end was requested at {since}. The session is still BUSY. The operator ends it when it isn't BUSY any \
         more, at {until} at the latest. To end it sooner, shorten spec.terminationGracePeriod.",
        why(case, reason)
    );
    Some(Finding { reason: Reason::Draining, message: with_way_out(case, message) })
}

pub(super) fn overdue(case: &Case<'_>) -> Option<Finding> {
    let Evidence::Alive(seen) = case.evidence else { return None };
    let (facts, state) = (case.facts, &seen.status.state);
    if !is_overdue(case, state) {
        return None;
    }
    let id = facts.id();
    let (overdue, steady) = (duration(facts.timing.overdue), duration(facts.timing.steady));
    let message = format!(
        "The session has been ending for more than {overdue}, and Athena still says {state}. The operator polls it \
         every {steady}, and calls TerminateSession again while it is active. If this goes on, ask AWS support about \
         session {id}."
    );
    Some(Finding { reason: Reason::TerminationOverdue, message: with_way_out(case, message) })
}

/// Counted from the first sign, to this process, that the end is under way; of a session that was
/// TERMINATING by then, from when the end was asked for.
fn is_overdue(case: &Case<'_>, state: &SessionState) -> bool {
    let facts = case.facts;
    let under_way = case.end_reason.is_some() || *state == SessionState::Terminating;
    let told =
        facts.recorded_condition("Ready").is_some_and(|ready| ready.reason == Reason::TerminationOverdue.as_str());
    let recorded_at = facts.recorded().and_then(|status| status.termination_requested_at.as_ref());
    let is_ended_before = *state == SessionState::Terminating && facts.observed.session.accepted_at.is_none();
    let asked_at = if is_ended_before { recorded_at.map(|time| time.0) } else { None };
    let asked_for = asked_at.and_then(|at| Duration::try_from(facts.athena_now().duration_since(at)).ok());
    let ending_since = facts.observed.session.ending_since;
    let under_way_for = ending_since.map(|since| facts.now.tick.saturating_duration_since(since));
    under_way && (told || asked_for.max(under_way_for) >= Some(facts.timing.overdue))
}
