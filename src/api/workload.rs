//! The Jobs and Pods of `spec.endWith`: whether each has finished, and whether it is suspended.

use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::NamespaceResourceScope;
use kube::{KubeSchema, Resource};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

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
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Job => "Job",
            Self::Pod => "Pod",
        }
    }
}

/// A workload of spec.endWith that has been seen.
#[skip_serializing_none]
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
    pub outcome: Option<WorkloadOutcome>,
    /// When it finished, as the workload says, or else when the operator noticed.
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
    Absent,
    Unfinished {
        uid: String,
    },
    /// The workload is there, but may not run: a Job with `spec.suspend`, a Pod with scheduling gates.
    Suspended {
        uid: String,
    },
    Finished {
        uid: String,
        outcome: WorkloadOutcome,
        at: Option<Timestamp>,
    },
}

impl WorkloadState {
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

/// A Job or a Pod. Answers of the API server hold only what is read here (`bodies::rules`).
pub(crate) trait WorkloadObject:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static
{
    const KIND: WorkloadKind;

    /// Whether the workload may not run yet.
    fn is_suspended(&self) -> bool;

    /// How and when the workload finished, as far as it says so.
    fn finished(&self) -> Option<(WorkloadOutcome, Option<Timestamp>)>;

    fn state(&self) -> WorkloadState {
        let uid = self.meta().uid.clone().unwrap_or_default();
        match self.finished() {
            Some((outcome, at)) => WorkloadState::Finished { uid, outcome, at },
            None if self.is_suspended() => WorkloadState::Suspended { uid },
            None => WorkloadState::Unfinished { uid },
        }
    }
}

impl WorkloadObject for Job {
    const KIND: WorkloadKind = WorkloadKind::Job;

    fn is_suspended(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true))
    }

    fn finished(&self) -> Option<(WorkloadOutcome, Option<Timestamp>)> {
        let conditions = self.status.as_ref()?.conditions.as_deref()?;
        conditions.iter().filter(|it| it.status == "True").find_map(|it| {
            let outcome = match it.type_.as_str() {
                "Complete" => WorkloadOutcome::Completed,
                "Failed" => WorkloadOutcome::Failed,
                _ => return None,
            };
            Some((outcome, it.last_transition_time.as_ref().map(|at| at.0)))
        })
    }
}

impl WorkloadObject for Pod {
    const KIND: WorkloadKind = WorkloadKind::Pod;

    fn is_suspended(&self) -> bool {
        let gates = self.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_deref());
        gates.is_some_and(|gates| !gates.is_empty())
    }

    fn finished(&self) -> Option<(WorkloadOutcome, Option<Timestamp>)> {
        match self.status.as_ref()?.phase.as_deref()? {
            "Succeeded" => Some((WorkloadOutcome::Completed, None)),
            "Failed" => Some((WorkloadOutcome::Failed, None)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_suspended_job_and_a_gated_pod_are_held_back() {
        let (held, at_work) =
            (WorkloadState::Suspended { uid: "one".to_owned() }, WorkloadState::Unfinished { uid: "one".to_owned() });
        let jobs = [(json!({"suspend": true}), &held), (json!({"suspend": false}), &at_work), (json!({}), &at_work)];
        let of = |spec: &Value| json!({"metadata": {"uid": "one"}, "spec": spec});
        for (spec, state) in jobs {
            let job: Job = serde_json::from_value(of(&spec)).expect("it is legible");
            assert_eq!(job.state(), *state, "{spec}");
        }
        let gate = json!({"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]});
        for (spec, state) in [(gate, &held), (json!({"schedulingGates": []}), &at_work)] {
            let pod: Pod = serde_json::from_value(of(&spec)).expect("it is legible");
            assert_eq!(pod.state(), *state, "{spec}");
        }
    }
}
