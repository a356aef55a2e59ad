//! What people are told once, as events. PURE.

use super::conditions::{Finding, place};
use super::view::{Evidence, View};
use super::{starting, without_session};
use crate::api::session::{AthenaSessionStatus, TerminationReason};
use crate::athena::types::SessionState;
use crate::status::event::{Notice, TERMINATED};
use crate::status::reason::Reason;

const NOT_STARTED: &str = "NotStarted";

/// What to tell once this status is written.
#[must_use]
pub fn of_status(view: &View<'_>, status: &AthenaSessionStatus, finding: &Finding) -> Vec<Notice> {
    let mut notices = Vec::new();
    let id = view.id();
    let recorded = view.recorded();
    // Where StartSession has only named a session, it isn't known yet whose that is.
    let is_new = recorded.is_none_or(|recorded| recorded.session_id.is_none() || recorded.state.is_none());
    if let (Some(_), Some(state), true) = (&status.session_id, status.state.as_deref(), is_new) {
        let work_group = status.work_group.as_deref().unwrap_or("unknown");
        let done = if view.is_started() { "Started" } else { "Adopted" };
        notices.push(Notice::normal(done, format!("Session {id} of work group {work_group} is {state}")));
    }
    if finding.reason == Reason::Ended && view.recorded_terminated().is_none() {
        let what = if starting::is_never_started(view) { NOT_STARTED } else { TERMINATED };
        notices.push(Notice::normal(what, finding.message.clone()));
    }
    if without_session::is_news(view, finding) {
        notices.push(Notice::warning(without_session::EVENT, finding.message.clone()));
    }
    let before = view.recorded_condition("Ready").map(|ready| ready.reason.as_str());
    if finding.reason.row().warns && before != Some(finding.reason.as_str()) {
        notices.push(Notice::warning(finding.reason.as_str(), finding.message.clone()));
    }
    notices
}

/// What to tell when the object goes because its session has ended, or never was.
#[must_use]
pub fn farewell(view: &View<'_>) -> Option<Notice> {
    let id = view.id();
    if view.recorded_terminated().is_some() {
        return None;
    }
    if view.is_starting() {
        return Some(Notice::normal(NOT_STARTED, "No session was started for the object: it goes".to_owned()));
    }
    if let Some(owner) = &view.access.owner {
        let whose = match view.access.denied {
            Some(_) => "another AthenaSession".to_owned(),
            None => format!("AthenaSession {} of namespace {}", owner.name, owner.namespace),
        };
        let note = format!("Session {id} belongs to {whose}: the object goes, the session is left as it is");
        return Some(Notice::normal(Reason::AlreadyDeclared.as_str(), note));
    }
    if view.is_foreign() {
        let work_group = view.access.work_group.as_deref().unwrap_or_default();
        let note =
            format!("Session {id} isn't in work group {work_group}: the object goes, nothing was done to the session");
        return Some(Notice::normal(Reason::WrongWorkGroup.as_str(), note));
    }
    Some(match view.evidence() {
        Evidence::Absent if !view.once_seen() => Notice::warning(
            Reason::SessionNotFound.as_str(),
            format!("Athena has never shown session {id} {}: there was nothing to end", place(view)),
        ),
        Evidence::Absent => Notice::normal(
            TERMINATED,
            format!("Athena no longer knows session {id}, and its work group doesn't list it: it is gone"),
        ),
        _ => {
            let state = view.observed.state().map_or("ended", SessionState::as_str);
            let why = view.recorded().and_then(|status| status.termination_reason);
            let why = why.map_or("EndedElsewhere", TerminationReason::as_str);
            Notice::normal(TERMINATED, format!("Session {id} is {state} ({why}): the object goes"))
        }
    })
}

/// What to tell when the object goes and its session is left alone.
#[must_use]
pub fn retained(view: &View<'_>) -> Option<Notice> {
    let is_none_left = starting::is_never_started(view) || view.evidence() == Evidence::Ended;
    if view.recorded_terminated().is_some() || is_none_left {
        return None;
    }
    if view.is_starting() {
        let note = "The object goes since deletionPolicy is Retain: a session may have been started for it, and be running, and billed";
        return Some(Notice::warning("Retained", note.to_owned()));
    }
    let id = view.id();
    Some(if view.asked().is_some() {
        Notice::warning(
            "EndNotReached",
            format!(
                "The object goes since deletionPolicy is Retain, before the end that spec.terminate asked for was \
                 reached: session {id} may still be running, and billed"
            ),
        )
    } else if view.is_end_recorded() {
        let note = format!(
            "The object goes since deletionPolicy is Retain: the end of session {id}, which had been asked for, isn't waited for"
        );
        Notice::normal("Retained", note)
    } else {
        Notice::normal("Retained", format!("Session {id} is left as it is: deletionPolicy is Retain"))
    })
}
