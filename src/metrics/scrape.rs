//! The metrics that are made at each scrape: the sessions and polls of each work group, how many calls wait, and the rates.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;
use std::time::Instant;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::athena::types::{Operation, QuotaScope, SessionState};

type Waiting = Box<dyn Fn() -> Vec<(Operation, usize)> + Send + Sync>;

/// The calls a second that are allowed, for each account, Region and operation.
type Rates = Box<dyn Fn() -> Vec<(QuotaScope, Operation, f64)> + Send + Sync>;

/// Identifies a work group: other accounts and Regions may have one of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkGroup {
    /// The AWS account; empty while it isn't known.
    pub account: String,
    pub region: String,
    pub name: String,
}

impl WorkGroup {
    fn labels(&self) -> [(&'static str, &str); 3] {
        [("account", &self.account), ("region", &self.region), ("work_group", &self.name)]
    }
}

#[derive(Default)]
pub struct Scrape {
    groups: Mutex<BTreeMap<WorkGroup, Group>>,
    waiting: OnceLock<Waiting>,
    rates: OnceLock<Rates>,
}

#[derive(Clone, Debug, Default)]
struct Group {
    sessions: BTreeMap<String, u64>,
    polled_at: Option<Instant>,
}

impl Scrape {
    /// Takes in the states of all sessions of a work group, in the place of those taken in before.
    pub fn sessions<'a>(&self, work_group: &WorkGroup, states: impl IntoIterator<Item = &'a SessionState>) {
        let mut sessions = BTreeMap::new();
        for state in states {
            *sessions.entry(state.counted_as().to_owned()).or_insert(0) += 1;
        }
        self.groups.lock().entry(work_group.clone()).or_default().sessions = sessions;
    }

    pub fn polled(&self, work_group: &WorkGroup, at: Instant) {
        self.groups.lock().entry(work_group.clone()).or_default().polled_at = Some(at);
    }

    /// Removes the series of a work group that is gone, or that nobody uses any more.
    pub(crate) fn forget(&self, work_group: &WorkGroup) {
        self.groups.lock().remove(work_group);
    }

    /// `source` tells how many calls wait for a token.
    pub fn waiting_from(&self, source: impl Fn() -> Vec<(Operation, usize)> + Send + Sync + 'static) {
        let _ = self.waiting.set(Box::new(source));
    }

    /// `source` tells how many calls a second each bucket allows.
    pub fn rates_from(&self, source: impl Fn() -> Vec<(QuotaScope, Operation, f64)> + Send + Sync + 'static) {
        let _ = self.rates.set(Box::new(source));
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let groups = self.groups.lock().clone();
        let sessions = groups.iter().flat_map(|(work_group, group)| {
            let of_group = group.sessions.iter();
            of_group.map(move |(state, count)| {
                let [account, region, name] = work_group.labels();
                ([account, region, name, ("state", state.as_str())], *count as f64)
            })
        });
        let help = "sessions of a work group when it was last listed; a work group that few AthenaSessions use, \
                    without an AthenaWorkGroup, isn't listed and has no row; state is Athena's word, or UNKNOWN for a \
                    state that the operator doesn't know.";
        gauges(&mut encoder, "athena_session_operator_sessions", help, sessions)?;

        let now = Instant::now();
        let ages = groups.iter().filter_map(|(work_group, group)| {
            let age = now.saturating_duration_since(group.polled_at?);
            Some((work_group.labels(), age.as_secs_f64()))
        });
        let help = "time since the last complete list of the work group; no row for a work group that isn't listed.";
        gauges(&mut encoder, "athena_session_operator_poll_age_seconds", help, ages)?;

        let waiting = self.waiting.get().map(|source| source()).unwrap_or_default();
        let waiting = waiting.into_iter().map(|(operation, calls)| ([("operation", operation.as_str())], calls as f64));
        let help = "calls that wait for a token, so that athena_session_operator_athena_rate isn't exceeded.";
        gauges(&mut encoder, "athena_session_operator_athena_waiting", help, waiting)?;

        let rates = self.rates.get().map(|source| source()).unwrap_or_default();
        let rates = rates.iter().map(|(place, operation, rate)| {
            let [account, region] = [&place.account, &place.region].map(|it| it.as_deref().unwrap_or_default());
            ([("account", account), ("region", region), ("operation", operation.as_str())], *rate)
        });
        let help = "calls a second that the operator allows itself now; only ends use a rate above --athena-rate.";
        gauges(&mut encoder, "athena_session_operator_athena_rate", help, rates)
    }
}

fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (L, f64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").field("groups", &self.groups).finish_non_exhaustive()
    }
}
