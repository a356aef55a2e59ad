//! What keeps the session from being handed over by `spec.publishTo`, or from being ended with its workloads. PURE.

use kube::ResourceExt;

use super::finding::Finding;
use super::words::blocker_prefix;
use crate::session::observed::config_map::Found;
use crate::session::rules::case::Case;
use crate::status::reason::Reason;
use crate::text::duration;

/// What keeps the session from being handed over, or from being ended with its workloads: both are told of.
pub(super) fn blocker(case: &Case<'_>) -> Option<Finding> {
    match (config_map_blocker(case), workloads_blocker(case)) {
        (Some(one), Some(other)) => Some(Finding { message: format!("{} {}", one.message, other.message), ..one }),
        (one, other) => one.or(other),
    }
}

/// What keeps the ConfigMap from telling of the session.
fn config_map_blocker(case: &Case<'_>) -> Option<Finding> {
    let facts = case.facts;
    let name = &facts.object.spec.publish_to.as_ref()?.config_map_name;
    let namespace = facts.object.namespace().unwrap_or_default();
    let known = &facts.observed.session.config_map;
    let steady = duration(facts.timing.steady);
    let lead = blocker_prefix(case);
    if known.found == Found::Foreign {
        // Creating the object anew would mean deleting it, which ends a session that runs. So that is advised only where
        // no session runs yet.
        let otherwise = if case.start.state.is_pending() {
            "create this one anew with another name"
        } else {
            "hand over status.sessionId in another way"
        };
        let message = format!(
            "{lead} spec.publishTo can't tell of it: ConfigMap {namespace}/{name} is there already, and isn't this \
             object's. It is left as it is. If nobody needs that ConfigMap, delete it; if another AthenaSession publishes there, \
             {otherwise}. Looked at again every {steady}."
        );
        return Some(Finding { reason: Reason::PublishConflict, message });
    }
    let refusal = known.retry.as_ref()?.1.refusal.as_ref()?;
    let message = format!(
        "{lead} spec.publishTo can't tell of it: the API server refuses the operator ConfigMap {namespace}/{name} \
         ({refusal}). If the right is missing, a cluster administrator can add the component deploy/workloads to the \
         operator's installation. Tried again every {steady}."
    );
    Some(Finding { reason: Reason::PublishForbidden, message })
}

/// What keeps the workloads from ending the session.
fn workloads_blocker(case: &Case<'_>) -> Option<Finding> {
    let facts = case.facts;
    if facts.object.spec.end_with.is_empty() {
        return None;
    }
    let lead = blocker_prefix(case);
    if facts.timing.end_with.is_none() {
        let message = format!(
            "{lead} spec.endWith won't end it: the operator runs without --end-with. A cluster administrator can add the \
             component deploy/workloads to its installation."
        );
        return Some(Finding { reason: Reason::EndWithDisabled, message });
    }
    let refusal = facts.observed.session.workloads.retry.as_ref()?.refusal.as_ref()?;
    let message = format!(
        "{lead} spec.endWith can't end it: the API server refuses the operator what it names ({refusal}). A cluster \
         administrator can add the component deploy/workloads to its installation. Tried again every {}.",
        duration(facts.timing.steady)
    );
    Some(Finding { reason: Reason::EndWithForbidden, message })
}
