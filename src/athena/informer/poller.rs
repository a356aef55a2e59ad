//! Makes the calls that [`super::plan`] names for one work group, feeds it the answers, and passes on who is to be
//! woken: the thin shell of the informer.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until};
use tracing::{error, warn};

use super::engine::EngineWatch;
use super::full_list::{Asker, Found, Wanted, endless};
use super::plan::{Ask, Failure, Pace, Plan, Sighting};
use super::{Census, Informer};
use crate::athena::engine::EngineKnowledge;
use crate::athena::identity::Identity;
use crate::athena::quota::{Priority, QuotaScope};
use crate::athena::types::{
    CallError, CallerContext, ErrorClass, Operation, Polled, SessionPage, SessionStatus, Source,
};
use crate::metrics::WorkGroup;

/// So long changes of what is wanted are gathered before a new plan is made.
const GATHER: Duration = Duration::from_millis(20);

/// What looks after the sessions of one work group, by one identity. It runs while somebody needs it.
pub struct Poller {
    informer: Arc<Informer>,
    identity: Arc<Identity>,
    work_group: String,
    inner: Mutex<Inner>,
    changed: Notify,
}

struct Inner {
    plan: Plan,
    engine: EngineWatch,
    is_running: bool,
    /// The account that answers, as it was when what is known was learned.
    since: Option<Instant>,
    /// What ListSessions said last, if it fails.
    trouble: Option<CallError>,
    /// The series that metrics have of it.
    told_as: Option<WorkGroup>,
}

impl Poller {
    pub(super) fn new(informer: Arc<Informer>, identity: Arc<Identity>, work_group: &str) -> Self {
        let since = identity.caller_context().since;
        let (plan, engine) = (Plan::new(informer.timing), EngineWatch::default());
        let inner = Inner { plan, engine, is_running: false, since, trouble: None, told_as: None };
        Self { informer, identity, work_group: work_group.to_owned(), inner: Mutex::new(inner), changed: Notify::new() }
    }

    /// The work group, by its name in Athena.
    #[must_use]
    pub fn work_group(&self) -> &str {
        &self.work_group
    }

    /// Somebody wants to hear of changes of this session.
    pub fn watch(self: &Arc<Self>, id: &str, pace: Pace) {
        let mut inner = self.inner();
        if inner.plan.watch(id, pace, Instant::now()) {
            self.changed.notify_one();
        }
        self.run(&mut inner);
    }

    /// Nobody wants to hear of this session any more.
    pub fn unwatch(&self, id: &str) {
        self.inner().plan.unwatch(id);
    }

    /// An object asks for a complete list of the work group. To be said as often as one likes. The object gets a pass when
    /// there is an answer.
    pub fn ask_for_list(self: &Arc<Self>, asker: &Asker, wanted: &Wanted) {
        let mut inner = self.inner();
        if inner.plan.ask_for_list(asker, wanted, Instant::now()) {
            self.changed.notify_one();
        }
        self.run(&mut inner);
    }

    /// The object waits for no list any more.
    pub fn forget_asker(&self, asker: &Asker) {
        self.inner().plan.forget_asker(asker);
    }

    /// What lists have shown of what the object asked for, or why there are none. None: there is no answer yet, or it was
    /// fetched already.
    pub fn list_answer(&self, asker: &Asker, wanted: &Wanted) -> Option<Result<Found, CallError>> {
        let mut inner = self.inner();
        match inner.plan.list_answer(asker, wanted)? {
            // Where lists can be had again by now, the object asks once more.
            Found::Failed => inner.trouble.clone().map(Err),
            Found::Endless => Some(Err(endless())),
            found => Some(Ok(found)),
        }
    }

    /// Whether all sessions are to be counted.
    pub fn count_all(self: &Arc<Self>, counting: bool) {
        let mut inner = self.inner();
        inner.plan.count_all(counting);
        self.changed.notify_one();
        if counting {
            self.run(&mut inner);
        }
    }

    /// What is known of the work group's engine.
    #[must_use]
    pub fn engine(&self) -> EngineKnowledge {
        self.inner().engine.known()
    }

    /// Calls GetWorkGroup if it is due, since a start waits for the engine.
    pub fn ask_for_engine(self: &Arc<Self>) {
        let mut inner = self.inner();
        if inner.engine.is_due(Instant::now()) {
            self.run(&mut inner);
        }
    }

    /// What is known of a session.
    pub fn sighting<T>(&self, id: &str, take: impl FnOnce(Polled<'_>) -> T) -> T {
        let inner = self.inner();
        take(match inner.plan.sighting(id) {
            Sighting::Seen(sight) => Polled::Seen { status: &sight.status, at: sight.at, source: sight.source },
            Sighting::AskYourself => Polled::AskYourself,
            Sighting::NotYet => Polled::NotYet,
        })
    }

    /// When the session was last shown with this status, in this account; None where it stands otherwise, as far as is known.
    #[must_use]
    pub fn shown_unchanged(&self, id: &str, status: &SessionStatus, account: Option<&str>) -> Option<Instant> {
        if self.identity.caller_context().account.known() != account {
            return None;
        }
        match self.inner().plan.sighting(id) {
            Sighting::Seen(sight) if sight.status.clone().after(Some(status)) == *status => Some(sight.at),
            _ => None,
        }
    }

    /// A call of whoever watches this session, sent at `at`, showed the session so.
    pub fn told(&self, id: &str, status: &SessionStatus, at: Instant, source: Source) {
        self.inner().plan.told(id, status.clone(), at, source);
    }

    /// Whether lists can be had. Otherwise whoever watches a session looks at it for himself.
    #[must_use]
    pub fn is_able(&self) -> bool {
        self.inner().plan.trouble().is_none()
    }

    /// How long it took to list all sessions, the last time.
    #[must_use]
    pub fn sweep_took(&self) -> Duration {
        self.inner().plan.sweep_took()
    }

    /// When the last complete list of all sessions that haven't ended was begun.
    #[must_use]
    pub fn swept_at(&self) -> Option<Instant> {
        self.inner().plan.swept_at()
    }

    /// What the last complete sweep showed.
    #[must_use]
    pub fn census(&self, is_declared: impl Fn(&str) -> bool) -> Census {
        let inner = self.inner();
        let sessions = inner.plan.counts().map(|counts| {
            counts.iter().map(|(state, count)| (state.clone(), u32::try_from(*count).unwrap_or(u32::MAX))).collect()
        });
        let declared = inner.plan.counted().filter(|(id, _)| is_declared(id)).count();
        Census {
            sessions,
            declared: u32::try_from(declared).unwrap_or(u32::MAX),
            trouble: inner.trouble.clone(),
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
                let mut inner = poller.inner.lock().unwrap_or_else(PoisonError::into_inner);
                inner.plan = Plan::new(poller.informer.timing);
                inner.is_running = false;
            }
        });
    }

    async fn poll(&self) {
        let mut recovered = self.identity.athena().recovery().subscribe();
        loop {
            let scope = self.identity.caller_context();
            let is_engine_due = {
                let mut inner = self.inner();
                self.notice_account(&mut inner, &scope);
                if let Some(recovered_at) = scope.recovered_at {
                    inner.plan.recovered(recovered_at);
                }
                inner.engine.is_due(Instant::now())
            };
            if is_engine_due {
                self.learn_engine(&scope).await;
                continue;
            }
            let ask = {
                let mut inner = self.inner();
                match inner.plan.next(Instant::now()) {
                    Ask::Wait(_) if !inner.plan.is_wanted() => {
                        inner.is_running = false;
                        self.tell_as(&mut inner, None);
                        return;
                    }
                    ask => ask,
                }
            };
            match ask {
                Ask::Wake(ids) => ids.into_iter().for_each(|id| self.informer.wake(id)),
                Ask::Tell(askers) => askers.into_iter().for_each(|asker| self.informer.listed(asker)),
                Ask::Wait(until) => tokio::select! {
                    () = self.rest(until) => {}
                    // An error means that nobody reports calls any more.
                    _ = recovered.changed() => {}
                },
                Ask::Status { id, urgent } => self.look(&id, urgent, &scope).await,
                Ask::Page { filter, token, urgent } => {
                    self.token(Operation::ListSessions, urgent, &scope).await;
                    let sent = Instant::now();
                    let athena = self.identity.athena();
                    let answer = athena.list_sessions(&self.work_group, filter.as_ref(), token.as_deref()).await;
                    let is_newest = filter.is_none() && token.is_none();
                    self.paged(answer, is_newest, &scope, sent);
                }
            }
        }
    }

    /// What another account said, or says, counts for nothing: whoever watches a session finds that out, and watches no
    /// more.
    fn notice_account(&self, inner: &mut Inner, scope: &CallerContext) {
        if inner.since == scope.since {
            return;
        }
        let was_known = inner.since.is_some();
        inner.since = scope.since;
        if was_known {
            inner.plan.reset(Instant::now());
            inner.engine = EngineWatch::default();
            inner.plan.watched().for_each(|id| self.informer.wake(id.to_owned()));
        }
    }

    async fn learn_engine(&self, scope: &CallerContext) {
        self.token(Operation::GetWorkGroup, false, scope).await;
        let answer = self.identity.athena().get_work_group_engine(&self.work_group).await;
        let mut inner = self.inner();
        let jitter = match &answer {
            Ok(_) => 0.0,
            Err(error) => self.failure(error, scope).jitter,
        };
        let before = inner.engine.known();
        inner.engine.answered(answer, Instant::now(), &self.informer.timing, jitter);
        self.pass_on_engine(&inner, &before);
    }

    fn pass_on_engine(&self, inner: &Inner, before: &EngineKnowledge) {
        if inner.engine.known() != *before {
            self.informer.engine_learned(&self.identity.way, &self.work_group);
        }
    }

    async fn look(&self, id: &str, urgent: bool, scope: &CallerContext) {
        self.token(Operation::GetSessionStatus, urgent, scope).await;
        let sent = Instant::now();
        let answer = self.identity.athena().get_session_status(id).await;
        let answer = answer.map_err(|error| self.failure(&error, scope));
        self.inner().plan.status_answered(id, answer, sent, Instant::now());
    }

    /// `is_newest`: it is the first page of the list of all active sessions.
    fn paged(&self, answer: Result<SessionPage, CallError>, is_newest: bool, scope: &CallerContext, sent: Instant) {
        let mut inner = self.inner();
        let before = inner.engine.known();
        match &answer {
            Ok(page) if is_newest => inner.engine.listed(page),
            Ok(_) => {}
            Err(error) => inner.engine.refused(error),
        }
        self.pass_on_engine(&inner, &before);
        match &answer {
            Ok(_) => inner.trouble = None,
            // Some messages hold the time, and each new one would be a write: the first one stays.
            Err(error) if inner.trouble.as_ref().is_some_and(|told| told.says_the_same(error)) => {}
            Err(error) => {
                warn!(work_group = self.work_group, %error, "the work group's sessions can't be listed; they are asked for one by one");
                inner.trouble = Some(error.clone());
            }
        }
        let answer = answer.map_err(|error| self.failure(&error, scope));
        let swept_before = inner.plan.swept_at();
        inner.plan.page_answered(answer, sent, Instant::now());
        if let Some(swept_at) = inner.plan.swept_at().filter(|swept_at| Some(*swept_at) != swept_before) {
            let name = self.series(scope);
            self.tell_as(&mut inner, Some(name.clone()));
            self.informer.metrics.sessions(&name, inner.plan.counted().map(|(_, sight)| &sight.status.state));
            self.informer.metrics.polled(&name, swept_at);
            self.informer.swept(&self.identity.way, &self.work_group);
        }
    }

    /// The series of another account, or of nobody's interest, end.
    fn tell_as(&self, inner: &mut Inner, name: Option<WorkGroup>) {
        if let Some(before) = inner.told_as.take_if(|before| Some(&*before) != name.as_ref()) {
            self.informer.metrics.forget_work_group(&before);
        }
        inner.told_as = name;
    }

    fn series(&self, scope: &CallerContext) -> WorkGroup {
        let QuotaScope { account, region } = QuotaScope::of(scope);
        let name = self.work_group.clone();
        WorkGroup { account: account.unwrap_or_default(), region: region.unwrap_or_default(), name }
    }

    fn failure(&self, error: &CallError, scope: &CallerContext) -> Failure {
        if error.class == ErrorClass::Throttled {
            self.informer.quotas.throttled(&QuotaScope::of(scope), error.operation);
        }
        Failure { class: error.class, jitter: fastrand::f64() }
    }

    async fn token(&self, operation: Operation, urgent: bool, scope: &CallerContext) {
        let priority = if urgent { Priority::FreshLook } else { Priority::Poll };
        self.informer.quotas.take(&QuotaScope::of(scope), operation, priority).await;
    }

    async fn rest(&self, until: Option<Instant>) {
        // The account may change meanwhile.
        let most = Instant::now() + self.informer.timing.steady;
        let until = until.map_or(most, |until| until.min(most));
        tokio::select! {
            () = sleep_until(until.into()) => {}
            // A plan looks at all sessions: of many changes at once it makes one.
            () = self.changed.notified() => sleep(GATHER).await,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
