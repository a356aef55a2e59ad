//! One token bucket with priorities: pure, so time comes in as a value.
//!
//! A token is reserved when it is granted and spent when the call is begun. So however late those who
//! were granted one come, within any t seconds no more calls begin than capacity + t × rate.
//!
//! The rate is found out ([`found_rate`](super::found_rate)). Only urgent calls may use what the present rate has above the
//! nominal one. So there are two counts of tokens. One fills at the present rate, and each call takes a token from it. The
//! other fills at the nominal rate, and calls that aren't urgent take a token from it as well. So an operator at rest stays
//! at the nominal rate, also where it has found that more is allowed.
//!
//! Who is next of those who wait is in [`super::fair_queue`]: by priority, and the namespaces in turn.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

pub use super::fair_queue::Caller;
use super::fair_queue::{self, FairQueue};
pub use super::found_rate::Rate;
use super::found_rate::{FoundRate, sound};

type Place = fair_queue::Place<Priority>;

/// Who comes first where several wait. Of one namespace's calls the order is strict: each of its sessions ends and starts
/// once, each decision to end one takes one fresh look, each of its objects is adopted once; polls go on for ever, and they
/// are last. The calls of other namespaces go before it by priority as well, but not for ever: see [`FairQueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Ends a session, or proves that it has ended.
    End,
    /// The look that must come before a decision that can't be undone, or that shows an end that was asked for.
    FreshLook,
    /// Starts a session.
    Start,
    /// The first look at a session, after a start of the operator or for a new object.
    Adopt,
    /// Looks again.
    Poll,
}

impl Priority {
    /// Whether calls of this priority may raise the rate above the nominal one, and use the higher rate.
    fn is_urgent(self) -> bool {
        self <= Self::FreshLook
    }
}

/// A token that is kept for somebody.
#[derive(Clone, Copy, Debug)]
struct Grant {
    place: Place,
    until: Instant,
    /// Whoever has it was in the queue before.
    has_waited: bool,
}

/// The callers that were granted a token and haven't used it yet.
#[derive(Debug)]
struct Grants<K> {
    all: HashMap<K, Grant>,
    /// How many of these callers aren't urgent.
    common: usize,
}

impl<K: Eq + Hash> Grants<K> {
    fn insert(&mut self, who: K, grant: Grant) {
        self.common += usize::from(!grant.place.priority.is_urgent());
        self.all.insert(who, grant);
    }

    fn remove(&mut self, who: &K) -> Option<Grant> {
        let grant = self.all.remove(who)?;
        self.common -= usize::from(!grant.place.priority.is_urgent());
        Some(grant)
    }

    /// Takes away what wasn't used in time. Returns who had it, and where each of them stood.
    fn expire(&mut self, now: Instant) -> Vec<(K, Place)> {
        let expired = self.all.extract_if(|_, grant| now >= grant.until);
        let expired: Vec<_> = expired.map(|(who, grant)| (who, grant.place)).collect();
        self.common -= expired.iter().filter(|(_, place)| !place.priority.is_urgent()).count();
        expired
    }

    fn take_back(&mut self) -> impl Iterator<Item = (K, Place)> + use<K> {
        self.common = 0;
        std::mem::take(&mut self.all).into_iter().map(|(who, grant)| (who, grant.place))
    }
}

/// A token bucket whose rate is found out. `K` names who waits.
#[derive(Debug)]
pub struct Bucket<K: Caller> {
    capacity: f64,
    /// Calls a second, at present.
    rate: FoundRate,
    /// Tokens, those that are granted among them.
    tokens: f64,
    /// The tokens that calls which aren't urgent may take.
    common: f64,
    /// When tokens and rate were last brought up to date.
    at: Instant,
    waiting: FairQueue<K, Priority>,
    granted: Grants<K>,
    /// Where each caller stood whose token went back unused. A caller may need a token of another bucket as well, and ask again
    /// when that one is there: at the end of the queue it would never have both.
    lapsed: HashMap<K, Place>,
}

impl<K: Caller> Bucket<K> {
    /// A grant that isn't used goes back after this: whoever it was for has nothing to ask any more.
    pub const GRANT_LIFE: Duration = Duration::from_secs(5);
    /// Sums of floats may miss a whole token by so little.
    const EPSILON: f64 = 1e-6;

    /// A full bucket. It holds one token less than the burst: the service sees calls with varying delay
    /// (the first one of a process connects first), and would throttle one that comes late but is followed
    /// by punctual ones.
    #[must_use]
    pub fn new(rate: Rate, now: Instant) -> Self {
        let capacity = sound(rate.burst - 1.0, 1.0);
        Self {
            capacity,
            rate: FoundRate::new(rate),
            tokens: capacity,
            common: capacity,
            at: now,
            waiting: FairQueue::default(),
            granted: Grants { all: HashMap::new(), common: 0 },
            lapsed: HashMap::new(),
        }
    }

    /// With a single token, however many it may hold.
    #[must_use]
    pub fn drained(mut self) -> Self {
        self.tokens = 1.0;
        self.common = 1.0;
        self
    }

    /// Whether `who` may call now: a token was granted to it (see [`Bucket::grant`]), or one is free and nobody who waits
    /// comes before it. The token is spent then. Otherwise `who` is queued, once: asked again it keeps its place, and takes
    /// over a higher priority.
    pub fn take(&mut self, who: &K, priority: Priority, now: Instant) -> bool {
        if !self.reserve(who, priority, now) {
            return false;
        }
        if let Some(grant) = self.granted.remove(who) {
            self.spend(&grant, now);
        }
        true
    }

    /// As [`Bucket::take`], but the token isn't spent yet: it is granted to `who`.
    pub fn reserve(&mut self, who: &K, priority: Priority, now: Instant) -> bool {
        self.refresh(now);
        if self.granted.all.contains_key(who) {
            return true;
        }
        let lapsed = self.lapsed.remove(who);
        let has_waited = lapsed.is_some() || self.waiting.contains(who);
        match lapsed {
            Some(place) => self.waiting.wait_again(who, priority, place),
            None => self.waiting.wait(who, priority),
        }
        let is_due = self.due().is_some_and(|due| due == who);
        if is_due {
            self.keep(who, has_waited, now);
        }
        is_due
    }

    /// Hands free tokens to those who wait, in the order of [`FairQueue`]. Returns who may come now; their tokens are kept for
    /// [`Bucket::GRANT_LIFE`].
    pub fn grant(&mut self, now: Instant) -> Vec<K> {
        self.refresh(now);
        let mut due = Vec::new();
        while let Some(who) = self.due().cloned() {
            self.keep(&who, true, now);
            due.push(who);
        }
        due
    }

    /// When [`Bucket::grant`] may next have something to hand out; None while nobody waits.
    #[must_use]
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let seconds = self.waiting.next().map(|(priority, _)| self.seconds_until_free(priority)).reduce(f64::min)?;
        let refilled = || self.at + Duration::from_secs_f64(seconds);
        // A bucket that is full of grants isn't refilled: only one that goes back makes room.
        let full = self.granted.all.len() as f64 + 1.0 > self.capacity + Self::EPSILON;
        let returned = self.granted.all.values().map(|grant| grant.until).min();
        let next = returned.into_iter().chain((!full).then(refilled)).min();
        next.map(|next| next.max(now))
    }

    /// `who` waits no more, and a token granted to it is free again.
    pub fn forget(&mut self, who: &K) {
        self.granted.remove(who);
        self.lapsed.remove(who);
        self.waiting.leave(who);
    }

    /// The service throttled a call. The rate halves, and no call is begun for a while: those who were granted a token and
    /// haven't come yet wait again, each at its old place.
    pub fn throttled(&mut self, now: Instant) {
        self.refresh(now);
        if !self.rate.throttled(now) {
            return;
        }
        self.tokens = self.tokens.min(-FoundRate::ONE_EVENT.as_secs_f64() * self.rate.per_second());
        self.common = self.common.min(0.0);
        for (who, place) in self.granted.take_back() {
            self.waiting.wait_at(who, place);
        }
    }

    /// How many wait, beside those whose token is kept for them.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.waiting.len()
    }

    /// Calls a second that are allowed at present.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rate.per_second()
    }

    /// The calls a second that are allowed at present; None while that is only the rate to begin with.
    #[must_use]
    pub fn found(&self) -> Option<f64> {
        self.rate.found()
    }

    /// Who comes next, if a token is free for that one's call.
    fn due(&self) -> Option<&K> {
        self.waiting.next().find(|(priority, _)| self.has_free(*priority)).map(|(_, who)| who)
    }

    fn keep(&mut self, who: &K, has_waited: bool, now: Instant) {
        let Some(place) = self.waiting.serve(who) else { return };
        self.granted.insert(who.clone(), Grant { place, until: now + Self::GRANT_LIFE, has_waited });
    }

    fn spend(&mut self, grant: &Grant, now: Instant) {
        let priority = grant.place.priority;
        self.tokens -= 1.0;
        if !priority.is_urgent() {
            self.common -= 1.0;
        }
        let is_short = grant.has_waited || self.waiting.highest().is_some_and(Priority::is_urgent);
        self.rate.called(priority.is_urgent() && is_short, now);
    }

    /// The counts that a call of this priority takes a token from: for each, the tokens that aren't granted, and how many
    /// come a second.
    fn free(&self, priority: Priority) -> [(f64, f64); 2] {
        let all = (self.tokens - self.granted.all.len() as f64, self.rate.per_second());
        if priority.is_urgent() {
            return [all, all];
        }
        [all, (self.common - self.granted.common as f64, self.rate.for_all())]
    }

    fn has_free(&self, priority: Priority) -> bool {
        self.free(priority).iter().all(|(free, _)| *free >= 1.0 - Self::EPSILON)
    }

    fn seconds_until_free(&self, priority: Priority) -> f64 {
        self.free(priority).iter().map(|(free, rate)| (1.0 - free).max(0.0) / rate).fold(0.0, f64::max)
    }

    /// Time has passed: tokens at the rate so far, then the rate. In this order, so that
    /// [`Bucket::next`] can be told exactly.
    fn refresh(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + seconds * self.rate.per_second()).min(self.capacity);
        self.common = (self.common + seconds * self.rate.for_all()).min(self.capacity);
        if self.tokens >= self.capacity && self.waiting.is_empty() {
            self.rate.rested();
        }
        self.rate.pass(seconds, now);
        let expired = self.granted.expire(now);
        self.lapsed.extend(expired);
    }
}

#[cfg(test)]
mod tests;
