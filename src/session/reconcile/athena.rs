//! Takes the steps that call Athena, and says so where a call changes something: the audit trail.

use std::sync::Arc;
use std::time::Instant;

use kube::{Resource, ResourceExt};
use tracing::{info, warn};

use super::{Shell, now};
use crate::api::session::{AthenaSession, TerminationReason};
use crate::athena::aws::Athena;
use crate::athena::identity::Identity;
use crate::athena::types::QuotaScope;
use crate::athena::types::{CallError, ErrorClass, StartRequest};
use crate::index::objects::key;
use crate::session::observed::Observed;
use crate::session::plan::Step;
use crate::status::event::Notice;

impl Shell {
    /// Takes such a step.
    pub(super) async fn call_athena(
        &self,
        object: &AthenaSession,
        observed: &mut Observed,
        identity: &Arc<Identity>,
        step: Step,
    ) {
        let id = &observed.session_id(object).unwrap_or_default().to_owned();
        let (namespace, name) = key(object);
        let athena = identity.athena().on_behalf_of(&namespace, &name);
        let sent = Instant::now();
        let outcome = match step {
            Step::GetSession => athena.get_session(id).await.and_then(|session| observed.described(session, now())),
            Step::GetSessionStatus | Step::GetSessionStatusBeforeEnd => {
                athena.get_session_status(id).await.map(|status| observed.looked(status, now()))
            }
            Step::StartSession { request } => self.start(&athena, object, observed, &request).await,
            Step::GetCallerIdentity => identity.confirm().await.map(|()| observed.identified()),
            Step::TerminateSession { reason } => self.terminate(&athena, object, id, observed, reason).await,
            _ => Ok(()),
        };
        let scope = identity.caller_context();
        match outcome {
            Ok(()) => {
                observed.answered_in(&scope);
                self.share(observed, identity, object, sent);
            }
            Err(error) => {
                if error.class == ErrorClass::Throttled {
                    self.quotas.throttled(&QuotaScope::of(&scope), error.operation);
                }
                observed.failed(error, now(), &self.timing, fastrand::f64());
            }
        }
    }

    /// The poller needn't ask for what a call of the object's own has shown.
    fn share(&self, observed: &Observed, identity: &Arc<Identity>, object: &AthenaSession, sent: Instant) {
        let seen = observed.seen.as_ref().filter(|seen| seen.at >= sent);
        let seen = seen.zip(observed.session_id(object));
        if let (Some((seen, id)), Some(work_group)) = (seen, &observed.work_group) {
            self.informer.poller(identity, work_group).observe(id, &seen.status, sent, seen.source);
        }
    }

    async fn start(
        &self,
        athena: &Athena,
        object: &AthenaSession,
        observed: &mut Observed,
        request: &StartRequest,
    ) -> Result<(), CallError> {
        let (namespace, name) = key(object);
        let uid = object.uid().unwrap_or_default();
        let work_group = &request.work_group;
        observed.starting(now());
        // The audit trail, as of TerminateSession.
        let started = athena.start_session(request).await.inspect_err(|error| {
            let request_id = error.request_id.as_deref().unwrap_or("none");
            let (answer, error) = (&error.code, &error.message);
            warn!(namespace, name, uid, work_group, answer, error, aws_request_id = request_id, "StartSession");
        })?;
        let (session, answer) = (&started.id, started.state.as_str());
        let request_id = started.request_id.as_deref().unwrap_or("none");
        info!(namespace, name, uid, work_group, session, answer, aws_request_id = request_id, "StartSession");
        observed.started(started.id, work_group);
        Ok(())
    }

    async fn terminate(
        &self,
        athena: &Athena,
        object: &AthenaSession,
        session: &str,
        observed: &mut Observed,
        reason: TerminationReason,
    ) -> Result<(), CallError> {
        let (namespace, name) = key(object);
        let uid = object.uid().unwrap_or_default();
        let answer = athena.terminate_session(session).await;
        // The audit trail: one line for each call that changes something in AWS.
        match &answer {
            Ok(accepted) => {
                let state = accepted.state.as_ref().map_or("none", |state| state.as_str());
                let request_id = accepted.request_id.as_deref().unwrap_or("none");
                info!(
                    namespace,
                    name,
                    uid,
                    session,
                    reason = reason.as_str(),
                    answer = state,
                    aws_request_id = request_id,
                    "TerminateSession"
                );
            }
            Err(error) => {
                let request_id = error.request_id.as_deref().unwrap_or("none");
                warn!(
                    namespace,
                    name,
                    uid,
                    session,
                    reason = reason.as_str(),
                    answer = error.code,
                    error = error.message,
                    aws_request_id = request_id,
                    "TerminateSession"
                );
            }
        }
        let accepted = answer?;
        // No second event with the same words when the call is repeated.
        if observed.accepted_for != Some(reason) {
            let why = reason.clause();
            let notice = Notice::normal("Terminating", format!("Athena accepted the end of session {session}: {why}"));
            self.events.tell(object.object_ref(&()), notice);
        }
        observed.terminate_accepted(reason, accepted.state, now());
        Ok(())
    }
}
