//! What a failed call to AWS means: the class of the failure, its code, and its message for people.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_athena::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_athena::operation::RequestId;

use super::bounded::TooLarge;
use crate::athena::denial::Denial;
use crate::athena::types::{CallError, ErrorClass, Operation};
use crate::text::{cut, one_line};

/// The most that is kept of an error's code. The longest codes that AWS documents have less than half of this.
const CODE_BYTES: usize = 100;

const NO_CREDENTIALS: &str = "no AWS credentials were found: give the operator some, by EKS Pod Identity, web \
     identity, a profile or AWS_ACCESS_KEY_ID";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Explanation {
    pub(super) class: ErrorClass,
    pub(super) code: String,
    pub(super) message: String,
}

impl Explanation {
    fn new(class: ErrorClass, code: &str, message: impl Into<String>) -> Self {
        Self { class, code: code.to_owned(), message: message.into() }
    }

    /// AWS gave no answer, or one that can't be used. The call may have had its effect.
    pub(super) fn unavailable(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Unavailable, code, message)
    }

    pub(super) fn of(self, operation: Operation) -> CallError {
        let Self { class, code, message } = self;
        CallError { operation, class, code, message, request_id: None }
    }
}

/// A failure that the operator finds itself, in what it has or in the answer of AWS.
pub(super) fn own_error(operation: Operation, class: ErrorClass, code: &str, message: &str) -> CallError {
    Explanation::new(class, code, message).of(operation)
}

pub(super) fn unusable(operation: Operation, code: &str, message: &str) -> CallError {
    Explanation::unavailable(code, message).of(operation)
}

pub(super) fn call_error<E>(operation: Operation, error: &SdkError<E>, endpoint: &str) -> CallError
where
    E: StdError + ProvideErrorMetadata + 'static,
{
    let mut explanation = explain(error, endpoint);
    if operation == Operation::StartSession {
        explanation.class = class_of_start(&explanation);
    }
    CallError { request_id: error.meta().request_id().map(one_line), ..explanation.of(operation) }
}

pub(super) fn explain<E>(error: &SdkError<E>, endpoint: &str) -> Explanation
where
    E: StdError + ProvideErrorMetadata + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    if let Some(code) = error.code() {
        // AWS answers a wrong signature with the text to be signed, which holds the session token: a secret.
        let message = error.message().unwrap_or("no message");
        let message = message.split("The Canonical String").next().unwrap_or(message);
        let message = one_line(message.trim_end().trim_end_matches('.'));
        return Explanation::new(class_of(code, status), &cut(code, CODE_BYTES), message);
    }
    if let Some(error) = cause(error) {
        return explain_credentials(error);
    }
    let (code, message) = match (error, status) {
        _ if cause::<TooLarge>(error).is_some() => {
            ("AnswerTooLarge", format!("{endpoint} gave an answer that is larger than any answer of AWS"))
        }
        (SdkError::TimeoutError(_), _) => ("Timeout", format!("{endpoint} gave no answer within --aws-timeout")),
        (_, Some(status)) => {
            ("UnusableAnswer", format!("{endpoint} answered with HTTP status {status}, and not as AWS does"))
        }
        (SdkError::ConstructionFailure(_), None) => {
            ("NoAnswer", format!("the request couldn't be made: {}", innermost(error)))
        }
        (_, None) => ("NoAnswer", unreachable_because(error, endpoint)),
    };
    Explanation::unavailable(code, message)
}

fn unreachable_because(error: &dyn StdError, endpoint: &str) -> String {
    let innermost = innermost(error);
    // These are the words of rustls. Its types can't be asked, since the SDK chooses the version of rustls.
    if innermost.contains("corrupt message of type InvalidContentType") {
        format!("{endpoint} doesn't speak TLS: write http:// in the endpoint's URL, if that is what it speaks")
    } else if cause::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
        format!("{endpoint} doesn't speak HTTP: write https:// in the endpoint's URL, if that is what it speaks")
    } else {
        format!("{endpoint} can't be reached: {innermost}")
    }
}

/// The message of the innermost cause. The causes around it only name parts of the SDK.
fn innermost(error: &dyn StdError) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    one_line(&innermost.to_string())
}

fn cause<C: StdError + 'static>(error: &dyn StdError) -> Option<&C> {
    std::iter::successors(error.source(), |cause| (*cause).source()).find_map(|cause| cause.downcast_ref())
}

/// What an error about credentials means. The error's own text isn't shown, since it may hold secrets.
pub(super) fn explain_credentials(error: &CredentialsError) -> Explanation {
    let (class, message) = match error {
        CredentialsError::CredentialsNotLoaded(_) => (ErrorClass::NotConfigured, NO_CREDENTIALS),
        // The provider may answer in time later.
        CredentialsError::ProviderTimedOut(_) => {
            (ErrorClass::Unavailable, "the provider of AWS credentials didn't answer in time")
        }
        _ => (
            ErrorClass::NotConfigured,
            "the provider of AWS credentials failed: in a Pod, check its Pod Identity association or the role annotation of \
             its ServiceAccount; elsewhere `aws sts get-caller-identity` says why",
        ),
    };
    Explanation::new(class, "NoCredentials", message)
}

/// The class by the code of AWS. The SDK's own types of errors don't help, since the operations don't declare
/// throttling, denial and expiry. The codes are those of "Common Error Types" in the Athena API reference.
fn class_of(code: &str, status: Option<u16>) -> ErrorClass {
    match code {
        "InvalidRequestException" | "ResourceNotFoundException" => ErrorClass::NotFoundOrInvalid,
        "InternalServerException" | "InternalFailure" | "ServiceUnavailable" | "ServiceUnavailableException" => {
            ErrorClass::Unavailable
        }
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "ThrottledException"
        | "RequestThrottledException"
        | "SlowDown" => ErrorClass::Throttled,
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "OptInRequired" | "UnauthorizedOperation" => {
            ErrorClass::Denied
        }
        _ if Denial::of_credentials(code).is_some() => ErrorClass::Denied,
        _ if status.is_some_and(|status| (400..500).contains(&status) && status != 408 && status != 429) => {
            ErrorClass::Invalid
        }
        _ => ErrorClass::Unavailable,
    }
}

/// The class of a failure of StartSession. AWS doesn't document the messages of its refusals: clients of Athena have
/// met these.
fn class_of_start(failure: &Explanation) -> ErrorClass {
    let message = failure.message.to_lowercase();
    let says = |words: [&str; 2]| words.iter().any(|word| message.contains(word));
    match failure.code.as_str() {
        "SessionAlreadyExistsException" => ErrorClass::AlreadyStarted,
        "TooManyRequestsException" => ErrorClass::NoCapacity,
        "InvalidRequestException" if says(["idempoten", "client request token"]) => ErrorClass::AlreadyStarted,
        // Waiting is known to help only for these two messages. Athena also speaks of capacities and quotas where it
        // can never grant the request: waiting for that would go on for ever.
        "InvalidRequestException" if says(["maximum allowed sessions", "required capacity not being available"]) => {
            ErrorClass::NoCapacity
        }
        _ => failure.class,
    }
}
