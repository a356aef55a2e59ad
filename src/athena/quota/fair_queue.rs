//! Who waits for a token, and whose turn is next. PURE.
//!
//! ```text
//!   a tenant was passed over for long ─► its first caller, whatever that caller's priority is
//!   otherwise ── the highest priority ─► the tenants in turn; within one tenant, the caller that came first
//! ```
//!
//! So how long a caller waits depends on the callers of its own tenant, and on how many tenants wait. Another tenant
//! with thousands of callers counts as one.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::hash::Hash;

/// Which call comes first. Within one namespace the order is strict. That delays no call for ever: only polls come
/// again and again, and they are last. Between namespaces the order isn't strict: see `FairQueue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Ends a session, or proves that it has ended.
    End,
    /// Shows a session anew before a decision that can't be undone, or while its end is awaited.
    FreshLook,
    Start,
    /// Shows a session for the first time, after a start of the operator or for a new object.
    Adopt,
    /// Shows a session once more.
    Poll,
}

impl Priority {
    /// Whether calls of this priority may raise the rate above the nominal rate, and use the higher rate.
    pub(super) fn is_urgent(self) -> bool {
        self <= Self::FreshLook
    }
}

pub(super) trait Caller: Clone + Eq + Hash {
    /// A group of callers. The groups come in turn, so that no group delays another one for long.
    type Tenant: Clone + Debug + Eq + Hash;

    fn tenant(&self) -> Self::Tenant;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub priority: Priority,
    /// The number of the tenant's turn. The lowest number is next.
    turn: u64,
    arrival: u64,
}

/// The callers of one tenant with one priority.
#[derive(Debug)]
struct Queue<K> {
    turn: u64,
    callers: BTreeMap<u64, K>,
}

#[derive(Debug)]
struct Waiting<K> {
    queues: BTreeMap<Priority, Queue<K>>,
    passed_over_since: Since,
}

/// How many callers had been served, and a number that makes the moment unique.
type Since = (u64, u64);

#[derive(Debug)]
pub(super) struct FairQueue<K: Caller> {
    arrivals: HashMap<K, (Priority, u64)>,
    tenants: HashMap<K::Tenant, Waiting<K>>,
    /// For each priority, whose turn comes when.
    turns: BTreeMap<(Priority, u64), K::Tenant>,
    /// The tenants, by when each began to wait or was last served.
    passed_over: BTreeMap<Since, K::Tenant>,
    served: u64,
    numbers: u64,
}

impl<K: Caller> Default for FairQueue<K> {
    fn default() -> Self {
        let (arrivals, tenants, turns, passed_over) =
            (HashMap::new(), HashMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { arrivals, tenants, turns, passed_over, served: 0, numbers: 0 }
    }
}

impl<K: Caller> FairQueue<K> {
    /// How long a tenant can be passed over: until this many callers for each waiting tenant were served since its last
    /// turn. So calls of the highest priority get at least half of all tokens.
    const PASSED_OVER: u64 = 2;

    pub(super) fn len(&self) -> usize {
        self.arrivals.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    pub(super) fn contains(&self, who: &K) -> bool {
        self.arrivals.contains_key(who)
    }

    pub(super) fn highest(&self) -> Option<Priority> {
        self.turns.first_key_value().map(|((priority, _), _)| *priority)
    }

    /// The caller waits from now on. A caller that waits already keeps its position. If its call has become more
    /// urgent, it moves to that priority, where it still comes before the callers of its tenant that arrived later.
    pub(super) fn wait(&mut self, who: &K, priority: Priority) {
        if self.arrivals.get(who).is_some_and(|(before, _)| *before <= priority) {
            return;
        }
        let arrival = self.leave(who).map_or_else(|| self.number(), |before| before.arrival);
        let turn = self.number();
        self.wait_at(who.clone(), Position { priority, turn, arrival });
    }

    /// The caller waits again, after it was served and didn't use that. It comes before the callers of its tenant that
    /// arrived later, but the tenant gets a new turn.
    pub(super) fn wait_again(&mut self, who: &K, priority: Priority, before: Position) {
        let turn = self.number();
        self.wait_at(who.clone(), Position { priority, turn, arrival: before.arrival });
    }

    /// The caller waits again, at a position that it had before.
    pub(super) fn wait_at(&mut self, who: K, position: Position) {
        let tenant = who.tenant();
        let since = (self.served, self.number());
        let waiting = self.tenants.entry(tenant.clone()).or_insert_with(|| {
            self.passed_over.insert(since, tenant.clone());
            Waiting { queues: BTreeMap::new(), passed_over_since: since }
        });
        let queue = waiting.queues.entry(position.priority);
        let queue = queue.or_insert_with(|| Queue { turn: position.turn, callers: BTreeMap::new() });
        self.turns.remove(&(position.priority, queue.turn));
        queue.turn = queue.turn.min(position.turn);
        self.turns.insert((position.priority, queue.turn), tenant);
        queue.callers.insert(position.arrival, who.clone());
        self.arrivals.insert(who, (position.priority, position.arrival));
    }

    /// The caller waits no more. Returns its position.
    pub(super) fn leave(&mut self, who: &K) -> Option<Position> {
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
        Some(Position { priority, turn, arrival })
    }

    /// The caller is served, and waits no more. Its tenant's next turn comes after the turns of all other tenants.
    /// Returns the caller's position.
    pub(super) fn serve(&mut self, who: &K) -> Option<Position> {
        let position = self.leave(who)?;
        self.served += 1;
        let (since, turn) = ((self.served, self.number()), self.number());
        let tenant = who.tenant();
        if let Some(waiting) = self.tenants.get_mut(&tenant) {
            self.passed_over.remove(&waiting.passed_over_since);
            self.passed_over.insert(since, tenant.clone());
            waiting.passed_over_since = since;
            if let Some(queue) = waiting.queues.get_mut(&position.priority) {
                self.turns.remove(&(position.priority, queue.turn));
                self.turns.insert((position.priority, turn), tenant);
                queue.turn = turn;
            }
        }
        Some(position)
    }

    /// The next caller, with the priority of its call. If that one can't be served yet, the second caller is next.
    pub(super) fn next(&self) -> impl Iterator<Item = (Priority, &K)> {
        let in_turn = self.turns.first_key_value().and_then(|((priority, _), tenant)| {
            let queue = self.tenants.get(tenant)?.queues.get(priority)?;
            Some((*priority, queue.callers.first_key_value()?.1))
        });
        self.passed_over().into_iter().chain(in_turn)
    }

    /// The first caller of the tenant that has been passed over for longest, if that was too long.
    fn passed_over(&self) -> Option<(Priority, &K)> {
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
