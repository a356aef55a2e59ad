//! Why sessions that rules match aren't ended: the condition `CleanupHeld`. PURE.

use std::fmt;

use super::memory::RECHECK_AFTER;
use crate::api::PAUSED;
use crate::cleanup::plan::TooManyMatched;
use crate::index::access::HOW_TO_RESUME;
use crate::text::duration;

/// Why nothing is ended, or less than the rules match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The operator watches only some namespaces.
    NotAllNamespaces,
    /// The operator runs with `--read-only`.
    ReadOnly,
    /// This AthenaWorkGroup has the annotation `paused`.
    Paused(String),
    /// This AthenaWorkGroup is being deleted.
    WorkGroupTerminating(String),
    /// This AthenaWorkGroup may stand for the same work group, and protect its sessions: its AWS account isn't known, or the
    /// object can't be read.
    WorkGroupUnclear(String),
    /// This AthenaWorkGroup stands for the same work group, and hasn't `mode: Enforce`.
    NotEnforcedByAll(String),
    /// The rules match too large a share of the sessions.
    TooManyMatched(TooManyMatched),
    /// The tags of sessions that rules match can't be read, so that these sessions are protected.
    UnreadableTags {
        /// Of how many sessions.
        sessions: usize,
        /// What Athena answers for the first of them.
        why: String,
    },
    /// More sessions are due than one run may end.
    BudgetUsed {
        /// How many are left to later runs.
        left: usize,
        /// How many a run ends at the most.
        most: usize,
    },
    /// Rules, or entries of `protect`, can't be read. A rule that can't be read ends nothing, and protects what it may be about.
    UnreadableRules(Vec<String>),
}

/// Each reason of the condition, and what it means, in the order in which they are told.
pub const REASONS: [(&str, &str); 10] = [
    (
        "NotAllNamespaces",
        "The operator runs with `--watch-namespace`, and can't tell what is declared: nothing is ended.",
    ),
    ("ReadOnly", "The operator runs with `--read-only`: nothing is ended."),
    (
        "Paused",
        "An AthenaWorkGroup of the work group has the annotation `athena-operator.dev/paused`: nothing is ended.",
    ),
    ("WorkGroupTerminating", "An AthenaWorkGroup of the work group is being deleted: nothing is ended."),
    (
        "WorkGroupUnclear",
        "It isn't known whether another AthenaWorkGroup stands for the same work group: nothing is ended.",
    ),
    (
        "NotEnforcedByAll",
        "Another AthenaWorkGroup stands for the same work group, and hasn't `mode: Enforce`: nothing is ended.",
    ),
    (
        "TooManyMatched",
        "The rules match more than five sessions, and a larger share than `maxMatchedPercent`: nothing is ended.",
    ),
    (
        "UnreadableTags",
        "The tags of sessions that the rules match can't be read: these sessions aren't ended, since a tag may protect them.",
    ),
    ("BudgetUsed", "More sessions are due than a run may end (`maxTerminationsPerRun`): later runs end the others."),
    (
        "UnreadableRules",
        "A rule or an entry of `protect` can't be read: it ends nothing, and protects what it may be about.",
    ),
];

impl Hold {
    /// The reason of the condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotAllNamespaces => "NotAllNamespaces",
            Self::ReadOnly => "ReadOnly",
            Self::Paused(_) => "Paused",
            Self::WorkGroupTerminating(_) => "WorkGroupTerminating",
            Self::WorkGroupUnclear(_) => "WorkGroupUnclear",
            Self::NotEnforcedByAll(_) => "NotEnforcedByAll",
            Self::TooManyMatched(_) => "TooManyMatched",
            Self::UnreadableTags { .. } => "UnreadableTags",
            Self::BudgetUsed { .. } => "BudgetUsed",
            Self::UnreadableRules(_) => "UnreadableRules",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllNamespaces => f.write_str(
                "The operator runs with --watch-namespace: it doesn't see the AthenaSessions of all namespaces, so it can't \
                 tell which sessions are declared. No session is cleaned up",
            ),
            Self::ReadOnly => f.write_str("The operator runs with --read-only: no session is cleaned up"),
            Self::Paused(name) => write!(
                f,
                "The annotation {PAUSED} on AthenaWorkGroup {name} holds up the clean-up of sessions{HOW_TO_RESUME}"
            ),
            Self::WorkGroupTerminating(name) => {
                write!(f, "AthenaWorkGroup {name} is being deleted: no session is cleaned up until it is gone")
            }
            Self::WorkGroupUnclear(name) => write!(
                f,
                "The operator can't tell whether AthenaWorkGroup {name} stands for this work group, too, and protects its \
                 sessions, since the object can't be read, or its AWS account isn't known or isn't the recorded one. No session \
                 is cleaned up"
            ),
            Self::NotEnforcedByAll(name) => write!(
                f,
                "AthenaWorkGroup {name} stands for this work group, too, and doesn't have spec.cleanup.mode Enforce: no session \
                 is cleaned up. Sessions are ended only where all AthenaWorkGroups of a work group have that mode"
            ),
            Self::TooManyMatched(held) => write!(f, "Clean-up is held: {held}"),
            Self::UnreadableTags { sessions, why } => write!(
                f,
                "The tags of {sessions} {} that rules match can't be read ({why}). A tag may protect a session, so none of \
                 these is ended. The AWS role needs athena:ListTagsForResource on the sessions; a change of the role shows within \
                 about {}",
                if *sessions == 1 { "session" } else { "sessions" },
                duration(RECHECK_AFTER),
            ),
            Self::BudgetUsed { left, most } => write!(
                f,
                "A run ends {most} sessions at the most (maxTerminationsPerRun): {left} more are left to later runs"
            ),
            Self::UnreadableRules(faults) => {
                let faults = faults.join("; ");
                write!(f, "A rule that can't be read ends nothing, and protects what it may be about: {faults}")
            }
        }
    }
}
