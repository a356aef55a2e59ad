//! What the operator asks of the API server, by the server's own audit log.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use control_plane::{AuditEntry, AuditReader};
use serde::Serialize;
use tokio::time::sleep;

use crate::Outcome;

/// Silence of so long means that the work is done.
const QUIET: Duration = Duration::from_secs(2);
/// It isn't waited for longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// One user's requests.
pub struct Requests {
    reader: AuditReader,
    user: String,
}

impl Requests {
    /// Leaves out what is in the log already.
    pub fn from_now(reader: AuditReader, user: String) -> Outcome<Self> {
        let mut requests = Self { reader, user };
        requests.new_ones()?;
        Ok(requests)
    }

    /// Those since the last call, once no more come: events are written behind the work that they tell of.
    pub async fn until_quiet(&mut self) -> Outcome<Counts> {
        let mut counts = self.new_ones()?;
        let started = Instant::now();
        let mut quiet_since = started;
        while quiet_since.elapsed() < QUIET && started.elapsed() < PATIENCE {
            sleep(Duration::from_millis(250)).await;
            let more = self.new_ones()?;
            if more.writes() > 0 {
                quiet_since = Instant::now();
            }
            counts.add(&more);
        }
        Ok(counts)
    }

    /// Those since the last call.
    pub fn new_ones(&mut self) -> Outcome<Counts> {
        let mut counts = Counts::default();
        for entry in self.reader.read().map_err(|error| error.to_string())? {
            if entry.user == self.user {
                counts.count(&entry);
            }
        }
        Ok(counts)
    }
}

/// How many requests of each sort.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// By verb, resource and subresource, as in `patch athenasessions/status`. The API server writes a
    /// watch down when it ends.
    by_verb_and_resource: BTreeMap<String, usize>,
    /// Writes to AthenaSessions, those that were refused too.
    pub object_writes: usize,
    /// Events written.
    pub events: usize,
    /// Requests that were answered with an error.
    pub refused: usize,
    other_writes: usize,
}

impl Counts {
    fn count(&mut self, entry: &AuditEntry) {
        let slash = if entry.subresource.is_empty() { "" } else { "/" };
        let sort = format!("{} {}{slash}{}", entry.verb, entry.resource, entry.subresource);
        *self.by_verb_and_resource.entry(sort).or_default() += 1;
        self.refused += usize::from(entry.code >= 400);
        match entry.resource.as_str() {
            _ if !entry.is_write() => {}
            "athenasessions" => self.object_writes += 1,
            "events" => self.events += 1,
            _ => self.other_writes += 1,
        }
    }

    /// All requests for a change.
    pub fn writes(&self) -> usize {
        self.object_writes + self.events + self.other_writes
    }

    fn add(&mut self, other: &Self) {
        for (sort, count) in &other.by_verb_and_resource {
            *self.by_verb_and_resource.entry(sort.clone()).or_default() += count;
        }
        self.object_writes += other.object_writes;
        self.events += other.events;
        self.refused += other.refused;
        self.other_writes += other.other_writes;
    }
}
