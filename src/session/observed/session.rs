//! What this process has learned of the session that an object stands for. PURE.

use std::time::Instant;

use super::answers::{ANSWER_LIFE, Absence, Described, LimitsRead, Now, OwnerRead, Seen};
use super::config_map::ObservedConfigMap;
use super::status_size::StatusLimit;
use super::trouble::{Trouble, Undescribed};
use super::ttl::Ttl;
use super::workloads::Workloads;
use crate::api::session::TerminationReason;
use crate::athena::informer::proof_of_absence::{CompleteList, ListRequest, Shown};
use crate::athena::types::{
    CallError, CallerContext, ErrorClass, Operation, Polled, Session, SessionState, SessionStatus, Source,
};
use crate::timing::Timing;

/// What is known of one session, and of what belongs to it: all of it is found out anew for another session. What few of
/// thousands of objects have is boxed.
#[derive(Clone, Debug, Default)]
pub struct ObservedSession {
    /// Athena's last answer that showed the session.
    pub seen: Option<Seen>,
    /// When a call for this session alone showed it last.
    pub looked_at: Option<Instant>,
    /// Athena has contradicted itself about the session's end. As long as the session isn't seen to end, a list showed the end,
    /// and a later call for the session didn't: from then on only a call shows the end.
    pub is_contradicted: bool,
    /// The work group, from GetSession or a list.
    pub work_group: Option<String>,
    /// GetSession has named another work group than an earlier answer. Which of the two is right isn't known.
    pub is_displaced: bool,
    /// The poller can't tell the session's state, so the object must call Athena itself.
    pub is_unknown_to_poller: bool,
    /// Since when the object has waited for the poller to show the session.
    pub wanted_since: Option<Instant>,
    /// The other object that the session belongs to, as it was read from the API server.
    pub owner: Option<Box<OwnerRead>>,
    pub work_group_limits: Option<Box<LimitsRead>>,
    /// The account that calls went to when the session was seen.
    pub account: Option<String>,
    /// The Region that calls went to when the session was seen.
    pub region: Option<String>,
    pub status_limit: StatusLimit,
    pub dpu_execution_millis: Option<i64>,
    pub described: Described,
    /// Answers that the session doesn't exist, since it was seen last.
    pub absence: Option<Box<Absence>>,
    /// The complete list that the informer has been asked for in this reconciliation.
    pub asked: Option<Box<ListRequest>>,
    /// When Athena last accepted our TerminateSession.
    pub accepted_at: Option<Instant>,
    pub accepted_for: Option<TerminationReason>,
    /// When there was the first sign of an end under way: an accepted call, or TERMINATING.
    pub ending_since: Option<Instant>,
    /// Set while AWS denies GetSession for this session. What only GetSession shows isn't known then; everything else goes on.
    pub undescribed: Option<Box<Undescribed>>,
    /// The call that fails at present, of those that read.
    pub trouble: Option<Box<Trouble>>,
    /// TerminateSession, if it fails at present. Looks that succeed in between don't end its back-off.
    pub end_trouble: Option<Box<Trouble>>,
    pub config_map: ObservedConfigMap,
    pub workloads: Workloads,
    pub ttl: Ttl,
}

impl ObservedSession {
    pub fn state(&self) -> Option<&SessionState> {
        self.seen.as_ref().map(|seen| &seen.status.state)
    }

    /// Whether Athena has shown the session's work group, and whether it has shown a mark on the session. These two tell which
    /// object the session belongs to, and neither changes once it has been shown.
    pub fn shown_of_owner(&self) -> (bool, bool) {
        let has_mark = self.seen.as_ref().is_some_and(|seen| seen.status.marker.is_some());
        (self.work_group.is_some(), has_mark)
    }

    /// GetSession answered. An answer that names another work group than Athena did before is an error: a session's work group
    /// never changes, so that nothing of the answer counts.
    pub fn described(&mut self, session: Session, now: Now) -> Result<(), CallError> {
        self.is_displaced = self.work_group.as_ref().is_some_and(|before| *before != session.work_group);
        if let (true, Some(before)) = (self.is_displaced, &self.work_group) {
            let now_named = &session.work_group;
            return Err(CallError {
                operation: Operation::GetSession,
                class: ErrorClass::Unavailable,
                code: "WorkGroupChanged".to_owned(),
                message: format!("the answer names work group {now_named}, and Athena named {before} before"),
                request_id: None,
            });
        }
        self.work_group = Some(session.work_group);
        self.dpu_execution_millis = session.dpu_execution_millis.or(self.dpu_execution_millis);
        self.succeeded(Operation::GetSession);
        self.looked(session.status, now);
        // The state so far decides, not this answer alone: once an end is known, GetSession isn't called again.
        self.described = if self.has_ended() { Described::AfterEnd } else { Described::Yes };
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
        self.is_unknown_to_poller = matches!(sighting, Polled::AskYourself);
        let Polled::Seen { status, at, source } = sighting else {
            self.wanted_since.get_or_insert(now.tick);
            return;
        };
        // An end is true however late it is told.
        let is_end = status.state.is_ended() && !self.has_ended();
        let is_newer = self.seen.as_ref().is_none_or(|seen| at > seen.at || is_end);
        let denied = self.absence.as_ref().is_some_and(|absence| at <= absence.last);
        let elsewhere = scope.since.is_some_and(|since| at < since);
        if !is_newer || denied || elsewhere || !self.is_believed(status, source) {
            // The poller's answer doesn't count. The object waits for another one, but not without end.
            self.wanted_since.get_or_insert(now.tick);
            return;
        }
        self.work_group.get_or_insert_with(|| work_group.to_owned());
        self.saw(status.clone(), source, at);
        self.trouble.take_if(|trouble| {
            // The call wasn't repeated when its retry was due, so no step needs its answer any more.
            let is_unneeded = trouble.retry_at + ANSWER_LIFE < now.tick;
            // The session was seen since then, and the outage is over.
            let is_past = at > trouble.at && trouble.is_relieved(scope.recovered_at);
            is_look(trouble.error.operation) && (is_unneeded || is_past)
        });
        self.answered_in(scope);
    }

    /// A list shows the session: it exists, and in this work group.
    pub(super) fn listed(&mut self, shown: Shown, work_group: &str, now: Now, timing: &Timing) {
        if self.absence.as_ref().is_some_and(|absence| shown.at < absence.last) {
            return;
        }
        if !self.is_believed(&shown.status, Source::List) {
            // After a contradiction a list proves no end by itself. It doesn't show that the session lives either, which is what
            // an absence needs. Otherwise an object would never go whose session Athena has forgotten but for its lists.
            self.unlisted(CompleteList { began: shown.at, ended: shown.at });
            return;
        }
        let absence = self.absence.take();
        self.work_group.get_or_insert_with(|| work_group.to_owned());
        self.saw(shown.status, Source::List, shown.at);
        // InvalidRequestException meant something else than "the session doesn't exist". So it counts as a failed call.
        if let Some(absence) = absence {
            self.fail(absence.error, now, timing, 1.0);
        }
    }

    pub(super) fn unlisted(&mut self, list: CompleteList) {
        if let Some(undescribed) = &mut self.undescribed {
            undescribed.unlisted_at = Some(list.ended);
        }
        // A list that was begun before the last answer proves nothing after it.
        if let Some(absence) = self.absence.as_mut().filter(|absence| list.began >= absence.last) {
            absence.unlisted_at = Some(list.ended);
        }
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

    pub(super) fn saw(&mut self, status: SessionStatus, source: Source, at: Instant) {
        let status = status.after(self.seen.as_ref().map(|seen| &seen.status));
        self.absence = None;
        // ListSessions and GetCallerIdentity were needed only to prove an absence, so their failures are over.
        self.trouble.take_if(|trouble| {
            matches!(trouble.error.operation, Operation::ListSessions | Operation::GetCallerIdentity)
        });
        if !self.is_believed(&status, source) {
            return;
        }
        let (state, is_end) = (&status.state, status.state.is_ended());
        let ended_by = self.seen.as_ref().filter(|seen| seen.status.state.is_ended()).map(|seen| seen.source);
        if !is_end && ended_by.is_some() {
            if source == Source::List {
                return;
            }
            self.is_contradicted = true;
            if ended_by == Some(Source::Call) {
                // That end is final.
                return;
            }
        }
        let best_source = if is_end { ended_by.map_or(source, |before| before.max(source)) } else { source };
        if is_end && best_source == Source::Call && ended_by != Some(Source::Call) {
            self.is_contradicted = false;
        }
        if *state == SessionState::Terminating {
            self.ending_since.get_or_insert(at);
        }
        if *state == SessionState::Terminating || is_end {
            self.succeeded(Operation::TerminateSession);
        }
        (self.is_unknown_to_poller, self.wanted_since) = (false, None);
        self.seen = Some(Seen { status, at, doubtful: false, source: best_source });
    }

    fn has_ended(&self) -> bool {
        self.state().is_some_and(SessionState::is_ended)
    }

    /// Whether it counts that an answer shows the session so. After a contradiction only a call shows the end.
    fn is_believed(&self, status: &SessionStatus, source: Source) -> bool {
        !(self.is_contradicted && !self.has_ended() && status.state.is_ended() && source == Source::List)
    }

    pub fn succeeded(&mut self, operation: Operation) {
        if operation == Operation::GetSession {
            self.undescribed = None;
        }
        self.trouble_of(operation).take_if(|trouble| trouble.error.operation == operation);
    }

    fn trouble_of(&mut self, operation: Operation) -> &mut Option<Box<Trouble>> {
        if operation == Operation::TerminateSession { &mut self.end_trouble } else { &mut self.trouble }
    }

    pub(super) fn failed(&mut self, error: CallError, now: Now, timing: &Timing, jitter: f64) {
        if is_look(error.operation) && error.class == ErrorClass::NotFoundOrInvalid {
            // An earlier failure of this call is over. But a failure that a list has turned into trouble (see
            // `shows_session`) stays.
            self.trouble.take_if(|trouble| {
                trouble.error.operation == error.operation && trouble.error.class != ErrorClass::NotFoundOrInvalid
            });
            if error.operation == Operation::GetSession {
                self.undescribed = None;
            }
            let (first, unlisted_at) =
                self.absence.as_ref().map_or((now.tick, None), |absence| (absence.first, absence.unlisted_at));
            self.absence = Some(Box::new(Absence { first, last: now.tick, error, unlisted_at }));
            return;
        }
        let is_unclear = matches!(error.class, ErrorClass::Unavailable | ErrorClass::NotFoundOrInvalid);
        if let (Operation::TerminateSession, true, Some(seen)) = (error.operation, is_unclear, &mut self.seen) {
            seen.doubtful = true;
        }
        self.fail(error, now, timing, jitter);
    }

    fn fail(&mut self, error: CallError, now: Now, timing: &Timing, jitter: f64) {
        if error.operation == Operation::GetSession && error.class == ErrorClass::Denied {
            let unlisted_at = self.undescribed.as_ref().and_then(|before| before.unlisted_at);
            let before = self.undescribed.take().map(|before| before.trouble);
            let trouble = Trouble::after(before, error, now, timing, jitter);
            self.undescribed = Some(Box::new(Undescribed { trouble, unlisted_at }));
            // AWS has answered, so an earlier failure of GetSession, such as no answer, is over.
            self.trouble.take_if(|trouble| trouble.error.operation == Operation::GetSession);
        } else {
            Trouble::record(self.trouble_of(error.operation), error, now, timing, jitter);
        }
    }
}

fn is_look(operation: Operation) -> bool {
    matches!(operation, Operation::GetSession | Operation::GetSessionStatus)
}
