//! Where an object stands whose session isn't known: what forbids the start, what it waits for, what is unclear. PURE.

use kube::ResourceExt;

use super::ending::{self, why, workloads_finished};
use super::failure::{self, is_told};
use super::finding::Finding;
use super::words::{paused, place, reference, with_way_out};
use crate::api::session::{StartOutcome, TerminationReason};
use crate::api::workload::{Workload, WorkloadKind, WorkloadState};
use crate::api::{RESTORED, START_RESTORED};
use crate::athena::engine::{ASKED_HOURLY, Engine};
use crate::athena::types::ErrorClass;
use crate::index::access::Suspension;
use crate::index::session_quota::Slot;
use crate::session::rules::case::Case;
use crate::session::rules::start::{TOKEN_LIFE, is_start_allowed};
use crate::session::rules::start_request::breach;
use crate::status::reason::{Reason, Standing, Tristate};
use crate::text::duration;

/// What holds up a start or an end, and what is told of it.
#[derive(Clone, Copy)]
pub(super) struct Blockers<'a> {
    /// Of the start.
    pub start: Option<&'a Finding>,
    /// Of handing the session over, or of its end with its workloads.
    pub handover: Option<&'a Finding>,
}

/// What keeps the session from being started, or from being started again: the first of these that applies. People are told
/// of it only where no session may run ([`Start::may_run`](crate::session::rules::start::Start)). `handover`: what keeps the
/// session from being handed over.
pub(super) fn blocker(case: &Case<'_>, handover: Option<&Finding>) -> Option<Finding> {
    let forbids: [fn(&Case<'_>) -> Option<Finding>; 5] =
        [restored, not_allowed, engine_refuses, work_group_terminating, start_paused];
    let forbidden = forbids.iter().find_map(|forbids| forbids(case));
    // What is recorded is looked at before a place is asked for.
    let is_looked_at = case.facts.session_id().is_some() && case.facts.observed.session.absence.is_none();
    if forbidden.is_some() || is_looked_at {
        return forbidden;
    }
    // --read-only comes last: its forecast must not promise a start that something else would hold up.
    workloads_need_none(case).or_else(|| no_place(case)).or_else(|| handover.cloned()).or_else(|| read_only(case))
}

fn restored(case: &Case<'_>) -> Option<Finding> {
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

fn not_allowed(case: &Case<'_>) -> Option<Finding> {
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

fn work_group_terminating(case: &Case<'_>) -> Option<Finding> {
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

fn start_paused(case: &Case<'_>) -> Option<Finding> {
    let message = paused(case, "start")?;
    Some(Finding { reason: Reason::Paused, message })
}

fn no_place(case: &Case<'_>) -> Option<Finding> {
    match &case.facts.access.start.as_ref()?.slot {
        Slot::NoneFree(quota_exceeded) => {
            Some(Finding { reason: Reason::WaitingForQuota, message: quota_exceeded.sentence(reference(case)) })
        }
        Slot::Held | Slot::Free => None,
    }
}

fn read_only(case: &Case<'_>) -> Option<Finding> {
    if case.facts.access.suspension != Some(Suspension::ReadOnly) {
        return None;
    }
    let message = "The operator runs with --read-only: otherwise it would call StartSession now.";
    Some(Finding { reason: Reason::ReadOnly, message: message.to_owned() })
}

/// Where an object stands whose session isn't known.
pub(super) fn standing(case: &Case<'_>, blockers: Blockers<'_>) -> Option<Finding> {
    if case.end_reason.is_some() {
        return denied_end(case).or_else(|| Some(end(case, blockers)));
    }
    if case.start.may_run {
        // With none of these the condition stays as it was, until Athena has answered.
        return trouble(case).or_else(|| unclear(case)).or_else(|| unrecognized(case));
    }
    without_place(case, blockers.start)
        .or_else(|| blockers.start.cloned())
        .or_else(|| trouble(case))
        .or_else(|| (case.start.is_not_started() && case.start.attempt.is_some()).then(beginning))
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
fn denied_end(case: &Case<'_>) -> Option<Finding> {
    let session = &case.facts.observed.session;
    let denied = session.undescribed.as_ref().map(|it| &it.trouble);
    let mut troubles = [denied, session.trouble.as_deref()].into_iter().flatten();
    let trouble = troubles.find(|trouble| trouble.error.class == ErrorClass::Denied)?;
    if case.start.state.is_none_shown() { None } else { Some(failure::trouble(case, trouble)) }
}

/// The condition of an object whose start was refused, so that it gave up its place, and another object has the place now.
/// The condition still names the refusal, since waiting for a place wouldn't help.
fn without_place(case: &Case<'_>, blocker: Option<&Finding>) -> Option<Finding> {
    let waits = blocker.filter(|it| it.reason == Reason::WaitingForQuota)?;
    let refusal = failure::trouble(case, case.facts.observed.start.trouble.as_deref()?);
    if refusal.reason.row().standing != Standing::Stalled {
        return None;
    }
    let message = format!("{} It isn't tried again while there is no place for it: {}", refusal.message, waits.message);
    Some(Finding { message, ..refusal })
}

/// Where an object stands whose end is asked for.
fn end(case: &Case<'_>, blockers: Blockers<'_>) -> Finding {
    match case.end_reason {
        _ if !case.start.state.is_none_shown() => {
            let quiet = duration(case.facts.timing.between_proving_lists());
            let sentence = format!(
                "A session may have been started for it. It counts as not started when two listings, {quiet} apart, don't show one, and STS \
                 confirms the AWS account."
            );
            ending::awaited(case, &sentence)
        }
        Some(TerminationReason::WorkloadFinished) => finished_without_session(case, blockers),
        reason => {
            let asked = reason.map_or_else(String::new, |reason| format!("{}, and ", why(case, reason)));
            let message = format!("{asked}no session was started: there is nothing to end.");
            Finding { reason: Reason::Ended, message }
        }
    }
}

/// The condition of an object whose workloads have finished before a session was started. Where something was in the way of
/// the start, the message names it for good: a person will look here for the reason.
fn finished_without_session(case: &Case<'_>, blockers: Blockers<'_>) -> Finding {
    let why = workloads_finished(case);
    let needs_somebody = |it: &&Finding| it.reason.row().standing == Standing::Stalled;
    let blocker = blockers.start.filter(needs_somebody).or(blockers.handover);
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

fn trouble(case: &Case<'_>) -> Option<Finding> {
    let observed = case.facts.observed;
    let denied = observed.session.undescribed.as_ref().map(|it| &it.trouble);
    let told = [observed.start.trouble.as_deref(), denied, observed.session.trouble.as_deref()];
    let told = told.into_iter().flatten().find(|trouble| is_told(trouble))?;
    Some(failure::trouble(case, told))
}

/// StartSession has returned a session, and Athena hasn't shown yet whose it is.
fn unrecognized(case: &Case<'_>) -> Option<Finding> {
    let id = case.facts.observed.start.answered_not_disowned()?;
    let message = format!(
        "StartSession returned session {id}. The operator waits until Athena shows this object's mark in the description of \
         that session: only then is the session this object's."
    );
    Some(Finding { reason: Reason::Starting, message })
}

/// The session that the object started is gone, and there won't be another one. One list may lag. A person who deleted the
/// object because of it would end a session that runs.
fn lost(case: &Case<'_>) -> Option<Finding> {
    let (first, last) = case.facts.observed.start.unlisted?;
    if last - first < case.facts.timing.between_proving_lists() {
        return None;
    }
    let message = format!(
        "The session was started {}, and no list shows it any more: it is gone. Delete this object; another one starts another session.",
        place(case)
    );
    Some(Finding { reason: Reason::SessionNotFound, message: with_way_out(case, message) })
}

/// A call was recorded long ago, and nothing shows what came of it.
fn unclear(case: &Case<'_>) -> Option<Finding> {
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
                 start a second one. Look in Athena for a session whose description ends with this object's namespace, name \
                 and UID, and end it there if nobody needs it. Then delete this object and create another. Looked for again, \
                 at the latest every {rarely}.",
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
    let (first, last) = start.unlisted?;
    // Lists may lag. A person who deleted the object now might end the session that StartSession has started for it.
    if last - first < facts.timing.between_proving_lists() {
        let message = format!("{foreign} Lists of the work group are searched for the session with the mark.");
        return Some(Finding { reason: Reason::Starting, message });
    }
    let rarely = duration(facts.timing.rarely());
    let message = format!(
        "{foreign} No list shows a session with the mark. StartSession isn't called again: that might start a second session. \
         Delete this object and create another. Looked for again, at the latest every {rarely}."
    );
    Some(Finding { reason: Reason::StartUnclear, message })
}

/// StartSession is called for the first time.
pub(crate) fn beginning() -> Finding {
    Finding { reason: Reason::Starting, message: "Athena is asked to start the session.".to_owned() }
}

/// Why no session can be started as the object asks, by what is known of the engine of its work group.
fn engine_refuses(case: &Case<'_>) -> Option<Finding> {
    let facts = case.facts;
    let start = facts.object.spec.start.as_ref()?;
    let engine = facts.access.engine.known()?;
    let work_group = facts.access.work_group.as_deref().unwrap_or_default();
    if let Engine::NotSpark(_) = engine {
        let message = format!(
            "Work group {work_group} runs {engine}, not Spark: no session can be started there. Create another \
             AthenaSession, for a work group of Spark. {ASKED_HOURLY}"
        );
        return Some(Finding { reason: Reason::WorkGroupNotSpark, message });
    }
    let fields = engine.refused(start.engine_configuration.as_ref()?)?;
    let has_properties = fields.contains(".sparkProperties") || fields.contains(".classifications");
    let instead = match engine {
        _ if !has_properties => "",
        Engine::Spark35 => " For this engine write Spark's properties into classifications, as spark-defaults.",
        _ => " For this engine write Spark's properties into sparkProperties.",
    };
    let them = if fields.contains(',') { "these fields" } else { "this field" };
    let message = format!(
        "Work group {work_group} runs {engine}, which doesn't take {fields}: StartSession isn't called. Create another \
         AthenaSession without {them}.{instead} {ASKED_HOURLY}"
    );
    Some(Finding { reason: Reason::EngineRefuses, message })
}

/// The condition where no session is started because each workload is suspended or has finished: nobody would use the
/// session, and it would be billed. A workload that was never there holds up nothing, since it may be created once the
/// session is up.
fn workloads_need_none(case: &Case<'_>) -> Option<Finding> {
    let workloads = case.workloads.all();
    if workloads.is_empty() {
        return None;
    }
    let delay = case.facts.timing.end_with?;
    let states = workloads.iter().map(|workload| Some((workload, case.workloads.state(workload)?)));
    let states = states.collect::<Option<Vec<_>>>()?;
    let is_wanted = |(workload, state): &(&Workload, &WorkloadState)| match state {
        WorkloadState::Unfinished { .. } => true,
        WorkloadState::Absent => !case.workloads.was_seen(workload),
        WorkloadState::Suspended { .. } | WorkloadState::Finished { .. } => false,
    };
    if states.iter().any(is_wanted) {
        return None;
    }
    let namespace = case.facts.object.namespace().unwrap_or_default();
    let is_suspended = |(_, state): &&(&Workload, &WorkloadState)| matches!(state, WorkloadState::Suspended { .. });
    let suspended = states.iter().filter(is_suspended).map(|(workload, _)| match workload.kind {
        WorkloadKind::Job => format!("Job {namespace}/{} is suspended (spec.suspend)", workload.name),
        WorkloadKind::Pod => format!("Pod {namespace}/{} has scheduling gates (spec.schedulingGates)", workload.name),
    });
    let suspended = suspended.collect::<Vec<_>>().join(", ");
    let message = if suspended.is_empty() {
        format!(
            "No session is started: {}. If no workload of spec.endWith is created anew within {}, no session is ever started for this object.",
            workloads_finished(case),
            duration(delay)
        )
    } else {
        format!("{suspended}. The session is started, and billed, as soon as a workload of spec.endWith may run.")
    };
    Some(Finding { reason: Reason::WaitingForWorkload, message })
}
