//! The errors that Athena answers with.

use serde_json::{Map, Value, json};

/// One error answer: a code, a message and the members that the code brings along.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) status: u16,
    resource: Option<String>,
}

impl ApiError {
    pub(crate) fn new(code: &str, message: impl Into<String>, status: u16) -> Self {
        ApiError { code: code.to_owned(), message: message.into(), status, resource: None }
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new("InvalidRequestException", message, 400)
    }

    pub(crate) fn resource_not_found(resource: &str, message: impl Into<String>) -> Self {
        ApiError { resource: Some(resource.to_owned()), ..Self::new("ResourceNotFoundException", message, 400) }
    }

    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", message, 400)
    }

    pub(crate) fn throttled() -> Self {
        Self::new("ThrottlingException", "Rate exceeded", 400)
    }

    pub(crate) fn unsigned() -> Self {
        Self::new("MissingAuthenticationTokenException", "Missing Authentication Token", 400)
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut body = Map::new();
        body.insert("__type".to_owned(), json!(self.code));
        body.insert("Message".to_owned(), json!(self.message));
        match self.code.as_str() {
            "InvalidRequestException" => {
                body.insert("AthenaErrorCode".to_owned(), json!("INVALID_INPUT"));
            }
            "ResourceNotFoundException" => {
                let resource = self.resource.as_deref().unwrap_or("unknown");
                body.insert("ResourceName".to_owned(), json!(resource));
            }
            "TooManyRequestsException" => {
                // The only value that the service model knows.
                let reason = "CONCURRENT_QUERY_LIMIT_EXCEEDED";
                body.insert("Reason".to_owned(), json!(reason));
            }
            _ => {}
        }
        Value::Object(body)
    }
}
