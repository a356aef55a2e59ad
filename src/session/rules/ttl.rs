//! When the object itself is deleted: so long after its session ended as `spec.ttlAfterEnded` says. PURE.
//!
//! The object is deleted only after this process itself has seen the end; the status says only when the end was.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::case::Case;
use super::evidence::Evidence;
use super::facts::Facts;
use super::limits::{self, positive};
use crate::api::cached::TRACKED_BY;

/// Go's notation; None where it isn't that, or not above zero.
fn parse(text: &str) -> Option<Duration> {
    // Longer numbers could overflow, where kube's parser panics.
    if text.len() > 16 { None } else { text.parse().ok().and_then(positive) }
}

/// When the session ended, once that is certain.
fn ended_at(case: &Case<'_>) -> Option<Timestamp> {
    let facts = case.facts;
    let recorded = || facts.recorded()?.ended_at.as_ref().map(|at| at.0);
    let noticed = || facts.recorded_terminated().map(|terminated| terminated.last_transition_time.0);
    match case.evidence {
        Evidence::Ended => {
            let seen = facts.observed.session.seen.as_ref()?;
            limits::times(facts, seen).ended_at.or_else(recorded).or_else(noticed)
        }
        Evidence::Absent if facts.once_seen() => recorded().or_else(noticed),
        _ if case.ends_nothing() => noticed(),
        _ => None,
    }
}

/// The tool (Argo CD, Flux, Helm) that would create the object again if it were deleted, and so start another session.
pub fn tracker<'a>(facts: &Facts<'a>) -> Option<&'a str> {
    facts.object.spec.start.as_ref()?;
    facts.object.labels().get(TRACKED_BY).map(String::as_str)
}

pub fn rest(case: &Case<'_>) -> Option<Duration> {
    let facts = case.facts;
    let ttl = facts.object.spec.ttl_after_ended.as_deref().and_then(parse)?;
    if facts.is_deleted() || !facts.is_held() || tracker(facts).is_some() || case.workloads.keep_object() {
        return None;
    }
    // A workload that waited for the session in vain finishes after the session. The time counts from then, since somebody
    // will look here for the reason.
    let ended_at = case.workloads.finished_at().max(Some(ended_at(case)?))?;
    let due = ended_at.checked_add(SignedDuration::try_from(ttl).ok()?).ok()?;
    Some(Duration::try_from(due.duration_since(facts.athena_now())).unwrap_or_default())
}
