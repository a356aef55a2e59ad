//! Which sessions AthenaSessions declare at this moment, as the API server says: no cache is asked, which may lag behind. An
//! object that was applied a moment ago keeps its session from being cleaned up.

use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt};

use crate::api::session::AthenaSession;
use crate::athena::marker::Marker;
use crate::cleanup::declarations::{Declaration, DeclaredSessions};
use crate::kubernetes::{RequestFailure, for_each_listed, within};

/// Asks the API server what is declared.
#[derive(Clone)]
pub(crate) struct LiveDeclarations {
    client: Client,
    kind: ApiResource,
    /// The deadline of each request.
    deadline: Duration,
}

impl LiveDeclarations {
    pub(crate) fn new(client: Client, deadline: Duration) -> Self {
        Self { client, kind: ApiResource::erase::<AthenaSession>(&()), deadline }
    }

    /// Fails where AthenaSessions can't be listed.
    pub(crate) async fn probe(&self) -> Result<(), RequestFailure> {
        within(self.deadline, self.everywhere().list(&ListParams::default().limit(1))).await.map(drop)
    }

    /// What all AthenaSessions declare. `account_and_region`: the account and the Region that the answer is for.
    pub(crate) async fn all(&self, account_and_region: (&str, &str)) -> Result<DeclaredSessions, RequestFailure> {
        self.list(&ListParams::default(), account_and_region).await
    }

    /// What those AthenaSessions declare that name this session, or that one of these marks names.
    pub(crate) async fn of(
        &self,
        id: &str,
        markers: &[Marker],
        account_and_region: (&str, &str),
    ) -> Result<DeclaredSessions, RequestFailure> {
        let mut declared = self.naming(id, account_and_region).await?;
        for marker in markers {
            let objects: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &marker.namespace, &self.kind);
            match within(self.deadline, objects.get(&marker.name)).await {
                Ok(object) => add(&mut declared, &object, account_and_region),
                // Only the API server's own words count: a proxy on the way may answer with a 404, too.
                Err(failure) if failure.is_not_found() => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(declared)
    }

    async fn naming(&self, id: &str, account_and_region: (&str, &str)) -> Result<DeclaredSessions, RequestFailure> {
        // Other characters would have to be escaped.
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return self.all(account_and_region).await;
        }
        match self.list(&ListParams::default().fields(&format!("spec.sessionId={id}")), account_and_region).await {
            // The kind, as an earlier version installed it, has no selectable field.
            Err(failure) if failure.code() == Some(400) => self.all(account_and_region).await,
            answer => answer,
        }
    }

    async fn list(
        &self,
        which: &ListParams,
        account_and_region: (&str, &str),
    ) -> Result<DeclaredSessions, RequestFailure> {
        let mut declared = DeclaredSessions::default();
        let take = |object: &DynamicObject| add(&mut declared, object, account_and_region);
        for_each_listed(&self.everywhere(), which, self.deadline, take).await?;
        Ok(declared)
    }

    fn everywhere(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &self.kind)
    }
}

/// Read field by field: an object that can't be read as a whole declares its session, too.
fn add(declared: &mut DeclaredSessions, object: &DynamicObject, account_and_region: (&str, &str)) {
    let text = |path: &str| object.data.pointer(path).and_then(|value| value.as_str());
    let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let declaration = Declaration {
        object: &name,
        uid: object.metadata.uid.as_deref().unwrap_or_default(),
        named: text("/spec/sessionId"),
        recorded: text("/status/sessionId"),
        recorded_in: (text("/status/accountId"), text("/status/region")),
    };
    declared.add(&declaration, account_and_region);
}
