//! Reports that a kind is being deleted. Kubernetes then deletes all objects of the kind, and with the last one the kind. A
//! `kubectl apply` meanwhile succeeds, and doesn't stop the deletion. A kind that doesn't exist is reported by the watch of
//! its objects (`cluster.rs`).

use futures::StreamExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, CustomResourceExt, Resource};
use tracing::{info, warn};

use crate::cluster::{Cluster, TroubleLog, watch_problem};
use crate::health::Readiness;

/// Watches the CustomResourceDefinition of one kind. `loss` says what is lost with the kind.
pub(crate) async fn watch<K>(cluster: Cluster, loss: &'static str)
where
    K: Resource<DynamicType = ()> + CustomResourceExt,
{
    let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(cluster.client.clone());
    let config = cluster.watch_config().fields(&format!("metadata.name={}", K::crd_name()));
    let mut changes = std::pin::pin!(watcher(api, config).default_backoff());
    let mut log = TroubleLog::new(format!("watch of the CustomResourceDefinition {}", K::crd_name()));
    let (mut is_going, mut is_listed) = (false, false);
    while let Some(change) = changes.next().await {
        let goes = match change {
            Ok(watcher::Event::Init) => {
                is_listed = false;
                continue;
            }
            Ok(watcher::Event::Apply(crd) | watcher::Event::InitApply(crd)) => {
                is_listed = true;
                crd.metadata.deletion_timestamp.is_some()
            }
            Ok(watcher::Event::InitDone) if is_listed => continue,
            Ok(watcher::Event::InitDone | watcher::Event::Delete(_)) => false,
            Err(error) => {
                log.report(&watch_problem(&error));
                continue;
            }
        };
        if goes != std::mem::replace(&mut is_going, goes) {
            report(&K::kind(&()), goes, loss, &cluster.readiness);
        }
    }
}

fn report(kind: &str, is_going: bool, loss: &str, readiness: &Readiness) {
    let condition = format!("kind {kind}");
    if !is_going {
        info!("the deletion of the kind {kind} is over");
        return readiness.remove(&condition);
    }
    let said = format!(
        "the kind {kind} is being deleted: {loss}. After its last object the kind itself is removed, even if deploy/ \
         was applied in the meantime. Apply deploy/ again after that"
    );
    warn!("{said}");
    readiness.set(condition, Err(said));
}
