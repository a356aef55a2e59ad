//! The recorded status, as far as it tells who wrote it, and since when an end is asked for. PURE.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::answers::{ANSWER_LIFE, Now};
use crate::api::session::{AthenaSession, AthenaSessionStatus, TerminationReason};
use crate::athena::types::CallerContext;

#[derive(Clone, Debug, Default)]
pub struct RecordedStatus {
    /// A fingerprint of what it says: of thousands of objects the whole would be much to keep.
    status: Option<u64>,
    others_wrote_at: Option<Instant>,
    requested: Option<Requested>,
    /// The object was found being deleted, and only its deletion asks for the end.
    is_deleted: bool,
    /// The recorded time of an end that nobody asks for any more. It is ignored as long as it stays recorded.
    taken_back: Option<Timestamp>,
    found_at: Option<Moment>,
}

/// A moment, by Athena's clock and by ours.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// By Athena's clock.
    time: Timestamp,
    /// Whether Athena's clock is known; otherwise `time` is by ours.
    is_known: bool,
    /// By our clock.
    wall: Timestamp,
    tick: Instant,
}

/// Since when an end is asked for: as this process wrote it, or first found it.
#[derive(Clone, Copy, Debug)]
pub struct Requested {
    pub at: Timestamp,
    /// By the clock that nobody sets.
    pub since: Instant,
    /// When the object was deleted, by the API server's clock, where its deletion alone asks.
    deleted: Option<Timestamp>,
    /// What had passed before this process found the record is part of `since`. It isn't as long as Athena's clock isn't known.
    is_measured: bool,
}

impl Requested {
    /// Recorded as of `at`, which isn't later than now, nor before `earliest`, nor before the object was deleted where that alone
    /// asks.
    fn new(at: Timestamp, earliest: Option<Timestamp>, deleted: Option<Timestamp>, now: Moment) -> Self {
        let at = earliest.max(deleted).map_or(at, |earliest| at.max(earliest));
        Self { at, since: now.tick, deleted, is_measured: false }.measured(now)
    }

    /// Adds the time that had passed before this process found the record, once Athena's clock is known.
    fn measured(self, now: Moment) -> Self {
        if self.is_measured || !now.is_known {
            return self;
        }
        let at = self.at.min(now.time);
        let passed =
            |since: Timestamp, now: Timestamp| Duration::try_from(now.duration_since(since)).unwrap_or_default();
        let mut ago = passed(at, now.time);
        // The API server's clock, which tells when the object was deleted, may not agree with Athena's.
        if let Some(deleted) = self.deleted {
            ago = ago.min(passed(deleted, now.wall));
        }
        let since = now.tick.checked_sub(ago).map_or(self.since, |since| since.min(self.since));
        Self { at, since, deleted: self.deleted, is_measured: true }
    }
}

impl RecordedStatus {
    /// Takes in the object as it was found. The first status that is found doesn't count as written by somebody else.
    pub(super) fn found(&mut self, object: &AthenaSession, scope: &CallerContext, now: Now) {
        let now = Moment {
            time: scope.athena_time(now.wall),
            is_known: scope.skew.is_some(),
            wall: now.wall,
            tick: now.tick,
        };
        let status = object.status.as_ref();
        let found = fingerprint(status);
        if self.status.is_some_and(|known| known != found) {
            self.others_wrote_at = Some(now.tick);
        }
        self.status = Some(found);
        // Another process recorded this time. It can't be before the last reading without it, nor before the deletion.
        let deletion = object.metadata.deletion_timestamp.as_ref().map(|deletion| deletion.0);
        let deleted = if object.spec.terminate { None } else { deletion };
        let unrecorded = self.found_at.and_then(|found_at| found_at.time.checked_sub(ANSWER_LIFE).ok());
        let recorded = requested_at(status).filter(|at| self.taken_back != Some(*at));
        let requested = recorded.map(|at| Requested::new(at, unrecorded, deleted, now));
        self.requested = self.requested.or(requested).map(|requested| requested.measured(now));
        if deleted.is_some() && !self.is_deleted {
            // The object is found deleted only now, so its deletion can't have asked for the end before.
            self.requested = self.requested.map(|requested| Requested::new(requested.at, None, deleted, now));
        }
        self.is_deleted = deleted.is_some();
        self.found_at = Some(now);
    }

    pub fn written(&mut self, status: Option<&AthenaSessionStatus>) {
        let found_at = self.found_at;
        // The record has whole seconds. An older time isn't this process' own, so somebody else wrote it.
        let requested = requested_at(status).zip(found_at).map(|(at, now)| {
            let earliest = now.time.checked_sub(SignedDuration::from_secs(1)).unwrap_or(at);
            Requested { at: at.max(earliest), since: now.tick, deleted: None, is_measured: true }
        });
        let requested = requested.map(|requested| self.requested.unwrap_or(requested));
        let (status, is_deleted) = (Some(fingerprint(status)), self.is_deleted);
        *self = Self { status, others_wrote_at: None, requested, taken_back: None, is_deleted, found_at };
    }

    /// The API server refused to record this status for its size. An end that is asked for counts from now on all the same.
    pub fn refused(&mut self, status: &AthenaSessionStatus, now: Now) {
        let requested = |at| Requested { at, since: now.tick, deleted: None, is_measured: true };
        self.requested = self.requested.or(requested_at(Some(status)).map(requested));
    }

    /// It is certain that nobody asks for an end. The next end gets its whole grace period, whatever time `status`
    /// records.
    pub fn unasked(&mut self, status: Option<&AthenaSessionStatus>) {
        (self.requested, self.taken_back) = (None, requested_at(status));
    }

    pub fn requested(&self) -> Option<Requested> {
        self.requested
    }

    /// When somebody else was found to have written what is recorded.
    pub fn others_wrote_at(&self) -> Option<Instant> {
        self.others_wrote_at
    }
}

fn requested_at(status: Option<&AthenaSessionStatus>) -> Option<Timestamp> {
    status.and_then(|status| status.termination_requested_at.as_ref()).map(|time| time.0)
}

fn fingerprint(status: Option<&AthenaSessionStatus>) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Some(status) = status {
        (status.observed_generation, &status.session_id, &status.state, &status.state_change_reason).hash(&mut hasher);
        (&status.work_group, &status.region, &status.account_id, status.dpu_execution_millis).hash(&mut hasher);
        status.start_attempt.as_ref().map(|it| (it.at.0.as_second(), it.outcome as u8)).hash(&mut hasher);
        status.termination_reason.map(TerminationReason::as_str).hash(&mut hasher);
        for time in [&status.started_at, &status.idle_since, &status.ended_at, &status.termination_requested_at] {
            time.as_ref().map(|time| time.0.as_second()).hash(&mut hasher);
        }
        for it in &status.workloads {
            (it.kind, &it.name, &it.uid, it.outcome.map(|it| it as u8)).hash(&mut hasher);
        }
        for condition in &status.conditions {
            (&condition.type_, &condition.status, &condition.reason, &condition.message).hash(&mut hasher);
        }
    }
    hasher.finish()
}
