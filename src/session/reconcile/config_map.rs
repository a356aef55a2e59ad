//! Reads, writes and removes the ConfigMap of `spec.publishTo`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use tracing::{info, warn};

use super::dependencies::Dependencies;
use super::observe::now;
use super::request::{Problem, ask};
use crate::api::session::AthenaSession;
use crate::api::{EXCLUDED_FROM_BACKUP, MANAGED_BY, PUBLISHED_FOR};
use crate::events::REPORTER;
use crate::index::objects::key;
use crate::session::observed::config_map::{Found, ObservedConfigMap};
use crate::session::plan::Step;
use crate::status::event::Event;

pub(super) struct ConfigMapRequests {
    pub(super) needs: Dependencies,
}

impl ConfigMapRequests {
    pub(super) async fn make(&self, object: &AthenaSession, known: &mut ObservedConfigMap, step: Step) {
        let Some(publish_to) = &object.spec.publish_to else { return };
        let (namespace, session) = key(object);
        let config_map = publish_to.config_map_name.as_str();
        let api = Api::namespaced(self.needs.client.clone(), &namespace);
        let request = step.config_map_request();
        let answer = match step {
            Step::WriteConfigMap { data } => {
                let written = match known.found {
                    Found::Absent => self.create(&api, config_map, object, data.clone()).await,
                    _ => self.replace(&api, config_map, object, data.clone()).await,
                };
                match written {
                    Ok(found) => return known.written(data, found, now()),
                    Err(problem) => Err(problem),
                }
            }
            Step::DeleteConfigMap { uid, resource_version } => {
                let preconditions = Preconditions { uid: Some(uid), resource_version: Some(resource_version) };
                let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
                ask(self.needs.deadline, api.delete(config_map, &params)).await.map(|_| Found::Absent)
            }
            _ => ask(self.needs.deadline, api.get(config_map)).await.map(|read| found(&read, object)),
        };
        match answer {
            Ok(found) => known.answered(request, found, now()),
            Err(Problem::Gone) => known.answered(request, Found::Absent, now()),
            Err(Problem::Conflict) => known.changed(request, now(), &self.needs.timing, fastrand::f64()),
            Err(problem) => {
                let name = session;
                warn!(namespace, name, config_map, %problem, "the ConfigMap of spec.publishTo can't be read or written");
                known.failed(request, problem.into_refusal(), now(), &self.needs.timing, fastrand::f64());
            }
        }
    }

    /// Creates the ConfigMap. The API server refuses that where one of this name is there meanwhile, whoever owns it.
    async fn create(
        &self,
        api: &Api<ConfigMap>,
        name: &str,
        object: &AthenaSession,
        data: BTreeMap<String, String>,
    ) -> Result<Found, Problem> {
        let mut metadata =
            ObjectMeta { name: Some(name.to_owned()), namespace: object.namespace(), ..ObjectMeta::default() };
        mark(&mut metadata, object);
        let new = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
        let written = ask(self.needs.deadline, api.create(&PostParams::default(), &new)).await?;
        self.tell_published(object, name);
        Ok(found(&written, object))
    }

    /// Replaces the data of a ConfigMap that is the object's, as a read just before shows. Whatever others have added
    /// beside the data stays. A ConfigMap that has lost its owner gets the owner again.
    async fn replace(
        &self,
        api: &Api<ConfigMap>,
        name: &str,
        object: &AthenaSession,
        data: BTreeMap<String, String>,
    ) -> Result<Found, Problem> {
        let read = ask(self.needs.deadline, api.get(name)).await?;
        if !is_ours(&read, object) {
            return Ok(Found::Foreign);
        }
        let is_news = read.data.as_ref() != Some(&data);
        let mut changed = ConfigMap { data: Some(data), binary_data: None, ..read };
        mark(&mut changed.metadata, object);
        let written = ask(self.needs.deadline, api.replace(name, &PostParams::default(), &changed)).await?;
        if is_news {
            self.tell_published(object, name);
        }
        Ok(found(&written, object))
    }

    fn tell_published(&self, object: &AthenaSession, config_map: &str) {
        let (namespace, name) = key(object);
        info!(namespace, name, config_map, "the session is published");
        let note = format!("The session's id was written to ConfigMap {config_map} (spec.publishTo)");
        self.needs.events.tell(object.object_ref(&()), Event::normal("Published", note));
    }
}

/// Marks a ConfigMap as this object's, by labels, annotation and owner. A label keeps the ConfigMap out of Velero's
/// backups: a restored one would lead workloads to a session that has ended.
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
    metadata.owner_references.iter().flatten().any(|owner| Some(&owner.uid) == object.metadata.uid.as_ref())
}

/// Whether the object may write and remove this ConfigMap, which has the name that `spec.publishTo` gives. The object
/// may if it owns the ConfigMap; or if nothing does, and the operator wrote the ConfigMap for an object of this name.
/// The owner is lost by `--cascade=orphan`, and when an object is restored from a backup. Whoever could forge the marks
/// of the second case can write and remove the ConfigMap anyway, and gains nothing.
fn is_ours(config_map: &ConfigMap, object: &AthenaSession) -> bool {
    let is_unowned = config_map.owner_references().is_empty();
    let is_written_by_us = config_map.labels().get(MANAGED_BY).is_some_and(|by| by == REPORTER);
    let is_for_it = config_map.annotations().get(PUBLISHED_FOR).is_some_and(|name| *name == object.name_any());
    is_owned(&config_map.metadata, object) || is_unowned && is_written_by_us && is_for_it
}

fn found(config_map: &ConfigMap, object: &AthenaSession) -> Found {
    if !is_ours(config_map, object) {
        return Found::Foreign;
    }
    let mut marked = config_map.metadata.clone();
    mark(&mut marked, object);
    Found::Ours {
        uid: config_map.uid().unwrap_or_default(),
        resource_version: config_map.resource_version().unwrap_or_default(),
        data: config_map.data.clone().unwrap_or_default(),
        is_marked: marked == config_map.metadata,
    }
}
