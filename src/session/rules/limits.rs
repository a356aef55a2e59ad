//! What limits a session's life, and what an end waits for: maxLifetime and maxIdle, of the object and of its
//! AthenaWorkGroup, and terminationGracePeriod. PURE.
//!
//! ```text
//!   a limit is reached, by Athena's last answer and clock ─► a call now shows the same ─► end the session
//!                      the AthenaWorkGroup's limit ────────► so does the AthenaWorkGroup, read anew ─► end the session
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
use crate::session::observed::{ANSWER_LIFE, Seen};
use crate::status::condition;

/// How old the last call's answer may be when TerminateSession follows. Somebody may begin to use the session at any
/// moment, and an old answer would end their work.
const LOOK_LIFE: Duration = Duration::from_secs(2);

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Lifetime,
    IdleTime,
}

/// Whose `maxLifetime` or `maxIdle` it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    Object,
    WorkGroup,
}

/// How long the session may live, or be idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub counted: Counted,
    pub set_by: SetBy,
    pub long: Duration,
}

/// A bound of a session of which Athena has shown since when it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub bound: Bound,
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

impl Bound {
    fn of_object(facts: &Facts<'_>, counted: Counted) -> Option<Self> {
        let spec = &facts.object.spec;
        Self::of(counted, SetBy::Object, spec.max_lifetime, spec.max_idle)
    }

    fn of_work_group(facts: &Facts<'_>, counted: Counted) -> Option<Self> {
        let limits = facts.work_group_limits()?.limits;
        Self::of(counted, SetBy::WorkGroup, limits.max_lifetime, limits.max_idle)
    }

    fn of(counted: Counted, set_by: SetBy, max_lifetime: Option<Asked>, max_idle: Option<Asked>) -> Option<Self> {
        let asked = match counted {
            Counted::Lifetime => max_lifetime,
            Counted::IdleTime => max_idle,
        };
        asked.and_then(positive).map(|long| Self { counted, set_by, long })
    }

    /// The one that the session reaches first: the object's own, unless the AthenaWorkGroup's is smaller.
    pub fn smaller(facts: &Facts<'_>, counted: Counted) -> Option<Self> {
        let both = [Self::of_object(facts, counted), Self::of_work_group(facts, counted)];
        both.into_iter().flatten().min_by_key(|bound| bound.long)
    }

    pub fn reason(&self) -> TerminationReason {
        match (self.set_by, self.counted) {
            (SetBy::Object, Counted::Lifetime) => TerminationReason::MaxLifetime,
            (SetBy::Object, Counted::IdleTime) => TerminationReason::MaxIdle,
            (SetBy::WorkGroup, _) => TerminationReason::WorkGroupLimit,
        }
    }
}

impl Limit {
    /// The limit that the session reaches first, by what Athena has shown to this process.
    pub(super) fn first(facts: &Facts<'_>, evidence: Evidence<'_>) -> Option<Self> {
        Self::first_of(Bound::smaller, facts, evidence)
    }

    /// The limit of the AthenaWorkGroup that the session reaches first.
    pub(super) fn first_of_work_group(facts: &Facts<'_>, evidence: Evidence<'_>) -> Option<Self> {
        Self::first_of(Bound::of_work_group, facts, evidence)
    }

    fn first_of(
        bound: impl Fn(&Facts<'_>, Counted) -> Option<Bound>,
        facts: &Facts<'_>,
        evidence: Evidence<'_>,
    ) -> Option<Self> {
        let Evidence::Alive(seen) = evidence else { return None };
        if seen.status.state == SessionState::Terminating {
            return None;
        }
        let times = times(facts, seen);
        let since = [(Counted::Lifetime, times.started_at), (Counted::IdleTime, times.idle_since)];
        let limits = since.into_iter().filter_map(|(counted, since)| {
            let (bound, since) = bound(facts, counted).zip(since)?;
            Some(Self { bound, due: after(since, bound.long) })
        });
        limits.min_by_key(|limit| limit.due)
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
    /// The grace period that an end is in; None where it has none, or it is over. `limit`: the limit that asks for the end, if
    /// one does.
    pub(super) fn of(facts: &Facts<'_>, limit: Option<Limit>) -> Option<Self> {
        let period = facts.object.spec.termination_grace_period.and_then(positive)?;
        let period = match limit.map(|limit| limit.bound) {
            // A session that is ended for being idle has no work to finish.
            Some(Bound { counted: Counted::IdleTime, .. }) => return None,
            // Otherwise the object's author could put off the end by the AthenaWorkGroup's limit for years.
            Some(Bound { set_by: SetBy::WorkGroup, long, .. }) => period.min(long),
            _ => period,
        };
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

/// Whether requests of this very reconciliation make sure of an end. A call for this session alone has shown the session as
/// it is known, after `limit` was reached, where that asks for the end: a list may lag behind. And where that is the
/// AthenaWorkGroup's limit, the AthenaWorkGroup was read anew.
pub(super) fn is_certain(facts: &Facts<'_>, limit: Option<Limit>, seen: &Seen) -> bool {
    let is_known = limit.is_none_or(|limit| limit.bound.set_by == SetBy::Object || is_work_group_read_anew(facts));
    is_known && is_looked_at(facts, limit, seen)
}

/// Whether the object's AthenaWorkGroup was read in this very reconciliation. The watch may lag, and an administrator may have
/// raised the limit, or paused the AthenaWorkGroup, a moment ago.
pub fn is_work_group_read_anew(facts: &Facts<'_>) -> bool {
    let read = facts.observed.session.work_group_limits.as_ref();
    read.is_some_and(|read| read.at >= facts.began && facts.now.tick < read.at + ANSWER_LIFE)
}

fn is_looked_at(facts: &Facts<'_>, limit: Option<Limit>, seen: &Seen) -> bool {
    let Some(looked_at) = facts.observed.session.looked_at else { return false };
    if looked_at != seen.at || looked_at < facts.began {
        return false;
    }
    let age = facts.now.tick.duration_since(looked_at);
    let reached_for = limit.and_then(|limit| limit.reached_for(facts));
    age <= LOOK_LIFE && reached_for.is_none_or(|reached_for| age <= reached_for)
}

/// Whether Athena accepted TerminateSession so recently that the session may still show its old state.
pub(super) fn has_begun(facts: &Facts<'_>, seen: &Seen) -> bool {
    facts.observed.session.accepted_at.is_some_and(|accepted| seen.at < accepted + facts.timing.terminate_again)
}

/// The reason where Athena itself has ended a started session for its idleness: the start asked for that, and no later than
/// we would have ended it.
pub(super) fn idled_out(facts: &Facts<'_>, start: StartState, evidence: Evidence<'_>) -> Option<TerminationReason> {
    let bound = Bound::smaller(facts, Counted::IdleTime)?;
    let idle_since = facts.recorded().and_then(|status| status.idle_since.as_ref()).map(|since| since.0);
    let ended_at = facts.observed.session.seen.as_ref().and_then(|seen| times(facts, seen).ended_at);
    // Its times are whole seconds.
    let was_idle = ended_at?.duration_since(idle_since?) + SignedDuration::from_secs(1);
    let is_long_enough = was_idle >= SignedDuration::try_from(bound.long).ok()?;
    (start == StartState::Started && evidence == Evidence::Ended && is_long_enough).then(|| bound.reason())
}

/// Athena's times of the session, as far as they can be.
pub fn times(facts: &Facts<'_>, seen: &Seen) -> PlausibleTimes {
    PlausibleTimes::of(&seen.status, facts.athena_now())
}

pub fn after(from: Timestamp, long: Duration) -> Timestamp {
    let long = SignedDuration::try_from(long).unwrap_or(SignedDuration::MAX);
    from.checked_add(long).unwrap_or(Timestamp::MAX)
}
