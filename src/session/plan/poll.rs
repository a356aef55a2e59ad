//! Looks at a session: by the poller's lists, by a call for the session alone, or by a complete list. PURE.

use std::time::{Duration, Instant};

use super::step::Step;
use super::waiting::{by_then, call, interval, until_described};
use crate::athena::informer::proof_of_absence::{ListRequest, Sought};
use crate::athena::types::ErrorClass;
use crate::session::conditions::{Findings, is_told};
use crate::session::observed::{ANSWER_LIFE, Absence, Described, Seen};
use crate::session::rules::Facts;
use crate::status::reason::Reason;

/// While complete lists don't show a session, its object makes one call of its own in the time of so many lists.
const LISTS_A_LOOK: u32 = 12;

/// The poller lists many sessions with one call; where it can't tell, the object asks for itself.
pub(super) fn look_first(facts: &Facts<'_>) -> Step {
    match poller_is_awaited(facts) {
        Some(patience) => Step::Wait(Some(patience)),
        None if facts.is_undescribed() => look_without_description(facts),
        None => call(facts, Step::GetSession),
    }
}

/// How long the object waits for the poller to show the session; None where the object makes a call of its own.
pub(super) fn poller_is_awaited(facts: &Facts<'_>) -> Option<Duration> {
    let session = &facts.observed.session;
    if !facts.polled || session.is_unknown_to_poller {
        return None;
    }
    let patience = session.wanted_since.map_or(facts.timing.steady, |since| facts.until(since + facts.timing.steady));
    if patience.is_zero() { None } else { Some(patience) }
}

/// What to do where GetSession is denied. GetSessionStatus shows whether the session has ended, or doesn't exist. Only a
/// list of the work group shows that the session is in the work group that the object must use.
fn look_without_description(facts: &Facts<'_>) -> Step {
    let session = &facts.observed.session;
    let looked_at = if session.seen.is_some() { session.looked_at } else { None };
    let next_look = looked_at.map(|looked_at| looked_at + facts.timing.steady);
    let Some(next_look) = next_look.filter(|next| *next > facts.now.tick) else {
        return call(facts, Step::GetSessionStatus);
    };
    let unlisted_at = session.undescribed.as_ref().and_then(|it| it.unlisted_at);
    let next_list = unlisted_at.map(|unlisted_at| unlisted_at + facts.timing.rarely());
    let is_due = next_list.is_none_or(|next_list| next_list <= facts.now.tick);
    let step = match facts.work_group() {
        Some(work_group) if is_due => {
            let mut wanted = list_for_session(facts, work_group, next_list);
            wanted.is_pressing = next_list.is_none();
            have_listed(facts, Step::ListSessions { wanted })
        }
        _ => Step::Wait(None),
    };
    by_then(by_then(step, Some(facts.until(next_look))), until_described(facts))
}

/// A list that shows the session, or proves that it doesn't exist.
pub(super) fn list_for_session(facts: &Facts<'_>, work_group: &str, after: Option<Instant>) -> Box<ListRequest> {
    let sought = Sought::Session(facts.id().to_owned());
    Box::new(ListRequest { work_group: work_group.to_owned(), sought, since: None, after, is_pressing: true })
}

/// Asks the informer for a list, unless lists failed a moment ago. Once it has been asked in this reconciliation, the object waits: the
/// answer wakes it.
pub(super) fn have_listed(facts: &Facts<'_>, step: Step) -> Step {
    match call(facts, step) {
        Step::ListSessions { wanted } if facts.observed.session.asked.as_ref() == Some(&wanted) => {
            Step::Wait(Some(facts.timing.steady))
        }
        step => step,
    }
}

/// What to do for a session that has ended: get its statistics, which are final then.
pub(super) fn get_final_figures(facts: &Facts<'_>) -> Step {
    const TRIES: u32 = 5;
    let session = &facts.observed.session;
    let denied = session.undescribed.as_ref().map_or(0, |it| it.trouble.attempts);
    let tried = session.trouble.as_deref().map_or(0, |trouble| trouble.attempts).max(denied);
    let final_figures = session.described == Described::AfterEnd;
    let to_be_had = tried < TRIES && session.absence.is_none();
    match until_described(facts).filter(|wait| !wait.is_zero()) {
        _ if final_figures || !to_be_had => Step::Wait(None),
        Some(wait) => Step::Wait(Some(wait)),
        None => call(facts, Step::GetSession),
    }
}

/// A call that the proof of an absence needs. While it fails the session is looked at now and then: it may be back.
pub(super) fn prove(facts: &Facts<'_>, step: Step) -> Step {
    let last = facts.observed.session.absence.as_ref().map(|absence| absence.last);
    let is_old = last.is_some_and(|last| facts.now.tick >= last + facts.timing.steady);
    let fails = facts.observed.session.trouble.as_deref().is_some_and(is_told);
    if fails && is_old { call(facts, read(facts)) } else { have_listed(facts, step) }
}

/// Looks again `after` the first answer that the session doesn't exist, and from then on slowly.
pub(super) fn look_for(facts: &Facts<'_>, after: Duration) -> Step {
    let absence = facts.observed.session.absence.as_ref();
    let next = absence.map(|absence| (absence.first + after).max(absence.last + after.min(facts.timing.steady)));
    look_at(facts, next.unwrap_or(facts.now.tick))
}

/// Looks for what will hardly come: the longer it hasn't, the less often.
pub(super) fn look_seldom(facts: &Facts<'_>) -> Step {
    let absence = facts.observed.session.absence.as_ref();
    let next = absence.map(|absence| {
        let after = |asked: Instant| asked + (asked - absence.first).clamp(facts.timing.steady, facts.timing.rarely());
        let listed = listed_without(facts, absence).map(after);
        let most = absence.last + facts.timing.rarely() * LISTS_A_LOOK;
        after(absence.last).max(listed.map_or(absence.last, |listed| listed.min(most)))
    });
    look_at(facts, next.unwrap_or(facts.now.tick))
}

/// When the poller last began a complete list that doesn't show a session which Athena says doesn't exist, and which it has
/// never shown. It counts as a look: a list shows each session that runs, and wakes its object. So one list answers for all
/// objects that name an id which no session of the work group has.
fn listed_without(facts: &Facts<'_>, absence: &Absence) -> Option<Instant> {
    let listed_at = facts.listed_at.filter(|listed_at| *listed_at > absence.last)?;
    (facts.polled && !facts.once_seen()).then_some(listed_at)
}

/// Looks at the session again when that is due. Where GetSession was denied, tries it again, so that the condition doesn't
/// report the denial for ever after the right was granted.
pub(super) fn look_at_alive(facts: &Facts<'_>, findings: &Findings, seen: &Seen) -> Step {
    match until_described(facts) {
        Some(wait) if wait.is_zero() => call(facts, Step::GetSession),
        wait => by_then(look_when_due(facts, findings, seen), wait),
    }
}

/// Looks at the session when that is due, unless the poller shows the session before.
pub(super) fn look_when_due(facts: &Facts<'_>, findings: &Findings, seen: &Seen) -> Step {
    let mut next = seen.at + sight_lasts(facts, findings);
    if is_overdue(findings) {
        // What lists go on to show isn't believed for ever.
        let looked_at = facts.observed.session.looked_at;
        next = next.min(looked_at.map_or(facts.now.tick, |looked_at| looked_at + facts.timing.rarely()));
    }
    let step = look_at(facts, after_outage(facts).map_or(next, |soon| soon.min(next)));
    by_then(step, until_throttling_is_over(facts, seen))
}

/// Whether people are told that the end takes longer than it should.
pub(super) fn is_overdue(findings: &Findings) -> bool {
    findings.told.as_ref().is_some_and(|told| told.reason == Reason::TerminationOverdue)
}

/// How long after the session was last shown the object looks for itself.
pub(super) fn sight_lasts(facts: &Facts<'_>, findings: &Findings) -> Duration {
    let told = findings.told.as_ref();
    let interval = told.map_or(facts.timing.changing, |told| interval(facts, told.reason));
    if !facts.polled {
        return interval;
    }
    // The object looks for itself only if the poller doesn't show the session in time. Where a list of all sessions takes
    // minutes, that time is longer: otherwise thousands of objects would make calls of their own, and slow the list down.
    facts.timing.steady.max(interval * 3).max(facts.full_scan_took * 3)
}

/// When to look after an outage that kept the session from being looked at: soon, since the outage may be told in the
/// object's condition. The poller, which may show the session without a call, gets a moment for that.
fn after_outage(facts: &Facts<'_>) -> Option<Instant> {
    let trouble = facts.observed.session.trouble.as_deref()?;
    let recovered_at = facts.scope.recovered_at?;
    trouble.is_relieved(Some(recovered_at)).then(|| recovered_at + facts.timing.changing)
}

/// How long from now until a call for the session that was throttled is forgotten: by then the poller has shown the session, and
/// the call isn't made again. Only the condition, which tells that it was throttled, is written anew.
pub(super) fn until_throttling_is_over(facts: &Facts<'_>, seen: &Seen) -> Option<Duration> {
    let trouble = facts.observed.session.trouble.as_deref()?;
    if !facts.polled || trouble.error.class != ErrorClass::Throttled {
        return None;
    }
    let is_over_at = (trouble.retry_at + ANSWER_LIFE).max(seen.at + facts.timing.steady) + facts.timing.changing;
    (is_over_at > facts.now.tick).then(|| facts.until(is_over_at))
}

fn look_at(facts: &Facts<'_>, moment: Instant) -> Step {
    if moment > facts.now.tick { Step::Wait(Some(facts.until(moment))) } else { call(facts, read(facts)) }
}

pub(super) fn read(facts: &Facts<'_>) -> Step {
    if facts.observed.session.described == Described::No && !facts.is_undescribed() {
        Step::GetSession
    } else {
        Step::GetSessionStatus
    }
}
