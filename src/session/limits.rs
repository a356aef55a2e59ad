//! What limits a session's life, and what an end waits for: maxLifetime, maxIdle and terminationGracePeriod. PURE.
//!
//! ```text
//!   a limit is reached, by Athena's last word and its clock ─► a look of this moment says so too ─► end it
//!   an end is asked for ── BUSY, in the grace period ────────► wait: until it isn't, or the period is over
//! ```

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::core::Duration as Asked;

use super::observed::Seen;
use super::view::{Evidence, View};
use crate::api::session::TerminationReason;
use crate::athena::plausible_times::PlausibleTimes;
use crate::athena::types::SessionState;
use crate::status::condition;
use crate::text::duration;

/// How old that look may be: the session goes to work when somebody uses it, whatever took the pass its time.
const LOOK_LIFE: Duration = Duration::from_secs(2);

/// A limit that the spec sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    reason: TerminationReason,
    /// By Athena's clock.
    due: Timestamp,
}

/// How long an end waits for a session that is BUSY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    /// From when it is counted.
    pub since: Timestamp,
    /// When it is over.
    pub until: Timestamp,
    /// How long that is from now, by the clock that nobody sets.
    pub rest: Duration,
}

/// The duration, if it is one second or longer. A shorter or negative one counts as not set: `500ms`, a slip for `500m`,
/// would end the session at once. The API server refuses such a duration now, but objects of earlier versions may have one.
#[must_use]
pub fn positive(asked: Asked) -> Option<Duration> {
    const SHORTEST: Duration = Duration::from_secs(1);
    Some(Duration::from(asked)).filter(|long| !asked.is_negative() && *long >= SHORTEST)
}

/// The limit that is reached, if one is: by what Athena has shown to this process, and its clock.
#[must_use]
pub fn reached(view: &View<'_>) -> Option<TerminationReason> {
    overdue(view).map(|(reason, _)| reason)
}

/// How long from now until a limit is reached, as far as is known now.
#[must_use]
pub fn due_in(view: &View<'_>) -> Option<Duration> {
    let due = next(view)?.due;
    Duration::try_from(due.duration_since(athena_now(view))).ok().filter(|rest| !rest.is_zero())
}

/// The grace period that an end is in; None where it has none, or it is over.
#[must_use]
pub fn grace(view: &View<'_>) -> Option<Grace> {
    // What is idle has nothing to finish.
    let waits = view.intent().is_some_and(|reason| reason != TerminationReason::MaxIdle);
    let period = view.object.spec.termination_grace_period.and_then(positive).filter(|_| waits)?;
    let since = requested_at(view);
    let passed = view.observed.record.requested();
    let passed = passed.map_or(Duration::ZERO, |asked| view.now.tick.saturating_duration_since(asked.since));
    let rest = period.checked_sub(passed).filter(|rest| !rest.is_zero())?;
    Some(Grace { since, until: after(since, period), rest })
}

/// The grace period where the session uses it. An end that has been begun isn't held up any more.
#[must_use]
pub fn draining(view: &View<'_>) -> Option<Grace> {
    let Evidence::Alive(seen) = view.evidence() else { return None };
    if seen.status.state == SessionState::Busy && !has_begun(view, seen) { grace(view) } else { None }
}

/// When the end was asked for, as this process wrote or first found it: what others write into the status later can put
/// off no end, nor bring it forward.
#[must_use]
pub fn requested_at(view: &View<'_>) -> Timestamp {
    condition::time(view.observed.record.requested().map_or_else(|| athena_now(view), |asked| asked.at)).0
}

/// Whether a call of this very pass, for this session alone, showed what is known of it. A list may lag behind.
#[must_use]
pub fn is_certain(view: &View<'_>, seen: &Seen) -> bool {
    let sure = view.observed.looked_at.filter(|looked_at| *looked_at == seen.at && *looked_at >= view.began);
    let age = sure.map(|looked_at| view.now.tick.duration_since(looked_at));
    // A look from before the limit was reached doesn't show that it is.
    let overdue = overdue(view).filter(|(reason, _)| view.intent() == Some(*reason)).map(|(_, by)| by);
    age.is_some_and(|age| age <= LOOK_LIFE && overdue.is_none_or(|by| age <= by))
}

/// Whether TerminateSession was accepted, and Athena may still come to it.
#[must_use]
pub fn has_begun(view: &View<'_>, seen: &Seen) -> bool {
    view.observed.accepted_at.is_some_and(|accepted| seen.at < accepted + view.timing.terminate_again)
}

/// Whether Athena itself has ended a started session for its idleness: the start asked for that, and no later than we
/// would have ended it.
#[must_use]
pub fn idled_out(view: &View<'_>) -> Option<TerminationReason> {
    let limit = view.object.spec.max_idle.and_then(positive).filter(|_| view.is_started())?;
    let idle_since = view.recorded()?.idle_since.as_ref()?.0;
    let seen = view.observed.seen.as_ref().filter(|_| view.evidence() == Evidence::Ended)?;
    let ended = times(view, seen).ended_at?;
    let was_idle = ended.duration_since(idle_since);
    // Its times are whole seconds.
    (was_idle + SignedDuration::from_secs(1) >= SignedDuration::try_from(limit).ok()?)
        .then_some(TerminationReason::MaxIdle)
}

/// Whether an idle session will be ended by `spec.maxIdle`. The operator can do so only where Athena says since when the
/// session is idle. A session that this object started has Athena's own idle timeout, too, so Athena ends that one.
#[must_use]
pub fn keeps_idle(view: &View<'_>) -> bool {
    let Evidence::Alive(seen) = view.evidence() else { return true };
    let status = &seen.status;
    let is_untold = match status.state {
        SessionState::Idle => times(view, seen).idle_since.is_none(),
        // On Spark 3.5 a session stays CREATED for as long as nobody connects.
        SessionState::Created => true,
        _ => false,
    };
    view.is_started() || !is_untold
}

/// The sentence for the condition where `spec.maxIdle` doesn't end the session; empty where it does, or isn't set.
#[must_use]
pub fn unkept_idle(view: &View<'_>) -> String {
    let spec = &view.object.spec;
    let Some(idle) = spec.max_idle.filter(|it| positive(*it).is_some() && !keeps_idle(view)) else {
        return String::new();
    };
    let instead = if spec.max_lifetime.is_some() { "" } else { " Set spec.maxLifetime." };
    let idle = duration(idle.into());
    format!(" spec.maxIdle ({idle}) doesn't end it: Athena doesn't say since when the session is idle.{instead}")
}

/// The limit that is reached, and since how long.
fn overdue(view: &View<'_>) -> Option<(TerminationReason, Duration)> {
    let limit = next(view)?;
    let by = Duration::try_from(athena_now(view).duration_since(limit.due)).ok()?;
    Some((limit.reason, by))
}

/// The limit that is reached first.
fn next(view: &View<'_>) -> Option<Limit> {
    let Evidence::Alive(seen) = view.evidence() else { return None };
    let (spec, status) = (&view.object.spec, &seen.status);
    let limit = |reason, long: Option<Asked>, from: Option<Timestamp>| {
        long.and_then(positive).zip(from).map(|(long, from)| Limit { reason, due: after(from, long) })
    };
    let times = times(view, seen);
    let limits = [
        limit(TerminationReason::MaxLifetime, spec.max_lifetime, times.started_at),
        limit(TerminationReason::MaxIdle, spec.max_idle, times.idle_since),
    ];
    let is_active = status.state != SessionState::Terminating;
    limits.into_iter().flatten().filter(|_| is_active).min_by_key(|limit| limit.due)
}

/// When the session has lived long enough, where that is limited and known, in whole seconds.
#[must_use]
pub fn lifetime_over_at(view: &View<'_>) -> Option<Timestamp> {
    let Evidence::Alive(seen) = view.evidence() else { return None };
    let over_at = after(times(view, seen).started_at?, view.object.spec.max_lifetime.and_then(positive)?);
    Some(condition::time(over_at).0)
}

/// Athena's times of the session, as far as they can be.
pub(super) fn times(view: &View<'_>, seen: &Seen) -> PlausibleTimes {
    PlausibleTimes::of(&seen.status, athena_now(view))
}

/// Athena's times are compared with Athena's clock.
pub(super) fn athena_now(view: &View<'_>) -> Timestamp {
    view.scope.athena_time(view.now.wall)
}

fn after(from: Timestamp, long: Duration) -> Timestamp {
    let long = SignedDuration::try_from(long).unwrap_or(SignedDuration::MAX);
    from.checked_add(long).unwrap_or(Timestamp::MAX)
}
