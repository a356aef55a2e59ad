//! One token bucket with priorities. PURE.
//!
//! A token is reserved when it is granted, and spent when the call begins. So in any t seconds no more than capacity +
//! t × rate calls begin, however late the callers come for their tokens.
//!
//! The rate adapts to what the service allows ([`adaptive_rate`](super::adaptive_rate)), and only urgent calls may use
//! the part of it above the nominal rate. So there are two counts of tokens. The first count fills at the present rate,
//! and each call takes a token from it. The second count fills at the nominal rate, and each call that isn't urgent
//! takes a token from both. So an operator without urgent calls stays at the nominal rate, even after it has learned
//! that the service allows more.
//!
//! Who is next among those who wait is in [`super::fair_queue`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::adaptive_rate::{AdaptiveRate, Rate, sound};
use super::fair_queue::{Caller, FairQueue, Position, Priority};

#[derive(Clone, Copy, Debug)]
struct Grant {
    position: Position,
    until: Instant,
    /// The caller was in the queue before it was granted the token.
    has_waited: bool,
}

/// A token bucket whose rate adapts to what the service allows. `K` names a caller.
#[derive(Debug)]
pub(super) struct Bucket<K: Caller> {
    capacity: f64,
    rate: AdaptiveRate,
    /// All tokens, also those that are granted.
    tokens: f64,
    /// The second count of tokens, for calls that aren't urgent.
    common: f64,
    /// When the tokens and the rate were last brought up to date.
    at: Instant,
    waiting: FairQueue<K>,
    /// The callers that were granted a token, and haven't used it yet.
    granted: HashMap<K, Grant>,
    /// The position that each caller had whose grant expired. A caller may need a token of another bucket as well, and
    /// come again when it has that one. At the end of the queue it would never have both.
    lapsed: HashMap<K, Position>,
}

impl<K: Caller> Bucket<K> {
    /// A grant that isn't used for this long expires, since its caller may have no call to make any more.
    pub(super) const GRANT_LIFE: Duration = Duration::from_secs(5);
    /// Rounding of floats may make a whole token smaller by this much.
    const EPSILON: f64 = 1e-6;

    /// A full bucket. It holds one token less than the burst, since the service sees the calls with varying delay (the
    /// first call of a process connects first): it would throttle a delayed call that arrives together with later ones.
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        let capacity = sound(rate.burst - 1.0, 1.0);
        Self {
            capacity,
            rate: AdaptiveRate::new(rate),
            tokens: capacity,
            common: capacity,
            at: now,
            waiting: FairQueue::default(),
            granted: HashMap::new(),
            lapsed: HashMap::new(),
        }
    }

    pub(super) fn drained(mut self) -> Self {
        self.tokens = 1.0;
        self.common = 1.0;
        self
    }

    /// Whether `who` may call now: a token was granted to it (see [`Bucket::grant`]), or a token is free and nobody who
    /// waits comes before it. Then the token is spent. Otherwise `who` waits in the queue. If `who` asks again, it
    /// keeps its position, or moves to a higher priority.
    pub(super) fn take(&mut self, who: &K, priority: Priority, now: Instant) -> bool {
        if !self.reserve(who, priority, now) {
            return false;
        }
        if let Some(grant) = self.granted.remove(who) {
            self.spend(&grant, now);
        }
        true
    }

    /// As [`Bucket::take`], but the token is granted to `who` instead of spent.
    pub(super) fn reserve(&mut self, who: &K, priority: Priority, now: Instant) -> bool {
        self.refresh(now);
        if self.granted.contains_key(who) {
            return true;
        }
        let lapsed = self.lapsed.remove(who);
        let has_waited = lapsed.is_some() || self.waiting.contains(who);
        match lapsed {
            Some(position) => self.waiting.wait_again(who, priority, position),
            None => self.waiting.wait(who, priority),
        }
        let is_due = self.due().is_some_and(|due| due == who);
        if is_due {
            self.keep(who, has_waited, now);
        }
        is_due
    }

    /// Grants free tokens to those who wait, in the order of [`FairQueue`]. Returns who may call now. Their tokens are
    /// kept for [`Bucket::GRANT_LIFE`].
    pub(super) fn grant(&mut self, now: Instant) -> Vec<K> {
        self.refresh(now);
        let mut due = Vec::new();
        while let Some(who) = self.due().cloned() {
            self.keep(&who, true, now);
            due.push(who);
        }
        due
    }

    /// When [`Bucket::grant`] may next have a token to grant; None while nobody waits.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let wait = |(free, rate): (f64, f64)| (1.0 - free).max(0.0) / rate;
        let until_free = |priority| self.free(priority).map(wait).into_iter().fold(0.0, f64::max);
        let seconds = self.waiting.next().map(|(priority, _)| until_free(priority)).reduce(f64::min)?;
        let refilled = || self.at + Duration::from_secs_f64(seconds);
        // A bucket that is full of granted tokens doesn't fill any more, before a grant is used or expires.
        let full = self.granted.len() as f64 + 1.0 > self.capacity + Self::EPSILON;
        let returned = self.granted.values().map(|grant| grant.until).min();
        let next = returned.into_iter().chain((!full).then(refilled)).min();
        next.map(|next| next.max(now))
    }

    /// `who` waits no more. A token that was granted to it is free again.
    pub(super) fn forget(&mut self, who: &K) {
        self.granted.remove(who);
        self.lapsed.remove(who);
        self.waiting.leave(who);
    }

    /// The service throttled a call. The rate halves, and no call begins for a while: callers that were granted a token
    /// and haven't used it yet wait again, each at its old position.
    pub(super) fn throttled(&mut self, now: Instant) {
        self.refresh(now);
        if !self.rate.throttled(now) {
            return;
        }
        self.tokens = self.tokens.min(-AdaptiveRate::ONE_EVENT.as_secs_f64() * self.rate.per_second());
        self.common = self.common.min(0.0);
        for (who, grant) in std::mem::take(&mut self.granted) {
            self.waiting.wait_at(who, grant.position);
        }
    }

    pub(super) fn depth(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate.per_second()
    }

    /// How many calls a second are allowed at present; None while that is still the nominal rate.
    pub(super) fn learned_rate(&self) -> Option<f64> {
        self.rate.learned()
    }

    fn due(&self) -> Option<&K> {
        let has_free = |priority| self.free(priority).iter().all(|(free, _)| *free >= 1.0 - Self::EPSILON);
        self.waiting.next().find(|(priority, _)| has_free(*priority)).map(|(_, who)| who)
    }

    fn keep(&mut self, who: &K, has_waited: bool, now: Instant) {
        let Some(position) = self.waiting.serve(who) else { return };
        self.granted.insert(who.clone(), Grant { position, until: now + Self::GRANT_LIFE, has_waited });
    }

    fn spend(&mut self, grant: &Grant, now: Instant) {
        let priority = grant.position.priority;
        self.tokens -= 1.0;
        if !priority.is_urgent() {
            self.common -= 1.0;
        }
        let is_short = grant.has_waited || self.waiting.highest().is_some_and(Priority::is_urgent);
        self.rate.called(priority.is_urgent() && is_short, now);
    }

    /// The counts that a call of this priority takes a token from: for each count, the tokens that aren't granted, and
    /// how many tokens come a second.
    fn free(&self, priority: Priority) -> [(f64, f64); 2] {
        let all = (self.tokens - self.granted.len() as f64, self.rate.per_second());
        if priority.is_urgent() {
            return [all, all];
        }
        let granted = self.granted.values().filter(|grant| !grant.position.priority.is_urgent()).count();
        [all, (self.common - granted as f64, self.rate.for_all())]
    }

    /// Brings tokens and rate up to date. First come the tokens, at the rate so far, and then the rate changes:
    /// [`Bucket::next`] counts on this order.
    fn refresh(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + seconds * self.rate.per_second()).min(self.capacity);
        self.common = (self.common + seconds * self.rate.for_all()).min(self.capacity);
        if self.tokens >= self.capacity && self.waiting.is_empty() {
            self.rate.rested();
        }
        self.rate.pass(seconds, now);
        let expired = self.granted.extract_if(|_, grant| now >= grant.until);
        self.lapsed.extend(expired.map(|(who, grant)| (who, grant.position)));
    }
}

#[cfg(test)]
mod tests;
