//! Ends a session: what comes before TerminateSession, and after it. PURE.

use super::poll::look_when_due;
use super::step::Step;
use super::waiting::{by_then, call, sooner, wait_after};
use super::{config_map, status, workloads};
use crate::api::session::TerminationReason;
use crate::athena::types::{ErrorClass, SessionState};
use crate::session::conditions::Findings;
use crate::session::observed::{ANSWER_LIFE, Seen};
use crate::session::rules::{Case, Facts, limits};

/// The next step towards the end of a session that hasn't ended.
pub(super) fn end(case: &Case<'_>, findings: &Findings, seen: &Seen, reason: TerminationReason) -> Step {
    let facts = case.facts;
    if reason == TerminationReason::WorkloadFinished
        && let Some(step) = workloads::read_before_end(case)
    {
        return step;
    }
    if seen.doubtful {
        return call(facts, Step::GetSessionStatus);
    }
    if seen.status.state == SessionState::Terminating {
        return look_when_due(facts, findings, seen);
    }
    match facts.observed.session.accepted_at {
        Some(accepted) if seen.at < accepted + facts.timing.terminate_again => look_when_due(facts, findings, seen),
        // A list may lag behind, so it doesn't prove that the first TerminateSession had no effect. A call does.
        Some(accepted)
            if facts.observed.session.looked_at < Some(accepted) && facts.observed.session.trouble.is_none() =>
        {
            Step::GetSessionStatus
        }
        // Where GetSessionStatus fails, the end isn't held up: TerminateSession does nothing to a session that has
        // ended.
        None if is_old(facts, seen) && facts.observed.session.trouble.is_none() => Step::GetSessionStatus,
        _ => with_grace(case, findings, seen)
            .or_else(|| make_sure(case, seen, reason))
            .unwrap_or_else(|| terminate(case, findings, seen, reason)),
    }
}

/// What comes before an end that has a grace period, as long as that isn't over.
fn with_grace(case: &Case<'_>, findings: &Findings, seen: &Seen) -> Option<Step> {
    let grace = case.grace?;
    // It counts from what is recorded.
    if let Some(record) = record_why(case, findings) {
        return Some(record);
    }
    let rest = Some(grace.rest);
    if case.draining.is_some() {
        let wait = sooner(rest, case.next_limit_in());
        return Some(by_then(look_when_due(case.facts, findings, seen), wait));
    }
    (!case.is_certain).then(|| by_then(look_before_end(case, seen), rest))
}

/// Before an end by a limit, requests of this very reconciliation must show that the limit is reached.
fn make_sure(case: &Case<'_>, seen: &Seen, reason: TerminationReason) -> Option<Step> {
    (reason.is_limit() && !case.is_certain).then(|| look_before_end(case, seen))
}

/// The call that must come right before TerminateSession. While TerminateSession waits for its retry, that call waits,
/// too: otherwise its answer would be too old when TerminateSession is due.
fn look_before_end(case: &Case<'_>, seen: &Seen) -> Step {
    until_end_is_tried(case.facts, seen)
        .or_else(|| read_work_group_limits(case))
        .unwrap_or_else(|| call(case.facts, Step::GetSessionStatusBeforeEnd))
}

/// The read of the AthenaWorkGroup, where its limit asks for the end and it hasn't been read in this reconciliation.
fn read_work_group_limits(case: &Case<'_>) -> Option<Step> {
    let is_needed = case.end_reason == Some(TerminationReason::WorkGroupLimit);
    (is_needed && !limits::is_work_group_read_anew(case.facts)).then_some(Step::GetWorkGroupLimits)
}

/// What to do until TerminateSession may be called again, where it failed a moment ago.
fn until_end_is_tried(facts: &Facts<'_>, seen: &Seen) -> Option<Step> {
    let wait = wait_after(facts, facts.observed.session.end_trouble.as_deref())?;
    Some(if is_old(facts, seen) && facts.observed.session.trouble.is_none() { Step::GetSessionStatus } else { wait })
}

fn record_why(case: &Case<'_>, findings: &Findings) -> Option<Step> {
    if case.is_end_recorded() {
        return None;
    }
    // What the watch alone shows isn't recorded: it may be out of date.
    read_work_group_limits(case).or_else(|| status::due(case, findings))
}

/// Whether the session may have ended by itself since it was seen. Then GetSessionStatus may save a TerminateSession.
fn is_old(facts: &Facts<'_>, seen: &Seen) -> bool {
    // A poll of many sessions takes its time.
    let polls = if facts.polled { 2 } else { 1 };
    facts.now.tick >= seen.at + (facts.timing.steady * polls).max(ANSWER_LIFE)
}

/// TerminateSession, or what must come before it. The reason for the end is recorded first. That write, or a read where
/// the reason is recorded already, also shows that the object still asks for the end: a cached copy may be old.
fn terminate(case: &Case<'_>, findings: &Findings, seen: &Seen, reason: TerminationReason) -> Step {
    let before = until_end_is_tried(case.facts, seen)
        .or_else(|| record_why(case, findings))
        .or_else(|| config_map::before_end(case, findings));
    if let Some(step) = before {
        return step;
    }
    if case.facts.fresh { Step::TerminateSession { reason } } else { Step::GetObject }
}

/// What to do where only a list shows that the session has ended: a call for the session shows it, or shows that the list is
/// wrong. Where AWS denies that call, TerminateSession makes sure of an end that is asked for: on a session that has ended it
/// does nothing.
pub(super) fn confirm_end(case: &Case<'_>, findings: &Findings, seen: &Seen) -> Step {
    let trouble = case.facts.observed.session.trouble.as_deref();
    let is_denied = trouble.is_some_and(|trouble| trouble.error.class == ErrorClass::Denied);
    match case.end_reason {
        Some(reason) if is_denied && findings.end_blocker.is_none() => end(case, findings, seen, reason),
        _ if case.facts.is_undescribed() => call(case.facts, Step::GetSessionStatus),
        _ => call(case.facts, Step::GetSession),
    }
}
