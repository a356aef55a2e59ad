//! Reads the Jobs and Pods of `spec.endWith`.

use std::time::Instant;

use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tracing::warn;

use super::dependencies::Dependencies;
use super::observe::now;
use super::request::{Problem, ask};
use crate::api::session::AthenaSession;
use crate::api::workload::{Workload, WorkloadKind, WorkloadObject, WorkloadState};
use crate::index::objects::key;
use crate::session::observed::workloads::Workloads;

pub(super) struct WorkloadRequests {
    pub(super) needs: Dependencies,
}

impl WorkloadRequests {
    /// Reads all workloads of the object at once, so that each is known as of the same moment.
    pub(super) async fn read_all(&self, object: &AthenaSession, known: &mut Workloads) {
        let sent = Instant::now();
        let (namespace, session) = key(object);
        let workloads = &object.spec.end_with;
        let answers = join_all(workloads.iter().map(|workload| self.read(&namespace, workload))).await;
        let mut failed = None;
        for (workload, answer) in workloads.iter().zip(answers) {
            match answer {
                Ok(state) => known.read(workload, state, sent, now()),
                Err(problem) => failed = Some((workload, problem)),
            }
        }
        let Some((Workload { kind, name: workload }, problem)) = failed else { return known.all_read() };
        let kind = kind.as_str();
        warn!(namespace, name = session, kind, workload, %problem, "a workload of spec.endWith can't be read");
        known.failed(problem.into_refusal(), now(), &self.needs.timing, fastrand::f64());
    }

    async fn read(&self, namespace: &str, Workload { kind, name }: &Workload) -> Result<WorkloadState, Problem> {
        match kind {
            WorkloadKind::Job => self.read_object::<Job>(namespace, name).await,
            WorkloadKind::Pod => self.read_object::<Pod>(namespace, name).await,
        }
    }

    async fn read_object<K: WorkloadObject>(&self, namespace: &str, name: &str) -> Result<WorkloadState, Problem> {
        let api: Api<K> = Api::namespaced(self.needs.client.clone(), namespace);
        match ask(self.needs.deadline, api.get(name)).await {
            Err(Problem::Gone) => Ok(WorkloadState::Absent),
            answer => answer.map(|workload| workload.state()),
        }
    }
}
