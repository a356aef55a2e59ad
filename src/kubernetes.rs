//! Requests to the API server, each with a deadline, and writes that apply to exactly the copy that was decided on.

use std::error::Error as _;
use std::fmt::Debug;
use std::time::Duration;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, RemoveOperation, TestOperation};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use thiserror::Error;
use tokio::time::timeout;

use crate::api::cached::Trimmed;
use crate::text::{chain, one_line};
use crate::write_refusals::{Refuser, WriteRefusals};

#[derive(Debug)]
pub(crate) enum Answer<K> {
    Object(Box<K>),
    /// The API server refuses the write, most probably since the copy that was decided on is old.
    Conflict {
        refusal: String,
    },
    Gone,
}

#[derive(Debug, Error)]
pub(crate) enum RequestError {
    /// The API server refused, couldn't be reached, or didn't answer in time.
    #[error("{doing}: {why}")]
    Kubernetes { doing: &'static str, why: String },
    /// The API server refused the operator (RBAC), or an admission policy or webhook refused the write. The next try will
    /// be refused as well.
    #[error("{doing}: {words}")]
    Refused { doing: &'static str, by: Refuser, words: String },
    /// The object would be larger with this write than the API server, or the store behind it, takes.
    #[error("{doing}: {words}")]
    TooLarge { doing: &'static str, words: String },
}

impl RequestError {
    /// What to tell people of a refusal; None where the error isn't a refusal.
    pub(crate) fn refusal(&self) -> Option<String> {
        match self {
            Self::Refused { by, .. } => Some(format!("{self}. For an administrator: {}", by.remedy())),
            Self::TooLarge { .. } => Some(format!("{self}. The object is too large: make it smaller")),
            Self::Kubernetes { .. } => None,
        }
    }

    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { .. })
    }
}

#[derive(Debug)]
pub(crate) enum RequestFailure {
    Silent(Duration),
    Error(Box<kube::Error>),
}

impl RequestFailure {
    fn refusal(&self) -> Option<&Status> {
        match self {
            Self::Error(error) => match &**error {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Silent(_) => None,
        }
    }

    pub(crate) fn code(&self) -> Option<u16> {
        self.refusal().map(|status| status.code)
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.refusal().is_some_and(|status| status.reason == "NotFound")
    }

    /// Whether the object would be larger than the API server takes (HTTP status 413), than etcd takes, or than a message to
    /// etcd may be. The API server passes the latter two on as errors of its own.
    fn is_too_large(&self) -> bool {
        let has = |status: &Status, words| status.message.contains(words);
        self.refusal().is_some_and(|status| {
            status.code == 413 || has(status, "request is too large") || has(status, "larger than max")
        })
    }

    /// The API server's own words, or what happened instead.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Silent(deadline) => format!("no answer from the API server within {deadline:?}"),
            Self::Error(error) => self.refusal().map_or_else(|| describe(error), |status| one_line(&status.message)),
        }
    }

    pub(crate) fn while_doing(self, doing: &'static str) -> RequestError {
        let why = match &self {
            Self::Silent(_) => self.words(),
            Self::Error(error) => describe(error),
        };
        RequestError::Kubernetes { doing, why }
    }
}

/// An error of kube's client in a sentence: the API server's message where the API server answered, or else the causes.
pub(crate) fn describe(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => one_line(&format!("{} (HTTP {})", status.message, status.code)),
        // The outermost error only names a layer of the client.
        error => error.source().map_or_else(|| chain(error), chain),
    }
}

pub(crate) async fn within<T>(
    deadline: Duration,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, RequestFailure> {
    match timeout(deadline, request).await {
        Err(_) => Err(RequestFailure::Silent(deadline)),
        Ok(answer) => answer.map_err(|error| RequestFailure::Error(Box::new(error))),
    }
}

/// How many objects a page of a list has.
const PAGE: u32 = 500;

/// Hands each object of a list to `take`, page by page. The deadline is that of one page.
pub(crate) async fn for_each_listed<K>(
    api: &Api<K>,
    which: &ListParams,
    deadline: Duration,
    mut take: impl FnMut(&K),
) -> Result<(), RequestFailure>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut page = which.clone().limit(PAGE);
    loop {
        let list = within(deadline, api.list(&page)).await?;
        list.items.iter().for_each(&mut take);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Requests<K> {
    pub api: Api<Trimmed<K>>,
    pub deadline: Duration,
    pub writes: WriteRefusals,
}

impl<K> Requests<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    /// The object as it is now, not as a cache has it.
    pub(crate) async fn read(&self, name: &str) -> Result<Answer<K>, RequestError> {
        answer_of("reading the object", within(self.deadline, self.api.get(name)).await)
    }

    pub(crate) async fn add_finalizer(&self, object: &K, finalizer: &str) -> Result<Answer<K>, RequestError> {
        let (path, value) = if object.finalizers().is_empty() {
            (pointer(&["metadata", "finalizers"]), json!([finalizer]))
        } else {
            (pointer(&["metadata", "finalizers", "-"]), json!(finalizer))
        };
        let add = PatchOperation::Add(AddOperation { path, value });
        self.patch("adding the finalizer", object, vec![add]).await
    }

    pub(crate) async fn remove_finalizer(&self, object: &K, finalizer: &str) -> Result<Answer<K>, RequestError> {
        let Some(index) = object.finalizers().iter().position(|name| name == finalizer) else {
            return Ok(Answer::Gone);
        };
        let path = pointer(&["metadata", "finalizers", &index.to_string()]);
        let remove = PatchOperation::Remove(RemoveOperation { path: path.clone() });
        self.patch("removing the finalizer", object, vec![test(path, json!(finalizer)), remove]).await
    }

    /// Writes the status of `object`, which is a copy that was read, with another status in it: its uid and
    /// resourceVersion make this a write to exactly that copy.
    pub(crate) async fn write_status(&self, object: Box<K>) -> Result<Answer<K>, RequestError> {
        self.replace_status("writing the status", object, &PostParams::default()).await
    }

    /// Tries by a dry run whether the status of `object` could be written. RBAC and admission policies decide as for a real
    /// write, and nothing is stored. `object` is a copy that was just read, so even a real write would change nothing.
    pub(crate) async fn try_status(&self, object: Box<K>) -> Result<Answer<K>, RequestError> {
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        self.replace_status("a dry run of writing the status", object, &dry_run).await
    }

    async fn replace_status(
        &self,
        doing: &'static str,
        object: Box<K>,
        params: &PostParams,
    ) -> Result<Answer<K>, RequestError> {
        let name = object.name_any();
        let object = Box::new(Trimmed(Ok(*object)));
        self.write(doing, self.api.replace_status(&name, params, &object)).await
    }

    async fn patch(
        &self,
        doing: &'static str,
        object: &K,
        changes: Vec<PatchOperation>,
    ) -> Result<Answer<K>, RequestError> {
        let mut operations = vec![
            test(pointer(&["metadata", "uid"]), json!(object.uid())),
            test(pointer(&["metadata", "resourceVersion"]), json!(object.resource_version())),
        ];
        operations.extend(changes);
        let patch = Patch::Json::<()>(json_patch::Patch(operations));
        self.write(doing, self.api.patch(&object.name_any(), &PatchParams::default(), &patch)).await
    }

    async fn write(
        &self,
        doing: &'static str,
        request: impl Future<Output = kube::Result<Trimmed<K>>>,
    ) -> Result<Answer<K>, RequestError> {
        let answer = within(self.deadline, request).await;
        match &answer {
            Ok(_) => self.writes.accepted(),
            Err(failure) => {
                if let Some(by) = failure.refusal().and_then(|status| Refuser::of(status.code, &status.message)) {
                    let words = failure.words();
                    self.writes.refused(&by, &format!("{doing}: {words}"));
                    return Err(RequestError::Refused { doing, by, words });
                }
            }
        }
        answer_of(doing, answer)
    }
}

fn answer_of<K>(doing: &'static str, answer: Result<Trimmed<K>, RequestFailure>) -> Result<Answer<K>, RequestError> {
    match answer {
        Ok(Trimmed(Ok(object))) => Ok(Answer::Object(Box::new(object))),
        Ok(Trimmed(Err(unreadable))) => Err(RequestError::Kubernetes { doing, why: one_line(&unreadable.problem) }),
        Err(failure) => match failure.code() {
            // 422 is the answer to a JSON patch whose test fails.
            Some(409 | 422) => Ok(Answer::Conflict { refusal: format!("{doing}: {}", failure.words()) }),
            Some(404) => Ok(Answer::Gone),
            _ if failure.is_too_large() => Err(RequestError::TooLarge { doing, words: failure.words() }),
            _ => Err(failure.while_doing(doing)),
        },
    }
}

fn pointer(tokens: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(tokens.iter().copied())
}

fn test(path: PointerBuf, value: serde_json::Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path, value })
}
