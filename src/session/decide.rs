//! What to do next for one object. PURE: no client, no clock, no error, nothing async.
//!
//! [`decide`] maps (object, what is known of its session, now) to one [`Step`]. The shell
//! ([`super::act`]) takes the step, adds what it learned, and asks again, until the step is to wait.
//!
//! ```text
//!                   no finalizer ── being deleted ─► wait (not ours)
//!                        ├───────── no grant, or another object's session ─► wait, and say so
//!                        └───────── wanted ────────► add it
//!   deleted, Retain ───────────────────────────────► let go
//!   another object's session, another work group's ► wait; deleted: let go
//!   another account or Region than recorded ───────► wait, and say so
//!   ended, or proven absent ── deleted ────────────► let go
//!                           └─ kept ───────────────► record it
//!   an end is asked for ── no grant, or a brake ───► wait, and say so
//!                       ├─ BUSY, in its grace period ► record why ► wait
//!                       └─ state known, active ────► record why ► end it ► look until it has ended
//!   a limit is reached ────────────────────────────► look ► reached: as an end that is asked for
//!   otherwise ─────────────────────────────────────► look, now and then
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::notice;
use super::observed::{Absence, Described, Seen, Trouble};
use super::view::{Evidence, Interest, PASS, Proof, View};
use super::{conditions, engine, expiry, limits, publish, starting, status, workload};
use crate::api::session::{AthenaSessionStatus, DeletionPolicy, TerminationReason};
use crate::athena::informer::proof_of_absence::{ListRequest, Sought};
use crate::athena::types::{ErrorClass, SessionState, StartRequest};
use crate::index::access::Denied;
use crate::index::claims::Claim;
use crate::status::event::Notice;
use crate::status::reason::{Pace, Reason, Standing};

/// While complete lists don't show a session, its object makes one call of its own in the time of so many lists.
const LISTS_A_LOOK: u32 = 12;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Put our finalizer on the object.
    AddFinalizer,
    /// Read the object from the API server, not from a cache.
    GetObject,
    /// Read the object that the session belongs to from the API server.
    GetOwner {
        /// That object.
        owner: Claim,
    },
    /// Call GetSession.
    GetSession,
    /// Call GetSessionStatus.
    GetSessionStatus,
    /// Call GetSessionStatus, whose answer TerminateSession has to follow at once: so it is called when it is this object's
    /// turn to call TerminateSession.
    GetSessionStatusBeforeEnd,
    /// Call GetCallerIdentity.
    GetCallerIdentity,
    /// Ask the informer for a complete list of a work group: for the object's session, or for the session that bears the
    /// object's mark.
    ListSessions {
        /// What is asked for.
        wanted: Box<ListRequest>,
    },
    /// Reserve a place among the sessions of the namespace; the terms tell whether there was one.
    ReserveSlot,
    /// Call StartSession.
    StartSession {
        /// What it is asked for.
        request: Box<StartRequest>,
    },
    /// Call TerminateSession.
    TerminateSession {
        /// On whose behalf.
        reason: TerminationReason,
    },
    /// Read the ConfigMap of `spec.publishTo`.
    GetConfigMap,
    /// Write it.
    WriteConfigMap {
        /// What it is to say.
        data: BTreeMap<String, String>,
    },
    /// Remove it.
    DeleteConfigMap {
        /// Its UID.
        uid: String,
        /// Its version.
        resource_version: String,
    },
    /// Read the workloads of `spec.endWith`.
    GetWorkloads,
    /// Delete the object: its session ended long enough ago.
    DeleteObject,
    /// Write this status.
    WriteStatus {
        /// All of it.
        status: Box<AthenaSessionStatus>,
        /// What to tell once it is written.
        notices: Vec<Notice>,
    },
    /// Take our finalizer off: nothing holds the object any more.
    RemoveFinalizer {
        /// What to tell once it is off.
        notice: Option<Notice>,
    },
    /// Nothing until the object changes, or until this long from now.
    Wait(Option<Duration>),
}

/// The next step.
#[must_use]
pub fn decide(view: &View<'_>) -> Step {
    let step = pursue(view);
    let Step::Wait(after) = step else { return step };
    if !view.is_held() && view.is_deleted() {
        return step;
    }
    if let Some(step) = publish::due(view).or_else(|| workload::due(view)) {
        return step;
    }
    let after = sooner(after, due_beside_session(view));
    // An end is recorded before its object goes.
    let Some((status, notices)) = status::due(view) else {
        return expiry::due(view).unwrap_or(Step::Wait(sooner(after, expiry::wait(view))));
    };
    match outdated(view) {
        None => Step::WriteStatus { status: Box::new(status), notices },
        Some(Step::Wait(soon)) => Step::Wait(sooner(after, soon)),
        Some(step) => step,
    }
}

/// How long from now until something is due that isn't about the session.
fn due_beside_session(view: &View<'_>) -> Option<Duration> {
    [arrival(view), publish::wait(view), workload::wait(view)].into_iter().fold(None, sooner)
}

/// A wait no longer than this.
pub(super) fn by_then(step: Step, at_most: Option<Duration>) -> Step {
    if let Step::Wait(after) = step { Step::Wait(sooner(after, at_most)) } else { step }
}

fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

/// How long it takes until something that is awaited counts as missing.
fn arrival(view: &View<'_>) -> Option<Duration> {
    // Only what others have to set right may still arrive.
    view.access.denied?;
    let reason = conditions::of(view)?.reason;
    if reason.row().standing == Standing::StalledLater { conditions::arrives_within(view, reason) } else { None }
}

/// What to do before a status that somebody else wrote is replaced. Another operator may have looked
/// later than this one: two that write what each of them last knew would go on for ever.
fn outdated(view: &View<'_>) -> Option<Step> {
    let observed = view.observed;
    let theirs = observed.record.others_wrote_at()?;
    let patience = theirs + view.timing.steady;
    if patience <= view.now.tick {
        return None;
    }
    let wait = Step::Wait(Some(view.until(patience)));
    // What can't be looked at, or differs in words only, isn't worth more than a write now and then.
    let recorded = view.recorded().and_then(|status| status.state.as_deref());
    let says_the_same = recorded == observed.state().map(SessionState::as_str);
    match view.evidence() {
        Evidence::Alive(seen) if seen.at >= theirs => says_the_same.then_some(wait),
        Evidence::Alive(_) if conditions::scope_problem(view).is_none() => match call(view, read(view)) {
            Step::Wait(_) => Some(wait),
            look => Some(look),
        },
        Evidence::Ended => says_the_same.then_some(wait),
        _ => Some(wait),
    }
}

fn pursue(view: &View<'_>) -> Step {
    if !view.is_held() {
        return match conditions::unheld(view) {
            _ if view.is_deleted() => Step::Wait(None),
            Some(finding) => Step::Wait(pause(view, finding.reason)),
            None if view.access.lacks_finalizer => Step::Wait(None),
            None => starting::foreword(view).unwrap_or(Step::AddFinalizer),
        };
    }
    if view.is_deleted() && view.object.spec.deletion_policy == DeletionPolicy::Retain {
        return Step::RemoveFinalizer { notice: notice::retained(view) };
    }
    if starting::goes_at_once(view) {
        return Step::RemoveFinalizer { notice: notice::farewell(view) };
    }
    if let Some(owner) = &view.access.owner {
        return leave_to(view, owner);
    }
    if view.is_deleted() && view.has_ended() {
        return Step::RemoveFinalizer { notice: notice::farewell(view) };
    }
    if view.is_foreign() {
        let never_ours = view.is_deleted() && !view.was_ours();
        return if never_ours { Step::RemoveFinalizer { notice: notice::farewell(view) } } else { Step::Wait(None) };
    }
    // What the object itself may have started is ended also where its namespace isn't selected any more.
    if let Some(refusal) = view.access.denied
        && (refusal == Denied::WorkGroupNotFound || !(view.was_adopted() || view.is_own_end()))
    {
        return Step::Wait(conditions::of(view).and_then(|finding| pause(view, finding.reason)));
    }
    if let Some(problem) = conditions::scope_problem(view) {
        return Step::Wait(Some(interval(view, problem.reason)));
    }
    if view.is_starting() {
        return starting::pursue(view);
    }
    match view.evidence() {
        Evidence::None => look_first(view),
        Evidence::Absent if view.is_deleted() => Step::RemoveFinalizer { notice: notice::farewell(view) },
        Evidence::Ended => record_end(view),
        Evidence::Unconfirmed(seen) => confirm_end(view, seen),
        // Proven and final, as an end is.
        Evidence::Absent if view.once_seen() => Step::Wait(None),
        Evidence::Absent | Evidence::Missing(Proof::NotToBeHad) => look_on(view),
        Evidence::Missing(Proof::AnotherLook { after }) => look_for(view, after),
        Evidence::Missing(Proof::FreshLook) => call(view, read(view)),
        Evidence::Missing(Proof::Account) => prove(view, Step::GetCallerIdentity),
        Evidence::Missing(Proof::Listing { work_group, after }) => {
            prove(view, search(view, &work_group, Some(after), true))
        }
        Evidence::Alive(seen) => match view.intent() {
            Some(reason) if conditions::hindrance(view).is_none() => end(view, seen, reason),
            None if engine::is_wanted(view, seen) && view.observed.undescribed.is_none() => {
                call(view, Step::GetSession)
            }
            _ => by_then(look_on_alive(view, seen), limits::due_in(view)),
        },
    }
}

/// The session is another object's, which ends it when it is asked to. This one goes when that is certain:
/// the owner may be going too, and leave the session to this one.
fn leave_to(view: &View<'_>, owner: &Claim) -> Step {
    if !view.is_deleted() {
        return Step::Wait(Some(view.timing.steady));
    }
    match view.observed.owner.as_ref().filter(|read| read.uid == owner.uid && view.now.tick <= read.at + PASS) {
        Some(read) if read.stands => Step::RemoveFinalizer { notice: notice::farewell(view) },
        // The watch brings what has become of it.
        Some(_) => Step::Wait(Some(view.timing.changing)),
        None => Step::GetOwner { owner: owner.clone() },
    }
}

/// The poller lists many sessions with one call; where it can't tell, the object asks for itself.
pub(super) fn look_first(view: &View<'_>) -> Step {
    match poller_is_awaited(view) {
        Some(patience) => Step::Wait(Some(patience)),
        None if view.is_undescribed() => look_without_description(view),
        None => call(view, Step::GetSession),
    }
}

/// How long the object waits for the poller to show the session; None where the object makes a call of its own.
pub(super) fn poller_is_awaited(view: &View<'_>) -> Option<Duration> {
    let observed = view.observed;
    if !view.polled || observed.unlisted {
        return None;
    }
    let patience = observed.wanted_since.map_or(view.timing.steady, |since| view.until(since + view.timing.steady));
    if patience.is_zero() { None } else { Some(patience) }
}

/// What to do where GetSession is denied. GetSessionStatus shows whether the session has ended, or doesn't exist. Only a
/// list of the work group shows that the session is in the work group that the object must use.
fn look_without_description(view: &View<'_>) -> Step {
    let observed = view.observed;
    let next_look =
        observed.looked_at.filter(|_| observed.seen.is_some()).map(|looked_at| looked_at + view.timing.steady);
    let Some(next_look) = next_look.filter(|next| *next > view.now.tick) else {
        return call(view, Step::GetSessionStatus);
    };
    let unlisted_at = observed.undescribed.as_ref().and_then(|it| it.unlisted_at);
    let next_list = unlisted_at.map(|unlisted_at| unlisted_at + view.timing.rarely());
    let is_due = next_list.is_none_or(|next_list| next_list <= view.now.tick);
    let step = match view.work_group() {
        Some(work_group) if is_due => have_listed(view, search(view, work_group, next_list, next_list.is_none())),
        _ => Step::Wait(None),
    };
    by_then(by_then(step, Some(view.until(next_look))), until_described(view))
}

/// Where GetSession is denied, how long from now until it is tried again; zero when that is due.
pub(super) fn until_described(view: &View<'_>) -> Option<Duration> {
    view.observed.undescribed.as_ref().map(|it| view.until(it.trouble.retry_at))
}

/// Asks for a list that shows the session, or proves that it doesn't exist.
fn search(view: &View<'_>, work_group: &str, after: Option<Instant>, is_pressing: bool) -> Step {
    let sought = Sought::Session(view.id().to_owned());
    Step::ListSessions {
        wanted: Box::new(ListRequest { work_group: work_group.to_owned(), sought, since: None, after, is_pressing }),
    }
}

/// Asks the informer for a list, unless lists failed a moment ago. Once it has been asked in this pass, the object waits: the
/// answer wakes it.
pub(super) fn have_listed(view: &View<'_>, step: Step) -> Step {
    match call(view, step) {
        Step::ListSessions { wanted } if view.observed.asked.as_ref() == Some(&wanted) => {
            Step::Wait(Some(view.timing.steady))
        }
        step => step,
    }
}

/// A call to Athena, unless the last one failed a moment ago.
pub(super) fn call(view: &View<'_>, step: Step) -> Step {
    wait_after(view, view.observed.trouble.as_deref()).unwrap_or(step)
}

pub(super) fn wait_after(view: &View<'_>, trouble: Option<&Trouble>) -> Option<Step> {
    let due_at = trouble.map(|trouble| trouble.due_at(view.scope.recovered_at));
    let due_at = due_at.filter(|due_at| *due_at > view.now.tick)?;
    Some(Step::Wait(Some(view.until(due_at))))
}

fn end(view: &View<'_>, seen: &Seen, reason: TerminationReason) -> Step {
    if reason == TerminationReason::WorkloadFinished
        && let Some(step) = workload::confirm(view)
    {
        return step;
    }
    if seen.doubtful {
        return call(view, Step::GetSessionStatus);
    }
    if seen.status.state == SessionState::Terminating {
        return look_when_due(view, seen);
    }
    match view.observed.accepted_at {
        Some(accepted) if seen.at < accepted + view.timing.terminate_again => look_when_due(view, seen),
        // That the first call had no effect isn't believed on the word of a list.
        Some(accepted) if view.observed.looked_at < Some(accepted) && view.observed.trouble.is_none() => {
            Step::GetSessionStatus
        }
        // A look that can't be had must not hold up an end: on a session that has ended the call does nothing.
        None if is_old(view, seen) && view.observed.trouble.is_none() => Step::GetSessionStatus,
        _ => with_grace(view, seen)
            .or_else(|| make_sure(view, seen, reason))
            .unwrap_or_else(|| terminate(view, seen, reason)),
    }
}

/// What comes before an end that has a grace period, as long as that isn't over.
fn with_grace(view: &View<'_>, seen: &Seen) -> Option<Step> {
    let grace = limits::grace(view)?;
    // It counts from what is recorded.
    if let Some(record) = record_why(view) {
        return Some(record);
    }
    let rest = Some(grace.rest);
    if limits::draining(view).is_some() {
        return Some(by_then(look_when_due(view, seen), rest));
    }
    (!limits::is_certain(view, seen)).then(|| by_then(look_before_end(view, seen), rest))
}

/// Before an end that nobody asked for now, Athena says in this very pass that its time has come.
fn make_sure(view: &View<'_>, seen: &Seen, reason: TerminationReason) -> Option<Step> {
    (reason.is_limit() && !limits::is_certain(view, seen)).then(|| look_before_end(view, seen))
}

/// By the time that TerminateSession may be called again, a look of now would be old.
fn look_before_end(view: &View<'_>, seen: &Seen) -> Step {
    until_end_is_tried(view, seen).unwrap_or_else(|| call(view, Step::GetSessionStatusBeforeEnd))
}

/// What to do until TerminateSession may be called again, where it failed a moment ago.
fn until_end_is_tried(view: &View<'_>, seen: &Seen) -> Option<Step> {
    let wait = wait_after(view, view.observed.end_trouble.as_deref())?;
    Some(if is_old(view, seen) && view.observed.trouble.is_none() { Step::GetSessionStatus } else { wait })
}

fn record_why(view: &View<'_>) -> Option<Step> {
    let (status, notices) = status::due(view).filter(|_| !view.is_end_recorded())?;
    Some(Step::WriteStatus { status: Box::new(status), notices })
}

/// Whether the session may have ended by itself since it was seen, so that a look may save the call.
fn is_old(view: &View<'_>, seen: &Seen) -> bool {
    // A poll of many sessions takes its time.
    let polls = if view.polled { 2 } else { 1 };
    view.now.tick >= seen.at + (view.timing.steady * polls).max(PASS)
}

/// Why is recorded first. That write, or a read where it stands already, also shows that the object
/// still asks for it: what is cached may be old.
fn terminate(view: &View<'_>, seen: &Seen, reason: TerminationReason) -> Step {
    let before = until_end_is_tried(view, seen).or_else(|| record_why(view)).or_else(|| publish::before_end(view));
    if let Some(step) = before {
        return step;
    }
    if view.fresh { Step::TerminateSession { reason } } else { Step::GetObject }
}

/// What to do where only a list shows that the session has ended: a call for the session shows it, or shows that the list is
/// wrong. Where AWS denies that call, TerminateSession makes sure of an end that is asked for: on a session that has ended it
/// does nothing.
fn confirm_end(view: &View<'_>, seen: &Seen) -> Step {
    let trouble = view.observed.trouble.as_deref();
    let is_denied = trouble.is_some_and(|trouble| trouble.error.class == ErrorClass::Denied);
    match view.intent() {
        Some(reason) if is_denied && conditions::hindrance(view).is_none() => end(view, seen, reason),
        _ if view.is_undescribed() => call(view, Step::GetSessionStatus),
        _ => call(view, Step::GetSession),
    }
}

fn record_end(view: &View<'_>) -> Step {
    const TRIES: u32 = 5;
    let observed = view.observed;
    let denied = observed.undescribed.as_ref().map_or(0, |it| it.trouble.attempts);
    let tried = observed.trouble.as_deref().map_or(0, |trouble| trouble.attempts).max(denied);
    let final_figures = observed.described == Described::AfterEnd;
    let to_be_had = tried < TRIES && observed.absence.is_none();
    match until_described(view).filter(|wait| !wait.is_zero()) {
        _ if final_figures || !to_be_had => Step::Wait(None),
        Some(wait) => Step::Wait(Some(wait)),
        None => call(view, Step::GetSession),
    }
}

/// A call that the proof of an absence needs. While it fails the session is looked at now and then: it
/// may be back.
fn prove(view: &View<'_>, step: Step) -> Step {
    let last = view.observed.absence.as_ref().map(|absence| absence.last);
    let is_old = last.is_some_and(|last| view.now.tick >= last + view.timing.steady);
    let fails = view.observed.trouble.as_deref().is_some_and(conditions::is_told);
    if fails && is_old { call(view, read(view)) } else { have_listed(view, step) }
}

/// Looks again `after` the first answer that the session doesn't exist, and from then on slowly.
pub(super) fn look_for(view: &View<'_>, after: Duration) -> Step {
    let absence = view.observed.absence.as_ref();
    let next = absence.map(|absence| (absence.first + after).max(absence.last + after.min(view.timing.steady)));
    look_at(view, next.unwrap_or(view.now.tick))
}

/// Looks for what will hardly come: the longer it hasn't, the less often.
fn look_on(view: &View<'_>) -> Step {
    let absence = view.observed.absence.as_ref();
    let next = absence.map(|absence| {
        let after = |asked: Instant| asked + (asked - absence.first).clamp(view.timing.steady, view.timing.rarely());
        let listed = listed_without(view, absence).map(after);
        let most = absence.last + view.timing.rarely() * LISTS_A_LOOK;
        after(absence.last).max(listed.map_or(absence.last, |listed| listed.min(most)))
    });
    look_at(view, next.unwrap_or(view.now.tick))
}

/// When the poller last began a complete list that doesn't show a session which Athena says doesn't exist, and which it has
/// never shown. It counts as a look: a list shows each session that runs, and wakes its object. So one list answers for all
/// objects that name an id which no session of the work group has.
fn listed_without(view: &View<'_>, absence: &Absence) -> Option<Instant> {
    let listed_at = view.listed_at.filter(|listed_at| *listed_at > absence.last)?;
    (view.polled && !view.once_seen()).then_some(listed_at)
}

/// Looks at the session again when that is due. Where GetSession was denied, tries it again, so that the condition doesn't
/// report the denial for ever after the right was granted.
fn look_on_alive(view: &View<'_>, seen: &Seen) -> Step {
    match until_described(view) {
        Some(wait) if wait.is_zero() => call(view, Step::GetSession),
        wait => by_then(look_when_due(view, seen), wait),
    }
}

fn look_when_due(view: &View<'_>, seen: &Seen) -> Step {
    let mut next = seen.at + sight_lasts(view);
    if is_overdue(view) {
        // What lists go on to show isn't believed for ever.
        let looked_at = view.observed.looked_at.map_or(view.now.tick, |looked_at| looked_at + view.timing.rarely());
        next = next.min(looked_at);
    }
    let step = look_at(view, after_outage(view).map_or(next, |soon| soon.min(next)));
    by_then(step, until_throttling_is_over(view, seen))
}

fn is_overdue(view: &View<'_>) -> bool {
    conditions::of(view).is_some_and(|finding| finding.reason == Reason::TerminationOverdue)
}

/// How long after the session was last shown the object looks for itself.
fn sight_lasts(view: &View<'_>) -> Duration {
    let interval = conditions::of(view).map_or(view.timing.changing, |finding| interval(view, finding.reason));
    if !view.polled {
        return interval;
    }
    // The object looks for itself only if the poller doesn't show the session in time. Where a list of all sessions takes
    // minutes, that time is longer: otherwise thousands of objects would make calls of their own, and slow the list down.
    view.timing.steady.max(interval * 3).max(view.full_scan_took * 3)
}

/// A wait that each sight of the unchanged session prolongs, without a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prolonged {
    /// How long each sight of the session lasts.
    pub sight_lasts: Duration,
    /// How long from now until the object needs a pass for another reason, as far as is known now; None: never.
    pub at_most: Option<Duration>,
}

/// Where an object waits `after` only for the poller to show its session again: how that wait is prolonged. A sight of the
/// unchanged session is all that the object would look for, so it needs no pass to find that.
#[must_use]
pub fn prolonged_by_sights(view: &View<'_>, after: Option<Duration>) -> Option<Prolonged> {
    let Evidence::Alive(seen) = view.evidence() else { return None };
    let sight_lasts = sight_lasts(view);
    let is_for_sight = view.interest() == Some(Interest::Steady) && after == Some(view.until(seen.at + sight_lasts));
    let at_most = due_beside_sights(view, seen);
    (view.polled && is_for_sight && !is_overdue(view)).then_some(Prolonged { sight_lasts, at_most })
}

/// How long from now until an object whose session stays as it is needs a pass. Without these waits a limit that is reached
/// later than the next sight is due would be missed.
fn due_beside_sights(view: &View<'_>, seen: &Seen) -> Option<Duration> {
    let of_session = [limits::due_in(view), until_described(view), until_throttling_is_over(view, seen)];
    of_session.into_iter().fold(sooner(due_beside_session(view), expiry::wait(view)), sooner)
}

/// When to look after an outage that kept the session from being looked at: soon, since the outage may be told in the
/// object's condition. The poller, which may show the session without a call, gets a moment for that.
fn after_outage(view: &View<'_>) -> Option<Instant> {
    let trouble = view.observed.trouble.as_deref()?;
    let recovered_at = view.scope.recovered_at?;
    trouble.is_relieved(Some(recovered_at)).then(|| recovered_at + view.timing.changing)
}

/// How long from now until a call for the session that was throttled is forgotten: by then the poller has shown the session, and
/// the call isn't made again. Only the condition, which tells that it was throttled, is written anew.
fn until_throttling_is_over(view: &View<'_>, seen: &Seen) -> Option<Duration> {
    let trouble = view.observed.trouble.as_deref().filter(|_| view.polled)?;
    if trouble.error.class != ErrorClass::Throttled {
        return None;
    }
    let is_over_at = (trouble.retry_at + PASS).max(seen.at + view.timing.steady) + view.timing.changing;
    (is_over_at > view.now.tick).then(|| view.until(is_over_at))
}

fn look_at(view: &View<'_>, moment: Instant) -> Step {
    if moment > view.now.tick { Step::Wait(Some(view.until(moment))) } else { call(view, read(view)) }
}

pub(super) fn interval(view: &View<'_>, reason: Reason) -> Duration {
    match reason.row().pace {
        Pace::Fast => view.timing.changing,
        Pace::Slow | Pace::BackOff | Pace::Never => view.timing.steady,
    }
}

/// How long what others have to change is left alone, though their change asks for a pass too.
fn pause(view: &View<'_>, reason: Reason) -> Option<Duration> {
    (reason.row().pace != Pace::Never).then(|| interval(view, reason))
}

fn read(view: &View<'_>) -> Step {
    if view.observed.described == Described::No && !view.is_undescribed() {
        Step::GetSession
    } else {
        Step::GetSessionStatus
    }
}
