//! Names, in the condition, the workloads of `spec.endWith` that are left without a session: the session has ended or can't
//! be started, and the workload hasn't finished. The operator has no right to end such a workload, so a person must. PURE.

use std::time::Duration;

use kube::ResourceExt;

use super::finding::Finding;
use crate::api::workload::Workload;
use crate::session::rules::case::Case;
use crate::status::reason::{Reason, Standing};

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
pub(crate) fn wait(case: &Case<'_>) -> Option<Duration> {
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
    let is_over = is_final(reason) && facts.recorded_terminated().is_some() && wait(case).is_none();
    let is_stuck = reason.row().standing == Standing::Stalled && !is_final(reason) && case.start.has_none();
    if workloads.is_empty() || !(is_over || is_stuck) {
        return None;
    }
    let namespace = facts.object.namespace().unwrap_or_default();
    let config_map = facts.object.spec.publish_to.as_ref().map(|it| format!("{namespace}/{}", it.config_map_name));
    let waits = match (config_map, is_over) {
        (Some(name), true) => {
            format!(" ConfigMap {name}, which their Pods may wait for (CreateContainerConfigError), won't come.")
        }
        (Some(name), false) => {
            format!(
                " ConfigMap {name}, which their Pods wait for (CreateContainerConfigError), comes when this is mended."
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
