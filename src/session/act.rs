//! Takes the steps that [`super::decide`] names, one after the other, until it says to wait: the thin
//! shell. What it learns goes into the object at hand and into [`Knowledge`]; it decides nothing.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, RemoveOperation, TestOperation};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use thiserror::Error;
use tokio::time::timeout;
use tracing::{info, warn};

use super::decide::{Step, decide};
use super::knowledge::{Knowledge, Now, Timing};
use super::notice::Notice;
use super::view::View;
use crate::api::FINALIZER;
use crate::api::session::{AthenaSession, AthenaSessionStatus, TerminationReason};
use crate::athena::aws::Athena;
use crate::athena::identity::Identity;
use crate::athena::port::{CallError, Page, SessionState};
use crate::events::Events;
use crate::text::{kubernetes, one_line};

/// More steps than any object needs in one pass; more would be a loop.
const MOST_STEPS: usize = 24;

/// Everything that acting needs.
pub struct Shell {
    /// Kubernetes.
    pub client: kube::Client,
    /// Athena.
    pub athena: Athena,
    /// Where calls to Athena go.
    pub identity: Arc<Identity>,
    /// Where notices go.
    pub events: Events,
    /// The intervals.
    pub timing: Timing,
    /// The deadline of each request to Kubernetes.
    pub deadline: Duration,
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
    /// The API server refused or couldn't be reached.
    #[error("{doing}: {why}")]
    Kubernetes {
        /// What was tried.
        doing: &'static str,
        /// What happened.
        why: String,
    },
    /// The API server didn't answer.
    #[error("{doing}: no answer from the API server within {deadline:?}")]
    Deadline {
        /// What was tried.
        doing: &'static str,
        /// How long.
        deadline: Duration,
    },
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

/// What the API server says of the object after a request.
enum Answer {
    Object(Box<AthenaSession>),
    /// Refused, most probably since what we went by is old.
    Conflict {
        /// The API server's words.
        refusal: String,
    },
    Gone,
}

impl Shell {
    /// Takes steps for one object until there is nothing left to do.
    ///
    /// `newest` learns the resourceVersion of the newest copy that a request returned.
    ///
    /// # Errors
    /// When Kubernetes can't be read or written. Trouble with Athena isn't an error: it is known,
    /// shown in the status, and waited for.
    pub async fn pass(
        &self,
        cached: &AthenaSession,
        knowledge: &mut Knowledge,
        newest: &mut Option<String>,
    ) -> Result<Outcome, PassError> {
        let mut object = Cow::Borrowed(cached);
        let mut fresh = false;
        let mut last = Step::Wait(None);
        for _ in 0..MOST_STEPS {
            let (scope, now) = (self.identity.scope(), now());
            knowledge.found(&object, &scope, now);
            let view = View { object: &object, fresh, knowledge, scope: &scope, timing: &self.timing, now };
            let step = decide(&view);
            last = step.clone();
            let answer = match step {
                Step::Wait(after) => return Ok(Outcome::Wait(after)),
                Step::LetGo { notice } => match self.let_go(&object, notice).await? {
                    Answer::Object(_) | Answer::Gone => return Ok(Outcome::Gone),
                    conflict @ Answer::Conflict { .. } => conflict,
                },
                Step::AddFinalizer => {
                    let answer = self.add_finalizer(&object).await?;
                    knowledge.adopted_here |= matches!(answer, Answer::Object(_));
                    answer
                }
                Step::Refresh => self.read(&object).await?,
                Step::WriteStatus { status, notices } => {
                    let answer = self.write_status(&object, *status, notices).await?;
                    if let Answer::Object(written) = &answer {
                        knowledge.record.written(written.status.as_ref());
                    }
                    answer
                }
                step => {
                    self.call_athena(&object, knowledge, step).await;
                    continue;
                }
            };
            let answer = match answer {
                Answer::Conflict { refusal } => match self.read(&object).await? {
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
                    newest.clone_from(&answered.resource_version());
                    object = Cow::Owned(*answered);
                    fresh = true;
                }
                // Another object has taken the name: this one is gone.
                Answer::Object(_) | Answer::Conflict { .. } | Answer::Gone => return Ok(Outcome::Gone),
            }
        }
        match last {
            // A long listing takes several passes, so that the object's changes are seen in between.
            Step::Search { .. } | Step::Identify => Ok(Outcome::Wait(Some(Duration::ZERO))),
            last => Err(PassError::Unsettled { last: Box::new(last) }),
        }
    }

    async fn call_athena(&self, object: &AthenaSession, knowledge: &mut Knowledge, step: Step) {
        let id = &object.spec.session_id;
        let outcome = match step {
            Step::Describe => self.athena.get_session(id).await.map(|session| knowledge.described(session, now())),
            Step::Look => self.athena.get_session_status(id).await.map(|status| knowledge.looked(status, now())),
            Step::Search { work_group } => {
                let page = self.next_page(&work_group, id, knowledge).await;
                page.map(|page| knowledge.paged(page, now(), &self.timing))
            }
            Step::Identify => self.identity.confirm().await.map(|()| knowledge.identified()),
            Step::Terminate { reason } => self.terminate(object, knowledge, reason).await,
            _ => Ok(()),
        };
        match outcome {
            Ok(()) => knowledge.answered_in(&self.identity.scope().account),
            Err(error) => knowledge.failed(error, now(), &self.timing, fastrand::f64()),
        }
    }

    async fn next_page(&self, work_group: &str, id: &str, knowledge: &Knowledge) -> Result<Page, CallError> {
        let listing = knowledge.listing.clone().unwrap_or_default();
        let filter = SessionState::FILTERS.get(listing.filter).and_then(Option::as_ref);
        self.athena.list_sessions(work_group, filter, listing.next_token.as_deref(), id).await
    }

    async fn terminate(
        &self,
        object: &AthenaSession,
        knowledge: &mut Knowledge,
        reason: TerminationReason,
    ) -> Result<(), CallError> {
        let session = &object.spec.session_id;
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let uid = object.uid().unwrap_or_default();
        let answer = self.athena.terminate_session(session).await;
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
        let why = match reason {
            TerminationReason::ObjectDeleted => "the object was deleted",
            TerminationReason::RequestedBySpec => "spec.terminate is true",
        };
        let notice = Notice::normal("Terminating", format!("Athena accepted the end of session {session}: {why}"));
        self.events.tell(object.object_ref(&()), notice);
        knowledge.terminate_accepted(accepted.state, now());
        Ok(())
    }

    fn api(&self, object: &AthenaSession) -> Api<AthenaSession> {
        Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default())
    }

    async fn read(&self, object: &AthenaSession) -> Result<Answer, PassError> {
        self.ask("reading the object", self.api(object).get(&object.name_any())).await
    }

    async fn add_finalizer(&self, object: &AthenaSession) -> Result<Answer, PassError> {
        let (path, value) = if object.finalizers().is_empty() {
            (pointer(&["metadata", "finalizers"]), json!([FINALIZER]))
        } else {
            (pointer(&["metadata", "finalizers", "-"]), json!(FINALIZER))
        };
        let add = PatchOperation::Add(AddOperation { path, value });
        self.patch("adding the finalizer", object, vec![add]).await
    }

    async fn let_go(&self, object: &AthenaSession, notice: Option<Notice>) -> Result<Answer, PassError> {
        let Some(index) = object.finalizers().iter().position(|name| name == FINALIZER) else {
            return Ok(Answer::Gone);
        };
        let path = pointer(&["metadata", "finalizers", &index.to_string()]);
        let remove = PatchOperation::Remove(RemoveOperation { path: path.clone() });
        let answer = self.patch("removing the finalizer", object, vec![test(path, json!(FINALIZER)), remove]).await?;
        if let (Answer::Object(_), Some(notice)) = (&answer, notice) {
            self.events.tell(object.object_ref(&()), notice);
        }
        Ok(answer)
    }

    /// A patch that applies to exactly the copy that was decided on.
    async fn patch(
        &self,
        doing: &'static str,
        object: &AthenaSession,
        changes: Vec<PatchOperation>,
    ) -> Result<Answer, PassError> {
        let mut operations = vec![
            test(pointer(&["metadata", "uid"]), json!(object.uid())),
            test(pointer(&["metadata", "resourceVersion"]), json!(object.resource_version())),
        ];
        operations.extend(changes);
        let patch = json_patch::Patch(operations);
        let (api, name) = (self.api(object), object.name_any());
        self.ask(doing, api.patch(&name, &PatchParams::default(), &Patch::Json::<AthenaSession>(patch))).await
    }

    async fn write_status(
        &self,
        object: &AthenaSession,
        status: AthenaSessionStatus,
        notices: Vec<Notice>,
    ) -> Result<Answer, PassError> {
        // Its uid and resourceVersion make this a write to exactly the copy that was decided on.
        let mut written = object.clone();
        written.metadata.managed_fields = None;
        written.status = Some(status);
        let (api, name) = (self.api(object), object.name_any());
        let params = PostParams::default();
        let answer = self.ask("writing the status", api.replace_status(&name, &params, &written)).await?;
        if let Answer::Object(_) = answer {
            for notice in notices {
                self.events.tell(object.object_ref(&()), notice);
            }
        }
        Ok(answer)
    }

    async fn ask(
        &self,
        doing: &'static str,
        request: impl Future<Output = kube::Result<AthenaSession>>,
    ) -> Result<Answer, PassError> {
        let deadline = self.deadline;
        match timeout(deadline, request).await {
            Err(_) => Err(PassError::Deadline { doing, deadline }),
            Ok(Ok(object)) => Ok(Answer::Object(Box::new(object))),
            // 422 is the answer to a JSON patch whose test fails.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 || status.code == 422 => {
                Ok(Answer::Conflict { refusal: format!("{doing}: {}", one_line(&status.message)) })
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(Answer::Gone),
            Ok(Err(error)) => Err(PassError::Kubernetes { doing, why: kubernetes(&error) }),
        }
    }
}

fn pointer(tokens: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(tokens.iter().copied())
}

fn test(path: PointerBuf, value: serde_json::Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path, value })
}

fn now() -> Now {
    Now { wall: Timestamp::now(), tick: Instant::now() }
}
