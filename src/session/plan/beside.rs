//! When something is due that isn't about the session: of the ConfigMap, the workloads, or what others have to set right. PURE.

use std::time::Duration;

use super::waiting::sooner;
use super::{config_map, workloads};
use crate::session::conditions::{Findings, arrives_within};
use crate::session::rules::case::Case;
use crate::status::reason::Standing;

/// How long from now until that is due.
pub(super) fn due_in(case: &Case<'_>, findings: &Findings) -> Option<Duration> {
    let waits = [arrival(case, findings), config_map::wait(case, findings), workloads::wait(case)];
    waits.into_iter().fold(None, sooner)
}

/// How long it takes until something that is awaited counts as missing.
fn arrival(case: &Case<'_>, findings: &Findings) -> Option<Duration> {
    // Only what others have to set right may still arrive.
    case.facts.access.denied?;
    let reason = findings.told.as_ref()?.reason;
    if reason.row().standing == Standing::StalledLater { arrives_within(case, reason) } else { None }
}
