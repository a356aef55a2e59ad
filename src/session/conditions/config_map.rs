//! What keeps the session from being handed over by `spec.publishTo`. PURE.

use kube::ResourceExt;

use super::finding::Finding;
use super::words::blocker_prefix;
use crate::session::observed::config_map::Found;
use crate::session::rules::Case;
use crate::status::reason::Reason;
use crate::text::duration;

pub(super) fn blocker(case: &Case<'_>) -> Option<Finding> {
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
            "create this AthenaSession again with another spec.publishTo.configMapName"
        } else {
            "give the workload status.sessionId in another way"
        };
        let message = format!(
            "{lead} the session's id can't be published: ConfigMap {namespace}/{name} exists already, and doesn't \
             belong to this object. The operator leaves the ConfigMap unchanged. If nobody needs it, delete it; if \
             another AthenaSession publishes there, {otherwise}. The operator checks again every {steady}."
        );
        return Some(Finding { reason: Reason::PublishConflict, message });
    }
    let refusal = known.retry.as_ref()?.1.refusal.as_ref()?;
    let message = format!(
        "{lead} the session's id can't be published: the API server doesn't let the operator use ConfigMap \
         {namespace}/{name} ({refusal}). If the right is missing, a cluster administrator can add the component \
         deploy/workloads to the operator's installation. The operator tries again every {steady}."
    );
    Some(Finding { reason: Reason::PublishForbidden, message })
}
