//! Reconciles AthenaWorkGroups: their finalizer, their status, and the count of their sessions.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::watcher;
use kube::{Api, Resource, ResourceExt};
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{info, warn};

use super::cleanup::queue::RunQueue;
use super::cleanup_reconciler::{CleanupProgress, CleanupReconciler, CleanupState};
use super::namespaced::tell_no_cleanup;
use super::status::{GroupFacts, due, only_counts_differ, rates_in_words, scope_problem};
use crate::api::work_group::{AthenaWorkGroup, AthenaWorkGroupStatus};
use crate::api::{WORK_GROUP_FINALIZER, is_held, is_kept};
use crate::athena::identity::Identity;
use crate::athena::informer::{Census, Poller};
use crate::athena::types::{CallerContext, QuotaScope};
use crate::controller::{Watched, drive, queue};
use crate::health::Pulse;
use crate::index::dependents::Dependents;
use crate::index::objects::{Group, Session, Watch, depends_on};
use crate::kubernetes::{Answer, RequestError, Requests, for_each_listed};
use crate::metrics::ReconcileResult;
use crate::session::reconcile::Dependencies;
use crate::status::event::{Event, Refusals};

/// The controller's name in logs and metrics.
pub(crate) const NAME: &str = "athenaworkgroup";

/// How many AthenaWorkGroups are reconciled at once.
pub(crate) const CONCURRENCY: u16 = 4;

/// So many work groups' sessions are cleaned up at once at the most. A run waits for its turn with Athena, and other
/// AthenaWorkGroups are to be reconciled meanwhile.
const CLEANUP_RUNS: usize = 2;

/// Changed numbers are written no more often than this.
const COUNTS_INTERVAL: Duration = Duration::from_secs(30);

/// What clean-up found is written no more often than this.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The rates in the status are updated no more often than this, since they change with each call.
const RATES_INTERVAL: Duration = Duration::from_secs(300);

/// Reconciles AthenaWorkGroups.
pub(crate) struct GroupReconciler {
    shared: Dependencies,
    /// What is kept of each object between its reconciliations.
    states: Mutex<HashMap<String, GroupState>>,
    /// The runs of clean-up that are under way, and the AthenaWorkGroups that wait for one.
    cleanup_runs: Mutex<RunQueue>,
}

/// What is kept of an object between its reconciliations.
#[derive(Default)]
struct GroupState {
    counted_by: Option<Arc<Poller>>,
    written_at: Option<Instant>,
    /// When what clean-up found was last written.
    report_written_at: Option<Instant>,
    /// The rates that the status has, and since when.
    rates: Option<(Instant, BTreeMap<String, String>)>,
    cleanup: CleanupState,
    /// The generation for which it was said that clean-up isn't done.
    told_no_cleanup: Option<i64>,
    failures: u32,
    refusals: Refusals,
}

/// Watches AthenaWorkGroups until `stop` says true, and reconciles them where the operator watches all namespaces.
pub(crate) async fn run(
    watched: Watched<Group>,
    reconciler: GroupReconciler,
    pulse: Pulse,
    stop: watch::Receiver<bool>,
) {
    let reconciler = Arc::new(reconciler);
    let store = watched.writer.as_reader();
    let hearing = Arc::clone(&reconciler);
    let queue = queue(watched, stop, move |event| hearing.event(event), |_| {});
    let config = Config::default().concurrency(CONCURRENCY);
    let reconcile = |object, reconciler| reconcile(object, reconciler).boxed();
    let shared = Arc::clone(&reconciler);
    let reconciliations = applier(reconcile, |_, never: &Infallible, _| match *never {}, shared, store, queue, config);
    drive("AthenaWorkGroups", reconciliations, pulse, || {}, |_, name| reconciler.forget(&name)).await;
}

async fn reconcile(object: Arc<Group>, reconciler: Arc<GroupReconciler>) -> Result<Action, Infallible> {
    let Ok(group) = &object.0 else { return Ok(Action::await_change()) };
    if !reconciler.shared.index.work_groups.is_cluster_wide {
        let mut told = reconciler.states.lock().entry(group.name_any()).or_default().told_no_cleanup;
        tell_no_cleanup(&reconciler.requests(), group, &mut told).await;
        reconciler.states.lock().entry(group.name_any()).or_default().told_no_cleanup = told;
        return Ok(Action::await_change());
    }
    let reconciliation = reconciler.shared.metrics.reconciliation(NAME);
    let name = group.name_any();
    let mut state = reconciler.states.lock().remove(&name).unwrap_or_default();
    let (wait, result) = match reconciler.reconcile(group, &mut state).await {
        Ok(wait) => {
            (state.failures, state.refusals) = (0, Refusals::default());
            (wait, ReconcileResult::RequeueAfter)
        }
        Err(error) => {
            if let Some(event) = error.refusal().and_then(|refusal| state.refusals.event(&refusal)) {
                reconciler.shared.events.tell(group.object_ref(&()), event);
            }
            let wait = reconciler.shared.timing.back_off(state.failures, fastrand::f64());
            state.failures = state.failures.saturating_add(1);
            warn!(name, problem = %error, again_in = ?wait, "an AthenaWorkGroup can't be reconciled now");
            (wait, ReconcileResult::Error)
        }
    };
    reconciler.states.lock().insert(name, state);
    reconciliation.ended(result);
    Ok(Action::requeue(wait))
}

impl GroupState {
    fn rates_to_report(&mut self, found: impl FnOnce() -> BTreeMap<String, String>) -> &BTreeMap<String, String> {
        let before = self.rates.take().filter(|(since, rates)| since.elapsed() < RATES_INTERVAL && !rates.is_empty());
        &self.rates.insert(before.unwrap_or_else(|| (Instant::now(), found()))).1
    }
}

impl GroupReconciler {
    pub(crate) fn new(shared: Dependencies) -> Self {
        Self { shared, states: Mutex::default(), cleanup_runs: Mutex::new(RunQueue::new(CLEANUP_RUNS)) }
    }

    fn event(&self, event: &watcher::Event<Group>) {
        match event {
            watcher::Event::Apply(group) => self.shared.index.group_applied(group),
            watcher::Event::Delete(group) => self.shared.index.group_deleted(&group.name_any()),
            watcher::Event::Init | watcher::Event::InitApply(_) => return,
            watcher::Event::InitDone => self.shared.index.grants_listed(Watch::Groups),
        }
        let (targets, identities) =
            (self.shared.index.work_groups.targets(), &self.shared.index.work_groups.identities);
        identities.retain(&targets);
        self.shared.informer.retain(|target| targets.contains(target) || *target == identities.own.target);
    }

    fn requests(&self) -> Requests<AthenaWorkGroup> {
        let api = Api::all(self.shared.client.clone());
        Requests { api, deadline: self.shared.deadline, writes: self.shared.writes.clone() }
    }

    /// Reconciles an object. Returns after how long to do that again.
    async fn reconcile(&self, group: &AthenaWorkGroup, state: &mut GroupState) -> Result<Duration, RequestError> {
        let requests = self.requests();
        let is_deleted = group.meta().deletion_timestamp.is_some();
        if !is_kept(group) {
            if !is_deleted {
                requests.add_finalizer(group, WORK_GROUP_FINALIZER).await?;
            }
            // The watch shows the change.
            return Ok(self.shared.timing.steady);
        }
        let (identity, poller, scope, census) = self.observe(group, state).await;
        let mut progress = CleanupProgress::Done;
        if !is_deleted && scope_problem(group, &scope).is_none() {
            let (shared, requests, queue) = (&self.shared, &requests, &self.cleanup_runs);
            let cleanup_reconciler = CleanupReconciler {
                shared,
                requests,
                group,
                identity: &identity,
                poller: &poller,
                scope: &scope,
                queue,
            };
            progress = cleanup_reconciler.reconcile(&mut state.cleanup).await;
        }
        let dependents = if is_deleted { Some(self.remove_finalizer(&requests, group).await?) } else { None };
        if dependents.as_ref().is_some_and(Dependents::is_empty) {
            return Ok(self.shared.timing.steady);
        }
        let learned = || rates_in_words(&self.shared.quotas.learned_rates(&QuotaScope::of(&scope)));
        let rates = &state.rates_to_report(learned).clone();
        let (dependents, timing, wall) = (dependents.as_ref(), &self.shared.timing, Timestamp::now());
        let cleanup = state.cleanup.report.as_ref();
        let update =
            due(&GroupFacts { group, scope: &scope, census: &census, rates, cleanup, dependents, timing, wall });
        let is_settled = scope_problem(group, &scope).is_none() && progress == CleanupProgress::Done;
        let again = if is_settled { self.shared.timing.steady } else { self.shared.timing.changing };
        if let Some((status, events)) = update
            && let Some(wait) = self.write(&requests, group, state, status, events).await?
        {
            return Ok(wait.min(again));
        }
        Ok(again)
    }

    /// Where calls for the work group go, and what is known of its sessions. Has them counted as long as the object isn't being
    /// deleted.
    async fn observe(
        &self,
        group: &AthenaWorkGroup,
        state: &mut GroupState,
    ) -> (Arc<Identity>, Arc<Poller>, CallerContext, Census) {
        let identity = self.shared.index.work_groups.identities.of(&self.shared.index.work_groups.target_of(group));
        identity.first_answer().await;
        let scope = identity.caller_context();
        let poller = self.shared.informer.poller(&identity, &group.athena_name());
        if let Some(before) = state.counted_by.take_if(|before| !Arc::ptr_eq(before, &poller)) {
            before.count_all(false);
            state.cleanup = CleanupState::default();
        }
        let is_deleted = group.meta().deletion_timestamp.is_some();
        poller.count_all(!is_deleted && scope_problem(group, &scope).is_none());
        let census = poller.census(|id| self.shared.index.claims.contains(id));
        state.counted_by = Some(Arc::clone(&poller));
        (identity, poller, scope, census)
    }

    /// Writes the status, and publishes the event. Returns after how long to try again, where only numbers have changed, and
    /// numbers were written a moment ago.
    async fn write(
        &self,
        requests: &Requests<AthenaWorkGroup>,
        group: &AthenaWorkGroup,
        state: &mut GroupState,
        status: AthenaWorkGroupStatus,
        events: Vec<Event>,
    ) -> Result<Option<Duration>, RequestError> {
        let recorded = group.status.as_ref();
        let tells_cleanup = recorded.is_none_or(|recorded| recorded.cleanup != status.cleanup);
        let (pause, last) = if tells_cleanup {
            (REPORT_INTERVAL, state.report_written_at)
        } else {
            (COUNTS_INTERVAL, state.written_at)
        };
        let since = last.map_or(pause, |at| at.elapsed());
        if recorded.is_some_and(|recorded| only_counts_differ(recorded, &status)) && since < pause {
            return Ok(Some(pause.saturating_sub(since)));
        }
        let written = Box::new(AthenaWorkGroup { status: Some(status), ..group.clone() });
        if let Answer::Object(_) = requests.write_status(written).await? {
            state.written_at = Some(Instant::now());
            state.report_written_at = if tells_cleanup { state.written_at } else { state.report_written_at };
            events.into_iter().for_each(|event| self.shared.events.tell(group.object_ref(&()), event));
        }
        Ok(None)
    }

    /// Removes our finalizer, if no AthenaSession depends on the AthenaWorkGroup any more. Returns those that depend on it.
    async fn remove_finalizer(
        &self,
        requests: &Requests<AthenaWorkGroup>,
        group: &AthenaWorkGroup,
    ) -> Result<Dependents, RequestError> {
        let name = group.name_any();
        let shown = self.shared.index.objects.dependents(&name);
        if !shown.is_empty() {
            return Ok(shown);
        }
        // From the list to the patch no AthenaSession is adopted. Otherwise nothing could end its session.
        let _no_adoption = self.shared.index.adoptions.write().await;
        let dependents = self.list_dependents(&name).await?;
        if dependents.is_empty() {
            requests.remove_finalizer(group, WORK_GROUP_FINALIZER).await?;
            info!(name, "the finalizer of an AthenaWorkGroup was removed: no AthenaSession depends on it any more");
        }
        Ok(dependents)
    }

    /// Asks the API server, since the cache may not show an AthenaSession that was adopted a moment ago.
    async fn list_dependents(&self, name: &str) -> Result<Dependents, RequestError> {
        let api: Api<Session> = Api::all(self.shared.client.clone());
        let mut dependents = Dependents::default();
        // An object that can't be read may refer to this AthenaWorkGroup.
        let may_depend = |object: &Session| depends_on(object, name) || is_held(object) && !object.is_legible();
        let take = |object: &Session| {
            if may_depend(object) {
                dependents.add(object);
            }
        };
        let listed = for_each_listed(&api, &ListParams::default(), self.shared.deadline, take).await;
        listed.map_err(|failure| failure.while_doing("listing the AthenaSessions"))?;
        Ok(dependents)
    }

    fn forget(&self, name: &str) {
        let state = self.states.lock().remove(name);
        if let Some(poller) = state.and_then(|state| state.counted_by) {
            poller.count_all(false);
        }
    }
}
