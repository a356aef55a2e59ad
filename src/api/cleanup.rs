//! Clean-up of sessions that nobody declared: `AthenaWorkGroup.spec.cleanup`.
//!
//! The API server refuses rules without meaning. An object of an earlier version may have such rules all the same, so no rule
//! makes an object unreadable: the fields are plain texts, which `cleanup::policy` reads.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::readable;
use super::session::duration;

/// The states that a rule can name. The other three are ends, or an end that is under way.
pub(crate) const RULE_STATES: [&str; 5] = ["CREATING", "CREATED", "IDLE", "BUSY", "DEGRADED"];

/// The most rules, and the most entries of `protect`, of one object.
pub(crate) const MOST_RULES: usize = 50;

/// The tag that protects a session from clean-up for good: an AthenaSession let the session go by `deletionPolicy: Retain`.
pub const RETAINED_TAG: &str = "athena-operator.dev/retained";

/// The tag that protects a session from clean-up until a moment, which is written as in RFC 3339.
pub const KEEP_UNTIL_TAG: &str = "athena-operator.dev/keep-until";

// What is said of bad rules, at apply and by whoever reads them later.

pub(crate) const NAME_NEEDED: &str =
    "a rule needs a name: lower-case letters, digits and hyphens, such as forgotten-dbt";

pub(crate) const EMPTY_MATCH: &str = "an empty match would match every session: set one or more of states, idleFor, olderThan, \
                                      description and orphaned: true";

pub(crate) const EMPTY_EXPRESSION: &str = "an empty expression is found in every description: write ^$ for sessions without a \
                                           description, or leave the field out";

pub(crate) const DESCRIPTION_OR_TAG: &str = "an entry of protect has either description or tag, and value only together with \
                                             tag: write two entries for two conditions";

/// Which sessions of the work group are ended although no AthenaSession declares them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cleanup {
    /// DryRun: the status says what would be ended, and nothing is ended. Enforce: sessions are ended. Default: DryRun.
    #[serde(default)]
    pub mode: CleanupMode,

    /// Which sessions are ended: those that a rule matches in two complete lists in a row. The first rule that matches a
    /// session is named as the reason. No rule ends a session that an AthenaSession names, or that was started for an
    /// AthenaSession that exists. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_RULES))]
    #[x_kube(validation = Rule::new("self.all(rule, self.exists_one(other, other.name == rule.name))")
        .message("two rules have the same name: give each rule a name of its own, since events and logs tell only the rule's name"))]
    pub rules: Vec<CleanupRule>,

    /// Sessions that no rule ends, whatever the rules match. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_RULES))]
    pub protect: Vec<Protect>,

    /// How many sessions one run ends at the most, the oldest first. A run follows each complete list of the work group's
    /// sessions. Default: 10.
    #[serde(default = "ends_by_default")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_terminations_per_run: u32,

    /// When the rules match more than five sessions and more than this share of the work group's sessions, in percent, nothing
    /// is ended until the share is smaller: such rules are most probably a mistake. Default: 50.
    #[serde(default = "percent_by_default")]
    #[schemars(range(min = 1, max = 100))]
    pub max_matched_percent: u32,
}

fn ends_by_default() -> u32 {
    10
}

fn percent_by_default() -> u32 {
    50
}

impl Default for Cleanup {
    fn default() -> Self {
        let (mode, rules, protect) = Default::default();
        let (max_terminations_per_run, max_matched_percent) = (ends_by_default(), percent_by_default());
        Self { mode, rules, protect, max_terminations_per_run, max_matched_percent }
    }
}

/// Whether sessions are ended, or only told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CleanupMode {
    /// The status says which sessions would be ended, and nothing is ended.
    #[default]
    DryRun,
    /// The sessions that the rules match are ended.
    Enforce,
}

/// A rule, which says what sessions are ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
// These stand here, since the API server would check the fields' own rules against the fields' defaults.
#[x_kube(
    validation = Rule::new("has(self.name) && self.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')")
        .message(NAME_NEEDED)
        .field_path(".name"),
    validation = Rule::new("has(self.match) && ((has(self.match.states) && self.match.states.size() > 0) || \
            has(self.match.idleFor) || has(self.match.olderThan) || has(self.match.description) || \
            (has(self.match.orphaned) && self.match.orphaned))")
        .message(EMPTY_MATCH)
        .field_path(".match"),
)]
pub struct CleanupRule {
    /// The rule's name. The status, events, logs and AWS CloudTrail show the name for each session that the rule ends.
    #[serde(default)]
    #[schemars(length(max = 63))]
    pub name: String,

    /// Which sessions the rule matches. All of the conditions must hold.
    #[serde(default, rename = "match")]
    pub matches: SessionMatch,
}

/// Conditions on a session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionMatch {
    /// The session is in one of these states: CREATING, CREATED, IDLE, BUSY or DEGRADED. Default: any state but the
    /// three of a session that has ended or is being ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 16)))]
    #[x_kube(validation = Rule::new("self.all(state, state in ['CREATING', 'CREATED', 'IDLE', 'BUSY', 'DEGRADED'])")
        .message("states can be CREATING, CREATED, IDLE, BUSY and DEGRADED: a session in any other state has ended, or is being ended"))]
    pub states: Vec<String>,

    /// The session has been IDLE for so long without a break, by Athena's clock. A duration in Go's notation, in whole
    /// seconds, such as `90s`, `30m` or `1h30m`; there are no days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = duration("idleFor"))]
    pub idle_for: Option<String>,

    /// The session was started so long ago, by Athena's clock. A duration in Go's notation, in whole seconds, such as
    /// `90m`, `24h` or `1h30m`; there are no days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = duration("olderThan"))]
    pub older_than: Option<String>,

    /// A regular expression that is found in the session's description; `^` and `$` stand for its beginning and end. A
    /// session without a description has an empty one, which `^$` matches. The syntax is that of Rust's crate regex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(
        validation = Rule::new("self.size() > 0")
            .message(EMPTY_EXPRESSION),
        validation = regular_expression(),
        validation = read_alike(),
    )]
    pub description: Option<String>,

    /// With true: the session was started for an AthenaSession of this cluster that is gone. Default: false, no condition.
    #[serde(default, skip_serializing_if = "is_false")]
    pub orphaned: bool,
}

/// Sessions that no rule ends: those with this description, or those with this tag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.description) != has(self.tag) && (!has(self.value) || has(self.tag))")
    .message(DESCRIPTION_OR_TAG))]
pub struct Protect {
    /// A regular expression that is found in the session's description. The syntax is that of Rust's crate regex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = regular_expression(), validation = read_alike())]
    pub description: Option<String>,

    /// The key of a tag of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub tag: Option<String>,

    /// The value that the tag must have. Default: any value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub value: Option<String>,
}

/// What the last run of clean-up found. A run that finds the same as the one before isn't recorded, so that `lastRunAt` may be
/// long ago.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CleanupStatus {
    /// When the run was made whose findings are recorded here. Later runs found the same.
    pub last_run_at: Option<Time>,

    /// How many sessions the run looked at: those that haven't ended and aren't being ended.
    #[serde(default)]
    pub looked_at: u32,

    /// How many of the sessions a rule matches and nothing protects.
    #[serde(default)]
    pub matched: u32,

    /// How many of the sessions a rule matches and something protects, by what protects them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "readable")]
    pub protected: BTreeMap<String, u32>,

    /// How many sessions the run ends. With mode DryRun, or while clean-up is paused, how many it would end. 0 while the rules
    /// match too large a share (`maxMatchedPercent`).
    #[serde(default)]
    pub due: u32,

    /// How many sessions this run and those before have ended, since `spec.cleanup` was set: Athena accepted the end.
    #[serde(default)]
    pub ended: u32,

    /// Why sessions that rules match aren't ended; absent while nothing holds clean-up.
    pub held: Option<String>,

    /// What went wrong in the run, such as a request that failed. The next run tries again.
    pub problem: Option<String>,

    /// How many ends were reserved before the first of them. The reservation counts for the next process, too.
    #[serde(default, deserialize_with = "readable")]
    pub budget: Option<CleanupBudget>,

    /// The first 20 sessions that a rule matches and nothing protects, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "readable")]
    pub matched_sessions: Vec<MatchedSession>,
}

/// How many ends of sessions were reserved, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CleanupBudget {
    /// When the ends were reserved.
    pub reserved_at: Time,

    /// How many ends were reserved, with those that another process reserved a moment before.
    pub reserved: u32,
}

/// A session that a rule matches.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatchedSession {
    /// The session's id.
    pub id: String,

    /// The rule that matches the session, after the name of its AthenaWorkGroup: `team-a-spark/forgotten-dbt`.
    pub rule: String,

    /// The session's state in Athena.
    pub state: String,

    /// How long ago the session was started, at `lastRunAt`.
    pub age: Option<String>,

    /// How long the session had been idle, at `lastRunAt`; absent for a session that isn't IDLE.
    pub idle: Option<String>,

    /// The session's description.
    pub description: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(is_set: &bool) -> bool {
    !is_set
}

/// The CEL rule of a field that is a regular expression. The result of `matches` doesn't count. Where CEL can't read the text, the
/// API server's error says why and where.
fn regular_expression() -> kube::core::Rule {
    kube::core::Rule::new("''.matches(self) ? true : true")
        .message("description is a regular expression, as Go and Rust read them: correct it where the error says")
}

/// The rule of such a field about what Go and Rust read differently.
fn read_alike() -> kube::core::Rule {
    kube::core::Rule::new(format!("!self.matches(r'{READ_DIFFERENTLY}')")).message(HOW_TO_BE_READ_ALIKE)
}

/// Finds regular expressions that Go and crate regex both take, and read differently. Inside of a class `[…]`, crate regex takes
/// `&&`, `--` and `~~` for operations on sets, and `[` for a class in the class, but for names such as `[:alpha:]`; Go takes all for
/// plain characters. Outside, crate regex takes `\<` and `\>` for the ends of a word. A `protect` that the API server, which is
/// written in Go, has checked could protect less than its author meant.
///
/// The parts: from the beginning, whole characters and whole classes; then `\<`, or a class that isn't over yet with one of these.
pub const READ_DIFFERENTLY: &str = concat!(
    r"(?s)^(?:\\.|[^\\\[]|\[\^?\]?(?:\\.|\[:\^?[a-z]+:\]|[^\\\]\[])*\])*",
    r"(?:\\[<>]|\[\^?\]?(?:\\.|\[:\^?[a-z]+:\]|[^\\\]\[])*",
    r"(?:&&|--|~~|\[(?:[^:]|:(?:(?:\^[a-z]*|[a-z]+)(?:[^a-z:]|:[^\]])|[^a-z:^]|:[^\]]))))",
);

/// What to do about them.
pub const HOW_TO_BE_READ_ALIKE: &str = "Go and Rust read this expression differently: inside of [ ], write \\[ for the character [, \
                                        and neither &&, -- nor ~~; elsewhere, write < and > without a backslash";
