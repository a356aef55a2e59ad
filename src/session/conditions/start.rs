//! Where an object stands whose session isn't known: what forbids the start, what it waits for, what is unclear. PURE.

use std::time::Instant;

use kube::ResourceExt;

use super::ending::{self, why};
use super::finding::{Finding, Findings};
use super::words::{failed_call, is_told, reference, target, with_way_out};
use super::workloads;
use crate::api::session::{StartOutcome, TerminationReason};
use crate::api::{RESTORED, START_RESTORED};
use crate::athena::types::ErrorClass;
use crate::index::session_quota::Slot;
use crate::session::rules::Case;
use crate::session::rules::start::{TOKEN_LIFE, is_account_awaited, is_start_allowed};
use crate::session::rules::start_request::breach;
use crate::status::reason::{Reason, Standing, Tristate};
use crate::text::duration;

pub(super) fn restored(case: &Case<'_>) -> Option<Finding> {
    if !case.start.is_restored {
        return None;
    }
    let restore = case.facts.object.labels().get(RESTORED).map(String::as_str).unwrap_or_default();
    let message = if is_start_allowed(case.facts) {
        format!(
            "This object was restored from a backup (label {RESTORED}: {restore}), and its creationTimestamp is in the future by \
             the operator's clock: one of the clocks of the API server and of the operator is, or was, wrong. No session is \
             started before that time."
        )
    } else {
        format!(
            "This object was restored from a backup (label {RESTORED}: {restore}), and starts no session by itself. If nobody needs \
             the session, delete this object; to start the session, set the annotation {START_RESTORED}: \"true\" on it."
        )
    };
    Some(Finding { reason: Reason::Restored, message })
}

pub(super) fn not_allowed(case: &Case<'_>) -> Option<Finding> {
    let facts = case.facts;
    let start = facts.object.spec.start.as_ref()?;
    let bounds = facts.access.start.as_ref().and_then(|start| start.bounds.as_deref());
    if facts.access.denied.is_some() {
        return None;
    }
    let breach = breach(start, bounds)?;
    let none = if !facts.is_held() || case.start.is_not_started() { " No session was started." } else { "" };
    let message = format!(
        "AthenaWorkGroup {} doesn't allow this start: {breach}.{none} spec.start can't change: create another AthenaSession, or have a cluster \
         administrator allow it.",
        reference(case)
    );
    Some(Finding { reason: Reason::StartNotAllowed, message })
}

pub(super) fn work_group_terminating(case: &Case<'_>) -> Option<Finding> {
    if !case.facts.access.is_terminating {
        return None;
    }
    let message = format!(
        "AthenaWorkGroup {} is being deleted: no session is started there. Delete this object, or have the AthenaWorkGroup \
         created anew once it is gone.",
        reference(case)
    );
    Some(Finding { reason: Reason::WorkGroupTerminating, message })
}

pub(super) fn no_slot(case: &Case<'_>) -> Option<Finding> {
    match &case.facts.access.start.as_ref()?.slot {
        Slot::NoneFree(quota_exceeded) => {
            Some(Finding { reason: Reason::WaitingForQuota, message: quota_exceeded.sentence(reference(case)) })
        }
        Slot::Held | Slot::Free => None,
    }
}

/// Condition `Active` of an object whose session isn't known, where no end is asked for.
pub(crate) fn activity(case: &Case<'_>, reason: Reason) -> Tristate {
    if !case.start.may_run {
        return Tristate::False;
    }
    let recorded = case.facts.recorded_condition("Active").map(|active| active.status.as_str());
    match (reason, recorded) {
        // That StartSession is called again says nothing of whether the session can be used. What was recorded stays.
        (Reason::Starting | Reason::WaitingForCapacity, Some("True")) => Tristate::True,
        (Reason::Starting | Reason::WaitingForCapacity, Some("False")) => Tristate::False,
        (Reason::Starting | Reason::WaitingForCapacity, _) => Tristate::Unknown,
        _ => reason.row().active,
    }
}

/// The condition where an end is asked for, and AWS denies the calls that would show whether there is a session to end.
pub(super) fn denied_end(case: &Case<'_>) -> Option<Finding> {
    let session = &case.facts.observed.session;
    let denied = session.undescribed.as_ref().map(|it| &it.trouble);
    let mut troubles = [denied, session.trouble.as_deref()].into_iter().flatten();
    let trouble = troubles.find(|trouble| trouble.error.class == ErrorClass::Denied)?;
    if case.start.state.is_none_shown() { None } else { Some(failed_call(case, trouble)) }
}

/// The condition of an object whose start was refused, so that it gave up its slot, and another object has the slot now.
/// The condition still names the refusal, since waiting for a slot wouldn't help.
pub(super) fn refused_without_slot(case: &Case<'_>, findings: &Findings) -> Option<Finding> {
    let waits = findings.start_blocker.as_ref().filter(|it| it.reason == Reason::WaitingForQuota)?;
    let refusal = failed_call(case, case.facts.observed.start.trouble.as_deref()?);
    if refusal.reason.row().standing != Standing::Stalled {
        return None;
    }
    let message = format!("{} The start isn't tried again before a slot is free: {}", refusal.message, waits.message);
    Some(Finding { message, ..refusal })
}

pub(super) fn end(case: &Case<'_>, findings: &Findings) -> Finding {
    match case.end_reason {
        _ if !case.start.state.is_none_shown() => {
            let quiet = duration(case.facts.timing.between_proving_lists());
            let sentence = format!(
                "A session may have been started for this object. The operator believes that there is none after two \
                 complete lists, {quiet} apart, without a session of this object, and after STS has confirmed the AWS \
                 account."
            );
            ending::awaited(case, &sentence)
        }
        Some(TerminationReason::WorkloadFinished) => finished_without_session(case, findings),
        reason => {
            let asked = reason.map_or_else(String::new, |reason| format!("{}, and ", why(case, reason)));
            let message = format!("{asked}no session was started: there is nothing to end.");
            Finding { reason: Reason::Ended, message }
        }
    }
}

/// The condition of an object whose workloads have finished before a session was started. Where something was in the way of
/// the start, the message names it for good: a person will look here for the reason.
fn finished_without_session(case: &Case<'_>, findings: &Findings) -> Finding {
    let why = workloads::finished(case);
    let needs_somebody = |it: &&Finding| it.reason.row().standing == Standing::Stalled;
    let blocker = findings.start_blocker.as_ref().filter(needs_somebody).or(findings.handover.as_ref());
    match blocker.cloned().or_else(|| trouble(case)) {
        Some(Finding { reason, message }) => {
            let message = format!("No session could be started before {why}. {reason}: {message}");
            Finding { reason: Reason::Failed, message }
        }
        None => {
            let message = format!(
                "No session was started, since {why}. For another run delete this object, and create it anew with its workload."
            );
            Finding { reason: Reason::Ended, message }
        }
    }
}

pub(super) fn trouble(case: &Case<'_>) -> Option<Finding> {
    let observed = case.facts.observed;
    let denied = observed.session.undescribed.as_ref().map(|it| &it.trouble);
    let told = [observed.start.trouble.as_deref(), denied, observed.session.trouble.as_deref()];
    let told = told.into_iter().flatten().find(|trouble| is_told(trouble))?;
    Some(failed_call(case, told))
}

/// StartSession has returned a session, and Athena hasn't shown yet whose it is.
pub(super) fn unrecognized(case: &Case<'_>) -> Option<Finding> {
    let id = case.facts.observed.start.answered_not_disowned()?;
    let message = format!(
        "StartSession returned session {id}. The operator waits until Athena shows this object's mark (namespace, name \
         and UID) at the end of that session's description. The mark proves that the session belongs to this object."
    );
    Some(Finding { reason: Reason::Starting, message })
}

/// Whether lists prove that no session with the object's mark runs. One list may lag, and lists may come from another account.
/// A person who deleted the object because of such lists would end a session that runs.
fn is_absence_proven(case: &Case<'_>) -> bool {
    let facts = case.facts;
    let are_apart = |(first, last): (Instant, Instant)| last - first >= facts.timing.between_proving_lists();
    facts.observed.start.unlisted.is_some_and(are_apart) && !is_account_awaited(facts)
}

/// The session that the object started is gone, and there won't be another one.
fn lost(case: &Case<'_>) -> Option<Finding> {
    if !is_absence_proven(case) {
        return None;
    }
    let message = format!(
        "The session was started {}, and no list shows it any more: it is gone. Delete this object. To start another \
         session, create another AthenaSession.",
        target(case)
    );
    Some(Finding { reason: Reason::SessionNotFound, message: with_way_out(case, message) })
}

/// A call was recorded long ago, and nothing shows what came of it.
pub(super) fn unclear(case: &Case<'_>) -> Option<Finding> {
    let facts = case.facts;
    if case.start.is_not_started() || facts.observed.start.unlisted.is_none() {
        return None;
    }
    let attempt = case.start.attempt_to_record()?;
    let rarely = duration(facts.timing.rarely());
    match attempt.outcome {
        StartOutcome::Started => misled(case).or_else(|| lost(case)),
        StartOutcome::Unknown if case.start.age(&attempt) >= TOKEN_LIFE && facts.observed.start.called_at.is_none() => {
            let message = format!(
                "StartSession may have been called at {}, and no list shows the session. It isn't called again: that might \
                 start a second one. Look in Athena for a session whose description ends with this object's namespace, \
                 name and UID, and end it there if nobody needs it. Then delete this object and create another. The \
                 operator looks for the session again, at least every {rarely}.",
                attempt.at.0
            );
            Some(Finding { reason: Reason::StartUnclear, message })
        }
        _ => None,
    }
}

/// StartSession returned a session that isn't this object's, and no list shows one that is.
fn misled(case: &Case<'_>) -> Option<Finding> {
    let facts = case.facts;
    let start = &facts.observed.start;
    if start.answered_not_disowned().is_some() {
        return None;
    }
    let answered = start.answered.as_ref()?;
    let foreign = format!(
        "StartSession returned session {}, whose description doesn't have this object's mark: this object neither uses nor ends \
         that session.",
        answered.id
    );
    if !is_absence_proven(case) {
        let message = format!("{foreign} The operator searches the work group's sessions for one with the mark.");
        return Some(Finding { reason: Reason::Starting, message });
    }
    let rarely = duration(facts.timing.rarely());
    let message = format!(
        "{foreign} No list shows a session with the mark. StartSession isn't called again: that might start a second session. \
         Delete this object and create another. The operator looks for the session again, at least every {rarely}."
    );
    Some(Finding { reason: Reason::StartUnclear, message })
}

pub(crate) fn beginning() -> Finding {
    Finding { reason: Reason::Starting, message: "Athena is asked to start the session.".to_owned() }
}
