//! Each call to Athena takes a token from a bucket: one bucket for each account, Region and operation, since Athena
//! counts its service quotas by these. So TerminateSession never waits behind polls. GetCallerIdentity is an operation
//! of STS, and takes no token.
//!
//! This module has the clock, the lock and the waking. What one bucket does is in `bucket`, whose turn it is in
//! `fair_queue`, how many calls a second a bucket allows in `adaptive_rate`. Crates for token buckets (governor,
//! say) have neither an order among those who wait nor rates that change.

mod adaptive_rate;
mod bucket;
mod fair_queue;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

pub(crate) use self::adaptive_rate::Rate;
use self::bucket::Bucket;
use self::fair_queue::Caller;
pub use self::fair_queue::Priority;
use super::types::{Operation, QuotaScope};

/// Namespace and name of an AthenaSession.
pub type Key = (String, String);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Waiter {
    Object(Key),
    Task(u64),
}

/// Whose turn a call comes in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Tenant {
    Namespace(String),
    /// A task: the poller of a work group, say, whose calls serve objects of many namespaces. Each task has a turn of
    /// its own, as a namespace has, so that no namespace with many objects can delay it for long.
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

#[derive(Debug)]
pub(crate) struct Quotas {
    rate: Rate,
    started: Instant,
    wake: mpsc::UnboundedSender<Key>,
    /// A caller began to wait, or stopped: so the next token may be due at another time.
    changed: Notify,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    buckets: HashMap<(QuotaScope, Operation), Bucket<Waiter>>,
    tasks: HashMap<u64, oneshot::Sender<()>>,
    arrivals: u64,
}

impl Quotas {
    /// The longest sleep of [`Quotas::run`], which has to show that it isn't stuck.
    const BEAT: Duration = Duration::from_secs(1);

    /// Buckets that all have the same `rate`. `wake` receives the key of each object that was granted a token. Such an
    /// object has to be reconciled soon, since its token is kept for [`Bucket::GRANT_LIFE`] only.
    pub(crate) fn new(rate: Rate, wake: mpsc::UnboundedSender<Key>) -> Arc<Self> {
        let (changed, inner) = (Notify::new(), Mutex::default());
        Arc::new(Self { rate, started: Instant::now(), wake, changed, inner })
    }

    /// Takes a token for a call about an object, without waiting. True: the token is spent, call now. False: the object
    /// waits in the queue, and `wake` receives its key when its turn has come. If it asks again, it keeps its position.
    ///
    /// An object waits for one operation at a time, the one that it asked for last. Otherwise tokens would be kept for
    /// calls that it doesn't want to make any more. There is one exception: an object that waits for GetSessionStatus
    /// still waits for TerminateSession, since it has to make the first call right before the second.
    pub(crate) fn try_take(&self, scope: &QuotaScope, operation: Operation, priority: Priority, who: &Key) -> bool {
        if !takes_token(operation) {
            return true;
        }
        let who = Waiter::Object(who.clone());
        let (now, mut inner) = (Instant::now(), self.inner.lock());
        for ((other_scope, other_operation), bucket) in &mut inner.buckets {
            let is_before_end =
                (operation, *other_operation) == (Operation::GetSessionStatus, Operation::TerminateSession);
            if (other_scope, *other_operation) != (scope, operation) && !is_before_end {
                bucket.forget(&who);
            }
        }
        let taken = self.bucket(&mut inner, scope, operation).take(&who, priority, now);
        drop(inner);
        self.changed.notify_one();
        taken
    }

    /// Reserves a token for a call about an object, where another call has to come right before that one. True: the
    /// token is kept for [`Bucket::GRANT_LIFE`]. False: as with [`Quotas::try_take`]. If the object waited for this
    /// token after the other call, the answer to that call would be too old by then.
    pub(crate) fn try_reserve(&self, scope: &QuotaScope, operation: Operation, priority: Priority, who: &Key) -> bool {
        let (now, mut inner) = (Instant::now(), self.inner.lock());
        let reserved = self.bucket(&mut inner, scope, operation).reserve(&Waiter::Object(who.clone()), priority, now);
        drop(inner);
        self.changed.notify_one();
        reserved
    }

    /// Waits for a token for a call of a task, and spends it. If the future is dropped, the task leaves the queue, and
    /// a token that was granted to it is free again.
    ///
    /// The wait ends only while [`Quotas::run`] runs.
    pub(crate) async fn take(&self, scope: &QuotaScope, operation: Operation, priority: Priority) {
        if !takes_token(operation) {
            return;
        }
        let id = {
            let mut inner = self.inner.lock();
            inner.arrivals += 1;
            inner.arrivals
        };
        let waiting = Waiting { quotas: self, id };
        let who = Waiter::Task(id);
        loop {
            let granted = {
                let (now, mut inner) = (Instant::now(), self.inner.lock());
                if self.bucket(&mut inner, scope, operation).take(&who, priority, now) {
                    break;
                }
                let (sender, granted) = oneshot::channel();
                inner.tasks.insert(id, sender);
                granted
            };
            self.changed.notify_one();
            // The task asks again in any case, since its grant may have been taken back meanwhile.
            let _ = granted.await;
        }
        drop(waiting);
    }

    /// Slows down the bucket of a call that Athena throttled. To be called for each [`ErrorClass::Throttled`].
    ///
    /// [`ErrorClass::Throttled`]: super::types::ErrorClass::Throttled
    pub(crate) fn throttled(&self, scope: &QuotaScope, operation: Operation) {
        if takes_token(operation) {
            let (now, mut inner) = (Instant::now(), self.inner.lock());
            self.bucket(&mut inner, scope, operation).throttled(now);
        }
    }

    pub(crate) fn forget(&self, who: &Key) {
        self.leave(&Waiter::Object(who.clone()));
    }

    pub(crate) fn waiting(&self) -> Vec<(Operation, usize)> {
        let mut waiting: BTreeMap<&str, (Operation, usize)> = BTreeMap::new();
        for ((_, operation), bucket) in &self.inner.lock().buckets {
            waiting.entry(operation.as_str()).or_insert((*operation, 0)).1 += bucket.depth();
        }
        waiting.into_values().collect()
    }

    pub(crate) fn rates(&self) -> Vec<(QuotaScope, Operation, f64)> {
        let inner = self.inner.lock();
        inner.buckets.iter().map(|((scope, operation), bucket)| (scope.clone(), *operation, bucket.rate())).collect()
    }

    /// The learned rates of one account and Region, in calls a second, by operation, without those that are still
    /// nominal.
    pub(crate) fn learned_rates(&self, scope: &QuotaScope) -> BTreeMap<&'static str, f64> {
        let inner = self.inner.lock();
        let here = inner.buckets.iter().filter(|((other, _), _)| other == scope);
        here.filter_map(|((_, operation), bucket)| Some((operation.as_str(), bucket.learned_rate()?))).collect()
    }

    /// Grants tokens as time passes, for ever. `beat` is called at least once a second.
    pub(crate) async fn run(&self, beat: impl Fn()) {
        loop {
            beat();
            let next = self.grant();
            let pause = next.map_or(Self::BEAT, |next| next.saturating_duration_since(Instant::now()).min(Self::BEAT));
            // The buckets are looked at again both when the time has come and when something has changed.
            let _ = timeout(pause, self.changed.notified()).await;
        }
    }

    /// Grants the tokens that are free now. Returns when the next token may be due.
    fn grant(&self) -> Option<Instant> {
        let (now, mut inner) = (Instant::now(), self.inner.lock());
        let Inner { buckets, tasks, .. } = &mut *inner;
        for who in buckets.values_mut().flat_map(|bucket| bucket.grant(now)) {
            match who {
                // At shutdown nobody receives any more.
                Waiter::Object(key) => drop(self.wake.send(key)),
                Waiter::Task(id) => drop(tasks.remove(&id).map(|task| task.send(()))),
            }
        }
        buckets.values().filter_map(|bucket| bucket.next(now)).min()
    }

    fn bucket<'a>(&self, inner: &'a mut Inner, scope: &QuotaScope, operation: Operation) -> &'a mut Bucket<Waiter> {
        let wanted = (scope.clone(), operation);
        // Calls that went out while the account wasn't known went to this account, most probably.
        let unknown = (QuotaScope { account: None, region: scope.region.clone() }, operation);
        let before = if inner.buckets.contains_key(&wanted) { None } else { inner.buckets.remove(&unknown) };
        // A new bucket has one token, since an earlier process may have used up Athena's own bucket just before.
        let new = || before.unwrap_or_else(|| Bucket::new(self.rate, self.started).drained());
        inner.buckets.entry(wanted).or_insert_with(new)
    }

    fn leave(&self, who: &Waiter) {
        let mut inner = self.inner.lock();
        inner.buckets.values_mut().for_each(|bucket| bucket.forget(who));
        if let Waiter::Task(id) = who {
            inner.tasks.remove(id);
        }
        drop(inner);
        self.changed.notify_one();
    }
}

/// STS has a quota of its own, which the operator doesn't come near.
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
