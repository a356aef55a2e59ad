//! What the object's status says. PURE: a function of the same view as [`super::decide`].

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::conditions::{self, Finding};
use super::notice;
use super::room::{self, Room};
use super::view::{Evidence, View};
use super::{engine, limits, starting, workload};
use crate::api::session::{AthenaSessionStatus, StartOutcome, TerminationReason};
use crate::athena::engine::Engine;
use crate::athena::types::SessionState;
use crate::status::condition::{self, Draft};
use crate::status::event::Notice;
use crate::status::reason::{Reason, Standing, Tristate};

/// The conditions that are written here; those of others are left as they are.
const OURS: [&str; 5] = ["Active", "Terminated", "Ready", "Reconciling", "Stalled"];

/// The status to write, if it differs from what is recorded.
#[must_use]
pub fn due(view: &View<'_>) -> Option<(AthenaSessionStatus, Vec<Notice>)> {
    let finding = conditions::of(view)?;
    // What is going is written to once, and then only if there is something to tell, or if it couldn't
    // say by then that the session was seen, which absence depends on.
    let recorded = view.recorded();
    let is_told = view.is_end_recorded() && recorded.is_some_and(|status| status.state.is_some());
    if view.observed.rooms.of(view.object) == Room::None {
        return None;
    }
    let news = render(view, &finding, !(view.is_deleted() && is_told));
    (recorded != Some(&news)).then(|| {
        let status = render(view, &finding, true);
        let notices = notice::of_status(view, &status, &finding);
        (status, notices)
    })
}

/// The whole status, as `finding` has it; without `with_session`, what it says of the session stays.
#[must_use]
pub(super) fn render(view: &View<'_>, finding: &Finding, with_session: bool) -> AthenaSessionStatus {
    let mut status = view.recorded().cloned().unwrap_or_default();
    if finding.reason == Reason::Restored {
        // Everything else in the status belongs to the object that was backed up.
        status = AthenaSessionStatus { conditions: status.conditions, ..AthenaSessionStatus::default() };
    }
    status.observed_generation = view.object.metadata.generation.filter(|_| !starting::is_undecided(view));
    status.start_attempt = starting::attempt_to_record(view);
    if view.object.spec.start.is_some() && view.session_id().is_none() {
        // It was somebody else's record.
        status.session_id = None;
    }
    if let Some(id) = view.observed.start.answered_not_disowned() {
        // Another process looks at this session first then, and takes it for the object's own where it bears the mark.
        status.session_id = Some(id.to_owned());
    }
    status.workloads = workload::to_record(view);
    if status.start_attempt.as_ref().is_some_and(|attempt| attempt.outcome == StartOutcome::Refused) {
        // There is nothing to be found out there.
        (status.region, status.account_id) = (None, None);
    }
    if with_session {
        record_session(view, &mut status);
    }
    if view.cause().is_none() {
        // Nobody asks for an end, so what is recorded of one isn't ours.
        status.termination_requested_at = None;
        status.termination_reason = None;
    }
    let is_ours = view.is_held() && view.barred().is_none() && view.access.owner.is_none() && !view.is_foreign();
    if let Some(reason) = view.intent().filter(|_| is_ours && view.evidence() != Evidence::Ended) {
        status.termination_requested_at = Some(condition::time(limits::requested_at(view)));
        status.termination_reason = status.termination_reason.filter(|_| view.is_end_recorded()).or(Some(reason));
    }
    status.termination_reason = status.termination_reason.or(limits::idled_out(view));
    status.conditions = conditions(view, finding, &status);
    if view.observed.rooms.of(view.object) == Room::Ample { status } else { room::scant(status) }
}

fn record_session(view: &View<'_>, status: &mut AthenaSessionStatus) {
    // What isn't this object's to know isn't told, nor an end that only a list shows.
    let is_certain = !matches!(view.evidence(), Evidence::Unconfirmed(_));
    let is_told = view.may_know() && view.is_placed() && is_certain;
    let Some(seen) = view.observed.seen.as_ref().filter(|_| is_told) else { return };
    let time = |time: Option<Timestamp>| time.map(condition::time);
    let times = limits::times(view, seen);
    status.session_id = view.session_id().map(str::to_owned);
    status.state = Some(seen.status.state.as_str().to_owned());
    status.state_change_reason.clone_from(&seen.status.state_change_reason);
    status.started_at = time(times.started_at).or(status.started_at.take());
    status.idle_since = time(times.idle_since);
    if seen.status.state.is_ended() {
        status.ended_at = time(times.ended_at).or(status.ended_at.take()).or(time(Some(limits::athena_now(view))));
        status.dpu_execution_millis = view.observed.dpu_execution_millis.or(status.dpu_execution_millis);
    } else {
        status.ended_at = None;
        status.dpu_execution_millis = None;
    }
    status.work_group = view.work_group().map(str::to_owned);
    let engine = engine::of_session(view, seen).and_then(Engine::version).map(str::to_owned);
    status.engine_version = engine.or(status.engine_version.take());
    record_place(view, status);
}

/// Where it was seen, which isn't where calls go by now if the credentials, or the reference, have changed. Of what is
/// yet to be seen: where calls go.
pub(super) fn record_place(view: &View<'_>, status: &mut AthenaSessionStatus) {
    status.region = view.region().or(view.scope.region.as_deref()).map(str::to_owned);
    let account = view.account().or(view.scope.account.known());
    status.account_id = account.map(str::to_owned).or(status.account_id.take());
}

fn conditions(view: &View<'_>, finding: &Finding, status: &AthenaSessionStatus) -> Vec<Condition> {
    let row = finding.reason.row();
    let active = if view.intent().is_some() {
        Tristate::False
    } else if view.is_held() && view.is_starting() {
        starting::activity(view, finding.reason)
    } else {
        row.active
    };
    let terminated = terminated(view, finding, status);
    let draft = |type_, status, reason, message| Draft { type_, status, reason, message };
    let word = finding.reason.as_str();
    let mut drafts = vec![
        draft("Active", active, word, usable(view, active, row.standing, terminated.is_some()).to_owned()),
        match terminated {
            Some(reason) => draft("Terminated", Tristate::True, reason, end(view)),
            None => draft("Terminated", Tristate::False, word, no_end(view).to_owned()),
        },
    ];
    let arrives = conditions::arrives_within(view, finding.reason).is_some();
    drafts.extend(condition::standing(finding.reason, &finding.message, arrives));
    condition::renewed(&status.conditions, &OURS, drafts, view.object.metadata.generation, view.now.wall)
}

/// The message of the condition `Active`: only whether the session can be used. The condition `Ready` says why, and what to
/// do.
fn usable(view: &View<'_>, active: Tristate, standing: Standing, is_over: bool) -> &'static str {
    match active {
        Tristate::True => "The session can be used.",
        Tristate::Unknown => "It isn't known whether the session can be used.",
        Tristate::False if view.session_id().is_none() && (is_over || standing == Standing::Stalled) => {
            "There is no session to use."
        }
        Tristate::False if is_over => "The session can't be used any more.",
        Tristate::False if view.intent().is_some() => {
            "The session isn't to be used any more, since its end is asked for."
        }
        Tristate::False if view.observed.state() == Some(&SessionState::Terminating) => {
            "The session can't be used any more."
        }
        Tristate::False if standing == Standing::Reconciling => "The session can't be used yet.",
        Tristate::False => "The session can't be used.",
    }
}

/// The message of the condition `Terminated` where it is True: how the operator knows of the end.
fn end(view: &View<'_>) -> String {
    if let (Evidence::Ended, Some(state)) = (view.evidence(), view.observed.state()) {
        return format!("Athena shows the session as {state}.");
    }
    // An earlier process may have known more, and Athena forgets.
    if let Some(kept) = view.recorded_terminated() {
        return kept.message.clone();
    }
    match view.recorded().and_then(|status| status.state.as_deref()) {
        Some(state) => format!("The last state that Athena showed of the session was {state}."),
        None => "There is no session.".to_owned(),
    }
}

/// The message of the condition `Terminated` where it is False.
fn no_end(view: &View<'_>) -> &'static str {
    match view.session_id() {
        Some(_) => "The session has not been seen to end.",
        None => "This object has no session yet, as far as is known.",
    }
}

/// The reason of the condition `Terminated`, once it is True.
fn terminated<'a>(view: &'a View<'_>, finding: &Finding, status: &AthenaSessionStatus) -> Option<&'a str> {
    let is_end = matches!(finding.reason, Reason::Ended | Reason::Failed | Reason::SessionNotFound);
    let kept = view.recorded_terminated().filter(|_| is_end).map(|terminated| terminated.reason.as_str());
    match view.evidence() {
        Evidence::Ended => Some(match status.termination_reason {
            Some(asked) => asked.as_str(),
            None if view.observed.state() == Some(&SessionState::Failed) => "Failed",
            None => "EndedElsewhere",
        }),
        Evidence::Absent if view.once_seen() => Some(kept.unwrap_or("NotFound")),
        _ if starting::is_never_started(view) && view.intent().is_some() => {
            status.termination_reason.map(TerminationReason::as_str).or(kept)
        }
        _ => kept,
    }
}
