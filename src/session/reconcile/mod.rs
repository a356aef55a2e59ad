//! Takes the steps that [crate::session::plan::decide] names, one after the other, until it says to wait: the thin
//! shell. What it learns goes into the object at hand and into [`Observed`]; it decides nothing.

mod athena;
mod config_map;
pub mod controller;
pub mod large_objects;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Resource, ResourceExt};
use thiserror::Error;
use tracing::{info, warn};

use crate::api::cached::CachedSession;
use crate::api::session::{AthenaSession, AthenaSessionStatus, DeletionPolicy};
use crate::api::{FINALIZER, is_held};
use crate::athena::identity::Identity;
use crate::athena::informer::proof_of_absence::{ListAnswer, ListRequest, Sought};
use crate::athena::informer::{Informer, Poller};
use crate::athena::quota::Key;
use crate::athena::quota::{Priority, Quotas};
use crate::athena::recovery::Recovery;
use crate::athena::types::QuotaScope;
use crate::athena::types::{Account, CallerContext, Operation, Source};
use crate::events::Events;
use crate::index::access::Access;
use crate::index::claims::Claim;
use crate::index::cluster::ClusterIndex;
use crate::index::objects::key;
use crate::kubernetes::{Answer, RequestError, Requests, within};
use crate::metrics::Metrics;
use crate::session::observed::{ANSWER_LIFE, Now, Observed, OwnerRead};
use crate::session::plan::{Decision, Interest, Prolonged, Step, decide};
use crate::session::rules::facts::Facts;
use crate::status::event::Notice;
use crate::status::reason::Reason;
use crate::timing::Timing;
use crate::write_refusals::WriteRefusals;

/// More steps than any object needs in one pass; more would be a loop.
const MOST_STEPS: usize = 24;

/// An object whose session stays unchanged gets a pass after so many times [`Timing::steady`], whatever the poller shows: what
/// nothing wakes it for is found then.
const PASS_AFTER: u32 = 30;

/// Everything that acting needs.
#[derive(Clone)]
pub struct Shell {
    /// Kubernetes.
    pub client: kube::Client,
    /// What the watches show.
    pub index: Arc<ClusterIndex>,
    /// What Athena shows by itself.
    pub informer: Arc<Informer>,
    /// Whether a call may be made.
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
}

/// How a pass ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to do until the object changes, or so long from now.
    Wait(Option<Duration>),
    /// The object doesn't exist any more, or nothing of ours holds it any more.
    Gone,
}

/// Why a pass was given up.
#[derive(Debug, Error)]
pub enum PassError {
    /// A request to the API server wasn't answered as it should be.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The API server refuses what isn't out of date: an admission policy, or a schema that was tightened.
    #[error("{refusal}")]
    Refused {
        /// What was tried, and the API server's words.
        refusal: String,
    },
    /// The object kept changing under our hands, or the program has a fault.
    #[error("not settled after {MOST_STEPS} steps, the last one {last:?}")]
    Unsettled {
        /// The last step.
        last: Box<Step>,
    },
}

impl PassError {
    /// What to tell people of a refusal by the API server; None where it isn't one.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Request(error) => error.refusal(),
            Self::Refused { refusal } => Some(refusal.clone()),
            Self::Unsettled { .. } => None,
        }
    }
}

/// What is kept of an object between its passes.
#[derive(Default)]
pub struct Memory {
    /// What is known of its session.
    pub observed: Observed,
    /// The poller that watches its session, and the session's id.
    pub watched_by: Option<(Arc<Poller>, String)>,
    /// Where the object waits only for the poller to show its session again: how that wait is prolonged.
    pub rest: Option<Rest>,
    /// Which poller was asked for a complete list, and for what.
    pub list_asked_of: Option<(Arc<Poller>, Box<ListRequest>)>,
    /// It waits for a token.
    pub has_queued: bool,
    /// What tells of the end of the outage that a call of this object waits for; None where no call does.
    pub waits_for: Option<Arc<Recovery>>,
    /// The version of the newest copy that a request returned.
    pub newest: Option<u64>,
}

/// A wait that each sight of the unchanged session prolongs, without a pass.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    /// How long after a sight the wait ends.
    sight_lasts: Duration,
    /// When the object gets a pass all the same.
    ends: Instant,
}

impl Rest {
    fn of(prolonged: Prolonged, now: Instant, timing: &Timing) -> Self {
        let most = timing.steady * PASS_AFTER;
        let ends = now + prolonged.at_most.map_or(most, |at_most| at_most.min(most));
        Self { sight_lasts: prolonged.sight_lasts, ends }
    }
}

impl Memory {
    /// Until when the object needs no pass though its wait is over, if so: the poller has shown its session meanwhile,
    /// unchanged.
    #[must_use]
    pub fn prolonged_until(&self, now: Instant) -> Option<Instant> {
        let rest = self.rest.as_ref()?;
        let (poller, id) = self.watched_by.as_ref()?;
        let seen = self.observed.seen.as_ref()?;
        let until = poller.shown_unchanged(id, &seen.status, self.observed.account.as_deref())? + rest.sight_lasts;
        (now < until && now < rest.ends).then_some(until.min(rest.ends))
    }

    /// Whether the outage that a call waits for is over. Returns true only once.
    pub fn is_relieved(&mut self) -> bool {
        let observed = &self.observed;
        self.waits_for.take_if(|recovery| observed.is_relieved(recovery.recovered_at())).is_some()
    }
}

/// By whom, where and on what terms Athena is asked about an object.
struct Reach {
    access: Access,
    /// None where its AthenaWorkGroup doesn't exist.
    identity: Option<Arc<Identity>>,
}

impl Reach {
    fn scope(&self) -> CallerContext {
        let nowhere = || CallerContext {
            role: None,
            region: None,
            account: Account::Unknown("there is no AthenaWorkGroup".to_owned()),
            confirmed_at: None,
            since: None,
            skew: None,
            recovered_at: None,
        };
        self.identity.as_ref().map_or_else(nowhere, |identity| identity.caller_context())
    }
}

impl Shell {
    /// Takes steps for one object until there is nothing left to do.
    ///
    /// # Errors
    /// When Kubernetes can't be read or written. Trouble with Athena isn't an error: it is known,
    /// shown in the status, and waited for.
    pub async fn pass(&self, cached: &AthenaSession, memory: &mut Memory) -> Result<Outcome, PassError> {
        let requests = self.requests(cached.namespace().as_deref());
        let mut object = Cow::Borrowed(cached);
        let began = Instant::now();
        memory.rest = None;
        let mut read_at: Option<Instant> = None;
        let mut last = Step::Wait(None);
        memory.observed.asked = None;
        for _ in 0..MOST_STEPS {
            let mut reach = self.reach(&object, &memory.observed).await;
            let (scope, now) = (reach.scope(), now());
            memory.observed.found(&object, &scope, now);
            if let Some(news) = self.index.workload_news(&object) {
                memory.observed.workloads.heard(news);
            }
            if self.fetch_list(&object, memory, &scope, now) {
                // What the object asked for before a list was waited for, it may not ask for any more.
                read_at = None;
            }
            // What the poller sees of its work group isn't for an object that may not have it, or not yet.
            let poller = self.poller(&reach, &memory.observed).filter(|_| is_held(&*object));
            let id = memory.observed.session_id(&object).map(str::to_owned);
            let shown_before = memory.observed.shown_of_owner();
            if let (Some(poller), Some(id)) = (&poller, &id) {
                poller.sighting(id, |polled| memory.observed.polled(polled, poller.work_group(), &scope, now));
            }
            memory.observed.recognize(&object, &self.index.cluster, reach.access.is_contested);
            if memory.observed.shown_of_owner() != shown_before {
                // The session is another object's, perhaps: nothing is decided on terms from before that was shown.
                reach.access = self.access(&object, &memory.observed);
            }
            if let Some(poller) = &poller {
                reach.access.engine = poller.engine();
            }
            let facts = Facts {
                object: &object,
                began,
                // What was read long ago, before other requests that took their time, has to be read again.
                fresh: read_at.is_some_and(|read_at| read_at.elapsed() < ANSWER_LIFE),
                observed: &memory.observed,
                access: &reach.access,
                polled: poller.as_ref().is_some_and(|poller| poller.can_list()),
                full_scan_took: poller.as_ref().map_or(Duration::ZERO, |poller| poller.full_scan_took()),
                listed_at: poller.as_ref().and_then(|poller| poller.full_scan_at()),
                scope: &scope,
                cluster: &self.index.cluster,
                timing: &self.timing,
                now,
            };
            let Decision { step, priority, interest, prolonged, usage, is_no_end_wanted, awaits_engine } =
                decide(&facts);
            if let Some(usage) = usage {
                self.index.report_usage(&object, usage);
            }
            last = step.clone();
            let observed = &mut memory.observed;
            if is_no_end_wanted {
                observed.record.unasked(object.status.as_ref());
            }
            let answer = match step {
                Step::Wait(after) => {
                    if std::mem::take(&mut memory.has_queued) {
                        self.quotas.forget(&key(&*object));
                    }
                    if let (Some(poller), true) = (&poller, awaits_engine) {
                        poller.ask_for_engine();
                    }
                    let is_put_off = memory.observed.is_put_off(scope.recovered_at);
                    memory.waits_for =
                        reach.identity.as_ref().filter(|_| is_put_off).map(|it| Arc::clone(it.athena().recovery()));
                    if memory.observed.asked.is_none() {
                        forget_list(memory, &key(&*object));
                    }
                    memory.rest = prolonged.map(|prolonged| Rest::of(prolonged, now.tick, &self.timing));
                    attend(memory, poller.zip(id).zip(interest));
                    return Ok(Outcome::Wait(after));
                }
                Step::RemoveFinalizer { notice } => match requests.remove_finalizer(&object, FINALIZER).await? {
                    Answer::Conflict { refusal } => Answer::Conflict { refusal },
                    answer => {
                        if let Answer::Object(_) = answer {
                            self.tell(&object, object.status.as_ref(), notice);
                        }
                        return Ok(Outcome::Gone);
                    }
                },
                Step::AddFinalizer => {
                    let Some(answer) = self.adopt(&requests, &object).await? else {
                        return Ok(Outcome::Wait(Some(self.timing.changing)));
                    };
                    if let Answer::Object(adopted) = &answer {
                        observed.adopted(adopted);
                    }
                    answer
                }
                Step::GetObject => requests.read(&object.name_any()).await?,
                Step::ReserveSlot => {
                    self.index.reserve(&object);
                    continue;
                }
                Step::GetOwner { owner } => {
                    observed.owner = Some(Box::new(self.read_owner(owner).await?));
                    continue;
                }
                Step::WriteStatus { status, notices } => {
                    let answer = match self.write_status(&requests, &object, &status, notices).await {
                        Err(error) if error.is_too_large() && observed.rooms.refused(&object) => {
                            observed.record.refused(&status, now);
                            self.tell_of_size(&object, &error);
                            continue;
                        }
                        answer => answer?,
                    };
                    if let Answer::Object(written) = &answer {
                        observed.record.written(written.status.as_ref());
                        observed.rooms.written(&object, written);
                    }
                    answer
                }
                step @ (Step::GetConfigMap
                | Step::WriteConfigMap { .. }
                | Step::DeleteConfigMap { .. }
                | Step::GetWorkloads
                | Step::DeleteObject) => {
                    // Boxed: few passes run one.
                    Box::pin(self.run_errand(&object, observed, step)).await;
                    continue;
                }
                Step::ListSessions { wanted } => {
                    let Some(identity) = &reach.identity else { return Ok(Outcome::Wait(None)) };
                    self.ask_for_list(&object, memory, identity, wanted);
                    continue;
                }
                step => {
                    let Some(identity) = &reach.identity else { return Ok(Outcome::Wait(None)) };
                    if !self.may_call(&object, &scope, &step, priority) {
                        // The arrival of its token asks for a pass.
                        memory.has_queued = true;
                        return Ok(Outcome::Wait(Some(self.timing.steady)));
                    }
                    // Where the look shows no end, the turn to call TerminateSession goes to another object.
                    memory.has_queued |= step == Step::GetSessionStatusBeforeEnd;
                    // What the object asked for before such a call, it may not ask for after it.
                    read_at = read_at.filter(|_| !matches!(step, Step::StartSession { .. }));
                    self.call_athena(&object, observed, identity, step).await;
                    continue;
                }
            };
            let answer = match answer {
                Answer::Conflict { refusal } => match requests.read(&object.name_any()).await? {
                    // What we went by is not old: it was refused for another reason.
                    Answer::Object(read) if read.resource_version() == object.resource_version() => {
                        return Err(PassError::Refused { refusal });
                    }
                    answer => answer,
                },
                answer => answer,
            };
            match answer {
                Answer::Object(answered) if answered.uid() == cached.uid() => {
                    memory.newest = version(&answered.metadata).or(memory.newest);
                    object = Cow::Owned(*answered);
                    read_at = Some(Instant::now());
                }
                // Another object has taken the name: this one is gone.
                Answer::Object(_) | Answer::Conflict { .. } | Answer::Gone => return Ok(Outcome::Gone),
            }
        }
        match last {
            Step::GetCallerIdentity => Ok(Outcome::Wait(Some(Duration::ZERO))),
            last => Err(PassError::Unsettled { last: Box::new(last) }),
        }
    }

    /// The object is gone, or its name is another's: nobody waits for its session any more on its behalf.
    pub fn leave(&self, key: &Key, memory: Memory) {
        if let Some((poller, id)) = memory.watched_by {
            poller.unwatch(&id);
        }
        if let Some((poller, _)) = memory.list_asked_of {
            poller.forget_asker(key);
        }
        self.quotas.forget(key);
    }

    async fn reach(&self, object: &AthenaSession, observed: &Observed) -> Reach {
        let access = self.access(object, observed);
        // Who has no grant, and never had one, makes no call: not even to assume a role.
        let target = self.index.work_groups.target(object).filter(|_| is_held(object) || access.denied.is_none());
        let identity = target.map(|target| self.index.work_groups.identities.of(&target));
        if let (Some(identity), Some(_)) = (&identity, &access.reference) {
            identity.first_answer().await;
        }
        Reach { access, identity }
    }

    fn access(&self, object: &AthenaSession, observed: &Observed) -> Access {
        // What is recorded only keeps others' claims away until Athena has been asked.
        let recorded = object.status.as_ref().and_then(|status| status.work_group.as_deref());
        let marker = observed.seen.as_ref().and_then(|seen| seen.status.marker.as_deref());
        let id = observed.session_id(object);
        self.index.access(object, id, observed.work_group.as_deref().or(recorded), marker)
    }

    /// Takes in the answer to what an earlier pass asked for, if there is one. Whatever the object still wants, it asks for
    /// again in this pass.
    fn fetch_list(&self, object: &AthenaSession, memory: &mut Memory, scope: &CallerContext, now: Now) -> bool {
        let Some((poller, wanted)) = &memory.list_asked_of else { return false };
        let Some(answer) = poller.list_answer(&key(object), wanted) else { return false };
        let Some((poller, wanted)) = memory.list_asked_of.take() else { return false };
        if let Ok(ListAnswer::Shown(shown)) = &answer {
            // From now on the poller looks after this session.
            poller.observe(&shown.id, &shown.status, shown.at, Source::List);
        }
        let observed = &mut memory.observed;
        observed.asked = None;
        match answer {
            // The object stands for another session by now.
            Ok(_) if matches!(&wanted.sought, Sought::Session(id) if observed.session_id(object) != Some(id)) => {}
            Ok(found) => {
                observed.listed(&wanted, found, scope, now, &self.timing);
                observed.answered_in(scope);
            }
            Err(error) => observed.failed(error, now, &self.timing, fastrand::f64()),
        }
        true
    }

    /// Asks the poller of the work group for a complete list, or goes on asking.
    fn ask_for_list(
        &self,
        object: &AthenaSession,
        memory: &mut Memory,
        identity: &Arc<Identity>,
        wanted: Box<ListRequest>,
    ) {
        let (poller, key) = (self.informer.poller(identity, &wanted.work_group), key(object));
        if memory.list_asked_of.as_ref().is_some_and(|(before, _)| !Arc::ptr_eq(before, &poller)) {
            forget_list(memory, &key);
        }
        poller.ask_for_list(&key, &wanted);
        memory.list_asked_of = Some((poller, wanted.clone()));
        memory.observed.asked = Some(wanted);
    }

    /// The poller of the session's work group, as far as that is known.
    fn poller(&self, reach: &Reach, observed: &Observed) -> Option<Arc<Poller>> {
        let work_group = reach.access.work_group.as_ref().or(observed.work_group.as_ref())?;
        Some(self.informer.poller(reach.identity.as_ref()?, work_group))
    }

    /// Whether there is a token for this call; if not, its arrival asks for a pass.
    fn may_call(&self, object: &AthenaSession, scope: &CallerContext, step: &Step, priority: Priority) -> bool {
        let operation = match step {
            Step::GetSession => Operation::GetSession,
            Step::GetSessionStatus | Step::GetSessionStatusBeforeEnd => Operation::GetSessionStatus,
            Step::StartSession { .. } => Operation::StartSession,
            Step::TerminateSession { .. } => Operation::TerminateSession,
            // STS isn't Athena, and anything else is no call.
            _ => return true,
        };
        let (place, who) = (QuotaScope::of(scope), key(object));
        if *step == Step::GetSessionStatusBeforeEnd
            && !self.quotas.try_reserve(&place, Operation::TerminateSession, Priority::End, &who)
        {
            return false;
        }
        self.quotas.try_take(&place, operation, priority, &who)
    }

    /// An object as it is now.
    ///
    /// # Errors
    /// As [`RequestError`].
    pub(super) async fn read(&self, (namespace, name): &Key) -> Result<Answer<AthenaSession>, RequestError> {
        self.requests(Some(namespace)).read(name).await
    }

    fn requests(&self, namespace: Option<&str>) -> Requests<AthenaSession> {
        let api = Api::namespaced(self.client.clone(), namespace.unwrap_or_default());
        Requests { api, deadline: self.deadline, writes: self.writes.clone() }
    }

    /// Puts our finalizer on, unless the AthenaWorkGroup that would let it end its session is going.
    async fn adopt(
        &self,
        requests: &Requests<AthenaSession>,
        object: &AthenaSession,
    ) -> Result<Option<Answer<AthenaSession>>, PassError> {
        // Not awaited: passes that wait for a lock would hold up those of others.
        let Ok(_adopting) = self.index.adoptions.try_read() else { return Ok(None) };
        let access = self.index.access(object, None, None, None);
        if access.is_terminating || access.denied.is_some() {
            return Ok(None);
        }
        Ok(Some(requests.add_finalizer(object, FINALIZER).await?))
    }

    /// Whether the object that a session belongs to is still there, and ends it when it is deleted.
    async fn read_owner(&self, owner: Claim) -> Result<OwnerRead, PassError> {
        // As the watch has it: the owner may be too large to be kept, and isn't written to.
        let api: Api<CachedSession> = Api::namespaced(self.client.clone(), &owner.namespace);
        const DOING: &str = "reading the session's owner";
        let stands = match within(self.deadline, api.get(&owner.name)).await {
            Ok(read) => {
                let why = |why| RequestError::Kubernetes { doing: DOING, why };
                let read = read.outline().map_err(why)?;
                let retained = read.spec.deletion_policy == DeletionPolicy::Retain;
                let is_going = read.meta().deletion_timestamp.is_some() && retained;
                read.uid().as_ref() == Some(&owner.uid) && !is_going && is_held(&read)
            }
            Err(failure) if failure.code() == Some(404) => false,
            Err(failure) => return Err(failure.while_doing(DOING).into()),
        };
        Ok(OwnerRead { uid: owner.uid, at: Instant::now(), stands })
    }

    async fn write_status(
        &self,
        requests: &Requests<AthenaSession>,
        object: &AthenaSession,
        status: &AthenaSessionStatus,
        notices: Vec<Notice>,
    ) -> Result<Answer<AthenaSession>, RequestError> {
        let written = Box::new(AthenaSession { status: Some(status.clone()), ..object.clone() });
        let answer = requests.write_status(written).await?;
        if let Answer::Object(written) = &answer {
            self.tell(object, written.status.as_ref(), notices);
        }
        Ok(answer)
    }

    /// The object has no room for its status. The condition that says so may have none either.
    fn tell_of_size(&self, object: &AthenaSession, refusal: &RequestError) {
        let (namespace, name) = key(object);
        warn!(namespace, name, problem = %refusal, "the object is too large for its status, which is shortened or left out");
        let note = format!("The status is shortened or left out: {}", refusal.refusal().unwrap_or_default());
        self.events.tell(object.object_ref(&()), Notice::warning("Refused", note));
    }

    fn tell(
        &self,
        object: &AthenaSession,
        status: Option<&AthenaSessionStatus>,
        notices: impl IntoIterator<Item = Notice>,
    ) {
        for notice in notices {
            if notice.is_end() {
                let reason = status.and_then(|status| status.termination_reason);
                let asked_at = status.and_then(|status| status.termination_requested_at.as_ref());
                let took = asked_at.and_then(|asked_at| Duration::try_from(now().wall.duration_since(asked_at.0)).ok());
                if let (Some(reason), Some(took)) = (reason, took) {
                    self.metrics.terminated(reason, took);
                }
            }
            if notice.reason == Reason::ReadOnly.as_str() {
                let (namespace, name) = key(object);
                info!(
                    namespace,
                    name,
                    session = object.spec.session_id,
                    "read-only: this would be done: {}",
                    notice.note
                );
            }
            self.events.tell(object.object_ref(&()), notice);
        }
    }
}

/// The object wants no list any more.
fn forget_list(memory: &mut Memory, key: &Key) {
    if let Some((poller, _)) = memory.list_asked_of.take() {
        poller.forget_asker(key);
    }
}

/// Tells the poller of the session's work group how soon news is wanted, and any other one that none is.
fn attend(memory: &mut Memory, wanted: Option<((Arc<Poller>, String), Interest)>) {
    let is_other = |(before, id): &(Arc<Poller>, String)| {
        wanted.as_ref().is_none_or(|((poller, wanted), _)| !Arc::ptr_eq(poller, before) || wanted != id)
    };
    if let Some((before, id)) = memory.watched_by.take_if(|before| is_other(before)) {
        before.unwatch(&id);
    }
    if let Some(((poller, id), interest)) = wanted {
        poller.watch(&id, interest);
        memory.watched_by = Some((poller, id));
    }
}

/// Versions of one resource compare as numbers (KEP-5504). None where it isn't one.
pub(super) fn version(metadata: &ObjectMeta) -> Option<u64> {
    metadata.resource_version.as_ref()?.parse().ok()
}

pub(super) fn now() -> Now {
    Now { wall: Timestamp::now(), tick: Instant::now() }
}
