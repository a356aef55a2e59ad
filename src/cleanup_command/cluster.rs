//! Finds the cluster whose AthenaSessions declare sessions.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource, ResourceExt};

use crate::api::session::AthenaSession;
use crate::kubernetes::within;
use crate::live_declarations::LiveDeclarations;

/// The deadline of each request.
const DEADLINE: Duration = Duration::from_secs(15);

/// A cluster whose AthenaSessions declare sessions.
pub(super) struct Cluster {
    /// The cluster's id: the UID of the namespace kube-system.
    pub(super) id: String,
    /// The URL of its API server.
    pub(super) address: String,
    /// What its AthenaSessions declare.
    pub(super) declarations: LiveDeclarations,
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
        let declarations = LiveDeclarations::new(client.clone(), DEADLINE);
        match declarations.probe().await {
            Ok(()) => Ok(Some(Self { id, address, declarations })),
            Err(failure) => {
                let groups = within(DEADLINE, client.list_api_groups()).await.ok().map(|known| known.groups);
                let lacks_kind =
                    groups.is_some_and(|groups| groups.iter().all(|it| it.name != AthenaSession::group(&())));
                let may_lack_it = failure.code() == Some(404) && kubeconfig.is_none();
                if may_lack_it && lacks_kind { Ok(None) } else { Err(unusable(failure.words())) }
            }
        }
    }
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
