//! The way to the Kubernetes cluster, and what is waited for before work begins.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::{Api, Client, CustomResourceExt, Resource, ResourceExt};
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::api::session::AthenaSession;
use crate::api::work_group::AthenaWorkGroup;
use crate::config;
use crate::run::StartError;
use crate::text::{chain, kubernetes};

/// The longest wait between two attempts to reach the API server at start-up.
const MOST_WAIT: Duration = Duration::from_secs(30);

/// A connection may be silent for so much longer than a watch lives; then it is dead. Without this a
/// list or a watch could hang on it for ever, and no deletion would be seen.
const SILENCE_MARGIN: Duration = Duration::from_secs(5);

/// The client, and the API server's address.
pub async fn connect(watch_timeout: Duration) -> Result<(Client, String), StartError> {
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

/// Waits until the API server answers and knows the kinds, with few requests. Returns the cluster's id: the UID of
/// the namespace kube-system.
pub async fn wait_for_cluster(
    client: &Client,
    namespaces: Option<&BTreeSet<&str>>,
    api_server: &str,
    options: &config::Run,
) -> String {
    let mut wait = Waiting { told: None, next: options.backoff_min };
    let deadline = options.kubernetes_timeout;
    let sessions: Vec<Api<PartialObjectMeta<AthenaSession>>> = match namespaces {
        None => vec![Api::all(client.clone())],
        Some(names) => names.iter().map(|name| Api::namespaced(client.clone(), name)).collect(),
    };
    for api in sessions {
        while let Err(problem) = try_kind(&api, api_server, deadline).await {
            wait.for_it(problem).await;
        }
    }
    let groups: Api<PartialObjectMeta<AthenaWorkGroup>> = Api::all(client.clone());
    while let Err(problem) = try_kind(&groups, api_server, deadline).await {
        wait.for_it(problem).await;
    }
    loop {
        match cluster_id(client, api_server, deadline).await {
            Ok(id) => return id,
            Err(problem) => wait.for_it(problem).await,
        }
    }
}

/// Each problem is told once, and waited for ever longer.
struct Waiting {
    told: Option<String>,
    next: Duration,
}

impl Waiting {
    async fn for_it(&mut self, problem: String) {
        if self.told.as_ref() != Some(&problem) {
            warn!("{problem}; waiting for it");
            self.told = Some(problem);
        }
        sleep(self.next).await;
        self.next = self.next.saturating_mul(2).min(MOST_WAIT);
    }
}

async fn try_kind<K>(api: &Api<PartialObjectMeta<K>>, api_server: &str, deadline: Duration) -> Result<(), String>
where
    K: Resource<DynamicType = ()> + CustomResourceExt + Clone + Debug,
{
    let kind = K::kind(&());
    match timeout(deadline, api.list_metadata(&ListParams::default().limit(1))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(format!(
            "the cluster doesn't know the kind {kind}: install it with `athena-session-operator crds | kubectl apply -f -` ({})",
            K::crd_name()
        )),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            Err(format!("the operator may not list {kind}s: apply the RBAC rules of deploy/ ({})", status.message))
        }
        Ok(Err(error)) => Err(unusable(api_server, &error)),
        Err(_) => Err(silent(api_server, deadline)),
    }
}

async fn cluster_id(client: &Client, api_server: &str, deadline: Duration) -> Result<String, String> {
    let api: Api<Namespace> = Api::all(client.clone());
    match timeout(deadline, api.get_metadata("kube-system")).await {
        Ok(Ok(namespace)) => Ok(namespace.uid().unwrap_or_default()),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(format!(
            "the operator may not read namespaces, on whose labels grants depend: apply the RBAC rules of deploy/ ({})",
            status.message
        )),
        Ok(Err(error)) => Err(unusable(api_server, &error)),
        Err(_) => Err(silent(api_server, deadline)),
    }
}

fn unusable(api_server: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 401 => format!(
            "the Kubernetes API server {api_server} doesn't accept the operator's credentials: renew those in the \
             kubeconfig, or the ServiceAccount's token"
        ),
        error => format!("the Kubernetes API server {api_server} can't be used: {}", kubernetes(error)),
    }
}

fn silent(api_server: &str, deadline: Duration) -> String {
    format!("the Kubernetes API server {api_server} gave no answer within {deadline:?}")
}
