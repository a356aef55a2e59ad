//! The settings of the SDK, and the clients that are made from them: one for Athena and one for STS in each Region.

use std::collections::HashMap;
use std::sync::Arc;

use aws_config::profile;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use parking_lot::Mutex;

use super::connections::Connections;
use super::interceptors::Endpoint;
use crate::timing::Timing;

/// The settings that the SDK's default chain found, and the clients that have been made from them.
#[derive(Debug)]
pub(crate) struct Aws {
    pub(super) config: SdkConfig,
    pub(super) timing: Timing,
    pub(super) session_name: String,
    /// What is wrong with the profile that AWS_PROFILE names.
    pub(super) wrong_profile: Option<Arc<str>>,
    clients: Mutex<HashMap<Option<String>, Clients>>,
}

/// The clients of one Region. All roles share them, since each client takes memory.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub(super) athena: aws_sdk_athena::Client,
    pub(super) sts: aws_sdk_sts::Client,
    pub(super) athena_at: Endpoint,
    pub(super) sts_at: Endpoint,
}

impl Aws {
    /// Reads credentials, Region and endpoints by the SDK's default chain, which may ask the instance's metadata.
    /// Neither Athena nor STS is called. `timing` has the deadline of each call. `session_name` names assumed roles in
    /// CloudTrail.
    pub(crate) async fn from_environment(timing: Timing, session_name: String) -> Self {
        let deadline = timing.call_deadline;
        let timeouts = TimeoutConfig::builder().operation_timeout(deadline).connect_timeout(deadline).build();
        // The SDK doesn't retry, so that the operator's back-off and its audit log see each request.
        let config = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .http_client(Connections::default())
            .load()
            .await;
        let wrong_profile = wrong_profile().await.map(Arc::from);
        Self { config, timing, session_name, wrong_profile, clients: Mutex::default() }
    }

    pub(crate) fn region(&self) -> Option<&str> {
        // A manifest may set the variable to an empty text, which names no Region.
        self.config.region().map(AsRef::as_ref).filter(|region| !region.is_empty())
    }

    /// The clients of a Region. They use the operator's own credentials, unless a call is given others.
    pub(super) fn clients(&self, region: Option<&str>) -> Clients {
        let mut clients = self.clients.lock();
        let new = || {
            let mut config = self.config.to_builder();
            config.set_region(region.map(|region| Region::new(region.to_owned())));
            let (config, athena_at, sts_at) = (config.build(), Endpoint::default(), Endpoint::default());
            let athena = aws_sdk_athena::config::Builder::from(&config).interceptor(athena_at.clone()).build();
            let sts = aws_sdk_sts::config::Builder::from(&config).interceptor(sts_at.clone()).build();
            let (athena, sts) = (aws_sdk_athena::Client::from_conf(athena), aws_sdk_sts::Client::from_conf(sts));
            Clients { athena, sts, athena_at, sts_at }
        };
        clients.entry(region.map(str::to_owned)).or_insert_with(new).clone()
    }
}

/// What is wrong where AWS_PROFILE names a profile that no file has. The SDK ignores the variable then, and might use
/// credentials that nobody meant: those of the machine, say.
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
