//! Whose run of clean-up is next, where more are due than may be under way at once. PURE.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// An AthenaWorkGroup that hasn't asked for so long has been deleted, or has no run to make any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// The runs that are under way, and those that wait. Without an order, work groups whose runs take as long as the poll interval
/// would begin the next run as soon as one ends, and the others would never be cleaned up.
#[derive(Debug)]
pub struct RunQueue {
    max_running: usize,
    running: HashSet<String>,
    /// The AthenaWorkGroups that wait, the one that has waited the longest first, and when each asked last.
    waiting: Vec<(String, Instant)>,
}

impl RunQueue {
    /// So many runs may be under way at once.
    pub fn new(max_running: usize) -> Self {
        Self { max_running, running: HashSet::new(), waiting: Vec::new() }
    }

    /// Begins the run of an AthenaWorkGroup, if it is the next one's turn. Otherwise the AthenaWorkGroup waits, and is to ask again.
    pub fn begin(&mut self, name: &str, now: Instant) -> bool {
        self.waiting.retain(|(_, asked_at)| now < *asked_at + PATIENCE);
        let position = self.waiting.iter().position(|(waits, _)| waits == name).unwrap_or_else(|| {
            self.waiting.push((name.to_owned(), now));
            self.waiting.len() - 1
        });
        let begins = self.running.len() + position < self.max_running;
        if begins {
            self.waiting.remove(position);
            self.running.insert(name.to_owned());
        } else {
            self.waiting[position].1 = now;
        }
        begins
    }

    /// The run of an AthenaWorkGroup has ended.
    pub fn ended(&mut self, name: &str) {
        self.running.remove(name);
    }
}
