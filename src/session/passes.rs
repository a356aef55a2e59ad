//! Which object gets the next pass: the namespaces come in turn.
//!
//! kube's scheduler takes those that wait in no order. So they wait here, and kube's scheduler is given a few at a time.
//! Only what kube's scheduler itself has put off for a short time comes without a turn.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::{Stream, StreamExt, stream};
use kube::runtime::reflector::ObjectRef;

use crate::fair_queue::{Caller, FairQueue};
use crate::work_group::registry::{Key, Session};

/// How many objects kube's scheduler is given before their passes begin.
const AHEAD: usize = 4;

/// An object, by its namespace and name.
impl Caller for Key {
    type Tenant = String;

    fn tenant(&self) -> String {
        self.0.clone()
    }
}

/// Who waits for a pass, and whose pass goes on.
#[derive(Default)]
pub struct Passes(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    waiting: FairQueue<Key, ()>,
    /// Those that kube's scheduler has been given, and whose passes haven't begun.
    ahead: HashSet<Key>,
    /// Those whose pass goes on, and whether another pass was asked for since it began.
    running: HashMap<Key, bool>,
    /// Who is to be told that the next one may come.
    waker: Option<Waker>,
}

impl Passes {
    /// The objects of `queue` in the order in which they get their passes.
    pub fn in_turn<E>(
        self: Arc<Self>,
        queue: impl Stream<Item = Result<ObjectRef<Session>, E>>,
    ) -> impl Stream<Item = Result<ObjectRef<Session>, E>> {
        let mut queue = Box::pin(queue);
        stream::poll_fn(move |context| {
            loop {
                match queue.poll_next_unpin(context) {
                    Poll::Ready(Some(Ok(object))) => self.asked(&(object.namespace.unwrap_or_default(), object.name)),
                    Poll::Ready(end_or_error) => return Poll::Ready(end_or_error),
                    Poll::Pending => break,
                }
            }
            self.poll_next(context).map(|(namespace, name)| Some(Ok(ObjectRef::new(&name).within(&namespace))))
        })
    }

    /// The object's pass begins, whoever asked for it.
    pub fn begun(&self, key: &Key) {
        let mut inner = self.inner();
        inner.waiting.leave(key);
        inner.ahead.remove(key);
        inner.running.insert(key.clone(), false);
        inner.wake();
    }

    /// The object's pass has ended, or doesn't take place since the object is gone.
    pub fn ended(&self, key: &Key) {
        let mut inner = self.inner();
        inner.ahead.remove(key);
        if inner.running.remove(key) == Some(true) {
            inner.waiting.wait(key, ());
        }
        inner.wake();
    }

    fn asked(&self, key: &Key) {
        let mut inner = self.inner();
        if let Some(again) = inner.running.get_mut(key) {
            *again = true;
        } else if !inner.ahead.contains(key) {
            inner.waiting.wait(key, ());
        }
    }

    fn poll_next(&self, context: &Context<'_>) -> Poll<Key> {
        let mut inner = self.inner();
        let next = if inner.ahead.len() < AHEAD { inner.waiting.next().next() } else { None };
        let Some(key) = next.map(|((), key)| key.clone()) else {
            inner.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        inner.waiting.serve(&key);
        inner.ahead.insert(key.clone());
        Poll::Ready(key)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::FutureExt;
    use futures::channel::mpsc;

    use super::*;

    type Asks = mpsc::UnboundedSender<Result<ObjectRef<Session>, Infallible>>;

    /// Who may ask for passes, and the queue in which they come.
    fn passes() -> (Arc<Passes>, Asks, impl FnMut() -> Option<String>) {
        let (passes, (asks, asked)) = (Arc::new(Passes::default()), mpsc::unbounded());
        let mut queue = Box::pin(Arc::clone(&passes).in_turn(asked));
        let next = move || queue.next().now_or_never().flatten().map(|Ok(object)| object.name);
        (passes, asks, next)
    }

    fn ask(asks: &Asks, namespace: &str, name: &str) {
        asks.unbounded_send(Ok(ObjectRef::new(name).within(namespace))).expect("the queue is there");
    }

    fn key(namespace: &str, name: &str) -> Key {
        (namespace.to_owned(), name.to_owned())
    }

    #[test]
    fn thousands_of_one_namespace_are_one_turn_to_the_others() {
        let (passes, asks, mut next) = passes();
        for number in 0..2_000 {
            ask(&asks, "flood", &number.to_string());
        }
        let ahead: Vec<_> = (0..AHEAD).filter_map(|_| next()).collect();
        assert_eq!(ahead, ["0", "1", "2", "3"]);
        assert_eq!(next(), None, "kube's scheduler has them in no order");
        ask(&asks, "other", "a");
        ask(&asks, "third", "b");
        let mut came = Vec::new();
        for name in ahead {
            passes.begun(&key("flood", &name));
            came.extend(next());
        }
        assert_eq!(came, ["4", "a", "b", "5"]);
    }

    #[test]
    fn what_is_asked_for_during_a_pass_comes_after_it() {
        let (passes, asks, mut next) = passes();
        ask(&asks, "team", "a");
        ask(&asks, "team", "a");
        assert_eq!((next(), next()), (Some("a".to_owned()), None));
        passes.begun(&key("team", "a"));
        ask(&asks, "team", "a");
        assert_eq!(next(), None, "two passes over one object at once");
        passes.ended(&key("team", "a"));
        assert_eq!((next(), next()), (Some("a".to_owned()), None));
    }

    /// kube's scheduler begins a pass that it put off, or finds that the object is gone.
    #[test]
    fn no_place_is_kept_for_what_comes_without_a_turn_or_never() {
        let (passes, asks, mut next) = passes();
        for number in 0..10 {
            ask(&asks, "team", &number.to_string());
        }
        (0..AHEAD).for_each(|_| drop(next()));
        assert_eq!(next(), None);
        passes.begun(&key("team", "9"));
        (0..AHEAD).for_each(|number| passes.ended(&key("team", &number.to_string())));
        let came: Vec<_> = (0..AHEAD).filter_map(|_| next()).collect();
        assert_eq!(came, ["4", "5", "6", "7"]);
        passes.begun(&key("team", "4"));
        passes.begun(&key("team", "5"));
        assert_eq!((next(), next()), (Some("8".to_owned()), None), "9 has had its pass");
    }
}
