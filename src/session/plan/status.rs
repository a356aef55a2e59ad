//! What the object's status says. PURE: a function of the same case as [`super::decide`].

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::events;
use super::step::Step;
use crate::api::session::{AthenaSessionStatus, StartAttempt, StartOutcome, TerminationReason};
use crate::athena::engine::Engine;
use crate::athena::types::SessionState;
use crate::session::conditions::{Finding, Findings, activity, arrives_within};
use crate::session::observed::status_size::{self, StatusSize};
use crate::session::rules::{Case, Evidence, engine, limits};
use crate::status::condition::{self, Draft};
use crate::status::reason::{Reason, Standing, Tristate};

/// The conditions that are written here; those of others are left as they are.
const OURS: [&str; 5] = ["Active", "Terminated", "Ready", "Reconciling", "Stalled"];

/// The write of the status, if it differs from what is recorded.
pub(super) fn due(case: &Case<'_>, findings: &Findings) -> Option<Step> {
    let finding = findings.told.as_ref()?;
    let (facts, recorded) = (case.facts, case.facts.recorded());
    if facts.observed.session.status_limit.of(facts.object) == StatusSize::Nothing {
        return None;
    }
    let rendered = render(case, finding);
    // An object that is going is written to once, and then only if there is something to tell; or if the record doesn't say
    // yet that the session was seen, which the proof of an absence depends on.
    let is_told = facts.is_end_recorded() && facts.was_adopted();
    if facts.is_deleted() && is_told && recorded == Some(&rendered) {
        return None;
    }
    let status = Box::new(with_session(case, rendered));
    (recorded != Some(&*status)).then(|| {
        let events = events::of_status(case, &status, finding);
        Step::WriteStatus { status, events }
    })
}

/// The write that records a call of StartSession before it is made, or, without an attempt, that none was made. What the
/// status says of a session stays.
pub(super) fn record_attempt(case: &Case<'_>, finding: &Finding, attempt: Option<StartAttempt>) -> Step {
    let rendered = render(case, finding);
    // What comes of the call can be found out only where it is made.
    let placed = if attempt.is_some() { with_target(case, rendered) } else { rendered };
    let status = Box::new(AthenaSessionStatus { start_attempt: attempt, ..placed });
    Step::WriteStatus { status, events: Vec::new() }
}

/// The status as `finding` has it. What it says of the session is what is recorded.
fn render(case: &Case<'_>, finding: &Finding) -> AthenaSessionStatus {
    let facts = case.facts;
    let recorded = facts.recorded().cloned().unwrap_or_default();
    let recorded = match finding.reason {
        // Everything but the conditions belongs to the object that was backed up.
        Reason::Restored => AthenaSessionStatus { conditions: recorded.conditions, ..AthenaSessionStatus::default() },
        _ => recorded,
    };
    let start_attempt = case.start.attempt_to_record();
    // Where StartSession was refused, there is nothing to be found out.
    let is_refused = start_attempt.as_ref().is_some_and(|attempt| attempt.outcome == StartOutcome::Refused);
    let (termination_requested_at, termination_reason) = end_to_record(case, &recorded);
    fitting(
        case,
        AthenaSessionStatus {
            observed_generation: if case.start.is_undecided() { None } else { facts.object.metadata.generation },
            session_id: match facts.observed.start.answered_not_disowned() {
                // Another process looks at this session first then, and takes it for the object's own where it bears the mark.
                Some(answered) => Some(answered.to_owned()),
                // The record was somebody else's.
                None if facts.object.spec.start.is_some() && facts.session_id().is_none() => None,
                None => recorded.session_id,
            },
            start_attempt,
            region: if is_refused { None } else { recorded.region },
            account_id: if is_refused { None } else { recorded.account_id },
            termination_requested_at,
            termination_reason,
            workloads: case.workloads.to_record(),
            conditions: conditions(case, finding, termination_reason, &recorded.conditions),
            ..recorded
        },
    )
}

/// Since when an end is asked for, and why, as the status says.
fn end_to_record(case: &Case<'_>, recorded: &AthenaSessionStatus) -> (Option<Time>, Option<TerminationReason>) {
    let facts = case.facts;
    let is_ours =
        facts.is_held() && case.end_denied_by.is_none() && facts.access.owner.is_none() && !case.whose.is_foreign;
    let (requested_at, reason) = match case.end_reason {
        Some(reason) if is_ours && case.evidence != Evidence::Ended => {
            let before = if case.is_end_recorded() { recorded.termination_reason } else { None };
            (Some(condition::time(limits::requested_at(facts))), before.or(Some(reason)))
        }
        _ if case.end_cause.is_some() => (recorded.termination_requested_at.clone(), recorded.termination_reason),
        // Nobody asks for an end, so the recorded end is forged, or was taken back.
        _ => (None, None),
    };
    (requested_at, reason.or(case.idled_out))
}

fn with_session(case: &Case<'_>, status: AthenaSessionStatus) -> AthenaSessionStatus {
    let facts = case.facts;
    // The status doesn't show a session that this object may not know, or an end that only a list shows.
    let is_certain = !matches!(case.evidence, Evidence::Unconfirmed(_));
    let is_told = case.whose.may_know && case.whose.is_placed && is_certain;
    let (true, Some(seen)) = (is_told, &facts.observed.session.seen) else { return status };
    let (before, times) = (with_target(case, status), limits::times(facts, seen));
    let time = |time: Option<Timestamp>| time.map(condition::time);
    let has_ended = seen.status.state.is_ended();
    let ended_at = || time(times.ended_at).or(before.ended_at).or(time(Some(facts.athena_now())));
    let engine = engine::of_session(facts, seen).and_then(Engine::version).map(str::to_owned);
    let used = facts.observed.session.dpu_execution_millis.or(before.dpu_execution_millis);
    fitting(
        case,
        AthenaSessionStatus {
            session_id: facts.session_id().map(str::to_owned),
            state: Some(seen.status.state.as_str().to_owned()),
            state_change_reason: seen.status.state_change_reason.clone(),
            started_at: time(times.started_at).or(before.started_at),
            idle_since: time(times.idle_since),
            ended_at: if has_ended { ended_at() } else { None },
            dpu_execution_millis: if has_ended { used } else { None },
            work_group: facts.work_group().map(str::to_owned),
            engine_version: engine.or(before.engine_version),
            ..before
        },
    )
}

/// The status, with where the session was seen. Calls may go elsewhere by now, if the credentials, or the reference, have
/// changed. For a session that is yet to be seen: where calls go.
fn with_target(case: &Case<'_>, status: AthenaSessionStatus) -> AthenaSessionStatus {
    let facts = case.facts;
    let region = facts.region().or(facts.scope.region.as_deref()).map(str::to_owned);
    let account = facts.account().or(facts.scope.account.known()).map(str::to_owned);
    AthenaSessionStatus { region, account_id: account.or(status.account_id), ..status }
}

fn fitting(case: &Case<'_>, status: AthenaSessionStatus) -> AthenaSessionStatus {
    let facts = case.facts;
    let size = facts.observed.session.status_limit.of(facts.object);
    if size == StatusSize::Full { status } else { status_size::shortened(status) }
}

fn conditions(
    case: &Case<'_>,
    finding: &Finding,
    asked: Option<TerminationReason>,
    recorded: &[Condition],
) -> Vec<Condition> {
    let facts = case.facts;
    let row = finding.reason.row();
    let active = if case.end_reason.is_some() {
        Tristate::False
    } else if facts.is_held() && case.start.state.is_pending() {
        activity(case, finding.reason)
    } else {
        row.active
    };
    let terminated = terminated(case, finding, asked);
    let draft = |type_, status, reason, message| Draft { type_, status, reason, message };
    let word = finding.reason.as_str();
    let mut drafts = vec![
        draft("Active", active, word, usable(case, active, row.standing, terminated.is_some()).to_owned()),
        match terminated {
            Some(reason) => draft("Terminated", Tristate::True, reason, end(case)),
            None => draft("Terminated", Tristate::False, word, no_end(case).to_owned()),
        },
    ];
    let arrives = arrives_within(case, finding.reason).is_some();
    drafts.extend(condition::standing(finding.reason, &finding.message, arrives));
    condition::renewed(recorded, &OURS, drafts, facts.object.metadata.generation, facts.now.wall)
}

/// The message of the condition `Active`: only whether the session can be used. The condition `Ready` says why, and what to
/// do.
fn usable(case: &Case<'_>, active: Tristate, standing: Standing, is_over: bool) -> &'static str {
    let facts = case.facts;
    match active {
        Tristate::True => "The session can be used.",
        Tristate::Unknown => "It isn't known whether the session can be used.",
        Tristate::False if facts.session_id().is_none() && (is_over || standing == Standing::Stalled) => {
            "There is no session to use."
        }
        Tristate::False if is_over => "The session can't be used any more.",
        Tristate::False if case.end_reason.is_some() => {
            "The session must not be used any more, since its end is requested."
        }
        Tristate::False if facts.observed.session.state() == Some(&SessionState::Terminating) => {
            "The session can't be used any more."
        }
        Tristate::False if standing == Standing::Reconciling => "The session can't be used yet.",
        Tristate::False => "The session can't be used.",
    }
}

/// The message of the condition `Terminated` where it is True: how the operator knows of the end.
fn end(case: &Case<'_>) -> String {
    let facts = case.facts;
    if let (Evidence::Ended, Some(state)) = (case.evidence, facts.observed.session.state()) {
        return format!("Athena shows the session as {state}.");
    }
    // An earlier process may have known more, and Athena forgets.
    if let Some(kept) = facts.recorded_terminated() {
        return kept.message.clone();
    }
    match facts.recorded().and_then(|status| status.state.as_deref()) {
        Some(state) => format!("The last state that Athena showed of the session was {state}."),
        None => "There is no session.".to_owned(),
    }
}

/// The message of the condition `Terminated` where it is False.
fn no_end(case: &Case<'_>) -> &'static str {
    match case.facts.session_id() {
        Some(_) => "Athena hasn't shown an end of the session.",
        None => "This object has no session yet, as far as is known.",
    }
}

/// The reason of the condition `Terminated`, once it is True.
fn terminated<'a>(case: &Case<'a>, finding: &Finding, asked: Option<TerminationReason>) -> Option<&'a str> {
    let facts = case.facts;
    let is_end = matches!(finding.reason, Reason::Ended | Reason::Failed | Reason::SessionNotFound);
    let recorded = facts.recorded_terminated().map(|terminated| terminated.reason.as_str());
    let kept = if is_end { recorded } else { None };
    match case.evidence {
        Evidence::Ended => Some(match asked {
            Some(asked) => asked.as_str(),
            None if facts.observed.session.state() == Some(&SessionState::Failed) => "Failed",
            None => "EndedElsewhere",
        }),
        Evidence::Absent if facts.once_seen() => Some(kept.unwrap_or("NotFound")),
        _ if case.start.state.is_none_shown() && case.end_reason.is_some() => {
            asked.map(TerminationReason::as_str).or(kept)
        }
        _ => kept,
    }
}
