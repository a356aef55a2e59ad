//! What the object's status says. PURE: a function of the same case as [`super::decide`].

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::events;
use super::step::Step;
use crate::api::session::{AthenaSessionStatus, StartOutcome, TerminationReason};
use crate::athena::engine::Engine;
use crate::athena::types::SessionState;
use crate::session::conditions::finding::Finding;
use crate::session::conditions::start::activity;
use crate::session::conditions::{Findings, arrives_within};
use crate::session::observed::status_size::{self, StatusSize};
use crate::session::rules::case::Case;
use crate::session::rules::evidence::Evidence;
use crate::session::rules::{engine, limits};
use crate::status::condition::{self, Draft};
use crate::status::reason::{Reason, Standing, Tristate};

/// The conditions that are written here; those of others are left as they are.
const OURS: [&str; 5] = ["Active", "Terminated", "Ready", "Reconciling", "Stalled"];

/// The write of the status, if it differs from what is recorded.
pub(super) fn due(case: &Case<'_>, findings: &Findings) -> Option<Step> {
    let finding = findings.told.as_ref()?;
    let (facts, recorded) = (case.facts, case.facts.recorded());
    // What is going is written to once, and then only if there is something to tell, or if it couldn't
    // say by then that the session was seen, which absence depends on.
    let is_told = facts.is_end_recorded() && recorded.is_some_and(|status| status.state.is_some());
    if facts.observed.session.status_limit.of(facts.object) == StatusSize::Nothing {
        return None;
    }
    let news = render(case, finding, !(facts.is_deleted() && is_told));
    (recorded != Some(&news)).then(|| {
        let status = Box::new(render(case, finding, true));
        let events = events::of_status(case, &status, finding);
        Step::WriteStatus { status, events }
    })
}

/// The whole status, as `finding` has it; without `with_session`, what it says of the session stays.
pub(super) fn render(case: &Case<'_>, finding: &Finding, with_session: bool) -> AthenaSessionStatus {
    let facts = case.facts;
    let mut status = facts.recorded().cloned().unwrap_or_default();
    if finding.reason == Reason::Restored {
        // Everything else in the status belongs to the object that was backed up.
        status = AthenaSessionStatus { conditions: status.conditions, ..AthenaSessionStatus::default() };
    }
    status.observed_generation = if case.start.is_undecided() { None } else { facts.object.metadata.generation };
    status.start_attempt = case.start.attempt_to_record();
    if facts.object.spec.start.is_some() && facts.session_id().is_none() {
        // It was somebody else's record.
        status.session_id = None;
    }
    if let Some(id) = facts.observed.start.answered_not_disowned() {
        // Another process looks at this session first then, and takes it for the object's own where it bears the mark.
        status.session_id = Some(id.to_owned());
    }
    status.workloads = case.workloads.to_record();
    if status.start_attempt.as_ref().is_some_and(|attempt| attempt.outcome == StartOutcome::Refused) {
        // There is nothing to be found out there.
        (status.region, status.account_id) = (None, None);
    }
    if with_session {
        record_session(case, &mut status);
    }
    if case.end_cause.is_none() {
        // Nobody asks for an end, so what is recorded of one isn't ours.
        status.termination_requested_at = None;
        status.termination_reason = None;
    }
    let is_ours =
        facts.is_held() && case.end_denied_by.is_none() && facts.access.owner.is_none() && !case.whose.is_foreign;
    if is_ours
        && case.evidence != Evidence::Ended
        && let Some(reason) = case.end_reason
    {
        status.termination_requested_at = Some(condition::time(limits::requested_at(facts)));
        status.termination_reason =
            if facts.is_end_recorded() { status.termination_reason.or(Some(reason)) } else { Some(reason) };
    }
    status.termination_reason = status.termination_reason.or(case.idled_out);
    status.conditions = conditions(case, finding, &status);
    if facts.observed.session.status_limit.of(facts.object) == StatusSize::Full {
        status
    } else {
        status_size::shortened(status)
    }
}

fn record_session(case: &Case<'_>, status: &mut AthenaSessionStatus) {
    let facts = case.facts;
    // What isn't this object's to know isn't told, nor an end that only a list shows.
    let is_certain = !matches!(case.evidence, Evidence::Unconfirmed(_));
    let is_told = case.whose.may_know && case.whose.is_placed && is_certain;
    let (true, Some(seen)) = (is_told, &facts.observed.session.seen) else { return };
    let time = |time: Option<Timestamp>| time.map(condition::time);
    let times = limits::times(facts, seen);
    status.session_id = facts.session_id().map(str::to_owned);
    status.state = Some(seen.status.state.as_str().to_owned());
    status.state_change_reason.clone_from(&seen.status.state_change_reason);
    status.started_at = time(times.started_at).or(status.started_at.take());
    status.idle_since = time(times.idle_since);
    if seen.status.state.is_ended() {
        status.ended_at = time(times.ended_at).or(status.ended_at.take()).or(time(Some(facts.athena_now())));
        status.dpu_execution_millis = facts.observed.session.dpu_execution_millis.or(status.dpu_execution_millis);
    } else {
        status.ended_at = None;
        status.dpu_execution_millis = None;
    }
    status.work_group = facts.work_group().map(str::to_owned);
    let engine = engine::of_session(facts, seen).and_then(Engine::version).map(str::to_owned);
    status.engine_version = engine.or(status.engine_version.take());
    record_place(case, status);
}

/// Where it was seen, which isn't where calls go by now if the credentials, or the reference, have changed. Of what is
/// yet to be seen: where calls go.
pub(super) fn record_place(case: &Case<'_>, status: &mut AthenaSessionStatus) {
    let facts = case.facts;
    status.region = facts.region().or(facts.scope.region.as_deref()).map(str::to_owned);
    let account = facts.account().or(facts.scope.account.known());
    status.account_id = account.map(str::to_owned).or(status.account_id.take());
}

fn conditions(case: &Case<'_>, finding: &Finding, status: &AthenaSessionStatus) -> Vec<Condition> {
    let facts = case.facts;
    let row = finding.reason.row();
    let active = if case.end_reason.is_some() {
        Tristate::False
    } else if facts.is_held() && case.start.state.is_pending() {
        activity(case, finding.reason)
    } else {
        row.active
    };
    let terminated = terminated(case, finding, status);
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
    condition::renewed(&status.conditions, &OURS, drafts, facts.object.metadata.generation, facts.now.wall)
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
            "The session isn't to be used any more, since its end is asked for."
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
        Some(_) => "The session has not been seen to end.",
        None => "This object has no session yet, as far as is known.",
    }
}

/// The reason of the condition `Terminated`, once it is True.
fn terminated<'a>(case: &Case<'a>, finding: &Finding, status: &AthenaSessionStatus) -> Option<&'a str> {
    let facts = case.facts;
    let is_end = matches!(finding.reason, Reason::Ended | Reason::Failed | Reason::SessionNotFound);
    let recorded = facts.recorded_terminated().map(|terminated| terminated.reason.as_str());
    let kept = if is_end { recorded } else { None };
    match case.evidence {
        Evidence::Ended => Some(match status.termination_reason {
            Some(asked) => asked.as_str(),
            None if facts.observed.session.state() == Some(&SessionState::Failed) => "Failed",
            None => "EndedElsewhere",
        }),
        Evidence::Absent if facts.once_seen() => Some(kept.unwrap_or("NotFound")),
        _ if case.start.state.is_none_shown() && case.end_reason.is_some() => {
            status.termination_reason.map(TerminationReason::as_str).or(kept)
        }
        _ => kept,
    }
}
