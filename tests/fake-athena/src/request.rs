//! What a request asks, in which protocol, and who asks.

use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use serde_json::Value;

use crate::{error::ApiError, operations, sts};

/// The two wire protocols that share the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Athena's awsJson1.1.
    Json,
    /// STS's Query.
    Query,
}

pub(crate) struct Request {
    pub(crate) protocol: Protocol,
    pub(crate) operation: String,
    /// Athena's input, or why it can't be read; null for STS.
    pub(crate) input: Result<Value, ApiError>,
    pub(crate) body: String,
    pub(crate) access_key: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) user_agent: Option<String>,
}

impl Request {
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let form = text(CONTENT_TYPE.as_str()).is_some_and(|it| it.starts_with("application/x-www-form-urlencoded"));
        let (protocol, operation, input) = if form {
            let action = sts::parameters(body).remove("Action");
            (Protocol::Query, action.unwrap_or_default(), Ok(Value::Null))
        } else {
            let target = text("x-amz-target").unwrap_or_default();
            let operation = target.strip_prefix("AmazonAthena.").unwrap_or_default();
            (Protocol::Json, operation.to_owned(), read_json(body))
        };
        let (access_key, region) = credential(text(AUTHORIZATION.as_str()).as_deref());
        Request {
            protocol,
            operation,
            input,
            body: String::from_utf8_lossy(body).into_owned(),
            access_key,
            region,
            user_agent: text(USER_AGENT.as_str()),
        }
    }

    /// The session that the request names.
    pub(crate) fn session(&self) -> Option<String> {
        operations::session_of(self.input.as_ref().ok()?)
    }
}

fn read_json(body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::serialization(format!("the body is not JSON: {error}")))
}

/// The access key id and the Region of a signature: `… Credential=KEY/DATE/REGION/SERVICE/aws4_request, …`.
fn credential(authorization: Option<&str>) -> (Option<String>, Option<String>) {
    let scope = authorization.and_then(|it| it.split_once("Credential="));
    let mut parts = scope.map_or("", |(_, rest)| rest).split(['/', ',']);
    let mut part = || parts.next().filter(|it| !it.is_empty()).map(str::to_owned);
    let key = part();
    let _date = part();
    (key, part())
}
