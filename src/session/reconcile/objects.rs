//! Requests about AthenaSessions themselves: reads, the finalizer, the status, the deletion.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use tracing::{info, warn};

use super::action::{Action, ReconcileError};
use super::dependencies::Dependencies;
use super::object_state::{ObjectState, version};
use super::observe::{Current, now};
use super::request::{Problem, ask};
use crate::api::cached::{CachedSession, Trimmed};
use crate::api::session::{AthenaSession, AthenaSessionStatus, DeletionPolicy};
use crate::api::{FINALIZER, is_held};
use crate::athena::quota::Key;
use crate::index::claims::Claim;
use crate::index::objects::{Group, key, reference};
use crate::kubernetes::{Answer, RequestError, Requests, within};
use crate::session::observed::ttl::Ttl;
use crate::session::observed::{LimitsRead, Now, OwnerRead};
use crate::session::plan::Step;
use crate::status::event::{Event, RETAINED};
use crate::status::reason::Reason;

pub(super) struct ObjectRequests {
    pub(super) needs: Dependencies,
}

impl ObjectRequests {
    /// Reads an object from the API server, not from a cache.
    pub(super) async fn read(&self, (namespace, name): &Key) -> Result<Answer<AthenaSession>, RequestError> {
        self.requests(namespace).read(name).await
    }

    /// Makes the request that the step names. The API server's answer is the copy that is decided on from then on.
    pub(super) async fn make(
        &self,
        step: Step,
        now: Now,
        current: &mut Current<'_>,
        state: &mut ObjectState,
    ) -> Result<ControlFlow<Action>, ReconcileError> {
        let (object, observed) = (&*current.object, &mut state.observed);
        let answer = match step {
            Step::AddFinalizer => {
                let Some(answer) = self.add_finalizer(object).await? else {
                    return Ok(ControlFlow::Break(Action::Wait(Some(self.needs.timing.changing))));
                };
                if let Answer::Object(adopted) = &answer {
                    observed.adopted(adopted);
                }
                answer
            }
            Step::RemoveFinalizer { event } => {
                match self.requests(&key(object).0).remove_finalizer(object, FINALIZER).await? {
                    conflict @ Answer::Conflict { .. } => conflict,
                    gone => {
                        if let Answer::Object(_) = gone {
                            self.send(object, object.status.as_ref(), event);
                        }
                        return Ok(ControlFlow::Break(Action::Gone));
                    }
                }
            }
            Step::WriteStatus { status, events } => {
                let written = Box::new(AthenaSession { status: Some((*status).clone()), ..object.clone() });
                match self.requests(&key(object).0).write_status(written).await {
                    Err(error) if error.is_too_large() && observed.session.status_limit.refused(object) => {
                        observed.recorded_status.refused(&status, now);
                        self.tell_too_large(object, &error);
                        return Ok(ControlFlow::Continue(()));
                    }
                    answer => {
                        let answer = answer?;
                        if let Answer::Object(written) = &answer {
                            self.send(object, written.status.as_ref(), events);
                            observed.recorded_status.written(written.status.as_ref());
                            observed.session.status_limit.written(object, written);
                        }
                        answer
                    }
                }
            }
            _ => self.read(&key(object)).await?,
        };
        let answer = match answer {
            Answer::Conflict { refusal } => match self.read(&key(object)).await? {
                // The copy isn't out of date, so the write was refused for another reason.
                Answer::Object(read) if read.resource_version() == object.resource_version() => {
                    return Err(ReconcileError::Refused(refusal));
                }
                read => read,
            },
            answer => answer,
        };
        Ok(match answer {
            Answer::Object(answered) if answered.uid() == object.uid() => {
                state.newest_version = version(&answered.metadata).or(state.newest_version);
                current.object = Cow::Owned(*answered);
                current.read_at = Some(Instant::now());
                ControlFlow::Continue(())
            }
            // Where another object has the name by now, this one is gone.
            Answer::Object(_) | Answer::Conflict { .. } | Answer::Gone => ControlFlow::Break(Action::Gone),
        })
    }

    /// Puts our finalizer on. None: the AthenaWorkGroup that would let the object end its session is being deleted.
    async fn add_finalizer(&self, object: &AthenaSession) -> Result<Option<Answer<AthenaSession>>, RequestError> {
        // The lock isn't waited for: reconciliations that wait here would take the slots of other objects'
        // reconciliations.
        let Ok(_adopting) = self.needs.index.adoptions.try_read() else { return Ok(None) };
        let access = self.needs.index.access(object, None, None, None);
        if access.is_terminating || access.denied.is_some() {
            return Ok(None);
        }
        self.requests(&key(object).0).add_finalizer(object, FINALIZER).await.map(Some)
    }

    /// Says that the object has no room for its status. The condition that says so may have no room either.
    fn tell_too_large(&self, object: &AthenaSession, refusal: &RequestError) {
        let (namespace, name) = key(object);
        warn!(namespace, name, problem = %refusal, "the object is too large for its status, which is shortened or left out");
        let note = format!("The status is shortened or left out: {}", refusal.refusal().unwrap_or_default());
        self.needs.events.tell(object.object_ref(&()), Event::warning("Refused", note));
    }

    /// Deletes the copy of the object that was decided on. The watch brings what follows from the deletion.
    pub(super) async fn delete(&self, object: &AthenaSession, ttl: &mut Ttl) {
        let (namespace, name) = key(object);
        let api: Api<Trimmed<AthenaSession>> = Api::namespaced(self.needs.client.clone(), &namespace);
        let preconditions = Preconditions { uid: object.uid(), resource_version: object.resource_version() };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match ask(self.needs.deadline, api.delete(&name, &params)).await {
            Ok(_) | Err(Problem::Gone) => {
                info!(namespace, name, "the object was deleted, since its spec.ttlAfterEnded has passed");
                let note = "The session ended longer ago than spec.ttlAfterEnded: the object is deleted".to_owned();
                self.needs.events.tell(object.object_ref(&()), Event::normal("Expired", note));
                ttl.asked(now(), &self.needs.timing);
            }
            Err(problem) => {
                warn!(namespace, name, %problem, "the object can't be deleted, though its spec.ttlAfterEnded has \
                     passed");
                ttl.failed(problem.into_refusal(), now(), &self.needs.timing, fastrand::f64());
            }
        }
    }

    /// Reads whether the object that a session belongs to is still there, and ends the session when it is deleted.
    pub(super) async fn read_owner(&self, owner: Claim) -> Result<OwnerRead, RequestError> {
        const DOING: &str = "reading the session's owner";
        // As in the watch: the owner may be too large to be kept whole.
        let api: Api<CachedSession> = Api::namespaced(self.needs.client.clone(), &owner.namespace);
        let stands = match within(self.needs.deadline, api.get(&owner.name)).await {
            Ok(read) => {
                let read = read.outline().map_err(|why| RequestError::Kubernetes { doing: DOING, why })?;
                let is_deleted = read.meta().deletion_timestamp.is_some();
                let leaves_session = is_deleted && read.spec.deletion_policy == DeletionPolicy::Retain;
                read.uid().as_ref() == Some(&owner.uid) && !leaves_session && is_held(&read)
            }
            Err(failure) if failure.code() == Some(404) => false,
            Err(failure) => return Err(failure.while_doing(DOING)),
        };
        Ok(OwnerRead { uid: owner.uid, at: Instant::now(), stands })
    }

    /// Reads which limits the object's AthenaWorkGroup sets for the object's session now.
    pub(super) async fn read_limits(&self, object: &AthenaSession) -> Result<LimitsRead, RequestError> {
        const DOING: &str = "reading the object's AthenaWorkGroup";
        let api: Api<Group> = Api::all(self.needs.client.clone());
        let limits = match within(self.needs.deadline, api.get(reference(object).unwrap_or_default())).await {
            Ok(read) => {
                let group = read.0.as_ref().ok();
                group.and_then(|group| self.needs.index.work_groups.limits_by(group, object))
            }
            Err(failure) if failure.code() == Some(404) => None,
            Err(failure) => return Err(failure.while_doing(DOING)),
        };
        Ok(LimitsRead { at: Instant::now(), limits })
    }

    fn requests(&self, namespace: &str) -> Requests<AthenaSession> {
        let api = Api::namespaced(self.needs.client.clone(), namespace);
        Requests { api, deadline: self.needs.deadline, writes: self.needs.writes.clone() }
    }

    fn send(
        &self,
        object: &AthenaSession,
        status: Option<&AthenaSessionStatus>,
        events: impl IntoIterator<Item = Event>,
    ) {
        for event in events {
            if event.is_end() {
                self.count_end(status);
            }
            if event.reason == Reason::ReadOnly.as_str() || event.reason == RETAINED {
                let ((namespace, name), session) = (key(object), &object.spec.session_id);
                info!(namespace, name, session, "{}", event.note);
            }
            self.needs.events.tell(object.object_ref(&()), event);
        }
    }

    /// Counts an end of a session, and how long it took from the recorded request on.
    fn count_end(&self, status: Option<&AthenaSessionStatus>) {
        let Some(status) = status else { return };
        let requested_at = status.termination_requested_at.as_ref();
        let took = requested_at.and_then(|at| Duration::try_from(now().wall.duration_since(at.0)).ok());
        if let (Some(reason), Some(took)) = (status.termination_reason, took) {
            self.needs.metrics.terminated(reason, took);
        }
    }
}
