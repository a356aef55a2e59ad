//! The kinds that people write: what a manifest may say, and what its status tells.

#[macro_use]
mod resource;

pub mod cached;
pub mod crds;
pub mod session;
pub mod start;
pub mod work_group;
pub mod workload;

use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The finalizer on every [`session::AthenaSession`] whose session this operator answers for.
pub const FINALIZER: &str = "athena-operator.dev/session";

/// The finalizer on every [`work_group::AthenaWorkGroup`]: it stays as long as there are AthenaSessions that are
/// to be ended by way of it.
pub const WORK_GROUP_FINALIZER: &str = "athena-operator.dev/work-group";

/// Whether the operator answers for an AthenaSession: our finalizer is on it.
pub fn is_held(object: &impl ResourceExt) -> bool {
    object.finalizers().iter().any(|name| name == FINALIZER)
}

/// Whether our finalizer is on an AthenaWorkGroup.
pub fn is_kept(group: &impl ResourceExt) -> bool {
    group.finalizers().iter().any(|name| name == WORK_GROUP_FINALIZER)
}

/// The annotation, on an AthenaSession or an AthenaWorkGroup, that holds up starts and ends as long as it is there and
/// isn't `false`.
pub const PAUSED: &str = "athena-operator.dev/paused";

/// The label that Velero puts on what it restores from a backup.
pub const RESTORED: &str = "velero.io/restore-name";

/// The annotation that lets a restored AthenaSession start its session, with the value `true`.
pub const START_RESTORED: &str = "athena-operator.dev/start-restored";

/// The `status.observedGeneration` that the API server sets by itself, as long as nobody has written the status.
const UNOBSERVED: i64 = -1;

/// The annotation on a ConfigMap of `spec.publishTo`. Its value is the name of the AthenaSession, in the same namespace,
/// that the operator wrote the ConfigMap for.
pub const PUBLISHED_FOR: &str = "athena-operator.dev/published-for";

/// The label that keeps an object out of Velero's backups.
pub const EXCLUDED_FROM_BACKUP: &str = "velero.io/exclude-from-backup";

/// Reads a field of the status, and as not recorded where it can't be read. What a newer version, or somebody else, has
/// recorded must not make the object unreadable: it could not even be deleted then.
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
