//! What this process has learned from Athena about one object's session. Pure: answers and the time
//! come in, nothing is asked.
//!
//! It is not saved: after a restart all of it is learned again, and deciding is right without it.
//!
//! The informer makes one complete list for many objects. So a list may have begun before the last call for this one: then it
//! proves nothing to it.

use std::time::Instant;

use super::answers::{Absence, Described, OwnerRead, Seen};
use super::config_map::ObservedConfigMap;
use super::now::{ANSWER_LIFE, Now};
use super::recorded_status::RecordedStatus;
use super::start::{Answered, Start};
use super::status_size::StatusLimit;
use super::trouble::{Trouble, Undescribed};
use super::ttl::Ttl;
use super::workloads::Workloads;
use crate::api::is_held;
use crate::api::session::{AthenaSession, TerminationReason};
use crate::athena::informer::proof_of_absence::{CompleteList, ListAnswer, ListRequest, Shown, Sought};
use crate::athena::types::{
    CallError, CallerContext, ErrorClass, Operation, Polled, Session, SessionState, SessionStatus, Source,
};
use crate::compact::LazyBox;
use crate::timing::Timing;

/// What is known of one session. Of thousands of objects: what few of them have is boxed.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Athena's last word that showed the session.
    pub seen: Option<Seen>,
    /// When a call for this session alone showed it last.
    pub looked_at: Option<Instant>,
    /// Athena has contradicted itself about the session's end. As long as the session isn't seen to end, a list showed the end,
    /// and a later call for the session didn't: from then on only a call shows the end.
    pub is_contradicted: bool,
    /// What is known of its start, where the object asks for that.
    pub start: LazyBox<Start>,
    /// The work group, from GetSession.
    pub work_group: Option<String>,
    /// GetSession has named another work group than an earlier answer. Which of the two is right isn't known.
    pub is_displaced: bool,
    /// The poller of its work group can't tell how it stands: the object is to ask for itself.
    pub unlisted: bool,
    /// Since when the poller is waited for.
    pub wanted_since: Option<Instant>,
    /// The other object that the session belongs to, as it was read from the API server.
    pub owner: Option<Box<OwnerRead>>,
    /// The account that calls went to when the session was seen.
    pub account: Option<String>,
    /// The Region that calls went to when the session was seen.
    pub region: Option<String>,
    /// Whether this process put the finalizer on the object, so that no earlier one has seen its session.
    pub adopted_here: bool,
    /// The recorded status as it was last found or written, to notice when somebody else writes it.
    pub recorded_status: RecordedStatus,
    /// How much of a status has room in the object.
    pub status_limit: StatusLimit,
    /// When the object was first found being deleted.
    pub deleted_at: Option<Instant>,
    /// The statistics, from GetSession.
    pub dpu_execution_millis: Option<i64>,
    /// Whether GetSession has answered, and whether it did so after the end.
    pub described: Described,
    /// Answers that the session doesn't exist, since it was seen last.
    pub absence: Option<Box<Absence>>,
    /// The complete list that the informer has been asked for in this reconciliation.
    pub asked: Option<Box<ListRequest>>,
    /// When Athena last accepted our TerminateSession.
    pub accepted_at: Option<Instant>,
    /// On whose behalf that was.
    pub accepted_for: Option<TerminationReason>,
    /// When there was the first sign of an end under way: an accepted call, or TERMINATING.
    pub ending_since: Option<Instant>,
    /// Set while AWS denies GetSession for this session. What only GetSession shows isn't known then; everything else goes on.
    pub undescribed: Option<Box<Undescribed>>,
    /// The call that fails at present, of those that read.
    pub trouble: Option<Box<Trouble>>,
    /// TerminateSession, if it fails at present. It has a back-off of its own, since looks that succeed
    /// in between don't make it any better.
    pub end_trouble: Option<Box<Trouble>>,
    /// What is known of the ConfigMap of `spec.publishTo`.
    pub config_map: LazyBox<ObservedConfigMap>,
    /// What is known of the workloads of `spec.endWith`.
    pub workloads: LazyBox<Workloads>,
    /// What came of `spec.ttlAfterEnded`.
    pub ttl: LazyBox<Ttl>,
}

impl Observed {
    /// The session's last known state.
    pub fn state(&self) -> Option<&SessionState> {
        self.seen.as_ref().map(|seen| &seen.status.state)
    }

    /// Whether Athena has shown the session's work group, and whether it has shown a mark on the session. These two tell which
    /// object the session belongs to, and neither changes once it has been shown.
    pub fn shown_of_owner(&self) -> (bool, bool) {
        let has_mark = self.seen.as_ref().is_some_and(|seen| seen.status.marker.is_some());
        (self.work_group.is_some(), has_mark)
    }

    /// The id of the session that an object stands for, as far as there is one: that it names; or that it has started; or
    /// that is recorded as such, where Athena hasn't shown whose it is.
    pub fn session_id<'a>(&'a self, object: &'a AthenaSession) -> Option<&'a str> {
        let recorded = || {
            let recorded = object.status.as_ref().and_then(|status| status.session_id.as_deref());
            recorded.filter(|id| object.spec.start.is_some() && !self.start.is_disowned(id))
        };
        let own = self.start.id.as_deref().or(self.start.answered_not_disowned());
        object.spec.session_id.as_deref().or(own).or_else(recorded)
    }

    /// This is the object as it stands now, and where calls go.
    pub fn found(&mut self, object: &AthenaSession, scope: &CallerContext, now: Now) {
        self.recorded_status.found(object, scope, now);
        // In another account the session doesn't exist, which says nothing of this one.
        if self.absence.as_ref().is_some_and(|absence| scope.since.is_some_and(|since| absence.first < since)) {
            self.absence = None;
        }
        if let Some(since) = scope.since
            && (self.start.unlisted.is_some() || self.start.proven_by.is_some())
        {
            self.start.account_changed(since);
        }
        let may_have_called = is_held(object) && !self.adopted_here && self.start.id.is_none();
        if object.spec.start.is_some() && may_have_called && self.start.first_seen_at.is_none() {
            self.start.first_seen_at = Some(now.tick);
        }
        if object.metadata.deletion_timestamp.is_some() {
            self.deleted_at.get_or_insert(now.tick);
        }
    }

    /// GetSession answered.
    ///
    /// # Errors
    /// Where it names another work group than Athena did before. A session's work group never changes, so that nothing of
    /// the answer counts.
    pub fn described(&mut self, session: Session, now: Now) -> Result<(), CallError> {
        match &self.work_group {
            Some(before) if *before != session.work_group => {
                let now_named = &session.work_group;
                let message = format!("the answer names work group {now_named}, and Athena named {before} before");
                self.is_displaced = true;
                return Err(CallError {
                    operation: Operation::GetSession,
                    class: ErrorClass::Unavailable,
                    code: "WorkGroupChanged".to_owned(),
                    message,
                    request_id: None,
                });
            }
            _ => self.is_displaced = false,
        }
        self.work_group = Some(session.work_group);
        self.dpu_execution_millis = session.dpu_execution_millis.or(self.dpu_execution_millis);
        self.succeeded(Operation::GetSession);
        self.looked(session.status, now);
        // By what is known, not by this answer alone: after the end GetSession isn't called again, whatever it says.
        let has_ended = self.state().is_some_and(SessionState::is_ended);
        self.described = if has_ended { Described::AfterEnd } else { Described::Yes };
        Ok(())
    }

    /// GetSessionStatus answered.
    pub fn looked(&mut self, status: SessionStatus, now: Now) {
        self.succeeded(Operation::GetSessionStatus);
        self.saw(status, Source::Call, now.tick);
        self.looked_at = Some(now.tick);
    }

    /// The poller of the session's work group was asked. A listing proves the work group; it may lag behind, so that
    /// it takes back neither what was seen later nor an end under way.
    pub fn polled(&mut self, sighting: Polled<'_>, work_group: &str, scope: &CallerContext, now: Now) {
        self.unlisted = matches!(sighting, Polled::AskYourself);
        let Polled::Seen { status, at, source } = sighting else {
            self.wanted_since.get_or_insert(now.tick);
            return;
        };
        // An end is true however late it is told.
        let is_end = status.state.is_ended() && !self.state().is_some_and(SessionState::is_ended);
        let is_newer = self.seen.as_ref().is_none_or(|seen| at > seen.at || is_end);
        let denied = self.absence.as_ref().is_some_and(|absence| at <= absence.last);
        let elsewhere = scope.since.is_some_and(|since| at < since);
        if !is_newer || denied || elsewhere || !self.is_believed(status, source) {
            // What doesn't count must not be waited for without end.
            self.wanted_since.get_or_insert(now.tick);
            return;
        }
        self.work_group.get_or_insert_with(|| work_group.to_owned());
        self.saw(status.clone(), source, at);
        self.trouble.take_if(|trouble| {
            // Nobody has looked again when it was time to: nobody needs that answer any more.
            let is_unneeded = trouble.retry_at + ANSWER_LIFE < now.tick;
            // The session was seen since then, and the outage is over.
            let is_past = at > trouble.at && trouble.is_relieved(scope.recovered_at);
            is_look(trouble.error.operation) && (is_unneeded || is_past)
        });
        self.answered_in(scope);
    }

    /// What lists have shown of what was asked for.
    pub fn listed(
        &mut self,
        wanted: &ListRequest,
        found: ListAnswer,
        scope: &CallerContext,
        now: Now,
        timing: &Timing,
    ) {
        self.succeeded(Operation::ListSessions);
        // What another account said counts for nothing.
        let is_elsewhere = |at: Instant| scope.since.is_some_and(|since| at < since);
        match (&wanted.sought, found) {
            (_, ListAnswer::Failed | ListAnswer::Endless) => {}
            (_, ListAnswer::Shown(shown)) if is_elsewhere(shown.at) => {}
            (_, ListAnswer::Lacking(list)) if is_elsewhere(list.began) => {}
            // Whose the session is was shown meanwhile.
            (Sought::Mark { .. }, ListAnswer::Shown(_)) if self.start.id.is_some() => {}
            (Sought::Mark { .. }, ListAnswer::Shown(shown)) => {
                self.own(shown.id, shown.status, &wanted.work_group, Now { tick: shown.at, ..now });
            }
            (Sought::Mark { .. }, ListAnswer::Lacking(list)) => self.lacks_mark(list, timing),
            (Sought::Session(_), ListAnswer::Shown(shown)) => {
                self.shows_session(shown, &wanted.work_group, now, timing);
            }
            (Sought::Session(_), ListAnswer::Lacking(list)) => self.lacks_session(list),
        }
    }

    /// A complete list shows no session that bears the object's mark.
    fn lacks_mark(&mut self, list: CompleteList, timing: &Timing) {
        let is_proof = self.start.proven_from().is_none_or(|from| list.began >= from);
        let is_newer = self.start.unlisted.is_none_or(|(_, last)| list.began > last);
        if self.start.id.is_some() || !is_proof || !is_newer {
            return;
        }
        let first = self.start.unlisted.map_or(list.began, |(first, _)| first);
        self.start.unlisted = Some((first, list.began));
        if list.began - first >= timing.between_proving_lists() {
            self.start.proven_none(first, list.ended);
        }
    }

    /// A list shows the session: it exists, and in this work group.
    fn shows_session(&mut self, shown: Shown, work_group: &str, now: Now, timing: &Timing) {
        if self.absence.as_ref().is_some_and(|absence| shown.at < absence.last) {
            return;
        }
        if !self.is_believed(&shown.status, Source::List) {
            // After a contradiction a list proves no end by itself. It doesn't show that the session lives either, which is what
            // an absence needs. Otherwise an object would never go whose session Athena has forgotten but for its lists.
            self.lacks_session(CompleteList { began: shown.at, ended: shown.at });
            return;
        }
        let absence = self.absence.take();
        self.work_group.get_or_insert_with(|| work_group.to_owned());
        self.saw(shown.status, Source::List, shown.at);
        // The answer that said otherwise was a refusal of something else.
        if let Some(absence) = absence {
            self.fail(absence.error, now, timing, 1.0);
        }
    }

    /// A complete list doesn't show the session.
    fn lacks_session(&mut self, list: CompleteList) {
        if let Some(undescribed) = &mut self.undescribed {
            undescribed.unlisted_at = Some(list.ended);
        }
        // A list that was begun before the last answer proves nothing after it.
        if let Some(absence) = self.absence.as_mut().filter(|absence| list.began >= absence.last) {
            absence.unlisted_at = Some(list.ended);
        }
    }

    // Of the start of a session.

    /// Whether it is certain that no session was started for the object.
    pub fn is_unstarted(&self) -> bool {
        let start = &self.start;
        start.id.is_none() && (start.surely_none || self.adopted_here && start.called_at.is_none())
    }

    /// When the last of the lists ended that prove that no session was started. None where it is certain without lists.
    pub fn unstarted_by_lists_until(&self) -> Option<Instant> {
        let needs_lists = !self.adopted_here || self.start.called_at.is_some();
        self.start.proven_by.and_then(|(_, ended)| needs_lists.then_some(ended))
    }

    /// StartSession is about to be called.
    pub fn starting(&mut self, now: Now) {
        self.start.surely_none_before = self.is_unstarted();
        self.start.surely_none = false;
        self.start.answered = None;
        self.start.called_at = Some(now.tick);
        self.start.unlisted = None;
    }

    /// StartSession in this work group answered with this session. Whose the session is only its mark shows.
    pub fn started(&mut self, id: String, work_group: &str) {
        // What was seen so far was a session that somebody else recorded.
        self.begin_anew();
        self.start.trouble = None;
        self.start.answered = Some(Answered { id, work_group: work_group.to_owned(), is_disowned: false });
    }

    pub(super) fn own(&mut self, id: String, status: SessionStatus, work_group: &str, now: Now) {
        // What was seen so far was a session that somebody else recorded.
        self.begin_anew();
        self.start.id = Some(id);
        self.work_group = Some(work_group.to_owned());
        self.saw(status, Source::List, now.tick);
    }

    /// Concludes whose the session is that StartSession returned, or that the status records: the object's own, if Athena has
    /// shown the object's mark on it. `is_contested`: another object names this session.
    pub fn recognize(&mut self, object: &AthenaSession, cluster: &str, is_contested: bool) {
        if object.spec.start.is_none() {
            return;
        }
        let Some(id) = self.session_id(object).map(str::to_owned) else { return };
        let uid = object.metadata.uid.as_ref();
        let mark = self.seen.as_ref().and_then(|seen| seen.status.marker.as_ref());
        let is_ours = mark.is_some_and(|marker| marker.cluster == cluster && Some(&marker.uid) == uid);
        let said = self.start.answered.as_ref().filter(|said| said.id == id);
        if self.start.id.is_some() {
            // The answer of StartSession had to do, and now Athena shows that the session is another object's.
            if said.is_some() && mark.is_some() && !is_ours {
                self.start.id = None;
                self.disown(id);
            }
            return;
        }
        // Where AWS denies GetSession, the answer of StartSession has to do, unless somebody else may have the session.
        let said_suffices = self.undescribed.is_some() && mark.is_none() && !is_contested;
        if is_ours {
            self.start.id = Some(id);
        } else if said_suffices && let Some(said) = said {
            self.work_group.get_or_insert_with(|| said.work_group.clone());
            self.start.id = Some(id);
        } else if self.seen.is_some() && self.described != Described::No {
            self.disown(id);
        }
    }

    /// Athena has shown that the session isn't the object's own.
    fn disown(&mut self, id: String) {
        match &mut self.start.answered {
            Some(answered) if answered.id == id => answered.is_disowned = true,
            _ => self.start.disowned = Some(id),
        }
        self.begin_anew();
    }

    /// Forgets what is known of a session, and keeps what is known of the object.
    fn begin_anew(&mut self) {
        let (start, recorded_status) = (std::mem::take(&mut self.start), std::mem::take(&mut self.recorded_status));
        let (adopted_here, deleted_at) = (self.adopted_here, self.deleted_at);
        *self = Self { start, adopted_here, deleted_at, recorded_status, ..Self::default() };
    }

    /// This process has put the finalizer on. Where more than that is recorded it was on before, and somebody took it off.
    pub fn adopted(&mut self, object: &AthenaSession) {
        let recorded = object.status.as_ref();
        self.adopted_here |= recorded.is_none_or(|it| it.start_attempt.is_none() && it.session_id.is_none());
    }

    /// The last call was answered, in this Region, and in this account as far as is known.
    pub fn answered_in(&mut self, scope: &CallerContext) {
        if self.seen.is_none() {
            return;
        }
        if let Some(account) = scope.account.known() {
            self.account.get_or_insert_with(|| account.to_owned());
        }
        self.region = self.region.take().or_else(|| scope.region.clone());
    }

    /// GetCallerIdentity answered.
    pub fn identified(&mut self) {
        self.succeeded(Operation::GetCallerIdentity);
    }

    /// TerminateSession was accepted.
    pub fn terminate_accepted(&mut self, reason: TerminationReason, state: Option<SessionState>, now: Now) {
        self.succeeded(Operation::TerminateSession);
        (self.accepted_at, self.accepted_for) = (Some(now.tick), Some(reason));
        self.ending_since.get_or_insert(now.tick);
        match (state, &mut self.seen) {
            // The answer says what the call leads to. That the session has ended a look at the session shows.
            (Some(state), Some(seen)) if state.is_ended() => seen.doubtful = true,
            (Some(state), Some(seen)) => {
                let status = SessionStatus { state, ..seen.status.clone() };
                self.saw(status, Source::List, now.tick);
            }
            _ => {}
        }
    }

    /// A call failed. `jitter`, from 0 to 1, spreads the retries of many objects.
    pub fn failed(&mut self, error: CallError, now: Now, timing: &Timing, jitter: f64) {
        if error.operation == Operation::StartSession {
            let is_refusal = !matches!(error.class, ErrorClass::Unavailable | ErrorClass::AlreadyStarted);
            self.start.surely_none = is_refusal && self.start.surely_none_before;
            // A list that began while the call was under way proves nothing.
            self.start.called_at = self.start.called_at.map(|_| now.tick);
        }
        if is_look(error.operation) && error.class == ErrorClass::NotFoundOrInvalid {
            // Unless a listing shows that the very same answer is wrong.
            self.trouble.take_if(|trouble| {
                trouble.error.operation == error.operation && trouble.error.class != ErrorClass::NotFoundOrInvalid
            });
            if error.operation == Operation::GetSession {
                self.undescribed = None;
            }
            let first = self.absence.as_ref().map_or(now.tick, |absence| absence.first);
            let unlisted_at = self.absence.as_ref().and_then(|absence| absence.unlisted_at);
            self.absence = Some(Box::new(Absence { first, last: now.tick, error, unlisted_at }));
            return;
        }
        let unclear = matches!(error.class, ErrorClass::Unavailable | ErrorClass::NotFoundOrInvalid);
        if let (Operation::TerminateSession, true, Some(seen)) = (error.operation, unclear, &mut self.seen) {
            seen.doubtful = true;
        }
        self.fail(error, now, timing, jitter);
    }

    /// Whether it counts that an answer shows the session so. After a contradiction only a call shows the end.
    pub(super) fn is_believed(&self, status: &SessionStatus, source: Source) -> bool {
        let is_alive = !self.state().is_some_and(SessionState::is_ended);
        !(self.is_contradicted && is_alive && status.state.is_ended() && source == Source::List)
    }

    pub(super) fn saw(&mut self, status: SessionStatus, source: Source, at: Instant) {
        let status = status.after(self.seen.as_ref().map(|seen| &seen.status));
        self.absence = None;
        // What an absence would have needed is needed no more.
        self.trouble.take_if(|trouble| {
            matches!(trouble.error.operation, Operation::ListSessions | Operation::GetCallerIdentity)
        });
        if !self.is_believed(&status, source) {
            return;
        }
        let ended_by = self.seen.as_ref().filter(|seen| seen.status.state.is_ended()).map(|seen| seen.source);
        if !status.state.is_ended() && ended_by.is_some() {
            if source == Source::List {
                return;
            }
            self.is_contradicted = true;
            if ended_by == Some(Source::Call) {
                // That end is final.
                return;
            }
        }
        let source =
            if status.state.is_ended() { ended_by.map_or(source, |before| before.max(source)) } else { source };
        if status.state.is_ended() && source == Source::Call && ended_by != Some(Source::Call) {
            self.is_contradicted = false;
        }
        if status.state == SessionState::Terminating || status.state.is_ended() {
            self.succeeded(Operation::TerminateSession);
        }
        if status.state == SessionState::Terminating {
            self.ending_since.get_or_insert(at);
        }
        self.unlisted = false;
        self.wanted_since = None;
        self.seen = Some(Seen { status, at, doubtful: false, source });
    }

    /// Whether a call waits because of an outage that isn't over, as far as is known.
    pub fn is_put_off(&self, recovered_at: Option<Instant>) -> bool {
        self.troubles().any(|trouble| trouble.error.class.is_outage()) && !self.is_relieved(recovered_at)
    }

    /// Whether a call that waited because of an outage may be made early, since the outage has ended.
    pub fn is_relieved(&self, recovered_at: Option<Instant>) -> bool {
        self.troubles().any(|trouble| trouble.is_relieved(recovered_at))
    }

    fn troubles(&self) -> impl Iterator<Item = &Trouble> {
        [&self.trouble, &self.end_trouble, &self.start.trouble].into_iter().filter_map(Option::as_deref)
    }

    pub(super) fn succeeded(&mut self, operation: Operation) {
        if operation == Operation::GetSession {
            self.undescribed = None;
        }
        self.trouble_of(operation).take_if(|trouble| trouble.error.operation == operation);
    }

    fn trouble_of(&mut self, operation: Operation) -> &mut Option<Box<Trouble>> {
        match operation {
            Operation::TerminateSession => &mut self.end_trouble,
            Operation::StartSession => &mut self.start.trouble,
            _ => &mut self.trouble,
        }
    }

    pub(super) fn fail(&mut self, error: CallError, now: Now, timing: &Timing, jitter: f64) {
        if error.operation == Operation::GetSession && error.class == ErrorClass::Denied {
            let before = self.undescribed.take();
            let unlisted_at = before.as_ref().and_then(|before| before.unlisted_at);
            let trouble = Trouble::after(before.map(|before| before.trouble), error, now, timing, jitter);
            self.undescribed = Some(Box::new(Undescribed { trouble, unlisted_at }));
            // AWS has answered, so an earlier failure of GetSession, such as no answer, is over.
            self.trouble.take_if(|trouble| trouble.error.operation == Operation::GetSession);
            return;
        }
        let trouble = self.trouble_of(error.operation);
        let before = trouble.take().map(|before| *before);
        *trouble = Some(Box::new(Trouble::after(before, error, now, timing, jitter)));
    }
}

fn is_look(operation: Operation) -> bool {
    matches!(operation, Operation::GetSession | Operation::GetSessionStatus)
}
