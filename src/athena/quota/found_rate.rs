//! How many calls a second a service seems to allow, for one bucket. PURE.
//!
//! ```text
//!   urgent calls wait, none was throttled ──► each urgent call raises the rate, which doubles in `DOUBLING`
//!   a call is throttled ────────────────────► the rate halves; the calls a second that the service has let through since
//!                                             it last throttled are remembered as its limit
//!   after that ─────────────────────────────► the rate comes back to just under the limit within `COME_BACK`,
//!                                             and creeps on from there
//!   not throttled for `MEMORY` ─────────────► the limit may be out of date, and is tried: the rate doubles again
//! ```
//!
//! Below the nominal rate no urgent call is needed: the rate recovers with time, for all callers of the bucket.

use std::f64::consts::LN_2;
use std::time::{Duration, Instant};

/// How many calls are allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Calls a second to begin with, in the long run. Counts as at least 0.001.
    pub per_second: f64,
    /// The most calls a second that the rate grows to. With a value below `per_second` the rate doesn't grow.
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
    /// How many calls a second the service allowed when it last throttled one.
    limit: Option<f64>,
    throttled_at: Option<Instant>,
    /// Since when the limit is measured, and how many calls the service has let through since then. It begins when the
    /// service throttles, since the service's own bucket is empty then. None after a time without any call to make: then
    /// the number of calls tells nothing of the limit.
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
    /// The rate is held at this part of the limit, since the limit was measured with some error.
    const HELD: f64 = 0.95;
    /// After throttling, the rate comes back from half of what is held to all of it in so many seconds.
    const COME_BACK: f64 = 2.0;
    /// A limit is measured by at least so many calls.
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

    /// The present rate, if something was found out: it has grown, or a call was throttled. None otherwise.
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

    /// A call is begun. `raises`: the call is urgent, and it had to wait, or other urgent calls wait.
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
            // While the rate grows, the number of calls tells nothing of what the service allows.
            self.passed = None;
        }
        self.rate = (self.rate + LN_2 / doubling).min(self.most);
    }

    /// There was no call to make.
    pub fn rested(&mut self) {
        self.passed = None;
    }

    /// A call was throttled. Returns false where that belongs to the event before; if true, no call must be begun for
    /// [`FoundRate::ONE_EVENT`].
    pub fn throttled(&mut self, now: Instant) -> bool {
        if let Some((_, passed)) = &mut self.passed {
            *passed = (*passed - 1.0).max(0.0);
        }
        if self.throttled_at.is_some_and(|at| now.saturating_duration_since(at) < Self::ONE_EVENT) {
            return false;
        }
        // The service's own bucket was empty at the last throttling, and is empty now. So what it let through in between
        // shows its rate.
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

/// The value within bounds; for what isn't a number, the least.
pub(super) fn sound(value: f64, least: f64) -> f64 {
    if value > least { value.min(1e6) } else { least }
}
