//! What StartSession is asked for: `AthenaSession.spec.start`, and its bounds in `AthenaWorkGroup.spec.start`.
//!
//! The limits are those of the service model of Athena, version 2017-05-18, so that `kubectl apply` refuses what Athena
//! would. There are no defaults here: the request must be the same bytes whichever version of the CRD stored the object.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// The beginning of the keys of our own tags.
pub const OWN_TAGS: &str = "athena-operator.dev/";

/// The ARN of an IAM role, for CEL, by the service model.
const ROLE: &str = "^arn:aws[a-z-]*:iam::[0-9]{12}:role/?[a-zA-Z_0-9+=,.@/-]+$";

/// Keys of tags that nobody else may write. AWS keeps its own in each spelling.
const RESERVED: &str = "^(athena-operator[.]dev/|[aA][wW][sS]:)";

/// The parameters of a new session. A parameter that isn't set comes from the AthenaWorkGroup, or else from Athena's
/// defaults.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.engineConfiguration) || !has(self.engineConfiguration.additionalConfigs) || \
        !('NotebookId' in self.engineConfiguration.additionalConfigs) || has(self.notebookVersion)")
    .message("additionalConfigs.NotebookId needs notebookVersion: set notebookVersion: Athena notebook version 1")
    .field_path(".notebookVersion"))]
pub struct SessionStart {
    /// The resources of the session, and settings of Spark. Fields that the work group's engine doesn't take are
    /// refused.
    pub engine_configuration: Option<EngineConfiguration>,

    /// The version of the notebook that engineConfiguration.additionalConfigs.NotebookId names: `Athena notebook
    /// version 1`. It is needed only with a NotebookId.
    #[schemars(length(min = 1, max = 128))]
    pub notebook_version: Option<String>,

    /// The IAM role that the session's code runs as; one of those that the AthenaWorkGroup allows. Default: the work
    /// group's own role.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new(format!("self.matches('{ROLE}')"))
        .message("executionRole is the ARN of an IAM role, such as arn:aws:iam::123456789012:role/spark-team-a"))]
    pub execution_role: Option<String>,

    /// Where the session's logs go, if the AthenaWorkGroup allows to choose that. Default: as set in the work group.
    pub monitoring_configuration: Option<MonitoringConfiguration>,

    /// What the session is for, up to 600 characters. The operator appends the name of the object that the session
    /// belongs to.
    #[schemars(length(min = 1, max = 600))]
    #[x_kube(validation = Rule::new("!self.contains('[athena-operator')")
        .message("description must not contain [athena-operator, which marks the operator's own sessions"))]
    pub description: Option<String>,

    /// Tags of the session, up to 40. The AthenaWorkGroup must allow their keys.
    #[schemars(extend("maxProperties" = 40))]
    #[x_kube(validation = Rule::new("self.all(key, size(key) >= 1 && size(key) <= 128 && size(self[key]) <= 256)")
        .message("a tag's key has 1 to 128 characters, and its value 256 at the most"))]
    #[x_kube(validation = Rule::new(format!("!self.exists(key, key.matches('{RESERVED}'))"))
        .message("keys of tags must not begin with athena-operator.dev/ or aws:, which belong to the operator and to AWS"))]
    pub tags: Option<BTreeMap<String, String>>,

    /// Whether the session gets the work group's tags, too. Default: Athena's own default.
    pub copy_work_group_tags: Option<bool>,
}

/// The resources of a session, and Spark's settings.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.sparkProperties) && has(self.classifications))")
    .message("sparkProperties and classifications exclude each other: keep sparkProperties where the work group's engine is PySpark engine version 3, or classifications where it is Spark 3.5"))]
pub struct EngineConfiguration {
    /// The DPUs of the coordinator: 1. For PySpark engine version 3.
    #[schemars(range(min = 1, max = 1))]
    pub coordinator_dpu_size: Option<i32>,

    /// The most DPUs that the session uses at once, 2 to 5000.
    #[schemars(range(min = 2, max = 5000))]
    pub max_concurrent_dpus: Option<i32>,

    /// The DPUs of each executor: 1. For PySpark engine version 3.
    #[schemars(range(min = 1, max = 1))]
    pub default_executor_dpu_size: Option<i32>,

    /// Settings of the notebook, for PySpark engine version 3.
    #[schemars(extend("maxProperties" = 100))]
    #[x_kube(validation = properties())]
    pub additional_configs: Option<BTreeMap<String, String>>,

    /// Spark's properties, for PySpark engine version 3. Spark 3.5 takes them as a classification.
    #[schemars(extend("maxProperties" = 100))]
    #[x_kube(validation = properties())]
    pub spark_properties: Option<BTreeMap<String, String>>,

    /// Settings by classification, for Spark 3.5: `spark-defaults`, say.
    #[schemars(length(max = 20))]
    pub classifications: Option<Vec<Classification>>,
}

/// Settings of one classification.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Classification {
    /// Its name, such as spark-defaults.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,

    /// The settings.
    #[schemars(extend("maxProperties" = 100))]
    #[x_kube(validation = properties())]
    pub properties: Option<BTreeMap<String, String>>,
}

/// Where the session's logs go.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MonitoringConfiguration {
    /// To CloudWatch Logs.
    pub cloud_watch_logging_configuration: Option<CloudWatchLoggingConfiguration>,

    /// To a place that AWS manages.
    pub managed_logging_configuration: Option<ManagedLoggingConfiguration>,

    /// To S3.
    pub s3_logging_configuration: Option<S3LoggingConfiguration>,
}

/// Logs in CloudWatch Logs.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudWatchLoggingConfiguration {
    /// Whether logs go there.
    pub enabled: bool,

    /// The log group.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[a-zA-Z0-9._/-]+$')")
        .message("logGroup has letters, digits and ._/- only"))]
    pub log_group: Option<String>,

    /// The beginning of the names of the log streams.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[^:*]*$')")
        .message("logStreamNamePrefix must not contain : or *"))]
    pub log_stream_name_prefix: Option<String>,

    /// Which logs, by the kind of process: SPARK_DRIVER: [STDOUT, STDERR], say.
    #[schemars(extend("maxProperties" = 20))]
    pub log_types: Option<BTreeMap<String, Vec<String>>>,
}

/// Logs in a place that AWS manages.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedLoggingConfiguration {
    /// Whether logs go there.
    pub enabled: bool,

    /// The KMS key that encrypts them.
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key: Option<String>,
}

/// Logs in S3.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3LoggingConfiguration {
    /// Whether logs go there.
    pub enabled: bool,

    /// The KMS key that encrypts them.
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key: Option<String>,

    /// The place, such as s3://bucket/prefix/.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('^s3://[a-z0-9][a-z0-9-]*[a-z0-9](/.*)?$')")
        .message("logLocation is a place in S3, such as s3://bucket/prefix/"))]
    pub log_location: Option<String>,
}

/// What an AthenaSession may ask for in spec.start. A role, a tag or monitoring that isn't allowed here is refused. A
/// number that isn't set here means no limit.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartBounds {
    /// The IAM roles that a session may run as, besides the work group's own. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 2048)))]
    #[x_kube(validation = Rule::new(format!("self.all(role, role.matches('{ROLE}'))"))
        .message("each of executionRoles is the ARN of an IAM role, such as arn:aws:iam::123456789012:role/spark-team-a"))]
    pub execution_roles: Vec<String>,

    /// The most DPUs that one session may have. A session that sets no maxConcurrentDpus gets this number, unless
    /// engineConfiguration sets a smaller one. Default: no bound.
    #[schemars(range(min = 2, max = 5000))]
    pub max_concurrent_dpus: Option<i32>,

    /// How many sessions that the AthenaSessions of one namespace have started here may exist at once. Further starts
    /// wait. Default: no bound.
    #[schemars(range(min = 1, max = 100_000))]
    pub sessions_per_namespace: Option<u32>,

    /// Whether a session may choose where its logs go.
    pub monitoring: Option<Monitoring>,

    /// The keys of the tags that a session may have, without wildcards. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 128)))]
    #[x_kube(validation = Rule::new(r"self.all(key, key.matches('^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]+$'))")
        .message("each of tagKeys is the key of a tag: letters, digits, spaces and _.:/=+@-"))]
    #[x_kube(validation = Rule::new(format!("!self.exists(key, key.matches('{RESERVED}'))"))
        .message("tagKeys must not begin with athena-operator.dev/ or aws:, which belong to the operator and to AWS"))]
    pub tag_keys: Vec<String>,

    /// Defaults for sessions. Each is used if the AthenaSession doesn't set that field. Defaults that the work group's
    /// engine doesn't take aren't used.
    pub engine_configuration: Option<EngineConfiguration>,
}

/// Whether a session may choose where its logs go: Allowed or Forbidden. Default: Forbidden.
// `kubectl explain` shows this text for the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Monitoring {
    /// A session may choose where its logs go.
    Allowed,
    /// A session may not choose where its logs go.
    Forbidden,
}

/// As the service model has it: keys of 1 to 255 characters, values of 51,200 at the most.
fn properties() -> kube::core::Rule {
    kube::core::Rule::new("self.all(key, size(key) >= 1 && size(key) <= 255 && size(self[key]) <= 51200)")
        .message("a key has 1 to 255 characters, and a value 51200 at the most")
}
