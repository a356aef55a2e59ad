//! The connection to the Kubernetes cluster. At start-up the operator waits here until the API server lets it watch all
//! kinds that it needs, and later whenever the API server refuses a watch.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, WatchParams};
use kube::client::ClientBuilder;
use kube::config::KubeconfigError;
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::api::session::AthenaSession;
use crate::api::work_group::AthenaWorkGroup;
use crate::bodies::Bounds;
use crate::health::Readiness;
use crate::kubernetes::{RequestFailure, describe, within};
use crate::text::chain;

const MOST_WAIT: Duration = Duration::from_secs(30);

/// A connection that has been silent for so much longer than a watch lives is dead, and is given up. Otherwise a list or a
/// watch could hang on the connection for ever, and the operator would see no deletion.
const SILENCE_MARGIN: Duration = Duration::from_secs(5);

/// What /readyz calls the wait at start-up.
const CLUSTER: &str = "cluster";

pub(crate) trait Watchable: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned {}

impl<K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned> Watchable for K {}

#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("the kubeconfig {path} can't be used: {why}")]
    Kubeconfig { path: String, why: String },
    #[error(
        "no Kubernetes cluster is configured: set KUBECONFIG to a kubeconfig file, or run in a Pod with a \
         ServiceAccount ({0})"
    )]
    NoCluster(String),
    #[error("the kubeconfig can't be used: {0}")]
    Client(#[source] Box<kube::Error>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub watch: Duration,
    /// The deadline of each other request.
    pub request: Duration,
    pub first_wait: Duration,
}

/// The API server, and where trouble with it is reported.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// The usual client. Its answers have only parts of objects that are large.
    pub client: Client,
    /// A client whose answers have AthenaSessions whole. It is for a few requests at once.
    pub whole: Client,
    pub readiness: Readiness,
    timeouts: Timeouts,
    address: String,
}

impl Cluster {
    /// Connects as the kubeconfig, or the Pod, says. Nothing is asked yet.
    pub(crate) async fn connect(timeouts: Timeouts, readiness: Readiness) -> Result<Self, ConnectError> {
        let mut config = kube::Config::infer().await.map_err(|error| {
            let (file, why) = no_kubeconfig(&error);
            match std::env::var("KUBECONFIG").ok().filter(|path| !path.is_empty()) {
                Some(paths) => ConnectError::Kubeconfig { path: file.unwrap_or(paths), why },
                None => ConnectError::NoCluster(file.map_or_else(|| why.clone(), |file| format!("{file}: {why}"))),
            }
        })?;
        config.read_timeout = Some(timeouts.watch + SILENCE_MARGIN);
        config.reset_reader_on_write = true;
        let address = config.cluster_url.to_string();
        let client = |is_whole| -> Result<Client, ConnectError> {
            let builder = ClientBuilder::try_from(config.clone());
            let builder = builder.map_err(|error| ConnectError::Client(Box::new(error)))?;
            Ok(builder.with_layer(&Bounds { is_whole }).build())
        };
        let (client, whole) = (client(false)?, client(true)?);
        readiness.set(CLUSTER, Err("the API server hasn't answered yet".to_owned()));
        Ok(Self { client, whole, readiness, timeouts, address })
    }

    /// Waits until the API server answers, knows the kinds, and lets the operator watch them. Returns the cluster's id, which
    /// is the UID of the namespace kube-system.
    pub(crate) async fn wait(&self, namespaces: Option<&BTreeSet<&str>>) -> String {
        let scopes = namespaces.map_or_else(|| vec![None], |names| names.iter().copied().map(Some).collect());
        for namespace in scopes {
            let api: Api<PartialObjectMeta<AthenaSession>> = self.api(namespace);
            self.until_watchable(CLUSTER, &api).await;
        }
        let api: Api<PartialObjectMeta<AthenaWorkGroup>> = Api::all(self.client.clone());
        self.until_watchable(CLUSTER, &api).await;
        let mut wait = Wait::of(self, CLUSTER);
        loop {
            match self.id().await {
                Ok(id) => {
                    self.readiness.set(CLUSTER, Ok(()));
                    return id;
                }
                Err(problem) => wait.for_it(problem).await,
            }
        }
    }

    pub(crate) fn api<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match namespace {
            None => Api::all(self.client.clone()),
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
        }
    }

    pub(crate) fn watch_config(&self) -> watcher::Config {
        watcher::Config::default().timeout(u32::try_from(self.timeouts.watch.as_secs().max(1)).unwrap_or(u32::MAX))
    }

    /// Passes on the events of the watch of `api`, and reports trouble with the watch. When the API server refuses the watch,
    /// since it doesn't know the kind any more, say, `/readyz` fails, and the watch isn't tried again until a list and a watch
    /// succeed, as at start-up.
    pub(crate) fn report_trouble<K, T, S>(
        &self,
        api: Api<K>,
        changes: S,
    ) -> impl Stream<Item = Result<T, watcher::Error>> + use<K, T, S>
    where
        K: Watchable,
        S: Stream<Item = Result<T, watcher::Error>>,
    {
        let log = Mutex::new(TroubleLog::new(name_of(&api)));
        let watch = Arc::new(ReportedWatch { log, cluster: self.clone(), api });
        changes.then(move |change| {
            let watch = change.is_err().then(|| Arc::clone(&watch));
            async move {
                if let (Some(watch), Err(error)) = (watch, &change) {
                    watch.trouble(error).await;
                }
                change
            }
        })
    }

    async fn until_watchable<K: Watchable>(&self, name: &str, api: &Api<K>) {
        let mut wait = Wait::of(self, name);
        while let Err(problem) = self.try_watch(api).await {
            wait.for_it(problem).await;
        }
    }

    async fn try_watch<K: Watchable>(&self, api: &Api<K>) -> Result<(), String> {
        let (one, watch) = (ListParams::default().limit(1), WatchParams::default());
        let listed = within(self.timeouts.request, api.list_metadata(&one)).await;
        let listed = listed.map_err(|failure| self.problem::<K>("list", &failure))?;
        let version = listed.metadata.resource_version.unwrap_or_default();
        let watched = within(self.timeouts.request, api.watch_metadata(&watch, &version)).await;
        watched.map(drop).map_err(|failure| self.problem::<K>("watch", &failure))
    }

    async fn id(&self) -> Result<String, String> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        match within(self.timeouts.request, api.get_metadata("kube-system")).await {
            Ok(namespace) => Ok(namespace.uid().unwrap_or_default()),
            Err(failure) if failure.code() == Some(403) => Err(format!(
                "the operator may not read namespaces, on whose labels grants depend: apply the RBAC rules of deploy/ ({})",
                failure.words()
            )),
            Err(failure) => Err(self.unusable(&failure)),
        }
    }

    fn problem<K: Watchable>(&self, verb: &str, failure: &RequestFailure) -> String {
        let (kind, plural, group) = (K::kind(&()), K::plural(&()), K::group(&()));
        match failure.code() {
            Some(404) if group == AthenaSession::group(&()) => format!(
                "the cluster doesn't know the kind {kind} ({plural}.{group}): install it with `kubectl apply -k deploy`"
            ),
            Some(403) => {
                format!("the operator may not {verb} {kind}s: apply the RBAC rules of deploy/ ({})", failure.words())
            }
            _ => self.unusable(failure),
        }
    }

    fn unusable(&self, failure: &RequestFailure) -> String {
        let address = &self.address;
        match failure {
            RequestFailure::Silent(deadline) => {
                format!("the Kubernetes API server {address} gave no answer within {deadline:?}")
            }
            RequestFailure::Error(_) if failure.code() == Some(401) => format!(
                "the Kubernetes API server {address} doesn't accept the operator's credentials: renew those in the \
                 kubeconfig, or the ServiceAccount's token"
            ),
            RequestFailure::Error(error) => {
                format!("the Kubernetes API server {address} can't be used: {}", describe(error))
            }
        }
    }
}

/// Logs each problem of a watch once, not at each retry.
#[derive(Debug)]
pub(crate) struct TroubleLog {
    watch: String,
    last: Option<(String, Instant)>,
}

impl TroubleLog {
    /// After so long a problem that goes on is logged again.
    const AGAIN: Duration = Duration::from_secs(600);

    pub(crate) fn new(watch: String) -> Self {
        Self { watch, last: None }
    }

    pub(crate) fn report(&mut self, problem: &str) {
        let is_logged = self.last.as_ref().is_some_and(|(last, at)| last == problem && at.elapsed() < Self::AGAIN);
        if !is_logged {
            warn!(problem, "the {} fails; the operator tries again, at least every 30 s", self.watch);
            self.last = Some((problem.to_owned(), Instant::now()));
        }
    }
}

pub(crate) fn watch_problem(error: &watcher::Error) -> String {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<kube::Error>());
    cause.map_or_else(|| chain(error), describe)
}

struct ReportedWatch<K> {
    cluster: Cluster,
    api: Api<K>,
    log: Mutex<TroubleLog>,
}

impl<K: Watchable> ReportedWatch<K> {
    /// Reports the error, and returns when the watch may be tried again.
    async fn trouble(&self, error: &watcher::Error) {
        let name = name_of(&self.api);
        let problem = if is_refusal(error) { self.cluster.try_watch(&self.api).await.err() } else { None };
        let Some(problem) = problem else {
            // The trouble passes by itself, or has passed already.
            return self.log.lock().report(&watch_problem(error));
        };
        Wait::of(&self.cluster, &name).for_it(problem).await;
        self.cluster.until_watchable(&name, &self.api).await;
        self.cluster.readiness.remove(&name);
        info!("the {name} works again");
    }
}

/// Waits longer after each try, and reports each problem once, in the log and on `/readyz`.
struct Wait<'a> {
    cluster: &'a Cluster,
    name: &'a str,
    next: Duration,
}

impl<'a> Wait<'a> {
    fn of(cluster: &'a Cluster, name: &'a str) -> Self {
        Self { cluster, name, next: cluster.timeouts.first_wait }
    }

    async fn for_it(&mut self, problem: String) {
        // A problem that several watches have is logged once.
        if !self.cluster.readiness.fails_for(&problem) {
            warn!("{problem}; the operator tries again, and /readyz fails until it succeeds");
        }
        self.cluster.readiness.set(self.name, Err(problem));
        sleep(self.next).await;
        self.next = self.next.saturating_mul(2).min(MOST_WAIT);
    }
}

fn name_of<K: Watchable>(api: &Api<K>) -> String {
    let of = format!("watch of {}s", K::kind(&()));
    api.namespace().map_or_else(|| of.clone(), |namespace| format!("{of} in {namespace}"))
}

/// Whether the API server refuses a watch: it doesn't accept the credentials, denies the right, or doesn't know the kind.
fn is_refusal(error: &watcher::Error) -> bool {
    let code = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => status.code,
        watcher::Error::WatchError(status) => status.code,
        _ => return false,
    };
    [401, 403, 404].contains(&code)
}

/// The path of the kubeconfig that can't be read, if that is the cause; and why there is no usable kubeconfig.
fn no_kubeconfig(error: &kube::config::InferConfigError) -> (Option<String>, String) {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<KubeconfigError>());
    match cause {
        Some(KubeconfigError::ReadConfig(why, path)) => (Some(path.display().to_string()), why.to_string()),
        // Behind the arrow comes an excerpt of the file, which may hold a token.
        _ => (None, chain(cause.map_or(error, |cause| cause)).split(" -->").next().unwrap_or_default().to_owned()),
    }
}
