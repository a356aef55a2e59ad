//! What is told of the workloads of `spec.endWith`: why they end no session, or need none; and which ones are left without a
//! session, since it has ended or can't be started. The operator has no right to end such a workload, so a person must. PURE.

use std::time::Duration;

use kube::ResourceExt;

use super::finding::Finding;
use super::limits::ways_to_end;
use super::words::blocker_prefix;
use crate::api::workload::{Workload, WorkloadKind, WorkloadOutcome, WorkloadState};
use crate::session::rules::Case;
use crate::status::reason::{Reason, Standing};
use crate::text::duration;

/// The event when a session has ended and a workload of it is still at work. It is sent once.
pub(crate) const EVENT: &str = "WorkloadWithoutSession";

/// The words that begin the note about such workloads in a message.
const NOTE: &str = " Without a session: ";

/// The finding, with a note about the workloads that are left without a session.
pub(crate) fn with_note(case: &Case<'_>, finding: Finding) -> Finding {
    if case.workloads.is_any_unread() {
        // Until the workloads have been read, the note of an earlier process stays.
        return finding;
    }
    let message = finding.message.split(NOTE).next().unwrap_or_default();
    let note = note(case, finding.reason).unwrap_or_default();
    Finding { message: format!("{message}{note}"), ..finding }
}

/// Whether the finding has a note, for the first time, about a workload whose session has ended.
pub(crate) fn is_news(case: &Case<'_>, finding: &Finding) -> bool {
    let is_told = case.facts.recorded_condition("Ready").is_some_and(|ready| ready.message.contains(NOTE));
    is_final(finding.reason) && finding.message.contains(NOTE) && !is_told
}

/// How long from now until the note is added after an end. The wait is for clients that end their session themselves as the
/// last thing they do: such a workload finishes a moment after its session.
pub(crate) fn until_note(case: &Case<'_>) -> Option<Duration> {
    let facts = case.facts;
    let told_at = facts.recorded_terminated()?.last_transition_time.0 + facts.timing.end_with?;
    let rest = Duration::try_from(told_at.duration_since(facts.now.wall)).unwrap_or_default();
    (!rest.is_zero() && !case.workloads.at_work().is_empty()).then_some(rest)
}

fn is_final(reason: Reason) -> bool {
    matches!(reason, Reason::Ended | Reason::Failed | Reason::SessionNotFound)
}

fn note(case: &Case<'_>, reason: Reason) -> Option<String> {
    let facts = case.facts;
    let workloads = case.workloads.at_work();
    let is_over = is_final(reason) && facts.recorded_terminated().is_some() && until_note(case).is_none();
    let is_stuck = reason.row().standing == Standing::Stalled && !is_final(reason) && case.start.has_none();
    if workloads.is_empty() || !(is_over || is_stuck) {
        return None;
    }
    let namespace = facts.object.namespace().unwrap_or_default();
    let config_map = facts.object.spec.publish_to.as_ref().map(|it| format!("{namespace}/{}", it.config_map_name));
    let waits = match (config_map, is_over) {
        (Some(name), true) => {
            format!(" ConfigMap {name}, for which their Pods may wait (CreateContainerConfigError), won't be created.")
        }
        (Some(name), false) => {
            format!(
                " ConfigMap {name}, for which their Pods wait (CreateContainerConfigError), is created when this is \
                 solved."
            )
        }
        (None, _) => String::new(),
    };
    let advice = if is_over {
        "Delete each workload that doesn't end by itself. For another run create the workload and its AthenaSession anew."
    } else {
        "Delete each workload that must not wait until then."
    };
    let name = |workload: &&Workload| format!("{} {namespace}/{}", workload.kind.as_str(), workload.name);
    let names = workloads.iter().map(name).collect::<Vec<_>>().join(", ");
    Some(format!("{NOTE}{names}.{waits} {advice}"))
}

pub(super) fn blocker(case: &Case<'_>) -> Option<Finding> {
    let facts = case.facts;
    if facts.object.spec.end_with.is_empty() {
        return None;
    }
    let lead = blocker_prefix(case);
    if facts.timing.end_with.is_none() {
        let message = format!(
            "{lead} nothing would end it with its workloads (spec.endWith): the operator runs without --end-with. A \
             cluster administrator can add the component deploy/workloads to the operator's installation."
        );
        return Some(Finding { reason: Reason::EndWithDisabled, message });
    }
    let refusal = facts.observed.session.workloads.retry.as_ref()?.refusal.as_ref()?;
    let message = format!(
        "{lead} nothing would end it with its workloads: the API server doesn't let the operator read the Jobs and \
         Pods of spec.endWith ({refusal}). A cluster administrator can add the component deploy/workloads to the \
         operator's installation. The operator tries again every {}.",
        duration(facts.timing.steady)
    );
    Some(Finding { reason: Reason::EndWithForbidden, message })
}

/// The condition where no session is started because each workload is suspended or has finished: nobody would use the
/// session, and it would be billed. A workload that was never there holds up nothing, since it may be created once the
/// session is up.
pub(super) fn need_no_session(case: &Case<'_>) -> Option<Finding> {
    let workloads = case.workloads.all();
    if workloads.is_empty() {
        return None;
    }
    let delay = case.facts.timing.end_with?;
    let states = workloads.iter().map(|workload| Some((workload, case.workloads.state(workload)?)));
    let states = states.collect::<Option<Vec<_>>>()?;
    let is_wanted = |(workload, state): &(&Workload, &WorkloadState)| match state {
        WorkloadState::Unfinished { .. } => true,
        WorkloadState::Absent => !case.workloads.was_seen(workload),
        WorkloadState::Suspended { .. } | WorkloadState::Finished { .. } => false,
    };
    if states.iter().any(is_wanted) {
        return None;
    }
    let namespace = case.facts.object.namespace().unwrap_or_default();
    let is_suspended = |(_, state): &&(&Workload, &WorkloadState)| matches!(state, WorkloadState::Suspended { .. });
    let suspended = states.iter().filter(is_suspended).map(|(workload, _)| match workload.kind {
        WorkloadKind::Job => format!("Job {namespace}/{} is suspended (spec.suspend)", workload.name),
        WorkloadKind::Pod => format!("Pod {namespace}/{} has scheduling gates (spec.schedulingGates)", workload.name),
    });
    let suspended = suspended.collect::<Vec<_>>().join(", ");
    let message = if suspended.is_empty() {
        format!(
            "No session is started: {}. If no workload of spec.endWith is created anew within {}, no session is ever started for this object.",
            finished(case),
            duration(delay)
        )
    } else {
        format!("{suspended}. The session is started, and billed, as soon as a workload of spec.endWith may run.")
    };
    Some(Finding { reason: Reason::WaitingForWorkload, message })
}

/// What is told of a session that is up, and is ended with its workloads.
pub(super) fn end_session(case: &Case<'_>) -> Option<Finding> {
    if case.workloads.all().is_empty() {
        return None;
    }
    let delay = duration(case.facts.timing.end_with?);
    let finished = if case.workloads.due_at.is_some() { last_finished(case) } else { None };
    let message = match finished {
        Some(finished) => {
            format!("The session is up. {finished}. The session is ended {delay} after the operator saw that.")
        }
        None => {
            let (names, ways) = (names(case), ways_to_end(case));
            format!("The session is up. It is ended when {names} finished, or earlier: {ways}.")
        }
    };
    Some(Finding { reason: Reason::Running, message })
}

fn names(case: &Case<'_>) -> String {
    let workloads = case.workloads.all();
    let awaited = |workload: &Workload| {
        let is_seen = case.workloads.to_record().iter().any(|it| it.kind == workload.kind && it.name == workload.name);
        let note = match case.workloads.state(workload) {
            Some(WorkloadState::Suspended { .. }) => " (suspended)",
            _ if is_seen => "",
            _ => " (not there yet)",
        };
        format!("{} {}{note}", workload.kind.as_str(), workload.name)
    };
    let names = workloads.iter().map(awaited).collect::<Vec<_>>().join(", ");
    format!("{names} {}", if workloads.len() > 1 { "have" } else { "has" })
}

fn last_finished(case: &Case<'_>) -> Option<String> {
    let records = case.workloads.to_record();
    let last =
        records.iter().filter(|it| it.outcome.is_some()).max_by_key(|it| it.finished_at.as_ref().map(|at| at.0))?;
    let namespace = case.facts.object.namespace().unwrap_or_default();
    let did = last.outcome.map_or("finished", WorkloadOutcome::verb);
    let at = last.finished_at.as_ref().map_or_else(String::new, |at| format!(" at {}", at.0));
    let others = if records.len() > 1 { format!(", the last of {}", records.len()) } else { String::new() };
    Some(format!("{} {namespace}/{} {did}{at}{others}", last.kind.as_str(), last.name))
}

/// That the workloads have finished, and which one was the last, as far as that is known.
pub(super) fn finished(case: &Case<'_>) -> String {
    last_finished(case).unwrap_or_else(|| "The workloads of spec.endWith have finished".to_owned())
}
