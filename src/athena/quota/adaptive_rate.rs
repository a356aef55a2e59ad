//! The rate of one bucket, which adapts to how many calls a second the service seems to allow. PURE.
//!
//! ```text
//!   urgent calls wait, none was throttled ──► each urgent call raises the rate, which doubles in `DOUBLING`
//!   a call is throttled ────────────────────► the rate halves; the calls a second that came through since the last
//!                                             throttling are remembered as the limit of the service
//!   after that ─────────────────────────────► the rate comes back to just under the limit within `COME_BACK`,
//!                                             and grows slowly from there
//!   not throttled for `MEMORY` ─────────────► the limit may be out of date, so the rate doubles again
//! ```
//!
//! A rate below the nominal rate grows with time, also without urgent calls.

use std::f64::consts::LN_2;
use std::time::{Duration, Instant};

/// The bounds of the rate, which the command line gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// The nominal rate, in calls a second, which the rate begins with. A value below 0.001 counts as 0.001.
    pub per_second: f64,
    /// The highest rate that urgent calls may raise the rate to. With a value below `per_second` the rate doesn't grow.
    pub most: f64,
    /// How many calls may begin at once after a pause. A value below 1 counts as 1.
    pub burst: f64,
}

/// A rate that adapts to which calls the service throttles.
#[derive(Clone, Copy, Debug)]
pub(super) struct AdaptiveRate {
    nominal: f64,
    most: f64,
    rate: f64,
    /// How many calls a second the service allowed when it last throttled one.
    limit: Option<f64>,
    throttled_at: Option<Instant>,
    /// Since when the limit is measured, and how many calls the service has let through since then. A measurement
    /// begins when the service throttles a call, since the service's own bucket is empty then. None after a time
    /// without any call to make: then the number of calls tells nothing about the limit.
    passed: Option<(Instant, f64)>,
}

impl AdaptiveRate {
    /// Throttled answers within this time are one event: their calls were under way together. No call begins meanwhile.
    pub(super) const ONE_EVENT: Duration = Duration::from_secs(1);
    /// While no limit is known, the rate doubles in this many seconds.
    const DOUBLING: f64 = 3.0;
    /// Near a limit the rate doubles in this many seconds. Slow, since a rate above the limit costs throttled calls.
    const CREEPING: f64 = 240.0;
    /// The rate is held at this part of the limit, since the limit was measured with some error.
    const HELD: f64 = 0.95;
    /// After throttling, the rate grows back from half of the held rate to all of it in this many seconds.
    const COME_BACK: f64 = 2.0;
    /// A measurement of the limit takes at least this many calls.
    const ENOUGH: f64 = 5.0;
    const MEMORY: Duration = Duration::from_secs(60);
    /// Without urgent calls the rate grows from nothing to the nominal rate in this many seconds.
    const RECOVERY: f64 = 16.0;
    /// The rate never falls below the nominal rate divided by this number.
    const MOST_HALVED: f64 = 16.0;
    /// The rate never falls below this many calls a second, unless the nominal rate is lower.
    const LEAST: f64 = 0.1;

    pub(super) fn new(rate: Rate) -> Self {
        let nominal = sound(rate.per_second, 0.001);
        let most = sound(rate.most, nominal);
        Self { nominal, most, rate: nominal, limit: None, throttled_at: None, passed: None }
    }

    pub(super) fn per_second(&self) -> f64 {
        self.rate
    }

    /// The present rate, if it was learned from calls: the rate has grown, or a call was throttled. None otherwise.
    pub(super) fn learned(&self) -> Option<f64> {
        (self.rate > self.nominal || self.throttled_at.is_some()).then_some(self.rate)
    }

    pub(super) fn for_all(&self) -> f64 {
        self.rate.min(self.nominal)
    }

    pub(super) fn pass(&mut self, seconds: f64, now: Instant) {
        let held = self.held();
        if self.rate < held {
            self.rate = (self.rate + seconds * held / 2.0 / Self::COME_BACK).min(held);
        } else if self.rate < self.nominal && !self.is_trusted(now) {
            self.rate = (self.rate + seconds * self.nominal / Self::RECOVERY).min(self.nominal);
        }
    }

    /// A call begins. `raises`: the call is urgent, and it had to wait or other urgent calls wait.
    pub(super) fn called(&mut self, raises: bool, now: Instant) {
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

    pub(super) fn rested(&mut self) {
        self.passed = None;
    }

    /// A call was throttled. Returns false where that belongs to the event before. After true, no call must begin for
    /// [`AdaptiveRate::ONE_EVENT`].
    pub(super) fn throttled(&mut self, now: Instant) -> bool {
        if let Some((_, passed)) = &mut self.passed {
            *passed = (*passed - 1.0).max(0.0);
        }
        if self.throttled_at.is_some_and(|at| now.saturating_duration_since(at) < Self::ONE_EVENT) {
            return false;
        }
        // The service's own bucket was empty when it throttled the last time, and is empty now. So the calls that it
        // let through in between show its rate.
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

    fn held(&self) -> f64 {
        self.limit.map_or(self.nominal, |limit| limit * Self::HELD)
    }
}

/// The value within bounds. A value that isn't a number counts as the least.
pub(super) fn sound(value: f64, least: f64) -> f64 {
    if value > least { value.min(1e6) } else { least }
}
