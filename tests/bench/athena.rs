//! The Athena of a scenario, and what it was asked.

use std::collections::BTreeMap;
use std::time::Duration;

use fake_athena::{Config, FakeAthena, NewSession, Quota};
use serde::Serialize;

use crate::Outcome;
use crate::scenario::Kind;

/// How long a session takes to end.
pub const TERMINATING: Duration = Duration::from_secs(2);
const LATENCY: Duration = Duration::from_millis(20);
/// Ended sessions in Athena's memory, which a listing of all states would read.
const HISTORY: usize = 20_000;

/// The calls that Athena allows for each operation; None where it allows all.
pub fn quota(kind: Kind) -> Option<Quota> {
    match kind {
        Kind::Quota => Some(Quota { rate: 5.0, burst: 10.0 }),
        Kind::Found => Some(Quota { rate: 20.0, burst: 40.0 }),
        Kind::Deleted | Kind::Default | Kind::Idle | Kind::Flips | Kind::Cleanup | Kind::Attack(_) => None,
    }
}

/// An Athena, where each operation has this quota.
pub async fn start(quota: Option<Quota>) -> Outcome<FakeAthena> {
    start_with(config(quota)).await
}

/// An Athena of these settings.
pub async fn start_with(config: Config) -> Outcome<FakeAthena> {
    FakeAthena::start(config).await.map_err(|error| format!("the fake Athena: {error}"))
}

/// How a scenario's Athena behaves, where each operation has this quota.
pub fn config(quota: Option<Quota>) -> Config {
    Config {
        latency: LATENCY,
        terminating: Some(TERMINATING),
        history: HISTORY,
        quotas: quota.into_iter().map(|quota| ("*".to_owned(), quota)).collect(),
        ..Config::default()
    }
}

/// Adds so many idle sessions, and returns their ids.
pub fn add_sessions(athena: &FakeAthena, count: usize) -> Vec<String> {
    let age = Duration::from_secs(60);
    (0..count).map(|_| athena.add_session(NewSession { age, ..NewSession::default() })).collect()
}

/// The seconds that the quota leaves as the fewest for this many ends.
pub fn quota_arithmetic(quota: Quota, sessions: usize) -> f64 {
    (sessions as f64 - quota.burst).max(0.0) / quota.rate + TERMINATING.as_secs_f64()
}

/// How often Athena was asked.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Calls {
    /// Athena's own operations and those of STS.
    pub by_operation: BTreeMap<String, usize>,
    /// How many of them were refused for their rate.
    pub throttled: usize,
    /// How many had another outcome than an answer.
    pub failed: usize,
}

impl Calls {
    /// All so far.
    pub fn of(athena: &FakeAthena) -> Self {
        let mut calls = Self::default();
        for ((operation, outcome), count) in athena.count_calls() {
            *calls.by_operation.entry(operation).or_default() += count;
            match outcome.as_str() {
                "200" | "pending" => {}
                _ if outcome.ends_with("ThrottlingException") => calls.throttled += count,
                _ => calls.failed += count,
            }
        }
        calls
    }

    /// Those that came after `earlier`.
    pub fn since(mut self, earlier: &Self) -> Self {
        for (operation, count) in &mut self.by_operation {
            *count -= earlier.by_operation.get(operation).copied().unwrap_or_default();
        }
        self.by_operation.retain(|_, count| *count > 0);
        self.throttled -= earlier.throttled;
        self.failed -= earlier.failed;
        self
    }

    /// All of them, those to STS apart.
    pub fn to_athena(&self) -> usize {
        let is_athena = |operation: &str| operation != "GetCallerIdentity";
        self.by_operation.iter().filter(|(operation, _)| is_athena(operation)).map(|(_, count)| count).sum()
    }
}
