//! What the status of an AthenaWorkGroup says. PURE.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::Resource;
use kube::core::Selector;

use crate::api::PAUSED;
use crate::api::work_group::{AthenaWorkGroup, AthenaWorkGroupStatus, From};
use crate::athena::engine::{ASKED_HOURLY, Engine};
use crate::athena::informer::Census;
use crate::athena::types::{Account, CallError, CallerContext, ErrorClass, Operation};
use crate::index::access::{HOW_TO_RESUME, is_paused};
use crate::index::dependents::Dependents;
use crate::status::condition;
use crate::status::event::Notice;
use crate::status::failure::explain;
use crate::status::reason::Reason;
use crate::text::duration;
use crate::timing::Timing;

const OURS: [&str; 3] = ["Ready", "Reconciling", "Stalled"];

/// Everything that the status follows from.
pub struct GroupFacts<'a> {
    /// The object.
    pub group: &'a AthenaWorkGroup,
    /// Where calls for it go.
    pub scope: &'a CallerContext,
    /// What its sessions are.
    pub census: &'a Census,
    /// The calls a second that were found to be allowed, by operation.
    pub rates: &'a BTreeMap<String, String>,
    /// What keeps it from going, where it is being deleted.
    pub dependents: Option<&'a Dependents>,
    /// The intervals.
    pub timing: &'a Timing,
    /// The moment.
    pub wall: Timestamp,
}

/// What keeps the work group from being used, if anything does.
#[must_use]
pub fn scope_problem(group: &AthenaWorkGroup, scope: &CallerContext) -> Option<(Reason, String)> {
    if scope.region.is_none() {
        let message = "No AWS Region is known: set spec.region, or AWS_REGION where the operator runs.";
        return Some((Reason::AwsNotConfigured, message.to_owned()));
    }
    match (&scope.account, group.account()) {
        (Account::Unknown(why), _) => Some((
            Reason::AccountUnknown,
            format!(
                "The operator can't tell which AWS account this work group is in: it calls nothing until STS answers GetCallerIdentity ({why})."
            ),
        )),
        (Account::Known(now), Some(then)) if now != then => Some((
            Reason::WrongAccount,
            format!(
                "Calls would go to AWS account {now}, and the one on record is {then}: nothing is called. Name a role of {then} in \
                 spec.roleArn; for a work group of another account create another AthenaWorkGroup."
            ),
        )),
        (Account::Known(_), _) => None,
    }
}

/// The status to write, if it differs from what is recorded; and what to tell then.
#[must_use]
pub fn due(view: &GroupFacts<'_>) -> Option<(AthenaWorkGroupStatus, Option<Notice>)> {
    let group = view.group;
    let (reason, message) = verdict(view);
    let mut status = group.status.clone().unwrap_or_default();
    status.observed_generation = group.meta().generation;
    status.work_group = Some(group.athena_name());
    if status.region.is_none() {
        status.region = group.region().map(str::to_owned).or_else(|| view.scope.region.clone());
    }
    if status.account_id.is_none() {
        status.account_id = view.scope.account.known().map(str::to_owned);
    }
    if let Some(engine) = view.census.engine.known() {
        status.engine_version = engine.version().map(str::to_owned).or(status.engine_version.take());
    }
    if let Some(sessions) = &view.census.sessions {
        let all: u32 = sessions.values().sum();
        status.sessions.clone_from(sessions);
        status.declared = Some(view.census.declared);
        status.undeclared = Some(all.saturating_sub(view.census.declared));
    }
    // After a restart the rates that an earlier process found stay until this process has found some.
    if !view.rates.is_empty() {
        status.calls_per_second.clone_from(view.rates);
    }
    let drafts = condition::standing(reason, &message, false);
    status.conditions = condition::renewed(&status.conditions, &OURS, drafts, group.meta().generation, view.wall);
    if group.status.as_ref() == Some(&status) {
        return None;
    }
    let told = group.status.as_ref().and_then(|recorded| recorded.conditions.iter().find(|it| it.type_ == "Ready"));
    let is_news = reason.row().warns && told.is_none_or(|told| told.reason != reason.as_str());
    Some((status, is_news.then(|| Notice::warning(reason.as_str(), message))))
}

/// Whether two statuses differ in numbers only, which aren't worth a write each time.
#[must_use]
pub fn only_counts_differ(one: &AthenaWorkGroupStatus, other: &AthenaWorkGroupStatus) -> bool {
    let without = |status: &AthenaWorkGroupStatus| AthenaWorkGroupStatus {
        sessions: Default::default(),
        declared: None,
        undeclared: None,
        calls_per_second: Default::default(),
        ..status.clone()
    };
    // The first numbers are no change.
    one.declared.is_some() && without(one) == without(other)
}

/// Rates as text for the status: those below 10 with one decimal place.
#[must_use]
pub fn rates_in_words(rates: &BTreeMap<&'static str, f64>) -> BTreeMap<String, String> {
    let word = |rate: f64| if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") };
    rates.iter().map(|(operation, rate)| ((*operation).to_owned(), word(*rate))).collect()
}

fn verdict(view: &GroupFacts<'_>) -> (Reason, String) {
    let group = view.group;
    if let Some(dependents) = view.dependents {
        let message = format!(
            "{dependents}, records of ended sessions included: it goes when none does any more. \
             `kubectl get ats -A -o wide` shows all of them, by the column WORKGROUPREF. \
             Deleting an AthenaSession ends its session, unless its deletionPolicy is Retain. It takes no new ones."
        );
        return (Reason::InUse, message);
    }
    if let Some(problem) = scope_problem(group, view.scope) {
        return problem;
    }
    let selector = group.spec.namespaces.selector.clone();
    if let Some(Err(error)) = selector.map(Selector::try_from) {
        return (
            Reason::InvalidSelector,
            format!("spec.namespaces.selector can't be read, and selects no namespace: {error}"),
        );
    }
    let name = group.athena_name();
    if let Some(engine @ Engine::NotSpark(_)) = view.census.engine.known() {
        let message = format!(
            "Work group {name} runs {engine}, not Spark: it has no sessions, and none can be started there. Create \
             another AthenaWorkGroup, for a work group of Spark. {ASKED_HOURLY}"
        );
        return (Reason::WorkGroupNotSpark, message);
    }
    if let Some(error) = &view.census.trouble {
        return unlisted(view, error);
    }
    let paused = if is_paused(group) {
        format!(" The annotation {PAUSED} holds up all starts and ends{HOW_TO_RESUME}")
    } else {
        String::new()
    };
    let users = match group.spec.namespaces.from {
        From::All => "each namespace",
        From::None => "no namespace, as spec.namespaces says",
        From::Selector => "the namespaces that spec.namespaces selects",
    };
    let unused = unused(view);
    (Reason::Available, format!("Work group {name} can be used by {users}.{unused}{paused}"))
}

/// The sentence on those defaults of the AthenaWorkGroup that the engine doesn't take; empty where there are none.
fn unused(view: &GroupFacts<'_>) -> String {
    let defaults = view.group.spec.start.as_ref().and_then(|start| start.engine_configuration.as_ref());
    let Some((engine, defaults)) = view.census.engine.known().zip(defaults) else { return String::new() };
    let sentence = |fields| format!(" {engine} doesn't take {fields}: the operator doesn't send these defaults.");
    engine.refused(defaults).map_or_else(String::new, sentence)
}

/// Why its sessions can't be listed. ListSessions names nothing but the work group, which Athena may not know.
fn unlisted(view: &GroupFacts<'_>, error: &CallError) -> (Reason, String) {
    if (error.operation, error.class) != (Operation::ListSessions, ErrorClass::NotFoundOrInvalid) {
        let (reason, message) = explain(error, view.scope, view.timing);
        return (reason, format!("Its sessions can't be listed: {message}"));
    }
    let name = view.group.athena_name();
    let account = view.scope.account.known().unwrap_or("unknown");
    let region = view.scope.region.as_deref().unwrap_or("unknown");
    let steady = duration(view.timing.steady);
    let message = format!(
        "Athena doesn't know work group {name} in account {account}, Region {region}, or can't use it ({error}). Check \
         spec.workGroup, or metadata.name where there is none, spec.region and spec.roleArn; create another \
         AthenaWorkGroup for what can't change. Tried again every {steady}."
    );
    (Reason::WorkGroupUnknown, message)
}
