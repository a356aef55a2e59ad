//! What an object reports of its share of the sessions that its namespace may have at once. PURE.

use crate::api::session::StartOutcome;
use crate::index::session_quota::Usage;
use crate::session::conditions::Findings;
use crate::session::rules::start::StartState;
use crate::session::rules::{Case, Evidence};
use crate::status::failure::explain;
use crate::status::reason::{Reason, Standing};

/// What is known of the session that the object has its slot for; None where it starts none.
pub(super) fn of(case: &Case<'_>, findings: &Findings) -> Option<Usage> {
    let facts = case.facts;
    if case.start.state == StartState::NotAsked {
        return None;
    }
    if facts.is_deleted() && !facts.is_held() {
        return Some(Usage::Unused);
    }
    let start = &facts.observed.start;
    let is_wanted = case.end_reason.is_none();
    let is_called = case.start.attempt.is_some_and(|attempt| attempt.outcome != StartOutcome::Refused);
    let is_call_recorded = is_called && facts.recorded_terminated().is_none();
    Some(match case.start.state {
        StartState::Started if case.has_ended() || case.evidence == Evidence::Absent => Usage::Unused,
        StartState::Started => Usage::InUse,
        StartState::NotStarted if is_wanted && !waits_for_others(case, findings) => Usage::Wanted,
        StartState::NotStarted => Usage::Unused,
        StartState::NoneListed if !is_wanted => Usage::Unused,
        _ if start.called_at.is_some() || is_call_recorded => Usage::MaybeInUse,
        _ => Usage::Wanted,
    })
}

/// Whether a start has to wait for a person or for its workloads, so that another object may have the slot meanwhile. An
/// object that waits for Athena's capacity keeps its slot, since capacity comes by itself. An object whose call is due
/// again has reserved its slot anew. With --read-only an object keeps its turn, since `ReadOnly` is only a forecast.
fn waits_for_others(case: &Case<'_>, findings: &Findings) -> bool {
    let facts = case.facts;
    if facts.access.denied.is_some() || findings.wrong_target.is_some() {
        return true;
    }
    let blocker = findings.start_blocker.as_ref().map(|blocker| blocker.reason);
    let blocker = blocker.filter(|reason| !matches!(reason, Reason::WaitingForQuota | Reason::ReadOnly));
    let refusal = || {
        let trouble = facts.observed.start.trouble.as_deref()?;
        let is_waiting = trouble.due_at(facts.scope.recovered_at) > facts.now.tick;
        is_waiting.then(|| explain(&trouble.error, facts.scope, facts.timing).0)
    };
    let waits = |reason: Reason| reason == Reason::WaitingForWorkload || reason.row().standing == Standing::Stalled;
    blocker.or_else(refusal).is_some_and(waits)
}
