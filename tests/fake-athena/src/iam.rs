//! IAM: which identity may do what, by its policies. Off unless [`Config::policies`](crate::Config) is set.
//!
//! Actions and resources are compared literally, with IAM's wildcards. A policy element that this file doesn't know is refused
//! when the policy is read. Otherwise the fake might allow more, or less, than AWS would by the same policy.
//!
//! For GetSession, GetSessionStatus and TerminateSession the service authorization reference says that the work group is
//! required, and the session is optional. Here both must be allowed: a policy that allows both works, whichever of them AWS
//! checks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    error::ApiError,
    operations::session_of,
    request::{Protocol, Request},
    sts,
    world::{Place, World, read_tags},
};

/// An identity-based policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Policy {
    /// The version of the policy language.
    version: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    statement: OneOrMany<Statement>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Version {
    #[serde(rename = "2012-10-17")]
    Current,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    effect: Effect,
    action: OneOrMany<String>,
    resource: OneOrMany<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    condition: BTreeMap<Operator, BTreeMap<ConditionKey, OneOrMany<String>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Operator {
    StringEquals,
    StringLike,
    #[serde(rename = "ForAllValues:StringEquals")]
    AllEqual,
    #[serde(rename = "ForAllValues:StringLike")]
    AllLike,
    #[serde(rename = "ForAnyValue:StringEquals")]
    AnyEquals,
    #[serde(rename = "ForAnyValue:StringLike")]
    AnyLike,
    DateLessThan,
}

/// What a condition asks about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
enum ConditionKey {
    ResourceTag(String),
    RequestTag(String),
    TagKeys,
    PassedToService,
    TokenIssueTime,
}

impl TryFrom<String> for ConditionKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once('/') {
            Some(("aws:ResourceTag", tag)) => Ok(Self::ResourceTag(tag.to_owned())),
            Some(("aws:RequestTag", tag)) => Ok(Self::RequestTag(tag.to_owned())),
            None if text == "aws:TagKeys" => Ok(Self::TagKeys),
            None if text == "iam:PassedToService" => Ok(Self::PassedToService),
            None if text == "aws:TokenIssueTime" => Ok(Self::TokenIssueTime),
            _ => Err(format!("unknown condition key {text}")),
        }
    }
}

impl From<ConditionKey> for String {
    fn from(key: ConditionKey) -> Self {
        match key {
            ConditionKey::ResourceTag(tag) => format!("aws:ResourceTag/{tag}"),
            ConditionKey::RequestTag(tag) => format!("aws:RequestTag/{tag}"),
            ConditionKey::TagKeys => "aws:TagKeys".to_owned(),
            ConditionKey::PassedToService => "iam:PassedToService".to_owned(),
            ConditionKey::TokenIssueTime => "aws:TokenIssueTime".to_owned(),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn iter(&self) -> std::slice::Iter<'_, T> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::Many(many) => many.iter(),
        }
    }
}

impl Policy {
    /// Reads a policy document.
    ///
    /// # Errors
    /// Where the text isn't a policy document, or has an element that this fake doesn't know.
    pub fn read(document: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(document)
    }
}

/// A right that a call needs.
#[derive(Debug, Default)]
struct Right {
    action: String,
    resource: String,
    resource_tags: BTreeMap<String, String>,
    request_tags: BTreeMap<String, String>,
    passed_to: Option<&'static str>,
    /// When AssumeRole handed out the credentials of the request; None for those of a user.
    issued_at: Option<String>,
}

/// Whether the caller may do what the request asks.
pub(crate) fn authorize(world: &World, place: &Place, request: &Request) -> Result<(), ApiError> {
    let Some(policies) = &world.config.policies else { return Ok(()) };
    let caller = sts::caller(world, place, request.access_key.as_deref());
    let policies = policies.get(&caller.identity).map(Vec::as_slice).unwrap_or_default();
    let credentials = request.access_key.as_ref().and_then(|key| world.credentials.get(key));
    let issued_at = credentials.map(|credentials| credentials.issued_at.to_string());
    for right in rights(world, place, request)? {
        let right = Right { issued_at: issued_at.clone(), ..right };
        let matching = |effect| statements(policies).any(|it| it.effect == effect && it.matches(&right));
        let why = if matching(Effect::Deny) {
            "with an explicit deny in an identity-based policy".to_owned()
        } else if matching(Effect::Allow) {
            continue;
        } else {
            format!("because no identity-based policy allows the {} action", right.action)
        };
        let Right { action, resource, .. } = &right;
        let user = &caller.arn;
        let message = format!("User: {user} is not authorized to perform: {action} on resource: {resource} {why}");
        return Err(match request.protocol {
            Protocol::Json => ApiError::new("AccessDeniedException", message, 400),
            Protocol::Query => ApiError::new("AccessDenied", message, 403),
        });
    }
    Ok(())
}

fn statements(policies: &[Policy]) -> impl Iterator<Item = &Statement> {
    policies.iter().flat_map(|policy| policy.statement.iter())
}

/// The rights that a request takes. A session that doesn't exist is in no work group: Athena says that there is none.
fn rights(world: &World, place: &Place, request: &Request) -> Result<Vec<Right>, ApiError> {
    let Ok(input) = &request.input else { return Ok(Vec::new()) };
    let operation = request.operation.as_str();
    let text = |member: &str| input[member].as_str().unwrap_or_default();
    let group = |action: &str, name: &str| Right {
        action: format!("athena:{action}"),
        resource: place.work_group_arn(name),
        resource_tags: world.config.work_group(name).map(|group| group.tags.clone()).unwrap_or_default(),
        ..Right::default()
    };
    Ok(match operation {
        "GetCallerIdentity" => Vec::new(),
        "AssumeRole" => {
            let resource = sts::parameters(request.body.as_bytes()).remove("RoleArn").unwrap_or_default();
            vec![Right { action: "sts:AssumeRole".to_owned(), resource, ..Right::default() }]
        }
        "ListWorkGroups" => {
            vec![Right { action: "athena:ListWorkGroups".to_owned(), resource: "*".to_owned(), ..Right::default() }]
        }
        "ListSessions" | "GetWorkGroup" => vec![group(operation, text("WorkGroup"))],
        "StartSession" => starting(input, group(operation, text("WorkGroup")))?,
        "TagResource" | "UntagResource" | "ListTagsForResource" => vec![Right {
            action: format!("athena:{operation}"),
            resource: text("ResourceARN").to_owned(),
            resource_tags: world.tags_of(place, text("ResourceARN")),
            request_tags: read_tags(&input["Tags"]).unwrap_or_default(),
            ..Right::default()
        }],
        _ => {
            let named = session_of(input);
            let calculation = || world.calculation(place, text("CalculationExecutionId")).ok();
            let id = named.or_else(|| Some(calculation()?.session.clone()));
            let Some(session) = id.and_then(|id| world.session(place, &id).ok()) else { return Ok(Vec::new()) };
            let of_group = group(operation, &session.work_group);
            let resource = format!("{}/session/{}", of_group.resource, session.id);
            let action = of_group.action.clone();
            let of_session = Right { action, resource, resource_tags: session.tags.clone(), ..Right::default() };
            vec![of_group, of_session]
        }
    })
}

fn starting(input: &Value, of_group: Right) -> Result<Vec<Right>, ApiError> {
    let request_tags = read_tags(&input["Tags"])?;
    let mut rights = Vec::new();
    if !request_tags.is_empty() {
        // The session has no id yet. The placeholder matches only a wildcard.
        let resource = format!("{}/session/new", of_group.resource);
        let action = "athena:TagResource".to_owned();
        rights.push(Right { action, resource, request_tags: request_tags.clone(), ..Right::default() });
    }
    if let Some(role) = input["ExecutionRole"].as_str() {
        let passed_to = Some("athena.amazonaws.com");
        let (action, resource) = ("iam:PassRole".to_owned(), role.to_owned());
        rights.push(Right { action, resource, passed_to, ..Right::default() });
    }
    rights.insert(0, Right { request_tags, ..of_group });
    Ok(rights)
}

impl Statement {
    fn matches(&self, right: &Right) -> bool {
        let action = right.action.to_ascii_lowercase();
        self.action.iter().any(|pattern| is_like(&pattern.to_ascii_lowercase(), &action))
            && self.resource.iter().any(|pattern| is_like(pattern, &right.resource))
            && self
                .condition
                .iter()
                .all(|(operator, keys)| keys.iter().all(|(key, expected)| operator.holds(&right.values(key), expected)))
    }
}

impl Right {
    /// What the request's context has for a key.
    fn values(&self, key: &ConditionKey) -> Vec<&str> {
        fn one(value: Option<&String>) -> Vec<&str> {
            value.map(String::as_str).into_iter().collect()
        }
        match key {
            ConditionKey::ResourceTag(tag) => one(self.resource_tags.get(tag)),
            ConditionKey::RequestTag(tag) => one(self.request_tags.get(tag)),
            ConditionKey::TagKeys => self.request_tags.keys().map(String::as_str).collect(),
            ConditionKey::PassedToService => self.passed_to.into_iter().collect(),
            ConditionKey::TokenIssueTime => one(self.issued_at.as_ref()),
        }
    }
}

impl Operator {
    fn holds(self, values: &[&str], expected: &OneOrMany<String>) -> bool {
        let equals = |value: &&str| expected.iter().any(|it| it == value);
        let is_like = |value: &&str| expected.iter().any(|it| is_like(it, value));
        let time = |text: &str| text.parse::<Timestamp>().ok();
        let is_before = |value: &&str| expected.iter().any(|it| time(value).zip(time(it)).is_some_and(|(a, b)| a < b));
        match self {
            // A condition on a key that isn't there is false. A key with several values needs an operator for sets.
            Self::StringEquals => values.len() == 1 && values.iter().all(equals),
            Self::StringLike => values.len() == 1 && values.iter().all(is_like),
            Self::AllEqual => values.iter().all(equals),
            Self::AllLike => values.iter().all(is_like),
            Self::AnyEquals => values.iter().any(equals),
            Self::AnyLike => values.iter().any(is_like),
            Self::DateLessThan => values.len() == 1 && values.iter().all(is_before),
        }
    }
}

/// IAM's wildcards: `*` stands for any text, `?` for one character.
fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
    // Where the last `*` was, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    let (mut p, mut t) = (0, 0);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, t) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_those_of_iam() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "a", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*/session/*", "arn:x:workgroup/a/session/1", true),
            ("arn:x:workgroup/a", "arn:x:workgroup/a/session/1", false),
            ("*a*b*", "xxaxxbxx", true),
        ] {
            assert_eq!(is_like(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_isnt_known_is_refused_when_a_policy_is_read() {
        let policy =
            |statement: &str| Policy::read(&format!(r#"{{"Version": "2012-10-17", "Statement": [{statement}]}}"#));
        let good = r#"{"Effect": "Allow", "Action": "a:B", "Resource": "*""#;
        assert!(policy(&format!("{good}}}")).is_ok());
        for bad in [
            r#", "NotResource": "*""#,
            r#", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#,
            r#", "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}"#,
            r#", "Condition": {"StringNotEquals": {"aws:TagKeys": "x"}}"#,
        ] {
            assert!(policy(&format!("{good}{bad}}}")).is_err(), "{bad}");
        }
        assert!(policy(r#"{"Effect": "Maybe", "Action": "a:B", "Resource": "*"}"#).is_err());
        assert!(Policy::read(r#"{"Version": "2008-10-17", "Statement": []}"#).is_err());
    }
}
