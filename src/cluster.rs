//! The connection to the Kubernetes cluster: waits at start-up until all that the operator needs can be watched, and waits
//! again whenever a watch is refused later.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, WatchParams};
use kube::client::ClientBuilder;
use kube::config::KubeconfigError;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::api::session::AthenaSession;
use crate::api::work_group::AthenaWorkGroup;
use crate::bodies::Bounds;
use crate::config;
use crate::health::Readiness;
use crate::kubernetes::{Failure, within};
use crate::run::StartError;
use crate::text::{Told, chain, kubernetes, watch_problem};

/// The longest wait between two attempts to reach the API server.
const MOST_WAIT: Duration = Duration::from_secs(30);

/// A connection may be silent for so much longer than a watch lives; then it is dead. Without this a
/// list or a watch could hang on it for ever, and no deletion would be seen.
const SILENCE_MARGIN: Duration = Duration::from_secs(5);

/// What /readyz calls the wait at start-up.
const CLUSTER: &str = "cluster";

/// A kind that can be watched.
pub trait Watchable: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned {}

impl<K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned> Watchable for K {}

/// The API server, and where trouble with it is reported.
#[derive(Clone)]
pub struct Cluster {
    /// The client. Of objects that are large its answers have only parts.
    pub client: Client,
    /// Another one, whose answers have AthenaSessions whole: for a few requests at once.
    pub whole: Client,
    address: String,
    /// Of each request.
    deadline: Duration,
    /// The first wait after a failure.
    first_wait: Duration,
    readiness: Readiness,
}

impl Cluster {
    /// As the kubeconfig, or the Pod, says. Nothing is asked yet.
    ///
    /// # Errors
    /// As [`StartError`].
    pub async fn connect(options: &config::Run, readiness: Readiness) -> Result<Self, StartError> {
        let mut config = kube::Config::infer().await.map_err(|error| {
            let (file, why) = no_kubeconfig(&error);
            match std::env::var("KUBECONFIG").ok().filter(|path| !path.is_empty()) {
                Some(paths) => StartError::Kubeconfig { path: file.unwrap_or(paths), why },
                None => StartError::NoCluster(file.map_or_else(|| why.clone(), |file| format!("{file}: {why}"))),
            }
        })?;
        config.read_timeout = Some(options.watch_timeout + SILENCE_MARGIN);
        config.reset_reader_on_write = true;
        let address = config.cluster_url.to_string();
        let client = |is_whole| -> Result<Client, StartError> {
            let builder = ClientBuilder::try_from(config.clone());
            let builder = builder.map_err(|error| StartError::Client(Box::new(error)))?;
            Ok(builder.with_layer(&Bounds { is_whole }).build())
        };
        let (client, whole) = (client(false)?, client(true)?);
        let (deadline, first_wait) = (options.kubernetes_timeout, options.backoff_min);
        readiness.set(CLUSTER, Err("it hasn't been asked yet".to_owned()));
        Ok(Self { client, whole, address, deadline, first_wait, readiness })
    }

    /// Waits until the API server answers, knows the kinds, and lets them be watched, with few requests. Returns the
    /// cluster's id: the UID of the namespace kube-system.
    pub async fn wait(&self, namespaces: Option<&BTreeSet<&str>>) -> String {
        let sessions: Vec<Api<PartialObjectMeta<AthenaSession>>> = match namespaces {
            None => vec![Api::all(self.client.clone())],
            Some(names) => names.iter().map(|name| Api::namespaced(self.client.clone(), name)).collect(),
        };
        for api in sessions {
            self.until_watchable(CLUSTER, &api).await;
        }
        self.until_watchable(CLUSTER, &Api::<PartialObjectMeta<AthenaWorkGroup>>::all(self.client.clone())).await;
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

    /// Passes on the events of the watch of `api`, and reports trouble with the watch. When the API server refuses the watch
    /// (it doesn't know the kind any more, say), `/readyz` fails, and the watch isn't tried again until a list and a watch
    /// succeed, as at start-up.
    pub fn told<K, T, S>(&self, api: Api<K>, changes: S) -> impl Stream<Item = Result<T, watcher::Error>> + use<K, T, S>
    where
        K: Watchable,
        S: Stream<Item = Result<T, watcher::Error>>,
    {
        let watch = Arc::new(ToldWatch { told: Mutex::new(Told::of(name_of(&api))), cluster: self.clone(), api });
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

    /// Waits until a kind can be listed and watched. `name` is what `/readyz` calls the wait.
    async fn until_watchable<K: Watchable>(&self, name: &str, api: &Api<K>) {
        let mut wait = Wait::of(self, name);
        while let Err(problem) = self.try_watch(api).await {
            wait.for_it(problem).await;
        }
    }

    /// Lists one object, and begins to watch from there on.
    async fn try_watch<K: Watchable>(&self, api: &Api<K>) -> Result<(), String> {
        let (one, watch) = (ListParams::default().limit(1), WatchParams::default());
        let listed = within(self.deadline, api.list_metadata(&one)).await;
        let listed = listed.map_err(|failure| self.problem::<K>("list", &failure))?;
        let version = listed.metadata.resource_version.unwrap_or_default();
        let watched = within(self.deadline, api.watch_metadata(&watch, &version)).await;
        watched.map(drop).map_err(|failure| self.problem::<K>("watch", &failure))
    }

    async fn id(&self) -> Result<String, String> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        match within(self.deadline, api.get_metadata("kube-system")).await {
            Ok(namespace) => Ok(namespace.uid().unwrap_or_default()),
            Err(failure) if failure.code() == Some(403) => Err(format!(
                "the operator may not read namespaces, on whose labels grants depend: apply the RBAC rules of deploy/ ({})",
                failure.words()
            )),
            Err(failure) => Err(self.unusable(&failure)),
        }
    }

    /// Why a kind can't be watched, and what to do.
    fn problem<K: Watchable>(&self, verb: &str, failure: &Failure) -> String {
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

    fn unusable(&self, failure: &Failure) -> String {
        let address = &self.address;
        match failure {
            Failure::Silent(deadline) => {
                format!("the Kubernetes API server {address} gave no answer within {deadline:?}")
            }
            Failure::Error(_) if failure.code() == Some(401) => format!(
                "the Kubernetes API server {address} doesn't accept the operator's credentials: renew those in the \
                 kubeconfig, or the ServiceAccount's token"
            ),
            Failure::Error(error) => {
                format!("the Kubernetes API server {address} can't be used: {}", kubernetes(error))
            }
        }
    }
}

/// Reports trouble with one watch.
struct ToldWatch<K> {
    cluster: Cluster,
    api: Api<K>,
    told: Mutex<Told>,
}

impl<K: Watchable> ToldWatch<K> {
    /// Reports the error, and returns when the watch may be tried again.
    async fn trouble(&self, error: &watcher::Error) {
        let name = name_of(&self.api);
        let problem = if is_refusal(error) { self.cluster.try_watch(&self.api).await.err() } else { None };
        let Some(problem) = problem else {
            // Such trouble passes by itself, or has passed already.
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            return told.trouble(&watch_problem(error));
        };
        Wait::of(&self.cluster, &name).for_it(problem).await;
        self.cluster.until_watchable(&name, &self.api).await;
        self.cluster.readiness.remove(&name);
        info!("the {name} works again");
    }
}

/// Waits longer each time, and reports each problem once, in the log and on `/readyz`.
struct Wait<'a> {
    cluster: &'a Cluster,
    name: &'a str,
    next: Duration,
}

impl<'a> Wait<'a> {
    fn of(cluster: &'a Cluster, name: &'a str) -> Self {
        Self { cluster, name, next: cluster.first_wait }
    }

    async fn for_it(&mut self, problem: String) {
        // Several watches may have the same problem: it is logged once.
        if !self.cluster.readiness.fails_for(&problem) {
            warn!("{problem}; it is tried again, and /readyz fails until then");
        }
        self.cluster.readiness.set(self.name, Err(problem));
        sleep(self.next).await;
        self.next = self.next.saturating_mul(2).min(MOST_WAIT);
    }
}

/// What the log and `/readyz` call a watch.
fn name_of<K: Watchable>(api: &Api<K>) -> String {
    let of = format!("watch of {}s", K::kind(&()));
    api.namespace().map_or_else(|| of.clone(), |namespace| format!("{of} in {namespace}"))
}

/// Whether the API server refuses this watch: it doesn't take the credentials, denies the right, or doesn't know the kind.
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
