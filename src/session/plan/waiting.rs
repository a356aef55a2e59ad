//! How long an object waits. PURE.

use std::time::Duration;

use super::step::Step;
use super::{config_map, workloads};
use crate::session::conditions::{Findings, arrives_within};
use crate::session::observed::Trouble;
use crate::session::rules::{Case, Facts};
use crate::status::reason::{Pace, Reason, Standing};

/// The step, with its wait shortened to `at_most` if it is a wait.
pub(super) fn by_then(step: Step, at_most: Option<Duration>) -> Step {
    if let Step::Wait(after) = step { Step::Wait(sooner(after, at_most)) } else { step }
}

/// The shorter of two waits; None: for ever.
pub(super) fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

/// The wait until a call that failed may be made again; None where it may be made now.
pub(super) fn wait_after(facts: &Facts<'_>, trouble: Option<&Trouble>) -> Option<Step> {
    let due_at = trouble?.due_at(facts.scope.recovered_at);
    (due_at > facts.now.tick).then(|| Step::Wait(Some(facts.until(due_at))))
}

/// A call to Athena, unless the last one failed a moment ago.
pub(super) fn call(facts: &Facts<'_>, step: Step) -> Step {
    wait_after(facts, facts.observed.session.trouble.as_deref()).unwrap_or(step)
}

/// How long an object with this reason waits until it is looked at again.
pub(super) fn interval(facts: &Facts<'_>, reason: Reason) -> Duration {
    match reason.row().pace {
        Pace::Fast => facts.timing.changing,
        Pace::Slow | Pace::BackOff | Pace::Never => facts.timing.steady,
    }
}

/// How long an object waits for others to change what this reason is about. Their change wakes it, too.
pub(super) fn wait_for_others(facts: &Facts<'_>, reason: Option<Reason>) -> Step {
    let reason = reason.filter(|reason| reason.row().pace != Pace::Never);
    Step::Wait(reason.map(|reason| interval(facts, reason)))
}

/// Where GetSession is denied, how long from now until it is tried again; zero when that is due.
pub(super) fn until_described(facts: &Facts<'_>) -> Option<Duration> {
    facts.observed.session.undescribed.as_ref().map(|it| facts.until(it.trouble.retry_at))
}

/// How long from now until something is due that isn't about the session: its ConfigMap, its workloads, or that others count
/// as late with what they have to set right.
pub(super) fn due_beside_session(case: &Case<'_>, findings: &Findings) -> Option<Duration> {
    let awaited = findings.told.as_ref().map(|told| told.reason).filter(|reason| {
        // Only what others have to set right may still arrive.
        case.facts.access.denied.is_some() && reason.row().standing == Standing::StalledLater
    });
    let arrival = awaited.and_then(|reason| arrives_within(case, reason));
    [arrival, config_map::wait(case, findings), workloads::wait(case)].into_iter().fold(None, sooner)
}
