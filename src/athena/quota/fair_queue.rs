//! Who waits for something scarce, and whose turn it is. PURE.
//!
//! ```text
//!   a namespace was passed over for long ─► its first caller, whatever that caller's priority is
//!   otherwise ── the highest priority ────► the namespaces in turn; of one namespace who came first
//! ```
//!
//! So how long a caller waits depends on the callers of its own namespace, and on how many namespaces wait. Thousands of
//! callers of another namespace count as one.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::hash::Hash;

/// Who asks for it.
pub trait Caller: Clone + Eq + Hash {
    /// Those whose callers wait for each other. The callers of different tenants come in turn.
    type Tenant: Clone + Debug + Eq + Hash;

    /// Whose turn this caller comes in.
    fn tenant(&self) -> Self::Tenant;
}

/// Where a caller stands. Of priorities `P` the least one comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<P> {
    /// How urgent it is.
    pub priority: P,
    /// The number of its tenant's turn: the lowest is next.
    turn: u64,
    /// When it came, as a number.
    arrival: u64,
}

/// The callers of one tenant with one priority.
#[derive(Debug)]
struct Queue<K> {
    turn: u64,
    callers: BTreeMap<u64, K>,
}

/// What waits of one tenant.
#[derive(Debug)]
struct Waiting<K, P> {
    queues: BTreeMap<P, Queue<K>>,
    passed_over_since: Since,
}

/// How many callers had been served, and a number that makes the moment unique.
type Since = (u64, u64);

/// Those who wait.
#[derive(Debug)]
pub struct FairQueue<K: Caller, P> {
    arrivals: HashMap<K, (P, u64)>,
    tenants: HashMap<K::Tenant, Waiting<K, P>>,
    /// For each priority, whose turn comes when.
    turns: BTreeMap<(P, u64), K::Tenant>,
    /// The tenants, by when each began to wait or was last served.
    passed_over: BTreeMap<Since, K::Tenant>,
    served: u64,
    numbers: u64,
}

impl<K: Caller, P> Default for FairQueue<K, P> {
    fn default() -> Self {
        let (arrivals, tenants, turns, passed_over) =
            (HashMap::new(), HashMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { arrivals, tenants, turns, passed_over, served: 0, numbers: 0 }
    }
}

impl<K: Caller, P: Copy + Ord> FairQueue<K, P> {
    /// A tenant has been passed over for long when, since its last turn, this many times as many callers were served as
    /// there are tenants that wait. So the highest priority gets at least half of all there is.
    const PASSED_OVER: u64 = 2;

    /// How many callers wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.arrivals.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    /// Whether this caller waits.
    #[must_use]
    pub fn contains(&self, who: &K) -> bool {
        self.arrivals.contains_key(who)
    }

    /// The highest priority of all that wait.
    #[must_use]
    pub fn highest(&self) -> Option<P> {
        self.turns.first_key_value().map(|((priority, _), _)| *priority)
    }

    /// The caller waits. A caller that waits already keeps its place; where its call has become more urgent, it changes to
    /// that priority, and comes there before all callers of its tenant that came later than it.
    pub fn wait(&mut self, who: &K, priority: P) {
        if self.arrivals.get(who).is_some_and(|(before, _)| *before <= priority) {
            return;
        }
        let arrival = self.leave(who).map_or_else(|| self.number(), |before| before.arrival);
        let turn = self.number();
        self.wait_at(who.clone(), Place { priority, turn, arrival });
    }

    /// The caller waits once more, after it was served and made no use of that: it comes before all callers of its tenant that
    /// came later than it. Its tenant's turn is a new one.
    pub fn wait_again(&mut self, who: &K, priority: P, before: Place<P>) {
        let turn = self.number();
        self.wait_at(who.clone(), Place { priority, turn, arrival: before.arrival });
    }

    /// The caller waits at a place that it had before.
    pub fn wait_at(&mut self, who: K, place: Place<P>) {
        let tenant = who.tenant();
        let since = (self.served, self.number());
        let waiting = self.tenants.entry(tenant.clone()).or_insert_with(|| {
            self.passed_over.insert(since, tenant.clone());
            Waiting { queues: BTreeMap::new(), passed_over_since: since }
        });
        let queue = waiting.queues.entry(place.priority);
        let queue = queue.or_insert_with(|| Queue { turn: place.turn, callers: BTreeMap::new() });
        self.turns.remove(&(place.priority, queue.turn));
        queue.turn = queue.turn.min(place.turn);
        self.turns.insert((place.priority, queue.turn), tenant);
        queue.callers.insert(place.arrival, who.clone());
        self.arrivals.insert(who, (place.priority, place.arrival));
    }

    /// The caller waits no more. Returns where it stood.
    pub fn leave(&mut self, who: &K) -> Option<Place<P>> {
        let (priority, arrival) = self.arrivals.remove(who)?;
        let tenant = who.tenant();
        let waiting = self.tenants.get_mut(&tenant)?;
        let queue = waiting.queues.get_mut(&priority)?;
        let turn = queue.turn;
        queue.callers.remove(&arrival);
        if queue.callers.is_empty() {
            waiting.queues.remove(&priority);
            self.turns.remove(&(priority, turn));
        }
        if waiting.queues.is_empty() {
            self.passed_over.remove(&waiting.passed_over_since);
            self.tenants.remove(&tenant);
        }
        Some(Place { priority, turn, arrival })
    }

    /// The caller is served, and waits no more. Its tenant's next turn comes after those of all others. Returns where
    /// the caller stood.
    pub fn serve(&mut self, who: &K) -> Option<Place<P>> {
        let place = self.leave(who)?;
        self.served += 1;
        let (since, turn) = ((self.served, self.number()), self.number());
        let tenant = who.tenant();
        if let Some(waiting) = self.tenants.get_mut(&tenant) {
            self.passed_over.remove(&waiting.passed_over_since);
            self.passed_over.insert(since, tenant.clone());
            waiting.passed_over_since = since;
            if let Some(queue) = waiting.queues.get_mut(&place.priority) {
                self.turns.remove(&(place.priority, queue.turn));
                self.turns.insert((place.priority, turn), tenant);
                queue.turn = turn;
            }
        }
        Some(place)
    }

    /// Who is next, with the priority; where that one can't be served yet, the second one is.
    pub fn next(&self) -> impl Iterator<Item = (P, &K)> {
        let in_turn = self.turns.first_key_value().and_then(|((priority, _), tenant)| {
            let queue = self.tenants.get(tenant)?.queues.get(priority)?;
            Some((*priority, queue.callers.first_key_value()?.1))
        });
        self.passed_over().into_iter().chain(in_turn)
    }

    /// The first caller of the tenant that was passed over for longest, if that is long.
    fn passed_over(&self) -> Option<(P, &K)> {
        let ((since, _), tenant) = self.passed_over.first_key_value()?;
        if self.served - since < Self::PASSED_OVER * self.tenants.len() as u64 {
            return None;
        }
        let (priority, queue) = self.tenants.get(tenant)?.queues.first_key_value()?;
        Some((*priority, queue.callers.first_key_value()?.1))
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}
