//! The only file that knows the AWS SDK: it makes the calls, with a deadline and without the SDK's
//! own retries, and says what answers and failures mean.

use std::error::Error as StdError;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_athena::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_athena::operation::RequestId;
use aws_sdk_athena::primitives::DateTime;
use aws_sdk_athena::types;
use jiff::Timestamp;

use super::port::{CallError, ErrorClass, Operation, Session, SessionState, SessionStatus};
use crate::text::{chain, one_line};

/// Athena, in one account and Region.
#[derive(Clone, Debug)]
pub struct Athena {
    athena: aws_sdk_athena::Client,
    sts: aws_sdk_sts::Client,
    region: Option<String>,
}

/// An accepted TerminateSession.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The session's new state, which may already be the end.
    pub state: Option<SessionState>,
    /// AWS's id of the request.
    pub request_id: Option<String>,
}

impl Athena {
    /// Clients from the SDK's default chain of credentials, Region and endpoints. Nothing is called
    /// but what that chain asks (the instance's metadata, say). `deadline` is that of each call.
    pub async fn from_environment(deadline: Duration) -> Self {
        let timeouts = TimeoutConfig::builder().operation_timeout(deadline).connect_timeout(deadline).build();
        // One attempt is one call: the operator's own back-off and audit log see each one.
        let config = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .load()
            .await;
        Self {
            athena: aws_sdk_athena::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            // An empty variable, as a manifest may set it, is none.
            region: config.region().map(ToString::to_string).filter(|region| !region.is_empty()),
        }
    }

    /// The Region; None when none is configured.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The account of the operator's identity.
    ///
    /// # Errors
    /// In one line, why STS's GetCallerIdentity didn't tell.
    pub async fn account(&self) -> Result<String, String> {
        if self.region.is_none() {
            return Err(NO_REGION.to_owned());
        }
        let answer = self.sts.get_caller_identity().send().await;
        let answer = answer.map_err(|error| {
            let (_, code, message) = explain(&error);
            format!("GetCallerIdentity: {code}: {message}")
        })?;
        answer.account.ok_or_else(|| "GetCallerIdentity: the answer names no account".to_owned())
    }

    /// GetSession.
    ///
    /// # Errors
    /// As [`CallError`].
    pub async fn get_session(&self, id: &str) -> Result<Session, CallError> {
        const OPERATION: Operation = Operation::GetSession;
        self.require_region(OPERATION)?;
        let answer =
            self.athena.get_session().session_id(id).send().await.map_err(|error| failure(OPERATION, &error))?;
        require_same(OPERATION, id, answer.session_id.as_deref())?;
        Ok(Session {
            status: session_status(OPERATION, answer.status)?,
            work_group: answer.work_group,
            dpu_execution_millis: answer.statistics.and_then(|statistics| statistics.dpu_execution_in_millis),
        })
    }

    /// GetSessionStatus.
    ///
    /// # Errors
    /// As [`CallError`].
    pub async fn get_session_status(&self, id: &str) -> Result<SessionStatus, CallError> {
        const OPERATION: Operation = Operation::GetSessionStatus;
        self.require_region(OPERATION)?;
        let answer =
            self.athena.get_session_status().session_id(id).send().await.map_err(|error| failure(OPERATION, &error))?;
        require_same(OPERATION, id, answer.session_id.as_deref())?;
        session_status(OPERATION, answer.status)
    }

    /// Looks for a session in its work group: every page of ListSessions, for each known state and
    /// once without a filter. None means that the listing was complete and lacks it.
    ///
    /// # Errors
    /// As [`CallError`], for the first page that fails.
    pub async fn find_session(&self, work_group: &str, id: &str) -> Result<Option<SessionStatus>, CallError> {
        const OPERATION: Operation = Operation::ListSessions;
        self.require_region(OPERATION)?;
        let filters = SessionState::KNOWN.iter().map(|state| Some(state.as_str().into())).chain([None]);
        for filter in filters {
            let mut next_token = None;
            loop {
                let request = self.athena.list_sessions().work_group(work_group).max_results(100);
                let request = request.set_state_filter(Option::clone(&filter)).set_next_token(next_token);
                let answer = request.send().await.map_err(|error| failure(OPERATION, &error))?;
                let found =
                    answer.sessions.unwrap_or_default().into_iter().find(|it| it.session_id.as_deref() == Some(id));
                if let Some(summary) = found {
                    return session_status(OPERATION, summary.status).map(Some);
                }
                next_token = answer.next_token;
                if next_token.is_none() {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// TerminateSession. Safe to repeat: on a session that is ended or TERMINATING it does nothing.
    ///
    /// # Errors
    /// As [`CallError`]; with [`ErrorClass::Unavailable`] it may have had its effect.
    pub async fn terminate_session(&self, id: &str) -> Result<Accepted, CallError> {
        const OPERATION: Operation = Operation::TerminateSession;
        self.require_region(OPERATION)?;
        let answer =
            self.athena.terminate_session().session_id(id).send().await.map_err(|error| failure(OPERATION, &error))?;
        Ok(Accepted {
            request_id: answer.request_id().map(str::to_owned),
            state: answer.state.as_ref().map(|state| SessionState::from(state.as_str())),
        })
    }

    fn require_region(&self, operation: Operation) -> Result<(), CallError> {
        match self.region {
            Some(_) => Ok(()),
            None => Err(own_error(operation, ErrorClass::NotConfigured, "NoRegion", NO_REGION)),
        }
    }
}

const NO_REGION: &str = "no AWS Region is configured: set AWS_REGION";

fn session_status(operation: Operation, status: Option<types::SessionStatus>) -> Result<SessionStatus, CallError> {
    let unusable = || own_error(operation, ErrorClass::Unavailable, "NoState", "the answer names no state");
    let status = status.ok_or_else(unusable)?;
    Ok(SessionStatus {
        state: status.state.as_ref().map(|state| SessionState::from(state.as_str())).ok_or_else(unusable)?,
        state_change_reason: status.state_change_reason.map(|reason| one_line(&reason)),
        started_at: status.start_date_time.and_then(timestamp),
        idle_since: status.idle_since_date_time.and_then(timestamp),
        ended_at: status.end_date_time.and_then(timestamp),
    })
}

fn timestamp(time: DateTime) -> Option<Timestamp> {
    time.to_millis().ok().and_then(|millis| Timestamp::from_millisecond(millis).ok())
}

/// An answer about another session must never count as evidence for this one.
fn require_same(operation: Operation, asked: &str, answered: Option<&str>) -> Result<(), CallError> {
    match answered {
        Some(answered) if answered != asked => {
            Err(own_error(operation, ErrorClass::Unavailable, "WrongSession", "the answer is about another session"))
        }
        _ => Ok(()),
    }
}

fn own_error(operation: Operation, class: ErrorClass, code: &str, message: &str) -> CallError {
    CallError { operation, class, code: code.to_owned(), message: message.to_owned(), request_id: None }
}

fn failure<E>(operation: Operation, error: &SdkError<E>) -> CallError
where
    E: StdError + ProvideErrorMetadata + 'static,
{
    let (class, code, message) = explain(error);
    CallError { operation, class, code, message, request_id: error.meta().request_id().map(str::to_owned) }
}

/// What a failure means, its code, and its message.
fn explain<E>(error: &SdkError<E>) -> (ErrorClass, String, String)
where
    E: StdError + ProvideErrorMetadata + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    if let Some(code) = error.code() {
        return (class_of(code, status), code.to_owned(), one_line(error.message().unwrap_or("no message")));
    }
    let (class, code, message) = match (credentials_error(error), error, status) {
        (Some(CredentialsError::CredentialsNotLoaded(_)), _, _) => {
            (ErrorClass::NotConfigured, "NoCredentials", "no AWS credentials were found".to_owned())
        }
        // A provider that didn't answer in time may do so later.
        (Some(cause @ CredentialsError::ProviderTimedOut(_)), _, _) => {
            (ErrorClass::Unavailable, "NoCredentials", chain(cause))
        }
        (Some(cause), _, _) => (ErrorClass::NotConfigured, "NoCredentials", chain(cause)),
        (None, SdkError::TimeoutError(_), _) => {
            (ErrorClass::Unavailable, "Timeout", "no answer within --aws-timeout".to_owned())
        }
        (None, _, Some(status)) => {
            (ErrorClass::Unavailable, "UnusableAnswer", format!("HTTP status {status}, without an error code"))
        }
        (None, _, None) => (ErrorClass::Unavailable, "NoAnswer", chain(error)),
    };
    (class, code.to_owned(), message)
}

/// By the code, since throttling, denial and expiry aren't among the errors that the operations
/// declare. Codes: "Common Error Types" of the Athena API reference.
fn class_of(code: &str, status: Option<u16>) -> ErrorClass {
    match code {
        "InvalidRequestException" | "ResourceNotFoundException" => ErrorClass::NotFoundOrInvalid,
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "ThrottledException"
        | "RequestThrottledException"
        | "SlowDown" => ErrorClass::Throttled,
        "AccessDeniedException"
        | "AccessDenied"
        | "NotAuthorized"
        | "OptInRequired"
        | "UnauthorizedOperation"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "RequestExpired" => ErrorClass::Denied,
        _ if status.is_some_and(|status| (400..500).contains(&status) && status != 408 && status != 429) => {
            ErrorClass::Invalid
        }
        _ => ErrorClass::Unavailable,
    }
}

fn credentials_error<E: StdError + 'static>(error: &SdkError<E>) -> Option<&CredentialsError> {
    std::iter::successors(StdError::source(error), |cause| (*cause).source())
        .find_map(|cause| cause.downcast_ref::<CredentialsError>())
}
