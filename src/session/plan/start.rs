//! What to do for an object that starts a session, until it is known which session is its own: by the answer to
//! StartSession, or by the mark that the session bears. PURE.
//!
//! ```text
//!   an id is recorded ──────────────► look at that session: with our mark it is this object's
//!   an end is asked for ─ surely none ► nothing to end
//!                        └ otherwise ─► have the work group listed by the mark, twice, a quiet time apart
//!   a call may have had its effect ─► have it listed by the mark; found: this object's
//!   restored, not allowed, paused, no slot, read-only ► wait, and say so
//!   its workloads are suspended ────► wait, and say so
//!   its workloads have finished ────► nothing to start, for good
//!   not found ── the attempt is young ► call again, with the same token
//!                          └ old ───► wait for a person
//!   otherwise ──────────────────────► reserve a slot ► record the attempt ► call
//! ```

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::poll::{have_listed, look_first, look_for, poller_is_awaited};
use super::step::Step;
use super::waiting::{by_then, call, interval, until_described, wait_after};
use super::{config_map, status, workloads};
use crate::api::session::{StartAttempt, StartOutcome};
use crate::athena::engine::{Engine, EngineKnowledge};
use crate::athena::informer::proof_of_absence::{ListRequest, Sought};
use crate::index::session_quota::Slot;
use crate::session::conditions::{Findings, beginning};
use crate::session::rules::start::{RECORD_LIFE, TOKEN_LIFE, is_account_awaited};
use crate::session::rules::start_request::request;
use crate::session::rules::{Case, Facts};
use crate::status::condition;

/// How much the clocks of AWS and Kubernetes may differ.
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);

pub(super) fn next(case: &Case<'_>, findings: &Findings) -> Step {
    let facts = case.facts;
    if let Some(step) = look_at_recorded(case) {
        return step;
    }
    if case.end_reason.is_some() {
        return end_none(case);
    }
    if facts.access.denied.is_some() {
        return Step::Wait(Some(facts.timing.steady));
    }
    // A restored object starts nothing, and nothing was started for it. So Athena isn't asked.
    if case.start.is_restored && !case.start.may_run {
        return Step::Wait(Some(facts.timing.steady));
    }
    // Even where another call of StartSession must wait, an earlier call may have started a session: look for it first.
    if !case.start.is_not_started() && facts.observed.start.unlisted.is_none() {
        return list(case);
    }
    // A session whose ConfigMap can't be written, or that no workload will end, would be billed for nothing.
    if let Some(step) = config_map::before_start(facts).or_else(|| workloads::due(case)) {
        return step;
    }
    // The workloads have finished, so no session will ever be started. That is final, so the workloads are read anew first.
    if case.workloads.are_past()
        && let Some(step) = workloads::read_before_start(case)
    {
        return step;
    }
    if let Some(blocker) = &findings.start_blocker {
        return meanwhile(case, interval(facts, blocker.reason));
    }
    if let Some(Step::Wait(Some(wait))) = wait_after(facts, facts.observed.start.trouble.as_deref()) {
        return meanwhile(case, wait);
    }
    // The watch may lag, and a session that is started is billed. So the workloads are read anew first.
    match workloads::read_before_start(case) {
        Some(Step::Wait(wait)) => meanwhile(case, wait.unwrap_or(facts.timing.steady)),
        Some(step) => step,
        None if case.start.is_not_started() => attempt(case, findings),
        None => attempt_again(case, findings),
    }
}

/// The next step for a recorded session id. The record may be forged, so only the session's mark shows whether the
/// session is this object's.
fn look_at_recorded(case: &Case<'_>) -> Option<Step> {
    let facts = case.facts;
    facts.session_id()?;
    let is_named = facts.observed.session.seen.is_some() || facts.observed.start.answered.is_some();
    match &facts.observed.session.absence {
        None if facts.is_undescribed() && poller_is_awaited(facts).is_none() => Some(list_for_description(case)),
        // The session that StartSession has just returned belongs to nobody until its mark is seen. So GetSession is
        // called now, instead of waiting for the poller.
        None if is_named && !facts.is_undescribed() => Some(call(facts, Step::GetSession)),
        None => Some(look_first(facts)),
        Some(absence) if absence.last - absence.first < facts.timing.confirm_absence => {
            // Athena may not show yet the session that StartSession has just returned.
            let is_new = facts.observed.start.answered.is_some();
            let after = if is_new { facts.timing.changing } else { facts.timing.confirm_absence };
            Some(look_for(facts, after))
        }
        Some(_) => None,
    }
}

/// What to do with a recorded session where GetSession is denied: list the work group, since a list shows the mark of a
/// session that lives. A session that no list shows has ended, or isn't this object's. Only GetSession could tell which, so
/// nothing is concluded.
fn list_for_description(case: &Case<'_>) -> Step {
    let next = case.facts.observed.start.unlisted.map(|(_, last)| last + case.facts.timing.rarely());
    let step = next.map_or_else(|| list(case), |next| list_at(case, next));
    by_then(step, until_described(case.facts))
}

/// The next step where an end is asked for: nothing, once it is shown that no session was started.
fn end_none(case: &Case<'_>) -> Step {
    if case.start.state.is_none_shown() { Step::Wait(None) } else { list(case) }
}

/// Asks for a list by the mark, or waits until it is time for another one. Once lists have proven that no session was started,
/// STS has to confirm their account.
fn list(case: &Case<'_>) -> Step {
    let facts = case.facts;
    if is_account_awaited(facts) {
        return call(facts, Step::GetCallerIdentity);
    }
    match facts.observed.start.unlisted {
        Some((first, _)) => list_at(case, first + facts.timing.between_proving_lists()),
        None => find(case, facts.observed.start.proven_from()),
    }
}

/// What is done while a call has to wait: a list may have lagged behind.
fn meanwhile(case: &Case<'_>, wait: Duration) -> Step {
    let facts = case.facts;
    let unlisted = if case.start.is_not_started() { None } else { facts.observed.start.unlisted };
    let Some(unlisted) = unlisted else { return Step::Wait(Some(wait)) };
    by_then(list_at(case, next_list(facts, unlisted)), Some(wait))
}

/// When another list is due after these lists, which showed no session: soon after the first one, since that may have lagged.
fn next_list(facts: &Facts<'_>, (first, last): (Instant, Instant)) -> Instant {
    if first == last { first + facts.timing.between_proving_lists() } else { last + facts.timing.rarely() }
}

fn list_at(case: &Case<'_>, moment: Instant) -> Step {
    if moment > case.facts.now.tick { Step::Wait(Some(case.facts.until(moment))) } else { find(case, Some(moment)) }
}

/// Asks for a complete list that began after this moment, by the mark.
fn find(case: &Case<'_>, after: Option<Instant>) -> Step {
    let facts = case.facts;
    let (Some(work_group), Some(uid)) = (facts.access.work_group.clone(), facts.object.uid()) else {
        return Step::Wait(None);
    };
    let sought = Sought::Mark { cluster: facts.cluster.to_owned(), uid };
    // The clocks of AWS and Kubernetes differ.
    let since = facts.object.creation_timestamp().and_then(|created| created.0.checked_sub(CLOCKS).ok());
    // Once lists have proven that no session was started, a further list is only a precaution.
    let is_pressing = !facts.observed.is_unstarted();
    let wanted = Box::new(ListRequest { work_group, sought, since, after, is_pressing });
    have_listed(facts, Step::ListSessions { wanted })
}

/// The attempt is recorded before StartSession is called. That write, or a read where the attempt is recorded already,
/// also shows that the object still asks for the start: a cached copy may be old.
fn attempt(case: &Case<'_>, findings: &Findings) -> Step {
    match case.start.attempt {
        Some(attempt) if attempt.outcome == StartOutcome::Unknown && case.start.age(attempt) < RECORD_LIFE => {
            start_session(case)
        }
        _ => record(case, findings, condition::time(case.facts.now.wall)),
    }
}

fn attempt_again(case: &Case<'_>, findings: &Findings) -> Step {
    use StartOutcome::{Refused, Started, Unknown};
    let facts = case.facts;
    let start = &facts.observed.start;
    let Some(unlisted) = start.unlisted else { return list(case) };
    let Some(attempt) = case.start.attempt_to_record() else {
        return record(case, findings, condition::time(facts.now.wall));
    };
    let is_young = case.start.age(&attempt) < TOKEN_LIFE;
    match attempt.outcome {
        Refused => record(case, findings, condition::time(facts.now.wall)),
        Unknown if is_young && case.start.attempt.is_none() => record(case, findings, attempt.at),
        Unknown if is_young => start_session(case),
        // This process called StartSession itself, so two lists can still prove that no session was started.
        Unknown if start.called_at.is_some() => list(case),
        // The record of an end is final.
        Started if facts.recorded_terminated().is_some() => Step::Wait(None),
        // That the session is gone is told once the account of the lists is sure.
        Started if is_account_awaited(facts) => call(facts, Step::GetCallerIdentity),
        Started | Unknown => list_at(case, next_list(facts, unlisted)),
    }
}

fn start_session(case: &Case<'_>) -> Step {
    if !has_slot(case) {
        return Step::ReserveSlot;
    }
    match case.start.attempt.and_then(|attempt| request(case.facts, attempt)) {
        Some(request) if case.facts.fresh => Step::StartSession { request: Box::new(request) },
        Some(_) => Step::GetObject,
        None => Step::Wait(None),
    }
}

/// A slot is reserved before anything is recorded: otherwise another object could have the same slot.
fn has_slot(case: &Case<'_>) -> bool {
    case.facts.access.start.as_ref().is_some_and(|start| start.slot == Slot::Held)
}

fn record(case: &Case<'_>, findings: &Findings, at: Time) -> Step {
    let facts = case.facts;
    if facts.access.engine == EngineKnowledge::Awaited {
        // The parameters of StartSession depend on the engine. The answer to GetWorkGroup wakes the object.
        return meanwhile(case, facts.timing.changing);
    }
    if !has_slot(case) {
        return Step::ReserveSlot;
    }
    let engine_version = facts.access.engine.known().and_then(Engine::version).map(str::to_owned);
    let attempt = StartAttempt { at, outcome: StartOutcome::Unknown, engine_version };
    // A refusal that lasts stays told while the call is tried again.
    let finding = findings.start.clone().unwrap_or_else(beginning);
    status::record_attempt(case, &finding, Some(attempt))
}

/// The write of a first status, before the finalizer is put on an old object without a status. Otherwise the next
/// process would see a finalizer without a status, and believe that StartSession may have been called.
pub(super) fn record_not_attempted(case: &Case<'_>) -> Option<Step> {
    let facts = case.facts;
    facts.object.spec.start.as_ref()?;
    let created = facts.object.metadata.creation_timestamp.as_ref()?;
    let is_old = facts.now.wall.duration_since(created.0).unsigned_abs() >= RECORD_LIFE;
    (is_old && case.start.is_record_lost).then(|| status::record_attempt(case, &beginning(), None))
}

/// Whether the object is about to start a session, and must know the engine of its work group first.
pub(super) fn awaits_engine(case: &Case<'_>, findings: &Findings) -> bool {
    let is_barred = case.facts.access.denied.is_some() || findings.wrong_target.is_some();
    case.facts.access.engine == EngineKnowledge::Awaited
        && case.start.state.is_pending()
        && case.end_reason.is_none()
        && !is_barred
}
