//! Whose turn it is among the AthenaSessions that are too large to be kept in memory: one at a time, since each takes
//! memory while it is reconciled, and the namespaces in turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A namespace that hasn't asked for so long doesn't wait any more.
const WAITS: Duration = Duration::from_secs(5);
/// When a namespace had its last turn is known for so long.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

#[derive(Clone, Debug, Default)]
pub(crate) struct LargeObjectTurns(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    is_taken: bool,
    /// When each namespace last asked in vain.
    waiting: HashMap<String, Instant>,
    /// When each namespace last had a turn.
    served: HashMap<String, Instant>,
}

/// A turn. The next one begins when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Arc<Mutex<State>>);

impl LargeObjectTurns {
    /// Begins a turn of an object of this namespace. None where it is another namespace's turn: the object asks again
    /// within seconds.
    pub(super) fn begin(&self, namespace: &str, now: Instant) -> Option<Turn> {
        let mut state = self.0.lock();
        let State { is_taken, waiting, served } = &mut *state;
        waiting.retain(|_, asked| now.saturating_duration_since(*asked) < WAITS);
        served.retain(|_, at| now.saturating_duration_since(*at) < REMEMBERED);
        let last = served.get(namespace);
        // A namespace that never had a turn comes first.
        let is_next = waiting.keys().all(|other| other == namespace || last <= served.get(other));
        if *is_taken || !is_next {
            waiting.insert(namespace.to_owned(), now);
            return None;
        }
        *is_taken = true;
        waiting.remove(namespace);
        served.insert(namespace.to_owned(), now);
        Some(Turn(Arc::clone(&self.0)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().is_taken = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_turn_at_a_time_and_the_namespaces_in_turn() {
        let (turns, began) = (LargeObjectTurns::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let first = turns.begin("flood", at(0)).expect("nobody else is there");
        assert!(turns.begin("flood", at(1)).is_none() && turns.begin("other", at(1)).is_none());
        drop(first);
        assert!(turns.begin("flood", at(2)).is_none(), "it is the other's turn");
        let second = turns.begin("other", at(2)).expect("its turn");
        drop(second);
        assert!(turns.begin("flood", at(3)).is_some());
        // One that has gone holds up nobody.
        assert!(turns.begin("flood", at(3)).is_some(), "the turn before was dropped");
        let third = turns.begin("flood", at(4)).expect("nobody else waits");
        assert!(turns.begin("other", at(4)).is_none());
        drop(third);
        assert!(turns.begin("flood", at(20)).is_some());
    }
}
