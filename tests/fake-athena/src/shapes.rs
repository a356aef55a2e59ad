//! The published limits of each operation's input, and the check against them.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::error::ApiError;

type Pattern = &'static LazyLock<Regex>;

enum Shape {
    Text(usize, usize),
    Match(usize, usize, Pattern),
    OneOf(&'static [&'static str]),
    Whole(i64, i64),
    Flag,
    List(&'static Shape),
    Map(&'static Shape, &'static Shape),
    Record(&'static [Member]),
}

struct Member {
    name: &'static str,
    required: bool,
    shape: &'static Shape,
}

const fn required(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, required: true, shape }
}

const fn optional(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, required: false, shape }
}

macro_rules! pattern {
    ($name:ident, $text:literal) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).expect("a pattern of the service model"));
    };
}

pattern!(WORK_GROUP, r"^[a-zA-Z0-9._-]{1,128}$");
pattern!(ROLE, r"^arn:aws[a-z\-]*:iam::[0-9]{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$");
pattern!(PROPERTY_KEY, r"^[\t\x20-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]*$");
pattern!(LOG_GROUP, r"^[a-zA-Z0-9._/-]+$");
pattern!(LOG_STREAM, r"^[^:*]*$");
pattern!(S3_LOCATION, r"^s3://[a-z0-9][a-z0-9\-]*[a-z0-9](/.*)?$");
pattern!(
    KMS_KEY,
    r"^(arn:aws[a-z\-]*:kms:([a-z0-9\-]+):[0-9]{12}:key/?[a-zA-Z_0-9+=,.@\-_/]+|arn:aws[a-z\-]*:kms:([a-z0-9\-]+):[0-9]{12}:alias/?[a-zA-Z_0-9+=,.@\-_/]+|alias/[a-zA-Z0-9/_-]+|[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12})$"
);

const ANY: usize = usize::MAX;

static ANY_TEXT: Shape = Shape::Text(0, ANY);
static FLAG: Shape = Shape::Flag;
static WORK_GROUP_NAME: Shape = Shape::Match(1, 128, &WORK_GROUP);
static DESCRIPTION: Shape = Shape::Text(1, 1024);
static NAME: Shape = Shape::Text(1, 128);
static ROLE_ARN: Shape = Shape::Match(20, 2048, &ROLE);
static SESSION_ID: Shape = Shape::Text(1, 256);
static REQUEST_TOKEN: Shape = Shape::Text(32, 128);
static PAGE_TOKEN: Shape = Shape::Text(0, 2048);
static SHORT_PAGE_TOKEN: Shape = Shape::Text(1, 1024);
static UP_TO_100: Shape = Shape::Whole(1, 100);
static UP_TO_50: Shape = Shape::Whole(1, 50);
static ONE: Shape = Shape::Whole(1, 1);
static RESOURCE_ARN: Shape = Shape::Text(1, 1011);
static TAG_KEY: Shape = Shape::Text(1, 128);
static KMS: Shape = Shape::Match(1, 2048, &KMS_KEY);
static CALCULATION_ID: Shape = Shape::Text(1, 36);
static CODE: Shape = Shape::Text(0, 68_000);

static SESSION_STATE: Shape =
    Shape::OneOf(&["CREATING", "CREATED", "IDLE", "BUSY", "TERMINATING", "TERMINATED", "DEGRADED", "FAILED"]);
static CALCULATION_STATE: Shape =
    Shape::OneOf(&["CREATING", "CREATED", "QUEUED", "RUNNING", "CANCELING", "CANCELED", "COMPLETED", "FAILED"]);

static PROPERTIES: Shape = Shape::Map(&Shape::Match(1, 255, &PROPERTY_KEY), &Shape::Text(0, 51_200));
static TAGS: Shape = Shape::List(&Shape::Record(&[optional("Key", &TAG_KEY), optional("Value", &Shape::Text(0, 256))]));
static ENGINE: Shape = Shape::Record(&[
    optional("CoordinatorDpuSize", &ONE),
    optional("MaxConcurrentDpus", &Shape::Whole(2, 5000)),
    optional("DefaultExecutorDpuSize", &ONE),
    optional("AdditionalConfigs", &PROPERTIES),
    optional("SparkProperties", &PROPERTIES),
    optional(
        "Classifications",
        &Shape::List(&Shape::Record(&[optional("Name", &NAME), optional("Properties", &PROPERTIES)])),
    ),
]);
static MONITORING: Shape = Shape::Record(&[
    optional(
        "CloudWatchLoggingConfiguration",
        &Shape::Record(&[
            required("Enabled", &FLAG),
            optional("LogGroup", &Shape::Match(1, 512, &LOG_GROUP)),
            optional("LogStreamNamePrefix", &Shape::Match(1, 512, &LOG_STREAM)),
            optional("LogTypes", &Shape::Map(&ANY_TEXT, &Shape::List(&ANY_TEXT))),
        ]),
    ),
    optional("ManagedLoggingConfiguration", &Shape::Record(&[required("Enabled", &FLAG), optional("KmsKey", &KMS)])),
    optional(
        "S3LoggingConfiguration",
        &Shape::Record(&[
            required("Enabled", &FLAG),
            optional("KmsKey", &KMS),
            optional("LogLocation", &Shape::Match(0, 1024, &S3_LOCATION)),
        ]),
    ),
]);

static START_SESSION: &[Member] = &[
    required("WorkGroup", &WORK_GROUP_NAME),
    required("EngineConfiguration", &ENGINE),
    optional("Description", &DESCRIPTION),
    optional("ExecutionRole", &ROLE_ARN),
    optional("MonitoringConfiguration", &MONITORING),
    optional("NotebookVersion", &NAME),
    optional("SessionIdleTimeoutInMinutes", &Shape::Whole(1, 480)),
    optional("ClientRequestToken", &REQUEST_TOKEN),
    optional("Tags", &TAGS),
    optional("CopyWorkGroupTags", &FLAG),
];
static ONE_SESSION: &[Member] = &[required("SessionId", &SESSION_ID)];
static LIST_SESSIONS: &[Member] = &[
    required("WorkGroup", &WORK_GROUP_NAME),
    optional("StateFilter", &SESSION_STATE),
    optional("MaxResults", &UP_TO_100),
    optional("NextToken", &PAGE_TOKEN),
];
static TAG_RESOURCE: &[Member] = &[required("ResourceARN", &RESOURCE_ARN), required("Tags", &TAGS)];
static UNTAG_RESOURCE: &[Member] =
    &[required("ResourceARN", &RESOURCE_ARN), required("TagKeys", &Shape::List(&TAG_KEY))];
static LIST_TAGS: &[Member] = &[
    required("ResourceARN", &RESOURCE_ARN),
    optional("NextToken", &SHORT_PAGE_TOKEN),
    optional("MaxResults", &Shape::Whole(75, i64::MAX)),
];
static GET_WORK_GROUP: &[Member] = &[required("WorkGroup", &WORK_GROUP_NAME)];
static LIST_WORK_GROUPS: &[Member] = &[optional("NextToken", &SHORT_PAGE_TOKEN), optional("MaxResults", &UP_TO_50)];
static START_CALCULATION: &[Member] = &[
    required("SessionId", &SESSION_ID),
    optional("Description", &DESCRIPTION),
    optional("CalculationConfiguration", &Shape::Record(&[optional("CodeBlock", &CODE)])),
    optional("CodeBlock", &CODE),
    optional("ClientRequestToken", &REQUEST_TOKEN),
];
static ONE_CALCULATION: &[Member] = &[required("CalculationExecutionId", &CALCULATION_ID)];
static LIST_CALCULATIONS: &[Member] = &[
    required("SessionId", &SESSION_ID),
    optional("StateFilter", &CALCULATION_STATE),
    optional("MaxResults", &UP_TO_100),
    optional("NextToken", &PAGE_TOKEN),
];

/// Checks the input of an operation. An operation that the fake doesn't have is an error too.
pub(crate) fn check_input(operation: &str, input: &Value) -> Result<(), ApiError> {
    let members = match operation {
        "StartSession" => START_SESSION,
        "GetSession" | "GetSessionEndpoint" | "GetSessionStatus" | "TerminateSession" => ONE_SESSION,
        "ListSessions" => LIST_SESSIONS,
        "TagResource" => TAG_RESOURCE,
        "UntagResource" => UNTAG_RESOURCE,
        "ListTagsForResource" => LIST_TAGS,
        "GetWorkGroup" => GET_WORK_GROUP,
        "ListWorkGroups" => LIST_WORK_GROUPS,
        "StartCalculationExecution" => START_CALCULATION,
        "GetCalculationExecution"
        | "GetCalculationExecutionStatus"
        | "GetCalculationExecutionCode"
        | "StopCalculationExecution" => ONE_CALCULATION,
        "ListCalculationExecutions" => LIST_CALCULATIONS,
        _ => return Err(ApiError::new("UnknownOperationException", operation, 400)),
    };
    check_record(members, input, "")
}

fn check(shape: &Shape, value: &Value, path: &str) -> Result<(), ApiError> {
    match shape {
        Shape::Text(min, max) => check_length(*min, *max, text(value, path)?, path),
        Shape::Match(min, max, pattern) => {
            let text = text(value, path)?;
            check_length(*min, *max, text, path)?;
            let rule = || format!("Member must satisfy regular expression pattern: {}", pattern.as_str());
            hold(pattern.is_match(text), value, path, rule)
        }
        Shape::OneOf(values) => {
            let known = values.contains(&text(value, path)?);
            let rule = || format!("Member must satisfy enum value set: [{}]", values.join(", "));
            hold(known, value, path, rule)
        }
        Shape::Whole(min, max) => {
            let number = value.as_i64().ok_or_else(|| wrong_type(path, "an integer"))?;
            let rule = || format!("Member must have value greater than or equal to {min}");
            hold(number >= *min, value, path, rule)?;
            let rule = || format!("Member must have value less than or equal to {max}");
            hold(number <= *max, value, path, rule)
        }
        Shape::Flag => match value {
            Value::Bool(_) => Ok(()),
            _ => Err(wrong_type(path, "a boolean")),
        },
        Shape::List(shape) => {
            let items = value.as_array().ok_or_else(|| wrong_type(path, "a list"))?;
            let mut numbered = (1..).zip(items);
            numbered.try_for_each(|(at, item)| check(shape, item, &format!("{path}.{at}.member")))
        }
        Shape::Map(key, shape) => {
            let entries = value.as_object().ok_or_else(|| wrong_type(path, "a map"))?;
            entries.iter().try_for_each(|(name, value)| {
                check(key, &Value::from(name.as_str()), path)?;
                check(shape, value, &format!("{path}.{name}.member"))
            })
        }
        Shape::Record(members) => check_record(members, value, path),
    }
}

fn check_record(members: &[Member], value: &Value, path: &str) -> Result<(), ApiError> {
    let record = value.as_object().ok_or_else(|| wrong_type(path, "a structure"))?;
    for member in members {
        let dot = if path.is_empty() { "" } else { "." };
        let (first, rest) = member.name.split_at(1);
        let path = format!("{path}{dot}{}{rest}", first.to_lowercase());
        // A member that is null counts as absent in this protocol.
        match record.get(member.name).filter(|value| !value.is_null()) {
            Some(value) => check(member.shape, value, &path)?,
            None => hold(!member.required, &Value::Null, &path, || "Member must not be null".to_owned())?,
        }
    }
    Ok(())
}

fn check_length(min: usize, max: usize, text: &str, path: &str) -> Result<(), ApiError> {
    let length = text.chars().count();
    let value = Value::from(text);
    let rule = || format!("Member must have length greater than or equal to {min}");
    hold(length >= min, &value, path, rule)?;
    let rule = || format!("Member must have length less than or equal to {max}");
    hold(length <= max, &value, path, rule)
}

fn text<'a>(value: &'a Value, path: &str) -> Result<&'a str, ApiError> {
    value.as_str().ok_or_else(|| wrong_type(path, "a string"))
}

fn hold(holds: bool, value: &Value, path: &str, rule: impl FnOnce() -> String) -> Result<(), ApiError> {
    if holds {
        return Ok(());
    }
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Err(ApiError::invalid_request(format!(
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {}",
        rule()
    )))
}

fn wrong_type(path: &str, wanted: &str) -> ApiError {
    let at = if path.is_empty() { "the input" } else { path };
    ApiError::serialization(format!("{at} must be {wanted}"))
}
