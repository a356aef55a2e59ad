//! What the AthenaSessions of a cluster declare, by live reads of the API server.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource, ResourceExt};

use crate::api::session::AthenaSession;
use crate::athena::marker::Marker;
use crate::cleanup::declarations::{Declaration, DeclaredSessions};
use crate::kubernetes::{RequestFailure, within};

/// The deadline of each request.
const DEADLINE: Duration = Duration::from_secs(15);

/// A cluster whose AthenaSessions declare sessions.
pub(super) struct Cluster {
    /// The cluster's id: the UID of the namespace kube-system.
    pub(super) id: String,
    /// The URL of its API server.
    pub(super) address: String,
    objects: Api<DynamicObject>,
}

impl Cluster {
    /// The cluster of the kubeconfig, or of the Pod. None where there is neither, or where the API server says that it has no
    /// kind of the operator: nothing is declared there. A 404 alone doesn't say that, since a proxy may answer so, and the
    /// sessions that objects declare would be ended.
    ///
    /// # Errors
    /// Why the cluster can't be asked.
    pub(super) async fn connect(kubeconfig: Option<&Path>) -> Result<Option<Self>, String> {
        let Some(config) = config(kubeconfig).await? else { return Ok(None) };
        let address = config.cluster_url.to_string();
        let unusable = |why: String| format!("the cluster {address} can't be asked what is declared: {why}");
        let client = Client::try_from(config).map_err(|error| unusable(error.to_string()))?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let system = within(DEADLINE, namespaces.get_metadata("kube-system")).await;
        let id = system.map_err(|failure| unusable(failure.words()))?.uid().unwrap_or_default();
        let objects = Api::all_with(client.clone(), &ApiResource::erase::<AthenaSession>(&()));
        let cluster = Self { id, address: address.clone(), objects };
        match within(DEADLINE, cluster.objects.list(&ListParams::default().limit(1))).await {
            Ok(_) => Ok(Some(cluster)),
            Err(failure) => {
                let groups = within(DEADLINE, client.list_api_groups()).await.ok().map(|known| known.groups);
                let lacks_kind =
                    groups.is_some_and(|groups| groups.iter().all(|it| it.name != AthenaSession::group(&())));
                let may_lack_it = failure.code() == Some(404) && kubeconfig.is_none();
                if may_lack_it && lacks_kind { Ok(None) } else { Err(unusable(failure.words())) }
            }
        }
    }

    /// What all AthenaSessions declare in this account and Region.
    ///
    /// # Errors
    /// Why they can't be listed.
    pub(super) async fn declared(&self, place: (&str, &str)) -> Result<DeclaredSessions, String> {
        self.list(&ListParams::default(), place).await.map_err(|failure| failure.words())
    }

    /// Which object declares this session at this moment. The session bears `marker`.
    ///
    /// # Errors
    /// Why the API server can't tell.
    pub(super) async fn declares(
        &self,
        id: &str,
        marker: Option<&Marker>,
        place: (&str, &str),
    ) -> Result<Option<String>, String> {
        // A marked session may be that of an object that names no session. Other characters would have to be escaped.
        let is_plain = |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if marker.is_none() && is_plain(id) {
            match self.list(&ListParams::default().fields(&format!("spec.sessionId={id}")), place).await {
                Ok(declared) => return Ok(declared.declared_by(id, marker)),
                // The kind, as an earlier version installed it, has no selectable field.
                Err(failure) if failure.code() == Some(400) => {}
                Err(failure) => return Err(failure.words()),
            }
        }
        Ok(self.declared(place).await?.declared_by(id, marker))
    }

    async fn list(&self, which: &ListParams, place: (&str, &str)) -> Result<DeclaredSessions, RequestFailure> {
        let mut declared = DeclaredSessions::default();
        let mut page = which.clone().limit(500);
        loop {
            let list = within(DEADLINE, self.objects.list(&page)).await?;
            for object in &list.items {
                add(&mut declared, object, place);
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(declared),
            }
        }
    }
}

/// Read field by field: an object that can't be read as a whole declares its session, too.
fn add(declared: &mut DeclaredSessions, object: &DynamicObject, place: (&str, &str)) {
    let text = |path: &str| object.data.pointer(path).and_then(|value| value.as_str());
    let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let declaration = Declaration {
        object: &name,
        uid: object.metadata.uid.as_deref().unwrap_or_default(),
        named: text("/spec/sessionId"),
        recorded: text("/status/sessionId"),
        recorded_in: (text("/status/accountId"), text("/status/region")),
    };
    declared.add(&declaration, place);
}

async fn config(kubeconfig: Option<&Path>) -> Result<Option<Config>, String> {
    if let Some(path) = kubeconfig {
        let unusable = |why: String| format!("the kubeconfig {} can't be used: {why}", path.display());
        let read = Kubeconfig::read_from(path).map_err(|error| unusable(error.to_string()))?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
        return config.map(Some).map_err(|error| unusable(error.to_string()));
    }
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let home = std::env::home_dir().is_some_and(|home| home.join(".kube/config").exists());
    if !is_set("KUBECONFIG") && !home && !is_set("KUBERNETES_SERVICE_HOST") {
        return Ok(None);
    }
    Config::infer().await.map(Some).map_err(|error| format!("the kubeconfig can't be used: {error}"))
}
