//! The kind `AthenaWorkGroup`.
//!
//! Doc comments on fields are what `kubectl explain` prints.

#![allow(clippy::duplicated_attributes, reason = "each printer column has its own type and priority")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::core::Duration;
use kube::{CustomResource, KubeSchema, ResourceExt};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_with::skip_serializing_none;

use super::cleanup::{Cleanup, CleanupStatus};
use super::session::duration;
use super::start::StartBounds;
use super::{readable, written};

/// Which Athena work group is registered, how the operator reaches it, and who may use it.
#[skip_serializing_none]
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "athena-operator.dev",
    version = "v1alpha1",
    kind = "AthenaWorkGroup",
    doc = "An AthenaWorkGroup registers a work group that exists in Athena, as the grant of an \
           administrator: AthenaSessions of the namespaces that it selects may refer to it, and the \
           operator reaches their sessions with the role that it names. It creates nothing in AWS.",
    status = "AthenaWorkGroupStatus",
    derive = "PartialEq",
    derive = "Default",
    shortname = "atwg",
    category = "athena",
    printcolumn(
        name = "WorkGroup",
        type_ = "string",
        json_path = ".status.workGroup",
        description = "the work group's name in Athena"
    ),
    printcolumn(
        name = "Region",
        type_ = "string",
        json_path = ".status.region",
        description = "the AWS Region that it is in"
    ),
    printcolumn(
        name = "Account",
        type_ = "string",
        json_path = ".status.accountId",
        description = "the AWS account that it is in"
    ),
    printcolumn(
        name = "Declared",
        type_ = "integer",
        json_path = ".status.declared",
        description = "its sessions that an AthenaSession names"
    ),
    printcolumn(
        name = "Undeclared",
        type_ = "integer",
        json_path = ".status.undeclared",
        description = "its sessions that no AthenaSession names"
    ),
    printcolumn(
        name = "Matched",
        type_ = "integer",
        json_path = ".status.cleanup.matched",
        description = "its sessions that a rule of spec.cleanup matches, and that nothing protects"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "the reason of the condition Ready"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Engine",
        type_ = "string",
        json_path = ".status.engineVersion",
        description = "what runs its sessions",
        priority = "1"
    ),
    printcolumn(
        name = "Role",
        type_ = "string",
        json_path = ".spec.roleArn",
        description = "the AWS role that the operator assumes for it",
        priority = "1"
    ),
    printcolumn(
        name = "Cleanup",
        type_ = "string",
        json_path = ".spec.cleanup.mode",
        description = "whether the rules of spec.cleanup end sessions",
        priority = "1"
    ),
    printcolumn(
        name = "Held",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="CleanupHeld")].reason"#,
        description = "the reason of the condition CleanupHeld: why sessions that rules match aren't ended",
        priority = "1"
    ),
    validation = Rule::new("has(self.spec.workGroup) || self.metadata.name.size() <= 128")
        .message("without spec.workGroup the object's name is the work group's name in Athena, which has 128 characters at the most: set spec.workGroup")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.workGroup) == has(oldSelf.workGroup) && (!has(self.workGroup) || self.workGroup == oldSelf.workGroup)")
        .message("workGroup can't change, nor be added or removed: create another AthenaWorkGroup for another work group"),
    validation = Rule::new("has(self.region) == has(oldSelf.region) && (!has(self.region) || self.region == oldSelf.region)")
        .message("region can't change, nor be added or removed: create another AthenaWorkGroup for another Region"),
    validation = Rule::new("!has(self.externalId) || has(self.roleArn)")
        .message("externalId is for assuming a role: set roleArn too"),
)]
pub struct AthenaWorkGroupSpec {
    /// The work group's name in Athena. It can't change. Default: metadata.name.
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[a-zA-Z0-9._-]+$')")
        .message("workGroup is a work group's name in Athena: letters, digits, full stops, underscores and hyphens"))]
    pub work_group: Option<String>,

    /// The AWS Region of the work group. It can't change. Default: the operator's Region, which is then recorded in
    /// status.region and kept.
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z]{2,4}(-[a-z]+)+-[0-9]+$')")
        .message("region isn't the code of an AWS Region: write it as AWS does, such as eu-west-1 or us-gov-west-1"))]
    pub region: Option<String>,

    /// The AWS role that the operator assumes for this work group. When the role changes, the operator uses the new one
    /// from the next call on. A role of another AWS account is refused once an account is recorded. Default: none, the
    /// operator uses its own identity.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^arn:aws[a-z-]*:iam::[0-9]{12}:role/[a-zA-Z0-9_+=,.@/-]+$')")
        .message("roleArn is the ARN of an IAM role, such as arn:aws:iam::123456789012:role/athena-operator-team-a"))]
    pub role_arn: Option<String>,

    /// The external id that the role's trust policy requires.
    #[schemars(length(max = 1224))]
    #[x_kube(validation = Rule::new("self.matches('^[a-zA-Z0-9_+=,.@:/-]{2,}$')")
        .message("externalId is as the role's trust policy has it: 2 or more of letters, digits and _+=,.@:/-"))]
    pub external_id: Option<String>,

    /// The namespaces whose AthenaSessions may refer to this work group. Default: none.
    #[serde(default)]
    pub namespaces: Namespaces,

    /// Allows AthenaSessions to start sessions in this work group, within these limits. `start: {}` allows sessions
    /// with the work group's own settings. Default: no session may be started.
    pub start: Option<StartBounds>,

    /// Limits of each session whose AthenaSession refers to this AthenaWorkGroup, adopted or started. Of the
    /// AthenaSession's own limit and this one the smaller one ends the session, and nothing in the AthenaSession takes it
    /// out of the limit. A limit that is set or lowered applies to the sessions that run, too. Default: no limits.
    pub limits: Option<SessionLimits>,

    /// Rules that end sessions of this work group which no AthenaSession declares. The operator applies them after each complete
    /// list of the work group's sessions, and the command `athena-session-operator cleanup` when it is called. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<Cleanup>,
}

/// Namespaces, as the Gateway API selects them.
#[skip_serializing_none]
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.selector) == (has(self.from) && self.from == 'Selector')")
        .message("from: Selector needs a selector, and All and None take none; the empty selector, {}, matches each namespace"),
    validation = Rule::new("!has(self.selector) || !has(self.selector.matchExpressions) || self.selector.matchExpressions.all(it, \
            it.operator in ['In', 'NotIn'] ? has(it.values) && it.values.size() > 0 : \
            it.operator in ['Exists', 'DoesNotExist'] && (!has(it.values) || it.values.size() == 0))")
        .message("the operators In and NotIn need values, and Exists and DoesNotExist take none; there is no other operator")
        .field_path(".selector.matchExpressions"),
)]
pub struct Namespaces {
    /// All: each namespace. None: no namespace. Selector: the namespaces whose labels match the selector.
    #[serde(default)]
    pub from: From,

    /// Which labels a namespace must have; the empty selector matches each namespace.
    #[schemars(transform = bounded)]
    pub selector: Option<LabelSelector>,
}

/// The API server takes a rule about a list only if it can tell how much it has to read at the most.
fn bounded(selector: &mut Schema) {
    for (place, bound, most) in [
        ("/properties/matchExpressions", "maxItems", 64),
        ("/properties/matchExpressions/items/properties/operator", "maxLength", 64),
    ] {
        if let Some(Value::Object(schema)) = selector.pointer_mut(place) {
            schema.insert(bound.to_owned(), most.into());
        }
    }
}

/// How namespaces are selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum From {
    /// Each namespace.
    All,
    /// No namespace.
    #[default]
    None,
    /// Those that the selector matches.
    Selector,
}

/// How long the sessions of a work group may live.
#[skip_serializing_none]
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionLimits {
    /// How long a session may live, from its start by Athena's clock. Then it is ended, with the reason WorkGroupLimit. A
    /// session that is BUSY has the AthenaSession's terminationGracePeriod, but no more time than this limit once again. A
    /// duration in Go's notation, in whole seconds, such as `90m`, `8h` or `1h30m`; there are no days. It may change at any
    /// time. Default: no limit.
    #[schemars(with = "Option<String>")]
    #[x_kube(validation = duration("maxLifetime"))]
    pub max_lifetime: Option<Duration>,

    /// How long a session may be IDLE without a break. Then it is ended, with the reason WorkGroupLimit. A duration in Go's
    /// notation, in whole seconds, such as `90s`, `30m` or `1h30m`; there are no days. Athena's own idle timeout of a session
    /// that is started is this limit, in whole minutes, or the AthenaSession's maxIdle if that is smaller. Without maxIdle
    /// it is Athena's default, 20 minutes, if that is smaller. It may change at any time. Default: no limit.
    #[schemars(with = "Option<String>")]
    #[x_kube(validation = duration("maxIdle"))]
    pub max_idle: Option<Duration>,
}

/// What the operator last recorded of the work group.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AthenaWorkGroupStatus {
    /// The metadata.generation that this status was made from; -1 while the operator has written no status.
    #[serde(default, deserialize_with = "written")]
    pub observed_generation: Option<i64>,

    /// The work group's name in Athena.
    pub work_group: Option<String>,

    /// The AWS Region that calls for this work group go to.
    pub region: Option<String>,

    /// The AWS account that calls for this work group go to. The operator makes no calls for it in another account.
    pub account_id: Option<String>,

    /// The work group's engine, for example PySpark engine version 3 or Apache Spark version 3.5. It is known at once
    /// if the operator may call GetWorkGroup, or else as soon as there is a session.
    pub engine_version: Option<String>,

    /// How many sessions the work group has in each state, without ended sessions. Sessions in states that the operator
    /// doesn't know are counted together, as UNKNOWN.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "readable")]
    pub sessions: BTreeMap<String, u32>,

    /// How many of these sessions an AthenaSession names, even one that may not use the work group.
    pub declared: Option<u32>,

    /// How many of these sessions no AthenaSession names.
    pub undeclared: Option<u32>,

    /// For each of Athena's operations, how many calls a second the operator found to be allowed in this account and Region.
    /// The operator updates these figures every 5 minutes at the most. An operation that isn't listed is called at the
    /// operator's --athena-rate.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "readable")]
    pub calls_per_second: BTreeMap<String, String>,

    /// What the rules of spec.cleanup match.
    #[serde(default, deserialize_with = "readable")]
    pub cleanup: Option<CleanupStatus>,

    /// Ready: the work group can be used. Reconciling: the operator is working on the object. Stalled: the operator
    /// can't go on without a person. CleanupHeld: the rules of spec.cleanup match sessions, or may match some, that aren't
    /// ended. The last three are absent while they aren't true.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "readable")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

impl AthenaWorkGroup {
    /// The work group's name in Athena.
    pub fn athena_name(&self) -> String {
        self.spec.work_group.clone().unwrap_or_else(|| self.name_any())
    }

    /// The Region that it names, or that was recorded for it.
    pub fn region(&self) -> Option<&str> {
        let recorded = self.status.as_ref().and_then(|status| status.region.as_deref());
        self.spec.region.as_deref().or(recorded)
    }

    /// The account that was recorded for it.
    pub fn account(&self) -> Option<&str> {
        self.status.as_ref().and_then(|status| status.account_id.as_deref())
    }
}
