//! `run`: from start-up to shutdown.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{self, store::Writer};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::api::session::{AthenaSession, Workload, WorkloadKind};
use crate::api::work_group::AthenaWorkGroup;
use crate::api::workload::{WorkloadObject, WorkloadState};
use crate::athena::aws::Aws;
use crate::athena::identity::Identities;
use crate::athena::informer::{Informer, News};
use crate::athena::quota::Quotas;
use crate::cluster::Cluster;
use crate::controller::{Watched, watch_config};
use crate::events::Events;
use crate::health::{Health, Heartbeats, Readiness, aws as aws_health, serve};
use crate::kinds::watch_kind;
use crate::metrics::Metrics;
use crate::session::act::Shell;
use crate::session::controller::Shells;
use crate::session::turns::Turns;
use crate::work_group::controller::Keeper;
use crate::work_group::registry::{Group, Key, Labelled, Registry, Session, Sessions, Watch};
use crate::write_check::WriteCheck;
use crate::writes::Writes;
use crate::{config, session, work_group};

/// Running passes get so long to finish at shutdown. What is abandoned then is as after a crash, safe.
const SHUTDOWN: Duration = Duration::from_secs(4);

/// A loop that hasn't shown a sign of life for so long is stuck.
const STUCK: Duration = Duration::from_secs(30);

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
    /// The kubeconfig can't be used.
    #[error("the kubeconfig can't be used: {0}")]
    Client(#[source] Box<kube::Error>),
    /// The address for probes and metrics can't be had.
    #[error("--http-address={address} can't be listened on: {why}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        why: std::io::Error,
    },
    /// The system refused a signal handler.
    #[error("signals can't be handled: {0}")]
    Signals(#[from] std::io::Error),
}

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
/// As [`StartError`].
pub async fn run(options: config::Run) -> Result<(), StartError> {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        read_only = options.read_only,
        require_work_group = options.require_work_group,
        end_with = options.end_with,
        namespaces = options.namespaces().map_or_else(|| "all".to_owned(), |names| Vec::from_iter(names).join(",")),
        "athena-session-operator starts"
    );
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
    let namespaces = options.namespaces();
    let health = Health {
        metrics: Metrics::new(),
        heartbeats: Heartbeats::default(),
        readiness: Readiness::default(),
        writes: Writes::new(options.backoff_max),
    };
    let cluster = Cluster::connect(options, health.readiness.clone()).await?;
    health.readiness.set(WATCHES, Err("not all objects have been listed".to_owned()));
    aws_health::begin(&health.readiness, options.require_work_group);
    listen(options.http_address, health.clone(), stop.clone()).await?;
    let cluster_id = tokio::select! {
        id = cluster.wait(namespaces.as_ref()) => id,
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    };
    let session_name = format!("athena-session-operator-{}", cluster_id.chars().take(8).collect::<String>());
    let aws = Aws::from_environment(options.timing(), session_name).await;
    info!(region = aws.region().unwrap_or("none"), "watching AthenaSessions");
    let (interval, min) = (options.poll_interval, options.backoff_min);
    let identities = Arc::new(Identities::start(aws, health.metrics.clone(), interval, min));
    let own = Arc::clone(identities.own());
    tokio::spawn(aws_health::tell(own, health.readiness.clone(), options.require_work_group, min));
    // So that objects needn't say that their account isn't known.
    identities.own().first_answer().await;
    let names = namespaces.map(|names| names.into_iter().map(str::to_owned).collect());
    Operator { cluster, options, health, names, identities, cluster_id }.run(stop).await;
    Ok(())
}

// The conditions of /readyz.
const WATCHES: &str = "watches";
const NAMESPACES: &str = "namespaces";

async fn listen(address: SocketAddr, health: Health, stop: watch::Receiver<bool>) -> Result<(), StartError> {
    let refused = |why| StartError::Listen { address, why };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    info!(%address, "serving metrics and probes");
    tokio::spawn(serve(listener, health, stop));
    Ok(())
}

/// The parts of the operator, before they are put together.
struct Operator<'a> {
    cluster: Cluster,
    options: &'a config::Run,
    health: Health,
    /// The namespaces to watch; None: all of them.
    names: Option<Vec<String>>,
    identities: Arc<Identities>,
    cluster_id: String,
}

impl Operator<'_> {
    async fn run(self, stop: watch::Receiver<bool>) {
        let (news, heard) = mpsc::unbounded_channel();
        let (tokens, granted) = mpsc::unbounded_channel();
        let metrics = &self.health.metrics;
        let quotas = Quotas::new(self.options.rate(), tokens);
        let (waiting, rates) = (Arc::clone(&quotas), Arc::clone(&quotas));
        metrics.waiting_from(move || waiting.waiting());
        metrics.rates_from(move || rates.rates());
        let informer = Informer::new(Arc::clone(&quotas), metrics.clone(), self.options.timing(), news);
        let (registry, watched, groups, namespaces) = self.registry();
        let watch_timeout = self.options.watch_timeout;
        let pulse = self.health.heartbeats.register("quotas", STUCK);
        let handing_out = Arc::clone(&quotas);
        tokio::spawn(async move { handing_out.run(|| pulse.beat()).await });
        tokio::spawn(pass_on(Arc::clone(&registry), heard, granted));
        let (cluster, names) = (self.cluster.clone(), self.names.clone().unwrap_or_default());
        let watched_names =
            WatchedNames { names, registry: Arc::clone(&registry), readiness: self.health.readiness.clone() };
        tokio::spawn(watch_namespaces(cluster, namespaces, watched_names, watch_timeout));
        self.watch_workloads(&registry);
        tokio::spawn(tell_readiness(Arc::clone(&registry), self.health.readiness.clone()));
        self.watch_kinds();
        self.check_writes().await;

        let events = Events::start(self.cluster.client.clone(), self.options.kubernetes_timeout);
        let keeper = Keeper {
            client: self.cluster.client.clone(),
            registry: Arc::clone(&registry),
            informer: Arc::clone(&informer),
            quotas: Arc::clone(&quotas),
            events: events.clone(),
            metrics: metrics.clone(),
            timing: self.options.timing(),
            deadline: self.options.kubernetes_timeout,
            writes: self.health.writes.clone(),
            kept: Default::default(),
        };
        let shell = Arc::new(Shell {
            client: self.cluster.client.clone(),
            registry,
            informer,
            quotas,
            events,
            metrics: metrics.clone(),
            timing: self.options.timing(),
            deadline: self.options.kubernetes_timeout,
            writes: self.health.writes.clone(),
        });
        let whole = Arc::new(Shell { client: self.cluster.whole.clone(), ..Shell::clone(&shell) });
        let shells = Shells { usual: shell, whole, turns: Turns::default() };
        metrics.controller(session::controller::NAME, session::controller::CONCURRENCY);
        metrics.controller(work_group::controller::NAME, work_group::controller::CONCURRENCY);
        let pulse = |name| self.health.heartbeats.register(name, STUCK);
        let keeping = work_group::controller::run(groups, keeper, watch_timeout, pulse("work groups"), stop.clone());
        let sessions = watched.into_iter().enumerate().map(|(index, watched)| {
            let name =
                watched.api.namespace().map_or_else(|| "sessions".to_owned(), |name| format!("sessions of {name}"));
            let pulse = self.health.heartbeats.register(name, STUCK);
            session::controller::run(watched, index, shells.clone(), watch_timeout, pulse, stop.clone())
        });
        tokio::join!(keeping, join_all(sessions));
    }

    fn watch_kinds(&self) {
        let (life, readiness) = (self.options.watch_timeout, &self.health.readiness);
        tokio::spawn(watch_kind::<AthenaSession>(
            self.cluster.client.clone(),
            life,
            readiness.clone(),
            "each AthenaSession is deleted, and its session ended unless deletionPolicy is Retain",
        ));
        tokio::spawn(watch_kind::<AthenaWorkGroup>(
            self.cluster.client.clone(),
            life,
            readiness.clone(),
            "each AthenaWorkGroup is deleted, and goes once no AthenaSession depends on it",
        ));
    }

    async fn check_writes(&self) {
        let check = WriteCheck {
            client: self.cluster.client.clone(),
            namespaces: self.names.clone(),
            deadline: self.options.kubernetes_timeout,
            writes: self.health.writes.clone(),
        };
        // First, since the report of a refusal names the user.
        check.identify().await;
        tokio::spawn(check.run());
    }

    /// Where endWith is switched on.
    fn watch_workloads(&self, registry: &Arc<Registry>) {
        if !self.options.end_with {
            return;
        }
        let life = self.options.watch_timeout;
        for namespace in self.names.clone().map_or_else(|| vec![None], |names| names.into_iter().map(Some).collect()) {
            let (cluster, registry) = (self.cluster.clone(), Arc::clone(registry));
            tokio::spawn(watch_workloads::<Job>(
                cluster.clone(),
                WorkloadKind::Job,
                namespace.clone(),
                Arc::clone(&registry),
                life,
            ));
            tokio::spawn(watch_workloads::<Pod>(cluster, WorkloadKind::Pod, namespace, registry, life));
        }
    }

    /// The registry, and what fills it.
    fn registry(&self) -> (Arc<Registry>, Vec<Watched<Session>>, Watched<Group>, Writer<Labelled>) {
        let (group_wake, wakes) = mpsc::unbounded_channel();
        let (groups, writer) = reflector::store();
        let api = Api::all(self.cluster.client.clone());
        let watched_groups = Watched { cluster: self.cluster.clone(), api, writer, wakes };
        let (namespaces, namespace_writer) = reflector::store();
        let names = self.names.clone().map_or_else(|| vec![None], |names| names.into_iter().map(Some).collect());
        let (mut watched, mut sessions) = (Vec::new(), Vec::new());
        for namespace in names {
            let api = match &namespace {
                None => Api::all(self.cluster.client.clone()),
                Some(name) => Api::namespaced(self.cluster.client.clone(), name),
            };
            let (wake, wakes) = mpsc::unbounded_channel();
            let (store, writer) = reflector::store();
            watched.push(Watched { cluster: self.cluster.clone(), api, writer, wakes });
            sessions.push(Sessions { namespace, store, wake });
        }
        let registry = Registry::new(
            self.options.rules(),
            self.cluster_id.clone(),
            self.names.is_none(),
            (groups, group_wake),
            namespaces,
            sessions,
            Arc::clone(&self.identities),
        );
        (Arc::new(registry), watched, watched_groups, namespace_writer)
    }
}

/// Whoever has to hear of news of Athena, or has got a token, gets a pass.
async fn pass_on(
    registry: Arc<Registry>,
    mut heard: mpsc::UnboundedReceiver<News>,
    mut granted: mpsc::UnboundedReceiver<Key>,
) {
    loop {
        tokio::select! {
            Some(news) = heard.recv() => match news {
                News::Session(id) => registry.wake_session(&id),
                News::Listed(key) => registry.wake(&key),
                News::Swept { way, work_group } => registry.work_group_swept(&way, &work_group),
                News::Engine { way, work_group } => registry.engine_learned(&way, &work_group),
            },
            Some(key) = granted.recv() => registry.wake(&key),
            else => return,
        }
    }
}

/// The namespaces that --watch-namespace names.
struct WatchedNames {
    names: Vec<String>,
    registry: Arc<Registry>,
    readiness: Readiness,
}

impl WatchedNames {
    /// Reports which of these namespaces don't exist: nothing is done there, although somebody wants it.
    fn tell(&self) {
        let is_absent = |name: &&String| !self.registry.has_namespace(name);
        let absent: Vec<_> = self.names.iter().filter(is_absent).map(String::as_str).collect();
        let (which, them) =
            if absent.len() == 1 { ("a namespace that doesn't", "it") } else { ("namespaces that don't", "them") };
        let problem = format!(
            "--watch-namespace names {which} exist, {}: create {them}, or take {them} out of the flag",
            absent.join(", ")
        );
        if absent.is_empty() {
            self.readiness.set(NAMESPACES, Ok(()));
        } else if !self.readiness.fails_for(&problem) {
            warn!("{problem}; /readyz fails until then");
            self.readiness.set(NAMESPACES, Err(problem));
        }
    }
}

async fn watch_namespaces(cluster: Cluster, writer: Writer<Labelled>, names: WatchedNames, life: Duration) {
    let api = Api::<Labelled>::all(cluster.client.clone());
    let changes = cluster.told(api.clone(), watcher(api, watch_config(life)).default_backoff());
    let changes = changes.modify(|namespace| namespace.metadata.managed_fields = None).reflect(writer);
    let mut changes = std::pin::pin!(changes);
    let mut all_listed = false;
    while let Some(change) = changes.next().await {
        match change {
            Ok(watcher::Event::Apply(namespace) | watcher::Event::Delete(namespace)) => {
                names.registry.namespace_changed(&namespace.name_any());
            }
            Ok(watcher::Event::InitDone) => {
                names.registry.grants_listed(Watch::Namespaces);
                all_listed = true;
            }
            // What is wrong with the watch has been told.
            Ok(_) | Err(_) => continue,
        }
        if all_listed {
            names.tell();
        }
    }
}

/// Nothing is stored: an object that follows a workload reads it when there is news of it.
async fn watch_workloads<K>(
    cluster: Cluster,
    kind: WorkloadKind,
    namespace: Option<String>,
    registry: Arc<Registry>,
    life: Duration,
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + 'static,
{
    let api: Api<WorkloadObject<K>> = match &namespace {
        None => Api::all(cluster.client.clone()),
        Some(name) => Api::namespaced(cluster.client.clone(), name),
    };
    let changes = cluster.told(api.clone(), watcher(api, watch_config(life)).default_backoff());
    let mut changes = std::pin::pin!(changes);
    while let Some(change) = changes.next().await {
        let (workload, is_there) = match change {
            Ok(watcher::Event::Apply(workload) | watcher::Event::InitApply(workload)) => (workload, true),
            Ok(watcher::Event::Delete(workload)) => (workload, false),
            Ok(watcher::Event::InitDone) => {
                registry.workloads_listed(kind, namespace.as_deref());
                continue;
            }
            // What is wrong with the watch has been told.
            Ok(watcher::Event::Init) | Err(_) => continue,
        };
        let state = if is_there { workload.state(kind) } else { WorkloadState::Absent };
        let place = workload.namespace().unwrap_or_default();
        registry.workload_shown(&place, Workload { kind, name: workload.name_any() }, state);
    }
}

async fn tell_readiness(registry: Arc<Registry>, readiness: Readiness) {
    registry.until_listed().await;
    readiness.set(WATCHES, Ok(()));
}
