//! Calls Athena, each time a token of the quotas allows that.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Resource;

use super::action::Action;
use super::audit_log::Audited;
use super::dependencies::Dependencies;
use super::object_state::ObjectState;
use super::observe::{Current, Inputs, now};
use crate::api::session::{AthenaSession, TerminationReason};
use crate::athena::aws::Athena;
use crate::athena::identity::Identity;
use crate::athena::quota::{Key, Priority};
use crate::athena::types::{CallError, CallerContext, ErrorClass, Operation, QuotaScope, StartRequest};
use crate::index::objects::key;
use crate::session::observed::{Observed, Retain};
use crate::session::plan::Step;
use crate::status::event::Event;

/// What calls Athena, each time a token of the quotas allows that.
pub(super) struct AthenaCalls {
    pub(super) needs: Dependencies,
}

impl AthenaCalls {
    /// Makes the call that the step names, or asks the informer for the list. Returns how the reconciliation ends,
    /// where it does.
    pub(super) async fn make(
        &self,
        step: Step,
        priority: Priority,
        awaits_quota_for: Duration,
        inputs: &Inputs,
        current: &mut Current<'_>,
        state: &mut ObjectState,
    ) -> ControlFlow<Action> {
        let object = &*current.object;
        let Some(identity) = &inputs.identity else { return ControlFlow::Break(Action::Wait(None)) };
        match step {
            Step::ListSessions { wanted } => {
                let poller = self.needs.informer.poller(identity, &wanted.work_group);
                state.ask_for_list(&key(object), poller, wanted);
            }
            step if !self.has_token(object, &inputs.scope, &step, priority) => {
                // The arrival of its token wakes the object.
                state.is_known_to_quotas = true;
                return ControlFlow::Break(Action::Wait(Some(awaits_quota_for)));
            }
            step => {
                // A token for TerminateSession is reserved before. Where the answer shows that no end is due, it is
                // given back.
                state.is_known_to_quotas |= step == Step::GetSessionStatusBeforeEnd;
                if matches!(step, Step::StartSession { .. }) {
                    // The object may have changed during the call.
                    current.read_at = None;
                }
                self.call(object, &mut state.observed, identity, step).await;
            }
        }
        ControlFlow::Continue(())
    }

    /// Gives back the tokens that the quotas hold for the object, and its turn among those who wait for one.
    pub(super) fn give_back_tokens(&self, key: &Key, state: &mut ObjectState) {
        if std::mem::take(&mut state.is_known_to_quotas) {
            self.needs.quotas.forget(key);
        }
    }

    /// Whether the call may be made now. Where it may not, the arrival of a token wakes the object.
    fn has_token(&self, object: &AthenaSession, scope: &CallerContext, step: &Step, priority: Priority) -> bool {
        let operation = match step {
            Step::GetSession => Operation::GetSession,
            Step::GetSessionStatus | Step::GetSessionStatusBeforeEnd => Operation::GetSessionStatus,
            Step::StartSession { .. } => Operation::StartSession,
            Step::TerminateSession { .. } => Operation::TerminateSession,
            Step::TagResource { .. } => Operation::TagResource,
            // GetCallerIdentity is a call to STS, which takes no token. Each other step makes no call to AWS.
            _ => return true,
        };
        let (quota, who) = (QuotaScope::of(scope), key(object));
        let has_reserved = *step != Step::GetSessionStatusBeforeEnd
            || self.needs.quotas.try_reserve(&quota, Operation::TerminateSession, Priority::End, &who);
        has_reserved && self.needs.quotas.try_take(&quota, operation, priority, &who)
    }

    async fn call(&self, object: &AthenaSession, observed: &mut Observed, identity: &Arc<Identity>, step: Step) {
        let id = &observed.session_id(object).unwrap_or_default().to_owned();
        let (namespace, name) = key(object);
        let athena = identity.athena.on_behalf_of(&namespace, &name);
        let sent = Instant::now();
        let outcome = match step {
            Step::GetSession => {
                athena.get_session(id).await.and_then(|session| observed.session.described(session, now()))
            }
            Step::GetSessionStatus | Step::GetSessionStatusBeforeEnd => {
                athena.get_session_status(id).await.map(|status| observed.session.looked(status, now()))
            }
            Step::StartSession { request } => start(&athena, object, observed, &request).await,
            Step::GetCallerIdentity => {
                identity.confirm().await.map(|()| observed.session.succeeded(Operation::GetCallerIdentity))
            }
            Step::TerminateSession { reason } => self.terminate(&athena, object, id, observed, reason).await,
            Step::TagResource { arn, key, value } => {
                let tagged = tag(&athena, object, id, (&arn, key, &value)).await;
                tagged.map(|()| observed.retain = Retain::Tagged)
            }
            _ => Ok(()),
        };
        let scope = identity.caller_context();
        match outcome {
            Ok(()) => {
                observed.session.answered_in(&scope);
                self.tell_poller(observed, identity, object, sent);
            }
            Err(error) => {
                if error.class == ErrorClass::Throttled {
                    self.needs.quotas.throttled(&QuotaScope::of(&scope), error.operation);
                }
                observed.failed(error, now(), &self.needs.timing, fastrand::f64());
            }
        }
    }

    /// Tells the poller what a call of the object's own has shown, which the poller needn't ask for then.
    fn tell_poller(&self, observed: &Observed, identity: &Arc<Identity>, object: &AthenaSession, sent: Instant) {
        if let (Some(seen), Some(id), Some(work_group)) =
            (&observed.session.seen, observed.session_id(object), &observed.session.work_group)
            && seen.at >= sent
        {
            self.needs.informer.poller(identity, work_group).observe(id, &seen.status, sent, seen.source);
        }
    }

    async fn terminate(
        &self,
        athena: &Athena,
        object: &AthenaSession,
        session: &str,
        observed: &mut Observed,
        reason: TerminationReason,
    ) -> Result<(), CallError> {
        let call = Audited { session: Some(session), reason: Some(reason), work_group: None };
        let accepted = athena.terminate_session(session).await.inspect_err(|error| call.failed(object, error))?;
        let answer = accepted.state.as_ref().map_or("none", |state| state.as_str());
        call.accepted(Operation::TerminateSession, object, answer, accepted.request_id.as_deref());
        // No second event with the same words when the call is repeated.
        if observed.session.accepted_for != Some(reason) {
            let note = format!("Athena accepted the end of session {session}: {}", reason.clause());
            self.needs.events.tell(object.object_ref(&()), Event::normal("Terminating", note));
        }
        observed.session.terminate_accepted(reason, accepted.state, now());
        Ok(())
    }
}

async fn start(
    athena: &Athena,
    object: &AthenaSession,
    observed: &mut Observed,
    request: &StartRequest,
) -> Result<(), CallError> {
    observed.starting(now());
    let call = Audited { work_group: Some(&request.work_group), session: None, reason: None };
    let started = athena.start_session(request).await.inspect_err(|error| call.failed(object, error))?;
    let call = Audited { session: Some(&started.id), ..call };
    call.accepted(Operation::StartSession, object, started.state.as_str(), started.request_id.as_deref());
    observed.started(started.id, &request.work_group);
    Ok(())
}

/// Tags the session, whose ARN is given with the key and the value.
async fn tag(
    athena: &Athena,
    object: &AthenaSession,
    session: &str,
    (arn, key, value): (&str, &str, &str),
) -> Result<(), CallError> {
    let call = Audited { session: Some(session), reason: None, work_group: None };
    let request_id = athena.tag(arn, key, value).await.inspect_err(|error| call.failed(object, error))?;
    call.accepted(Operation::TagResource, object, key, request_id.as_deref());
    Ok(())
}
