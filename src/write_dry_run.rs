//! A check at start, by a dry run, that the API server accepts the operator's writes. Without this check a wrong admission
//! policy, which takes another user for the operator, would show only when a session is to be ended.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::debug;

use crate::api::cached::Trimmed;
use crate::api::session::AthenaSession;
use crate::api::work_group::AthenaWorkGroup;
use crate::kubernetes::{Answer, Requests, within};
use crate::write_refusals::WriteRefusals;

/// How often the dry run is tried when other writers change or delete the object in between.
const TRIES: usize = 3;

pub(crate) struct WriteDryRun {
    pub client: Client,
    pub namespaces: Option<Vec<String>>,
    pub deadline: Duration,
    pub writes: WriteRefusals,
}

impl WriteDryRun {
    /// Asks the API server which user the operator is.
    pub(crate) async fn identify(&self) {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let (params, review) = (PostParams::default(), SelfSubjectReview::default());
        match within(self.deadline, api.create(&params, &review)).await {
            Ok(review) => {
                let user = review.status.and_then(|status| status.user_info?.username);
                user.into_iter().for_each(|user| self.writes.identified(user));
            }
            Err(failure) => debug!(problem = failure.words(), "the operator's user isn't known"),
        }
    }

    /// Tries to write the status of one object. Where there is no object yet, the first real write will show a refusal.
    pub(crate) async fn run(self) {
        let everywhere = || Api::all(self.client.clone());
        let in_namespace = |namespace: &str| Api::namespaced(self.client.clone(), namespace);
        let lists: Vec<Api<_>> = match &self.namespaces {
            None => vec![everywhere()],
            Some(names) => names.iter().map(|name| in_namespace(name)).collect(),
        };
        let home = |session: &AthenaSession| in_namespace(session.metadata.namespace.as_deref().unwrap_or_default());
        for list in lists {
            if self.try_one(&list, home).await {
                return;
            }
        }
        // An operator limited to namespaces writes to no AthenaWorkGroup.
        if self.namespaces.is_none() {
            let groups: Api<Trimmed<AthenaWorkGroup>> = Api::all(self.client.clone());
            self.try_one(&groups, |_| groups.clone()).await;
        }
    }

    /// Returns whether there was an object to try.
    async fn try_one<K>(&self, list: &Api<Trimmed<K>>, home: impl Fn(&K) -> Api<Trimmed<K>>) -> bool
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
    {
        for _ in 0..TRIES {
            let page = within(self.deadline, list.list(&ListParams::default().limit(1))).await;
            let first = page.ok().and_then(|page| page.items.into_iter().next());
            let Some(Trimmed(Ok(object))) = first else { return false };
            let requests = Requests { api: home(&object), deadline: self.deadline, writes: self.writes.clone() };
            match requests.try_status(Box::new(object)).await {
                Ok(Answer::Conflict { .. } | Answer::Gone) => {}
                Ok(Answer::Object(_)) => return true,
                // A refusal was reported by `Requests` already.
                Err(problem) => {
                    debug!(%problem, "the dry run of a write failed");
                    return true;
                }
            }
        }
        true
    }
}
