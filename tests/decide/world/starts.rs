//! Athena's side of starts: tokens, markers, and sessions that appear late. S3 is checked here, and S5 for starts.

use std::time::Duration;

use kube::ResourceExt;

use super::{Fault, World, around};
use crate::core::{
    AthenaSession, AthenaSessionStatus, Engine, EngineKnowledge, ErrorClass, ListAnswer, ListRequest, Marker,
    QuotaExceeded, Session, SessionStart, SessionState, SessionStatus, Shown, Slot, Sought, StartBounds, StartOutcome,
    StartRequest, Step, Usage, WorkGroupRef, WorkloadState,
};
use crate::fixtures::{CLUSTER, SESSION, TIMING, WORK_GROUP, at, lacking, seconds, status};

/// How long after a call without an answer its effect may come.
const LATE: Duration = Duration::from_secs(15);

/// Somebody else's session, which StartSession may answer with.
pub const VICTIM: &str = "the-victims";

/// Whether this list is to find a started session by its marker, and not a session by its id.
pub(super) fn is_by_mark(wanted: &ListRequest) -> bool {
    matches!(wanted.sought, Sought::Mark { .. })
}

/// What StartSession has done, and will do.
#[derive(Clone, Debug)]
pub struct Starts {
    /// What the AthenaWorkGroup allows.
    pub bounds: Option<StartBounds>,
    /// Other objects have used up `sessionsPerNamespace`.
    pub quota_exceeded: Option<QuotaExceeded>,
    /// `sessionsPerNamespace` is set, so a slot has to be reserved before a start.
    pub limited: bool,
    /// The object has a slot.
    pub has_slot: bool,
    /// Another object takes the slot first.
    pub is_raced: bool,
    /// How long Athena remembers a ClientRequestToken.
    pub token_life: Duration,
    /// How long after its start a session appears in lists.
    pub list_lag: Duration,
    /// How long ago the informer's last complete list began.
    pub list_age: Duration,
    /// StartSession answers with this id instead of the session's.
    pub answers_with: Option<&'static str>,
    /// The UID of the object that the session was started for.
    pub started_by: Option<String>,
    /// The finalizer went although a session may have been started, since the object was retained.
    pub retained: bool,
    /// What is known of the work group's engine.
    pub engine: EngineKnowledge,
    /// The session's own engine, as lists and GetSession show it.
    pub session_engine: Option<Engine>,
    /// What was asked for, each time.
    pub requests: Vec<StartRequest>,
    started_at: Duration,
    /// What the last token was used for, and when.
    used: Option<(StartRequest, Duration)>,
    late: Option<(Duration, StartRequest)>,
}

impl Default for Starts {
    fn default() -> Self {
        Self {
            bounds: Some(StartBounds::default()),
            quota_exceeded: None,
            limited: false,
            has_slot: false,
            is_raced: false,
            token_life: seconds(3600),
            list_lag: Duration::ZERO,
            list_age: Duration::ZERO,
            answers_with: None,
            started_by: None,
            retained: false,
            engine: EngineKnowledge::default(),
            session_engine: None,
            requests: Vec::new(),
            started_at: Duration::ZERO,
            used: None,
            late: None,
        }
    }
}

impl Starts {
    /// The object's slot, as the cluster index shows it.
    pub fn slot(&self) -> Slot {
        match &self.quota_exceeded {
            _ if self.has_slot => Slot::Held,
            Some(quota_exceeded) => Slot::NoneFree(quota_exceeded.clone()),
            None if self.limited => Slot::Free,
            None => Slot::Held,
        }
    }

    pub(super) fn reserve(&mut self) {
        if std::mem::take(&mut self.is_raced) {
            self.quota_exceeded = Some(QuotaExceeded { limit: 1, holders: vec!["other".to_owned()], waiting: 0 });
        }
        self.has_slot |= self.slot() == Slot::Free;
    }

    pub(super) fn report_usage(&mut self, usage: Usage) {
        match usage {
            Usage::InUse => self.has_slot = true,
            Usage::MaybeInUse | Usage::Wanted => {}
            Usage::Unused => self.has_slot = false,
        }
    }
}

impl World {
    /// An object that starts a session; this process has just put the finalizer on.
    pub fn starting() -> Self {
        let mut world = Self::with(None);
        let spec = &mut world.object.as_mut().unwrap().spec;
        spec.session_id = None;
        spec.start = Some(SessionStart::default());
        spec.work_group_ref = Some(WorkGroupRef { name: around::GROUP.to_owned() });
        world
    }

    /// Whether the session is the one that the object stands for.
    pub fn is_ours(&self, object: &AthenaSession) -> bool {
        match &object.spec.session_id {
            Some(id) => id == SESSION,
            None => self.starts.started_by.is_some() && self.starts.started_by == object.uid(),
        }
    }

    /// The session's status, as lists and GetSession show it.
    pub(super) fn shown(&self, state: &SessionState) -> SessionStatus {
        let marker = self.starts.started_by.as_ref().map(|uid| {
            let (namespace, name) = ("team-a".to_owned(), "nightly".to_owned());
            Box::new(Marker { cluster: CLUSTER.to_owned(), namespace, name, uid: uid.clone() })
        });
        let engine = self.starts.session_engine.clone();
        self.dated(SessionStatus { marker, engine, ..status(state) })
    }

    pub(super) fn answer_start(
        &mut self,
        request: &StartRequest,
        fault: Fault,
        object: &AthenaSession,
    ) -> Result<(), ErrorClass> {
        self.check_start(object);
        self.observed.starting(at(self.elapsed));
        self.starts.requests.push(request.clone());
        match fault {
            Fault::Fails(class) => return Err(class),
            Fault::Late => {
                self.starts.late = Some((self.elapsed + LATE, request.clone()));
                return Err(ErrorClass::Unavailable);
            }
            _ if self.differs_from_used(request) => return Err(ErrorClass::AlreadyStarted),
            _ => self.start(request, self.elapsed),
        }
        if fault == Fault::CutAfter {
            return Err(ErrorClass::Unavailable);
        }
        let id = self.starts.answers_with.unwrap_or(SESSION);
        self.observed.started(id.to_owned(), &request.work_group);
        Ok(())
    }

    /// Answers a call for somebody else's session, which is IDLE and has no marker.
    pub(super) fn answer_about_victim(&mut self, step: &Step) -> Result<(), ErrorClass> {
        let (now, status) = (at(self.elapsed), status(&SessionState::Idle));
        match step {
            Step::GetSession => {
                let session = Session { status, work_group: WORK_GROUP.to_owned(), dpu_execution_millis: None };
                self.observed.session.described(session, now).map_err(|error| error.class)
            }
            Step::GetSessionStatus | Step::GetSessionStatusBeforeEnd => {
                self.observed.session.looked(status, now);
                Ok(())
            }
            _ => {
                self.breach(format!("S1: {step:?} for somebody else's session"));
                Err(ErrorClass::Denied)
            }
        }
    }

    /// Whether the informer's last complete list is new enough for this object. Otherwise the object waits for the
    /// next list.
    pub(super) fn has_list(&self, wanted: &ListRequest) -> bool {
        let began = self.elapsed.checked_sub(self.starts.list_age);
        let began = began.map(|began| at(began).tick);
        began.is_some_and(|began| wanted.after.is_none_or(|after| began >= after))
    }

    pub(super) fn answer_find(&mut self, wanted: &ListRequest) {
        let began = self.elapsed.saturating_sub(self.starts.list_age);
        let is_listed = began >= self.starts.started_at + self.starts.list_lag;
        let state = self.session.clone().filter(|_| is_listed && wanted.work_group == self.around.real);
        let is_sought = |status: &SessionStatus| {
            status.marker.as_ref().is_some_and(|marker| {
                let mark = Sought::Mark { cluster: marker.cluster.clone(), uid: marker.uid.clone() };
                wanted.sought == mark
            })
        };
        let shown = state.map(|state| self.shown(&state)).filter(is_sought);
        let shown = shown.map(|status| ListAnswer::Shown(Shown { id: SESSION.to_owned(), status, at: at(began).tick }));
        let now = at(self.elapsed);
        let found = shown.unwrap_or_else(|| lacking(at(began), now));
        self.observed.listed(wanted, found, &self.scope, now, &TIMING);
    }

    /// Starts the session of an earlier call that had no answer, when its time has come.
    pub(super) fn start_late(&mut self) {
        if let Some((due, request)) = self.starts.late.take_if(|(due, _)| *due <= self.elapsed) {
            let is_there = self
                .object
                .as_ref()
                .is_some_and(|object| request.description.contains(&object.uid().unwrap_or_default()));
            let is_new = !self.is_known(&request, due);
            self.start(&request, due);
            if !is_there && is_new && !self.starts.retained {
                self.breach("S2: a session came to life after its object had gone".to_owned());
            }
        }
    }

    fn is_known(&self, request: &StartRequest, at: Duration) -> bool {
        let life = self.starts.token_life;
        self.starts.used.as_ref().is_some_and(|(used, then)| used.token == request.token && at < *then + life)
    }

    /// Whether the request differs from the one that its token was first used for. Athena refuses such a request.
    fn differs_from_used(&mut self, request: &StartRequest) -> bool {
        let is_known = self.is_known(request, self.elapsed);
        let differs = is_known && self.starts.used.as_ref().is_some_and(|(used, _)| used != request);
        if differs && !self.around.is_forged {
            self.breach("a repeated call asks for something else".to_owned());
        }
        differs
    }

    fn start(&mut self, request: &StartRequest, at: Duration) {
        if self.is_known(request, at) {
            return;
        }
        let uid = Marker::parse(&request.description).unwrap().uid;
        if self.starts.started_by.as_ref() == Some(&uid) {
            self.breach("S3: a second session was started for one object".to_owned());
        }
        self.starts.used = Some((request.clone(), at));
        self.starts.started_by = Some(uid);
        self.starts.started_at = at;
        self.truth.started_at = at;
        self.session = Some(SessionState::Creating);
    }

    /// Checks that no attempt is recorded without a slot, and that no slot is given up that is still used.
    pub(super) fn check_slot(&mut self, object: &AthenaSession, usage: Option<Usage>, step: &Step) {
        let Some(usage) = usage else { return };
        let begins = match step {
            Step::ReserveSlot | Step::StartSession { .. } => true,
            Step::WriteStatus { status, .. } => is_attempt(object, status),
            _ => false,
        };
        if begins && usage == Usage::Unused {
            self.breach("a slot is given up while it is used".to_owned());
        }
        if begins && *step != Step::ReserveSlot && self.starts.slot() != Slot::Held {
            self.breach("an attempt is recorded without a slot".to_owned());
        }
        let lives = self.is_ours(object) && self.session_runs() && !self.starts.retained;
        if self.starts.has_slot && usage == Usage::Unused && lives {
            self.breach("a slot is given up while the session lives".to_owned());
        }
        self.starts.report_usage(usage);
    }

    fn check_start(&mut self, object: &AthenaSession) {
        let Some(read) = self.read.clone().filter(|read| read.uid() == object.uid()) else {
            return self.breach("S3: StartSession by a cached object alone".to_owned());
        };
        let attempt = read.status.as_ref().and_then(|status| status.start_attempt.as_ref());
        if attempt.is_none_or(|attempt| attempt.outcome != StartOutcome::Unknown) {
            self.breach("S3: StartSession before the attempt was recorded".to_owned());
        }
        if read.spec.terminate || read.metadata.deletion_timestamp.is_some() {
            self.breach("StartSession for an object whose end is asked for".to_owned());
        }
        if self.refusal(object).is_some() || self.around.closes || self.starts.bounds.is_none() {
            self.breach("S5: StartSession without a grant".to_owned());
        }
        let is_of_no_use = |it| {
            matches!(
                self.objects.workloads.get(it),
                Some(WorkloadState::Suspended { .. } | WorkloadState::Finished { .. })
            )
        };
        if !read.spec.end_with.is_empty() && read.spec.end_with.iter().all(is_of_no_use) {
            self.breach("StartSession, and no workload would use the session".to_owned());
        }
        if self.around.suspension.is_some() || self.starts.slot() != Slot::Held {
            self.breach("StartSession in spite of a suspension, or without a slot".to_owned());
        }
    }
}

/// Whether this status records an attempt to call StartSession.
fn is_attempt(object: &AthenaSession, status: &AthenaSessionStatus) -> bool {
    let recorded = object.status.as_ref().and_then(|status| status.start_attempt.as_ref());
    let attempt = status.start_attempt.as_ref().filter(|it| it.outcome == StartOutcome::Unknown);
    // A call that an earlier process may have made is recorded with the object's creation time.
    attempt.is_some_and(|it| Some(it) != recorded && Some(&it.at) != object.metadata.creation_timestamp.as_ref())
}
