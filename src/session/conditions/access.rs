//! Why an object may not use its session: another account, no grant, another object's session. PURE.

use std::time::Duration;

use kube::ResourceExt;

use super::finding::{Finding, Findings};
use super::words::{reference, with_way_out};
use crate::athena::types::{Account, SessionState};
use crate::index::access::Denied;
use crate::session::rules::{Case, Evidence};
use crate::status::reason::{ARRIVAL, Reason};

/// An account or Region other than the one that the session was seen in, where nothing may be called.
///
/// What this process saw itself needs no record: the record may be forged.
pub(super) fn wrong_target(case: &Case<'_>) -> Option<Finding> {
    let (facts, name) = (case.facts, case.facts.access.reference.as_deref());
    let granted = facts.access.account.as_deref();
    let (reason, message) = match (facts.region(), facts.scope.region.as_deref(), &facts.scope.account) {
        (Some(then), Some(now), _) if then != now => (Reason::WrongRegion, wrong_region(name, then, now)),
        (_, _, Account::Known(now)) => {
            let then = [facts.account(), granted].into_iter().flatten().find(|then| then != now)?;
            (Reason::WrongAccount, wrong_account(name, then, now))
        }
        (_, _, Account::Unknown(why)) => {
            (Reason::AccountUnknown, account_unknown(name, facts.account().or(granted), why)?)
        }
    };
    Some(Finding { reason, message: with_way_out(case, message) })
}

fn wrong_region(name: Option<&str>, then: &str, now: &str) -> String {
    match name {
        Some(name) => {
            format!(
                "The session was seen in Region {then}, but AthenaWorkGroup {name} is in Region {now}. The operator \
                 makes no calls for this object. An AthenaWorkGroup in Region {then} is needed under the name {name}."
            )
        }
        None => format!(
            "The session was seen in Region {then}, but the operator runs in Region {now}. It makes no calls for this \
             object. Run the operator with AWS_REGION={then}."
        ),
    }
}

fn wrong_account(name: Option<&str>, then: &str, now: &str) -> String {
    match name {
        Some(name) => format!(
            "AthenaWorkGroup {name} uses AWS account {now}, but account {then} is recorded for the session or the \
             AthenaWorkGroup. The operator makes no calls for this object. Name a role of account {then} in the \
             AthenaWorkGroup's spec.roleArn, or run the operator with credentials of account {then}."
        ),
        None => format!(
            "The session was seen in AWS account {then}, but the operator runs in account {now}. It makes no calls \
             for this object. Run the operator with credentials of account {then}."
        ),
    }
}

/// Without a reference an account matters only once it is recorded.
fn account_unknown(name: Option<&str>, then: Option<&str>, why: &str) -> Option<String> {
    let which = match (name, then) {
        (Some(name), _) => format!("The operator doesn't know which AWS account AthenaWorkGroup {name} uses"),
        (None, Some(then)) => {
            format!(
                "The session was seen in AWS account {then}, and the operator doesn't know in which account it runs"
            )
        }
        (None, None) => return None,
    };
    Some(format!("{which}. It makes no calls for this object until STS answers GetCallerIdentity ({why})."))
}

/// What forbids the start of an object without our finalizer, where no session may run for the object.
pub(super) fn start_forbidden(case: &Case<'_>, findings: &Findings) -> Option<Finding> {
    let blocker = findings.start_blocker.as_ref()?;
    let forbids = matches!(blocker.reason, Reason::StartNotAllowed | Reason::Restored);
    (forbids && !may_run(case)).then(|| blocker.clone())
}

/// Whether a session may run for an object without our finalizer. The object gets its finalizer back then, whatever forbids
/// a start: without it nothing would end that session.
fn may_run(case: &Case<'_>) -> bool {
    let facts = case.facts;
    case.start.is_started() || case.start.may_run || facts.was_adopted() && facts.recorded_terminated().is_none()
}

pub(super) fn takes_no_more(case: &Case<'_>) -> Option<Finding> {
    let access = case.facts.access;
    if !access.is_terminating {
        return None;
    }
    let name = access.reference.as_deref()?;
    let message = if may_run(case) {
        format!(
            "AthenaWorkGroup {name} is being deleted, and takes no new sessions. A session may run for this object, \
             and nothing ends that session while the operator's finalizer is missing here. Keep this object. When the \
             AthenaWorkGroup is deleted, have an administrator create it again."
        )
    } else {
        format!(
            "AthenaWorkGroup {name} is being deleted, and takes no new sessions. Delete this object, or have an \
             administrator create the AthenaWorkGroup again when it is deleted."
        )
    };
    Some(Finding { reason: Reason::WorkGroupTerminating, message })
}

pub(super) fn denied(case: &Case<'_>) -> Option<Finding> {
    case.facts.access.denied.map(|refusal| refused(case, refusal))
}

/// The object has no grant any more. An end that was shown stays told. What Athena is ending already, and what the object
/// itself has started, needs no grant any more, only somebody to look: that is told, unless nobody can look.
pub(super) fn denied_now(case: &Case<'_>) -> Option<Finding> {
    let refusal = case.facts.access.denied?;
    let is_terminating =
        matches!(case.evidence, Evidence::Alive(seen) if seen.status.state == SessionState::Terminating);
    let goes_on = (is_terminating || case.ends_its_own()) && refusal != Denied::WorkGroupNotFound;
    (!case.is_end_final() && !goes_on).then(|| refused(case, refusal))
}

pub(super) fn refused(case: &Case<'_>, refusal: Denied) -> Finding {
    let facts = case.facts;
    let name = reference(case);
    let namespace = facts.object.namespace().unwrap_or_default();
    let (reason, message) = match refusal {
        Denied::WorkGroupRequired => (
            Reason::WorkGroupRequired,
            "The operator runs with --require-work-group: set spec.workGroupRef.name to an AthenaWorkGroup that selects this namespace.".to_owned(),
        ),
        Denied::WorkGroupNotFound => (
            Reason::WorkGroupNotFound,
            format!("There is no AthenaWorkGroup {name}. As soon as there is one, the operator goes on."),
        ),
        Denied::NamespaceNotAllowed => (
            Reason::NamespaceNotAllowed,
            format!(
                "AthenaWorkGroup {name} doesn't select namespace {namespace}. A cluster administrator can change that, in its \
                 spec.namespaces or by the namespace's labels."
            ),
        ),
    };
    let is_ending = facts.observed.session.state() == Some(&SessionState::Terminating);
    let message = if facts.is_held() && is_ending {
        format!("{message} Athena is ending the session already; the operator does nothing more to it.")
    } else if facts.object.spec.start.is_some() {
        format!("{message} {}", starts_meanwhile(case, refusal))
    } else if facts.is_held() {
        format!("{message} Until then the session is left as it is, and isn't ended.")
    } else {
        message
    };
    Finding { reason, message: with_way_out(case, message) }
}

/// What the operator does, until there is a grant, for an object with `spec.start`: as a sentence of the message.
fn starts_meanwhile(case: &Case<'_>, refusal: Denied) -> &'static str {
    match refusal {
        _ if !(case.start.is_started() || case.start.may_run) => "Until then no session is started.",
        Denied::NamespaceNotAllowed if case.facts.is_held() => {
            "The session that this object started is still ended when this object asks for the end."
        }
        _ => "Until then the session that this object started is neither looked at nor ended.",
    }
}

pub(super) fn owned_by_other(case: &Case<'_>) -> Option<Finding> {
    let (id, owner) = (case.facts.id(), case.facts.access.owner.as_ref()?);
    // An object without a grant isn't told which object owns the session.
    let (whose, why) = match case.facts.access.denied {
        Some(_) => ("another AthenaSession".to_owned(), "has a grant for the session; this object has none"),
        None => (format!("AthenaSession {} of namespace {}", owner.name, owner.namespace), "comes first"),
    };
    let message = format!(
        "Session {id} belongs to {whose}, which {why}. This object neither watches nor ends the session. Delete this \
         object; that doesn't end the session while its owner exists."
    );
    Some(Finding { reason: Reason::AlreadyDeclared, message })
}

pub(super) fn foreign(case: &Case<'_>) -> Option<Finding> {
    if !case.whose.is_foreign {
        return None;
    }
    let id = case.facts.id();
    // The session's work group and state aren't shown: the object has no right to know them.
    let work_group = case.facts.access.work_group.as_deref().unwrap_or_default();
    let message = format!(
        "Session {id} isn't in work group {work_group}, so this object may not end it. Create another AthenaSession, \
         whose workGroupRef names an AthenaWorkGroup for the session's work group."
    );
    let message = if case.whose.was_ours { with_way_out(case, message) } else { message };
    Some(Finding { reason: Reason::WrongWorkGroup, message })
}

/// How long the missing AthenaWorkGroup or grant may still arrive before the object is Stalled; None: it is Stalled
/// now.
pub fn arrives_within(case: &Case<'_>, reason: Reason) -> Option<Duration> {
    let facts = case.facts;
    if facts.recorded_condition("Stalled").is_some_and(|told| told.reason == reason.as_str()) {
        return None;
    }
    let awaited = facts.recorded_condition("Reconciling").filter(|told| told.reason == reason.as_str());
    let since = awaited.map_or(facts.now.wall, |awaited| awaited.last_transition_time.0);
    let waited = Duration::try_from(facts.now.wall.duration_since(since)).unwrap_or_default();
    ARRIVAL.checked_sub(waited).filter(|rest| !rest.is_zero())
}
