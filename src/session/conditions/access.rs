//! Why an object may not use its session: another account, no grant, another object's session. PURE.

use std::time::Duration;

use kube::ResourceExt;

use super::finding::Finding;
use super::words::{reference, with_way_out};
use crate::athena::types::{Account, SessionState};
use crate::index::access::Denied;
use crate::index::claims::Claim;
use crate::session::rules::case::Case;
use crate::status::reason::{ARRIVAL, Reason};

/// An account or Region other than the one that the session was seen in, where nothing may be called.
///
/// What this process saw itself needs no record: the record may be forged.
pub(super) fn wrong_target(case: &Case<'_>) -> Option<Finding> {
    let facts = case.facts;
    let granted = facts.access.account.as_deref();
    let (reason, message) = match (facts.region(), facts.scope.region.as_deref(), &facts.scope.account) {
        (Some(then), Some(now), _) if then != now => wrong_region(case, then, now),
        (_, _, Account::Known(now)) => {
            let then = [facts.account(), granted].into_iter().flatten().find(|then| then != now)?;
            wrong_account(case, then, now)
        }
        (_, _, Account::Unknown(why)) => account_unknown(case, facts.account().or(granted), why)?,
    };
    Some(Finding { reason, message: with_way_out(case, message) })
}

fn wrong_region(case: &Case<'_>, then: &str, now: &str) -> (Reason, String) {
    let message = match &case.facts.access.reference {
        Some(name) => {
            format!("The session was seen in Region {then}, and AthenaWorkGroup {name} is in {now}: nothing is called.")
        }
        None => format!(
            "The session was seen in Region {then}, and the operator works in {now}: it calls nothing. Run it with AWS_REGION={then}."
        ),
    };
    (Reason::WrongRegion, message)
}

fn wrong_account(case: &Case<'_>, then: &str, now: &str) -> (Reason, String) {
    let message = match &case.facts.access.reference {
        Some(name) => format!(
            "AthenaWorkGroup {name} leads to AWS account {now}, and the one on record is {then}: nothing is called. Its \
             spec.roleArn must name a role of {then}, or the operator run with credentials of it."
        ),
        None => format!(
            "The session was seen in AWS account {then}, and the operator works in {now}: it calls nothing. Run it with credentials of {then}."
        ),
    };
    (Reason::WrongAccount, message)
}

/// Without a reference an account matters only once it is recorded.
fn account_unknown(case: &Case<'_>, then: Option<&str>, why: &str) -> Option<(Reason, String)> {
    let message = match (&case.facts.access.reference, then) {
        (Some(name), _) => format!(
            "The operator can't tell which AWS account AthenaWorkGroup {name} leads to: it calls nothing until STS answers GetCallerIdentity ({why})."
        ),
        (None, Some(then)) => format!(
            "The session was seen in AWS account {then}, and the operator can't tell which account it works in: it calls nothing until STS answers GetCallerIdentity ({why})."
        ),
        (None, None) => return None,
    };
    Some((Reason::AccountUnknown, message))
}

/// Why an object without our finalizer isn't taken on. `start_blocker`: what forbids the start of its session.
pub(super) fn not_taken_on(case: &Case<'_>, start_blocker: Option<&Finding>) -> Option<Finding> {
    let (facts, access) = (case.facts, case.facts.access);
    if facts.is_held() {
        return None;
    }
    if let Some(refusal) = access.denied {
        return Some(refused(case, refusal));
    }
    if let Some(owner) = &access.owner {
        return Some(declared_by(case, owner));
    }
    let may_run =
        case.start.is_started() || case.start.may_run || facts.was_adopted() && facts.recorded_terminated().is_none();
    // An object whose session may run gets its finalizer back, whatever forbids a start: without it nothing would end that
    // session.
    let forbids = |it: &&Finding| matches!(it.reason, Reason::StartNotAllowed | Reason::Restored);
    if !may_run && let Some(blocker) = start_blocker.filter(forbids) {
        return Some(blocker.clone());
    }
    if !access.is_terminating {
        return None;
    }
    let name = access.reference.as_deref()?;
    let message = if may_run {
        format!(
            "AthenaWorkGroup {name} is being deleted, and takes no new sessions. A session may run for this object, and as long as \
             the operator's finalizer is missing here nothing ends that session: keep this object, and have the \
             AthenaWorkGroup created again once it is gone."
        )
    } else {
        format!(
            "AthenaWorkGroup {name} is being deleted, and takes no new sessions. Delete this object, or have the \
             AthenaWorkGroup created anew once it is gone."
        )
    };
    Some(Finding { reason: Reason::WorkGroupTerminating, message })
}

/// What is told where this refuses the object its session.
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

/// The sentence on what is done for an object with `start` until there is a grant.
fn starts_meanwhile(case: &Case<'_>, refusal: Denied) -> &'static str {
    match refusal {
        _ if !(case.start.is_started() || case.start.may_run) => "Until then no session is started.",
        Denied::NamespaceNotAllowed if case.facts.is_held() => {
            "The session that this object started is ended all the same when that is asked for."
        }
        _ => "Until then the session that this object started is neither looked at nor ended.",
    }
}

/// The session is another object's.
pub(super) fn declared_by(case: &Case<'_>, owner: &Claim) -> Finding {
    let id = case.facts.id();
    // Who has no grant learns no more than that it isn't his.
    let (whose, why) = match case.facts.access.denied {
        Some(_) => ("another AthenaSession".to_owned(), "has a grant for it, as this one hasn't"),
        None => (format!("AthenaSession {} of namespace {}", owner.name, owner.namespace), "is older"),
    };
    let message = format!(
        "Session {id} belongs to {whose}, which {why}: this object neither watches nor ends it. Delete this one."
    );
    Finding { reason: Reason::AlreadyDeclared, message }
}

/// The session is in another work group than it must be in.
pub(super) fn foreign(case: &Case<'_>) -> Finding {
    let id = case.facts.id();
    // Which work group it is in, and how it stands, is others' business.
    let work_group = case.facts.access.work_group.as_deref().unwrap_or_default();
    let message = format!(
        "Session {id} isn't in work group {work_group}, and this object may not end it. Create another AthenaSession, whose \
         workGroupRef leads to the session's work group."
    );
    let message = if case.whose.was_ours { with_way_out(case, message) } else { message };
    Finding { reason: Reason::WrongWorkGroup, message }
}

/// How long something may still be missing before it counts as trouble; None: no longer.
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
