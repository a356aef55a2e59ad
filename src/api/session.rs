//! The kind `AthenaSession`.
//!
//! Doc comments on fields are what `kubectl explain` prints.

#![allow(clippy::duplicated_attributes, reason = "each printer column has its own type and priority")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::core::Duration;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::start::SessionStart;
use super::workload::{Workload, WorkloadRecord};
use super::{readable, written};

/// What is asked for: which session this object stands for, and when and how its end is wanted.
#[skip_serializing_none]
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "athena-operator.dev",
    version = "v1alpha1",
    kind = "AthenaSession",
    doc = "An AthenaSession stands for one session of Amazon Athena for Apache Spark, as a Pod \
           stands for one run. Delete it, or set spec.terminate, and the operator ends the session \
           and waits until Athena says that the session has ended. Only then is the object removed.",
    namespaced,
    status = "AthenaSessionStatus",
    derive = "PartialEq",
    // A clean-up asks, right before it ends a session, whether an object names the session.
    selectable = ".spec.sessionId",
    shortname = "ats",
    category = "athena",
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "the session's state in Athena"
    ),
    printcolumn(
        name = "Active",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Active")].status"#,
        description = "whether the session can be used"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "the reason of the condition Ready"
    ),
    printcolumn(
        name = "WorkGroup",
        type_ = "string",
        json_path = ".status.workGroup",
        description = "the Athena work group of the session"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Session",
        type_ = "string",
        json_path = ".status.sessionId",
        description = "the session's id in Athena",
        priority = "1"
    ),
    printcolumn(
        name = "Idle since",
        type_ = "date",
        json_path = ".status.idleSince",
        description = "how long the session has had nothing to do",
        priority = "1"
    ),
    printcolumn(
        name = "Started",
        type_ = "date",
        json_path = ".status.startedAt",
        description = "how long ago Athena started the session",
        priority = "1"
    ),
    printcolumn(
        name = "WorkGroupRef",
        type_ = "string",
        json_path = ".spec.workGroupRef.name",
        description = "the AthenaWorkGroup that it refers to",
        priority = "1"
    ),
    printcolumn(
        name = "End reason",
        type_ = "string",
        json_path = ".status.terminationReason",
        description = "why the operator ends, or has ended, the session",
        priority = "1"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.sessionId) && has(self.start))")
        .message("sessionId and start exclude each other: leave start out to adopt the session that sessionId names, \
             or leave sessionId out to start a new one"),
    validation = Rule::new("has(self.sessionId) || has(self.start)")
        .message("no session is named: set sessionId to the id of a session that exists, or write `start: {}` to start one; `start:` with nothing after it doesn't count"),
    validation = Rule::new("!has(self.start) || has(self.workGroupRef)")
        .message("start needs workGroupRef: the AthenaWorkGroup in which the session is started")
        .field_path(".workGroupRef"),
    validation = Rule::new(format!("!(has(self.start) && has(self.maxIdle) && {}) || ({})", go("self.maxIdle"), MAX_IDLE_OF_ATHENA))
        .message("with start, maxIdle is 1m to 8h: it is Athena's own idle timeout, too")
        .field_path(".maxIdle"),
    validation = Rule::new("has(self.sessionId) == has(oldSelf.sessionId) && (!has(self.sessionId) || self.sessionId == oldSelf.sessionId)")
        .message("sessionId can't change: an AthenaSession stands for one session; create another AthenaSession for another session")
        .field_path(".sessionId"),
    validation = Rule::new("!has(self.start) || !has(oldSelf.start) || self.start == oldSelf.start")
        .message("start can't change: an AthenaSession stands for one session; create another AthenaSession for another session")
        .field_path(".start"),
    validation = Rule::new("!has(oldSelf.workGroupRef) || (has(self.workGroupRef) && self.workGroupRef == oldSelf.workGroupRef)")
        .message("workGroupRef can't change, nor be removed: it may be set once; create another AthenaSession for another work group")
        .field_path(".workGroupRef"),
    validation = Rule::new("!has(oldSelf.publishTo) || (has(self.publishTo) && self.publishTo == oldSelf.publishTo)")
        .message("publishTo can't change, nor be removed: it may be set once")
        .field_path(".publishTo"),
)]
pub struct AthenaSessionSpec {
    /// The id of a session that exists in Athena, 1 to 256 characters, as StartSession returned it. It
    /// can't change. Without workGroupRef the session must be in the operator's AWS account and Region.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(r"!self.matches('[\\s\\pC\\pZ]')")
        .message("sessionId must not contain white space, nor characters that can't be seen"))]
    pub session_id: Option<String>,

    /// Starts one session for this object, and never a second one. It can't change. With `start: {}` the session has
    /// the AthenaWorkGroup's defaults.
    pub start: Option<SessionStart>,

    /// The AthenaWorkGroup that registers the session's work group. It may be set once, and then can't change. The
    /// AthenaWorkGroup must select this object's namespace, and the session must be in its work group. Default: none,
    /// the operator uses its own identity and its own Region.
    pub work_group_ref: Option<WorkGroupRef>,

    /// Set to true to end the session and keep this object as a record. It can't be undone, since an ended session
    /// can't be brought back: create another AthenaSession for another session. Default: false.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self || !oldSelf")
        .message("terminate can't be taken back, nor removed: the session is being ended, and an ended session can't be brought back"))]
    pub terminate: bool,

    /// What deleting this object does to the session. `Terminate`: the session is ended, and the object goes when
    /// Athena says that the session has ended. `Retain`: the object is removed at once, and the session keeps running
    /// and is billed. This field may change at any time: while a deletion hangs, Retain lets Kubernetes remove the
    /// object. Retain doesn't undo `terminate`. Default: Terminate.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// How long an end that a deletion, terminate, endWith or maxLifetime asks for waits while the session is BUSY,
    /// counted from status.terminationRequestedAt. The session is ended as soon as it isn't BUSY any more, or when the
    /// time is over. A duration in Go's notation, in whole seconds, such as `90s`, `10m` or `1h30m`; there are no days.
    /// It may change at any time, also while an end waits. Default: none, the session is ended at once.
    #[schemars(with = "Option<String>")]
    #[x_kube(validation = duration("terminationGracePeriod"))]
    pub termination_grace_period: Option<Duration>,

    /// How long the session may live, from its start by Athena's clock. Then it is ended, and this object stays as a
    /// record. A duration in Go's notation, in whole seconds, such as `90m`, `8h` or `1h30m`; there are no days. It may
    /// change at any time. A smaller limits.maxLifetime of the AthenaWorkGroup holds instead. Default: no limit but that.
    #[schemars(with = "Option<String>")]
    #[x_kube(validation = duration("maxLifetime"))]
    pub max_lifetime: Option<Duration>,

    /// How long the session may be IDLE without a break. Then it is ended, and this object stays as a record. A
    /// duration in Go's notation, in whole seconds, such as `90s`, `30m` or `1h30m`; there are no days. With start it
    /// must be 1m to 8h, and is also Athena's own idle timeout of the session, in whole minutes. It may change at any
    /// time. A smaller limits.maxIdle of the AthenaWorkGroup holds instead. Default: no limit but that and Athena's own.
    #[schemars(with = "Option<String>")]
    #[x_kube(validation = duration("maxIdle"))]
    pub max_idle: Option<Duration>,

    /// A ConfigMap of this namespace that tells a workload which session to use. The ConfigMap exists while the session
    /// can be used and no end is asked for, so a Pod with `envFrom` waits for it. This field may be set once, and then
    /// can't change. Default: none.
    pub publish_to: Option<PublishTo>,

    /// Jobs and Pods of this namespace. The session is ended when all of them have completed, failed, or gone after
    /// they were there. The operator waits for one that doesn't exist yet, and for one that is created again under the
    /// same name. With start, no session is started while all of them are suspended or have finished. The operator must
    /// run with --end-with. It may change at any time; an end that has begun isn't taken back. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    pub end_with: Vec<Workload>,

    /// Deletes this object this long after its session has ended and the workloads of endWith have finished. While a
    /// workload of endWith hasn't finished, the object stays and says why the workload has no session. A duration in
    /// Go's notation, in whole seconds, up to 16 characters, such as `90m`, `24h` or `1h30m`; there are no days. An
    /// object with start that Argo CD, Flux or Helm tracks is kept, since these tools would create it again, which
    /// would start another session. It may change at any time. Default: the object stays.
    #[x_kube(validation = duration("ttlAfterEnded"))]
    #[x_kube(validation = Rule::new(format!("!{} || size(self) <= 16", go("self"))).message("ttlAfterEnded has 16 characters at the most"))]
    pub ttl_after_ended: Option<String>,
}

/// Athena's bounds of a session's idle timeout.
const MAX_IDLE_OF_ATHENA: &str = "duration(self.maxIdle) >= duration('1m') && duration(self.maxIdle) <= duration('8h')";

/// A CEL expression: whether duration() can read this field. Where it can't, duration() fails with a message that helps
/// nobody. The sum of the parts stays below a century, beyond which duration() overflows.
fn go(field: &str) -> String {
    let part = |digits, unit| format!("[0-9]{{1,{digits}}}([.][0-9]{{1,9}})?{unit}");
    let (hours, minutes, seconds) = (part(5, "h"), part(7, "m"), part(9, "m?s"));
    format!("(size({field}) <= 30 && {field}.matches('^({hours}|{minutes}|{seconds})+$'))")
}

/// The rule of a field that is a duration. `500ms` is refused since it is a slip for `500m`, and would end a session at
/// once.
pub(super) fn duration(name: &str) -> kube::core::Rule {
    let message = format!(
        "{name} is a duration in whole seconds, from 1s to 99999h, such as 90s, 10m or 1h30m; there are no days (three of \
         them are 72h), and no milliseconds (500 minutes are 500m)"
    );
    // The API server's getMilliseconds returns the whole duration in milliseconds; by the CEL specification it returns only
    // the part below a second. The remainder is the same.
    let is_whole = "duration(self) >= duration('1s') && duration(self).getMilliseconds() % 1000 == 0";
    kube::core::Rule::new(format!("{} && {is_whole}", go("self"))).message(message.as_str())
}

/// Where a workload reads which session to use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishTo {
    /// The name of the ConfigMap, with the keys ATHENA_SESSION_ID, ATHENA_WORK_GROUP and AWS_REGION. The operator
    /// creates the ConfigMap, and it goes with this object. A ConfigMap of that name that exists already is left as it
    /// is.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$')")
        .message("configMapName can't be the name of a ConfigMap: lower-case letters, digits, hyphens and full stops"))]
    pub config_map_name: String,
}

/// Names an AthenaWorkGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct WorkGroupRef {
    /// The name of the AthenaWorkGroup.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$')")
        .message("workGroupRef.name can't be the name of an AthenaWorkGroup: write its metadata.name, which has lower-case letters, digits, hyphens and full stops"))]
    pub name: String,
}

/// What deleting an [`AthenaSession`] does to its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The session is ended first.
    #[default]
    Terminate,
    /// The session is left alone.
    Retain,
}

/// What the operator last recorded. It is a record, not an authority: Athena must show what the status says before it
/// counts.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AthenaSessionStatus {
    /// The metadata.generation that this status was made from; -1 while the operator has written no status.
    #[serde(default, deserialize_with = "written")]
    pub observed_generation: Option<i64>,

    /// The id of the session in Athena, once Athena has shown the session.
    pub session_id: Option<String>,

    /// How far the start of the session has come, where spec.start asks for it.
    #[serde(default, deserialize_with = "readable")]
    pub start_attempt: Option<StartAttempt>,

    /// The session's state in Athena: CREATING, CREATED, IDLE, BUSY, TERMINATING, TERMINATED, DEGRADED or FAILED. On an
    /// object that is being deleted the state isn't updated any more.
    pub state: Option<String>,

    /// Athena's explanation of the last change of state.
    pub state_change_reason: Option<String>,

    /// The Athena work group that the session runs in.
    pub work_group: Option<String>,

    /// The session's engine: PySpark engine version 3 or Apache Spark version 3.5, say.
    pub engine_version: Option<String>,

    /// The AWS Region that the session was seen in. The operator makes no calls for it in another Region.
    pub region: Option<String>,

    /// The AWS account that the session was seen in. The operator makes no calls for it in another account.
    pub account_id: Option<String>,

    /// When Athena started the session.
    #[serde(default, deserialize_with = "readable")]
    pub started_at: Option<Time>,

    /// Since when the session has been idle; absent while it isn't idle.
    #[serde(default, deserialize_with = "readable")]
    pub idle_since: Option<Time>,

    /// When the session ended.
    #[serde(default, deserialize_with = "readable")]
    pub ended_at: Option<Time>,

    /// When the operator noticed that an end of the session is asked for.
    #[serde(default, deserialize_with = "readable")]
    pub termination_requested_at: Option<Time>,

    /// Why the operator ends the session.
    #[serde(default, deserialize_with = "readable")]
    pub termination_reason: Option<TerminationReason>,

    /// The workloads of spec.endWith that have been seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "readable")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    pub workloads: Vec<WorkloadRecord>,

    /// What the session's calculations used, in milliseconds of one DPU: Athena's figure at its end.
    pub dpu_execution_millis: Option<i64>,

    /// Active: the session can be used, and no end is asked for. Terminated: the session has ended. Ready: the object
    /// is as its spec asks. Reconciling: the operator is working on the object. Stalled: the operator can't go on
    /// without a person. The last two are absent while they aren't true.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "readable")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The operator's last call of StartSession. It is recorded before the call.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartAttempt {
    /// When the operator recorded that it is about to call.
    pub at: Time,
    /// The result. Unknown: no answer is recorded. Refused: no session was started. Started: the session was started.
    pub outcome: StartOutcome,
    /// The work group's engine, if it was known when this attempt was recorded. A repeated call uses this engine, not the
    /// one that is known by then, so that it asks for the same as the first call.
    pub engine_version: Option<String>,
}

/// What came of a call of StartSession.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StartOutcome {
    /// No answer is recorded.
    Unknown,
    /// Nothing was started.
    Refused,
    /// The session was started.
    Started,
}

/// Why the operator ends the session: ObjectDeleted, RequestedBySpec, WorkloadFinished, MaxLifetime, MaxIdle or
/// WorkGroupLimit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TerminationReason {
    /// The object was deleted, with `deletionPolicy: Terminate`.
    ObjectDeleted,
    /// `spec.terminate` is true.
    RequestedBySpec,
    /// The workloads of `spec.endWith` have finished.
    WorkloadFinished,
    /// `spec.maxLifetime` has passed since the session was started.
    MaxLifetime,
    /// The session has been idle for `spec.maxIdle`.
    MaxIdle,
    /// A limit of the AthenaWorkGroup, in its `spec.limits`, is reached.
    WorkGroupLimit,
}

impl TerminationReason {
    /// The word as status, conditions and logs show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ObjectDeleted => "ObjectDeleted",
            Self::RequestedBySpec => "RequestedBySpec",
            Self::WorkloadFinished => "WorkloadFinished",
            Self::MaxLifetime => "MaxLifetime",
            Self::MaxIdle => "MaxIdle",
            Self::WorkGroupLimit => "WorkGroupLimit",
        }
    }

    /// The same in a clause.
    pub fn clause(self) -> &'static str {
        match self {
            Self::ObjectDeleted => "the object was deleted",
            Self::RequestedBySpec => "spec.terminate is true",
            Self::WorkloadFinished => "the workloads of spec.endWith have finished",
            Self::MaxLifetime => "spec.maxLifetime is reached",
            Self::MaxIdle => "spec.maxIdle is reached",
            Self::WorkGroupLimit => "a limit of its AthenaWorkGroup (spec.limits) is reached",
        }
    }

    /// Whether it is a limit of the session's life, which the object or its AthenaWorkGroup sets and Athena shows to be
    /// reached.
    pub fn is_limit(self) -> bool {
        matches!(self, Self::MaxLifetime | Self::MaxIdle | Self::WorkGroupLimit)
    }
}
