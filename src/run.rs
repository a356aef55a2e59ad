//! `run`: from start-up to shutdown.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use kube::api::ListParams;
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::{Api, Client, CustomResourceExt};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::api::session::AthenaSession;
use crate::athena::aws::Athena;
use crate::athena::identity::Identity;
use crate::config;
use crate::events::Events;
use crate::session::act::Shell;
use crate::session::controller;
use crate::text::{chain, kubernetes};

/// Running passes get so long to finish at shutdown. What is abandoned then is as after a crash, safe.
const SHUTDOWN: Duration = Duration::from_secs(4);

/// The start waits so long for STS, so that objects needn't say that their account isn't known.
const STS_PATIENCE: Duration = Duration::from_secs(2);

/// The longest wait between two attempts to reach the API server at start-up.
const MOST_WAIT: Duration = Duration::from_secs(30);

/// A connection may be silent for so much longer than a watch lives; then it is dead. Without this a
/// list or a watch could hang on it for ever, and no deletion would be seen.
const SILENCE_MARGIN: Duration = Duration::from_secs(5);

/// Why the operator can't start. Anything that may pass by itself is waited for instead.
#[derive(Debug, Error)]
pub enum StartError {
    /// The kubeconfig that KUBECONFIG names is no use.
    #[error("the kubeconfig {path} can't be used: {why}")]
    Kubeconfig {
        /// What KUBECONFIG says.
        path: String,
        /// Why.
        why: String,
    },
    /// There is no kubeconfig, and this isn't a Pod.
    #[error(
        "no way to a Kubernetes cluster: set KUBECONFIG to a kubeconfig file, or run in a Pod with a ServiceAccount ({0})"
    )]
    NoCluster(String),
    /// The settings contradict themselves.
    #[error("{0}")]
    Settings(String),
    /// The kubeconfig can't be used.
    #[error("the kubeconfig can't be used: {0}")]
    Client(#[source] Box<kube::Error>),
    /// The system refused a signal handler.
    #[error("signals can't be handled: {0}")]
    Signals(#[from] std::io::Error),
}

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
/// As [`StartError`].
pub async fn run(options: config::Run) -> Result<(), StartError> {
    let (stop, stopped) = watch::channel(false);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let operator = operate(&options, stopped);
    tokio::pin!(operator);
    tokio::select! {
        ended = &mut operator => return ended,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    info!("stopping");
    stop.send_replace(true);
    match timeout(SHUTDOWN, operator).await {
        Ok(ended) => ended?,
        Err(_) => warn!("work in hand was abandoned; it is taken up at the next start"),
    }
    info!("stopped");
    Ok(())
}

async fn operate(options: &config::Run, mut stop: watch::Receiver<bool>) -> Result<(), StartError> {
    let namespaces = options.namespaces().map_err(StartError::Settings)?;
    let (client, api_server) = connect(options.watch_timeout).await?;
    tokio::select! {
        () = wait_for_kind(&client, namespaces.as_ref(), &api_server, options) => {}
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    }
    let athena = Athena::from_environment(options.aws_timeout).await;
    let identity = Arc::new(Identity::new(athena.clone()));
    let (asking, interval, min) = (Arc::clone(&identity), options.poll_interval, options.backoff_min);
    tokio::spawn(async move { asking.keep(interval, min).await });
    // Later on whoever needs the account waits for it by himself.
    let _ = timeout(STS_PATIENCE, identity.asked()).await;
    let events = Events::start(client.clone(), options.kubernetes_timeout);
    let controllers = apis(&client, namespaces.as_ref()).into_iter().map(|api| {
        let shell = Shell {
            client: client.clone(),
            athena: athena.clone(),
            identity: Arc::clone(&identity),
            events: events.clone(),
            timing: options.timing(),
            deadline: options.kubernetes_timeout,
        };
        controller::run(api, shell, options.watch_timeout, stop.clone())
    });
    info!(
        version = env!("CARGO_PKG_VERSION"),
        region = athena.region().unwrap_or("none"),
        namespaces = namespaces.map_or_else(|| "all".to_owned(), |names| Vec::from_iter(names).join(",")),
        "watching AthenaSessions"
    );
    join_all(controllers).await;
    Ok(())
}

/// The client, and the API server's address.
async fn connect(watch_timeout: Duration) -> Result<(Client, String), StartError> {
    let mut config = kube::Config::infer().await.map_err(|error| {
        // What it says of Pods is no use where this isn't one.
        let why = error.source().map_or_else(|| chain(&error), chain);
        // Behind the arrow comes an excerpt of the file, which may hold a token.
        let why = why.split(" -->").next().unwrap_or_default().to_owned();
        match std::env::var("KUBECONFIG").ok().filter(|path| !path.is_empty()) {
            Some(path) => StartError::Kubeconfig { path, why },
            None => StartError::NoCluster(why),
        }
    })?;
    config.read_timeout = Some(watch_timeout + SILENCE_MARGIN);
    config.reset_reader_on_write = true;
    let address = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|error| StartError::Client(Box::new(error)))?;
    Ok((client, address))
}

fn apis<K>(client: &Client, namespaces: Option<&BTreeSet<&str>>) -> Vec<Api<K>>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespaces {
        None => vec![Api::all(client.clone())],
        Some(names) => names.iter().map(|name| Api::namespaced(client.clone(), name)).collect(),
    }
}

/// Waits until the API server answers and knows the kind, with few requests.
async fn wait_for_kind(client: &Client, namespaces: Option<&BTreeSet<&str>>, api_server: &str, options: &config::Run) {
    let mut told = None;
    let mut wait = options.backoff_min;
    for api in apis::<PartialObjectMeta<AthenaSession>>(client, namespaces) {
        while let Err(problem) = try_kind(&api, api_server, options.kubernetes_timeout).await {
            if told.as_ref() != Some(&problem) {
                warn!("{problem}; waiting for it");
                told = Some(problem);
            }
            sleep(wait).await;
            wait = wait.saturating_mul(2).min(MOST_WAIT);
        }
    }
}

async fn try_kind(
    api: &Api<PartialObjectMeta<AthenaSession>>,
    api_server: &str,
    deadline: Duration,
) -> Result<(), String> {
    match timeout(deadline, api.list_metadata(&ListParams::default().limit(1))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(format!(
            "the cluster doesn't know the kind AthenaSession: install it with `athena-session-operator crds | kubectl \
             apply -f -` ({})",
            AthenaSession::crd_name()
        )),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(format!(
            "the operator may not list AthenaSessions: apply the RBAC rules of deploy/ ({})",
            status.message
        )),
        Ok(Err(kube::Error::Api(status))) if status.code == 401 => Err(format!(
            "the Kubernetes API server {api_server} doesn't accept the operator's credentials: renew those in the \
             kubeconfig, or the ServiceAccount's token"
        )),
        Ok(Err(error)) => Err(format!("the Kubernetes API server {api_server} can't be used: {}", kubernetes(&error))),
        Err(_) => Err(format!("the Kubernetes API server {api_server} gave no answer within {deadline:?}")),
    }
}
