//! What StartSession is asked for on behalf of an object, and whether its AthenaWorkGroup allows that. PURE.

use std::collections::BTreeMap;

use kube::ResourceExt;
use uuid::Uuid;

use super::facts::Facts;
use super::limits::{Bound, Counted, positive};
use crate::api::session::StartAttempt;
use crate::api::start::{EngineConfiguration, Monitoring, OWN_TAGS, SessionStart, StartBounds};
use crate::athena::engine::Engine;
use crate::athena::marker::Marker;
use crate::athena::types::StartRequest;

/// The minutes after which Athena ends an idle session, where StartSession doesn't say.
const DEFAULT_IDLE_TIMEOUT: i32 = 20;

/// Why an AthenaWorkGroup doesn't allow this start, as the second half of a sentence; None where it allows the start.
pub fn breach(start: &SessionStart, bounds: Option<&StartBounds>) -> Option<String> {
    let Some(bounds) = bounds else {
        return Some("its spec.start isn't set, so no session may be started".to_owned());
    };
    let role = start.execution_role.as_ref().filter(|role| !bounds.execution_roles.contains(role));
    if let Some(role) = role {
        return Some(format!("executionRole {role} isn't among its spec.start.executionRoles"));
    }
    let dpus = start.engine_configuration.as_ref().and_then(|engine| engine.max_concurrent_dpus);
    if let Some((asked, most)) = dpus.zip(bounds.max_concurrent_dpus).filter(|(asked, most)| asked > most) {
        return Some(format!("maxConcurrentDpus is {asked}, and its spec.start.maxConcurrentDpus is {most}"));
    }
    if start.monitoring_configuration.is_some() && bounds.monitoring != Some(Monitoring::Allowed) {
        return Some("its spec.start.monitoring forbids monitoringConfiguration".to_owned());
    }
    let mut keys = start.tags.iter().flatten().map(|(key, _)| key);
    let key = keys.find(|key| !bounds.tag_keys.contains(key))?;
    Some(format!("the tag {key} isn't among its spec.start.tagKeys"))
}

/// The parameters of StartSession. They depend only on the object, its recorded attempt, its AthenaWorkGroup and the cluster:
/// a repeated call has the same parameters, whatever the operator has learned of the engine since.
pub fn request(facts: &Facts<'_>, attempt: &StartAttempt) -> Option<StartRequest> {
    let start = facts.object.spec.start.as_ref()?;
    let engine = attempt.engine_version.as_deref().map(Engine::from);
    let bounds = facts.access.start.as_ref()?.bounds.as_deref()?;
    let marker = Marker {
        cluster: facts.cluster.to_owned(),
        namespace: facts.object.namespace().unwrap_or_default(),
        name: facts.object.name_any(),
        uid: facts.object.uid().unwrap_or_default(),
    };
    Some(StartRequest {
        work_group: facts.access.work_group.clone()?,
        token: token(&marker),
        description: marker.describe(start.description.as_deref()),
        engine: configuration(start, bounds, engine.as_ref()),
        notebook_version: start.notebook_version.clone(),
        execution_role: start.execution_role.clone(),
        monitoring: start.monitoring_configuration.clone(),
        tags: tags(start, &marker),
        copy_work_group_tags: start.copy_work_group_tags,
        idle_timeout_minutes: idle_timeout(facts),
    })
}

/// Athena's idle timeout, by the limit that is smaller, the object's own or its AthenaWorkGroup's. Rounded up to whole minutes, so
/// that it never comes before the operator ends the session, and within Athena's bounds. None: Athena's default. A limit of the
/// AthenaWorkGroup that is longer than the default doesn't replace it: no limit lets a session live longer.
fn idle_timeout(facts: &Facts<'_>) -> Option<i32> {
    let bound = Bound::smaller(facts, Counted::IdleTime)?;
    let has_own = facts.object.spec.max_idle.and_then(positive).is_some();
    let minutes = bound.long.as_millis().div_ceil(60_000).clamp(1, 480);
    let minutes = i32::try_from(minutes).unwrap_or(480);
    (has_own || minutes < DEFAULT_IDLE_TIMEOUT).then_some(minutes)
}

/// The ClientRequestToken: always the same for one object of one cluster, and different for each other object. It is a
/// UUID, since Athena's own clients send one.
fn token(marker: &Marker) -> String {
    let cluster = Uuid::new_v5(&Uuid::NAMESPACE_OID, marker.cluster.as_bytes());
    Uuid::new_v5(&cluster, marker.uid.as_bytes()).to_string()
}

fn tags(start: &SessionStart, marker: &Marker) -> BTreeMap<String, String> {
    let mut tags = start.tags.clone().unwrap_or_default();
    let own =
        [("cluster", &marker.cluster), ("namespace", &marker.namespace), ("name", &marker.name), ("uid", &marker.uid)];
    tags.extend(own.map(|(key, value)| (format!("{OWN_TAGS}{key}"), value.clone())));
    tags
}

/// The engine configuration: what the object asks for, and for the rest the defaults of the AthenaWorkGroup that the engine
/// takes.
fn configuration(start: &SessionStart, bounds: &StartBounds, engine: Option<&Engine>) -> EngineConfiguration {
    let asked = start.engine_configuration.clone().unwrap_or_default();
    let usual = bounds.engine_configuration.clone().unwrap_or_default();
    let usual = match engine {
        Some(engine) => engine.supported(usual),
        None => usual,
    };
    let most = bounds.max_concurrent_dpus;
    let usual_dpus = usual.max_concurrent_dpus.into_iter().chain(most).min();
    EngineConfiguration {
        coordinator_dpu_size: asked.coordinator_dpu_size.or(usual.coordinator_dpu_size),
        max_concurrent_dpus: asked.max_concurrent_dpus.or(usual_dpus),
        default_executor_dpu_size: asked.default_executor_dpu_size.or(usual.default_executor_dpu_size),
        additional_configs: asked.additional_configs.or(usual.additional_configs),
        spark_properties: asked.spark_properties.or(usual.spark_properties),
        classifications: asked.classifications.or(usual.classifications),
    }
}
