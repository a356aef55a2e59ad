//! Where an object stands, and the sentence that says so. PURE.

mod access;
mod ending;
pub(crate) mod failure;
pub(crate) mod finding;
mod handover;
pub(crate) mod left_workloads;
mod session;
pub(crate) mod start;
mod ttl;
pub(crate) mod words;

use self::finding::Finding;
use self::start::Blockers;
use super::rules::case::Case;
use super::rules::evidence::Evidence;
use crate::athena::types::SessionState;
use crate::index::access::Denied;
use crate::status::reason::Reason;

pub use self::access::arrives_within;

/// Where an object stands, and what holds up what is asked for.
#[derive(Debug)]
pub struct Findings {
    /// Why an object without our finalizer isn't taken on.
    pub not_taken_on: Option<Finding>,
    /// Calls would go to another account or Region than the session's, so that nothing may be called.
    pub wrong_target: Option<Finding>,
    /// What holds up the end that is asked for.
    pub end_blocker: Option<Finding>,
    /// What holds up the start of the session.
    pub start_blocker: Option<Finding>,
    /// How the start stands, of an object whose session isn't known.
    pub start: Option<Finding>,
    /// How the session stands. Its ConfigMap and its workloads don't count.
    pub session: Option<Finding>,
    /// What people are told. None while nothing is known that would be worth a write.
    pub told: Option<Finding>,
}

/// Where an object stands, and what holds up what is asked for.
pub fn of(case: &Case<'_>) -> Findings {
    let handover = handover::blocker(case);
    let is_pending = case.start.state.is_pending();
    let start_blocker = if is_pending { start::blocker(case, handover.as_ref()) } else { None };
    let mut findings = Findings {
        not_taken_on: access::not_taken_on(case, start_blocker.as_ref()),
        wrong_target: access::wrong_target(case),
        end_blocker: ending::blocker(case),
        start: None,
        start_blocker,
        session: None,
        told: None,
    };
    if is_pending {
        let blockers = Blockers { start: findings.start_blocker.as_ref(), handover: handover.as_ref() };
        findings.start = start::standing(case, blockers);
    }
    findings.session = of_session(case, &findings);
    findings.told = findings.session.clone().map(|session| told(case, session, handover));
    findings
}

/// How the session stands: the first of these that applies.
fn of_session(case: &Case<'_>, findings: &Findings) -> Option<Finding> {
    if !case.facts.is_held() {
        return findings.not_taken_on.clone();
    }
    if case.whose.is_foreign {
        return Some(access::foreign(case));
    }
    if let Some(kept) = session::kept_end(case) {
        return Some(kept);
    }
    if let Some(owner) = &case.facts.access.owner {
        return Some(access::declared_by(case, owner));
    }
    if case.ends_nothing() {
        return findings.start.clone();
    }
    if let Some(refusal) = refusal_told(case) {
        return Some(access::refused(case, refusal));
    }
    if let Some(wrong_target) = &findings.wrong_target {
        return Some(wrong_target.clone());
    }
    if case.start.state.is_pending() {
        return findings.start.clone();
    }
    let trouble = if case.is_end_final() { None } else { session::trouble(case) };
    trouble.or_else(|| session::standing(case, findings.end_blocker.as_ref()))
}

/// The refusal that people are told of. An end that was shown stays told. What Athena is ending already, and what the object
/// itself has started, needs no grant any more, only somebody to look: that is told, unless nobody can look.
fn refusal_told(case: &Case<'_>) -> Option<Denied> {
    let refusal = case.facts.access.denied?;
    let is_terminating =
        matches!(case.evidence, Evidence::Alive(seen) if seen.status.state == SessionState::Terminating);
    let goes_on = (is_terminating || case.ends_its_own()) && refusal != Denied::WorkGroupNotFound;
    if case.is_end_final() || goes_on { None } else { Some(refusal) }
}

/// What people are told: of a session that is up, what holds up its handover comes first; and notes follow.
fn told(case: &Case<'_>, session: Finding, handover: Option<Finding>) -> Finding {
    let is_up = case.facts.is_held() && session.reason == Reason::Running;
    let beside = if is_up {
        handover.or_else(|| session::up_with_workloads(case)).or_else(|| session::undescribed(case))
    } else {
        None
    };
    let finding = session::with_doubts(case, beside.unwrap_or(session));
    ttl::with_note(case, left_workloads::with_note(case, finding))
}
