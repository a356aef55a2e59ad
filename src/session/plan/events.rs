//! What people are told once, as events. PURE.

use crate::api::session::{AthenaSessionStatus, TerminationReason};
use crate::athena::types::SessionState;
use crate::session::conditions::{Finding, target, workloads};
use crate::session::observed::Retain;
use crate::session::rules::start::StartState;
use crate::session::rules::{Case, Evidence};
use crate::status::event::{Event, RETAINED, TERMINATED};
use crate::status::reason::Reason;

const NOT_STARTED: &str = "NotStarted";
const UNTAGGED: &str = "It couldn't be tagged as retained, so that a clean-up rule with orphaned: true may end it";

pub(super) fn of_status(case: &Case<'_>, status: &AthenaSessionStatus, finding: &Finding) -> Vec<Event> {
    let mut events = Vec::new();
    let id = case.facts.id();
    let recorded = case.facts.recorded();
    // Where StartSession has only named a session, it isn't known yet whose that is.
    let is_new = recorded.is_none_or(|recorded| recorded.session_id.is_none() || recorded.state.is_none());
    if let (Some(_), Some(state), true) = (&status.session_id, status.state.as_deref(), is_new) {
        let work_group = status.work_group.as_deref().unwrap_or("unknown");
        let done = if case.start.is_started() { "Started" } else { "Adopted" };
        events.push(Event::normal(done, format!("Session {id} of work group {work_group} is {state}")));
    }
    if finding.reason == Reason::Ended && case.facts.recorded_terminated().is_none() {
        let what = if case.start.state.is_none_shown() { NOT_STARTED } else { TERMINATED };
        events.push(Event::normal(what, finding.message.clone()));
    }
    if workloads::is_news(case, finding) {
        events.push(Event::warning(workloads::EVENT, finding.message.clone()));
    }
    let before = case.facts.recorded_condition("Ready").map(|ready| ready.reason.as_str());
    if finding.reason.row().warns && before != Some(finding.reason.as_str()) {
        events.push(Event::warning(finding.reason.as_str(), finding.message.clone()));
    }
    events
}

/// What to tell when the object goes because its session has ended, or never was.
pub(super) fn released_event(case: &Case<'_>) -> Option<Event> {
    let id = case.facts.id();
    if case.facts.recorded_terminated().is_some() {
        return None;
    }
    if case.start.state.is_pending() {
        return Some(Event::normal(NOT_STARTED, "No session was started for this object: the object is removed"));
    }
    if let Some(owner) = &case.facts.access.owner {
        let whose = match case.facts.access.denied {
            Some(_) => "another AthenaSession".to_owned(),
            None => format!("AthenaSession {} of namespace {}", owner.name, owner.namespace),
        };
        let note = format!("Session {id} belongs to {whose}: this object is removed, and the session isn't touched");
        return Some(Event::normal(Reason::AlreadyDeclared.as_str(), note));
    }
    if case.whose.is_foreign {
        let work_group = case.facts.access.work_group.as_deref().unwrap_or_default();
        let note = format!(
            "Session {id} isn't in work group {work_group}: this object is removed, and the session isn't touched"
        );
        return Some(Event::normal(Reason::WrongWorkGroup.as_str(), note));
    }
    Some(match case.evidence {
        Evidence::Absent if !case.facts.once_seen() => Event::warning(
            Reason::SessionNotFound.as_str(),
            format!("Athena has never shown session {id} {}: there was nothing to end", target(case)),
        ),
        Evidence::Absent => Event::normal(
            TERMINATED,
            format!("Athena no longer knows session {id}, and its work group doesn't list it: it is gone"),
        ),
        _ => {
            let state = case.facts.observed.session.state().map_or("ended", SessionState::as_str);
            let why = case.facts.recorded().and_then(|status| status.termination_reason);
            let why = why.map_or("EndedElsewhere", TerminationReason::as_str);
            Event::normal(TERMINATED, format!("Session {id} is {state} ({why}): the object is removed"))
        }
    })
}

/// What to tell when the object goes and its session is left alone.
pub(super) fn retained_event(case: &Case<'_>) -> Option<Event> {
    let event = left_running(case)?;
    let is_protected = case.facts.observed.retain == Retain::Tagged || case.start.state == StartState::NotAsked;
    let note = if is_protected { event.note } else { format!("{}. {UNTAGGED}", event.note) };
    Some(Event { note, ..event })
}

fn left_running(case: &Case<'_>) -> Option<Event> {
    let is_none_left = case.start.state.is_none_shown() || case.evidence == Evidence::Ended;
    if case.facts.recorded_terminated().is_some() || is_none_left {
        return None;
    }
    if case.start.state.is_pending() {
        let note = "The object is removed, since deletionPolicy is Retain. A session may have been started for it: \
             that session may be running, and billed";
        return Some(Event::warning(RETAINED, note));
    }
    let id = case.facts.id();
    Some(if case.requested_end.is_some() {
        Event::warning(
            "EndNotReached",
            format!(
                "The object is removed, since deletionPolicy is Retain, before the session ended as spec.terminate \
                 asks: session {id} may still be running, and billed"
            ),
        )
    } else if case.facts.is_end_recorded() {
        let note = format!(
            "The object is removed, since deletionPolicy is Retain: the operator doesn't wait for the end of session \
             {id}, which was requested before"
        );
        Event::normal(RETAINED, note)
    } else {
        Event::normal(
            RETAINED,
            format!("Session {id} isn't ended, since deletionPolicy is Retain: it may keep running, and be billed"),
        )
    })
}
