//! One token bucket with priorities: pure, so time comes in as a value.
//!
//! A token is reserved when it is granted and spent when the call is begun. So however late those who
//! were granted one come, within any t seconds no more calls begin than capacity + t × rate.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Who comes first where several wait. The order is strict. So what stands behind can wait for as long as
/// there is work before it, and that is bounded by design: each session ends and starts once, each
/// decision to end one takes one fresh look, each object is adopted once. Only polls go on for ever, and
/// they are last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Ends a session, or proves that it has ended.
    End,
    /// The look that must come before a decision that can't be undone.
    FreshLook,
    /// Starts a session.
    Start,
    /// The first look at a session, after a start of the operator or for a new object.
    Adopt,
    /// Looks again.
    Poll,
}

/// How many calls are allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Calls a second, in the long run. Counts as at least 0.001.
    pub per_second: f64,
    /// Calls at once, after a pause. Counts as at least 1.
    pub burst: f64,
}

impl Default for Rate {
    /// The least that the service quotas of Athena's session operations have.
    fn default() -> Self {
        Self { per_second: 5.0, burst: 10.0 }
    }
}

/// A place in the queue: the priority, then the order of arrival.
type Place = (Priority, u64);

/// A token that is kept for somebody.
#[derive(Clone, Copy, Debug)]
struct Grant {
    place: Place,
    until: Instant,
}

/// A token bucket whose rate halves when the service throttles, and recovers. `K` names who waits.
#[derive(Debug)]
pub struct Bucket<K> {
    nominal: f64,
    capacity: f64,
    /// Calls a second, at present.
    rate: f64,
    /// Tokens, those that are granted among them.
    tokens: f64,
    /// When `tokens` and `rate` were last brought up to date.
    at: Instant,
    throttled_at: Option<Instant>,
    waiting: BTreeMap<Place, K>,
    places: HashMap<K, Place>,
    granted: HashMap<K, Grant>,
    arrivals: u64,
}

impl<K: Clone + Eq + Hash> Bucket<K> {
    /// A grant that isn't used goes back after this: whoever it was for has nothing to ask any more.
    pub const GRANT_LIFE: Duration = Duration::from_secs(5);
    /// Throttled answers within this are one event: calls that were in flight together.
    const ONE_EVENT: Duration = Duration::from_secs(1);
    /// The rate grows from nothing to the nominal one in so many seconds. Slow, since each attempt to go
    /// beyond what the service allows costs a throttled call.
    const RECOVERY: f64 = 64.0;
    /// The rate never falls below the nominal one divided by this …
    const MOST_HALVED: f64 = 16.0;
    /// … nor below this many calls a second (unless the nominal one does).
    const LEAST: f64 = 0.1;
    /// Sums of floats may miss a whole token by so little.
    const EPSILON: f64 = 1e-6;

    /// A full bucket. It holds one token less than the burst: the service sees calls with varying delay
    /// (the first one of a process connects first), and would throttle one that comes late but is followed
    /// by punctual ones.
    #[must_use]
    pub fn new(rate: Rate, now: Instant) -> Self {
        // What isn't a number is not above the least either.
        let sound = |value: f64, least: f64| if value > least { value.min(1e6) } else { least };
        let nominal = sound(rate.per_second, 0.001);
        let capacity = sound(rate.burst - 1.0, 1.0);
        Self {
            nominal,
            capacity,
            rate: nominal,
            tokens: capacity,
            at: now,
            throttled_at: None,
            waiting: BTreeMap::new(),
            places: HashMap::new(),
            granted: HashMap::new(),
            arrivals: 0,
        }
    }

    /// With a single token, however many it may hold.
    #[must_use]
    pub fn drained(mut self) -> Self {
        self.tokens = 1.0;
        self
    }

    /// Whether `who` may call now: a token was granted to it (see [`Bucket::grant`]), or one is free and
    /// nobody of the same or a higher priority waits before it. The token is spent then. Otherwise `who` is
    /// queued, once: asked again it keeps its place, and takes over a higher priority.
    pub fn take(&mut self, who: &K, priority: Priority, now: Instant) -> bool {
        self.refresh(now);
        if self.granted.remove(who).is_some() {
            self.tokens -= 1.0;
            return true;
        }
        let place = match self.places.get(who) {
            Some(&(before, number)) => (before.min(priority), number),
            None => {
                self.arrivals += 1;
                (priority, self.arrivals)
            }
        };
        self.forget(who);
        let first = self.waiting.first_key_value().is_none_or(|(first, _)| place < *first);
        if first && self.has_free() {
            self.tokens -= 1.0;
            return true;
        }
        self.queue(who.clone(), place);
        false
    }

    /// Hands free tokens to those who wait: the highest priority first, within one who came first. Returns
    /// who may come now; their tokens are kept for [`Bucket::GRANT_LIFE`].
    pub fn grant(&mut self, now: Instant) -> Vec<K> {
        self.refresh(now);
        let mut due = Vec::new();
        while self.has_free() {
            let Some((place, who)) = self.waiting.pop_first() else { break };
            self.places.remove(&who);
            self.granted.insert(who.clone(), Grant { place, until: now + Self::GRANT_LIFE });
            due.push(who);
        }
        due
    }

    /// When [`Bucket::grant`] may next have something to hand out; None while nobody waits.
    #[must_use]
    pub fn next(&self, now: Instant) -> Option<Instant> {
        if self.waiting.is_empty() {
            return None;
        }
        let refilled = || self.at + Duration::from_secs_f64((1.0 - self.free()).max(0.0) / self.rate);
        // A bucket that is full of grants isn't refilled: only one that goes back makes room.
        let full = self.granted.len() as f64 + 1.0 > self.capacity + Self::EPSILON;
        let returned = self.granted.values().map(|grant| grant.until).min();
        let next = returned.into_iter().chain((!full).then(refilled)).min();
        next.map(|next| next.max(now))
    }

    /// `who` waits no more, and a token granted to it is free again.
    pub fn forget(&mut self, who: &K) {
        self.granted.remove(who);
        if let Some(place) = self.places.remove(who) {
            self.waiting.remove(&place);
        }
    }

    /// The service throttled a call. The rate halves, and there is no token left; those who were granted
    /// one and haven't come yet wait again, each at its old place.
    pub fn throttled(&mut self, now: Instant) {
        self.refresh(now);
        if self.throttled_at.is_some_and(|at| now.saturating_duration_since(at) < Self::ONE_EVENT) {
            return;
        }
        self.throttled_at = Some(now);
        let floor = (self.nominal / Self::MOST_HALVED).max(Self::LEAST).min(self.nominal);
        self.rate = (self.rate / 2.0).max(floor);
        self.tokens = self.tokens.min(0.0);
        for (who, grant) in std::mem::take(&mut self.granted) {
            self.queue(who, grant.place);
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
        self.rate
    }

    fn queue(&mut self, who: K, place: Place) {
        self.places.insert(who.clone(), place);
        self.waiting.insert(place, who);
    }

    fn free(&self) -> f64 {
        self.tokens - self.granted.len() as f64
    }

    fn has_free(&self) -> bool {
        self.free() >= 1.0 - Self::EPSILON
    }

    /// Time has passed: tokens at the rate so far, then the rate. In this order, so that
    /// [`Bucket::next`] can be told exactly.
    fn refresh(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + seconds * self.rate).min(self.capacity);
        self.rate = (self.rate + seconds * self.nominal / Self::RECOVERY).min(self.nominal);
        self.granted.retain(|_, grant| now < grant.until);
    }
}

#[cfg(test)]
mod tests;
