//! A simulated world for tests: an API server with one object, Athena with one session, and an operator that takes the
//! steps that `decide` names ([`operator`]). Time passes only when a test says so.
//!
//! The world checks the invariants S1 to S5, S7, S8 and L2 at each step. [`World::breach`] keeps the first breach.

mod around;
mod athena;
mod false_answers;
mod forgery;
mod limits;
mod objects;
mod operator;
mod starts;
mod story;
mod work_group_limits;

use std::collections::VecDeque;
use std::time::Duration;

use kube::ResourceExt;

pub use self::around::{Around, Owner, Poller};
pub use self::false_answers::Lies;
pub use self::forgery::Forgery;
pub use self::limits::Truth;
pub use self::objects::{NOBODY, Objects, Webhook, completed, failed, job, suspended, unfinished};
pub use self::operator::{ends, message, reason, word, written};
pub use self::starts::{Starts, VICTIM};
pub use self::story::{Line, config, fault, poller};
use crate::core::{
    AthenaSession, AthenaSessionSpec, AthenaSessionStatus, CallerContext, DeletionPolicy, EngineKnowledge, ErrorClass,
    FINALIZER, Observed, Operation, QuotaExceeded, SessionState, Step, Suspension, WorkGroupRef,
};
use crate::fixtures::{home, object, seconds, time};

/// What happens to one call to Athena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is answered.
    None,
    /// The call fails without an effect.
    Fails(ErrorClass),
    /// The call has its effect, and its answer is lost.
    CutAfter,
    /// TerminateSession is accepted and does nothing.
    NoEffect,
    /// No answer comes, and StartSession has its effect later.
    Late,
}

/// What others do.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Delete,
    SetTerminate,
    SetPolicy(DeletionPolicy),
    SetGrace(Option<Duration>),
    SetLifetime(Option<Duration>),
    SetIdle(Option<Duration>),
    /// The AthenaWorkGroup limits the lifetime and the idle time of its sessions.
    GroupLimits(Option<Duration>, Option<Duration>),
    /// An object of the same name is created once the name is free.
    Create(Box<AthenaSessionSpec>),
    Forge(Forgery),
    /// The operator is killed and started again.
    Restart,
    /// The session changes by itself.
    Becomes(SessionState),
    /// Athena no longer knows the session, if it has ended.
    Forgets,
    /// So many requests to the API server fail. `late`: they fail after their effect.
    ApiServerFails {
        requests: u8,
        late: bool,
    },
    /// The AthenaWorkGroup is created, or taken away by force.
    GroupExists(bool),
    /// The AthenaWorkGroup selects the object's namespace, or doesn't any more.
    GroupAllows(bool),
    /// The AthenaWorkGroup is being deleted, or isn't.
    GroupCloses(bool),
    /// The operator requires a workGroupRef (`--require-work-group`).
    RefIsRequired(bool),
    /// Ends are suspended, or not any more.
    Suspension(Option<Suspension>),
    /// The object's reference to the AthenaWorkGroup is set.
    SetRef,
    /// An older object that names the session appears, changes or vanishes. The flag says whether the watch shows
    /// this at once.
    Owner(Option<Owner>, bool),
    /// The watch shows who owns the session by now.
    OwnerIsShown,
    /// What the poller of the work group does from now on.
    Poller(Poller),
    /// Other objects of the namespace use up `sessionsPerNamespace`, or don't any more.
    QuotaExceeded(bool),
    /// What is known of the work group's engine changes.
    Learns(EngineKnowledge),
}

enum Answer {
    Object(Box<AthenaSession>),
    Conflict,
    Gone,
    Failed,
}

pub struct World {
    pub elapsed: Duration,
    pub scope: CallerContext,
    /// What others than the object's author say.
    pub around: Around,
    /// The object at the API server.
    pub object: Option<AthenaSession>,
    /// The object as the operator's watch shows it.
    pub cache: Option<AthenaSession>,
    /// The watch stands still.
    pub cache_frozen: bool,
    pub observed: Observed,
    observed_of: Option<String>,
    /// The session's state; None: it doesn't exist, or no longer.
    pub session: Option<SessionState>,
    /// How long the session is TERMINATING. None stands for ever.
    pub terminating_for: Option<Duration>,
    terminated_at: Option<Duration>,
    /// What happens to the next calls. Later calls are answered.
    pub faults: VecDeque<Fault>,
    /// The error of each call of these operations.
    pub outages: Vec<(Operation, ErrorClass)>,
    /// Events that happen after so many further steps of the operator.
    pub ambush: Vec<(u8, Event)>,
    /// What StartSession has done, and will do.
    pub starts: Starts,
    pub truth: Truth,
    /// The false answers of Athena.
    pub lies: Lies,
    /// Other objects at the API server: the ConfigMap, Jobs and Pods.
    pub objects: Objects,
    api_server_fails: (u8, bool),
    versions: u64,
    killed: bool,
    /// What the operator did, in order.
    pub steps: Vec<Step>,
    pub calls: Vec<(Duration, Operation)>,
    /// The operator's writes that the API server accepted.
    pub writes: Vec<(Duration, Step)>,
    /// The newest copy that the API server gave in this pass.
    read: Option<AthenaSession>,
    /// The first breach of an invariant.
    pub breach: Option<String>,
}

impl World {
    /// The object and its finalizer are there; the operator has just been started.
    pub fn with(session: Option<SessionState>) -> Self {
        Self {
            elapsed: Duration::ZERO,
            scope: home(),
            around: Around::default(),
            object: Some(object()),
            cache: None,
            cache_frozen: false,
            // This process has just put the finalizer on it.
            observed: Observed { adopted_here: true, ..Observed::default() },
            observed_of: object().metadata.uid,
            session,
            terminating_for: Some(seconds(5)),
            terminated_at: None,
            faults: VecDeque::new(),
            outages: Vec::new(),
            ambush: Vec::new(),
            starts: Starts::default(),
            truth: Truth::default(),
            lies: Lies::default(),
            objects: Objects::default(),
            api_server_fails: (0, false),
            versions: 1,
            killed: false,
            steps: Vec::new(),
            calls: Vec::new(),
            writes: Vec::new(),
            read: None,
            breach: None,
        }
    }

    /// An adopted session, as the operator knows it a while later.
    pub fn adopted(state: SessionState) -> Self {
        let mut world = Self::with(Some(state));
        world.run_for(seconds(1));
        world.forget_the_past();
        world
    }

    pub fn forget_the_past(&mut self) {
        self.steps.clear();
        self.calls.clear();
        self.writes.clear();
    }

    pub fn recorded(&self) -> &AthenaSessionStatus {
        self.object.as_ref().unwrap().status.as_ref().unwrap()
    }

    pub fn count(&self, operation: Operation) -> usize {
        self.calls.iter().filter(|(_, called)| *called == operation).count()
    }

    /// The operator's steps, in words.
    pub fn told(&self) -> String {
        self.steps.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Delete => self.edit(|object, now| {
                if object.metadata.deletion_timestamp.is_none() {
                    object.metadata.deletion_timestamp = Some(time(now));
                    object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
                }
            }),
            Event::SetTerminate => self.edit(|object, _| {
                object.spec.terminate = true;
                object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
            }),
            Event::SetGrace(grace) => self.set(|spec| spec.termination_grace_period = grace.map(Into::into)),
            Event::SetLifetime(lifetime) => self.set_lifetime(*lifetime),
            Event::SetIdle(idle) => self.set(|spec| spec.max_idle = idle.map(Into::into)),
            Event::GroupLimits(lifetime, idle) => self.set_group_limits(*lifetime, *idle),
            Event::SetPolicy(policy) => self.edit(|object, _| {
                object.spec.deletion_policy = *policy;
                object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
            }),
            Event::Create(spec) => {
                if self.object.is_none() {
                    self.around.was_granted = false;
                    let mut new = AthenaSession { spec: (**spec).clone(), ..object() };
                    new.metadata.finalizers = None;
                    self.truth.asked_at = None;
                    new.metadata.uid = Some(format!("uid-{}", self.versions + 1));
                    self.store(new);
                }
            }
            Event::GroupExists(exists) => self.around.exists = *exists,
            Event::GroupAllows(allows) => self.around.allows = *allows,
            Event::GroupCloses(closes) => self.around.closes = *closes,
            Event::RefIsRequired(is_required) => self.around.is_required = *is_required,
            Event::Suspension(suspension) => self.around.suspension = *suspension,
            Event::Owner(owner, is_shown) => {
                self.around.owner = *owner;
                if *is_shown {
                    self.around.shown = *owner;
                }
            }
            Event::OwnerIsShown => self.around.shown = self.around.owner,
            Event::Poller(poller) => self.around.poller = *poller,
            Event::QuotaExceeded(is_there) => {
                self.starts.quota_exceeded =
                    is_there.then(|| QuotaExceeded { limit: 1, holders: vec!["other".to_owned()], waiting: 0 });
            }
            Event::SetRef => self.edit(|object, _| {
                let group = WorkGroupRef { name: around::GROUP.to_owned() };
                object.spec.work_group_ref.get_or_insert(group);
                object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
            }),
            Event::Learns(engine) => self.starts.engine = engine.clone(),
            Event::Forge(forgery) => {
                self.around.is_forged = true;
                self.edit(|object, now| forgery.apply(object, now));
            }
            Event::Restart => {
                self.observed = Observed::default();
                self.around.restarted();
                self.starts.has_slot = false;
                self.killed = true;
            }
            Event::Becomes(state) => {
                // In stories with workloads an end that is under way is reached. The case in which it isn't is tested
                // in adversarial_limits_and_workloads.
                let comes_back = self.objects.looked.is_some() && self.session == Some(SessionState::Terminating);
                if self.session.as_ref().is_some_and(|now| !now.is_ended()) && (!comes_back || state.is_ended()) {
                    self.become_state(state.clone());
                }
            }
            Event::Forgets => {
                if self.session.as_ref().is_some_and(SessionState::is_ended) {
                    self.session = None;
                    self.starts.started_by = None;
                }
            }
            Event::ApiServerFails { requests, late } => self.api_server_fails = (*requests, *late),
        }
    }

    fn edit(&mut self, change: impl FnOnce(&mut AthenaSession, Duration)) {
        if let Some(mut object) = self.object.clone() {
            change(&mut object, self.elapsed);
            if object.spec.terminate || object.metadata.deletion_timestamp.is_some() {
                self.truth.asked_at.get_or_insert(self.elapsed);
            }
            self.store(object);
        }
    }

    fn set(&mut self, change: impl FnOnce(&mut AthenaSessionSpec)) {
        self.edit(|object, _| {
            change(&mut object.spec);
            object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
        });
    }

    fn store(&mut self, mut object: AthenaSession) {
        self.versions += 1;
        object.metadata.resource_version = Some(self.versions.to_string());
        let gone = object.metadata.deletion_timestamp.is_some() && object.finalizers().is_empty();
        self.object = (!gone).then_some(object);
    }

    pub fn wait(&mut self, long: Duration) {
        self.around.was(self.elapsed, self.session.clone());
        self.elapsed += long;
        if self.terminated_at.is_some_and(|at| at <= self.elapsed) {
            self.terminated_at = None;
            self.session = Some(SessionState::Terminated);
        }
        self.start_late();
        self.around.was(self.elapsed, self.session.clone());
    }

    fn become_state(&mut self, state: SessionState) {
        self.terminated_at = None;
        if state == SessionState::Terminating {
            self.terminated_at = self.terminating_for.map(|long| self.elapsed + long);
        }
        if state == SessionState::Idle {
            self.truth.idle_since = self.elapsed;
        }
        self.truth.ended_at = state.is_ended().then_some(self.elapsed);
        self.session = Some(state);
    }

    fn get(&mut self) -> Answer {
        if self.api_server_fails(false) {
            return Answer::Failed;
        }
        self.read.clone_from(&self.object);
        self.object.clone().map_or(Answer::Gone, |object| Answer::Object(Box::new(object)))
    }

    /// Whether this request fails. A write may fail before its effect or, with `after`, after it.
    fn api_server_fails(&mut self, after: bool) -> bool {
        let (requests, late) = self.api_server_fails;
        let fails = requests > 0 && late == after;
        if fails {
            self.api_server_fails.0 -= 1;
        }
        fails
    }

    /// Writes the object, if its version is still the one that was decided on.
    fn write(&mut self, decided_on: &AthenaSession, step: &Step) -> Answer {
        if self.api_server_fails(false) {
            return Answer::Failed;
        }
        let Some(current) = self.object.clone() else { return Answer::Gone };
        if current.uid() != decided_on.uid() || current.resource_version() != decided_on.resource_version() {
            return Answer::Conflict;
        }
        let mut new = current.clone();
        let deleted = new.metadata.deletion_timestamp.is_some();
        let finalizers = new.metadata.finalizers.get_or_insert_default();
        match step {
            Step::AddFinalizer => {
                finalizers.push(FINALIZER.to_owned());
                if self.refusal(&current).is_some() || self.around.closes && self.is_bound(&current) {
                    self.breach("S5: adopted without a grant".to_owned());
                }
                if deleted {
                    self.breach("finalizer added to an object that is being deleted".to_owned());
                }
            }
            Step::RemoveFinalizer { .. } => {
                finalizers.retain(|name| name != FINALIZER);
                if !deleted {
                    self.breach("finalizer taken off an object that is wanted".to_owned());
                }
                let retain = new.spec.deletion_policy == DeletionPolicy::Retain;
                let ours = self.is_ours(&new);
                self.starts.retained |= retain;
                let others = self.is_others(&new);
                if !retain && ours && !others && self.session.as_ref().is_some_and(|state| !state.is_ended()) {
                    self.breach(format!("S2: finalizer removed while the session is {:?}", self.session));
                }
            }
            Step::WriteStatus { status, .. } => {
                if new.status.as_ref() == Some(&**status) {
                    self.breach("L2: a status was written that was there".to_owned());
                }
                self.check_status(&current, status);
                new.status = Some((**status).clone());
            }
            _ => unreachable!("{step:?} is no write"),
        }
        self.writes.push((self.elapsed, step.clone()));
        self.store(new.clone());
        new.metadata.resource_version = Some(self.versions.to_string());
        self.read = Some(new.clone());
        if self.api_server_fails(true) { Answer::Failed } else { Answer::Object(Box::new(new)) }
    }

    fn breach(&mut self, what: String) {
        self.breach.get_or_insert(what);
    }
}
