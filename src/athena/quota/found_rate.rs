//! The control law of one bucket's rate: how many calls a second a service seems to allow. Pure, as [`super::bucket`].
//!
//! ```text
//!   urgent calls wait, none was throttled ──► each of them that is made raises the rate: it doubles in `DOUBLING`
//!   a call is throttled ────────────────────► the rate halves, and what the service let through since the time before is
//!                                             remembered as its limit
//!   after that ─────────────────────────────► the rate comes back to just under the limit within `COME_BACK`,
//!                                             and creeps on from there
//!   not throttled for `MEMORY` ─────────────► the limit may be out of date, and is tried: the rate doubles again
//! ```
//!
//! Below the nominal rate calls that aren't urgent raise it as well, by time, so that each client of the bucket recovers.

use std::f64::consts::LN_2;
use std::time::{Duration, Instant};

/// How many calls are allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Calls a second to begin with, in the long run. Counts as at least 0.001.
    pub per_second: f64,
    /// The most calls a second that the rate grows to. What is below `per_second` means: it doesn't grow.
    pub most: f64,
    /// Calls at once, after a pause. Counts as at least 1.
    pub burst: f64,
}

impl Default for Rate {
    /// It begins with the least that the service quotas of Athena's session operations have.
    fn default() -> Self {
        Self { per_second: 5.0, most: 100.0, burst: 10.0 }
    }
}

/// Calls a second, as they follow from what was throttled and what wasn't.
#[derive(Clone, Copy, Debug)]
pub struct FoundRate {
    nominal: f64,
    most: f64,
    /// Calls a second, at present.
    rate: f64,
    /// More was throttled the last time.
    limit: Option<f64>,
    throttled_at: Option<Instant>,
    /// The calls since a moment at which the service had nothing left, without those that were throttled. None where there
    /// were times without any call to make, so that their number tells nothing of the limit.
    passed: Option<(Instant, f64)>,
}

impl FoundRate {
    /// Throttled answers within this are one event: calls that were in flight together. No call is begun meanwhile.
    pub const ONE_EVENT: Duration = Duration::from_secs(1);
    /// While no limit is known the rate doubles in so many seconds.
    const DOUBLING: f64 = 3.0;
    /// Near a limit the rate doubles in so many seconds. Slow, since each attempt to go beyond what the service allows
    /// costs throttled calls.
    const CREEPING: f64 = 240.0;
    /// The rate that is held is this part of the limit, which was measured with some error.
    const HELD: f64 = 0.95;
    /// From half of that the rate comes back to it within so many seconds.
    const COME_BACK: f64 = 2.0;
    /// Fewer calls measure nothing.
    const ENOUGH: f64 = 5.0;
    /// A limit is trusted for so long.
    const MEMORY: Duration = Duration::from_secs(60);
    /// Without urgent calls the rate grows from nothing to the nominal one in so many seconds.
    const RECOVERY: f64 = 16.0;
    /// The rate never falls below the nominal one divided by this …
    const MOST_HALVED: f64 = 16.0;
    /// … nor below this many calls a second (unless the nominal one does).
    const LEAST: f64 = 0.1;

    /// The rate to begin with.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        let nominal = sound(rate.per_second, 0.001);
        let most = sound(rate.most, nominal);
        Self { nominal, most, rate: nominal, limit: None, throttled_at: None, passed: None }
    }

    /// Calls a second, at present.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.rate
    }

    /// The same, where it is more than the rate to begin with, or was throttled.
    #[must_use]
    pub fn found(&self) -> Option<f64> {
        (self.rate > self.nominal || self.throttled_at.is_some()).then_some(self.rate)
    }

    /// Calls a second for what isn't urgent.
    #[must_use]
    pub fn for_all(&self) -> f64 {
        self.rate.min(self.nominal)
    }

    /// Time has passed.
    pub fn pass(&mut self, seconds: f64, now: Instant) {
        let held = self.held();
        if self.rate < held {
            self.rate = (self.rate + seconds * held / 2.0 / Self::COME_BACK).min(held);
        } else if self.rate < self.nominal && !self.is_trusted(now) {
            self.rate = (self.rate + seconds * self.nominal / Self::RECOVERY).min(self.nominal);
        }
    }

    /// A call is begun. `raises`: it is urgent, and had to wait or others like it do.
    pub fn called(&mut self, raises: bool, now: Instant) {
        if let Some((_, passed)) = &mut self.passed {
            *passed += 1.0;
        }
        if !raises || self.rate >= self.most {
            return;
        }
        let mut doubling = Self::CREEPING;
        if !self.is_trusted(now) {
            doubling = Self::DOUBLING;
            // Those at a lower rate tell nothing of what the service allows now.
            self.passed = None;
        }
        self.rate = (self.rate + LN_2 / doubling).min(self.most);
    }

    /// There was no call to make.
    pub fn rested(&mut self) {
        self.passed = None;
    }

    /// A call was throttled. True where that is news: no call shall be begun for [`FoundRate::ONE_EVENT`].
    pub fn throttled(&mut self, now: Instant) -> bool {
        if let Some((_, passed)) = &mut self.passed {
            *passed = (*passed - 1.0).max(0.0);
        }
        if self.throttled_at.is_some_and(|at| now.saturating_duration_since(at) < Self::ONE_EVENT) {
            return false;
        }
        // The service's own bucket was empty then and is now: in between it let through what its rate is.
        let measured = self.passed.filter(|(_, passed)| *passed >= Self::ENOUGH);
        let measured = measured.map(|(since, passed)| passed / now.saturating_duration_since(since).as_secs_f64());
        let remembered = if self.is_trusted(now) { self.limit } else { None };
        let limit = measured.or(remembered).map_or(self.rate, |limit| limit.min(self.rate));
        let floor = (self.nominal / Self::MOST_HALVED).max(Self::LEAST).min(self.nominal);
        self.limit = Some(limit.max(floor));
        self.rate = (self.rate / 2.0).min(self.held()).max(floor);
        self.throttled_at = Some(now);
        if measured.is_some() || self.passed.is_none() {
            self.passed = Some((now, 0.0));
        }
        true
    }

    fn is_trusted(&self, now: Instant) -> bool {
        self.throttled_at.is_some_and(|at| now.saturating_duration_since(at) < Self::MEMORY)
    }

    /// What the rate comes back to by itself.
    fn held(&self) -> f64 {
        self.limit.map_or(self.nominal, |limit| limit * Self::HELD)
    }
}

/// What isn't a number is not above the least either.
pub(super) fn sound(value: f64, least: f64) -> f64 {
    if value > least { value.min(1e6) } else { least }
}
