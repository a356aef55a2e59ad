//! Calls the operations of Athena, and STS's GetCallerIdentity. Each call has a deadline, and is sent once.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Instant;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_athena::client::customize::CustomizableOperation;
use aws_sdk_athena::config::IdentityCache;
use aws_sdk_athena::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_athena::types::Tag;
use jiff::{SignedDuration, Timestamp};

use super::answers::{self, StartSessionAnswer, TerminateSessionAnswer};
use super::clients::{Aws, Clients};
use super::errors::{call_error, explain_credentials, own_error};
use super::interceptors::{CallInterceptor, Unsigned};
use super::role_credentials::AssumedRole;
use super::start_session;
use crate::athena::clock::Clock;
use crate::athena::engine::Engine;
use crate::athena::recovery::Recovery;
use crate::athena::types::{
    AwsTarget, CallError, ErrorClass, Operation, Session, SessionPage, SessionState, SessionStatus, StartRequest,
};
use crate::metrics::Metrics;

const NO_REGION: &str = "no AWS Region is configured: set AWS_REGION";

#[derive(Clone, Debug)]
pub(crate) struct Athena {
    clients: Clients,
    /// The role that is assumed for the calls; None for the operator's own identity.
    role: Option<Arc<AssumedRole>>,
    own_credentials: Option<SharedCredentialsProvider>,
    wrong_profile: Option<Arc<str>>,
    region: Option<String>,
    agent: Option<Arc<str>>,
    clock: Arc<Clock>,
    pub(crate) recovery: Arc<Recovery>,
    metrics: Metrics,
}

impl Athena {
    pub(crate) fn new(aws: &Aws, target: &AwsTarget, metrics: Metrics) -> Self {
        let region = target.region.as_deref().or(aws.region()).map(str::to_owned);
        let clients = aws.clients(region.as_deref());
        Self {
            role: target.role.clone().map(|role| AssumedRole::new(role, aws, &clients)),
            clients,
            own_credentials: aws.config.credentials_provider(),
            wrong_profile: aws.wrong_profile.clone(),
            region,
            agent: None,
            clock: Arc::default(),
            recovery: Arc::default(),
            metrics,
        }
    }

    /// This Athena for the calls about one object. Their user agent, which CloudTrail shows, names the object.
    pub(crate) fn on_behalf_of(&self, namespace: &str, name: &str) -> Self {
        let agent = format!("athena-session-operator/{} ({namespace}/{name})", env!("CARGO_PKG_VERSION"));
        Self { agent: Some(agent.into()), ..self.clone() }
    }

    /// This Athena for the calls that a rule of clean-up leads to. Their user agent, which CloudTrail shows, names the rule.
    pub(crate) fn on_behalf_of_rule(&self, rule: &str) -> Self {
        let agent = format!("athena-session-operator/{} (cleanup {rule})", env!("CARGO_PKG_VERSION"));
        Self { agent: Some(agent.into()), ..self.clone() }
    }

    pub(crate) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// How far Athena's clock is ahead of this machine's, by the answers so far.
    pub(crate) fn skew(&self) -> Option<SignedDuration> {
        self.clock.skew()
    }

    fn athena_now(&self) -> Timestamp {
        let wall = Timestamp::now();
        wall.checked_add(self.skew().unwrap_or_default()).unwrap_or(wall)
    }

    /// GetCallerIdentity of STS: the account that calls go to.
    pub(crate) async fn get_caller_identity(&self) -> Result<String, CallError> {
        const OPERATION: Operation = Operation::GetCallerIdentity;
        if let Err(no_region) = self.require_settings(OPERATION) {
            // With --require-work-group the operator needs no Region of its own, but it needs credentials. So missing
            // credentials are told before a missing Region.
            return Err(self.credentials_missing().await.unwrap_or(no_region));
        }
        let send = |credentials| {
            let request = self.clients.sts.get_caller_identity().customize();
            let Some(credentials) = credentials else { return request.send() };
            let config = aws_sdk_sts::config::Builder::default().credentials_provider(credentials);
            request.config_override(config.identity_cache(IdentityCache::no_cache())).send()
        };
        self.call(OPERATION, send, answers::account).await
    }

    pub(crate) async fn get_session(&self, id: &str) -> Result<Session, CallError> {
        let request = || self.clients.athena.get_session().session_id(id).customize();
        let read = |answer| answers::session(id, answer, self.athena_now());
        self.call(Operation::GetSession, |role| self.prepared(request(), role).send(), read).await
    }

    pub(crate) async fn get_session_status(&self, id: &str) -> Result<SessionStatus, CallError> {
        let request = || self.clients.athena.get_session_status().session_id(id).customize();
        let read = |answer| answers::session_status(id, answer, self.athena_now());
        self.call(Operation::GetSessionStatus, |role| self.prepared(request(), role).send(), read).await
    }

    pub(crate) async fn get_work_group_engine(&self, work_group: &str) -> Result<Engine, CallError> {
        let request = || self.clients.athena.get_work_group().work_group(work_group).customize();
        let send = |role| self.prepared(request(), role).send();
        self.call(Operation::GetWorkGroup, send, answers::work_group_engine).await
    }

    /// ListSessions: one page, of the sessions in one state or without a filter.
    pub(crate) async fn list_sessions(
        &self,
        work_group: &str,
        filter: Option<&SessionState>,
        token: Option<&str>,
    ) -> Result<SessionPage, CallError> {
        let request = || {
            let request = self.clients.athena.list_sessions().work_group(work_group);
            let request = request.set_state_filter(filter.map(|state| state.as_str().into()));
            request.max_results(answers::PAGE_SESSIONS.into()).set_next_token(token.map(str::to_owned)).customize()
        };
        let read = |answer| answers::page(token, answer, self.athena_now());
        self.call(Operation::ListSessions, |role| self.prepared(request(), role).send(), read).await
    }

    /// ListTagsForResource: all tags of the resource with this ARN, by their keys.
    pub(crate) async fn list_tags(&self, arn: &str) -> Result<BTreeMap<String, String>, CallError> {
        const OPERATION: Operation = Operation::ListTagsForResource;
        let mut tags = BTreeMap::new();
        let mut token = None;
        // A resource has 50 tags at the most, and a page 75 at the least.
        for _ in 0..10 {
            let request = self.clients.athena.list_tags_for_resource().resource_arn(arn).set_next_token(token);
            let send = |role| self.prepared(request.customize(), role).send();
            let (page, next) = self.call(OPERATION, send, |answer| Ok(answers::tags(answer))).await?;
            tags.extend(page);
            if next.is_none() {
                return Ok(tags);
            }
            token = next;
        }
        Err(own_error(OPERATION, ErrorClass::Invalid, "EndlessList", "the list of tags has no end"))
    }

    /// TagResource: sets a tag of the resource with this ARN, or replaces its value. The call is safe to repeat. Returns the id of
    /// the request.
    pub(crate) async fn tag(&self, arn: &str, key: &str, value: &str) -> Result<Option<String>, CallError> {
        let tag = Tag::builder().key(key).value(value).build();
        let request = self.clients.athena.tag_resource().resource_arn(arn).tags(tag).customize();
        let read = |answer| Ok(answers::tagged(&answer));
        self.call(Operation::TagResource, |role| self.prepared(request, role).send(), read).await
    }

    /// StartSession. The call is safe to repeat with the same request, as long as Athena remembers the token.
    /// After [`ErrorClass::Unavailable`] a session may have been started.
    pub(crate) async fn start_session(&self, request: &StartRequest) -> Result<StartSessionAnswer, CallError> {
        let request = start_session::build(&self.clients.athena, request)?.customize();
        self.call(Operation::StartSession, |role| self.prepared(request, role).send(), answers::started).await
    }

    /// TerminateSession. The call is safe to repeat: for a session that has ended or is TERMINATING it does nothing.
    /// After [`ErrorClass::Unavailable`] the session may have been ended.
    pub(crate) async fn terminate_session(&self, id: &str) -> Result<TerminateSessionAnswer, CallError> {
        let request = || self.clients.athena.terminate_session().session_id(id).customize();
        let read = |answer| Ok(answers::terminated(&answer));
        self.call(Operation::TerminateSession, |role| self.prepared(request(), role).send(), read).await
    }

    /// Succeeds if Athena answers at all, to a request without a signature. Athena refuses such a request before
    /// it looks at the content. So the request needs no right, counts against no quota, and doesn't show in CloudTrail.
    pub(crate) async fn probe_endpoint(&self) -> Result<(), CallError> {
        // Any operation would do, since Athena refuses each request without a signature.
        const OPERATION: Operation = Operation::GetSessionStatus;
        self.require_settings(OPERATION)?;
        let request = self.clients.athena.get_session_status().session_id("none").customize().interceptor(Unsigned);
        match Box::pin(request.send()).await {
            Ok(_) => Ok(()),
            Err(error) if error.code().is_some() => Ok(()),
            Err(error) => Err(call_error(OPERATION, &error, self.clients.athena_at.url())),
        }
    }

    /// Makes a call with the credentials of the role (None: with the operator's own, which the clients have), and reads the
    /// answer. Counts the call, and says what its failure means.
    async fn call<T, U, E, C>(
        &self,
        operation: Operation,
        send: impl FnOnce(Option<Credentials>) -> C,
        read: impl FnOnce(T) -> Result<U, CallError>,
    ) -> Result<U, CallError>
    where
        E: StdError + ProvideErrorMetadata + 'static,
        C: Future<Output = Result<T, SdkError<E>>>,
    {
        let role = self.role_credentials(operation).await?;
        let began = Instant::now();
        // The SDK's futures are large. On the heap one takes memory only while its call is under way.
        let answer = Box::pin(send(role)).await;
        let is_sts = operation == Operation::GetCallerIdentity;
        let endpoint = if is_sts { &self.clients.sts_at } else { &self.clients.athena_at };
        let answer = answer.map_err(|error| call_error(operation, &error, endpoint.url()));
        let took = began.elapsed();
        // An answer that can't be used shows, too, that there is no outage.
        self.tell_recovery(operation, answer.as_ref().err());
        if let (Some(role), Err(error)) = (&self.role, &answer) {
            role.refused(error);
        }
        let answer = answer.and_then(read);
        self.metrics.called(operation, answer.as_ref().err(), took);
        answer
    }

    async fn role_credentials(&self, operation: Operation) -> Result<Option<Credentials>, CallError> {
        self.require_settings(operation)?;
        let Some(role) = &self.role else { return Ok(None) };
        let began = Instant::now();
        let credentials = role.credentials(operation).await;
        if let Err(error) = &credentials {
            self.tell_recovery(operation, Some(error));
            self.metrics.called(operation, Some(error), began.elapsed());
        }
        credentials.map(Some)
    }

    /// Adds to a request of Athena the role's credentials, the object's name, and the reader of Athena's clock.
    fn prepared<T, E, B>(
        &self,
        mut request: CustomizableOperation<T, E, B>,
        role: Option<Credentials>,
    ) -> CustomizableOperation<T, E, B> {
        if let Some(credentials) = role {
            let config = aws_sdk_athena::config::Builder::default().credentials_provider(credentials);
            // Otherwise the SDK makes a cache for each call.
            request = request.config_override(config.identity_cache(IdentityCache::no_cache()));
        }
        request.interceptor(CallInterceptor::new(self.agent.clone(), Arc::clone(&self.clock)))
    }

    fn tell_recovery(&self, operation: Operation, error: Option<&CallError>) {
        // STS answers GetCallerIdentity, which tells nothing about an outage of Athena.
        if operation != Operation::GetCallerIdentity {
            self.recovery.observe(operation, error, Instant::now());
        }
    }

    fn require_settings(&self, operation: Operation) -> Result<(), CallError> {
        let missing = |code, message: &str| Err(own_error(operation, ErrorClass::NotConfigured, code, message));
        match (&self.wrong_profile, &self.region) {
            (Some(wrong), _) => missing("NoProfile", wrong),
            (None, None) => missing("NoRegion", NO_REGION),
            (None, Some(_)) => Ok(()),
        }
    }

    /// What is wrong with the operator's own credentials, as far as that shows without a call to AWS.
    async fn credentials_missing(&self) -> Option<CallError> {
        if self.wrong_profile.is_some() {
            return None;
        }
        let error = match &self.own_credentials {
            Some(provider) => provider.provide_credentials().await.err()?,
            None => CredentialsError::not_loaded_no_source(),
        };
        Some(explain_credentials(&error).of(Operation::GetCallerIdentity))
    }
}
