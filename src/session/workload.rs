//! The workloads that an object follows: `spec.endWith` ends its session when all of them have finished. PURE.
//!
//! What counts is what the API server said of each of them to this process. A workload that isn't there has finished
//! only where it was there before: an earlier process's word for that is `status.workloads`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::ResourceExt;

use super::conditions::{self, Finding};
use super::decide::Step;
use super::limits;
use super::observed::{Now, Seen};
use super::setback::Setback;
use super::view::{Evidence, View};
use super::without_session;
use crate::api::session::{StartOutcome, TerminationReason, Workload, WorkloadKind, WorkloadOutcome, WorkloadRecord};
use crate::api::workload::WorkloadState;
use crate::athena::types::SessionState;
use crate::compact::StaticDefault;
use crate::status::condition;
use crate::status::reason::Reason;
use crate::text::duration;
use crate::timing::Timing;

/// What is known of them.
#[derive(Clone, Debug, Default)]
pub struct Workloads {
    readings: BTreeMap<Workload, Reading>,
    /// When a watch last had news of one of them.
    news: Option<Instant>,
    setback: Option<Setback>,
}

#[derive(Clone, Debug)]
struct Reading {
    state: WorkloadState,
    at: Instant,
    /// Since when it isn't at work.
    since: Now,
    /// The last UID that was seen under its name.
    uid: Option<String>,
}

impl StaticDefault for Workloads {
    const DEFAULT: &'static Self = &Self { readings: BTreeMap::new(), news: None, setback: None };
}

impl Workloads {
    /// A watch had news of one of them then.
    pub fn heard(&mut self, news: Instant) {
        self.news = self.news.max(Some(news));
    }

    /// The API server said so of one, when asked at `sent`.
    pub fn read(&mut self, workload: &Workload, state: WorkloadState, sent: Instant, now: Now) {
        let before = self.readings.remove(workload);
        let uid = state.uid().map(str::to_owned).or(before.as_ref().and_then(|before| before.uid.clone()));
        let goes_on = |before: &Reading| {
            let is_same = state == WorkloadState::Absent || before.state.uid() == state.uid();
            is_same && state.is_over() && before.state.is_over()
        };
        let since = before.filter(goes_on).map_or(now, |before| before.since);
        self.readings.insert(workload.clone(), Reading { state, at: sent, since, uid });
    }

    /// It said so of all of them.
    pub fn all_read(&mut self) {
        self.setback = None;
    }

    /// It didn't answer, or refuses, in these words. `jitter`, from 0 to 1, spreads the retries of many objects.
    pub fn failed(&mut self, refusal: Option<String>, now: Now, timing: &Timing, jitter: f64) {
        self.setback = Some(Setback::after(self.setback.take(), refusal, now, timing, jitter));
    }
}

/// Whether the session is to be ended since its workloads have finished.
pub(super) fn is_finished(view: &View<'_>) -> bool {
    if view.object.spec.end_with.is_empty() || view.is_deleted() {
        return false;
    }
    let is_due = due_at(view).is_some_and(|due| due <= view.now.tick);
    // Workloads that finish after the session has ended are not the reason for that end.
    let is_due = is_due && !has_ended(view);
    if view.is_starting() {
        let is_certain = || view.is_held() && is_followed(view) && confirm(view).is_none();
        return is_kept_unstarted(view) || is_due && is_certain();
    }
    is_begun(view) || is_due
}

/// Whether the status records that no session was started because the workloads had finished. That is final.
fn is_kept_unstarted(view: &View<'_>) -> bool {
    let Some(status) = view.recorded().filter(|_| view.recorded_terminated().is_some()) else { return false };
    let has_started = status.start_attempt.as_ref().is_some_and(|attempt| attempt.outcome == StartOutcome::Started);
    status.termination_reason == Some(TerminationReason::WorkloadFinished) && !has_started
}

/// An end that is under way, or reached, isn't taken back.
fn is_begun(view: &View<'_>) -> bool {
    let recorded = view.recorded().and_then(|status| status.termination_reason);
    recorded == Some(TerminationReason::WorkloadFinished) && (is_called(view) || is_over(view))
}

/// Whether TerminateSession was accepted on their account, and Athena may still come to it.
fn is_called(view: &View<'_>) -> bool {
    let is_theirs = view.observed.accepted_for == Some(TerminationReason::WorkloadFinished);
    is_theirs && matches!(view.evidence(), Evidence::Alive(seen) if limits::has_begun(view, seen))
}

fn is_over(view: &View<'_>) -> bool {
    let is_ending = |seen: &Seen| seen.status.state == SessionState::Terminating;
    has_ended(view) || matches!(view.evidence(), Evidence::Alive(seen) if is_ending(seen))
}

fn has_ended(view: &View<'_>) -> bool {
    match view.evidence() {
        Evidence::Alive(_) => false,
        Evidence::Ended | Evidence::Absent => true,
        Evidence::None | Evidence::Unconfirmed(_) | Evidence::Missing(_) => view.recorded_terminated().is_some(),
    }
}

/// When the session is to be ended, where all of them have finished.
fn due_at(view: &View<'_>) -> Option<Instant> {
    let delay = view.timing.end_with?;
    let since = view.object.spec.end_with.iter().map(|workload| {
        let reading = view.observed.workloads.readings.get(workload)?;
        let has_finished = match reading.state {
            WorkloadState::Absent => was_seen(view, workload),
            WorkloadState::Unfinished { .. } | WorkloadState::Suspended { .. } => false,
            WorkloadState::Finished { .. } => true,
        };
        has_finished.then_some(reading.since.tick)
    });
    since.collect::<Option<Vec<_>>>()?.into_iter().max().map(|last| last + delay)
}

fn recorded<'a>(view: &'a View<'_>, workload: &Workload) -> Option<&'a WorkloadRecord> {
    view.recorded()?.workloads.iter().find(|it| it.kind == workload.kind && it.name == workload.name)
}

fn is_followed(view: &View<'_>) -> bool {
    let may_be_at_work = |workload: &Workload| may_be_at_work(view, workload);
    let matters = !is_over(view) || has_ended(view) && view.object.spec.end_with.iter().any(may_be_at_work);
    matters && may_follow(view)
}

fn may_follow(view: &View<'_>) -> bool {
    let spec = &view.object.spec;
    let is_wanted = !spec.end_with.is_empty() && view.timing.end_with.is_some();
    let is_asked_otherwise = spec.terminate || view.is_deleted();
    // Workloads are followed also while the session is being started, or can't be: they may come and go meanwhile.
    let may_start = view.is_starting() && view.access.denied.is_none();
    is_wanted && !is_asked_otherwise && (view.may_know() || may_start)
}

/// Whether the workload is unfinished, or may still be created, as far as is known.
fn may_be_at_work(view: &View<'_>, workload: &Workload) -> bool {
    match state(view, workload) {
        Some(WorkloadState::Finished { .. }) => false,
        Some(WorkloadState::Absent) => !was_seen(view, workload),
        Some(WorkloadState::Unfinished { .. } | WorkloadState::Suspended { .. }) => true,
        None => recorded(view, workload).is_none_or(|record| record.outcome.is_none()),
    }
}

/// Whether a workload that the object follows hasn't been read yet.
pub(super) fn is_unread(view: &View<'_>) -> bool {
    is_followed(view) && view.object.spec.end_with.iter().any(|workload| state(view, workload).is_none())
}

/// The workloads that are at work, as `KIND NAMESPACE/NAME`.
pub(super) fn at_work(view: &View<'_>) -> Vec<String> {
    if !is_followed(view) {
        return Vec::new();
    }
    let namespace = view.object.namespace().unwrap_or_default();
    let workloads = view.object.spec.end_with.iter();
    let at_work = workloads.filter(|workload| matches!(state(view, workload), Some(WorkloadState::Unfinished { .. })));
    at_work.map(|workload| format!("{} {namespace}/{}", workload.kind.as_str(), workload.name)).collect()
}

/// Whether the object must not expire yet: its session has ended, a workload hasn't finished, and the object's condition is
/// what tells people why that workload has no session.
pub(super) fn keeps_object(view: &View<'_>) -> bool {
    let is_there = |workload| match state(view, workload) {
        Some(state) => !state.is_over(),
        None => may_be_at_work(view, workload),
    };
    has_ended(view) && is_followed(view) && view.object.spec.end_with.iter().any(is_there)
}

/// When the last workload finished, as far as is known.
pub(super) fn finished_at(view: &View<'_>) -> Option<Timestamp> {
    to_record(view).iter().filter_map(|record| record.finished_at.as_ref()).map(|at| at.0).max()
}

/// What is to be asked about them now.
pub(super) fn due(view: &View<'_>) -> Option<Step> {
    let next = wait_for_look(view)?;
    next.is_zero().then_some(Step::GetWorkloads)
}

/// When there is something to do about them again, if nothing changes until then.
pub(super) fn wait(view: &View<'_>) -> Option<Duration> {
    let end = due_at(view).filter(|due| is_followed(view) && *due > view.now.tick).map(|due| view.until(due));
    wait_for_look(view).into_iter().chain(end).chain(without_session::wait(view)).min()
}

fn wait_for_look(view: &View<'_>) -> Option<Duration> {
    let known = &view.observed.workloads;
    if !is_followed(view) {
        return None;
    }
    if let Some(setback) = &known.setback {
        return Some(view.until(setback.retry_at));
    }
    let waits = view.object.spec.end_with.iter().map(|workload| match known.readings.get(workload) {
        // The watch shows changes; reading again finds what the watch missed. After the session's end no call depends on it.
        Some(reading) if known.news.is_none_or(|news| reading.at > news) => {
            if has_ended(view) {
                None
            } else {
                Some(view.until(reading.at + view.timing.rarely()))
            }
        }
        _ => Some(Duration::ZERO),
    });
    waits.flatten().min()
}

/// What is to be done before the session is ended on their account: each is read anew in this very pass.
pub(super) fn confirm(view: &View<'_>) -> Option<Step> {
    if is_begun(view) { None } else { read_anew(view) }
}

/// The read that is still needed before a session is started, or before it is final that none is: each workload is read anew
/// in this very pass. None when all have been read.
pub(super) fn before_start(view: &View<'_>) -> Option<Step> {
    let is_wanted = !view.object.spec.end_with.is_empty() && view.timing.end_with.is_some();
    if is_wanted { read_anew(view) } else { None }
}

/// Whether all workloads finished longer ago than `--end-with-delay`, as far as is known: then no session is started.
pub(super) fn is_past(view: &View<'_>) -> bool {
    !view.object.spec.end_with.is_empty() && due_at(view).is_some_and(|due| due <= view.now.tick)
}

fn read_anew(view: &View<'_>) -> Option<Step> {
    let known = &view.observed.workloads;
    if let Some(setback) = known.setback.as_ref().filter(|setback| setback.retry_at > view.now.tick) {
        return Some(Step::Wait(Some(view.until(setback.retry_at))));
    }
    let is_old = |workload| known.readings.get(workload).is_none_or(|reading| reading.at < view.began);
    let asks = known.setback.is_some() || view.object.spec.end_with.iter().any(is_old);
    asks.then_some(Step::GetWorkloads)
}

/// What the status says of them.
pub(super) fn to_record(view: &View<'_>) -> Vec<WorkloadRecord> {
    let all = view.object.spec.end_with.iter();
    if !may_follow(view) || is_over(view) && !has_ended(view) {
        return all.filter_map(|workload| recorded(view, workload).cloned()).collect();
    }
    all.filter_map(|workload| record(view, workload)).collect()
}

fn record(view: &View<'_>, workload: &Workload) -> Option<WorkloadRecord> {
    let recorded = recorded(view, workload);
    let Some(reading) = view.observed.workloads.readings.get(workload) else { return recorded.cloned() };
    let uid = reading.uid.as_deref().or(recorded.map(|it| it.uid.as_str()))?;
    let recorded = recorded.filter(|it| it.uid == uid && it.outcome.is_some());
    let (outcome, at) = match &reading.state {
        WorkloadState::Unfinished { .. } | WorkloadState::Suspended { .. } => (None, None),
        WorkloadState::Finished { outcome, at, .. } => (Some(*outcome), *at),
        WorkloadState::Absent => (recorded.map_or(Some(WorkloadOutcome::Gone), |it| it.outcome), None),
    };
    let found_at = || condition::time(at.unwrap_or(reading.since.wall));
    let finished_at = outcome.map(|_| recorded.and_then(|it| it.finished_at.clone()).unwrap_or_else(found_at));
    let (kind, name) = (workload.kind, workload.name.clone());
    Some(WorkloadRecord { kind, name, uid: uid.to_owned(), outcome, finished_at })
}

/// The last one that finished: what, how and when.
pub(super) fn told(view: &View<'_>) -> Option<String> {
    let records = to_record(view);
    let last =
        records.iter().filter(|it| it.outcome.is_some()).max_by_key(|it| it.finished_at.as_ref().map(|at| at.0))?;
    let namespace = view.object.namespace().unwrap_or_default();
    let did = last.outcome.map_or("finished", WorkloadOutcome::verb);
    let at = last.finished_at.as_ref().map_or_else(String::new, |at| format!(" at {}", at.0));
    let others = if records.len() > 1 { format!(", the last of {}", records.len()) } else { String::new() };
    Some(format!("{} {namespace}/{} {did}{at}{others}", last.kind.as_str(), last.name))
}

/// The same where one has finished, whatever is known of it.
pub(super) fn sentence(view: &View<'_>) -> String {
    told(view).unwrap_or_else(|| "The workloads of spec.endWith have finished".to_owned())
}

/// The condition where no session is started because each workload is suspended or has finished: nobody would use the
/// session, and it would be billed. A workload that was never there holds up nothing, since it may be created once the
/// session is up.
pub(super) fn hold(view: &View<'_>) -> Option<Finding> {
    let workloads = &view.object.spec.end_with;
    let delay = view.timing.end_with.filter(|_| !workloads.is_empty())?;
    let states = workloads.iter().map(|workload| Some((workload, state(view, workload)?)));
    let states = states.collect::<Option<Vec<_>>>()?;
    let is_wanted = |(workload, state): &(&Workload, &WorkloadState)| match state {
        WorkloadState::Unfinished { .. } => true,
        WorkloadState::Absent => !was_seen(view, workload),
        WorkloadState::Suspended { .. } | WorkloadState::Finished { .. } => false,
    };
    if states.iter().any(is_wanted) {
        return None;
    }
    let namespace = view.object.namespace().unwrap_or_default();
    let is_suspended = |(_, state): &&(&Workload, &WorkloadState)| matches!(state, WorkloadState::Suspended { .. });
    let suspended = states.iter().filter(is_suspended).map(|(workload, _)| match workload.kind {
        WorkloadKind::Job => format!("Job {namespace}/{} is suspended (spec.suspend)", workload.name),
        WorkloadKind::Pod => format!("Pod {namespace}/{} has scheduling gates (spec.schedulingGates)", workload.name),
    });
    let suspended = suspended.collect::<Vec<_>>().join(", ");
    let message = if suspended.is_empty() {
        format!(
            "No session is started: {}. If no workload of spec.endWith is created anew within {}, no session is ever started for this object.",
            sentence(view),
            duration(delay)
        )
    } else {
        format!("{suspended}. The session is started, and billed, as soon as a workload of spec.endWith may run.")
    };
    Some(Finding { reason: Reason::WaitingForWorkload, message })
}

fn state<'a>(view: &'a View<'_>, workload: &Workload) -> Option<&'a WorkloadState> {
    view.observed.workloads.readings.get(workload).map(|reading| &reading.state)
}

/// Whether the workload has been there, as this process saw or an earlier one recorded.
fn was_seen(view: &View<'_>, workload: &Workload) -> bool {
    let reading = view.observed.workloads.readings.get(workload);
    reading.is_some_and(|reading| reading.uid.is_some()) || recorded(view, workload).is_some()
}

/// What keeps them from ending the session.
pub(super) fn hindrance(view: &View<'_>) -> Option<Finding> {
    if view.object.spec.end_with.is_empty() {
        return None;
    }
    let lead = conditions::in_spite(view);
    if view.timing.end_with.is_none() {
        let message = format!(
            "{lead} spec.endWith won't end it: the operator runs without --end-with. A cluster administrator can add the \
             component deploy/workloads to its installation."
        );
        return Some(Finding { reason: Reason::EndWithDisabled, message });
    }
    let refusal = view.observed.workloads.setback.as_ref()?.refusal.as_ref()?;
    let message = format!(
        "{lead} spec.endWith can't end it: the API server refuses the operator what it names ({refusal}). A cluster \
         administrator can add the component deploy/workloads to its installation. Tried again every {}.",
        duration(view.timing.steady)
    );
    Some(Finding { reason: Reason::EndWithForbidden, message })
}

/// What there is to say of them while the session is up.
pub(super) fn standing(view: &View<'_>) -> Option<Finding> {
    let delay = view.timing.end_with.filter(|_| !view.object.spec.end_with.is_empty())?;
    let message = match told(view).filter(|_| due_at(view).is_some()) {
        Some(told) => format!("The session is up. {told}: it is ended {} after that was seen.", duration(delay)),
        None => {
            let (names, ways) = (names(view), conditions::ways_to_end(view));
            format!("The session is up. It is ended when {names} finished; before that {ways}.")
        }
    };
    Some(Finding { reason: Reason::Running, message })
}

fn names(view: &View<'_>) -> String {
    let workloads = &view.object.spec.end_with;
    let awaited = |workload: &Workload| {
        let is_seen = to_record(view).iter().any(|it| it.kind == workload.kind && it.name == workload.name);
        let note = match state(view, workload) {
            Some(WorkloadState::Suspended { .. }) => " (suspended)",
            _ if is_seen => "",
            _ => " (not there yet)",
        };
        format!("{} {}{note}", workload.kind.as_str(), workload.name)
    };
    let names = workloads.iter().map(awaited).collect::<Vec<_>>().join(", ");
    format!("{names} {}", if workloads.len() > 1 { "have" } else { "has" })
}
