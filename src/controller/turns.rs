//! Which object is reconciled next: the namespaces come in turn. PURE.
//!
//! ```text
//!   wait ──► Waiting ── begin ──► Running ── end ──► Later ── its time comes ──► Waiting
//!                                    └─ it was asked for meanwhile ─► Waiting
//! ```
//!
//! So before an object begins, each other namespace begins one object at most, however many objects it has. And no
//! namespace has all places, so that an object of another namespace needn't wait until slow requests have ended.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use crate::athena::quota::Key;

/// How many reconciliations there are at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// In all.
    pub all: u16,
    /// Of the objects of one namespace.
    pub namespace: u16,
}

/// The objects that are to be reconciled, now or later.
pub(super) struct Turns {
    limits: Limits,
    objects: HashMap<Key, State>,
    namespaces: HashMap<String, Namespace>,
    /// The namespaces of which an object may begin. The first one is next.
    order: VecDeque<String>,
    later: BTreeSet<(Instant, Key)>,
    running: u16,
}

enum State {
    Waiting,
    Running {
        /// Somebody has asked for the object since its reconciliation began.
        again: bool,
    },
    Later(Instant),
}

#[derive(Default)]
struct Namespace {
    /// The names of the objects that wait, in the order in which they came.
    waiting: VecDeque<String>,
    running: u16,
    is_in_order: bool,
}

impl Turns {
    pub(super) fn new(limits: Limits) -> Self {
        let (objects, namespaces) = (HashMap::new(), HashMap::new());
        Self { limits, objects, namespaces, order: VecDeque::new(), later: BTreeSet::new(), running: 0 }
    }

    /// The object waits for its turn, also if it was to be reconciled later. An object that is reconciled now waits after that.
    pub(super) fn wait(&mut self, key: Key) {
        match self.objects.get_mut(&key) {
            None => {}
            Some(State::Waiting) => return,
            Some(State::Running { again }) => {
                *again = true;
                return;
            }
            Some(State::Later(at)) => {
                let at = *at;
                self.later.remove(&(at, key.clone()));
            }
        }
        self.objects.insert(key.clone(), State::Waiting);
        let (namespace, name) = key;
        self.namespaces.entry(namespace.clone()).or_default().waiting.push_back(name);
        self.put_in_order(namespace);
    }

    /// The object whose reconciliation begins now; None where none may begin.
    pub(super) fn begin(&mut self) -> Option<Key> {
        if self.running >= self.limits.all {
            return None;
        }
        let namespace = self.order.pop_front()?;
        let objects = self.namespaces.get_mut(&namespace)?;
        objects.is_in_order = false;
        let name = objects.waiting.pop_front()?;
        objects.running += 1;
        self.running += 1;
        let key = (namespace.clone(), name);
        self.objects.insert(key.clone(), State::Running { again: false });
        self.put_in_order(namespace);
        Some(key)
    }

    /// The object's reconciliation has ended. It is reconciled again at this time, if nobody asks for it before.
    pub(super) fn end(&mut self, key: Key, at: Option<Instant>) {
        let Some(State::Running { again }) = self.objects.remove(&key) else { return };
        self.running -= 1;
        if let Some(objects) = self.namespaces.get_mut(&key.0) {
            objects.running -= 1;
            if objects.running == 0 && objects.waiting.is_empty() {
                self.namespaces.remove(&key.0);
            }
        }
        self.put_in_order(key.0.clone());
        if again {
            self.wait(key);
        } else if let Some(at) = at {
            self.objects.insert(key.clone(), State::Later(at));
            self.later.insert((at, key));
        }
    }

    /// The objects whose time has come wait for their turn. Returns when the next time comes.
    pub(super) fn wait_due(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let (at, key) = self.later.first()?;
            if *at > now {
                return Some(*at);
            }
            let key = key.clone();
            self.wait(key);
        }
    }

    fn put_in_order(&mut self, namespace: String) {
        let Some(objects) = self.namespaces.get_mut(&namespace) else { return };
        let may_begin = !objects.waiting.is_empty() && objects.running < self.limits.namespace;
        if may_begin && !objects.is_in_order {
            objects.is_in_order = true;
            self.order.push_back(namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn key(namespace: &str, name: &str) -> Key {
        (namespace.to_owned(), name.to_owned())
    }

    fn turns(all: u16, namespace: u16) -> Turns {
        Turns::new(Limits { all, namespace })
    }

    #[test]
    fn thousands_of_one_namespace_are_one_turn_to_the_others() {
        let mut turns = turns(1, 1);
        (0..2_000).for_each(|number| turns.wait(key("flood", &number.to_string())));
        turns.wait(key("other", "a"));
        turns.wait(key("third", "b"));
        let mut begun = vec![];
        for _ in 0..4 {
            let key = turns.begin().expect("an object");
            assert_eq!(turns.begin(), None, "more begin at once than may");
            begun.push(key.1.clone());
            turns.end(key, None);
        }
        assert_eq!(begun, ["0", "a", "b", "1"]);
    }

    /// Its requests may be slow, and each place is taken until one of them has ended.
    #[test]
    fn one_namespace_never_has_all_places() {
        let mut turns = turns(4, 3);
        (0..10).for_each(|number| turns.wait(key("flood", &number.to_string())));
        let running: Vec<_> = std::iter::from_fn(|| turns.begin()).collect();
        assert_eq!(running.len(), 3);
        turns.wait(key("other", "a"));
        assert_eq!(turns.begin(), Some(key("other", "a")));
        turns.wait(key("other", "b"));
        assert_eq!(turns.begin(), None);
        turns.end(running[0].clone(), None);
        assert_eq!((turns.begin(), turns.begin()), (Some(key("other", "b")), None));
    }

    #[test]
    fn an_object_that_is_asked_for_needs_no_longer_wait_for_its_time() {
        let (mut turns, now) = (turns(4, 4), Instant::now());
        turns.wait(key("team", "a"));
        let a = turns.begin().expect("an object");
        let soon = now + Duration::from_secs(5);
        turns.end(a.clone(), Some(soon));
        assert_eq!((turns.wait_due(now), turns.begin()), (Some(soon), None));
        turns.wait(a.clone());
        assert_eq!((turns.begin(), turns.wait_due(soon)), (Some(a.clone()), None));
        turns.end(a.clone(), Some(soon));
        assert_eq!((turns.wait_due(soon), turns.begin()), (None, Some(a)));
    }

    #[test]
    fn an_object_that_is_asked_for_while_it_is_reconciled_is_reconciled_once_more() {
        let mut turns = turns(4, 4);
        turns.wait(key("team", "a"));
        turns.wait(key("team", "a"));
        let a = turns.begin().expect("an object");
        turns.wait(a.clone());
        assert_eq!(turns.begin(), None, "it is reconciled twice at once");
        turns.end(a.clone(), Some(Instant::now() + Duration::from_secs(60)));
        assert_eq!(turns.begin(), Some(a.clone()));
        turns.end(a, None);
        assert!(turns.begin().is_none() && turns.objects.is_empty() && turns.namespaces.is_empty());
    }

    proptest! {
        /// Whatever happens: the limits hold, no object is reconciled twice at once, and once all have ended, each object
        /// has begun since it was last asked for. Nothing is remembered of objects that nobody asks for.
        #[test]
        fn no_object_is_forgotten(steps in prop::collection::vec((0_u8..4, 0_usize..12, 0_u64..20), 1..200)) {
            let start = Instant::now();
            let (mut turns, mut now) = (turns(3, 2), start);
            let (mut running, mut asked) = (Vec::<Key>::new(), HashSet::new());
            for (what, number, seconds) in steps {
                let object = key(["a", "b", "c"][number % 3], &number.to_string());
                match what {
                    0 => {
                        asked.insert(object.clone());
                        turns.wait(object);
                    }
                    1 => running.extend(turns.begin().inspect(|key| _ = asked.remove(key))),
                    2 if !running.is_empty() => {
                        let ended = running.swap_remove(number % running.len());
                        turns.end(ended, (seconds > 10).then(|| now + Duration::from_secs(seconds)));
                    }
                    _ => {
                        now += Duration::from_secs(seconds);
                        prop_assert!(turns.wait_due(now).is_none_or(|next| next > now));
                    }
                }
                prop_assert!(running.len() <= 3);
                for namespace in ["a", "b", "c"] {
                    prop_assert!(running.iter().filter(|key| key.0 == namespace).count() <= 2);
                }
                prop_assert_eq!(running.iter().collect::<HashSet<_>>().len(), running.len());
            }
            turns.wait_due(now + Duration::from_secs(3_600));
            while let Some(key) = running.pop().or_else(|| turns.begin()) {
                asked.remove(&key);
                turns.end(key, None);
                running.extend(turns.begin().inspect(|key| _ = asked.remove(key)));
            }
            prop_assert!(asked.is_empty(), "never reconciled: {asked:?}");
            prop_assert!(turns.objects.is_empty() && turns.namespaces.is_empty() && turns.order.is_empty());
            prop_assert!(turns.later.is_empty() && turns.running == 0);
        }
    }
}
