//! Athena's side: one session, and what happens to the calls. S1 and S4 are checked here, at each call.

use std::time::Duration;

use kube::ResourceExt;

use super::starts::{VICTIM, is_by_mark};
use super::{Fault, World};
use crate::core::{
    Account, AthenaSession, CallError, DeletionPolicy, ErrorClass, FINALIZER, ListAnswer, Operation, Retain, Seen,
    Session, SessionState, SessionStatus, Shown, Source, Step, Suspension, TerminationReason,
};
use crate::fixtures::{HOME, SESSION, TIMING, at, error, lacking};

impl World {
    pub(super) fn call(&mut self, object: &AthenaSession, step: &Step) {
        let operation = match step {
            Step::GetSession => Operation::GetSession,
            Step::GetSessionStatus | Step::GetSessionStatusBeforeEnd => Operation::GetSessionStatus,
            Step::ListSessions { .. } => Operation::ListSessions,
            Step::StartSession { .. } => Operation::StartSession,
            Step::GetCallerIdentity => Operation::GetCallerIdentity,
            Step::TerminateSession { .. } => Operation::TerminateSession,
            Step::TagResource { .. } => Operation::TagResource,
            _ => unreachable!("{step:?} is no call"),
        };
        self.calls.push((self.elapsed, operation));
        self.check_call(object, operation, step);
        let sent = self.elapsed;
        let outage = self.outages.iter().find(|(of, _)| *of == operation).map(|(_, class)| *class);
        let answer = match outage {
            Some(class) => Err(class),
            None => {
                let fault = self.faults.pop_front().unwrap_or(Fault::None);
                self.answer(operation, step, fault, object)
            }
        };
        let now = at(self.elapsed);
        if let Err(class) = answer {
            let jitter = f64::from(u8::try_from(self.calls.len() % 8).unwrap()) / 7.0;
            let error: CallError = error(operation, class);
            self.observed.failed(error, now, &TIMING, jitter);
        } else {
            self.observed.session.answered_in(&self.scope);
            self.tell_poller(sent);
        }
    }

    /// S1 and S4, at each call.
    fn check_call(&mut self, object: &AthenaSession, operation: Operation, step: &Step) {
        if !object.finalizers().iter().any(|name| name == FINALIZER) {
            self.breach(format!("{operation} without our finalizer"));
        }
        self.check_access(object, operation, step);
        let recorded = object.status.as_ref().and_then(|status| status.account_id.as_deref());
        if self.observed.session.seen.is_none()
            && let (Some(recorded), Account::Known(account)) = (recorded, &self.scope.account)
            && recorded != account
        {
            self.breach(format!("S4: {operation} in account {account}, recorded is {recorded}"));
        }
        if operation == Operation::TagResource {
            self.check_tag(object);
        }
        if operation != Operation::TerminateSession {
            return;
        }
        let asks = |object: &AthenaSession| {
            let deleted = object.metadata.deletion_timestamp.is_some();
            let has_finished = self.objects.have_finished(&object.spec.end_with, self.elapsed);
            has_finished || object.spec.terminate || deleted && object.spec.deletion_policy == DeletionPolicy::Terminate
        };
        match &self.read {
            Some(read) if read.uid() != object.uid() => self.breach("S1: another object asks for the end".to_owned()),
            Some(read) if asks(read) || self.is_limit_reached(read) || self.is_group_limit_reached() => {
                if read.status.as_ref().is_none_or(|status| status.termination_requested_at.is_none()) {
                    self.breach("TerminateSession before its reason was recorded".to_owned());
                }
            }
            Some(_) => self.breach("S1: TerminateSession, and nobody asks for it".to_owned()),
            None => self.breach("S1: TerminateSession by a cached object alone".to_owned()),
        }
        if let Step::TerminateSession { reason: TerminationReason::WorkGroupLimit } = step
            && (!self.is_group_limit_reached() || self.refusal(object).is_some())
        {
            self.breach(
                "S1: TerminateSession for a limit of the AthenaWorkGroup that isn't reached, or without a grant"
                    .to_owned(),
            );
        }
        if let Step::TerminateSession { reason: TerminationReason::WorkloadFinished } = step {
            self.objects.was_called = true;
        }
        self.check_grace(object);
        let is_over = |seen: &Seen| seen.status.state.is_ended() && seen.source == Source::Call;
        let last_word = self.observed.session.seen.clone();
        if last_word.as_ref().is_none_or(|it| is_over(it) || it.status.state == SessionState::Terminating) {
            self.breach(format!("TerminateSession where Athena's last word is {last_word:?}"));
        }
    }

    /// S7: only a session that the operator started for the object is tagged, and only when the object lets it go.
    fn check_tag(&mut self, object: &AthenaSession) {
        let is_deleted = object.metadata.deletion_timestamp.is_some();
        let is_ours = object.spec.start.is_some() && self.is_ours(object);
        if !(is_deleted && object.spec.deletion_policy == DeletionPolicy::Retain && is_ours) {
            self.breach("S7: TagResource for a session that the object doesn't let go, or hasn't started".to_owned());
        }
        if self.around.suspension == Some(Suspension::ReadOnly) {
            self.breach("TagResource in spite of --read-only".to_owned());
        }
    }

    fn answer(
        &mut self,
        operation: Operation,
        step: &Step,
        fault: Fault,
        object: &AthenaSession,
    ) -> Result<(), ErrorClass> {
        if let Step::StartSession { request } = step {
            return self.answer_start(request, fault, object);
        }
        if let Fault::Fails(class) = fault
            && (class != ErrorClass::NotFoundOrInvalid || self.may_seem_missing(operation, object))
        {
            return Err(class);
        }
        if let Step::ListSessions { wanted } = step
            && is_by_mark(wanted)
        {
            self.answer_find(wanted);
            return if fault == Fault::CutAfter { Err(ErrorClass::Unavailable) } else { Ok(()) };
        }
        let asked = self.observed.session_id(object) == Some(SESSION);
        if self.observed.session_id(object) == Some(VICTIM) {
            return self.answer_about_victim(step);
        }
        let here = self.scope.account == Account::Known(HOME.to_owned()) && asked;
        let session = self.session.clone().filter(|_| here);
        let is_call = matches!(step, Step::GetSession | Step::GetSessionStatus | Step::GetSessionStatusBeforeEnd);
        let lie = if matches!(step, Step::GetCallerIdentity) { None } else { self.lies.next(is_call) };
        let mut answer: Option<SessionStatus> = lie.as_ref().or(session.as_ref()).map(|state| self.shown(state));
        if matches!(step, Step::GetSessionStatus | Step::GetSessionStatusBeforeEnd)
            && let Some(status) = &mut answer
        {
            (status.marker, status.engine) = (None, None);
        }
        let now = at(self.elapsed);
        if operation == Operation::TerminateSession && session.is_some() && fault != Fault::NoEffect {
            let active = session.as_ref().is_some_and(|state| !state.is_ended() && *state != SessionState::Terminating);
            if active {
                let next = if self.terminating_for == Some(Duration::ZERO) {
                    SessionState::Terminated
                } else {
                    SessionState::Terminating
                };
                self.become_state(next);
            }
        }
        if matches!(fault, Fault::CutAfter | Fault::Late) {
            return Err(ErrorClass::Unavailable);
        }
        let began = at(self.elapsed.saturating_sub(self.starts.list_age));
        let (observed, real) = (&mut self.observed, self.lies.work_group().unwrap_or(self.around.real));
        match (step, answer) {
            (Step::GetCallerIdentity, _) => {
                self.scope.confirmed_at = Some(now.tick);
                observed.session.succeeded(Operation::GetCallerIdentity);
            }
            (Step::ListSessions { wanted }, found) => {
                let found = found.filter(|_| wanted.work_group == real);
                let shown = found.map(|status| Shown { id: SESSION.to_owned(), status, at: now.tick });
                observed.listed(
                    wanted,
                    shown.map_or_else(|| lacking(began, now), ListAnswer::Shown),
                    &self.scope,
                    now,
                    &TIMING,
                );
            }
            (_, None) => return Err(ErrorClass::NotFoundOrInvalid),
            (Step::TagResource { .. }, _) => observed.retain = Retain::Tagged,
            (Step::GetSession, Some(status)) => {
                let work_group = real.to_owned();
                let session = Session { status, work_group, dpu_execution_millis: Some(7) };
                observed.session.described(session, now).map_err(|error| error.class)?;
                self.has_looked();
            }
            (Step::GetSessionStatus | Step::GetSessionStatusBeforeEnd, Some(status)) => {
                observed.session.looked(status, now);
                self.has_looked();
            }
            (Step::TerminateSession { reason }, _) => {
                let state = lie.or(self.session.clone());
                observed.session.terminate_accepted(*reason, state, now);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether this world may claim for a moment that the session doesn't exist. Only the record shows the operator
    /// that this isn't true, so an object without a record, or with a forged work group, can't be protected.
    fn may_seem_missing(&self, operation: Operation, object: &AthenaSession) -> bool {
        let recorded = object.status.as_ref();
        let known = recorded.is_some_and(|it| it.state.is_some() && it.work_group.as_deref() == Some(self.around.real));
        // Neither can an object be protected that this process adopted without ever seeing its session.
        let never_seen = self.observed.adopted_here && self.observed.session.seen.is_none();
        known && !never_seen && !matches!(operation, Operation::ListSessions | Operation::GetCallerIdentity)
    }
}
