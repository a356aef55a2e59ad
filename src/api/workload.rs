//! Jobs and Pods as they are read, trimmed to what `spec.endWith` needs: the name, whether the workload has finished, and
//! whether it is suspended.

use std::marker::PhantomData;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::{KubeSchema, Resource};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

/// A workload of the object's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.kind != 'Job' || size(self.name) <= 63")
    .message("the name of a Job has 63 characters at the most")
    .field_path(".name"))]
pub struct Workload {
    /// Job or Pod.
    pub kind: WorkloadKind,
    /// Its name; that of a Job has 63 characters at the most.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$')")
        .message("name can't be the name of a Job or a Pod: lower-case letters, digits, hyphens and full stops"))]
    pub name: String,
}

/// The kinds of workloads that a session can end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum WorkloadKind {
    /// A Job of batch/v1.
    Job,
    /// A Pod.
    Pod,
}

impl WorkloadKind {
    /// The kind, as manifests have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Job => "Job",
            Self::Pod => "Pod",
        }
    }
}

/// A workload of spec.endWith that has been seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRecord {
    /// Job or Pod.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// The UID of the workload that was last seen under this name.
    pub uid: String,
    /// How it finished, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<WorkloadOutcome>,
    /// When it finished, as the workload says, or else when the operator noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

// `kubectl explain` shows the text of an enum, not that of its field, where the field is optional.

/// How the workload finished, if it has: Completed, Failed or Gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WorkloadOutcome {
    /// It succeeded.
    Completed,
    /// It failed.
    Failed,
    /// It isn't there any more.
    Gone,
}

impl WorkloadOutcome {
    /// The same as a verb of the past.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Gone => "was gone",
        }
    }
}

/// What the API server says of a Job or a Pod that `spec.endWith` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkloadState {
    /// There is no workload of this name.
    Absent,
    /// The workload is there, and hasn't finished.
    Unfinished {
        /// Its UID.
        uid: String,
    },
    /// The workload is there, but may not run: a Job with `spec.suspend`, a Pod with scheduling gates.
    Suspended {
        /// Its UID.
        uid: String,
    },
    /// The workload has finished.
    Finished {
        /// Its UID.
        uid: String,
        /// How.
        outcome: WorkloadOutcome,
        /// When, where it says so.
        at: Option<Timestamp>,
    },
}

impl WorkloadState {
    /// The UID of the workload, where there is one.
    pub fn uid(&self) -> Option<&str> {
        match self {
            Self::Absent => None,
            Self::Unfinished { uid } | Self::Suspended { uid } | Self::Finished { uid, .. } => Some(uid),
        }
    }

    /// Whether the workload needs no session: it has finished, or isn't there.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Absent | Self::Finished { .. })
    }
}

/// A Job or a Pod without all that nothing depends on.
#[derive(Clone, Debug)]
pub struct WorkloadObject<K> {
    metadata: ObjectMeta,
    is_suspended: bool,
    status: Status,
    kind: PhantomData<fn() -> K>,
}

/// The fields that keep a workload from running: `suspend` of a Job, scheduling gates of a Pod.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    suspend: Option<bool>,
    scheduling_gates: Option<Vec<IgnoredAny>>,
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
    spec: Option<Spec>,
    #[serde(default)]
    status: Option<Status>,
}

impl<'de, K> Deserialize<'de> for WorkloadObject<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Raw { metadata, spec, status } = Raw::deserialize(deserializer)?;
        let Metadata { name, namespace, uid, resource_version } = metadata;
        let metadata = ObjectMeta { name, namespace, uid, resource_version, ..ObjectMeta::default() };
        let Spec { suspend, scheduling_gates } = spec.unwrap_or_default();
        let is_suspended = suspend == Some(true) || scheduling_gates.is_some_and(|gates| !gates.is_empty());
        Ok(Self { metadata, is_suspended, status: status.unwrap_or_default(), kind: PhantomData })
    }
}

resource_of!(K, impl[K: Resource<DynamicType = ()>] WorkloadObject<K>, self => &self.metadata, &mut self.metadata);

impl<K> WorkloadObject<K> {
    /// How it stands.
    pub fn state(&self, kind: WorkloadKind) -> WorkloadState {
        let uid = self.metadata.uid.clone().unwrap_or_default();
        let finished = match kind {
            WorkloadKind::Job => self.job_outcome(),
            WorkloadKind::Pod => self.pod_outcome().map(|outcome| (outcome, None)),
        };
        match finished {
            Some((outcome, at)) => WorkloadState::Finished { uid, outcome, at: at.map(|at| at.0) },
            None if self.is_suspended => WorkloadState::Suspended { uid },
            None => WorkloadState::Unfinished { uid },
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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::Job;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_suspended_job_and_a_gated_pod_are_held_back() {
        let (held, at_work) =
            (WorkloadState::Suspended { uid: "one".to_owned() }, WorkloadState::Unfinished { uid: "one".to_owned() });
        let jobs = [(json!({"suspend": true}), &held), (json!({"suspend": false}), &at_work), (json!({}), &at_work)];
        let of = |spec: &Value| json!({"metadata": {"uid": "one"}, "spec": spec});
        for (spec, state) in jobs {
            let job: WorkloadObject<Job> = serde_json::from_value(of(&spec)).expect("it is legible");
            assert_eq!(job.state(WorkloadKind::Job), *state, "{spec}");
        }
        let gate = json!({"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]});
        for (spec, state) in [(gate, &held), (json!({"schedulingGates": []}), &at_work)] {
            let pod: WorkloadObject<Pod> = serde_json::from_value(of(&spec)).expect("it is legible");
            assert_eq!(pod.state(WorkloadKind::Pod), *state, "{spec}");
        }
    }
}
