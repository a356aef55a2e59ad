//! How the fake behaves: each setting with its default.

use std::{collections::BTreeMap, time::Duration};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{duration, engine::PYSPARK_3, iam::Policy};

/// The settings of a fake. All but `port` and `history` can change while it runs;
/// a new delay holds for what happens from then on, not for transitions already planned.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The Region of callers that name none in their signature, and of sessions that are added without one.
    pub region: String,
    /// The account of every access key that AssumeRole didn't hand out.
    pub account: String,
    /// The work groups, the same ones in each account and Region.
    pub work_groups: Vec<WorkGroup>,
    /// How long a session is CREATING; none: for ever.
    #[serde(with = "duration::text_or_never")]
    pub creating: Option<Duration>,
    /// How long a session is CREATED before it reaches `start_ends_in`.
    #[serde(with = "duration::text")]
    pub created: Duration,
    /// What a start leads to: IDLE, or for example FAILED.
    pub start_ends_in: String,
    /// How long a session is TERMINATING; none: for ever.
    #[serde(with = "duration::text_or_never")]
    pub terminating: Option<Duration>,
    /// What an end leads to: TERMINATED, or for example FAILED.
    pub terminate_ends_in: String,
    /// How long each calculation runs, and so how long its session is BUSY.
    #[serde(with = "duration::text")]
    pub calculation: Duration,
    /// How long each call takes.
    #[serde(with = "duration::text")]
    pub latency: Duration,
    /// How many sessions of the past the first work group starts with, all TERMINATED.
    pub history: usize,
    /// The rates, by operation; `*` stands for each operation that isn't named.
    pub quotas: BTreeMap<String, Quota>,
    /// How far ListSessions lags behind the truth.
    #[serde(with = "duration::text")]
    pub list_lag: Duration,
    /// The most sessions, calculations or work groups on a page, whatever the caller asks for.
    pub page_limit: usize,
    /// The error that an unknown session id earns.
    pub not_found: NotFound,
    /// How long a client request token is remembered; none: for ever.
    #[serde(with = "duration::text_or_never")]
    pub token_life: Option<Duration>,
    /// How long the credentials of AssumeRole live; none: as long as the caller asks, or an hour.
    #[serde(with = "duration::text_or_never")]
    pub credentials_life: Option<Duration>,
    /// How far the fake's clock is ahead of the real one.
    #[serde(with = "duration::signed_text")]
    pub skew: SignedDuration,
    /// The policies of each identity, by the ARN of its role, or of the user `fake` that all other access keys belong
    /// to; who has none may do nothing. None: everybody may do everything.
    pub policies: Option<BTreeMap<String, Vec<Policy>>>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            port: 0,
            region: "eu-west-1".to_owned(),
            account: "123456789012".to_owned(),
            work_groups: ["primary", "spark-team-a", "spark-team-b"].map(WorkGroup::named).to_vec(),
            creating: Some(Duration::from_millis(500)),
            created: Duration::ZERO,
            start_ends_in: "IDLE".to_owned(),
            terminating: Some(Duration::from_millis(500)),
            terminate_ends_in: "TERMINATED".to_owned(),
            calculation: Duration::from_secs(1),
            latency: Duration::ZERO,
            history: 0,
            quotas: BTreeMap::new(),
            list_lag: Duration::ZERO,
            page_limit: 100,
            not_found: NotFound::InvalidRequest,
            token_life: None,
            credentials_life: None,
            skew: SignedDuration::ZERO,
            policies: None,
        }
    }
}

impl Config {
    pub(crate) fn work_group(&self, name: &str) -> Option<&WorkGroup> {
        self.work_groups.iter().find(|group| group.name == name)
    }
}

/// A work group that exists.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkGroup {
    /// Its name.
    pub name: String,
    /// Its engine: [`PYSPARK_3`], [`SPARK_3_5`](crate::SPARK_3_5), where there is no calculation API and a session stays CREATED until
    /// somebody asks for its endpoint, [`ATHENA_3`](crate::ATHENA_3), which has no sessions, or any other.
    #[serde(default = "WorkGroup::default_engine")]
    pub engine_version: String,
    /// Its tags, which `CopyWorkGroupTags` hands on to a session.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl WorkGroup {
    /// A work group with the default engine and no tags.
    pub fn named(name: impl Into<String>) -> Self {
        WorkGroup { name: name.into(), engine_version: Self::default_engine(), tags: BTreeMap::new() }
    }

    /// A work group with that engine and no tags.
    pub fn with_engine(name: impl Into<String>, engine: &str) -> Self {
        WorkGroup { engine_version: engine.to_owned(), ..Self::named(name) }
    }

    fn default_engine() -> String {
        PYSPARK_3.to_owned()
    }
}

/// The rate of an operation, for each account and Region.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Calls a second in the long run.
    pub rate: f64,
    /// Calls at once.
    pub burst: f64,
}

impl std::str::FromStr for Quota {
    type Err = String;

    /// Reads `RATE/BURST`, such as `5/10`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("not RATE/BURST, such as 5/10: {text}");
        let (rate, burst) = text.split_once('/').ok_or_else(wrong)?;
        let number = |text: &str| match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
            _ => Err(wrong()),
        };
        Ok(Quota { rate: number(rate)?, burst: number(burst)? })
    }
}

/// The error that an unknown session id earns: which one Athena sends is not documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum NotFound {
    /// InvalidRequestException, which clients in the field take it for.
    InvalidRequest,
    /// ResourceNotFoundException.
    ResourceNotFound,
}
