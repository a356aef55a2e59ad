//! Keeps AthenaWorkGroups: their finalizer, their status, and the count of their sessions.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::watcher::Event;
use kube::{Api, Resource, ResourceExt};
use tokio::sync::watch;
use tracing::{info, warn};

use super::status::{GroupFacts, due, only_counts_differ, rates_in_words, scope_problem};
use crate::api::work_group::AthenaWorkGroup;
use crate::api::{WORK_GROUP_FINALIZER, is_held, is_kept};
use crate::athena::informer::{Informer, Poller};
use crate::athena::quota::Quotas;
use crate::athena::types::QuotaScope;
use crate::controller::{Watched, drive, queue};
use crate::events::Events;
use crate::health::Pulse;
use crate::index::cluster::ClusterIndex;
use crate::index::dependents::Dependents;
use crate::index::objects::{Group, Session, Watch, holds};
use crate::kubernetes::{Answer, RequestError, Requests, within};
use crate::metrics::{Metrics, PassResult};
use crate::status::event::Refusals;
use crate::timing::Timing;
use crate::write_refusals::WriteRefusals;

/// The controller's name in logs and metrics.
pub const NAME: &str = "athenaworkgroup";

/// Passes at once.
pub const CONCURRENCY: u16 = 4;

/// Changed numbers are written no more often.
const COUNTS: Duration = Duration::from_secs(30);

/// The rates in the status are updated no more often than this, since they change with each call.
const RATES: Duration = Duration::from_secs(300);

/// Everything that keeping needs.
pub struct Keeper {
    /// Kubernetes.
    pub client: kube::Client,
    /// What the watches show.
    pub index: Arc<ClusterIndex>,
    /// Who counts sessions.
    pub informer: Arc<Informer>,
    /// Where the rates that were found out come from.
    pub quotas: Arc<Quotas>,
    /// Where notices go.
    pub events: Events,
    /// What is counted.
    pub metrics: Metrics,
    /// The intervals.
    pub timing: Timing,
    /// The deadline of each request to Kubernetes.
    pub deadline: Duration,
    /// Where each accepted and each refused write is reported.
    pub writes: WriteRefusals,
    /// What is kept of each object between its passes.
    pub kept: Mutex<HashMap<String, Kept>>,
}

/// What is kept of an object between its passes.
#[derive(Default)]
pub struct Kept {
    counted_by: Option<Arc<Poller>>,
    written_at: Option<Instant>,
    /// The rates that the status has, and since when.
    rates: Option<(Instant, BTreeMap<String, String>)>,
    failures: u32,
    refusals: Refusals,
}

/// Watches AthenaWorkGroups until `stop` says true, and keeps them where this operator answers for them.
pub async fn run(watched: Watched<Group>, keeper: Keeper, pulse: Pulse, stop: watch::Receiver<bool>) {
    let keeper = Arc::new(keeper);
    let store = watched.writer.as_reader();
    let hearing = Arc::clone(&keeper);
    let queue = queue(watched, stop, move |event| hearing.event(event), |_| {});
    let config = Config::default().concurrency(CONCURRENCY);
    let pass = |object, keeper| reconcile(object, keeper).boxed();
    let passes = applier(pass, |_, never: &Infallible, _| match *never {}, Arc::clone(&keeper), store, queue, config);
    drive("AthenaWorkGroups", passes, pulse, || {}, |_, name| keeper.forget(&name)).await;
}

async fn reconcile(object: Arc<Group>, keeper: Arc<Keeper>) -> Result<Action, Infallible> {
    let Ok(group) = &object.0 else { return Ok(Action::await_change()) };
    if !keeper.index.keeps_groups {
        return Ok(Action::await_change());
    }
    let pass = keeper.metrics.pass(NAME);
    let name = group.name_any();
    let mut kept = keeper.kept().remove(&name).unwrap_or_default();
    let result = keeper.pass(group, &mut kept).await;
    let (wait, outcome) = match result {
        Ok(wait) => {
            (kept.failures, kept.refusals) = (0, Refusals::default());
            (wait, PassResult::RequeueAfter)
        }
        Err(error) => {
            if let Some(notice) = error.refusal().and_then(|refusal| kept.refusals.notice(&refusal)) {
                keeper.events.tell(group.object_ref(&()), notice);
            }
            let wait = keeper.timing.back_off(kept.failures, fastrand::f64());
            kept.failures = kept.failures.saturating_add(1);
            warn!(name, problem = %error, again_in = ?wait, "a pass over an AthenaWorkGroup was given up");
            (wait, PassResult::Error)
        }
    };
    keeper.kept().insert(name, kept);
    pass.ended(outcome);
    Ok(Action::requeue(wait))
}

impl Kept {
    fn rates_to_tell(&mut self, found: impl FnOnce() -> BTreeMap<String, String>) -> &BTreeMap<String, String> {
        let before = self.rates.take().filter(|(since, rates)| since.elapsed() < RATES && !rates.is_empty());
        &self.rates.insert(before.unwrap_or_else(|| (Instant::now(), found()))).1
    }
}

impl Keeper {
    fn event(&self, event: &Event<Group>) {
        match event {
            Event::Apply(group) => self.index.group_applied(group),
            Event::Delete(group) => self.index.group_gone(&group.name_any()),
            Event::Init | Event::InitApply(_) => return,
            Event::InitDone => self.index.grants_listed(Watch::Groups),
        }
        let targets = self.index.targets();
        self.index.identities.retain(&targets);
        self.informer.retain(|target| targets.contains(target) || *target == self.index.identities.own().target);
    }

    async fn pass(&self, group: &AthenaWorkGroup, kept: &mut Kept) -> Result<Duration, RequestError> {
        let requests =
            Requests { api: Api::all(self.client.clone()), deadline: self.deadline, writes: self.writes.clone() };
        let is_deleted = group.meta().deletion_timestamp.is_some();
        if !is_kept(group) {
            if !is_deleted {
                requests.add_finalizer(group, WORK_GROUP_FINALIZER).await?;
            }
            // The watch brings what has become of it.
            return Ok(self.timing.steady);
        }
        let identity = self.index.identities.of(&self.index.target_of(group));
        identity.first_answer().await;
        let scope = identity.caller_context();
        let poller = self.informer.poller(&identity, &group.athena_name());
        let is_usable = scope_problem(group, &scope).is_none();
        if let Some(before) = kept.counted_by.take_if(|before| !Arc::ptr_eq(before, &poller)) {
            before.count_all(false);
        }
        poller.count_all(is_usable && !is_deleted);
        let census = poller.census(|id| self.index.is_declared(id));
        kept.counted_by = Some(poller);

        let dependents = if is_deleted { Some(self.let_go(&requests, group).await?) } else { None };
        if dependents.as_ref().is_some_and(Dependents::is_empty) {
            return Ok(self.timing.steady);
        }
        let dependents = dependents.as_ref();
        let rates = kept.rates_to_tell(|| rates_in_words(&self.quotas.learned_rates(&QuotaScope::of(&scope))));
        let (timing, wall) = (&self.timing, Timestamp::now());
        let view = GroupFacts { group, scope: &scope, census: &census, rates, dependents, timing, wall };
        let Some((status, notice)) = due(&view) else { return Ok(self.pause(is_usable)) };
        let since = kept.written_at.map_or(COUNTS, |at| at.elapsed());
        let small = group.status.as_ref().is_some_and(|recorded| only_counts_differ(recorded, &status));
        if small && since < COUNTS {
            return Ok(COUNTS.saturating_sub(since));
        }
        let written = Box::new(AthenaWorkGroup { status: Some(status), ..group.clone() });
        if let Answer::Object(_) = requests.write_status(written).await? {
            kept.written_at = Some(Instant::now());
            if let Some(notice) = notice {
                self.events.tell(group.object_ref(&()), notice);
            }
        }
        Ok(self.pause(is_usable))
    }

    fn pause(&self, is_usable: bool) -> Duration {
        if is_usable { self.timing.steady } else { self.timing.changing }
    }

    /// Takes our finalizer off if nothing depends on the work group any more; what does.
    async fn let_go(
        &self,
        requests: &Requests<AthenaWorkGroup>,
        group: &AthenaWorkGroup,
    ) -> Result<Dependents, RequestError> {
        let name = group.name_any();
        let shown = self.index.held_by(&name);
        if !shown.is_empty() {
            return Ok(shown);
        }
        // From the list to the patch nothing is adopted.
        let _closing = self.index.adoptions.write().await;
        let dependents = self.held_live(&name).await?;
        if dependents.is_empty() {
            requests.remove_finalizer(group, WORK_GROUP_FINALIZER).await?;
            info!(name, "an AthenaWorkGroup goes: no AthenaSession depends on it");
        }
        Ok(dependents)
    }

    /// The cache may not show one that was adopted a moment ago.
    async fn held_live(&self, name: &str) -> Result<Dependents, RequestError> {
        const DOING: &str = "listing the AthenaSessions";
        let api: Api<Session> = Api::all(self.client.clone());
        let mut page = ListParams::default().limit(500);
        let mut dependents = Dependents::default();
        loop {
            let list = within(self.deadline, api.list(&page)).await.map_err(|failure| failure.while_doing(DOING))?;
            // One that can't be read may be one of them.
            let may_hold = |object: &&Session| holds(object, name) || is_held(*object) && !object.is_legible();
            list.items.iter().filter(may_hold).for_each(|object| dependents.add(object));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(dependents),
            }
        }
    }

    fn forget(&self, name: &str) {
        let kept = self.kept().remove(name);
        if let Some(poller) = kept.and_then(|kept| kept.counted_by) {
            poller.count_all(false);
        }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
