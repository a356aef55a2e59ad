//! The program, from start-up to shutdown.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use kube::Api;
use kube::runtime::reflector::{self, store::Writer};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::api::crds;
use crate::api::session::AthenaSession;
use crate::api::work_group::AthenaWorkGroup;
use crate::athena::aws::Aws;
use crate::athena::identity::Identities;
use crate::athena::informer::{Informer, News};
use crate::athena::quota::{Key, Quotas};
use crate::cluster::{Cluster, ConnectError, Timeouts};
use crate::config::{Cli, Command};
use crate::controller::Watched;
use crate::events::Events;
use crate::health::{Health, Heartbeats, Readiness, aws as aws_health, serve};
use crate::index::cluster::ClusterIndex;
use crate::index::objects::{Group, Labelled, Objects, Session, Sessions};
use crate::index::work_groups::WorkGroups;
use crate::metrics::Metrics;
use crate::session::reconcile::controller::Controller;
use crate::session::reconcile::large_objects::LargeObjectTurns;
use crate::session::reconcile::{self, Dependencies};
use crate::watches::{NamespaceWatch, watch_workloads};
use crate::work_group::controller::GroupReconciler;
use crate::write_dry_run::WriteDryRun;
use crate::write_refusals::WriteRefusals;
use crate::{cleanup_command, config, kind_deletion, telemetry, work_group};

/// Running reconciliations get so long to finish at shutdown. What is abandoned then is as after a crash, safe.
const SHUTDOWN: Duration = Duration::from_secs(4);

/// A loop that has shown no sign of life for so long is stuck.
const STUCK: Duration = Duration::from_secs(30);

pub fn main() -> ExitCode {
    let outcome = match Cli::read().command {
        Command::Crds => print_crds().map(|()| 0),
        Command::Cleanup(options) => clean_up(&options),
        Command::Run(options) => {
            telemetry::start(options.log_format);
            start(*options).map(|()| 0)
        }
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("athena-session-operator: {message}");
            ExitCode::FAILURE
        }
    }
}

fn print_crds() -> Result<(), String> {
    let documents: Result<Vec<_>, _> = crds::all().iter().map(serde_saphyr::to_string).collect();
    let yaml = documents.map_err(|error| error.to_string())?.join("---\n");
    std::io::stdout().write_all(yaml.as_bytes()).map_err(|error| format!("the CRDs can't be written: {error}"))
}

fn start(options: config::Run) -> Result<(), String> {
    on_one_thread(run(options))?.map_err(|error| error.to_string())
}

fn clean_up(options: &cleanup_command::Options) -> Result<u8, String> {
    on_one_thread(cleanup_command::run(options))?
}

fn on_one_thread<T>(work: impl Future<Output = T>) -> Result<T, String> {
    // The work is waiting for others. More threads would cost switches and memory, and hide a loop that is stuck.
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(|error| format!("the runtime fails: {error}"))?;
    let outcome = runtime.block_on(work);
    // A name server that doesn't answer would hold up the end otherwise.
    runtime.shutdown_background();
    Ok(outcome)
}

/// Why the operator can't start. Anything that may pass by itself is waited for instead.
#[derive(Debug, Error)]
enum StartError {
    #[error(transparent)]
    Cluster(#[from] ConnectError),
    #[error("--http-address={address} can't be listened on: {why}")]
    Listen { address: SocketAddr, why: std::io::Error },
    #[error("signals can't be handled: {0}")]
    Signals(#[from] std::io::Error),
}

async fn run(options: config::Run) -> Result<(), StartError> {
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
        Err(_) => warn!("running reconciliations were aborted at shutdown; the next process continues them"),
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
        writes: WriteRefusals::new(options.backoff_max),
    };
    let timeouts =
        Timeouts { watch: options.watch_timeout, request: options.kubernetes_timeout, first_wait: options.backoff_min };
    let cluster = Cluster::connect(timeouts, health.readiness.clone()).await?;
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
    let own = Arc::clone(&identities.own);
    tokio::spawn(aws_health::watch(own, health.readiness.clone(), options.require_work_group, min));
    // Otherwise each object would first say that its account isn't known.
    identities.own.first_answer().await;
    let namespaces = namespaces.map(|names| names.into_iter().map(str::to_owned).collect());
    Operator { cluster, options, health, namespaces, identities, cluster_id }.run(stop).await;
    Ok(())
}

/// What `/readyz` calls the first lists of all objects.
const WATCHES: &str = "watches";

async fn listen(address: SocketAddr, health: Health, stop: watch::Receiver<bool>) -> Result<(), StartError> {
    let refused = |why| StartError::Listen { address, why };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    info!(%address, "serving metrics and probes");
    tokio::spawn(serve(listener, health, stop));
    Ok(())
}

struct Operator<'a> {
    cluster: Cluster,
    options: &'a config::Run,
    health: Health,
    /// The namespaces to watch; None: all of them.
    namespaces: Option<Vec<String>>,
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
        metrics.scrape.waiting_from(move || waiting.waiting());
        metrics.scrape.rates_from(move || rates.rates());
        let informer = Informer::new(Arc::clone(&quotas), metrics.clone(), self.options.timing(), news);
        let (index, watched, groups, namespaces) = self.index();
        let pulse = self.health.heartbeats.register("quotas", STUCK);
        let handing_out = Arc::clone(&quotas);
        tokio::spawn(async move { handing_out.run(|| pulse.beat()).await });
        tokio::spawn(wake_objects(Arc::clone(&index), heard, granted));
        self.watch_others(&index, namespaces);
        tokio::spawn(report_first_lists(Arc::clone(&index), self.health.readiness.clone()));
        self.check_writes().await;

        let events = Events::start(self.cluster.client.clone(), self.options.kubernetes_timeout);
        let dependencies = Dependencies {
            client: self.cluster.client.clone(),
            index,
            informer,
            quotas,
            events,
            metrics: metrics.clone(),
            timing: self.options.timing(),
            deadline: self.options.kubernetes_timeout,
            writes: self.health.writes.clone(),
        };
        let group_reconciler = GroupReconciler::new(dependencies.clone());
        let turns = LargeObjectTurns::default();
        metrics.controller(reconcile::NAME, reconcile::controller::CONCURRENCY);
        metrics.controller(work_group::controller::NAME, work_group::controller::CONCURRENCY);
        let pulse = |name| self.health.heartbeats.register(name, STUCK);
        let keeping = work_group::controller::run(groups, group_reconciler, pulse("work groups"), stop.clone());
        let sessions = watched.into_iter().enumerate().map(|(position, watched)| {
            let name =
                watched.api.namespace().map_or_else(|| "sessions".to_owned(), |name| format!("sessions of {name}"));
            let pulse = self.health.heartbeats.register(name, STUCK);
            let controller = Controller::new(dependencies.clone(), self.cluster.whole.clone(), turns.clone());
            controller.run(watched, position, pulse, stop.clone())
        });
        tokio::join!(keeping, join_all(sessions));
    }

    /// Watches what isn't an object of ours: namespaces, our kinds, and, where endWith is switched on, workloads.
    fn watch_others(&self, index: &Arc<ClusterIndex>, store: Writer<Labelled>) {
        let (cluster, index) = (self.cluster.clone(), Arc::clone(index));
        let names = self.namespaces.clone().unwrap_or_default();
        tokio::spawn(NamespaceWatch { cluster: cluster.clone(), index: Arc::clone(&index), names }.run(store));
        tokio::spawn(kind_deletion::watch::<AthenaSession>(
            cluster.clone(),
            "each AthenaSession is deleted, and its session ended unless deletionPolicy is Retain",
        ));
        tokio::spawn(kind_deletion::watch::<AthenaWorkGroup>(
            cluster.clone(),
            "each AthenaWorkGroup is deleted, and removed once no AthenaSession depends on it",
        ));
        if self.options.end_with {
            for namespace in self.scopes() {
                tokio::spawn(watch_workloads(cluster.clone(), namespace, Arc::clone(&index)));
            }
        }
    }

    async fn check_writes(&self) {
        let check = WriteDryRun {
            client: self.cluster.client.clone(),
            namespaces: self.namespaces.clone(),
            deadline: self.options.kubernetes_timeout,
            writes: self.health.writes.clone(),
        };
        // First, since the report of a refusal names the user.
        check.identify().await;
        tokio::spawn(check.run());
    }

    /// The namespaces to watch; or None, alone, for all of them.
    fn scopes(&self) -> Vec<Option<String>> {
        self.namespaces.clone().map_or_else(|| vec![None], |names| names.into_iter().map(Some).collect())
    }

    fn index(&self) -> (Arc<ClusterIndex>, Vec<Watched<Session>>, Watched<Group>, Writer<Labelled>) {
        let (group_wake, wakes) = mpsc::unbounded_channel();
        let (groups, writer) = reflector::store();
        let api = Api::all(self.cluster.client.clone());
        let watched_groups = Watched { cluster: self.cluster.clone(), api, writer, wakes };
        let (namespaces, namespace_writer) = reflector::store();
        let (mut watched, mut sessions) = (Vec::new(), Vec::new());
        for namespace in self.scopes() {
            let (wake, wakes) = mpsc::unbounded_channel();
            let (store, writer) = reflector::store();
            let api = self.cluster.api(namespace.as_deref());
            watched.push(Watched { cluster: self.cluster.clone(), api, writer, wakes });
            sessions.push(Sessions { namespace, store, wake });
        }
        let objects = Arc::new(Objects::new((groups, group_wake), namespaces, sessions));
        let work_groups = WorkGroups {
            objects: Arc::clone(&objects),
            rules: self.options.rules(),
            is_cluster_wide: self.namespaces.is_none(),
            identities: Arc::clone(&self.identities),
        };
        let index = ClusterIndex::new(self.cluster_id.clone(), objects, work_groups);
        (Arc::new(index), watched, watched_groups, namespace_writer)
    }
}

async fn wake_objects(
    index: Arc<ClusterIndex>,
    mut heard: mpsc::UnboundedReceiver<News>,
    mut granted: mpsc::UnboundedReceiver<Key>,
) {
    loop {
        tokio::select! {
            Some(news) = heard.recv() => match news {
                News::Session(id) => index.wake_session(&id),
                News::ListAnswer(key) => index.objects.wake(&key),
                News::FullScan { target, work_group } => index.full_scan_completed(&target, &work_group),
                News::Engine { target, work_group } => index.engine_learned(&target, &work_group),
            },
            Some(key) = granted.recv() => index.objects.wake(&key),
            else => return,
        }
    }
}

async fn report_first_lists(index: Arc<ClusterIndex>, readiness: Readiness) {
    index.objects.until_listed().await;
    readiness.set(WATCHES, Ok(()));
}
