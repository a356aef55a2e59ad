//! What is told where the annotation `paused` or the flag `--read-only` holds up a start or an end. PURE.

use super::access::refused;
use super::finding::Finding;
use super::words::{reference, with_way_out};
use crate::api::PAUSED;
use crate::api::session::TerminationReason;
use crate::index::access::{HOW_TO_RESUME, Suspension};
use crate::session::rules::Case;
use crate::status::reason::Reason;

pub(super) fn end_blocker(case: &Case<'_>) -> Option<Finding> {
    case.end_reason?;
    if let Some(refusal) = case.end_denied_by {
        return Some(refused(case, refusal));
    }
    let suspension = case.suspension()?;
    let (reason, message) = match suspension {
        Suspension::ReadOnly
            if case.requested_end.is_some_and(|asked| asked != TerminationReason::WorkloadFinished) =>
        {
            (
                Reason::ReadOnly,
                "The operator runs with --read-only: otherwise it would call TerminateSession now.".to_owned(),
            )
        }
        Suspension::ReadOnly => (
            Reason::ReadOnly,
            "The operator runs with --read-only. Otherwise it would check again that the limit is reached or the \
             workloads have finished, and then call TerminateSession."
                .to_owned(),
        ),
        Suspension::ObjectPaused | Suspension::WorkGroupPaused => (Reason::Paused, paused(case, suspension, "end")?),
    };
    Some(Finding { reason, message: with_way_out(case, message) })
}

pub(super) fn start_paused(case: &Case<'_>) -> Option<Finding> {
    let message = paused(case, case.facts.access.suspension?, "start")?;
    Some(Finding { reason: Reason::Paused, message })
}

pub(super) fn start_read_only(case: &Case<'_>) -> Option<Finding> {
    if case.facts.access.suspension != Some(Suspension::ReadOnly) {
        return None;
    }
    let message = "The operator runs with --read-only: otherwise it would call StartSession now.";
    Some(Finding { reason: Reason::ReadOnly, message: message.to_owned() })
}

/// The message where the annotation `paused` holds up the `start` or the `end` of the session; None where it doesn't.
fn paused(case: &Case<'_>, suspension: Suspension, held_up: &str) -> Option<String> {
    let bearer = match suspension {
        Suspension::ReadOnly => return None,
        Suspension::ObjectPaused => "this object".to_owned(),
        Suspension::WorkGroupPaused => format!("AthenaWorkGroup {}", reference(case)),
    };
    Some(format!("The annotation {PAUSED} on {bearer} prevents the {held_up} of the session{HOW_TO_RESUME}"))
}
