//! The kinds that people write: what a manifest may say, and what its status tells.

#![allow(unreachable_pub, reason = "kube's macros repeat the types")]

pub mod cached;
pub mod cleanup;
pub mod crds;
pub mod labels;
pub mod session;
pub mod start;
pub mod work_group;
pub mod workload;

use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub use self::labels::{
    EXCLUDED_FROM_BACKUP, FINALIZER, MANAGED_BY, PAUSED, PUBLISHED_FOR, RESTORED, START_RESTORED, WORK_GROUP_FINALIZER,
};

/// Whether the operator answers for an AthenaSession: our finalizer is on it.
pub fn is_held(object: &impl ResourceExt) -> bool {
    object.finalizers().iter().any(|name| name == FINALIZER)
}

/// Whether our finalizer is on an AthenaWorkGroup.
pub fn is_kept(group: &impl ResourceExt) -> bool {
    group.finalizers().iter().any(|name| name == WORK_GROUP_FINALIZER)
}

/// The `status.observedGeneration` that the API server sets by itself, as long as nobody has written the status.
const UNOBSERVED: i64 = -1;

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
