//! What the status of an AthenaWorkGroup says. PURE.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::Resource;
use kube::core::Selector;

use super::cleanup::report::{CLEANUP_HELD, CleanupReport, without_rules};
use crate::api::PAUSED;
use crate::api::work_group::{AthenaWorkGroup, AthenaWorkGroupStatus, From};
use crate::athena::engine::{ASKED_HOURLY, Engine};
use crate::athena::informer::Census;
use crate::athena::types::{Account, CallerContext, ErrorClass, Operation};
use crate::index::access::{HOW_TO_RESUME, is_paused};
use crate::index::dependents::Dependents;
use crate::status::condition::{self, Draft};
use crate::status::event::Event;
use crate::status::failure::explain;
use crate::status::reason::{Reason, Tristate};
use crate::text::duration;
use crate::timing::Timing;

const OURS: [&str; 4] = ["Ready", "Reconciling", "Stalled", CLEANUP_HELD];

/// Everything that the status follows from.
pub struct GroupFacts<'a> {
    /// The object.
    pub group: &'a AthenaWorkGroup,
    /// Where calls for the work group go.
    pub scope: &'a CallerContext,
    /// The sessions of the work group.
    pub census: &'a Census,
    /// How many calls a second were found to be allowed, by operation.
    pub rates: &'a BTreeMap<String, String>,
    /// What clean-up found; None before the first run.
    pub cleanup: Option<&'a CleanupReport>,
    /// The AthenaSessions that keep the object from going, where it is being deleted.
    pub dependents: Option<&'a Dependents>,
    /// The intervals.
    pub timing: &'a Timing,
    /// The moment.
    pub wall: Timestamp,
}

/// The status to write, if it differs from the recorded one, and the events to publish then.
pub fn due(facts: &GroupFacts<'_>) -> Option<(AthenaWorkGroupStatus, Vec<Event>)> {
    let (reason, message) = finding(facts);
    let status = status(facts, reason, &message);
    let recorded = facts.group.status.as_ref();
    if recorded == Some(&status) {
        return None;
    }
    let is_told = |type_: &str, reason: &str| {
        let condition = recorded.and_then(|recorded| recorded.conditions.iter().find(|it| it.type_ == type_));
        condition.is_some_and(|told| told.reason == reason)
    };
    let is_news = reason.row().warns && !is_told("Ready", reason.as_str());
    let held = facts.cleanup.and_then(|report| report.held.as_ref());
    let held = held.filter(|held| held.warns && !is_told(CLEANUP_HELD, &held.reason));
    let ready = is_news.then(|| Event::warning(reason.as_str(), message));
    let held = held.map(|held| Event::warning(CLEANUP_HELD, held.message.clone()));
    Some((status, ready.into_iter().chain(held).collect()))
}

fn status(facts: &GroupFacts<'_>, reason: Reason, message: &str) -> AthenaWorkGroupStatus {
    let GroupFacts { group, scope, census, rates, wall, .. } = *facts;
    let recorded = group.status.clone().unwrap_or_default();
    let generation = group.meta().generation;
    let region = || group.region().or(scope.region.as_deref()).map(str::to_owned);
    let (sessions, declared, undeclared) = match &census.sessions {
        Some(sessions) => {
            let undeclared = sessions.values().sum::<u32>().saturating_sub(census.declared);
            (sessions.clone(), Some(census.declared), Some(undeclared))
        }
        None => (recorded.sessions, recorded.declared, recorded.undeclared),
    };
    let mut drafts = condition::standing(reason, message, false);
    drafts.extend(held(facts));
    let cleanup = match facts.cleanup {
        _ if group.spec.cleanup.is_none() => without_rules(recorded.cleanup, facts.timing.steady, wall),
        Some(report) => Some(report.to_record(recorded.cleanup)),
        None => recorded.cleanup,
    };
    AthenaWorkGroupStatus {
        observed_generation: generation,
        work_group: Some(group.athena_name()),
        // Once recorded, Region and account stay: the sessions are there.
        region: recorded.region.or_else(region),
        account_id: recorded.account_id.or_else(|| scope.account.known().map(str::to_owned)),
        engine_version: census.engine.known().and_then(Engine::version).map(str::to_owned).or(recorded.engine_version),
        sessions,
        declared,
        undeclared,
        // After a restart the rates that an earlier process found stay until this process has found some.
        calls_per_second: if rates.is_empty() { recorded.calls_per_second } else { rates.clone() },
        cleanup,
        conditions: condition::renewed(&recorded.conditions, &OURS, drafts, generation, wall),
    }
}

/// The condition `CleanupHeld`. After a restart the recorded one stays until the first run.
fn held<'a>(facts: &GroupFacts<'a>) -> Option<Draft<'a>> {
    let draft = |reason: &'a str, message: &str| Draft {
        type_: CLEANUP_HELD,
        status: Tristate::True,
        reason,
        message: message.to_owned(),
    };
    let group = facts.group;
    group.spec.cleanup.as_ref()?;
    if let Some(report) = facts.cleanup {
        return report.held.as_ref().map(|held| draft(&held.reason, &held.message));
    }
    let recorded = group.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == CLEANUP_HELD)?;
    Some(draft(&recorded.reason, &recorded.message))
}

/// Whether two statuses differ only in numbers. A change of numbers isn't worth a write each time.
pub fn only_counts_differ(one: &AthenaWorkGroupStatus, other: &AthenaWorkGroupStatus) -> bool {
    let without = |status: &AthenaWorkGroupStatus| AthenaWorkGroupStatus {
        sessions: Default::default(),
        declared: None,
        undeclared: None,
        cleanup: None,
        conditions: status.conditions.iter().filter(|it| it.type_ != CLEANUP_HELD).cloned().collect(),
        calls_per_second: Default::default(),
        ..status.clone()
    };
    // The first numbers are worth a write.
    let is_first = one.declared.is_none() || one.cleanup.is_none() && other.cleanup.is_some();
    !is_first && without(one) == without(other)
}

/// Rates as text for the status: those below 10 with one decimal place.
pub fn rates_in_words(rates: &BTreeMap<&'static str, f64>) -> BTreeMap<String, String> {
    let word = |rate: f64| if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") };
    rates.iter().map(|(operation, rate)| ((*operation).to_owned(), word(*rate))).collect()
}

/// A check: the reason and the message of its condition, where the check finds something.
type Check = fn(&GroupFacts<'_>) -> Option<(Reason, String)>;

/// The checks, in their order: the first one that finds something makes the condition.
const CHECKS: [Check; 5] = [in_use, unreachable, invalid_selector, not_spark, unlisted];

fn finding(facts: &GroupFacts<'_>) -> (Reason, String) {
    CHECKS.iter().find_map(|check| check(facts)).unwrap_or_else(|| available(facts))
}

fn in_use(facts: &GroupFacts<'_>) -> Option<(Reason, String)> {
    let dependents = facts.dependents?;
    let message = format!(
        "{dependents}, records of ended sessions included. The AthenaWorkGroup goes when no AthenaSession refers to it any \
         more, and new ones can't use it. `kubectl get ats -A -o wide` shows all of them, by the column WORKGROUPREF. \
         Deleting an AthenaSession ends its session, unless its deletionPolicy is Retain."
    );
    Some((Reason::InUse, message))
}

fn unreachable(facts: &GroupFacts<'_>) -> Option<(Reason, String)> {
    scope_problem(facts.group, facts.scope)
}

/// Why no call can be made for the work group; None where calls can be made.
pub(crate) fn scope_problem(group: &AthenaWorkGroup, scope: &CallerContext) -> Option<(Reason, String)> {
    if scope.region.is_none() {
        let message = "No AWS Region is known: set spec.region, or AWS_REGION where the operator runs.";
        return Some((Reason::AwsNotConfigured, message.to_owned()));
    }
    match (&scope.account, group.account()) {
        (Account::Unknown(why), _) => Some((
            Reason::AccountUnknown,
            format!(
                "The operator doesn't know which AWS account this work group is in. It makes no calls until STS \
                 answers GetCallerIdentity ({why})."
            ),
        )),
        (Account::Known(now), Some(then)) if now != then => Some((
            Reason::WrongAccount,
            format!(
                "Calls would go to AWS account {now}, but account {then} is recorded for this AthenaWorkGroup. The \
                 operator makes no calls. Name a role of account {then} in spec.roleArn; for a work group of another \
                 account create another AthenaWorkGroup."
            ),
        )),
        (Account::Known(_), _) => None,
    }
}

fn invalid_selector(facts: &GroupFacts<'_>) -> Option<(Reason, String)> {
    let error = Selector::try_from(facts.group.spec.namespaces.selector.clone()?).err()?;
    let message = format!("spec.namespaces.selector can't be read, and selects no namespace: {error}");
    Some((Reason::InvalidSelector, message))
}

fn not_spark(facts: &GroupFacts<'_>) -> Option<(Reason, String)> {
    let Some(engine @ Engine::NotSpark(_)) = facts.census.engine.known() else { return None };
    let name = facts.group.athena_name();
    let message = format!(
        "Work group {name} runs {engine}, not Spark: it has no sessions, and none can be started there. Create another \
         AthenaWorkGroup, for a work group of Spark. {ASKED_HOURLY}"
    );
    Some((Reason::WorkGroupNotSpark, message))
}

/// ListSessions fails. Its request names nothing but the work group, which Athena may not know.
fn unlisted(facts: &GroupFacts<'_>) -> Option<(Reason, String)> {
    let error = facts.census.trouble.as_ref()?;
    if (error.operation, error.class) != (Operation::ListSessions, ErrorClass::NotFoundOrInvalid) {
        let (reason, message) = explain(error, facts.scope, facts.timing);
        return Some((reason, format!("Its sessions can't be listed: {message}")));
    }
    let name = facts.group.athena_name();
    let account = facts.scope.account.known().unwrap_or("unknown");
    let region = facts.scope.region.as_deref().unwrap_or("unknown");
    let steady = duration(facts.timing.steady);
    let message = format!(
        "Athena doesn't know work group {name} in account {account}, Region {region}, or can't use it ({error}). Check \
         spec.workGroup, or metadata.name where there is none, spec.region and spec.roleArn; create another \
         AthenaWorkGroup for what can't change. The operator tries again every {steady}."
    );
    Some((Reason::WorkGroupUnknown, message))
}

fn available(facts: &GroupFacts<'_>) -> (Reason, String) {
    let name = facts.group.athena_name();
    let users = match facts.group.spec.namespaces.from {
        From::All => "each namespace",
        From::None => "no namespace, as spec.namespaces says",
        From::Selector => "the namespaces that spec.namespaces selects",
    };
    let unused = unused_defaults(facts);
    let paused = if is_paused(facts.group) {
        format!(" The annotation {PAUSED} holds up all starts and ends{HOW_TO_RESUME}")
    } else {
        String::new()
    };
    (Reason::Available, format!("Work group {name} can be used by {users}.{unused}{paused}"))
}

/// The sentence on those defaults of the AthenaWorkGroup that the engine doesn't take; empty where there are none.
fn unused_defaults(facts: &GroupFacts<'_>) -> String {
    let defaults = facts.group.spec.start.as_ref().and_then(|start| start.engine_configuration.as_ref());
    let Some((engine, defaults)) = facts.census.engine.known().zip(defaults) else { return String::new() };
    let sentence = |fields| format!(" {engine} doesn't support {fields}: the operator doesn't send these defaults.");
    engine.refused(defaults).map_or_else(String::new, sentence)
}
