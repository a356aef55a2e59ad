//! What an operator that watches only some namespaces says of an AthenaWorkGroup with rules of clean-up: it doesn't apply them.

use jiff::Timestamp;
use kube::api::PostParams;
use kube::{Resource, ResourceExt};
use tracing::{debug, warn};

use super::cleanup::hold::Hold;
use super::cleanup::report::CLEANUP_HELD;
use crate::api::cached::Trimmed;
use crate::api::is_kept;
use crate::api::work_group::{AthenaWorkGroup, AthenaWorkGroupStatus};
use crate::kubernetes::{Requests, within};
use crate::status::condition::{Draft, renewed};
use crate::status::reason::Tristate;

/// Says that the rules aren't applied: in the log, and by a condition where RBAC allows that. Once for each generation of the
/// object (`told`), since the API server refuses the condition in the usual installation for one namespace.
pub(super) async fn tell_no_cleanup(
    requests: &Requests<AthenaWorkGroup>,
    group: &AthenaWorkGroup,
    told: &mut Option<i64>,
) {
    let (wall, generation) = (Timestamp::now(), group.meta().generation);
    let recorded = group.status.clone().unwrap_or_default();
    let has_rules = group.spec.cleanup.is_some();
    let drafts = has_rules.then(|| Draft {
        type_: CLEANUP_HELD,
        status: Tristate::True,
        reason: Hold::NotAllNamespaces.reason(),
        message: format!("{}.", Hold::NotAllNamespaces),
    });
    let conditions = renewed(&recorded.conditions, &[CLEANUP_HELD], drafts.into_iter().collect(), generation, wall);
    // The operator that put its finalizer on sees all namespaces, and reports.
    if *told == generation || conditions == recorded.conditions || is_kept(group) {
        return;
    }
    *told = generation;
    let name = group.name_any();
    if has_rules {
        warn!(
            name,
            "the rules of spec.cleanup aren't applied: --watch-namespace hides AthenaSessions of other namespaces"
        );
    }
    let status = Some(AthenaWorkGroupStatus { conditions, ..recorded });
    let written = Trimmed(Ok(AthenaWorkGroup { status, ..group.clone() }));
    // Not as the operator's other writes: a refusal of this one hinders nothing, and needs no report.
    let params = PostParams::default();
    let request = requests.api.replace_status(&name, &params, &written);
    if let Err(failure) = within(requests.deadline, request).await {
        debug!(name, problem = failure.words(), "the condition CleanupHeld can't be written");
    }
}
