//! The checks of `/livez` and `/readyz`: whether each loop shows signs of life, and which conditions hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::text::one_line;

/// One line of an answer: what was checked, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    name: String,
    result: Result<(), String>,
}

impl Check {
    pub(super) fn new(name: &str, result: Result<(), String>) -> Self {
        Self { name: name.to_owned(), result }
    }
}

/// Whether all checks passed, and the answer in the format of the API server's own probes.
pub(super) fn report(name: &str, checks: &[Check]) -> (bool, String) {
    let mut text = String::new();
    for check in checks {
        text += &match &check.result {
            Ok(()) => format!("[+]{} ok\n", check.name),
            Err(why) => format!("[-]{} failed: {}\n", check.name, one_line(why)),
        };
    }
    let passed = checks.iter().all(|check| check.result.is_ok());
    let outcome = if passed { "passed" } else { "failed" };
    (passed, format!("{text}{name} check {outcome}\n"))
}

/// The loops that must show signs of life. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heartbeats {
    loops: Arc<Mutex<Loops>>,
}

#[derive(Debug, Default)]
struct Loops {
    registered: u64,
    alive: BTreeMap<u64, Loop>,
}

#[derive(Debug)]
struct Loop {
    name: String,
    limit: Duration,
    last: Instant,
}

impl Heartbeats {
    /// Registers a loop, which counts as alive for `limit` from now, and from each beat. The loop is registered until the
    /// returned value is dropped, so a loop that has ended doesn't fail the check.
    pub(crate) fn register(&self, name: impl Into<String>, limit: Duration) -> Pulse {
        let mut loops = self.loops.lock();
        loops.registered += 1;
        let id = loops.registered;
        loops.alive.insert(id, Loop { name: name.into(), limit, last: Instant::now() });
        drop(loops);
        Pulse { heartbeats: self.clone(), id }
    }

    pub(super) fn checks(&self, now: Instant) -> Vec<Check> {
        let check = |it: &Loop| {
            let silent = now.saturating_duration_since(it.last);
            let stuck = || format!("no sign of life for {}s", silent.as_secs());
            Check { name: it.name.clone(), result: if silent > it.limit { Err(stuck()) } else { Ok(()) } }
        };
        self.loops.lock().alive.values().map(check).collect()
    }
}

/// A registered loop.
#[derive(Debug)]
pub(crate) struct Pulse {
    heartbeats: Heartbeats,
    id: u64,
}

impl Pulse {
    /// The loop is alive.
    pub(crate) fn beat(&self) {
        if let Some(it) = self.heartbeats.loops.lock().alive.get_mut(&self.id) {
            it.last = Instant::now();
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.heartbeats.loops.lock().alive.remove(&self.id);
    }
}

/// The conditions that must hold before the operator is ready. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readiness {
    conditions: Arc<Mutex<BTreeMap<String, Result<(), String>>>>,
}

impl Readiness {
    /// Sets whether a condition holds, or why it doesn't. Set all conditions before the server starts: as long as there is no
    /// condition at all, the operator isn't ready.
    pub(crate) fn set(&self, name: impl Into<String>, result: Result<(), String>) {
        self.conditions.lock().insert(name.into(), result);
    }

    /// Removes a condition.
    pub(crate) fn remove(&self, name: &str) {
        self.conditions.lock().remove(name);
    }

    /// Whether a condition fails for exactly this reason.
    pub(crate) fn fails_for(&self, reason: &str) -> bool {
        self.conditions.lock().values().any(|result| result.as_ref().is_err_and(|why| why == reason))
    }

    pub(super) fn checks(&self) -> Vec<Check> {
        let conditions = self.conditions.lock().clone();
        if conditions.is_empty() {
            return vec![Check { name: "start".to_owned(), result: Err("the operator is still starting".to_owned()) }];
        }
        conditions.into_iter().map(|(name, result)| Check { name, result }).collect()
    }
}
