//! The ConfigMap that tells a workload which session to use, where `spec.publishTo` asks for it. PURE.
//!
//! It is there while the session can be used and no end is asked for. What goes wrong with it never holds up an
//! end: the garbage collector removes it with its object at the latest.

use std::collections::BTreeMap;
use std::time::Duration;

use super::step::Step;
use crate::api::session::TerminationReason;
use crate::athena::types::SessionState;
use crate::session::conditions::Findings;
use crate::session::observed::Retry;
use crate::session::observed::config_map::Found;
use crate::session::rules::{Case, Evidence, Facts};
use crate::status::reason::Reason;

enum Wanted {
    Present(BTreeMap<String, String>),
    Absent,
}

/// What the ConfigMap should be. None: the operator leaves the ConfigMap unchanged.
fn wanted(case: &Case<'_>, findings: &Findings) -> Option<Wanted> {
    let facts = case.facts;
    if facts.object.spec.publish_to.is_none() || !facts.is_held() {
        return None;
    }
    let is = |reason| findings.session.as_ref().is_some_and(|session| session.reason == reason);
    if facts.access.owner.is_some() || case.whose.is_foreign || is(Reason::SessionNotFound) {
        return Some(Wanted::Absent);
    }
    if !case.whose.may_know {
        return None;
    }
    let is_over = match case.evidence {
        Evidence::Alive(seen) => matches!(seen.status.state, SessionState::Terminating | SessionState::Degraded),
        Evidence::Ended | Evidence::Absent => true,
        Evidence::None | Evidence::Unconfirmed(_) | Evidence::Missing(_) => false,
    };
    if is_over || is_certain_end(case) {
        return Some(Wanted::Absent);
    }
    if is(Reason::Running) { data(facts).map(Wanted::Present) } else { None }
}

/// Whether an end is asked for by the object itself, or makes sure in this very reconciliation that its time has come.
fn is_certain_end(case: &Case<'_>) -> bool {
    match case.end_reason {
        None => false,
        Some(TerminationReason::WorkloadFinished) => case.workloads.is_end_confirmed(),
        Some(reason) if reason.is_limit() => {
            // A list can't be wrong about how long the session has lived, so no call is needed.
            let drains = case.draining.is_some();
            drains || case.is_certain
        }
        Some(_) => true,
    }
}

/// The data of the ConfigMap, only from what Athena has shown to this process: the status may be forged.
fn data(facts: &Facts<'_>) -> Option<BTreeMap<String, String>> {
    let observed = facts.observed;
    let region = observed.session.region.as_deref().or(facts.scope.region.as_deref());
    let data = [
        ("ATHENA_SESSION_ID", facts.session_id()?),
        ("ATHENA_WORK_GROUP", observed.session.work_group.as_deref()?),
        ("AWS_REGION", region?),
    ];
    Some(data.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
}

/// The next request about it, and how long from now it is due, if nothing changes until then.
fn next(case: &Case<'_>, findings: &Findings) -> Option<(Duration, Step)> {
    let (facts, known) = (case.facts, &case.facts.observed.session.config_map);
    let (due, step) = match (wanted(case, findings)?, &known.found) {
        (_, Found::Unknown) => (Duration::ZERO, Step::GetConfigMap),
        (Wanted::Absent, Found::Ours { uid, resource_version, .. }) => {
            (Duration::ZERO, Step::DeleteConfigMap { uid: uid.clone(), resource_version: resource_version.clone() })
        }
        (Wanted::Absent, Found::Absent) => (facts.until(known.late_until?), Step::GetConfigMap),
        (Wanted::Absent, Found::Foreign) => return None,
        (Wanted::Present(data), Found::Absent) => (Duration::ZERO, Step::WriteConfigMap { data }),
        (Wanted::Present(data), Found::Ours { data: found, is_marked, .. })
            if known.differs(&data, found, *is_marked) =>
        {
            (Duration::ZERO, Step::WriteConfigMap { data })
        }
        (Wanted::Present(_), found) => (look_again(facts, found), Step::GetConfigMap),
    };
    let failing = known.retry.as_ref().filter(|(failing, _)| *failing == step.config_map_request());
    let retry = failing.map_or(Duration::ZERO, |(_, retry)| facts.until(retry.retry_at + pause(case, retry)));
    Some((due.max(retry), step))
}

/// An additional wait after more than five failures, once the session ends or has ended: nobody needs the ConfigMap
/// any more.
fn pause(case: &Case<'_>, retry: &Retry) -> Duration {
    const SOON: u32 = 5;
    let is_over = case.end_reason.is_some() || !matches!(case.evidence, Evidence::Alive(_));
    if is_over && retry.attempts > SOON { case.facts.timing.rarely() } else { Duration::ZERO }
}

pub(super) fn due(case: &Case<'_>, findings: &Findings) -> Option<Step> {
    next(case, findings).filter(|(due, _)| due.is_zero()).map(|(_, step)| step)
}

pub(super) fn wait(case: &Case<'_>, findings: &Findings) -> Option<Duration> {
    next(case, findings).map(|(due, _)| due)
}

/// What is to be done about it before the session is ended: tried once, since nothing about it holds up an end.
pub(super) fn before_end(case: &Case<'_>, findings: &Findings) -> Option<Step> {
    if case.facts.observed.session.config_map.retry.is_some() { None } else { due(case, findings) }
}

/// The read of the ConfigMap that must come before a start: a session whose id can't be published would be billed for
/// nothing.
pub(super) fn before_start(facts: &Facts<'_>) -> Option<Step> {
    let known = &facts.observed.session.config_map;
    let is_due = match known.found {
        Found::Unknown => true,
        Found::Foreign => look_again(facts, &known.found).is_zero(),
        Found::Absent | Found::Ours { .. } => false,
    };
    let waits = known.retry.as_ref().is_some_and(|(_, retry)| retry.retry_at > facts.now.tick);
    (is_due && facts.object.spec.publish_to.is_some() && !waits).then_some(Step::GetConfigMap)
}

/// How long from now until the ConfigMap is read again: there is no watch that shows changes of it.
fn look_again(facts: &Facts<'_>, found: &Found) -> Duration {
    let interval = if *found == Found::Foreign { facts.timing.steady } else { facts.timing.rarely() };
    facts.observed.session.config_map.at.map_or(Duration::ZERO, |at| facts.until(at + interval))
}
