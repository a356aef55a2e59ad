//! The poller of one work group: makes the calls that [`super::plan`] names, hands the answers to it, and sends the news.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, sleep_until};
use tracing::{error, warn};

use super::engine::EngineWatch;
use super::plan::Plan;
use super::proof_of_absence::{ListAnswer, ListRequest, endless};
use super::types::{Asker, CallFailure, Census, Interest, News, Task};
use crate::athena::engine::EngineKnowledge;
use crate::athena::identity::Identity;
use crate::athena::quota::{Priority, Quotas};
use crate::athena::types::{
    CallError, CallerContext, ErrorClass, ListedSession, Operation, Polled, QuotaScope, SessionState, SessionStatus,
    Source,
};
use crate::metrics::{Metrics, WorkGroup};
use crate::timing::Timing;

/// How long changes of what is wanted are gathered, since the plan goes through all sessions to find the next call.
const GATHERING: Duration = Duration::from_millis(20);

pub(super) struct Shared {
    pub(super) quotas: Arc<Quotas>,
    pub(super) metrics: Metrics,
    pub(super) timing: Timing,
    pub(super) news: mpsc::UnboundedSender<News>,
}

impl Shared {
    fn send(&self, news: News) {
        // At shutdown nobody listens.
        let _ = self.news.send(news);
    }
}

/// Looks up the sessions of one work group, by one identity. It runs while something is wanted of it.
pub(crate) struct Poller {
    shared: Arc<Shared>,
    identity: Arc<Identity>,
    work_group: String,
    inner: Mutex<Inner>,
    changed: Notify,
}

struct Inner {
    plan: Plan,
    engine: EngineWatch,
    is_running: bool,
    /// Since when the account has answered from which everything here was learned.
    account_since: Option<Instant>,
    list_error: Option<CallError>,
    /// Under which name the metrics count the work group's sessions.
    series: Option<WorkGroup>,
}

impl Poller {
    pub(super) fn new(shared: Arc<Shared>, identity: Arc<Identity>, work_group: &str) -> Self {
        let inner = Inner {
            plan: Plan::new(shared.timing),
            engine: EngineWatch::default(),
            is_running: false,
            account_since: identity.caller_context().since,
            list_error: None,
            series: None,
        };
        Self { shared, identity, work_group: work_group.to_owned(), inner: Mutex::new(inner), changed: Notify::new() }
    }

    pub(crate) fn work_group(&self) -> &str {
        &self.work_group
    }

    pub(crate) fn watch(self: &Arc<Self>, id: &str, interest: Interest) {
        self.want(|plan| plan.watch(id, interest, Instant::now()));
    }

    pub(crate) fn unwatch(&self, id: &str) {
        self.inner.lock().plan.unwatch(id);
    }

    /// An object asks for a complete list of the work group. To ask again changes nothing. [`News::ListAnswer`] tells when
    /// there is an answer.
    pub(crate) fn ask_for_list(self: &Arc<Self>, asker: &Asker, wanted: &ListRequest) {
        self.want(|plan| plan.ask_for_list(asker, wanted, Instant::now()));
    }

    /// `change` returns whether the plan may now say something else than before.
    fn want(self: &Arc<Self>, change: impl FnOnce(&mut Plan) -> bool) {
        let mut inner = self.inner.lock();
        if change(&mut inner.plan) {
            self.changed.notify_one();
        }
        self.run(&mut inner);
    }

    pub(crate) fn forget_asker(&self, asker: &Asker) {
        self.inner.lock().plan.forget_asker(asker);
    }

    /// What complete lists have shown of what the object asked for, or why there are none. None: there is no answer yet, or
    /// it was fetched already.
    pub(crate) fn list_answer(&self, asker: &Asker, wanted: &ListRequest) -> Option<Result<ListAnswer, CallError>> {
        let mut inner = self.inner.lock();
        match inner.plan.list_answer(asker, wanted)? {
            // If ListSessions works again by now, the object asks once more.
            ListAnswer::Failed => inner.list_error.clone().map(Err),
            ListAnswer::Endless => Some(Err(endless())),
            found => Some(Ok(found)),
        }
    }

    pub(crate) fn count_all(self: &Arc<Self>, counts_all: bool) {
        let mut inner = self.inner.lock();
        inner.plan.count_all(counts_all);
        self.changed.notify_one();
        if counts_all {
            self.run(&mut inner);
        }
    }

    /// Whether the descriptions of the sessions are wanted.
    pub(crate) fn keep_descriptions(&self, keeps: bool) {
        self.inner.lock().plan.keep_descriptions(keeps, Instant::now());
    }

    /// Takes what the last complete list showed: when it began, and each session with its description. None where there is no
    /// list.
    pub(crate) fn last_list<T>(
        &self,
        take: impl FnOnce(Instant, &mut dyn Iterator<Item = ListedSession<'_>>) -> T,
    ) -> Option<T> {
        let inner = self.inner.lock();
        let (began, mut sessions) = inner.plan.last_list()?;
        Some(take(began, &mut sessions))
    }

    pub(crate) fn engine(&self) -> EngineKnowledge {
        self.inner.lock().engine.known()
    }

    /// Calls GetWorkGroup if it is due, since a start waits for the engine.
    pub(crate) fn ask_for_engine(self: &Arc<Self>) {
        let mut inner = self.inner.lock();
        if inner.engine.is_due(Instant::now()) {
            self.run(&mut inner);
        }
    }

    pub(crate) fn sighting<T>(&self, id: &str, take: impl FnOnce(Polled<'_>) -> T) -> T {
        take(self.inner.lock().plan.sighting(id))
    }

    /// When the session was last shown with this status, in this account. None where something else is known of it.
    pub(crate) fn shown_unchanged(&self, id: &str, status: &SessionStatus, account: Option<&str>) -> Option<Instant> {
        if self.identity.caller_context().account.known() != account {
            return None;
        }
        match self.inner.lock().plan.sighting(id) {
            Polled::Seen { status: seen, at, .. } if seen.clone().after(Some(status)) == *status => Some(at),
            _ => None,
        }
    }

    pub(crate) fn observe(&self, id: &str, status: &SessionStatus, at: Instant, source: Source) {
        self.inner.lock().plan.observe(id, status.clone(), at, source);
    }

    /// Whether ListSessions works. Otherwise watchers call Athena themselves.
    pub(crate) fn can_list(&self) -> bool {
        self.inner.lock().plan.list_backoff().is_none()
    }

    pub(crate) fn full_scan_took(&self) -> Duration {
        self.inner.lock().plan.full_scan().map_or(Duration::ZERO, |scan| scan.took)
    }

    pub(crate) fn full_scan_at(&self) -> Option<Instant> {
        self.inner.lock().plan.full_scan().map(|scan| scan.began)
    }

    pub(crate) fn census(&self, is_declared: impl Fn(&str) -> bool) -> Census {
        let inner = self.inner.lock();
        let declared = inner.plan.counted().filter(|(id, _)| is_declared(id)).count();
        Census {
            sessions: inner.plan.full_scan().map(|scan| scan.counts.clone()),
            declared: u32::try_from(declared).unwrap_or(u32::MAX),
            trouble: inner.list_error.clone(),
            engine: inner.engine.known(),
        }
    }

    fn run(self: &Arc<Self>, inner: &mut Inner) {
        if inner.is_running {
            return;
        }
        inner.is_running = true;
        let poller = Arc::clone(self);
        tokio::spawn(async move {
            if AssertUnwindSafe(poller.poll()).catch_unwind().await.is_err() {
                error!(
                    work_group = poller.work_group,
                    "the poller of a work group panicked; it starts anew when it is needed"
                );
                let mut inner = poller.inner.lock();
                inner.plan = Plan::new(poller.shared.timing);
                inner.is_running = false;
            }
        });
    }

    async fn poll(&self) {
        let mut recovered = self.identity.athena.recovery.subscribe();
        loop {
            let scope = self.identity.caller_context();
            if self.is_engine_due(&scope) {
                self.get_work_group(&scope).await;
                continue;
            }
            let Some(task) = self.next_task() else { return };
            match task {
                Task::NotifyWatchers(ids) => ids.into_iter().map(News::Session).for_each(|news| self.shared.send(news)),
                Task::NotifyAskers(askers) => {
                    askers.into_iter().map(News::ListAnswer).for_each(|news| self.shared.send(news));
                }
                Task::Wait(until) => tokio::select! {
                    () = self.rest(until) => {}
                    // An error means that nobody reports calls any more.
                    _ = recovered.changed() => {}
                },
                Task::GetSessionStatus { id, urgent } => self.get_session_status(&id, urgent, &scope).await,
                Task::ListSessions { filter, token, urgent } => {
                    self.list_sessions(filter.as_ref(), token.as_deref(), urgent, &scope).await;
                }
            }
        }
    }

    /// Takes in what may have changed about the account and about Athena. Whether GetWorkGroup is to be called.
    fn is_engine_due(&self, scope: &CallerContext) -> bool {
        let mut inner = self.inner.lock();
        self.notice_account(&mut inner, scope);
        if let Some(recovered_at) = scope.recovered_at {
            inner.plan.recovered(recovered_at);
        }
        inner.engine.is_due(Instant::now())
    }

    /// None: nothing is wanted, so the poller ends.
    fn next_task(&self) -> Option<Task> {
        let mut inner = self.inner.lock();
        let task = inner.plan.next(Instant::now());
        if matches!(task, Task::Wait(_)) && !inner.plan.is_wanted() {
            inner.is_running = false;
            self.count_as(&mut inner, None);
            return None;
        }
        Some(task)
    }

    /// Where another account answers than before, nothing counts that was learned from the one before. The watchers find
    /// that out, and don't watch any more.
    fn notice_account(&self, inner: &mut Inner, scope: &CallerContext) {
        if inner.account_since == scope.since {
            return;
        }
        let was_known = inner.account_since.is_some();
        inner.account_since = scope.since;
        if was_known {
            inner.plan.reset(Instant::now());
            inner.engine = EngineWatch::default();
            inner.plan.watched().for_each(|id| self.shared.send(News::Session(id.to_owned())));
        }
    }

    async fn get_work_group(&self, scope: &CallerContext) {
        self.take_token(Operation::GetWorkGroup, false, scope).await;
        let answer = self.identity.athena.get_work_group_engine(&self.work_group).await;
        let mut inner = self.inner.lock();
        let jitter = match &answer {
            Ok(_) => 0.0,
            Err(error) => self.failure(error, scope).jitter,
        };
        let before = inner.engine.known();
        inner.engine.answered(answer, Instant::now(), &self.shared.timing, jitter);
        self.send_engine(&inner, &before);
    }

    fn send_engine(&self, inner: &Inner, before: &EngineKnowledge) {
        if inner.engine.known() != *before {
            let (target, work_group) = (self.identity.target.clone(), self.work_group.clone());
            self.shared.send(News::Engine { target, work_group });
        }
    }

    async fn get_session_status(&self, id: &str, urgent: bool, scope: &CallerContext) {
        self.take_token(Operation::GetSessionStatus, urgent, scope).await;
        let sent = Instant::now();
        let answer = self.identity.athena.get_session_status(id).await;
        let answer = answer.map_err(|error| self.failure(&error, scope));
        self.inner.lock().plan.status_answered(id, answer, sent, Instant::now());
    }

    async fn list_sessions(
        &self,
        filter: Option<&SessionState>,
        token: Option<&str>,
        urgent: bool,
        scope: &CallerContext,
    ) {
        self.take_token(Operation::ListSessions, urgent, scope).await;
        let sent = Instant::now();
        let answer = self.identity.athena.list_sessions(&self.work_group, filter, token).await;
        let mut inner = self.inner.lock();
        let engine_before = inner.engine.known();
        match &answer {
            Ok(page) if filter.is_none() && token.is_none() => inner.engine.listed(page),
            Ok(_) => {}
            Err(error) => inner.engine.refused(error),
        }
        self.send_engine(&inner, &engine_before);
        self.remember_list_error(&mut inner, answer.as_ref().err());
        let answer = answer.map_err(|error| self.failure(&error, scope));
        let full_scan_before = inner.plan.full_scan().map(|scan| scan.began);
        inner.plan.page_answered(answer, sent, Instant::now());
        match inner.plan.full_scan().map(|scan| scan.began) {
            Some(began) if full_scan_before != Some(began) => self.full_scan_completed(&mut inner, scope, began),
            _ => {}
        }
    }

    /// Some messages hold the time, and each new message would be a write to a status: the first message stays.
    fn remember_list_error(&self, inner: &mut Inner, error: Option<&CallError>) {
        match (error, &inner.list_error) {
            (Some(error), Some(known)) if known.says_the_same(error) => {}
            (None, _) => inner.list_error = None,
            (Some(error), _) => {
                warn!(work_group = self.work_group, %error, "ListSessions fails for a work group; its sessions are \
                     polled one by one");
                inner.list_error = Some(error.clone());
            }
        }
    }

    fn full_scan_completed(&self, inner: &mut Inner, scope: &CallerContext, began: Instant) {
        let QuotaScope { account, region } = QuotaScope::of(scope);
        let (account, region) = (account.unwrap_or_default(), region.unwrap_or_default());
        let series = WorkGroup { account, region, name: self.work_group.clone() };
        self.count_as(inner, Some(series.clone()));
        self.shared.metrics.scrape.sessions(&series, inner.plan.counted().map(|(_, sighting)| &sighting.status.state));
        self.shared.metrics.scrape.polled(&series, began);
        self.shared.send(News::FullScan { target: self.identity.target.clone(), work_group: self.work_group.clone() });
    }

    /// Ends the series of another account, or, where `series` is None, the only one.
    fn count_as(&self, inner: &mut Inner, series: Option<WorkGroup>) {
        if let Some(before) = inner.series.take_if(|before| Some(&*before) != series.as_ref()) {
            self.shared.metrics.scrape.forget(&before);
        }
        inner.series = series;
    }

    fn failure(&self, error: &CallError, scope: &CallerContext) -> CallFailure {
        if error.class == ErrorClass::Throttled {
            self.shared.quotas.throttled(&QuotaScope::of(scope), error.operation);
        }
        CallFailure { class: error.class, jitter: fastrand::f64() }
    }

    async fn take_token(&self, operation: Operation, urgent: bool, scope: &CallerContext) {
        let priority = if urgent { Priority::FreshLook } else { Priority::Poll };
        self.shared.quotas.take(&QuotaScope::of(scope), operation, priority).await;
    }

    async fn rest(&self, until: Option<Instant>) {
        // The account may change meanwhile.
        let latest = Instant::now() + self.shared.timing.steady;
        let until = until.map_or(latest, |until| until.min(latest));
        tokio::select! {
            () = sleep_until(until.into()) => {}
            () = self.changed.notified() => sleep(GATHERING).await,
        }
    }
}
