//! The kinds that people write: what a manifest may say, and what its status tells.

pub mod session;
pub mod slim;
pub mod start;
pub mod work_group;
pub mod workload;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResourceExt, ResourceExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use session::AthenaSession;
use work_group::AthenaWorkGroup;

/// The finalizer on every [`session::AthenaSession`] whose session this operator answers for.
pub const FINALIZER: &str = "athena-operator.dev/session";

/// The finalizer on every [`work_group::AthenaWorkGroup`]: it stays as long as there are AthenaSessions that are
/// to be ended by way of it.
pub const WORK_GROUP_FINALIZER: &str = "athena-operator.dev/work-group";

/// Whether the operator answers for an AthenaSession: our finalizer is on it.
#[must_use]
pub fn is_held(object: &impl ResourceExt) -> bool {
    object.finalizers().iter().any(|name| name == FINALIZER)
}

/// Whether our finalizer is on an AthenaWorkGroup.
#[must_use]
pub fn is_kept(group: &impl ResourceExt) -> bool {
    group.finalizers().iter().any(|name| name == WORK_GROUP_FINALIZER)
}

/// The annotation, on an AthenaSession or an AthenaWorkGroup, that holds up starts and ends as long as it is there and
/// isn't `false`.
pub const PAUSED: &str = "athena-operator.dev/paused";

/// The label that Velero puts on what it restores from a backup.
pub const RESTORED: &str = "velero.io/restore-name";

/// The annotation by which somebody says, with the value `true`, that a restored AthenaSession is to start its session.
pub const START_RESTORED: &str = "athena-operator.dev/start-restored";

/// The `status.observedGeneration` of an object whose status nobody has written: the API server shows it by itself.
const UNOBSERVED: i64 = -1;

/// The annotation on a ConfigMap of `spec.publishTo`. Its value is the name of the AthenaSession, in the same namespace,
/// that the operator wrote the ConfigMap for.
pub const PUBLISHED_FOR: &str = "athena-operator.dev/published-for";

/// The label that keeps an object out of Velero's backups.
pub const EXCLUDED_FROM_BACKUP: &str = "velero.io/exclude-from-backup";

/// The CustomResourceDefinitions, as they are installed.
#[must_use]
pub fn crds() -> Vec<Value> {
    let crds: [CustomResourceDefinition; 2] = [AthenaSession::crd(), AthenaWorkGroup::crd()];
    let mut crds = crds.map(|crd| json!(crd));
    for crd in &mut crds {
        unfold_descriptions(crd);
        begin_unobserved(crd);
        crd["metadata"]["labels"] = json!({
            "app.kubernetes.io/name": env!("CARGO_PKG_NAME"),
            "app.kubernetes.io/version": env!("CARGO_PKG_VERSION"),
        });
        // Deleting the kind AthenaSession ends every session of the cluster. These tell Helm, Argo CD and Flux to keep the kinds.
        crd["metadata"]["annotations"] = json!({
            "helm.sh/resource-policy": "keep",
            "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
            "kustomize.toolkit.fluxcd.io/prune": "disabled",
        });
    }
    crds.into()
}

/// An object that the operator hasn't seen bears `status.observedGeneration: -1`, as Flux' own kinds do. Without that,
/// kstatus takes an object without a status for one that is as its spec asks.
fn begin_unobserved(crd: &mut Value) {
    for version in crd["spec"]["versions"].as_array_mut().into_iter().flatten() {
        let status = version["schema"]["openAPIV3Schema"]["properties"]["status"].as_object_mut();
        let Some(status) = status else { continue };
        status.insert("default".to_owned(), json!({"observedGeneration": UNOBSERVED}));
        // Where a field is nullable, the API server keeps a null. Where it isn't, the default takes the place of the null.
        status.remove("nullable");
    }
}

/// `kubectl explain` keeps line breaks and folds lines itself: those of the doc comments would show.
fn unfold_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => *text = text.replace('\n', " "),
                    member => unfold_descriptions(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unfold_descriptions),
        _ => {}
    }
}

/// The record of a newer version, or of somebody else, must not make the object unreadable, which could
/// not even be deleted then: what can't be read counts as not recorded.
fn readable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Reads `status.observedGeneration`, and the API server's default ([`UNOBSERVED`]) as None. An object whose status holds
/// nothing but that default must look like one without a status: whether a session was started for an object is decided
/// by whether the operator has written a status.
fn written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let generation = Option::<i64>::deserialize(deserializer)?;
    Ok(generation.filter(|generation| *generation > UNOBSERVED))
}
