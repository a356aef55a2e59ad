//! What to do for an object that starts a session, until it is known which session is its own: by the answer to
//! StartSession, or by the mark that the session bears. PURE.
//!
//! ```text
//!   an id is recorded ──────────────► look at that session: with our mark it is this object's
//!   an end is asked for ─ surely none ► nothing to end
//!                        └ otherwise ─► have the work group listed by the mark, twice, a quiet time apart
//!   a call may have had its effect ─► have it listed by the mark; found: this object's
//!   restored, not allowed, paused, no room, read-only ► wait, and say so
//!   its workloads are suspended ────► wait, and say so
//!   its workloads have finished ────► nothing to start, for good
//!   not found ── the attempt is young ► call again, with the same token
//!                          └ old ───► wait for a person
//!   otherwise ──────────────────────► reserve a place ► record the attempt ► call
//! ```

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::conditions::{self, Finding};
use super::decide::{self, Step};
use super::engine;
use super::notice;
use super::publish;
use super::request::{breach, request};
use super::status;
use super::view::{Evidence, View};
use super::workload;
use crate::api::session::{AthenaSessionStatus, DeletionPolicy, StartAttempt, StartOutcome, TerminationReason};
use crate::api::start::SessionStart;
use crate::api::{RESTORED, START_RESTORED};
use crate::athena::engine::{Engine, EngineKnowledge};
use crate::athena::informer::proof_of_absence::{ListRequest, Sought};
use crate::athena::types::ErrorClass;
use crate::index::access::Suspension;
use crate::index::session_quota::Slot;
use crate::index::session_quota::Usage;
use crate::status::condition;
use crate::status::failure::explain;
use crate::status::reason::{Reason, Standing, Tristate};
use crate::text::duration;

/// A call is repeated with its token for so long after it was recorded: how long Athena remembers tokens isn't
/// documented.
const TOKEN_LIFE: Duration = Duration::from_secs(5 * 60);
/// How much the clocks of AWS and Kubernetes may differ.
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);
/// A recorded attempt is good for a call within so long.
const RECORD_LIFE: Duration = Duration::from_secs(60);

/// The next step for an object whose session isn't known.
pub(super) fn pursue(view: &View<'_>) -> Step {
    if let Some(step) = look_at_recorded(view) {
        return step;
    }
    if view.intent().is_some() {
        return end_nothing(view);
    }
    if view.access.denied.is_some() {
        return Step::Wait(Some(view.timing.steady));
    }
    // A restored object starts nothing, and nothing was started for it. So Athena isn't asked.
    if is_restored(view) && !may_run(view) {
        return Step::Wait(Some(view.timing.steady));
    }
    // What holds up another call hides no session that was started before.
    if !is_surely_none(view) && view.observed.start.unlisted.is_none() {
        return list(view);
    }
    // What can't be handed over, or won't be ended, would be billed for nothing.
    if let Some(step) = publish::before_start(view).or_else(|| workload::due(view)) {
        return step;
    }
    // The workloads have finished, so no session will ever be started. That is final, so the workloads are read anew first.
    if workload::is_past(view)
        && let Some(step) = workload::before_start(view)
    {
        return step;
    }
    if let Some(hindrance) = hindrance(view) {
        return meanwhile(view, decide::interval(view, hindrance.reason));
    }
    if let Some(Step::Wait(Some(wait))) = decide::wait_after(view, view.observed.start.trouble.as_deref()) {
        return meanwhile(view, wait);
    }
    // The watch may lag, and a session that is started is billed. So the workloads are read anew first.
    match workload::before_start(view) {
        Some(Step::Wait(wait)) => meanwhile(view, wait.unwrap_or(view.timing.steady)),
        Some(step) => step,
        None if is_surely_none(view) => attempt(view),
        None => attempt_again(view),
    }
}

/// Whether a call is surely the first one to have an effect. Lists don't show a session for ever: that an earlier
/// process started none, they don't prove.
fn is_surely_none(view: &View<'_>) -> bool {
    let observed = view.observed;
    let start = &observed.start;
    // Where StartSession said that it started a session, none is started a second time, whatever lists show.
    observed.is_unstarted() && start.answered.is_none() && (observed.adopted_here || start.called_at.is_some())
}

/// Whether it is certain that the object has no session. StartSession is never called before our finalizer is on.
pub(super) fn has_none(view: &View<'_>) -> bool {
    let was_started = recorded(view).is_some_and(|attempt| attempt.outcome == StartOutcome::Started);
    let is_untouched = !view.is_held() && view.session_id().is_none() && !was_started;
    view.is_starting() && (is_untouched || is_surely_none(view))
}

/// Whether the end that is asked for is reached already, since no session was started.
pub(super) fn is_never_started(view: &View<'_>) -> bool {
    view.is_starting() && view.observed.is_unstarted()
}

/// What is recorded may be forged: what counts is the session's mark.
fn look_at_recorded(view: &View<'_>) -> Option<Step> {
    view.session_id()?;
    let is_named = view.observed.seen.is_some() || view.observed.start.answered.is_some();
    match &view.observed.absence {
        None if view.is_undescribed() && decide::poller_is_awaited(view).is_none() => Some(list_for_description(view)),
        // What StartSession has just returned is nobody's until its mark is seen: the poller isn't waited for.
        None if is_named && !view.is_undescribed() => Some(decide::call(view, Step::GetSession)),
        None => Some(decide::look_first(view)),
        Some(absence) if absence.last - absence.first < view.timing.confirm_absence => {
            // What StartSession has just returned Athena may not show yet.
            let is_new = view.observed.start.answered.is_some();
            let after = if is_new { view.timing.changing } else { view.timing.confirm_absence };
            Some(decide::look_for(view, after))
        }
        Some(_) => None,
    }
}

/// What to do with a recorded session where GetSession is denied: list the work group, since a list shows the mark of a
/// session that lives. A session that no list shows has ended, or isn't this object's. Only GetSession could tell which, so
/// nothing is concluded.
fn list_for_description(view: &View<'_>) -> Step {
    let next = view.observed.start.unlisted.map(|(_, last)| last + view.timing.rarely());
    let step = next.map_or_else(|| list(view), |next| list_at(view, next));
    decide::by_then(step, decide::until_described(view))
}

fn end_nothing(view: &View<'_>) -> Step {
    if is_never_started(view) {
        return if view.is_deleted() {
            Step::RemoveFinalizer { notice: notice::farewell(view) }
        } else {
            Step::Wait(None)
        };
    }
    list(view)
}

/// Asks for a list by the mark, or waits until it is time for another one.
fn list(view: &View<'_>) -> Step {
    match view.observed.start.unlisted {
        Some((first, _)) => list_at(view, first + view.timing.between_proving_lists()),
        None => find(view, view.observed.start.proven_from()),
    }
}

/// What is done while a call has to wait: a list may have lagged behind.
fn meanwhile(view: &View<'_>, wait: Duration) -> Step {
    let Some((first, last)) = view.observed.start.unlisted.filter(|_| !is_surely_none(view)) else {
        return Step::Wait(Some(wait));
    };
    let next = if first == last { first + view.timing.between_proving_lists() } else { last + view.timing.rarely() };
    decide::by_then(list_at(view, next), Some(wait))
}

fn list_at(view: &View<'_>, moment: Instant) -> Step {
    if moment > view.now.tick { Step::Wait(Some(view.until(moment))) } else { find(view, Some(moment)) }
}

/// Asks for a complete list that began after this moment, by the mark.
fn find(view: &View<'_>, after: Option<Instant>) -> Step {
    let (Some(work_group), Some(uid)) = (view.access.work_group.clone(), view.object.uid()) else {
        return Step::Wait(None);
    };
    let sought = Sought::Mark { cluster: view.cluster.to_owned(), uid };
    // The clocks of AWS and Kubernetes differ.
    let since = view.object.creation_timestamp().and_then(|created| created.0.checked_sub(CLOCKS).ok());
    // When lists have proven that none was started, they are only made to be on the safe side.
    let is_pressing = !view.observed.is_unstarted();
    let wanted = Box::new(ListRequest { work_group, sought, since, after, is_pressing });
    decide::have_listed(view, Step::ListSessions { wanted })
}

/// The call is recorded first. That write, or a read where it stands already, also shows that the object still asks
/// for it: what is cached may be old.
fn attempt(view: &View<'_>) -> Step {
    match recorded(view) {
        Some(attempt) if attempt.outcome == StartOutcome::Unknown && age(view, attempt) < RECORD_LIFE => {
            start_session(view)
        }
        _ => record(view, condition::time(view.now.wall)),
    }
}

fn attempt_again(view: &View<'_>) -> Step {
    use StartOutcome::{Refused, Started, Unknown};
    let start = &view.observed.start;
    let Some((_, last)) = start.unlisted else { return list(view) };
    let Some(attempt) = attempt_to_record(view) else { return record(view, condition::time(view.now.wall)) };
    let is_young = age(view, &attempt) < TOKEN_LIFE;
    match attempt.outcome {
        Refused => record(view, condition::time(view.now.wall)),
        Unknown if is_young && recorded(view).is_none() => record(view, attempt.at),
        Unknown if is_young => start_session(view),
        // This process called, and can still prove that nothing came of it.
        Unknown if start.called_at.is_some() => list(view),
        // The record of an end is final.
        Started if view.recorded_terminated().is_some() => Step::Wait(None),
        Started | Unknown => list_at(view, last + view.timing.rarely()),
    }
}

fn start_session(view: &View<'_>) -> Step {
    if !has_slot(view) {
        return Step::ReserveSlot;
    }
    match recorded(view).and_then(|attempt| request(view, attempt)) {
        Some(request) if view.fresh => Step::StartSession { request: Box::new(request) },
        Some(_) => Step::GetObject,
        None => Step::Wait(None),
    }
}

/// A place is reserved before anything is recorded: others that are asked for at the same time would have it too.
fn has_slot(view: &View<'_>) -> bool {
    view.access.start.as_ref().is_some_and(|start| start.slot == Slot::Held)
}

/// What is known of the session that the object has its place for; None where it starts none.
#[must_use]
pub fn usage(view: &View<'_>) -> Option<Usage> {
    view.object.spec.start.as_ref()?;
    if view.is_deleted() && !view.is_held() {
        return Some(Usage::Unused);
    }
    if view.is_started() {
        let is_over = view.has_ended() || view.evidence() == Evidence::Absent;
        return Some(if is_over { Usage::Unused } else { Usage::InUse });
    }
    let is_wanted = view.intent().is_none();
    let is_none = if is_wanted { is_surely_none(view) } else { view.observed.is_unstarted() };
    Some(match is_none {
        true if is_wanted && !is_held_up(view) => Usage::Wanted,
        true => Usage::Unused,
        false if view.observed.start.called_at.is_some() || is_told_of(view) => Usage::MaybeInUse,
        false => Usage::Wanted,
    })
}

/// Whether a call, and no end, is on record.
fn is_told_of(view: &View<'_>) -> bool {
    let is_told = recorded(view).is_some_and(|attempt| attempt.outcome != StartOutcome::Refused);
    is_told && view.recorded_terminated().is_none()
}

/// Whether a start has to wait for a person or for its workloads, so that another object may have the place meanwhile. An
/// object that waits for Athena's capacity keeps its place, since capacity comes by itself. An object whose call is due
/// again has reserved its place anew. With --read-only an object keeps its turn, since `ReadOnly` is only a forecast.
fn is_held_up(view: &View<'_>) -> bool {
    let is_barred = view.access.denied.is_some() || conditions::scope_problem(view).is_some();
    let hindrance = || hindrance(view).filter(|it| !matches!(it.reason, Reason::WaitingForQuota | Reason::ReadOnly));
    let (now, recovered_at) = (view.now.tick, view.scope.recovered_at);
    let trouble = || view.observed.start.trouble.as_deref().filter(|trouble| trouble.due_at(recovered_at) > now);
    let refusal = || trouble().map(|trouble| explain(&trouble.error, view.scope, view.timing).0);
    let reason = hindrance().map(|it| it.reason).or_else(refusal);
    let waits = |reason: Reason| reason == Reason::WaitingForWorkload || reason.row().standing == Standing::Stalled;
    is_barred || reason.is_some_and(waits)
}

/// The call of StartSession that is recorded for this very object.
fn recorded<'a>(view: &'a View<'_>) -> Option<&'a StartAttempt> {
    let attempt = view.recorded()?.start_attempt.as_ref()?;
    (!is_of_a_backup(view, attempt.at.0)).then_some(attempt)
}

/// Whether an attempt that is recorded as of `recorded_at` was recorded for the object that was backed up, and restored together
/// with its status. It is then older than the restored object. The session of that attempt bears the mark of the object
/// that was backed up.
fn is_of_a_backup(view: &View<'_>, recorded_at: Timestamp) -> bool {
    let metadata = &view.object.metadata;
    let created = metadata.creation_timestamp.as_ref().filter(|_| view.object.labels().contains_key(RESTORED));
    // Clocks differ, but by less than this: AWS refuses calls whose time is five minutes off.
    let margin = SignedDuration::try_from(TOKEN_LIFE).unwrap_or_default();
    created.is_some_and(|created| created.0.duration_since(recorded_at) > margin)
}

fn age(view: &View<'_>, attempt: &StartAttempt) -> Duration {
    let age = view.now.wall.duration_since(attempt.at.0);
    // A record of the near future is one of now: clocks differ. One of a later time tells nothing.
    Duration::try_from(age).unwrap_or(if age.unsigned_abs() < RECORD_LIFE { Duration::ZERO } else { Duration::MAX })
}

fn record(view: &View<'_>, at: Time) -> Step {
    if view.access.engine == EngineKnowledge::Awaited {
        // The parameters of StartSession depend on the engine. The answer to GetWorkGroup wakes the object.
        return meanwhile(view, view.timing.changing);
    }
    if !has_slot(view) {
        return Step::ReserveSlot;
    }
    let engine_version = view.access.engine.known().and_then(Engine::version).map(str::to_owned);
    let attempt = StartAttempt { at, outcome: StartOutcome::Unknown, engine_version };
    // A refusal that lasts stays told while the call is tried again.
    let finding = standing(view).unwrap_or_else(beginning);
    let mut status = status::render(view, &finding, false);
    status.start_attempt = Some(attempt);
    // What comes of it can be found out there only.
    status::record_place(view, &mut status);
    Step::WriteStatus { status: Box::new(status), notices: Vec::new() }
}

/// The finalizer on an old object without a status would look as if an earlier process had called: that none has is
/// recorded before.
pub(super) fn foreword(view: &View<'_>) -> Option<Step> {
    let created = view.object.metadata.creation_timestamp.as_ref().filter(|_| view.object.spec.start.is_some())?;
    let is_old = view.now.wall.duration_since(created.0).unsigned_abs() >= RECORD_LIFE;
    (is_old && is_lost(view)).then(|| {
        let status = AthenaSessionStatus { start_attempt: None, ..status::render(view, &beginning(), false) };
        Step::WriteStatus { status: Box::new(status), notices: Vec::new() }
    })
}

/// The status was lost, or its first one never written.
fn is_lost(view: &View<'_>) -> bool {
    view.recorded().is_none_or(|status| status.observed_generation.is_none())
}

fn beginning() -> Finding {
    Finding { reason: Reason::Starting, message: "Athena is asked to start the session.".to_owned() }
}

/// What the status says of the attempt.
pub(super) fn attempt_to_record(view: &View<'_>) -> Option<StartAttempt> {
    view.object.spec.start.as_ref()?;
    let recorded = recorded(view).cloned();
    let with = |outcome| {
        let at = recorded.as_ref().map_or_else(|| condition::time(view.now.wall), |attempt| attempt.at.clone());
        let engine_version = recorded.as_ref().and_then(|attempt| attempt.engine_version.clone());
        Some(StartAttempt { at, outcome, engine_version })
    };
    let observed = view.observed;
    if observed.start.id.is_some() || observed.start.answered.is_some() {
        return with(StartOutcome::Started);
    }
    if is_surely_none(view) {
        return recorded.as_ref().and_then(|_| with(StartOutcome::Refused));
    }
    // The finalizer is on and no attempt is recorded: an earlier process may have called StartSession, and not before the
    // object was created.
    let is_lost = view.is_held() && is_lost(view) && !is_undecided(view) && !is_restored(view);
    let created = view.object.metadata.creation_timestamp.clone().filter(|_| is_lost && recorded.is_none());
    let unknown = |at| StartAttempt { at, outcome: StartOutcome::Unknown, engine_version: None };
    created.map(unknown).or(recorded)
}

/// Without a grant, and without a record, an object has a finalizer that anybody may have put on it, or a status that was
/// wiped. Which of them isn't decided before there is a grant: until then it stays visible that the status was lost. A
/// restored object may have its finalizer from the backup: there a list by its mark decides.
pub(super) fn is_undecided(view: &View<'_>) -> bool {
    let starts = view.object.spec.start.is_some();
    let waits = view.access.denied.is_some() || is_restored(view) && view.observed.start.unlisted.is_none();
    starts && view.is_held() && waits && is_lost(view) && !is_surely_none(view)
}

/// Whether a session may run for the object although Athena hasn't shown one to this process: a session is recorded, or a
/// call of StartSession that wasn't refused. Until it is proven that no session runs, the condition says nothing of what
/// forbids a start: a person who followed that advice and deleted the object would end a session that runs.
pub(super) fn may_run(view: &View<'_>) -> bool {
    if !view.is_starting() || is_surely_none(view) {
        return false;
    }
    let may_have_called = match recorded(view) {
        Some(attempt) => attempt.outcome != StartOutcome::Refused,
        // The status was lost, and with it the record of a call; or the finalizer was restored from a backup.
        None => view.is_held() && is_lost(view) && !(is_restored(view) && view.observed.start.unlisted.is_some()),
    };
    // The session in a restored status is gone: Athena doesn't know it, and no list shows one with this object's mark.
    let is_past = is_restored(view) && view.observed.absence.is_some() && view.observed.start.unlisted.is_some();
    view.session_id().is_some() && !is_past || may_have_called || view.observed.start.called_at.is_some()
}

/// What keeps the session from being started, or from being started again. People are told of it only where no session
/// may run ([`may_run`]).
pub(super) fn hindrance(view: &View<'_>) -> Option<Finding> {
    let start = view.object.spec.start.as_ref()?;
    let forbidden = restored(view)
        .or_else(|| not_allowed(view, start))
        .or_else(|| engine::refusal(view))
        .or_else(|| closing(view))
        .or_else(|| paused(view));
    if forbidden.is_some() {
        return forbidden;
    }
    // What is recorded is looked at before a place is asked for.
    if view.session_id().is_some() && view.observed.absence.is_none() {
        return None;
    }
    // --read-only comes last: its forecast must not promise a start that something else would hold up.
    workload::hold(view).or_else(|| no_place(view)).or_else(|| conditions::beside(view)).or_else(|| read_only(view))
}

fn restored(view: &View<'_>) -> Option<Finding> {
    if !is_restored(view) {
        return None;
    }
    let restore = view.object.labels().get(RESTORED).map(String::as_str).unwrap_or_default();
    let message = if is_agreed(view) {
        format!(
            "This object was restored from a backup (label {RESTORED}: {restore}), and its creationTimestamp is in the future by \
             the operator's clock: one of the clocks of the API server and of the operator is, or was, wrong. No session is \
             started before that time."
        )
    } else {
        format!(
            "This object was restored from a backup (label {RESTORED}: {restore}), and starts no session by itself. If nobody needs \
             the session, delete this object; to start the session, set the annotation {START_RESTORED}: \"true\" on it."
        )
    };
    Some(Finding { reason: Reason::Restored, message })
}

/// Whether the object was restored from a backup, nobody has allowed the start by [`START_RESTORED`], and no call of
/// StartSession for this very object is known.
fn is_restored(view: &View<'_>) -> bool {
    let object = view.object;
    let is_called = recorded(view).is_some() || view.observed.start.called_at.is_some();
    // By a clock that is far behind, a new attempt would look older than the object, and count as one of the backup. Then
    // the attempt would be recorded again and again.
    let may_start = is_agreed(view) && !is_of_a_backup(view, view.now.wall);
    object.spec.start.is_some() && object.labels().contains_key(RESTORED) && !may_start && !is_called
}

fn is_agreed(view: &View<'_>) -> bool {
    view.object.annotations().get(START_RESTORED).is_some_and(|value| value == "true")
}

fn not_allowed(view: &View<'_>, start: &SessionStart) -> Option<Finding> {
    let bounds = view.access.start.as_ref().and_then(|start| start.bounds.as_deref());
    if view.access.denied.is_some() {
        return None;
    }
    let breach = breach(start, bounds)?;
    let none = if !view.is_held() || is_surely_none(view) { " No session was started." } else { "" };
    let message = format!(
        "AthenaWorkGroup {} doesn't allow this start: {breach}.{none} spec.start can't change: create another AthenaSession, or have a cluster \
         administrator allow it.",
        reference(view)
    );
    Some(Finding { reason: Reason::StartNotAllowed, message })
}

fn closing(view: &View<'_>) -> Option<Finding> {
    if !view.access.is_terminating {
        return None;
    }
    let message = format!(
        "AthenaWorkGroup {} is being deleted: no session is started there. Delete this object, or have the AthenaWorkGroup \
         created anew once it is gone.",
        reference(view)
    );
    Some(Finding { reason: Reason::WorkGroupTerminating, message })
}

fn paused(view: &View<'_>) -> Option<Finding> {
    let message = conditions::pause(view, "start")?;
    Some(Finding { reason: Reason::Paused, message })
}

fn no_place(view: &View<'_>) -> Option<Finding> {
    match &view.access.start.as_ref()?.slot {
        Slot::NoneFree(quota_exceeded) => {
            Some(Finding { reason: Reason::WaitingForQuota, message: quota_exceeded.sentence(reference(view)) })
        }
        Slot::Held | Slot::Free => None,
    }
}

fn read_only(view: &View<'_>) -> Option<Finding> {
    if view.access.suspension != Some(Suspension::ReadOnly) {
        return None;
    }
    let message = "The operator runs with --read-only: otherwise it would call StartSession now.";
    Some(Finding { reason: Reason::ReadOnly, message: message.to_owned() })
}

fn reference<'a>(view: &'a View<'_>) -> &'a str {
    view.access.reference.as_deref().unwrap_or_default()
}

/// Where an object stands whose session isn't known.
pub(super) fn standing(view: &View<'_>) -> Option<Finding> {
    if view.intent().is_some() {
        return denied_end(view).or_else(|| Some(ending(view)));
    }
    if may_run(view) {
        // With none of these the condition stays as it was, until Athena has answered.
        return trouble(view).or_else(|| unclear(view)).or_else(|| unrecognized(view));
    }
    without_place(view)
        .or_else(|| hindrance(view))
        .or_else(|| trouble(view))
        .or_else(|| is_surely_none(view).then(beginning).filter(|_| recorded(view).is_some()))
}

/// Condition `Active` of an object whose session isn't known, where no end is asked for.
pub(super) fn activity(view: &View<'_>, reason: Reason) -> Tristate {
    if !may_run(view) {
        return Tristate::False;
    }
    let recorded = view.recorded_condition("Active").map(|active| active.status.as_str());
    match (reason, recorded) {
        // That StartSession is called again says nothing of whether the session can be used. What was recorded stays.
        (Reason::Starting | Reason::WaitingForCapacity, Some("True")) => Tristate::True,
        (Reason::Starting | Reason::WaitingForCapacity, Some("False")) => Tristate::False,
        (Reason::Starting | Reason::WaitingForCapacity, _) => Tristate::Unknown,
        _ => reason.row().active,
    }
}

/// The condition where an end is asked for, and AWS denies the calls that would show whether there is a session to end.
fn denied_end(view: &View<'_>) -> Option<Finding> {
    let observed = view.observed;
    let denied = observed.undescribed.as_ref().map(|it| &it.trouble);
    let mut troubles = [denied, observed.trouble.as_deref()].into_iter().flatten();
    let trouble = troubles.find(|trouble| trouble.error.class == ErrorClass::Denied)?;
    if is_never_started(view) { None } else { Some(conditions::trouble_verdict(view, trouble)) }
}

/// The condition of an object whose start was refused, so that it gave up its place, and another object has the place now.
/// The condition still names the refusal, since waiting for a place wouldn't help.
fn without_place(view: &View<'_>) -> Option<Finding> {
    let waits = hindrance(view).filter(|it| it.reason == Reason::WaitingForQuota)?;
    let refusal = conditions::trouble_verdict(view, view.observed.start.trouble.as_deref()?);
    if refusal.reason.row().standing != Standing::Stalled {
        return None;
    }
    let message = format!("{} It isn't tried again while there is no place for it: {}", refusal.message, waits.message);
    Some(Finding { message, ..refusal })
}

fn ending(view: &View<'_>) -> Finding {
    if is_never_started(view) && view.intent() == Some(TerminationReason::WorkloadFinished) {
        return without_a_session(view);
    }
    if is_never_started(view) {
        let asked = view.intent().map_or_else(String::new, |reason| format!("{}, and ", conditions::why(view, reason)));
        let message = format!("{asked}no session was started: there is nothing to end.");
        return Finding { reason: Reason::Ended, message };
    }
    let quiet = duration(view.timing.between_proving_lists());
    let sentence = format!(
        "A session may have been started for it. It counts as not started when two listings, {quiet} apart, don't show one."
    );
    conditions::ending(view, &sentence)
}

/// The condition of an object whose workloads have finished before a session was started. Where something was in the way of
/// the start, the message names it for good: a person will look here for the reason.
fn without_a_session(view: &View<'_>) -> Finding {
    let why = workload::sentence(view);
    let needs_somebody = |it: &Finding| it.reason.row().standing == Standing::Stalled;
    let in_the_way =
        hindrance(view).filter(needs_somebody).or_else(|| conditions::beside(view)).or_else(|| trouble(view));
    match in_the_way {
        Some(Finding { reason, message }) => {
            let message = format!("No session could be started before {why}. {reason}: {message}");
            Finding { reason: Reason::Failed, message }
        }
        None => {
            let message = format!(
                "No session was started, since {why}. For another run delete this object, and create it anew with its workload."
            );
            Finding { reason: Reason::Ended, message }
        }
    }
}

fn trouble(view: &View<'_>) -> Option<Finding> {
    let observed = view.observed;
    let denied = observed.undescribed.as_ref().map(|it| &it.trouble);
    let told = [observed.start.trouble.as_deref(), denied, observed.trouble.as_deref()];
    let told = told.into_iter().flatten().find(|trouble| conditions::is_told(trouble))?;
    Some(conditions::trouble_verdict(view, told))
}

/// StartSession has returned a session, and Athena hasn't shown yet whose it is.
fn unrecognized(view: &View<'_>) -> Option<Finding> {
    let id = view.observed.start.answered_not_disowned()?;
    let message = format!(
        "StartSession returned session {id}. The operator waits until Athena shows this object's mark in the description of \
         that session: only then is the session this object's."
    );
    Some(Finding { reason: Reason::Starting, message })
}

/// A call was recorded long ago, and nothing shows what came of it.
fn unclear(view: &View<'_>) -> Option<Finding> {
    if is_surely_none(view) || view.observed.start.unlisted.is_none() {
        return None;
    }
    let attempt = attempt_to_record(view)?;
    let rarely = duration(view.timing.rarely());
    match attempt.outcome {
        StartOutcome::Started => Some(misled(view).unwrap_or_else(|| conditions::lost(view))),
        StartOutcome::Unknown if age(view, &attempt) >= TOKEN_LIFE && view.observed.start.called_at.is_none() => {
            let message = format!(
                "StartSession may have been called at {}, and no list shows the session. It isn't called again: that might \
                 start a second one. Look in Athena for a session whose description ends with this object's namespace, name \
                 and UID, and end it there if nobody needs it. Then delete this object and create another. Looked for again, \
                 at the latest every {rarely}.",
                attempt.at.0
            );
            Some(Finding { reason: Reason::StartUnclear, message })
        }
        _ => None,
    }
}

/// StartSession returned a session that isn't this object's, and no list shows one that is.
fn misled(view: &View<'_>) -> Option<Finding> {
    let start = &view.observed.start;
    let answered = start.answered.as_ref().filter(|_| start.answered_not_disowned().is_none())?;
    let foreign = format!(
        "StartSession returned session {}, whose description doesn't have this object's mark: this object neither uses nor ends \
         that session.",
        answered.id
    );
    let (first, last) = start.unlisted?;
    // Lists may lag. A person who deleted the object now might end the session that StartSession has started for it.
    if last - first < view.timing.between_proving_lists() {
        let message = format!("{foreign} Lists of the work group are searched for the session with the mark.");
        return Some(Finding { reason: Reason::Starting, message });
    }
    let rarely = duration(view.timing.rarely());
    let message = format!(
        "{foreign} No list shows a session with the mark. StartSession isn't called again: that might start a second session. \
         Delete this object and create another. Looked for again, at the latest every {rarely}."
    );
    Some(Finding { reason: Reason::StartUnclear, message })
}

/// Whether the object goes without a word to Athena, whatever else holds it up.
pub(super) fn goes_at_once(view: &View<'_>) -> bool {
    view.is_deleted() && view.object.spec.deletion_policy == DeletionPolicy::Terminate && is_never_started(view)
}

/// Whether the object is about to start a session, and must know the engine of its work group first.
#[must_use]
pub fn awaits_engine(view: &View<'_>) -> bool {
    let is_barred = view.access.denied.is_some() || conditions::scope_problem(view).is_some();
    view.access.engine == EngineKnowledge::Awaited && view.is_starting() && view.intent().is_none() && !is_barred
}
