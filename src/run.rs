//! `run`: from start-up to shutdown.

use std::error::Error as _;
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
use crate::config;
use crate::events::Events;
use crate::session::act::Shell;
use crate::session::controller;
use crate::session::view::{Account, Scope};
use crate::text::chain;

/// Running passes get so long to finish at shutdown. What is abandoned then is as after a crash, safe.
const SHUTDOWN: Duration = Duration::from_secs(4);

/// The longest wait between two attempts to reach the API server at start-up.
const MOST_WAIT: Duration = Duration::from_secs(30);

/// A watch is renewed within 290 s, so a connection that is silent for longer is dead. Without this the
/// list that a watch starts with could hang on it for ever, and no deletion would be seen.
const MOST_SILENCE: Duration = Duration::from_secs(295);

/// Why the operator can't start. Anything that may pass by itself is waited for instead.
#[derive(Debug, Error)]
pub enum StartError {
    /// There is no usable kubeconfig, and this isn't a Pod.
    #[error(
        "no way to a Kubernetes cluster: set KUBECONFIG to a kubeconfig file, or run in a Pod with a ServiceAccount ({0})"
    )]
    NoCluster(String),
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
    let (client, api_server) = connect().await?;
    tokio::select! {
        () = wait_for_kind(&client, &api_server, options) => {}
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    }
    let athena = Athena::from_environment(options.aws_timeout).await;
    let scope = tokio::select! {
        scope = learn_scope(athena.clone(), options) => scope,
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    };
    let events = Events::start(client.clone(), options.kubernetes_timeout);
    let controllers = apis(&client, &options.watch_namespaces).into_iter().map(|api| {
        let shell = Shell {
            client: client.clone(),
            athena: athena.clone(),
            scope: scope.clone(),
            events: events.clone(),
            timing: options.timing(),
            deadline: options.kubernetes_timeout,
        };
        controller::run(api, shell, stop.clone())
    });
    info!(
        version = env!("CARGO_PKG_VERSION"),
        region = athena.region().unwrap_or("none"),
        namespaces =
            if options.watch_namespaces.is_empty() { "all".to_owned() } else { options.watch_namespaces.join(",") },
        "watching AthenaSessions"
    );
    join_all(controllers).await;
    Ok(())
}

/// The client, and the API server's address.
async fn connect() -> Result<(Client, String), StartError> {
    let mut config = kube::Config::infer().await.map_err(|error| {
        // What it says of Pods is no use where this isn't one.
        StartError::NoCluster(error.source().map_or_else(|| chain(&error), chain))
    })?;
    config.read_timeout = Some(MOST_SILENCE);
    let address = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|error| StartError::Client(Box::new(error)))?;
    Ok((client, address))
}

fn apis<K>(client: &Client, namespaces: &[String]) -> Vec<Api<K>>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    if namespaces.is_empty() {
        vec![Api::all(client.clone())]
    } else {
        namespaces.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect()
    }
}

/// Waits until the API server answers and knows the kind, with few requests.
async fn wait_for_kind(client: &Client, api_server: &str, options: &config::Run) {
    let mut told = None;
    let mut wait = options.backoff_min;
    for api in apis::<PartialObjectMeta<AthenaSession>>(client, &options.watch_namespaces) {
        while let Err(problem) = try_kind(&api, api_server, options.kubernetes_timeout).await {
            if told.as_ref() != Some(&problem) {
                warn!("{problem}; waiting for it");
                told = Some(problem);
            }
            sleep(wait).await;
            wait = (wait * 2).min(MOST_WAIT);
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
        Ok(Err(error)) => {
            let why = error.source().map_or_else(|| chain(&error), chain);
            Err(format!("the Kubernetes API server {api_server} can't be used: {why}"))
        }
        Err(_) => Err(format!("the Kubernetes API server {api_server} gave no answer within {deadline:?}")),
    }
}

/// Asks once which account calls go to, and goes on asking beside the work if that isn't answered.
async fn learn_scope(athena: Athena, options: &config::Run) -> watch::Receiver<Scope> {
    let region = athena.region().map(str::to_owned);
    let account = match athena.account().await {
        Ok(account) => Account::Known(account),
        Err(why) => Account::Unknown(why),
    };
    let (sender, receiver) = watch::channel(Scope { region, account: account.clone() });
    if let Account::Unknown(why) = account {
        warn!(why, "the AWS account isn't known; it is asked for again");
        tokio::spawn(ask_for_account(athena, sender, options.backoff_min, options.backoff_max));
    }
    receiver
}

async fn ask_for_account(athena: Athena, scope: watch::Sender<Scope>, min: Duration, max: Duration) {
    let mut wait = min;
    loop {
        sleep(wait).await;
        wait = (wait * 2).min(max);
        if let Ok(account) = athena.account().await {
            info!(account, "the AWS account is known now");
            scope.send_modify(|scope| scope.account = Account::Known(account));
            return;
        }
    }
}
