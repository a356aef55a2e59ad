//! What limits a session's life, and what an end waits for: maxLifetime, maxIdle and terminationGracePeriod. PURE.
//!
//! ```text
//!   a limit is reached, by Athena's last answer and clock ─► a call now shows the same ─► end the session
//!   an end is asked for ── BUSY, in the grace period ────────► wait: until it isn't, or the period is over
//! ```

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::core::Duration as Asked;

use super::evidence::Evidence;
use super::facts::Facts;
use super::start::StartState;
use crate::api::session::TerminationReason;
use crate::athena::plausible_times::PlausibleTimes;
use crate::athena::types::SessionState;
use crate::session::observed::Seen;
use crate::status::condition;

/// How old the last call's answer may be when TerminateSession follows. Somebody may begin to use the session at any
/// moment, and an old answer would end their work.
const LOOK_LIFE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub reason: TerminationReason,
    /// When it is reached, by Athena's clock.
    pub due: Timestamp,
}

/// How long an end waits for a session that is BUSY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    pub since: Timestamp,
    pub until: Timestamp,
    /// How long that is from now, by the clock that nobody sets.
    pub rest: Duration,
}

/// The duration, if it is one second or longer. A shorter or negative one counts as not set: `500ms`, a slip for `500m`,
/// would end the session at once. The API server refuses such a duration now, but objects of earlier versions may have one.
pub fn positive(asked: Asked) -> Option<Duration> {
    const SHORTEST: Duration = Duration::from_secs(1);
    Some(Duration::from(asked)).filter(|long| !asked.is_negative() && *long >= SHORTEST)
}

impl Limit {
    /// The limit of the spec that the session reaches first, by what Athena has shown to this process.
    pub(super) fn first(facts: &Facts<'_>, evidence: Evidence<'_>) -> Option<Self> {
        let Evidence::Alive(seen) = evidence else { return None };
        if seen.status.state == SessionState::Terminating {
            return None;
        }
        let limit = |reason, long: Option<Asked>, from: Option<Timestamp>| {
            long.and_then(positive).zip(from).map(|(long, from)| Self { reason, due: after(from, long) })
        };
        let (spec, times) = (&facts.object.spec, times(facts, seen));
        let limits = [
            limit(TerminationReason::MaxLifetime, spec.max_lifetime, times.started_at),
            limit(TerminationReason::MaxIdle, spec.max_idle, times.idle_since),
        ];
        limits.into_iter().flatten().min_by_key(|limit| limit.due)
    }

    /// Since how long the limit is reached, by Athena's clock; None: it isn't reached.
    pub fn reached_for(&self, facts: &Facts<'_>) -> Option<Duration> {
        Duration::try_from(facts.athena_now().duration_since(self.due)).ok()
    }

    /// How long from now until the limit is reached; None: it is.
    pub fn due_in(&self, facts: &Facts<'_>) -> Option<Duration> {
        Duration::try_from(self.due.duration_since(facts.athena_now())).ok().filter(|rest| !rest.is_zero())
    }
}

impl Grace {
    /// The grace period that an end for this reason is in; None where it has none, or it is over.
    pub fn of(facts: &Facts<'_>, intent: Option<TerminationReason>) -> Option<Self> {
        // A session that is ended for being idle has no work to finish.
        if intent? == TerminationReason::MaxIdle {
            return None;
        }
        let period = facts.object.spec.termination_grace_period.and_then(positive)?;
        let since = requested_at(facts);
        let requested = facts.observed.recorded_status.requested();
        let passed = requested.map_or(Duration::ZERO, |it| facts.now.tick.saturating_duration_since(it.since));
        let rest = period.checked_sub(passed).filter(|rest| !rest.is_zero())?;
        Some(Self { since, until: after(since, period), rest })
    }
}

/// When the end was asked for, as this process wrote or first found it: what others write into the status later can put
/// off no end, nor bring it forward.
pub fn requested_at(facts: &Facts<'_>) -> Timestamp {
    let requested = facts.observed.recorded_status.requested();
    condition::time(requested.map_or_else(|| facts.athena_now(), |it| it.at)).0
}

/// Whether a call of this very reconciliation, for this session alone, showed the session as it is known, after the limit
/// was reached that asks for the end. A list may lag behind.
pub(super) fn is_certain(
    facts: &Facts<'_>,
    limit: Option<Limit>,
    intent: Option<TerminationReason>,
    seen: &Seen,
) -> bool {
    let Some(looked_at) = facts.observed.session.looked_at else { return false };
    if looked_at != seen.at || looked_at < facts.began {
        return false;
    }
    let age = facts.now.tick.duration_since(looked_at);
    let asking = limit.filter(|limit| intent == Some(limit.reason)).and_then(|limit| limit.reached_for(facts));
    age <= LOOK_LIFE && asking.is_none_or(|reached_for| age <= reached_for)
}

/// Whether Athena accepted TerminateSession so recently that the session may still show its old state.
pub(super) fn has_begun(facts: &Facts<'_>, seen: &Seen) -> bool {
    facts.observed.session.accepted_at.is_some_and(|accepted| seen.at < accepted + facts.timing.terminate_again)
}

/// Whether Athena itself has ended a started session for its idleness: the start asked for that, and no later than we
/// would have ended it.
pub(super) fn is_idled_out(facts: &Facts<'_>, start: StartState, evidence: Evidence<'_>) -> bool {
    let idle_since = facts.recorded().and_then(|status| status.idle_since.as_ref()).map(|since| since.0);
    let ended_at = facts.observed.session.seen.as_ref().and_then(|seen| times(facts, seen).ended_at);
    let limit = facts.object.spec.max_idle.and_then(positive).and_then(|limit| SignedDuration::try_from(limit).ok());
    let (Some(idle_since), Some(ended_at), Some(limit)) = (idle_since, ended_at, limit) else { return false };
    // Its times are whole seconds.
    let was_idle = ended_at.duration_since(idle_since) + SignedDuration::from_secs(1);
    start == StartState::Started && evidence == Evidence::Ended && was_idle >= limit
}

/// Athena's times of the session, as far as they can be.
pub fn times(facts: &Facts<'_>, seen: &Seen) -> PlausibleTimes {
    PlausibleTimes::of(&seen.status, facts.athena_now())
}

pub fn after(from: Timestamp, long: Duration) -> Timestamp {
    let long = SignedDuration::try_from(long).unwrap_or(SignedDuration::MAX);
    from.checked_add(long).unwrap_or(Timestamp::MAX)
}
