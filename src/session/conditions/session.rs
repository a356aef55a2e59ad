//! How the session of an object stands. PURE.

use super::ending::{self, clause, why};
use super::engine::created;
use super::finding::Finding;
use super::limits::{unkept_idle, ways_to_end};
use super::words::{failed_call, is_told, target, with_way_out};
use crate::api::session::TerminationReason;
use crate::athena::types::{ErrorClass, SessionState};
use crate::session::rules::engine::is_usable_as_created;
use crate::session::rules::limits::times;
use crate::session::rules::{Case, Evidence, Proof};
use crate::status::failure::explain;
use crate::status::reason::Reason;
use crate::text::duration;

/// The finding, and after it a sentence about each answer of Athena that isn't believed.
pub(super) fn with_doubts(case: &Case<'_>, finding: Finding) -> Finding {
    let contradiction = match case.evidence {
        Evidence::Alive(_) => {
            " Athena contradicts itself: ListSessions shows that the session has ended, and a call for this session \
             shows that it hasn't. The operator believes the call."
        }
        Evidence::Ended => {
            " Athena contradicts itself: a later call showed the session as one that hasn't ended. Look in Athena whether it \
             still runs."
        }
        _ => return finding,
    };
    let contradiction = if case.facts.observed.session.is_contradicted { contradiction } else { "" };
    let fault = case.facts.observed.session.seen.as_ref().and_then(|seen| times(case.facts, seen).fault);
    let fault = fault.map_or_else(String::new, |fault| {
        format!(" Athena says that {fault}. This can't be true, so the operator doesn't use that time for any limit.")
    });
    Finding { message: format!("{}{contradiction}{fault}", finding.message), ..finding }
}

pub(super) fn not_alive(case: &Case<'_>) -> Option<Finding> {
    let facts = case.facts;
    let if_end_wanted = |sentence: &str| case.end_reason.is_some().then(|| ending::awaited(case, sentence));
    match case.evidence {
        Evidence::Alive(_) => None,
        Evidence::None => if_end_wanted("Athena hasn't shown the session's state yet."),
        Evidence::Missing(Proof::NotToBeHad) => Some(not_found(case)),
        Evidence::Missing(_) if !facts.once_seen() => Some(not_found(case)),
        Evidence::Missing(_) => if_end_wanted(&format!(
            "Athena says that the session doesn't exist. The operator believes this after a second such answer, {} \
             later, and after a complete list of the work group without the session.",
            duration(facts.timing.confirm_absence)
        )),
        Evidence::Absent if facts.once_seen() && case.end_cause.is_some() => Some(ended(case)),
        Evidence::Absent => Some(not_found(case)),
        Evidence::Ended => Some(ended(case)),
        Evidence::Unconfirmed(_) => if_end_wanted(
            "ListSessions shows that the session has ended. The operator believes this when GetSession shows it, too.",
        ),
    }
}

/// The recorded end, which counts even after a restart, and after Athena has forgotten the session. Only an answer that
/// the session lives overrides it. For an object that is being deleted the record isn't enough: the end must be seen
/// again.
pub(super) fn kept_end(case: &Case<'_>) -> Option<Finding> {
    let facts = case.facts;
    let seen_anew = matches!(case.evidence, Evidence::Alive(_) | Evidence::Ended);
    if seen_anew || facts.is_deleted() {
        return None;
    }
    facts.recorded_terminated()?;
    let ready = facts.recorded_condition("Ready")?;
    match Reason::from_word(&ready.reason)? {
        Reason::SessionNotFound if case.end_cause.is_some() => Some(ended(case)),
        reason @ (Reason::Ended | Reason::Failed | Reason::SessionNotFound) => {
            Some(Finding { reason, message: ready.message.clone() })
        }
        _ => None,
    }
}

/// What is told of a call that fails, and of what isn't known since then. After a final end nothing is asked any more.
pub(super) fn trouble(case: &Case<'_>) -> Option<Finding> {
    if case.is_end_final() {
        return None;
    }
    let session = &case.facts.observed.session;
    // A session that perhaps doesn't exist is looked at before that counts as trouble.
    let in_doubt = session.absence.is_some() || session.seen.as_ref().is_some_and(|seen| seen.doubtful);
    // A failure of TerminateSession comes first: somebody waits for the end. When nobody asks for the end any more, for example
    // where an idle session has gone to work, TerminateSession isn't tried again.
    let end_trouble = session
        .end_trouble
        .as_deref()
        .filter(|it| case.end_reason.is_some() && !(in_doubt && it.error.class == ErrorClass::NotFoundOrInvalid));
    if end_trouble.is_none_or(|trouble| !is_told(trouble))
        && let Some(unplaced) = unplaced(case)
    {
        return Some(unplaced);
    }
    let told = [end_trouble, session.trouble.as_deref()].into_iter().flatten().find(|trouble| is_told(trouble))?;
    Some(failed_call(case, told))
}

/// The condition where GetSession is denied, and nothing else shows whose the session is.
fn unplaced(case: &Case<'_>) -> Option<Finding> {
    let facts = case.facts;
    if case.evidence != Evidence::None {
        return None;
    }
    let undescribed = facts.observed.session.undescribed.as_ref()?;
    let (reason, message) = explain(&undescribed.trouble.error, facts.scope, facts.timing);
    let why = match (&facts.observed.session.seen, &facts.access.work_group) {
        (None, _) => String::new(),
        (Some(_), Some(work_group)) => {
            format!(
                " No list of work group {work_group} shows the session: only GetSession tells whether the session is in that work group."
            )
        }
        (Some(_), None) => {
            " Another AthenaSession may have this session: only GetSession tells whose it is.".to_owned()
        }
    };
    let message = if why.is_empty() { message } else { format!("{message}{why} Until then the session isn't ended.") };
    Some(Finding { reason, message: with_way_out(case, message) })
}

/// The condition of a session that is up where GetSession is denied, and everything else goes on.
pub(super) fn undescribed(case: &Case<'_>) -> Option<Finding> {
    let facts = case.facts;
    let denied = &facts.observed.session.undescribed.as_ref()?.trouble.error;
    let (_, message) = explain(denied, facts.scope, facts.timing);
    let ways = ways_to_end(case);
    let message = format!(
        "The session is up. It is ended {ways}. The operator can't read its work group and its DPU usage: {message}"
    );
    Some(Finding { reason: Reason::GetSessionDenied, message })
}

fn not_found(case: &Case<'_>) -> Finding {
    let facts = case.facts;
    let id = facts.id();
    let (target, group) = (target(case), facts.access.reference.as_ref());
    let worker = group.map_or_else(|| "the operator works".to_owned(), |name| format!("AthenaWorkGroup {name} is"));
    let said =
        facts.observed.session.absence.as_ref().map_or_else(String::new, |absence| format!(" ({})", absence.error));
    let rarely = duration(facts.timing.rarely());
    let message = match (facts.once_seen(), facts.work_group()) {
        (false, _) => format!(
            "Athena doesn't know session {id} {target}{said}. Check spec.sessionId, and that {worker} in the session's \
             account and Region. The operator looks for the session again, at least every {rarely}."
        ),
        (true, Some(work_group)) if case.evidence == Evidence::Absent => format!(
            "Athena no longer knows session {id} {target}, and work group {work_group} doesn't list it in any \
             state{said}: it is gone. Delete this object."
        ),
        (true, _) => format!(
            "Athena no longer knows session {id} {target}{said}. Its work group or account wasn't recorded, so the \
             operator can't prove that the session is gone. The operator looks for it again, at least every {rarely}."
        ),
    };
    Finding { reason: Reason::SessionNotFound, message: with_way_out(case, message) }
}

fn ended(case: &Case<'_>) -> Finding {
    let recorded = case.facts.recorded().and_then(|status| status.termination_reason);
    let asked = if case.end_cause.is_some() { recorded.or(case.idled_out) } else { case.idled_out };
    let last_word = case.facts.observed.session.seen.as_ref().map(|seen| &seen.status);
    let Some(status) = last_word.filter(|status| status.state.is_ended()) else {
        let message = "Athena no longer knows the session, and its work group doesn't list it: it is gone.".to_owned();
        return Finding { reason: Reason::Ended, message };
    };
    let said = status.state_change_reason.as_deref();
    match asked {
        Some(asked) => {
            let message = format!("The session is {} ({}): {}.", status.state, asked.as_str(), clause(case, asked));
            Finding { reason: Reason::Ended, message }
        }
        None if status.state == SessionState::Failed => {
            let said = said.map_or_else(String::new, |said| format!(": {said}"));
            let message = format!(
                "The session FAILED{said}. Nothing runs any more. To go on, delete this object and create another one."
            );
            Finding { reason: Reason::Failed, message }
        }
        None => {
            let said = said.map_or_else(String::new, |said| format!(" Athena says: {said}."));
            let message = format!(
                "The session is {}. It wasn't ended for this object: somebody else ended it, or Athena's idle timeout.{said}",
                status.state
            );
            Finding { reason: Reason::Ended, message }
        }
    }
}

/// How a session stands that is seen to live, where nothing holds up its end.
pub(super) fn alive(case: &Case<'_>) -> Option<Finding> {
    let Evidence::Alive(seen) = case.evidence else { return None };
    let (reason, message) = match (case.end_cause, &seen.status.state) {
        (Some(TerminationReason::ObjectDeleted), _) => {
            let message = "The object was deleted, so the session is being ended. The object is removed when Athena says \
                           that the session has ended.";
            (Reason::Terminating, with_way_out(case, message))
        }
        (Some(reason), _) => {
            let polls = "the session is being ended. The operator polls Athena until the session has ended.";
            (Reason::Terminating, with_way_out(case, format!("{}: {polls}", why(case, reason))))
        }
        (None, SessionState::Terminating) => (
            Reason::Terminating,
            "The session is being ended, but not by this operator. The operator polls Athena until the session has \
             ended."
                .to_owned(),
        ),
        (None, SessionState::Creating) => (Reason::Starting, "Athena is starting the session.".to_owned()),
        (None, SessionState::Created) if !is_usable_as_created(case.facts, seen) => {
            (Reason::Starting, created(case, seen))
        }
        (None, SessionState::Degraded) => (
            Reason::Degraded,
            "The session has no healthy coordinators, and is billed all the same: end it (delete this object, or set spec.terminate).".to_owned(),
        ),
        (None, SessionState::Unknown(word)) => (
            Reason::StateUnknown,
            format!("Athena says {word}, which this operator doesn't know: it counts as running. Look for a newer version of the operator."),
        ),
        (None, _) => (
            Reason::Running,
            format!("The session is up. It is ended {}.{}", ways_to_end(case), unkept_idle(case)),
        ),
    };
    Some(Finding { reason, message })
}
