//! How long an object waits. PURE.

use std::time::Duration;

use super::step::Step;
use crate::session::observed::Trouble;
use crate::session::rules::facts::Facts;
use crate::status::reason::{Pace, Reason};

/// A wait no longer than this.
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

/// How often an object that stands so is looked at.
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
