//! What a run found, for `status.cleanup` and for the condition `CleanupHeld`. PURE.

use std::time::Duration;

use jiff::Timestamp;

use super::facts::CleanupFacts;
use super::hold::Hold;
use super::memory::counts;
use super::run::Run;
use crate::api::cleanup::{CleanupStatus, MatchedSession};
use crate::api::work_group::AthenaWorkGroup;
use crate::cleanup::conditions::Ages;
use crate::cleanup::plan::{Judged, RunPlan, Turn};
use crate::cleanup::policy::Policy;
use crate::cleanup::verdict::Verdict;
use crate::status::condition::time;
use crate::text::{age, cut};

/// The condition that says why matched sessions aren't ended.
pub(crate) const CLEANUP_HELD: &str = "CleanupHeld";

/// The status has so many matched sessions at the most.
const MOST_REPORTED: usize = 20;

/// The most bytes of a description that are shown.
const DESCRIPTION_BYTES: usize = 200;

/// What a run found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CleanupReport {
    /// For `status.cleanup`.
    pub status: CleanupStatus,
    /// The condition `CleanupHeld`; None where nothing is held.
    pub held: Option<HeldReport>,
}

/// The condition `CleanupHeld`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldReport {
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// Whether a Warning event tells it, too.
    pub warns: bool,
}

impl CleanupReport {
    /// What a run found so far. `hold`: what keeps the run from ending anything, whatever the rules match.
    pub fn of(run: &Run, facts: &CleanupFacts<'_>, hold: Option<Hold>, wall: Timestamp) -> Self {
        let plan = run.plan(facts);
        let holds: Vec<_> = hold.into_iter().chain(holds(run, &plan, facts.policy)).collect();
        let message: Vec<_> = holds.iter().map(|hold| format!("{}.", hold.to_string().trim_end_matches('.'))).collect();
        let held = holds.first().map(|first| HeldReport {
            reason: first.reason().to_owned(),
            message: message.join(" "),
            // The next runs end the rest.
            warns: !matches!(first, Hold::BudgetUsed { .. }),
        });
        let mut told: Vec<_> = plan.turns.iter().filter_map(|(position, _)| run.judged(*position)).collect();
        // Not in the order of their turns, which changes from run to run.
        told.sort_by(|one, other| one.session.age_order().cmp(&other.session.age_order()));
        let status = CleanupStatus {
            last_run_at: Some(time(wall)),
            looked_at: number(plan.tally.live),
            matched: number(plan.matched),
            protected: plan.tally.protected.iter().map(|(by, count)| ((*by).to_owned(), number(*count))).collect(),
            due: number(plan.ends().count()),
            ended: facts.ended_before.saturating_add(number(run.ended())),
            held: held.as_ref().map(|held| held.message.clone()),
            problem: run.problem(),
            budget: None,
            matched_sessions: told.iter().take(MOST_REPORTED).map(|judged| matched(judged, facts)).collect(),
        };
        Self { status, held }
    }

    /// What another AthenaWorkGroup reports, whose reconciliation applies the rules of both.
    pub(crate) fn of_leader(leader: &AthenaWorkGroup) -> Option<Self> {
        let recorded = leader.status.as_ref()?;
        let condition = recorded.conditions.iter().find(|condition| condition.type_ == CLEANUP_HELD);
        let held = condition.map(|condition| HeldReport {
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            warns: false,
        });
        Some(Self { status: recorded.cleanup.clone()?, held })
    }

    /// The status to record: what is recorded, where the report differs from that in nothing but times.
    pub(crate) fn to_record(&self, recorded: Option<CleanupStatus>) -> CleanupStatus {
        let Some(recorded) = recorded else { return CleanupStatus { budget: None, ..self.status.clone() } };
        if timeless(&recorded) == timeless(&self.status) {
            return recorded;
        }
        CleanupStatus { budget: recorded.budget, ..self.status.clone() }
    }
}

/// The status to record where the rules have been taken away: nothing but ends that were reserved a moment ago. Whoever sets the rules
/// again would otherwise have the whole budget anew, within one interval.
pub(crate) fn without_rules(
    recorded: Option<CleanupStatus>,
    steady: Duration,
    wall: Timestamp,
) -> Option<CleanupStatus> {
    let budget = recorded?.budget.filter(|budget| counts(budget, steady, wall))?;
    Some(CleanupStatus { budget: Some(budget), ..CleanupStatus::default() })
}

/// What the plan of a run leaves undone.
fn holds(run: &Run, plan: &RunPlan, policy: &Policy) -> Vec<Hold> {
    let left = plan.turns.iter().filter(|(_, turn)| *turn == Turn::NextRun).count();
    let share = plan.held.map(Hold::TooManyMatched);
    let tags = run.unreadable_tags().map(|(sessions, why)| Hold::UnreadableTags { sessions, why: why.to_owned() });
    let budget = (left > 0).then_some(Hold::BudgetUsed { left, most: policy.max_terminations_per_run });
    let faults: Vec<_> = policy.faults.iter().map(ToString::to_string).collect();
    let unreadable = if faults.is_empty() { None } else { Some(Hold::UnreadableRules(faults)) };
    share.into_iter().chain(tags).chain(budget).chain(unreadable).collect()
}

fn matched(judged: &Judged<'_>, facts: &CleanupFacts<'_>) -> MatchedSession {
    let status = judged.session.status;
    let ages = Ages::of(status, facts.athena_time);
    let rule = match judged.verdict {
        Verdict::Matched { rule } | Verdict::NeedsTags { rule } => facts.policy.rule_name(rule),
        _ => "",
    };
    MatchedSession {
        id: judged.session.id.to_owned(),
        rule: rule.to_owned(),
        state: status.state.to_string(),
        age: ages.age.map(age),
        idle: ages.idle.map(age),
        description: judged.session.description.map(shown_description),
    }
}

/// A session's description, as far as the status, the log and events show it.
pub(crate) fn shown_description(description: &str) -> String {
    cut(description, DESCRIPTION_BYTES)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A status without its times, which change with each run, and without the budget, which isn't a finding.
fn timeless(status: &CleanupStatus) -> CleanupStatus {
    let session = |session: &MatchedSession| MatchedSession { age: None, idle: None, ..session.clone() };
    let matched_sessions = status.matched_sessions.iter().map(session).collect();
    CleanupStatus { last_run_at: None, budget: None, matched_sessions, ..status.clone() }
}
