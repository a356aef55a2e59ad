//! Token buckets in front of every Athena call: one for each account, Region and operation, since that is
//! what Athena's service quotas are counted by. So TerminateSession never waits behind polls.
//!
//! Own code, since the crates for it (governor, say) have neither an order among those who wait nor rates
//! that change. What one bucket does is in [`bucket`], whose turn it is in [`fair_queue`], how the rate is found out in
//! [`found_rate`]; here is the shell: clock, lock, and waking.
//! GetCallerIdentity is STS's, and takes no token.

pub mod bucket;
pub mod fair_queue;
pub mod found_rate;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use self::bucket::{Bucket, Caller};
pub use self::bucket::{Priority, Rate};
use super::types::Operation;

/// Namespace and name of an AthenaSession.
pub type Key = (String, String);

/// Where calls go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// The AWS account; None while it isn't known.
    pub account: Option<String>,
    /// The Region; None where none is configured.
    pub region: Option<String>,
}

/// Who waits for a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Waiter {
    Object(Key),
    Task(u64),
}

/// In whose turn a call comes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Tenant {
    /// The namespace of the object.
    Namespace(String),
    /// A task's calls serve objects of many namespaces: the poller of a work group makes one call at a time for all of
    /// them. So each poller has a turn of its own, as a namespace has, and no namespace's flood holds it up.
    Task(u64),
}

impl Caller for Waiter {
    type Tenant = Tenant;

    fn tenant(&self) -> Tenant {
        match self {
            Self::Object((namespace, _)) => Tenant::Namespace(namespace.clone()),
            Self::Task(id) => Tenant::Task(*id),
        }
    }
}

/// All buckets of the process.
#[derive(Debug)]
pub struct Quotas {
    rate: Rate,
    started: Instant,
    wake: mpsc::UnboundedSender<Key>,
    /// Somebody queued, or left: the next moment may be another one.
    changed: Notify,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    buckets: HashMap<(Place, Operation), Bucket<Waiter>>,
    tasks: HashMap<u64, oneshot::Sender<()>>,
    arrivals: u64,
}

impl Quotas {
    /// The longest sleep of [`Quotas::run`], so that it shows signs of life.
    const BEAT: Duration = Duration::from_secs(1);

    /// Buckets that all have the same `rate`. `wake` gets the key of each object whose token is there: give
    /// it a pass soon, since the token is kept for [`Bucket::GRANT_LIFE`] only.
    #[must_use]
    pub fn new(rate: Rate, wake: mpsc::UnboundedSender<Key>) -> Arc<Self> {
        let (changed, inner) = (Notify::new(), Mutex::default());
        Arc::new(Self { rate, started: Instant::now(), wake, changed, inner })
    }

    /// For a pass over an object, which must not wait: true means call now, the token is spent; false means
    /// that the object is queued, and `wake` gets its key when its turn has come. Asked again it keeps its
    /// place.
    ///
    /// An object waits for one operation at a time, the one it asked for last: a token that is kept for what
    /// it doesn't want any more would be lost to others. A look takes away no turn to end the session: it is what
    /// has to come before.
    pub fn try_take(&self, place: &Place, operation: Operation, priority: Priority, who: &Key) -> bool {
        if !takes_token(operation) {
            return true;
        }
        let who = Waiter::Object(who.clone());
        let (now, mut inner) = (Instant::now(), self.inner());
        for ((other_place, other_operation), bucket) in &mut inner.buckets {
            let is_before_end =
                (operation, *other_operation) == (Operation::GetSessionStatus, Operation::TerminateSession);
            if (other_place, *other_operation) != (place, operation) && !is_before_end {
                bucket.forget(&who);
            }
        }
        let taken = self.bucket(&mut inner, place, operation).take(&who, priority, now);
        drop(inner);
        self.changed.notify_one();
        taken
    }

    /// For a pass that has another call to make right before this one: true means that a token is kept for it, for
    /// [`Bucket::GRANT_LIFE`]; false means as [`Quotas::try_take`]. To wait for the token after that other call would make its
    /// answer old, so that it had to be made again.
    pub fn try_reserve(&self, place: &Place, operation: Operation, priority: Priority, who: &Key) -> bool {
        let (now, mut inner) = (Instant::now(), self.inner());
        let reserved = self.bucket(&mut inner, place, operation).reserve(&Waiter::Object(who.clone()), priority, now);
        drop(inner);
        self.changed.notify_one();
        reserved
    }

    /// For a task: waits for its token, and spends it. Dropped while it waits it leaves the queue, and a
    /// token that was granted to it goes to somebody else.
    ///
    /// It ends only while [`Quotas::run`] runs.
    pub async fn take(&self, place: &Place, operation: Operation, priority: Priority) {
        if !takes_token(operation) {
            return;
        }
        let id = {
            let mut inner = self.inner();
            inner.arrivals += 1;
            inner.arrivals
        };
        let waiting = Waiting { quotas: self, id };
        let who = Waiter::Task(id);
        loop {
            let granted = {
                let (now, mut inner) = (Instant::now(), self.inner());
                if self.bucket(&mut inner, place, operation).take(&who, priority, now) {
                    break;
                }
                let (sender, granted) = oneshot::channel();
                inner.tasks.insert(id, sender);
                granted
            };
            self.changed.notify_one();
            // An answer of either kind leads to the question again, as the grant may have been taken back.
            let _ = granted.await;
        }
        drop(waiting);
    }

    /// Athena throttled a call: its bucket slows down. Call it for each [`ErrorClass::Throttled`].
    ///
    /// [`ErrorClass::Throttled`]: super::types::ErrorClass::Throttled
    pub fn throttled(&self, place: &Place, operation: Operation) {
        if takes_token(operation) {
            let (now, mut inner) = (Instant::now(), self.inner());
            self.bucket(&mut inner, place, operation).throttled(now);
        }
    }

    /// The object waits for nothing any more: it is gone, or has nothing to ask.
    pub fn forget(&self, who: &Key) {
        self.leave(&Waiter::Object(who.clone()));
    }

    /// How many calls wait for a token, for each operation that was ever called.
    #[must_use]
    pub fn waiting(&self) -> Vec<(Operation, usize)> {
        let mut waiting: BTreeMap<&str, (Operation, usize)> = BTreeMap::new();
        for ((_, operation), bucket) in &self.inner().buckets {
            waiting.entry(operation.as_str()).or_insert((*operation, 0)).1 += bucket.depth();
        }
        waiting.into_values().collect()
    }

    /// The calls a second that each bucket allows at present.
    #[must_use]
    pub fn rates(&self) -> Vec<(Place, Operation, f64)> {
        let inner = self.inner();
        inner.buckets.iter().map(|((place, operation), bucket)| (place.clone(), *operation, bucket.rate())).collect()
    }

    /// For one place, the calls a second of each operation about whose rate something was found out.
    #[must_use]
    pub fn found(&self, place: &Place) -> BTreeMap<&'static str, f64> {
        let inner = self.inner();
        let here = inner.buckets.iter().filter(|((other, _), _)| other == place);
        here.filter_map(|((_, operation), bucket)| Some((operation.as_str(), bucket.found()?))).collect()
    }

    /// Hands tokens out as time passes, for ever. `beat` is called at least every second.
    pub async fn run(&self, beat: impl Fn()) {
        loop {
            beat();
            let next = self.grant();
            let pause = next.map_or(Self::BEAT, |next| next.saturating_duration_since(Instant::now()).min(Self::BEAT));
            // Its end is either the time that was waited for or news: in both cases a look at the buckets.
            let _ = timeout(pause, self.changed.notified()).await;
        }
    }

    /// Hands out what is there; when there may be more.
    fn grant(&self) -> Option<Instant> {
        let (now, mut inner) = (Instant::now(), self.inner());
        let Inner { buckets, tasks, .. } = &mut *inner;
        for who in buckets.values_mut().flat_map(|bucket| bucket.grant(now)) {
            match who {
                // Nobody receives any more at shutdown.
                Waiter::Object(key) => drop(self.wake.send(key)),
                Waiter::Task(id) => drop(tasks.remove(&id).map(|task| task.send(()))),
            }
        }
        buckets.values().filter_map(|bucket| bucket.next(now)).min()
    }

    fn bucket<'a>(&self, inner: &'a mut Inner, place: &Place, operation: Operation) -> &'a mut Bucket<Waiter> {
        let wanted = (place.clone(), operation);
        // Calls that went out while the account wasn't known went to this very one, most probably.
        let unknown = (Place { account: None, region: place.region.clone() }, operation);
        let before = if inner.buckets.contains_key(&wanted) { None } else { inner.buckets.remove(&unknown) };
        // Drained at the start, since an earlier process may have drained the service's own a moment ago.
        let new = || before.unwrap_or_else(|| Bucket::new(self.rate, self.started).drained());
        inner.buckets.entry(wanted).or_insert_with(new)
    }

    fn leave(&self, who: &Waiter) {
        let mut inner = self.inner();
        inner.buckets.values_mut().for_each(|bucket| bucket.forget(who));
        if let Waiter::Task(id) = who {
            inner.tasks.remove(id);
        }
        drop(inner);
        self.changed.notify_one();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// STS's quota is another one, and far away.
fn takes_token(operation: Operation) -> bool {
    operation != Operation::GetCallerIdentity
}

/// A task that waits, until it is dropped.
struct Waiting<'a> {
    quotas: &'a Quotas,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.quotas.leave(&Waiter::Task(self.id));
    }
}

#[cfg(test)]
mod tests;
