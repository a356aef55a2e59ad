//! Steps that concern other objects of Kubernetes than the AthenaSession itself. What goes wrong with them is a value,
//! never an error of the pass: none of them holds up an end.

use std::collections::BTreeMap;
use std::time::Instant;

use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use tracing::{info, warn};

use super::{Shell, now};
use crate::api::cached::Trimmed;
use crate::api::session::AthenaSession;
use crate::api::workload::{Workload, WorkloadKind, WorkloadObject, WorkloadState};
use crate::api::{EXCLUDED_FROM_BACKUP, PUBLISHED_FOR};
use crate::events::REPORTER;
use crate::index::objects::key;
use crate::kubernetes::within;
use crate::session::observed::Observed;
use crate::session::observed::config_map::Found;
use crate::session::plan::Step;
use crate::status::event::Notice;

/// The label that says who manages an object.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Why a request has come to nothing.
enum Problem {
    /// There is no such object.
    Gone,
    /// What we went by is old.
    Conflict,
    /// The API server refuses, in these words.
    Refused(String),
    /// It doesn't answer, or not as it should.
    Failed(String),
}

impl Problem {
    /// The API server's words where it refuses, and what to log.
    fn told(self) -> (Option<String>, String) {
        match self {
            Self::Refused(why) => (Some(why.clone()), why),
            Self::Failed(why) => (None, why),
            Self::Gone | Self::Conflict => (None, "it has changed".to_owned()),
        }
    }
}

impl Shell {
    /// Takes such a step.
    pub(super) async fn run_errand(&self, object: &AthenaSession, observed: &mut Observed, step: Step) {
        match step {
            Step::GetConfigMap | Step::WriteConfigMap { .. } | Step::DeleteConfigMap { .. } => {
                self.see_to_config_map(object, observed, step).await;
            }
            Step::GetWorkloads => self.look_at_workloads(object, observed).await,
            Step::DeleteObject => self.expire(object, observed).await,
            _ => {}
        }
    }

    /// Deletes the object as it was decided on; what the deletion of an AthenaSession means follows from the watch.
    async fn expire(&self, object: &AthenaSession, observed: &mut Observed) {
        let api: Api<Trimmed<AthenaSession>> =
            Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let preconditions = Preconditions { uid: object.uid(), resource_version: object.resource_version() };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let (namespace, name) = key(object);
        match self.ask(api.delete(&name, &params)).await {
            Ok(_) | Err(Problem::Gone) => {
                info!(namespace, name, "deleted, since spec.ttlAfterEnded is over");
                let note = "The session ended long enough ago (spec.ttlAfterEnded): the object is deleted".to_owned();
                self.events.tell(object.object_ref(&()), Notice::normal("Expired", note));
                observed.ttl.asked(now(), &self.timing);
            }
            Err(problem) => {
                let (refusal, why) = problem.told();
                warn!(namespace, name, problem = why, "the object can't be deleted, whose spec.ttlAfterEnded is over");
                observed.ttl.failed(refusal, now(), &self.timing, fastrand::f64());
            }
        }
    }

    /// All at once: each is to be known as of the same moment.
    async fn look_at_workloads(&self, object: &AthenaSession, observed: &mut Observed) {
        let sent = Instant::now();
        let workloads = &object.spec.end_with;
        let answers = join_all(workloads.iter().map(|workload| self.read_workload(object, workload))).await;
        let mut problem = None;
        for (workload, answer) in workloads.iter().zip(answers) {
            match answer {
                Ok(state) => observed.workloads.read(workload, state, sent, now()),
                Err(error) => problem = Some((workload, error)),
            }
        }
        let Some((workload, problem)) = problem else { return observed.workloads.all_read() };
        let (namespace, session) = key(object);
        let (refusal, why) = problem.told();
        let (kind, name) = (workload.kind.as_str(), workload.name.as_str());
        warn!(
            namespace,
            name = session,
            kind,
            workload = name,
            problem = why,
            "a workload of spec.endWith can't be read"
        );
        observed.workloads.failed(refusal, now(), &self.timing, fastrand::f64());
    }

    async fn read_workload(&self, object: &AthenaSession, workload: &Workload) -> Result<WorkloadState, Problem> {
        let namespace = object.namespace().unwrap_or_default();
        let (client, name) = (self.client.clone(), workload.name.as_str());
        let read = match workload.kind {
            WorkloadKind::Job => {
                let api: Api<WorkloadObject<Job>> = Api::namespaced(client, &namespace);
                self.ask(api.get(name)).await.map(|read| read.state(WorkloadKind::Job))
            }
            WorkloadKind::Pod => {
                let api: Api<WorkloadObject<Pod>> = Api::namespaced(client, &namespace);
                self.ask(api.get(name)).await.map(|read| read.state(WorkloadKind::Pod))
            }
        };
        match read {
            Err(Problem::Gone) => Ok(WorkloadState::Absent),
            read => read,
        }
    }

    async fn ask<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Problem> {
        within(self.deadline, request).await.map_err(|failure| match (failure.code(), failure.words()) {
            // Something on the way may say 404 for a moment: that is no word of the object.
            (Some(404), _) if failure.is_not_found() => Problem::Gone,
            (Some(404), words) => Problem::Failed(words),
            (Some(409), _) => Problem::Conflict,
            (None | Some(429 | 500..), words) => Problem::Failed(words),
            (Some(_), words) => Problem::Refused(words),
        })
    }

    // The ConfigMap of spec.publishTo.

    async fn see_to_config_map(&self, object: &AthenaSession, observed: &mut Observed, step: Step) {
        let Some(publish_to) = &object.spec.publish_to else { return };
        let name = publish_to.config_map_name.as_str();
        let api = Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let request = step.config_map_request();
        let answer = match step {
            Step::WriteConfigMap { data } => {
                let is_absent = observed.publication.found == Found::Absent;
                match self.publish(&api, name, object, data.clone(), is_absent).await {
                    Ok(found) => return observed.publication.written(data, found, now()),
                    failed => failed,
                }
            }
            Step::DeleteConfigMap { uid, resource_version } => self.unpublish(&api, name, uid, resource_version).await,
            _ => self.ask(api.get(name)).await.map(|read| found(&read, object)),
        };
        let problem = match answer {
            Ok(found) => return observed.publication.answered(request, found, now()),
            Err(Problem::Gone) => return observed.publication.answered(request, Found::Absent, now()),
            Err(Problem::Conflict) => {
                return observed.publication.changed(request, now(), &self.timing, fastrand::f64());
            }
            Err(problem) => problem,
        };
        let (refusal, why) = problem.told();
        let (namespace, session) = key(object);
        warn!(
            namespace,
            name = session,
            config_map = name,
            problem = why,
            "the ConfigMap of spec.publishTo can't be read or written"
        );
        observed.publication.failed(request, refusal, now(), &self.timing, fastrand::f64());
    }

    /// Never over one that isn't the object's: one that is there isn't created, and only what was just read to be the
    /// object's is changed. What others have added beside the data stays. One that lost its owner gets it again.
    async fn publish(
        &self,
        api: &Api<ConfigMap>,
        config_map: &str,
        object: &AthenaSession,
        data: BTreeMap<String, String>,
        is_absent: bool,
    ) -> Result<Found, Problem> {
        let params = PostParams::default();
        if is_absent {
            let written = self.ask(api.create(&params, &new_config_map(config_map, object, data))).await?;
            self.tell_published(object, config_map);
            return Ok(found(&written, object));
        }
        let read = self.ask(api.get(config_map)).await?;
        if !is_ours(&read, object) {
            return Ok(Found::Foreign);
        }
        let is_news = read.data.as_ref() != Some(&data);
        let mut changed = ConfigMap { data: Some(data), binary_data: None, ..read };
        mark(&mut changed.metadata, object);
        let written = self.ask(api.replace(config_map, &params, &changed)).await?;
        if is_news {
            self.tell_published(object, config_map);
        }
        Ok(found(&written, object))
    }

    fn tell_published(&self, object: &AthenaSession, config_map: &str) {
        let (namespace, name) = key(object);
        info!(namespace, name, config_map, "the session is published");
        let note = format!("The session's id is in ConfigMap {config_map} now (spec.publishTo)");
        self.events.tell(object.object_ref(&()), Notice::normal("Published", note));
    }

    async fn unpublish(
        &self,
        api: &Api<ConfigMap>,
        name: &str,
        uid: String,
        resource_version: String,
    ) -> Result<Found, Problem> {
        let preconditions = Preconditions { uid: Some(uid), resource_version: Some(resource_version) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        self.ask(api.delete(name, &params)).await.map(|_| Found::Absent)
    }
}

fn new_config_map(name: &str, object: &AthenaSession, data: BTreeMap<String, String>) -> ConfigMap {
    let mut metadata =
        ObjectMeta { name: Some(name.to_owned()), namespace: object.namespace(), ..ObjectMeta::default() };
    mark(&mut metadata, object);
    ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }
}

/// Marks a ConfigMap as this object's, by labels, annotation and owner. A label keeps the ConfigMap out of Velero's backups:
/// a restored one would lead workloads to a session that has ended.
fn mark(metadata: &mut ObjectMeta, object: &AthenaSession) {
    let labels = [(MANAGED_BY, REPORTER), (EXCLUDED_FROM_BACKUP, "true")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    metadata.labels.get_or_insert_default().extend(labels);
    metadata.annotations.get_or_insert_default().insert(PUBLISHED_FOR.to_owned(), object.name_any());
    if !is_owned(metadata, object) {
        metadata.owner_references.get_or_insert_default().push(OwnerReference {
            controller: Some(true),
            block_owner_deletion: None,
            api_version: AthenaSession::api_version(&()).into_owned(),
            kind: AthenaSession::kind(&()).into_owned(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
        });
    }
}

fn is_owned(metadata: &ObjectMeta, object: &AthenaSession) -> bool {
    let owners = metadata.owner_references.iter().flatten();
    owners.into_iter().any(|owner| Some(&owner.uid) == object.metadata.uid.as_ref())
}

/// Whether the object may write and remove this ConfigMap, which has the name that `spec.publishTo` gives. It may if it owns
/// the ConfigMap; or if nothing does, and the operator wrote the ConfigMap for an object of this name. The owner is lost by
/// `--cascade=orphan`, and when an object is restored from a backup. Whoever could forge the marks of the second case can
/// write and remove the ConfigMap anyway, and gains nothing.
fn is_ours(config_map: &ConfigMap, object: &AthenaSession) -> bool {
    let is_unowned = config_map.owner_references().is_empty();
    let is_written_by_us = config_map.labels().get(MANAGED_BY).is_some_and(|by| by == REPORTER);
    let is_for_it = config_map.annotations().get(PUBLISHED_FOR).is_some_and(|name| *name == object.name_any());
    is_owned(&config_map.metadata, object) || is_unowned && is_written_by_us && is_for_it
}

fn is_marked(config_map: &ConfigMap, object: &AthenaSession) -> bool {
    let mut marked = config_map.metadata.clone();
    mark(&mut marked, object);
    marked == config_map.metadata
}

fn found(config_map: &ConfigMap, object: &AthenaSession) -> Found {
    if !is_ours(config_map, object) {
        return Found::Foreign;
    }
    Found::Ours {
        uid: config_map.uid().unwrap_or_default(),
        resource_version: config_map.resource_version().unwrap_or_default(),
        data: config_map.data.clone().unwrap_or_default(),
        is_marked: is_marked(config_map, object),
    }
}
