//! How far the start of the object's session has come, and whether a session may run for the object. PURE.
//!
//! | `spec.start` | own session known | lists or the record prove that none was started | this process can rule out an earlier call | state |
//! |---|---|---|---|---|
//! | no | | | | `NotAsked` |
//! | yes | yes | | | `Started` |
//! | yes | no | yes | yes, and StartSession named no session | `NotStarted` |
//! | yes | no | yes | no | `NoneListed` |
//! | yes | no | no | | `Unknown` |

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::facts::Facts;
use crate::api::session::{StartAttempt, StartOutcome};
use crate::api::{RESTORED, START_RESTORED};
use crate::status::condition;

/// A call is repeated with its token for so long after it was recorded: how long Athena remembers tokens isn't
/// documented.
pub const TOKEN_LIFE: Duration = Duration::from_secs(5 * 60);
/// StartSession is called only while the recorded attempt is younger than this. Otherwise the attempt is recorded
/// again.
pub const RECORD_LIFE: Duration = Duration::from_secs(60);

/// How far the start of the object's session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartState {
    /// The object names a session that exists already: it starts none.
    NotAsked,
    /// No session was started: a call of StartSession would be the first one to have an effect.
    NotStarted,
    /// Lists show no session with the object's mark. ListSessions forgets ended sessions, so an earlier process may have
    /// started one.
    NoneListed,
    /// A call of StartSession may have had its effect, and which session it started isn't known.
    Unknown,
    Started,
}

impl StartState {
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let (observed, start) = (facts.observed, &facts.observed.start);
        let rules_out_earlier_call = observed.adopted_here || start.called_at.is_some();
        if facts.object.spec.start.is_none() {
            Self::NotAsked
        } else if start.id.is_some() {
            Self::Started
        } else if !observed.is_unstarted() || is_account_awaited(facts) {
            Self::Unknown
        } else if start.answered.is_none() && rules_out_earlier_call {
            Self::NotStarted
        } else {
            Self::NoneListed
        }
    }

    /// Whether the object starts a session, and which one is its own isn't known.
    pub fn is_pending(self) -> bool {
        matches!(self, Self::NotStarted | Self::NoneListed | Self::Unknown)
    }

    /// Whether the object starts a session, and none was started, as far as lists show. An end that is asked for is reached
    /// then.
    pub fn is_none_shown(self) -> bool {
        matches!(self, Self::NotStarted | Self::NoneListed)
    }
}

/// What is recorded and known of the start.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    pub state: StartState,
    /// The call of StartSession that is recorded for this very object.
    pub attempt: Option<&'a StartAttempt>,
    /// The status was lost, or its first one never written.
    pub is_record_lost: bool,
    /// The object was restored from a backup, nobody has allowed the start by [`START_RESTORED`], and no call of
    /// StartSession for this very object is known.
    pub is_restored: bool,
    /// A session may run for the object although Athena hasn't shown one to this process: a session is recorded, or a call of
    /// StartSession that wasn't refused. Until it is proven that no session runs, the condition says nothing of what forbids
    /// a start: a person who followed that advice and deleted the object would end a session that runs.
    pub may_run: bool,
    facts: &'a Facts<'a>,
}

impl<'a> Start<'a> {
    pub(super) fn of(facts: &'a Facts<'a>) -> Self {
        let recorded = facts.recorded().and_then(|status| status.start_attempt.as_ref());
        let attempt = recorded.filter(|attempt| !is_of_a_backup(facts, attempt.at.0));
        let start = Self {
            state: StartState::of(facts),
            attempt,
            is_record_lost: facts.recorded().is_none_or(|status| status.observed_generation.is_none()),
            is_restored: is_restored(facts, attempt),
            may_run: false,
            facts,
        };
        Self { may_run: start.may_run(), ..start }
    }

    fn may_run(&self) -> bool {
        if !matches!(self.state, StartState::NoneListed | StartState::Unknown) {
            return false;
        }
        let observed = self.facts.observed;
        let is_unlisted = observed.start.unlisted.is_some();
        let may_have_called = match self.attempt {
            Some(attempt) => attempt.outcome != StartOutcome::Refused,
            // The status was lost, and with it the record of a call; or the finalizer was restored from a backup.
            None => self.facts.is_held() && self.is_record_lost && !(self.is_restored && is_unlisted),
        };
        // The session in a restored status is gone: Athena doesn't know it, and no list shows one with this object's mark.
        let is_past = self.is_restored && observed.session.absence.is_some() && is_unlisted;
        self.facts.session_id().is_some() && !is_past || may_have_called || observed.start.called_at.is_some()
    }

    pub fn is_started(&self) -> bool {
        self.state == StartState::Started
    }

    /// Whether a call of StartSession would be the first one to have an effect.
    pub fn is_not_started(&self) -> bool {
        self.state == StartState::NotStarted
    }

    /// Whether it is certain that the object has no session. StartSession is never called before our finalizer is on.
    pub fn has_none(&self) -> bool {
        let was_started = self.attempt.is_some_and(|attempt| attempt.outcome == StartOutcome::Started);
        let is_untouched = !self.facts.is_held() && self.facts.session_id().is_none() && !was_started;
        self.state == StartState::NotStarted || self.state.is_pending() && is_untouched
    }

    /// Whether it isn't decided what the missing record means. Without a grant, and without a record, an object has a
    /// finalizer that anybody may have put on it, or a status that was wiped. Until there is a grant it stays visible that
    /// the status was lost. A restored object may have its finalizer from the backup: there a list by its mark decides.
    pub fn is_undecided(&self) -> bool {
        let is_unlisted = self.facts.observed.start.unlisted.is_some();
        let waits = self.facts.access.denied.is_some() || self.is_restored && !is_unlisted;
        let starts = !matches!(self.state, StartState::NotAsked | StartState::NotStarted);
        starts && self.facts.is_held() && waits && self.is_record_lost
    }

    pub fn attempt_to_record(&self) -> Option<StartAttempt> {
        let facts = self.facts;
        let with = |outcome| {
            let at = self.attempt.map_or_else(|| condition::time(facts.now.wall), |attempt| attempt.at.clone());
            let engine_version = self.attempt.and_then(|attempt| attempt.engine_version.clone());
            StartAttempt { at, outcome, engine_version }
        };
        match self.state {
            StartState::NotAsked => return None,
            StartState::Started => return Some(with(StartOutcome::Started)),
            _ if facts.observed.start.answered.is_some() => return Some(with(StartOutcome::Started)),
            StartState::NotStarted => return self.attempt.map(|_| with(StartOutcome::Refused)),
            StartState::NoneListed | StartState::Unknown => {}
        }
        // The finalizer is on and no attempt is recorded: an earlier process may have called StartSession, and not before the
        // object was created.
        let is_lost = facts.is_held() && self.is_record_lost && !self.is_undecided() && !self.is_restored;
        match &facts.object.metadata.creation_timestamp {
            Some(at) if is_lost && self.attempt.is_none() => {
                Some(StartAttempt { at: at.clone(), outcome: StartOutcome::Unknown, engine_version: None })
            }
            _ => self.attempt.cloned(),
        }
    }

    pub fn age(&self, attempt: &StartAttempt) -> Duration {
        let age = self.facts.now.wall.duration_since(attempt.at.0);
        // Clocks differ, so an attempt that is recorded a little in the future counts as recorded now. A time further
        // in the future counts as very old.
        let is_near = age.unsigned_abs() < RECORD_LIFE;
        Duration::try_from(age).unwrap_or(if is_near { Duration::ZERO } else { Duration::MAX })
    }
}

/// Whether lists show that no session was started, and STS hasn't confirmed since that they came from the account that calls are
/// believed to go to. The credentials may have become those of another account meanwhile.
pub fn is_account_awaited(facts: &Facts<'_>) -> bool {
    facts.observed.is_unstarted() && facts.scope.confirmed_at < facts.observed.unstarted_by_lists_until()
}

/// Whether an attempt that is recorded as of `recorded_at` was recorded for the object that was backed up, and restored together
/// with its status. It is then older than the restored object. The session of that attempt bears the mark of the object
/// that was backed up.
fn is_of_a_backup(facts: &Facts<'_>, recorded_at: Timestamp) -> bool {
    let Some(created) = &facts.object.metadata.creation_timestamp else { return false };
    // Clocks differ, but by less than this: AWS refuses calls whose time is five minutes off.
    let margin = SignedDuration::try_from(TOKEN_LIFE).unwrap_or_default();
    facts.object.labels().contains_key(RESTORED) && created.0.duration_since(recorded_at) > margin
}

fn is_restored(facts: &Facts<'_>, attempt: Option<&StartAttempt>) -> bool {
    let object = facts.object;
    let is_called = attempt.is_some() || facts.observed.start.called_at.is_some();
    // By a clock that is far behind, a new attempt would look older than the object, and count as one of the backup. Then
    // the attempt would be recorded again and again.
    let may_start = is_start_allowed(facts) && !is_of_a_backup(facts, facts.now.wall);
    object.spec.start.is_some() && object.labels().contains_key(RESTORED) && !may_start && !is_called
}

/// Whether somebody has allowed a restored object to start its session.
pub fn is_start_allowed(facts: &Facts<'_>) -> bool {
    facts.object.annotations().get(START_RESTORED).is_some_and(|value| value == "true")
}
