//! Reads the workloads of `spec.endWith`. PURE.

use std::time::Duration;

use super::step::Step;
use crate::session::conditions::workloads::until_note;
use crate::session::rules::{Case, Facts};

pub(super) fn due(case: &Case<'_>) -> Option<Step> {
    wait_for_read(case)?.is_zero().then_some(Step::GetWorkloads)
}

/// When there is something to do about them again, if nothing changes until then.
pub(super) fn wait(case: &Case<'_>) -> Option<Duration> {
    let due_at = case.workloads.due_at.filter(|due| *due > case.facts.now.tick);
    let end = if case.workloads.is_followed { due_at.map(|due| case.facts.until(due)) } else { None };
    wait_for_read(case).into_iter().chain(end).chain(until_note(case)).min()
}

fn wait_for_read(case: &Case<'_>) -> Option<Duration> {
    let (facts, known) = (case.facts, &case.facts.observed.session.workloads);
    if !case.workloads.is_followed {
        return None;
    }
    if let Some(retry) = &known.retry {
        return Some(facts.until(retry.retry_at));
    }
    let waits = case.workloads.all().iter().map(|workload| match known.readings.get(workload) {
        // After the session's end no call depends on them.
        Some(reading) if known.news.is_none_or(|news| reading.at > news) && case.workloads.has_ended => None,
        // The watch shows changes; reading again finds what the watch missed.
        Some(reading) if known.news.is_none_or(|news| reading.at > news) => {
            Some(facts.until(reading.at + facts.timing.rarely()))
        }
        _ => Some(Duration::ZERO),
    });
    waits.flatten().min()
}

/// What is to be done before the session is ended on their account: each is read anew in this very reconciliation.
pub(super) fn read_before_end(case: &Case<'_>) -> Option<Step> {
    if case.workloads.is_end_confirmed() { None } else { Some(read_anew(case.facts)) }
}

/// The read that is still needed before a session is started, or before "no session will ever be started" is recorded:
/// each workload is read anew in this very reconciliation. None when all have been read.
pub(super) fn read_before_start(case: &Case<'_>) -> Option<Step> {
    let is_wanted = !case.workloads.all().is_empty() && case.facts.timing.end_with.is_some();
    (is_wanted && !case.workloads.are_read_anew()).then(|| read_anew(case.facts))
}

fn read_anew(facts: &Facts<'_>) -> Step {
    match &facts.observed.session.workloads.retry {
        Some(retry) if retry.retry_at > facts.now.tick => Step::Wait(Some(facts.until(retry.retry_at))),
        _ => Step::GetWorkloads,
    }
}
