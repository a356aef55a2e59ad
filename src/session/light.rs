//! Jobs and Pods, as far as an AthenaSession follows them: what they are called, and whether they have finished.

use std::borrow::Cow;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::{Deserialize, Deserializer};

use super::workload::State;
use crate::api::session::{WorkloadKind, WorkloadOutcome};

/// A Job or a Pod without all that nothing depends on.
#[derive(Clone, Debug)]
pub struct Light<K> {
    metadata: ObjectMeta,
    status: Status,
    kind: PhantomData<fn() -> K>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: Option<String>,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    last_transition_time: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    status: Option<Status>,
}

impl<'de, K> Deserialize<'de> for Light<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Raw { metadata, status } = Raw::deserialize(deserializer)?;
        let Metadata { name, namespace, uid, resource_version } = metadata;
        let metadata = ObjectMeta { name, namespace, uid, resource_version, ..ObjectMeta::default() };
        Ok(Self { metadata, status: status.unwrap_or_default(), kind: PhantomData })
    }
}

impl<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>> Resource for Light<K> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<K> Light<K> {
    /// How it stands.
    #[must_use]
    pub fn state(&self, kind: WorkloadKind) -> State {
        let uid = self.metadata.uid.clone().unwrap_or_default();
        let finished = match kind {
            WorkloadKind::Job => self.job_outcome(),
            WorkloadKind::Pod => self.pod_outcome().map(|outcome| (outcome, None)),
        };
        match finished {
            Some((outcome, at)) => State::Finished { uid, outcome, at: at.map(|at| at.0) },
            None => State::Unfinished { uid },
        }
    }

    fn job_outcome(&self) -> Option<(WorkloadOutcome, Option<Time>)> {
        self.status.conditions.iter().filter(|it| it.status == "True").find_map(|it| {
            let outcome = match it.type_.as_str() {
                "Complete" => WorkloadOutcome::Completed,
                "Failed" => WorkloadOutcome::Failed,
                _ => return None,
            };
            Some((outcome, it.last_transition_time.clone()))
        })
    }

    fn pod_outcome(&self) -> Option<WorkloadOutcome> {
        match self.status.phase.as_deref()? {
            "Succeeded" => Some(WorkloadOutcome::Completed),
            "Failed" => Some(WorkloadOutcome::Failed),
            _ => None,
        }
    }
}
