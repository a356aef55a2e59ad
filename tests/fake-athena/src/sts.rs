//! The two operations of AWS STS that a client of Athena needs: form-encoded requests, XML answers.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    error::ApiError,
    operations::Reply,
    timeline::after,
    world::{Credentials, Place, World},
};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The life of credentials when the caller doesn't say.
const AN_HOUR: u64 = 3600;

/// A request's parameters.
pub(crate) fn parameters(body: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(body).into_owned().collect()
}

/// Does what a request asks.
pub(crate) fn call(
    world: &mut World,
    place: &Place,
    access_key: Option<&str>,
    operation: &str,
    body: &str,
    now: Timestamp,
) -> Result<Reply, ApiError> {
    let result = match operation {
        "GetCallerIdentity" => identity(world, place, access_key),
        "AssumeRole" => assume_role(world, &parameters(body.as_bytes()), now)?,
        _ => return Err(ApiError::new("InvalidAction", operation, 400)),
    };
    Ok(Reply {
        body: format!(
            "<{operation}Response xmlns=\"{NAMESPACE}\"><{operation}Result>{result}</{operation}Result>\
             <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></{operation}Response>",
            Uuid::new_v4()
        ),
        effect: false,
        session: None,
    })
}

/// Who calls.
pub(crate) struct Caller {
    /// As GetCallerIdentity says it.
    pub(crate) arn: String,
    /// Whose policies count: the role's, or the user's.
    pub(crate) identity: String,
    user_id: String,
}

pub(crate) fn caller(world: &World, place: &Place, access_key: Option<&str>) -> Caller {
    let key = access_key.unwrap_or("anonymous");
    match world.credentials.get(key) {
        Some(credentials) => Caller {
            arn: assumed_role_arn(&credentials.role_arn, &credentials.session_name),
            identity: credentials.role_arn.clone(),
            user_id: format!("AROAFAKE:{}", credentials.session_name),
        },
        None => {
            let arn = format!("arn:{}:iam::{}:user/fake", place.partition(), place.account);
            Caller { identity: arn.clone(), arn, user_id: key.to_owned() }
        }
    }
}

fn identity(world: &World, place: &Place, access_key: Option<&str>) -> String {
    let Caller { arn, user_id, .. } = caller(world, place, access_key);
    let account = &place.account;
    format!("<Arn>{}</Arn><UserId>{}</UserId><Account>{account}</Account>", escape(&arn), escape(&user_id))
}

fn assume_role(world: &mut World, parameters: &HashMap<String, String>, now: Timestamp) -> Result<String, ApiError> {
    let required = |name: &str| {
        let missing = || ApiError::new("ValidationError", format!("{name} is required"), 400);
        parameters.get(name).filter(|it| !it.is_empty()).ok_or_else(missing)
    };
    let role_arn = required("RoleArn")?;
    let session_name = required("RoleSessionName")?;
    let account = match role_arn.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "iam", "", account, role] if role.starts_with("role/") => account,
        _ => {
            let message = format!("{role_arn} is invalid");
            return Err(ApiError::new("ValidationError", message, 400));
        }
    };
    let asked = parameters.get("DurationSeconds").and_then(|it| it.parse().ok());
    let asked = Duration::from_secs(asked.unwrap_or(AN_HOUR));
    let expires_at = after(now, world.config.credentials_life.unwrap_or(asked));
    let id = Uuid::new_v4().simple().to_string().to_uppercase();
    let access_key = format!("ASIA{}", &id[..16]);
    let credentials = Credentials {
        account: account.to_owned(),
        role_arn: role_arn.clone(),
        session_name: session_name.clone(),
        issued_at: now,
        expires_at,
    };
    let arn = escape(&assumed_role_arn(role_arn, session_name));
    world.credentials.insert(access_key.clone(), credentials);
    Ok(format!(
        "<AssumedRoleUser><AssumedRoleId>AROAFAKE:{}</AssumedRoleId><Arn>{arn}</Arn></AssumedRoleUser>\
         <Credentials><AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>fake</SecretAccessKey>\
         <SessionToken>fake</SessionToken><Expiration>{}</Expiration></Credentials>",
        escape(session_name),
        expires_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    ))
}

fn assumed_role_arn(role_arn: &str, session_name: &str) -> String {
    let name = role_arn.rsplit('/').next().unwrap_or_default();
    let owner = role_arn.split(":role/").next().unwrap_or_default();
    let owner = owner.replacen(":iam:", ":sts:", 1);
    format!("{owner}:assumed-role/{name}/{session_name}")
}

/// An error as this protocol writes it.
pub(crate) fn error_body(error: &ApiError) -> String {
    let blame = if error.status < 500 { "Sender" } else { "Receiver" };
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{blame}</Type><Code>{}</Code>\
         <Message>{}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
        escape(&error.code),
        escape(&error.message),
        Uuid::new_v4()
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
