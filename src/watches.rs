//! The watches of namespaces, Jobs and Pods, which tell the index what has changed. Nothing is stored of Jobs and Pods: an
//! object that follows a workload reads it when there is news of it.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tracing::warn;

use crate::api::workload::{Workload, WorkloadObject, WorkloadState};
use crate::cluster::Cluster;
use crate::index::cluster::ClusterIndex;
use crate::index::objects::{Labelled, Watch};

/// What `/readyz` calls the namespaces that --watch-namespace names.
const NAMESPACES: &str = "namespaces";

/// The watch of all namespaces, whose labels the grants of AthenaWorkGroups select.
pub(crate) struct NamespaceWatch {
    pub(crate) cluster: Cluster,
    pub(crate) index: Arc<ClusterIndex>,
    /// The namespaces that --watch-namespace names.
    pub(crate) names: Vec<String>,
}

impl NamespaceWatch {
    pub(crate) async fn run(self, store: Writer<Labelled>) {
        let api: Api<Labelled> = Api::all(self.cluster.client.clone());
        let changes = watcher(api.clone(), self.cluster.watch_config()).default_backoff();
        let changes = self.cluster.report_trouble(api, changes);
        let changes = changes.modify(|namespace| namespace.metadata.managed_fields = None).reflect(store);
        let mut changes = std::pin::pin!(changes);
        let mut all_listed = false;
        while let Some(change) = changes.next().await {
            match change {
                Ok(watcher::Event::Apply(namespace) | watcher::Event::Delete(namespace)) => {
                    self.index.namespace_changed(&namespace.name_any());
                }
                Ok(watcher::Event::InitDone) => {
                    self.index.grants_listed(Watch::Namespaces);
                    all_listed = true;
                }
                // Trouble with the watch has been reported.
                Ok(_) | Err(_) => continue,
            }
            if all_listed {
                self.report_absent();
            }
        }
    }

    /// Reports which of the named namespaces don't exist: nothing is done there, although somebody wants it.
    fn report_absent(&self) {
        let is_absent = |name: &&String| self.index.objects.namespace(name).is_none();
        let absent: Vec<_> = self.names.iter().filter(is_absent).map(String::as_str).collect();
        let (which, them) =
            if absent.len() == 1 { ("a namespace that doesn't", "it") } else { ("namespaces that don't", "them") };
        let problem = format!(
            "--watch-namespace names {which} exist, {}: create {them}, or take {them} out of the flag",
            absent.join(", ")
        );
        let readiness = &self.cluster.readiness;
        if absent.is_empty() {
            readiness.set(NAMESPACES, Ok(()));
        } else if !readiness.fails_for(&problem) {
            warn!("{problem}; until this is done /readyz fails");
            readiness.set(NAMESPACES, Err(problem));
        }
    }
}

pub(crate) async fn watch_workloads(cluster: Cluster, namespace: Option<String>, index: Arc<ClusterIndex>) {
    let namespace = namespace.as_deref();
    tokio::join!(watch_kind::<Job>(&cluster, namespace, &index), watch_kind::<Pod>(&cluster, namespace, &index));
}

async fn watch_kind<K: WorkloadObject>(cluster: &Cluster, namespace: Option<&str>, index: &ClusterIndex) {
    let api: Api<K> = cluster.api(namespace);
    let changes = cluster.report_trouble(api.clone(), watcher(api, cluster.watch_config()).default_backoff());
    let mut changes = std::pin::pin!(changes);
    while let Some(change) = changes.next().await {
        let (workload, is_there) = match change {
            Ok(watcher::Event::Apply(workload) | watcher::Event::InitApply(workload)) => (workload, true),
            Ok(watcher::Event::Delete(workload)) => (workload, false),
            Ok(watcher::Event::InitDone) => {
                index.workloads_listed(K::KIND, namespace);
                continue;
            }
            // Trouble with the watch has been reported.
            Ok(watcher::Event::Init) | Err(_) => continue,
        };
        let state = if is_there { workload.state() } else { WorkloadState::Absent };
        let namespace = workload.namespace().unwrap_or_default();
        index.workload_changed(&namespace, Workload { kind: K::KIND, name: workload.name_any() }, state);
    }
}
