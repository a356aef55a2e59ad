//! The only module that knows the AWS SDK: it makes the calls, with a deadline and without the SDK's
//! own retries, and says what answers and failures mean.
//!
//! All roles share the connections (`connections`) and the clients of a Region. A call is made with the credentials of one role
//! (`role_credentials`), which are handed to that call alone.

mod bounded;
mod connections;
mod role_credentials;

use std::collections::{BTreeMap, HashMap};
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use aws_config::profile;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_athena::client::customize::CustomizableOperation;
use aws_sdk_athena::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
    BeforeTransmitInterceptorContextRef,
};
use aws_sdk_athena::config::{ConfigBag, IdentityCache, Intercept, RuntimeComponents};
use aws_sdk_athena::error::{BoxError, BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_athena::operation::RequestId;
use aws_sdk_athena::primitives::{DateTime, DateTimeFormat};
use aws_sdk_athena::types;
use jiff::{SignedDuration, Timestamp};

use self::bounded::TooLarge;
use self::connections::Connections;
use self::role_credentials::AssumedRole;
use super::clock::Clock;
use super::engine::Engine;
use super::marker::Marker;
use super::recovery::Recovery;
use super::times::Times;
use super::types::{CallError, ErrorClass, Listed, Operation, Session, SessionState, SessionStatus, StartRequest, Way};
use crate::api::start::{Classification, EngineConfiguration, MonitoringConfiguration};
use crate::metrics::Metrics;
use crate::text::{cut, is_hidden, one_line};
use crate::timing::Timing;

/// The way to AWS: what the SDK's default chain found, from which the clients of each Region are made.
#[derive(Debug)]
pub struct Aws {
    config: SdkConfig,
    timing: Timing,
    session_name: String,
    /// What is wrong with the profile that AWS_PROFILE names.
    wrong_profile: Option<Arc<str>>,
    clients: Mutex<HashMap<Option<String>, Clients>>,
}

/// The clients of one Region. All roles share them: a client of its own would cost each role memory.
#[derive(Clone, Debug)]
struct Clients {
    athena: aws_sdk_athena::Client,
    sts: aws_sdk_sts::Client,
    athena_at: Endpoint,
    sts_at: Endpoint,
}

impl Clients {
    fn new(config: &SdkConfig) -> Self {
        let (athena_at, sts_at) = (Endpoint::default(), Endpoint::default());
        let athena = aws_sdk_athena::config::Builder::from(config).interceptor(athena_at.clone()).build();
        let sts = aws_sdk_sts::config::Builder::from(config).interceptor(sts_at.clone()).build();
        let (athena, sts) = (aws_sdk_athena::Client::from_conf(athena), aws_sdk_sts::Client::from_conf(sts));
        Self { athena, sts, athena_at, sts_at }
    }
}

impl Aws {
    /// From the SDK's default chain of credentials, Region and endpoints. Nothing is called but what that
    /// chain asks (the instance's metadata, say). `timing` has the deadline of each call; `session_name` is what
    /// assumed roles' sessions are called in CloudTrail.
    pub async fn from_environment(timing: Timing, session_name: String) -> Self {
        let deadline = timing.call_deadline;
        let timeouts = TimeoutConfig::builder().operation_timeout(deadline).connect_timeout(deadline).build();
        // One attempt is one call: the operator's own back-off and audit log see each one.
        let config = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .http_client(Connections::default())
            .load()
            .await;
        let wrong_profile = wrong_profile().await.map(Arc::from);
        Self { config, timing, session_name, wrong_profile, clients: Mutex::default() }
    }

    /// The Region that the environment names.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        // An empty variable, as a manifest may set it, is none.
        self.config.region().map(AsRef::as_ref).filter(|region| !region.is_empty())
    }

    /// Athena as an identity reaches it. Nothing is called yet.
    #[must_use]
    pub fn athena(&self, way: &Way, metrics: Metrics) -> Athena {
        let region = way.region.as_deref().or(self.region()).map(str::to_owned);
        let clients = self.clients(region.as_deref());
        let role = way.role.as_ref().map(|role| {
            let sts = (clients.sts.clone(), clients.sts_at.clone());
            AssumedRole::new(role.clone(), self.session_name.clone(), sts, self.timing)
        });
        Athena {
            clients,
            role,
            own_credentials: self.config.credentials_provider(),
            wrong_profile: self.wrong_profile.clone(),
            region,
            on_behalf_of: None,
            clock: Arc::default(),
            recovery: Arc::default(),
            metrics,
        }
    }

    /// The clients of a Region, which call with the operator's own credentials unless a call is given others.
    fn clients(&self, region: Option<&str>) -> Clients {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let mut config = self.config.to_builder();
            config.set_region(region.map(|region| Region::new(region.to_owned())));
            Clients::new(&config.build())
        };
        clients.entry(region.map(str::to_owned)).or_insert_with(new).clone()
    }
}

/// Athena, in one account and Region.
#[derive(Clone, Debug)]
pub struct Athena {
    clients: Clients,
    /// Whose credentials the calls are made with; None: the operator's own.
    role: Option<AssumedRole>,
    own_credentials: Option<SharedCredentialsProvider>,
    wrong_profile: Option<Arc<str>>,
    region: Option<String>,
    on_behalf_of: Option<OnBehalfOf>,
    clock: Arc<Clock>,
    recovery: Arc<Recovery>,
    metrics: Metrics,
}

/// An accepted TerminateSession.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The session's new state, which may already be the end.
    pub state: Option<SessionState>,
    /// AWS's id of the request.
    pub request_id: Option<String>,
}

/// A session that was started.
#[derive(Clone, Debug)]
pub struct Started {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: SessionState,
    /// AWS's id of the request.
    pub request_id: Option<String>,
}

impl Athena {
    /// The same, for one object: each call's user agent names it, and so does CloudTrail.
    #[must_use]
    pub fn on_behalf_of(&self, namespace: &str, name: &str) -> Self {
        let agent = format!("athena-session-operator/{} ({namespace}/{name})", env!("CARGO_PKG_VERSION"));
        Self { on_behalf_of: Some(OnBehalfOf { agent }), ..self.clone() }
    }

    /// The Region; None when none is configured.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// How far Athena's clock is ahead of ours, by its answers so far.
    #[must_use]
    pub fn skew(&self) -> Option<SignedDuration> {
        self.clock.skew()
    }

    fn athena_now(&self) -> Timestamp {
        let wall = Timestamp::now();
        wall.checked_add(self.skew().unwrap_or_default()).unwrap_or(wall)
    }

    /// What all answers so far tell of outages.
    #[must_use]
    pub fn recovery(&self) -> &Arc<Recovery> {
        &self.recovery
    }

    /// STS's GetCallerIdentity: the account of the operator's credentials.
    ///
    /// # Errors
    /// As [`CallError`].
    pub async fn account(&self) -> Result<String, CallError> {
        const OPERATION: Operation = Operation::GetCallerIdentity;
        if let Err(no_region) = self.require_settings(OPERATION) {
            // With --require-work-group the operator needs no Region of its own, but it needs credentials. So missing
            // credentials are told before a missing Region.
            return Err(self.credentials_missing().await.unwrap_or(no_region));
        }
        let mut request = self.clients.sts.get_caller_identity().customize();
        if let Some(credentials) = self.credentials(OPERATION).await? {
            let config = aws_sdk_sts::config::Builder::default().credentials_provider(credentials);
            request = request.config_override(config.identity_cache(IdentityCache::no_cache()));
        }
        let answer = self.observed(OPERATION, request.send()).await?;
        let nobody = || own_error(OPERATION, ErrorClass::Unavailable, "NoAccount", "the answer names no account");
        answer.account.filter(|account| is_account(account)).ok_or_else(nobody)
    }

    /// GetSession.
    ///
    /// # Errors
    /// As [`CallError`].
    pub async fn get_session(&self, id: &str) -> Result<Session, CallError> {
        const OPERATION: Operation = Operation::GetSession;
        let credentials = self.credentials(OPERATION).await?;
        let request = self.clients.athena.get_session().session_id(id).customize();
        let answer = self.observed(OPERATION, self.signed(request, credentials).send()).await?;
        require_same(OPERATION, id, answer.session_id.as_deref())?;
        let unusable =
            || own_error(OPERATION, ErrorClass::Unavailable, "NoWorkGroup", "the answer names no work group");
        Ok(Session {
            status: SessionStatus {
                engine: answer.engine_version.as_deref().map(engine_of),
                ..session_status(OPERATION, answer.status, answer.description.as_deref(), self.athena_now())?
            },
            work_group: one_line(&answer.work_group.ok_or_else(unusable)?),
            dpu_execution_millis: answer.statistics.and_then(|statistics| statistics.dpu_execution_in_millis),
        })
    }

    /// GetSessionStatus.
    ///
    /// # Errors
    /// As [`CallError`].
    pub async fn get_session_status(&self, id: &str) -> Result<SessionStatus, CallError> {
        const OPERATION: Operation = Operation::GetSessionStatus;
        let credentials = self.credentials(OPERATION).await?;
        let request = self.clients.athena.get_session_status().session_id(id).customize();
        let answer = self.observed(OPERATION, self.signed(request, credentials).send()).await?;
        require_same(OPERATION, id, answer.session_id.as_deref())?;
        session_status(OPERATION, answer.status, None, self.athena_now())
    }

    /// GetWorkGroup: the engine of a work group.
    ///
    /// # Errors
    /// As [`CallError`].
    pub async fn work_group_engine(&self, work_group: &str) -> Result<Engine, CallError> {
        const OPERATION: Operation = Operation::GetWorkGroup;
        let credentials = self.credentials(OPERATION).await?;
        let request = self.clients.athena.get_work_group().work_group(work_group).customize();
        let answer = self.observed(OPERATION, self.signed(request, credentials).send()).await?;
        let configuration = answer.work_group.and_then(|group| group.configuration);
        let nothing = || own_error(OPERATION, ErrorClass::Invalid, "NoEngine", "the answer names no engine");
        configuration.and_then(|it| effective(it.engine_version)).ok_or_else(nothing)
    }

    /// ListSessions: a page of those in one state, or without a filter.
    ///
    /// # Errors
    /// As [`CallError`].
    pub async fn list_sessions(
        &self,
        work_group: &str,
        filter: Option<&SessionState>,
        token: Option<&str>,
    ) -> Result<Listed, CallError> {
        const OPERATION: Operation = Operation::ListSessions;
        let credentials = self.credentials(OPERATION).await?;
        let request = self.clients.athena.list_sessions().work_group(work_group).max_results(PAGE_SESSIONS.into());
        let request = request.set_state_filter(filter.map(|state| state.as_str().into()));
        let request = request.set_next_token(token.map(str::to_owned)).customize();
        let answer = self.observed(OPERATION, self.signed(request, credentials).send()).await?;
        if answer.next_token.is_some() && answer.next_token.as_deref() == token {
            return Err(own_error(OPERATION, ErrorClass::Invalid, "SamePage", "the next page is the same one"));
        }
        let now = self.athena_now();
        let sessions = answer.sessions.unwrap_or_default();
        let is_page = sessions.len() <= usize::from(PAGE_SESSIONS);
        if !is_page || answer.next_token.as_ref().is_some_and(|token| token.len() > TOKEN_BYTES) {
            return Err(own_error(
                OPERATION,
                ErrorClass::Unavailable,
                "UnusablePage",
                "the page holds more than was asked for",
            ));
        }
        let sessions = sessions.into_iter().filter_map(|summary| {
            // One without an id or a state tells nothing.
            let description = summary.description.as_deref();
            let status = session_status(OPERATION, summary.status, description, now).ok()?;
            let id = summary.session_id.filter(|id| is_session_id(id))?;
            Some((id, SessionStatus { engine: effective(summary.engine_version), ..status }))
        });
        Ok(Listed::of(sessions, answer.next_token))
    }

    /// StartSession. With the same request it is safe to repeat, as long as Athena remembers the token.
    ///
    /// # Errors
    /// As [`CallError`]; with [`ErrorClass::Unavailable`] a session may have been started.
    pub async fn start_session(&self, request: &StartRequest) -> Result<Started, CallError> {
        const OPERATION: Operation = Operation::StartSession;
        let credentials = self.credentials(OPERATION).await?;
        let tags = request.tags.iter().map(|(key, value)| types::Tag::builder().key(key).value(value).build());
        let call = self
            .clients
            .athena
            .start_session()
            .work_group(&request.work_group)
            .client_request_token(&request.token)
            .description(&request.description)
            .engine_configuration(engine(&request.engine))
            .set_notebook_version(request.notebook_version.clone())
            .set_execution_role(request.execution_role.clone())
            .set_monitoring_configuration(request.monitoring.as_ref().map(monitoring).transpose()?)
            .set_tags(Some(tags.collect()))
            .set_copy_work_group_tags(request.copy_work_group_tags)
            .set_session_idle_timeout_in_minutes(request.idle_timeout_minutes)
            .customize();
        let answer = self.observed(OPERATION, self.signed(call, credentials).send()).await?;
        let nobody = || own_error(OPERATION, ErrorClass::Unavailable, "NoSession", "the answer names no session");
        Ok(Started {
            request_id: answer.request_id().map(one_line),
            state: answer.state.as_ref().map_or(SessionState::Creating, |it| state(it, None)),
            id: answer.session_id.filter(|id| is_session_id(id)).ok_or_else(nobody)?,
        })
    }

    /// TerminateSession. Safe to repeat: on a session that is ended or TERMINATING it does nothing.
    ///
    /// # Errors
    /// As [`CallError`]; with [`ErrorClass::Unavailable`] it may have had its effect.
    pub async fn terminate_session(&self, id: &str) -> Result<Accepted, CallError> {
        const OPERATION: Operation = Operation::TerminateSession;
        let credentials = self.credentials(OPERATION).await?;
        let request = self.clients.athena.terminate_session().session_id(id).customize();
        let answer = self.observed(OPERATION, self.signed(request, credentials).send()).await?;
        Ok(Accepted {
            request_id: answer.request_id().map(one_line),
            state: answer.state.as_ref().map(|it| state(it, None)),
        })
    }

    /// Adds with whose credentials and for whom a call is made, and a look at the clock of who answers.
    fn signed<T, E, B>(
        &self,
        request: CustomizableOperation<T, E, B>,
        credentials: Option<Credentials>,
    ) -> CustomizableOperation<T, E, B> {
        let mut request = request;
        if let Some(credentials) = credentials {
            let config = aws_sdk_athena::config::Builder::default().credentials_provider(credentials);
            // Otherwise the SDK makes a cache for each call.
            request = request.config_override(config.identity_cache(IdentityCache::no_cache()));
        }
        let request = request.interceptor(ClockReader { clock: Arc::clone(&self.clock), sent: OnceLock::new() });
        match &self.on_behalf_of {
            Some(object) => request.interceptor(object.clone()),
            None => request,
        }
    }

    /// What a call is made with: the role's credentials; None for the operator's own, which the clients have.
    async fn credentials(&self, operation: Operation) -> Result<Option<Credentials>, CallError> {
        self.require_settings(operation)?;
        let Some(role) = &self.role else { return Ok(None) };
        let began = Instant::now();
        let credentials = role.credentials(operation).await;
        if let Err(error) = &credentials {
            self.ended(operation, Some(error), began);
        }
        credentials.map(Some)
    }

    /// Counts a call, and says what its failure means.
    async fn observed<T, E>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, CallError>
    where
        E: StdError + ProvideErrorMetadata + 'static,
    {
        let began = Instant::now();
        // On the heap: the SDK's futures are large, and each pass would have room for one.
        let answer = Box::pin(call).await.map_err(|error| failure(operation, &error, self.endpoint(operation)));
        self.ended(operation, answer.as_ref().err(), began);
        if let (Some(role), Err(error)) = (&self.role, &answer) {
            role.refused(error);
        }
        answer
    }

    fn ended(&self, operation: Operation, error: Option<&CallError>, began: Instant) {
        self.metrics.called(operation, error, began.elapsed());
        // GetCallerIdentity is answered by STS, which says nothing of an outage of Athena.
        if operation != Operation::GetCallerIdentity {
            self.recovery.heard(operation, error, Instant::now());
        }
    }

    /// Finds out whether Athena answers at all, by a request without a signature. Athena refuses that request before it
    /// looks at what is asked. So the request needs no right, counts against no quota, and doesn't show in CloudTrail.
    ///
    /// # Errors
    /// Where there is no answer, or one that isn't Athena's.
    pub async fn reach(&self) -> Result<(), CallError> {
        // Any operation would do, since Athena refuses each request without a signature.
        const OPERATION: Operation = Operation::GetSessionStatus;
        self.require_settings(OPERATION)?;
        let request = self.clients.athena.get_session_status().session_id("none").customize().interceptor(Unsigned);
        match Box::pin(request.send()).await {
            Ok(_) => Ok(()),
            Err(error) if error.code().is_some() => Ok(()),
            Err(error) => Err(failure(OPERATION, &error, &self.clients.athena_at)),
        }
    }

    fn endpoint(&self, operation: Operation) -> &Endpoint {
        if operation == Operation::GetCallerIdentity { &self.clients.sts_at } else { &self.clients.athena_at }
    }

    fn require_settings(&self, operation: Operation) -> Result<(), CallError> {
        let missing = |code, what: &str| Err(own_error(operation, ErrorClass::NotConfigured, code, what));
        match (&self.wrong_profile, &self.region) {
            (Some(wrong), _) => missing("NoProfile", wrong),
            (None, None) => missing("NoRegion", NO_REGION),
            (None, Some(_)) => Ok(()),
        }
    }

    /// What is wrong with the credentials, as far as that shows without a call to AWS.
    async fn credentials_missing(&self) -> Option<CallError> {
        if self.wrong_profile.is_some() {
            return None;
        }
        let error = match &self.own_credentials {
            Some(provider) => provider.provide_credentials().await.err()?,
            None => CredentialsError::not_loaded_no_source(),
        };
        let (class, code, message) = explain_credentials(&error);
        Some(own_error(Operation::GetCallerIdentity, class, code, message))
    }
}

/// What is wrong where AWS_PROFILE names a profile that no file has; None where all is well. The SDK ignores the variable
/// then, and might find the credentials of somebody else: those of the machine, say.
async fn wrong_profile() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let asked = set("AWS_PROFILE")?;
    // A file that can't be read isn't reported here: the SDK reports it when credentials are needed.
    let found = profile::load(&Default::default(), &Default::default(), &Default::default(), None).await.ok()?;
    if found.get_profile(&asked).is_some() {
        return None;
    }
    let home = set("HOME").unwrap_or_else(|| "~".to_owned());
    let file = |variable, name| set(variable).unwrap_or_else(|| format!("{home}/.aws/{name}"));
    let (config, credentials) = (file("AWS_CONFIG_FILE", "config"), file("AWS_SHARED_CREDENTIALS_FILE", "credentials"));
    Some(format!("there is no profile {asked}, which AWS_PROFILE names, in {config} or {credentials}"))
}

/// Where the calls of a client go, which the SDK's errors don't say.
#[derive(Clone, Debug, Default)]
struct Endpoint(Arc<OnceLock<String>>);

impl Endpoint {
    fn or<'a>(&'a self, otherwise: &'a str) -> &'a str {
        self.0.get().map_or(otherwise, String::as_str)
    }
}

impl Intercept for Endpoint {
    fn name(&self) -> &'static str {
        "Endpoint"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.get_or_init(|| one_line(context.request().uri().trim_end_matches('/')));
        Ok(())
    }
}

/// Takes the signature off a request.
#[derive(Debug)]
struct Unsigned;

impl Intercept for Unsigned {
    fn name(&self) -> &'static str {
        "Unsigned"
    }

    // After signing.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        headers.remove("authorization");
        headers.remove("x-amz-security-token");
        Ok(())
    }
}

/// Names an object in the user agent of its calls.
#[derive(Clone, Debug)]
struct OnBehalfOf {
    agent: String,
}

impl Intercept for OnBehalfOf {
    fn name(&self) -> &'static str {
        "OnBehalfOf"
    }

    // After the SDK has set its own words, and after signing, which leaves this header out.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        let agents = format!("{} {}", headers.get("user-agent").unwrap_or_default(), self.agent);
        headers.insert("user-agent", agents);
        Ok(())
    }
}

/// Reads the date of one call's answer, also where that is an error.
#[derive(Debug)]
struct ClockReader {
    clock: Arc<Clock>,
    sent: OnceLock<Instant>,
}

impl Intercept for ClockReader {
    fn name(&self) -> &'static str {
        "ClockReader"
    }

    fn modify_before_transmit(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.sent.get_or_init(Instant::now);
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok()).and_then(timestamp);
        if let Some((date, sent)) = date.zip(self.sent.get()) {
            self.clock.dated(date, *sent, Instant::now());
        }
        Ok(())
    }
}

/// The most sessions on a page of ListSessions.
const PAGE_SESSIONS: u8 = 100;
/// Athena's tokens for the next page have 2,048 characters at the most.
const TOKEN_BYTES: usize = 2_048;
/// Athena's ids of sessions have 256 characters at the most.
const ID_CHARACTERS: usize = 256;
/// The longest code of an error, and the longest word for a state, have less than half of this.
const CODE_BYTES: usize = 100;

const NO_CREDENTIALS: &str = "no AWS credentials were found: give the operator some, by EKS Pod Identity, web identity, a \
     profile or AWS_ACCESS_KEY_ID";
const NO_REGION: &str = "no AWS Region is configured: set AWS_REGION";

fn session_status(
    operation: Operation,
    status: Option<types::SessionStatus>,
    description: Option<&str>,
    athena_now: Timestamp,
) -> Result<SessionStatus, CallError> {
    let unusable = || own_error(operation, ErrorClass::Unavailable, "NoState", "the answer names no state");
    let status = status.ok_or_else(unusable)?;
    let word = status.state.as_ref().ok_or_else(unusable)?;
    let mut read = SessionStatus {
        state: state(word, None),
        state_change_reason: status.state_change_reason.map(|reason| one_line(&reason)),
        started_at: status.start_date_time.and_then(timestamp),
        idle_since: status.idle_since_date_time.and_then(timestamp),
        ended_at: status.end_date_time.and_then(timestamp),
        marker: description.and_then(Marker::parse).map(Box::new),
        engine: None,
    };
    // An end time that can't be is no sign of an end.
    read.state = state(word, Times::of(&read, athena_now).ended_at);
    Ok(read)
}

/// The engine that runs. The selected version may be AUTO, which is no engine.
fn effective(version: Option<types::EngineVersion>) -> Option<Engine> {
    version.and_then(|version| version.effective_engine_version).as_deref().map(engine_of)
}

fn engine_of(word: &str) -> Engine {
    Engine::from(one_line(word).as_str())
}

fn state(state: &types::SessionState, ended_at: Option<Timestamp>) -> SessionState {
    SessionState::read(state.as_str(), ended_at)
}

/// Whether this can be the id of a session. Ids stand in statuses, events and logs, and are sent back as they came, so that
/// none can be cut.
fn is_session_id(id: &str) -> bool {
    let is_plain = |character: char| !character.is_whitespace() && !is_hidden(character);
    !id.is_empty() && id.chars().count() <= ID_CHARACTERS && id.chars().all(is_plain)
}

fn is_account(account: &str) -> bool {
    account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())
}

fn engine(configuration: &EngineConfiguration) -> types::EngineConfiguration {
    let map = |map: &Option<BTreeMap<String, String>>| map.clone().map(HashMap::from_iter);
    let classification = |it: &Classification| {
        types::Classification::builder().name(&it.name).set_properties(map(&it.properties)).build()
    };
    let classifications = configuration.classifications.as_ref();
    types::EngineConfiguration::builder()
        .set_coordinator_dpu_size(configuration.coordinator_dpu_size)
        .set_max_concurrent_dpus(configuration.max_concurrent_dpus)
        .set_default_executor_dpu_size(configuration.default_executor_dpu_size)
        .set_additional_configs(map(&configuration.additional_configs))
        .set_spark_properties(map(&configuration.spark_properties))
        .set_classifications(classifications.map(|all| all.iter().map(classification).collect()))
        .build()
}

fn monitoring(configuration: &MonitoringConfiguration) -> Result<types::MonitoringConfiguration, CallError> {
    let wrong =
        |error: BuildError| own_error(Operation::StartSession, ErrorClass::Invalid, "Monitoring", &error.to_string());
    let logs = configuration.cloud_watch_logging_configuration.as_ref().map(|it| {
        types::CloudWatchLoggingConfiguration::builder()
            .enabled(it.enabled)
            .set_log_group(it.log_group.clone())
            .set_log_stream_name_prefix(it.log_stream_name_prefix.clone())
            .set_log_types(it.log_types.clone().map(HashMap::from_iter))
            .build()
    });
    let managed = configuration.managed_logging_configuration.as_ref().map(|it| {
        types::ManagedLoggingConfiguration::builder().enabled(it.enabled).set_kms_key(it.kms_key.clone()).build()
    });
    let s3 = configuration.s3_logging_configuration.as_ref().map(|it| {
        types::S3LoggingConfiguration::builder()
            .enabled(it.enabled)
            .set_kms_key(it.kms_key.clone())
            .set_log_location(it.log_location.clone())
            .build()
    });
    Ok(types::MonitoringConfiguration::builder()
        .set_cloud_watch_logging_configuration(logs.transpose().map_err(wrong)?)
        .set_managed_logging_configuration(managed.transpose().map_err(wrong)?)
        .set_s3_logging_configuration(s3.transpose().map_err(wrong)?)
        .build())
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

fn failure<E>(operation: Operation, error: &SdkError<E>, endpoint: &Endpoint) -> CallError
where
    E: StdError + ProvideErrorMetadata + 'static,
{
    let (class, code, message) = explain(error, endpoint);
    let class = if operation == Operation::StartSession { class_of_start(class, &code, &message) } else { class };
    CallError { operation, class, code, message, request_id: error.meta().request_id().map(one_line) }
}

/// What a failure means, its code, and its message.
fn explain<E>(error: &SdkError<E>, endpoint: &Endpoint) -> (ErrorClass, String, String)
where
    E: StdError + ProvideErrorMetadata + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    if let Some(code) = error.code() {
        // To a wrong signature AWS answers with what was signed, the session's token among it.
        let message = error.message().unwrap_or("no message");
        let message = message.split("The Canonical String").next().unwrap_or(message);
        return (class_of(code, status), cut(code, CODE_BYTES), one_line(message.trim_end().trim_end_matches('.')));
    }
    if let Some(error) = cause(error) {
        let (class, code, message) = explain_credentials(error);
        return (class, code.to_owned(), message.to_owned());
    }
    let endpoint = endpoint.or("AWS");
    if cause::<TooLarge>(error).is_some() {
        let message = format!("{endpoint} gave an answer that is larger than any answer of AWS");
        return (ErrorClass::Unavailable, "AnswerTooLarge".to_owned(), message);
    }
    let (code, message) = match (error, status) {
        (SdkError::TimeoutError(_), _) => ("Timeout", format!("{endpoint} gave no answer within --aws-timeout")),
        (_, Some(status)) => {
            ("UnusableAnswer", format!("{endpoint} answered with HTTP status {status}, and not as AWS does"))
        }
        (SdkError::ConstructionFailure(_), None) => {
            ("NoAnswer", format!("the request couldn't be made: {}", innermost(error)))
        }
        (_, None) => (
            "NoAnswer",
            wrong_protocol(error, endpoint)
                .unwrap_or_else(|| format!("{endpoint} can't be reached: {}", innermost(error))),
        ),
    };
    (ErrorClass::Unavailable, code.to_owned(), message)
}

/// What to tell where HTTP and HTTPS meet.
fn wrong_protocol(error: &dyn StdError, endpoint: &str) -> Option<String> {
    // The words of rustls, whose version is the SDK's business.
    if innermost(error).contains("corrupt message of type InvalidContentType") {
        return Some(format!(
            "{endpoint} doesn't speak TLS: write http:// in the endpoint's URL, if that is what it speaks"
        ));
    }
    let is_no_http = cause::<hyper::Error>(error).is_some_and(hyper::Error::is_parse);
    is_no_http.then(|| {
        format!("{endpoint} doesn't speak HTTP: write https:// in the endpoint's URL, if that is what it speaks")
    })
}

/// The message of the innermost cause. The causes around it only name parts of the SDK.
fn innermost(error: &dyn StdError) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    one_line(&innermost.to_string())
}

/// The class, code and message of an error about credentials. The error's own words aren't shown: they may hold secrets,
/// such as the output of a credential process.
fn explain_credentials(error: &CredentialsError) -> (ErrorClass, &'static str, &'static str) {
    let (class, message) = match error {
        CredentialsError::CredentialsNotLoaded(_) => (ErrorClass::NotConfigured, NO_CREDENTIALS),
        // A provider that didn't answer in time may do so later.
        CredentialsError::ProviderTimedOut(_) => {
            (ErrorClass::Unavailable, "the provider of AWS credentials didn't answer in time")
        }
        _ => (
            ErrorClass::NotConfigured,
            "the provider of AWS credentials failed; `aws sts get-caller-identity`, run where the operator runs, says why",
        ),
    };
    (class, "NoCredentials", message)
}

/// By the code, since throttling, denial and expiry aren't among the errors that the operations
/// declare. Codes: "Common Error Types" of the Athena API reference.
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

/// What StartSession is refused for, besides: its messages aren't documented, these are those that clients have met.
fn class_of_start(class: ErrorClass, code: &str, message: &str) -> ErrorClass {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match code {
        "SessionAlreadyExistsException" => ErrorClass::AlreadyStarted,
        "TooManyRequestsException" => ErrorClass::NoCapacity,
        "InvalidRequestException" if says(&["idempoten", "client request token"]) => ErrorClass::AlreadyStarted,
        // Only these two texts are known to pass by waiting. Athena speaks of capacities and quotas also where a request
        // can never be granted: waiting for that would go on for ever.
        "InvalidRequestException" if says(&["maximum allowed sessions", "required capacity not being available"]) => {
            ErrorClass::NoCapacity
        }
        _ => class,
    }
}

/// The cause of this type among the causes of an error.
fn cause<C: StdError + 'static>(error: &dyn StdError) -> Option<&C> {
    std::iter::successors(error.source(), |cause| (*cause).source()).find_map(|cause| cause.downcast_ref())
}
