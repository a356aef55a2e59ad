//! Where an object stands, and the sentence that says so. PURE.

use std::time::Duration;

use kube::ResourceExt;

use super::observed::{Seen, Trouble};
use super::view::{Evidence, Proof, View};
use super::{engine, expiry, limits, publish, starting, without_session, workload};
use crate::api::PAUSED;
use crate::api::session::{DeletionPolicy, TerminationReason};
use crate::athena::types::{Account, ErrorClass, SessionState};
use crate::index::access::{Denied, HOW_TO_RESUME, Suspension};
use crate::index::claims::Claim;
use crate::status::failure::explain;
use crate::status::reason::{ARRIVAL, Reason};
use crate::text::duration;

/// Passing trouble is told from this failure in a row on.
const TOLD_AFTER: u32 = 3;

/// Where the object stands, and the sentence that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In a word.
    pub reason: Reason,
    /// In a sentence that stays the same as long as nothing changes.
    pub message: String,
}

/// An account or Region other than the one that the session was seen in, where nothing may be called.
///
/// What this process saw itself needs no record: the record may be forged.
#[must_use]
pub fn scope_problem(view: &View<'_>) -> Option<Finding> {
    let granted = view.access.account.as_deref();
    let (reason, message) = match (view.region(), view.scope.region.as_deref(), &view.scope.account) {
        (Some(then), Some(now), _) if then != now => wrong_region(view, then, now),
        (_, _, Account::Known(now)) => {
            let then = [view.account(), granted].into_iter().flatten().find(|then| then != now)?;
            wrong_account(view, then, now)
        }
        (_, _, Account::Unknown(why)) => account_unknown(view, view.account().or(granted), why)?,
    };
    Some(Finding { reason, message: with_way_out(view, message) })
}

fn wrong_region(view: &View<'_>, then: &str, now: &str) -> (Reason, String) {
    let message = match &view.access.reference {
        Some(name) => {
            format!("The session was seen in Region {then}, and AthenaWorkGroup {name} is in {now}: nothing is called.")
        }
        None => format!(
            "The session was seen in Region {then}, and the operator works in {now}: it calls nothing. Run it with AWS_REGION={then}."
        ),
    };
    (Reason::WrongRegion, message)
}

fn wrong_account(view: &View<'_>, then: &str, now: &str) -> (Reason, String) {
    let message = match &view.access.reference {
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
fn account_unknown(view: &View<'_>, then: Option<&str>, why: &str) -> Option<(Reason, String)> {
    let message = match (&view.access.reference, then) {
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

/// Why an object that we don't hold isn't taken on.
#[must_use]
pub fn unheld(view: &View<'_>) -> Option<Finding> {
    let access = view.access;
    if let Some(refusal) = access.denied {
        return Some(refused(view, refusal));
    }
    if let Some(owner) = &access.owner {
        return Some(declared_by(view, owner));
    }
    let may_run =
        view.is_started() || starting::may_run(view) || view.was_adopted() && view.recorded_terminated().is_none();
    let forbids = |it: &Finding| matches!(it.reason, Reason::StartNotAllowed | Reason::Restored);
    let hindrance = || starting::hindrance(view).filter(forbids);
    // An object whose session may run gets its finalizer back, whatever forbids a start: without it nothing would end that
    // session.
    if !may_run && let Some(hindrance) = hindrance() {
        return Some(hindrance);
    }
    let name = access.reference.as_deref().filter(|_| access.is_terminating)?;
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

fn refused(view: &View<'_>, refusal: Denied) -> Finding {
    let name = view.access.reference.as_deref().unwrap_or_default();
    let namespace = view.object.namespace().unwrap_or_default();
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
    let is_ending = view.observed.state() == Some(&SessionState::Terminating);
    let message = if view.is_held() && is_ending {
        format!("{message} Athena is ending the session already; the operator does nothing more to it.")
    } else if view.object.spec.start.is_some() {
        format!("{message} {}", starts_meanwhile(view, refusal))
    } else if view.is_held() {
        format!("{message} Until then the session is left as it is, and isn't ended.")
    } else {
        message
    };
    Finding { reason, message: with_way_out(view, message) }
}

/// The sentence on what is done for an object with `start` until there is a grant.
fn starts_meanwhile(view: &View<'_>, refusal: Denied) -> &'static str {
    match refusal {
        _ if !(view.is_started() || starting::may_run(view)) => "Until then no session is started.",
        Denied::NamespaceNotAllowed if view.is_held() => {
            "The session that this object started is ended all the same when that is asked for."
        }
        _ => "Until then the session that this object started is neither looked at nor ended.",
    }
}

fn declared_by(view: &View<'_>, owner: &Claim) -> Finding {
    let id = view.id();
    // Who has no grant learns no more than that it isn't his.
    let (whose, why) = match view.access.denied {
        Some(_) => ("another AthenaSession".to_owned(), "has a grant for it, as this one hasn't"),
        None => (format!("AthenaSession {} of namespace {}", owner.name, owner.namespace), "is older"),
    };
    let message = format!(
        "Session {id} belongs to {whose}, which {why}: this object neither watches nor ends it. Delete this one."
    );
    Finding { reason: Reason::AlreadyDeclared, message }
}

fn foreign(view: &View<'_>) -> Finding {
    let id = view.id();
    // Which work group it is in, and how it stands, is others' business.
    let work_group = view.access.work_group.as_deref().unwrap_or_default();
    let message = format!(
        "Session {id} isn't in work group {work_group}, and this object may not end it. Create another AthenaSession, whose \
         workGroupRef leads to the session's work group."
    );
    let message = if view.was_ours() { with_way_out(view, message) } else { message };
    Finding { reason: Reason::WrongWorkGroup, message }
}

/// What keeps an end that is asked for from being begun.
#[must_use]
pub fn hindrance(view: &View<'_>) -> Option<Finding> {
    view.intent()?;
    if let Some(refusal) = view.barred() {
        return Some(refused(view, refusal));
    }
    let (reason, message) = match view.access.suspension? {
        Suspension::ReadOnly if view.asked().is_some_and(|asked| asked != TerminationReason::WorkloadFinished) => {
            (Reason::ReadOnly, "The operator runs with --read-only: otherwise it would call TerminateSession now.".to_owned())
        }
        Suspension::ReadOnly => (
            Reason::ReadOnly,
            "The operator runs with --read-only: otherwise it would make sure that the time has come, and then call TerminateSession."
                .to_owned(),
        ),
        Suspension::ObjectPaused | Suspension::WorkGroupPaused => (Reason::Paused, pause(view, "end")?),
    };
    Some(Finding { reason, message: with_way_out(view, message) })
}

/// The message where the annotation `paused` holds up the `start` or the `end` of the session; None where it doesn't.
pub(super) fn pause(view: &View<'_>, held_up: &str) -> Option<String> {
    let place = match view.access.suspension? {
        Suspension::ReadOnly => return None,
        Suspension::ObjectPaused => "this object".to_owned(),
        Suspension::WorkGroupPaused => {
            format!("AthenaWorkGroup {}", view.access.reference.as_deref().unwrap_or_default())
        }
    };
    Some(format!("The annotation {PAUSED} on {place} holds up the {held_up} of the session{HOW_TO_RESUME}"))
}

/// How long something may still be missing before it counts as trouble; None: no longer.
#[must_use]
pub fn arrives_within(view: &View<'_>, reason: Reason) -> Option<Duration> {
    if view.recorded_condition("Stalled").is_some_and(|told| told.reason == reason.as_str()) {
        return None;
    }
    let awaited = view.recorded_condition("Reconciling").filter(|told| told.reason == reason.as_str());
    let since = awaited.map_or(view.now.wall, |awaited| awaited.last_transition_time.0);
    let waited = Duration::try_from(view.now.wall.duration_since(since)).unwrap_or_default();
    ARRIVAL.checked_sub(waited).filter(|rest| !rest.is_zero())
}

/// Where the object stands. None while nothing is known that would be worth a write.
#[must_use]
pub fn of(view: &View<'_>) -> Option<Finding> {
    let finding = of_session(view)?;
    let is_up = view.is_held() && finding.reason == Reason::Running;
    let beside =
        if is_up { beside(view).or_else(|| workload::standing(view)).or_else(|| undescribed(view)) } else { None };
    let finding = doubts_noted(view, beside.unwrap_or(finding));
    Some(expiry::noted(view, without_session::noted(view, finding)))
}

/// The finding, and after it a sentence about each answer of Athena that isn't believed.
fn doubts_noted(view: &View<'_>, finding: Finding) -> Finding {
    let contradiction = match view.evidence() {
        Evidence::Alive(_) => {
            " Athena contradicts itself: a list shows that the session has ended, and a call for this session shows that it \
             hasn't. The call counts."
        }
        Evidence::Ended => {
            " Athena contradicts itself: a later call showed the session as one that hasn't ended. Look in Athena whether it \
             still runs."
        }
        _ => return finding,
    };
    let contradiction = if view.observed.is_contradicted { contradiction } else { "" };
    let fault = view.observed.seen.as_ref().and_then(|seen| limits::times(view, seen).fault);
    let fault = fault.map_or_else(String::new, |fault| {
        format!(" Athena says that {fault}. That can't be: no limit counts from that time.")
    });
    Finding { message: format!("{}{contradiction}{fault}", finding.message), ..finding }
}

/// What keeps the session from being handed over, or from being ended with its workloads: both are told of.
pub(super) fn beside(view: &View<'_>) -> Option<Finding> {
    match (publish::hindrance(view), workload::hindrance(view)) {
        (Some(one), Some(other)) => Some(Finding { message: format!("{} {}", one.message, other.message), ..one }),
        (one, other) => one.or(other),
    }
}

/// How a sentence begins that tells of such.
pub(super) fn in_spite(view: &View<'_>) -> &'static str {
    if view.is_starting() { "No session is started, since" } else { "The session is up, and" }
}

/// Where it stands as far as its session goes.
pub(super) fn of_session(view: &View<'_>) -> Option<Finding> {
    if !view.is_held() {
        return unheld(view);
    }
    let evidence = view.evidence();
    if view.is_foreign() {
        return Some(foreign(view));
    }
    if let Some(kept) = kept_end(view, &evidence) {
        return Some(kept);
    }
    if let Some(owner) = &view.access.owner {
        return Some(declared_by(view, owner));
    }
    if starting::is_never_started(view) && view.intent().is_some() {
        return starting::standing(view);
    }
    let is_final = evidence == Evidence::Ended || evidence == Evidence::Absent && view.once_seen();
    // What Athena is ending already needs no grant any more, only somebody to look.
    let is_ending = matches!(evidence, Evidence::Alive(seen) if seen.status.state == SessionState::Terminating);
    let has_reach = view.access.denied != Some(Denied::WorkGroupNotFound);
    let refusal = view.access.denied.filter(|_| !(is_final || (is_ending || view.is_own_end()) && has_reach));
    let problem = refusal.map(|refusal| refused(view, refusal)).or_else(|| scope_problem(view));
    if view.is_starting() {
        return problem.or_else(|| starting::standing(view));
    }
    problem.or_else(|| if is_final { None } else { trouble(view) }).or_else(|| standing(view, &evidence))
}

fn standing(view: &View<'_>, evidence: &Evidence<'_>) -> Option<Finding> {
    let end_wanted = view.intent().is_some();
    match evidence {
        Evidence::None => end_wanted.then(|| ending(view, "Athena hasn't answered yet how the session stands.")),
        Evidence::Missing(Proof::NotToBeHad) => Some(not_found(view)),
        Evidence::Missing(_) if !view.once_seen() => Some(not_found(view)),
        Evidence::Missing(_) => end_wanted.then(|| {
            let wait = duration(view.timing.confirm_absence);
            let sentence = format!(
                "Athena says that the session doesn't exist. That counts when it says so again {wait} later, and \
                 when its work group doesn't list it."
            );
            ending(view, &sentence)
        }),
        Evidence::Absent if view.once_seen() && view.cause().is_some() => Some(ended(view)),
        Evidence::Absent => Some(not_found(view)),
        Evidence::Ended => Some(ended(view)),
        Evidence::Unconfirmed(_) => end_wanted.then(|| {
            let sentence = "A list shows that it has ended. That counts when a call for this session says so, too.";
            ending(view, sentence)
        }),
        Evidence::Alive(seen) => Some(alive(view, seen)),
    }
}

/// The record of an end outlives the process that saw it, and Athena's memory of the session. Only a
/// session that is seen to live takes it back; of one that is being deleted it must be seen again.
fn kept_end(view: &View<'_>, evidence: &Evidence<'_>) -> Option<Finding> {
    let seen_anew = matches!(evidence, Evidence::Alive(_) | Evidence::Ended);
    if seen_anew || view.is_deleted() {
        return None;
    }
    view.recorded_terminated()?;
    let ready = view.recorded_condition("Ready")?;
    match Reason::from_word(&ready.reason)? {
        Reason::SessionNotFound if view.cause().is_some() => Some(ended(view)),
        reason @ (Reason::Ended | Reason::Failed | Reason::SessionNotFound) => {
            Some(Finding { reason, message: ready.message.clone() })
        }
        _ => None,
    }
}

fn trouble(view: &View<'_>) -> Option<Finding> {
    // That of the end first: it is what somebody waits for.
    let observed = view.observed;
    // A session that perhaps doesn't exist is looked at before that counts as trouble.
    let in_doubt = observed.absence.is_some() || observed.seen.as_ref().is_some_and(|seen| seen.doubtful);
    let end_trouble =
        observed.end_trouble.as_deref().filter(|it| !(in_doubt && it.error.class == ErrorClass::NotFoundOrInvalid));
    if end_trouble.is_none_or(|trouble| !is_told(trouble))
        && let Some(unplaced) = unplaced(view)
    {
        return Some(unplaced);
    }
    let told = [end_trouble, observed.trouble.as_deref()].into_iter().flatten().find(|trouble| is_told(trouble))?;
    Some(trouble_verdict(view, told))
}

/// The condition where GetSession is denied, and nothing else shows whose the session is.
fn unplaced(view: &View<'_>) -> Option<Finding> {
    let undescribed = view.observed.undescribed.as_ref().filter(|_| view.evidence() == Evidence::None)?;
    let (reason, message) = explain(&undescribed.trouble.error, view.scope, view.timing);
    let why = match (&view.observed.seen, &view.access.work_group) {
        (None, _) => String::new(),
        (Some(_), Some(work_group)) => {
            format!(
                " No list of work group {work_group} shows the session: only GetSession tells whether the session is in that work group."
            )
        }
        (Some(_), None) => {
            " Another AthenaSession may have this session: only GetSession tells whose it is.".to_owned()
        }
    };
    let message = if why.is_empty() { message } else { format!("{message}{why} Until then the session isn't ended.") };
    Some(Finding { reason, message: with_way_out(view, message) })
}

/// The condition of a session that is up where GetSession is denied, and everything else goes on.
fn undescribed(view: &View<'_>) -> Option<Finding> {
    let denied = &view.observed.undescribed.as_ref()?.trouble.error;
    let (_, message) = explain(denied, view.scope, view.timing);
    let ways = ways_to_end(view);
    let message =
        format!("The session is up, and is ended {ways}. Its work group, and what it used, aren't known: {message}");
    Some(Finding { reason: Reason::GetSessionDenied, message })
}

/// Whether a person should hear of it: passing trouble only when it stays.
pub(super) fn is_told(trouble: &Trouble) -> bool {
    match trouble.error.class {
        ErrorClass::Throttled | ErrorClass::Unavailable => trouble.attempts >= TOLD_AFTER,
        _ => true,
    }
}

pub(super) fn trouble_verdict(view: &View<'_>, trouble: &Trouble) -> Finding {
    let (reason, message) = explain(&trouble.error, view.scope, view.timing);
    Finding { reason, message: with_way_out(view, message) }
}

fn not_found(view: &View<'_>) -> Finding {
    let id = view.id();
    let place = place(view);
    let said = view.observed.absence.as_ref().map_or_else(String::new, |absence| format!(" ({})", absence.error));
    let rarely = duration(view.timing.rarely());
    let message = match (view.once_seen(), view.work_group()) {
        (false, _) => format!(
            "Athena doesn't know session {id} {place}{said}. Check spec.sessionId, and that {} in the session's \
             account and Region. Looked for again, at the latest every {rarely}.",
            worker(view)
        ),
        (true, Some(work_group)) if view.evidence() == Evidence::Absent => format!(
            "Athena no longer knows session {id} {place}, and work group {work_group} doesn't list it in any \
             state{said}: it is gone. Delete this object."
        ),
        (true, _) => format!(
            "Athena no longer knows session {id} {place}{said}, and its work group or account wasn't recorded, so that it can't be \
             proven to be gone. Looked for again, at the latest every {rarely}."
        ),
    };
    Finding { reason: Reason::SessionNotFound, message: with_way_out(view, message) }
}

/// The session that the object started is gone, and there won't be another one.
pub(super) fn lost(view: &View<'_>) -> Finding {
    let message = format!(
        "The session was started {}, and no list shows it any more: it is gone. Delete this object; another one starts another session.",
        place(view)
    );
    Finding { reason: Reason::SessionNotFound, message: with_way_out(view, message) }
}

fn ended(view: &View<'_>) -> Finding {
    let asked = view.recorded().filter(|_| view.cause().is_some()).and_then(|status| status.termination_reason);
    let asked = asked.or(limits::idled_out(view));
    let last_word = view.observed.seen.as_ref().map(|seen| &seen.status);
    let Some(status) = last_word.filter(|status| status.state.is_ended()) else {
        let message = "Athena no longer knows the session, and its work group doesn't list it: it is gone.".to_owned();
        return Finding { reason: Reason::Ended, message };
    };
    let said = status.state_change_reason.as_deref();
    match asked {
        Some(asked) => {
            let message = format!("The session is {} ({}): {}.", status.state, asked.as_str(), clause(view, asked));
            Finding { reason: Reason::Ended, message }
        }
        None if status.state == SessionState::Failed => {
            let said = said.map_or_else(String::new, |said| format!(": {said}"));
            let message = format!(
                "The session FAILED{said}. Nothing runs any more. To go on, delete this object and create another one."
            );
            Finding { reason: Reason::Failed, message }
        }
        None => {
            let said = said.map_or_else(String::new, |said| format!(" Athena says: {said}."));
            let message = format!(
                "The session is {}. This operator didn't end it: somebody else did, or Athena's idle timeout.{said}",
                status.state
            );
            Finding { reason: Reason::Ended, message }
        }
    }
}

/// An end that is asked for, and what is in its way.
pub(super) fn ending(view: &View<'_>, sentence: &str) -> Finding {
    let asked = view.intent().map_or_else(String::new, |reason| format!("{}: ", why(view, reason)));
    let message = format!("{asked}the session is to be ended. {sentence}");
    Finding { reason: Reason::Terminating, message: with_way_out(view, message) }
}

/// Why the session is ended, as the beginning of a sentence.
pub(super) fn why(view: &View<'_>, reason: TerminationReason) -> String {
    match reason {
        TerminationReason::ObjectDeleted => "The object was deleted".to_owned(),
        reason => clause(view, reason),
    }
}

/// Why the session is ended, as a part of a sentence.
fn clause(view: &View<'_>, reason: TerminationReason) -> String {
    match reason {
        TerminationReason::WorkloadFinished => workload::sentence(view),
        reason => reason.clause().to_owned(),
    }
}

fn draining(view: &View<'_>, reason: TerminationReason) -> Option<Finding> {
    let limits::Grace { since, until, .. } = limits::draining(view)?;
    let message = format!(
        "{}: an end is asked for since {since}. The session is BUSY, and is ended as soon as it isn't any more, or at {until}: \
         lower spec.terminationGracePeriod to end it sooner.",
        why(view, reason)
    );
    Some(Finding { reason: Reason::Draining, message: with_way_out(view, message) })
}

fn alive(view: &View<'_>, seen: &Seen) -> Finding {
    let state = &seen.status.state;
    // `ReadOnly` says what would be done now. An end that would wait for a BUSY session isn't due now.
    let waits = |hindrance: &Finding| hindrance.reason == Reason::ReadOnly && limits::draining(view).is_some();
    let hindrance = hindrance(view).filter(|it| *state != SessionState::Terminating && !waits(it));
    if let Some(hindrance) = hindrance {
        return hindrance;
    }
    if is_overdue(view, state) {
        return overdue(view, state);
    }
    if let Some(draining) = view.intent().and_then(|reason| draining(view, reason)) {
        return draining;
    }
    let (reason, message) = match (view.cause(), state) {
        (Some(TerminationReason::ObjectDeleted), _) => (
            Reason::Terminating,
            with_way_out(view, "The object was deleted: the session is being ended, and the object goes when Athena says that it has.".to_owned()),
        ),
        (Some(reason), _) => (
            Reason::Terminating,
            with_way_out(view, format!("{}: the session is being ended, and Athena is asked until it says that it has.", why(view, reason))),
        ),
        (None, SessionState::Terminating) => (
            Reason::Terminating,
            "The session is being ended, not by this operator. Athena is asked until it says that it has.".to_owned(),
        ),
        (None, SessionState::Creating) => (Reason::Starting, "Athena is starting the session.".to_owned()),
        (None, SessionState::Created) if !engine::is_usable_as_created(view, seen) => {
            (Reason::Starting, engine::created(view, seen))
        }
        (None, SessionState::Degraded) => (
            Reason::Degraded,
            "The session has no healthy coordinators, and is billed all the same: end it (delete this object, or set spec.terminate).".to_owned(),
        ),
        (None, SessionState::Unknown(word)) => (
            Reason::StateUnknown,
            format!("Athena says {word}, which this operator doesn't know: it counts as running. Look for a newer version of the operator."),
        ),
        (None, _) => (
            Reason::Running,
            format!("The session is up. It is ended {}.{}", ways_to_end(view), limits::unkept_idle(view)),
        ),
    };
    Finding { reason, message }
}

/// When a session that is up is ended.
pub(super) fn ways_to_end(view: &View<'_>) -> String {
    let spec = &view.object.spec;
    let mut ways = Vec::new();
    if spec.deletion_policy == DeletionPolicy::Terminate {
        ways.push("when this object is deleted".to_owned());
    }
    ways.push("when spec.terminate is set".to_owned());
    if let Some(idle) = spec.max_idle.filter(|it| limits::positive(*it).is_some() && limits::keeps_idle(view)) {
        ways.push(format!("when it has been IDLE for {} (spec.maxIdle)", duration(idle.into())));
    }
    if let Some(at) = limits::lifetime_over_at(view) {
        ways.push(format!("at {at} (spec.maxLifetime)"));
    }
    let retains = match spec.deletion_policy {
        DeletionPolicy::Terminate => "",
        DeletionPolicy::Retain => ". Deleting this object leaves it running, since spec.deletionPolicy is Retain",
    };
    let last = ways.pop().unwrap_or_default();
    let ways = if ways.is_empty() { last } else { format!("{}, or {last}", ways.join(", ")) };
    format!("{ways}{retains}")
}

/// Counted from the first sign, to this process, that the end is under way; of a session that was
/// TERMINATING by then, from when the end was asked for.
fn is_overdue(view: &View<'_>, state: &SessionState) -> bool {
    let under_way = view.intent().is_some() || *state == SessionState::Terminating;
    let told =
        view.recorded_condition("Ready").is_some_and(|ready| ready.reason == Reason::TerminationOverdue.as_str());
    let asked_at = view.recorded().and_then(|status| status.termination_requested_at.as_ref()).map(|time| time.0);
    let asked_at = asked_at.filter(|_| *state == SessionState::Terminating && view.observed.accepted_at.is_none());
    let asked_for = asked_at.and_then(|at| Duration::try_from(limits::athena_now(view).duration_since(at)).ok());
    let under_way_for = view.observed.ending_since.map(|since| view.now.tick.saturating_duration_since(since));
    let is_due = asked_for.max(under_way_for) >= Some(view.timing.overdue);
    under_way && (told || is_due)
}

fn overdue(view: &View<'_>, state: &SessionState) -> Finding {
    let id = view.id();
    let (overdue, steady) = (duration(view.timing.overdue), duration(view.timing.steady));
    let message = format!(
        "The session has been ending for more than {overdue}, and Athena still says {state}. It is looked at every \
         {steady}, and asked again to end while it is active. If it stays so, ask AWS support about session {id}."
    );
    Finding { reason: Reason::TerminationOverdue, message: with_way_out(view, message) }
}

/// A deletion that hangs has a way out, and whoever reads why it hangs should read that too.
fn with_way_out(view: &View<'_>, message: String) -> String {
    if view.is_deleted() && view.object.spec.deletion_policy == DeletionPolicy::Terminate {
        format!(
            "{message} To let the object go at once, set spec.deletionPolicy: Retain. Its session is left alone then, and \
             billed until it ends."
        )
    } else {
        message
    }
}

/// What chooses the account and Region, as the beginning of a sentence that names them.
fn worker(view: &View<'_>) -> String {
    let group = view.access.reference.as_ref();
    group.map_or_else(|| "the operator works".to_owned(), |name| format!("AthenaWorkGroup {name} is"))
}

/// Where calls to Athena go.
pub(super) fn place(view: &View<'_>) -> String {
    let region = view.scope.region.as_deref().unwrap_or("unknown");
    match &view.scope.account {
        Account::Known(account) => format!("in account {account}, Region {region}"),
        Account::Unknown(_) => format!("in Region {region}"),
    }
}
