//! Objects as they are read: without what nothing depends on, and readable whatever is in them.
//!
//! kube's `DeserializeGuard` does the second, and for that copies each object twice, with all of its
//! managedFields; of ten thousand objects, each read again at each change, that is most of the work.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::session::{AthenaSession, AthenaSessionSpec, AthenaSessionStatus, Workload};
use super::{PAUSED, RESTORED, START_RESTORED};
use crate::status::reason::Reason;

/// An AthenaSession, packed: of ten thousand in memory each is half as large as it is when it can be looked into.
#[derive(Clone, Debug)]
pub struct Packed {
    metadata: ObjectMeta,
    session_id: Option<Box<str>>,
    reference: Option<Box<str>>,
    place: Option<StartPlace>,
    end_with: Box<[Workload]>,
    /// Spec and status, as JSON.
    rest: Box<str>,
    is_partial: bool,
}

impl Packed {
    /// The object.
    ///
    /// # Errors
    /// Why it can't be read.
    pub fn open(&self) -> Result<AthenaSession, String> {
        if self.is_partial { Err(TOO_LARGE.to_owned()) } else { self.outline() }
    }

    /// Whether a part of it is too large to be kept: `spec.start`, the status or the finalizers.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// The object; where a part of it is too large to be kept, without that part. It serves to tell what the object claims, and
    /// nothing is ever done for the object by it.
    ///
    /// # Errors
    /// Why it can't be read.
    pub fn outline(&self) -> Result<AthenaSession, String> {
        let Rest { spec, status } = serde_json::from_str(&self.rest).map_err(|error| error.to_string())?;
        Ok(AthenaSession { metadata: self.metadata.clone(), spec, status })
    }

    /// The id of its session: the one that it names, or that is recorded of one that it started.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// Whether it says which session it is about: one that it names, or starts.
    #[must_use]
    pub fn is_legible(&self) -> bool {
        self.session_id.is_some() || self.place.is_some() && self.reference.is_some()
    }

    /// How it counts among the sessions of its namespace; None where it starts none.
    #[must_use]
    pub fn start_place(&self) -> Option<StartPlace> {
        self.place
    }

    /// The workloads that it follows.
    #[must_use]
    pub fn end_with(&self) -> &[Workload] {
        &self.end_with
    }

    /// The name of the AthenaWorkGroup that it refers to, if it does.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }
}

/// How an object that starts a session counts among those of its namespace, by its status alone, which may be forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartPlace {
    /// No call is recorded that could have started it.
    Waits,
    /// It may have a session.
    Counts,
    /// Its session has ended, or none can be started for it, or its workloads are suspended or have finished.
    Free,
}

impl StartPlace {
    fn of(status: &Value) -> Self {
        let conditions = status["conditions"].as_array();
        let is_true =
            |name: &str| conditions.into_iter().flatten().any(|it| it["type"] == name && it["status"] == "True");
        // While its workloads are suspended, or have finished, it starts nothing. So it leaves the place to others.
        let is_waiting =
            |it: &Value| it["type"] == "Reconciling" && it["reason"] == Reason::WaitingForWorkload.as_str();
        let waits_for_workload = || conditions.into_iter().flatten().any(is_waiting);
        // `ReadOnly` is a forecast: without --read-only this object would start its session, and need its place.
        let is_forecast = |it: &Value| it["reason"] == Reason::ReadOnly.as_str();
        let is_read_only = || conditions.into_iter().flatten().any(is_forecast);
        match &status["startAttempt"]["outcome"] {
            _ if is_true("Terminated") => Self::Free,
            Value::String(outcome) if outcome != "Refused" => Self::Counts,
            _ if is_true("Stalled") && !is_read_only() || waits_for_workload() => Self::Free,
            _ => Self::Waits,
        }
    }
}

/// Why an object can't be looked into.
const TOO_LARGE: &str = "spec.start, the status or the finalizers are too large to be kept in memory";

#[derive(Deserialize)]
struct Rest {
    spec: AthenaSessionSpec,
    status: Option<AthenaSessionStatus>,
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut raw = Raw::read(deserializer)?;
        let text = |value: &Value| value.as_str().map(Box::from);
        let (is_partial, starts) = (raw.is_partial(), raw.starts());
        // What isn't known of the status may be that it has a session.
        let place = if is_omitted(&raw.status) { StartPlace::Counts } else { StartPlace::of(&raw.status) };
        if is_omitted(&raw.spec["start"]) {
            raw.spec["start"] = json!({});
        }
        if is_omitted(&raw.status) {
            raw.status = Value::Null;
        }
        Ok(Self {
            session_id: text(&raw.spec["sessionId"]).or_else(|| text(&raw.status["sessionId"]).filter(|_| starts)),
            place: starts.then_some(place),
            reference: text(&raw.spec["workGroupRef"]["name"]),
            end_with: Deserialize::deserialize(&raw.spec["endWith"]).unwrap_or_default(),
            rest: json!({"spec": raw.spec, "status": raw.status}).to_string().into(),
            metadata: raw.metadata.try_into().map_err(D::Error::custom)?,
            is_partial,
        })
    }
}

impl Resource for Packed {
    type DynamicType = ();
    type Scope = <AthenaSession as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        AthenaSession::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        AthenaSession::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        AthenaSession::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        AthenaSession::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// An object, or why it can't be read.
#[derive(Clone, Debug)]
pub struct Slim<K>(pub Result<K, Unreadable>);

/// What is known of an object that can't be read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Why.
    pub problem: String,
    /// Its metadata.
    pub metadata: ObjectMeta,
}

/// What of the metadata anything depends on.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    /// None stands for those that were too many to be kept.
    finalizers: Option<Vec<Option<String>>>,
    annotations: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
    #[serde(skip)]
    tracked_by: Option<&'static str>,
    #[serde(skip)]
    restored_by: Option<String>,
}

const HELM_HOOK: &str = "helm.sh/hook";
const HELM_RELEASE: &str = "meta.helm.sh/release-name";
const ARGO_HOOK: &str = "argocd.argoproj.io/hook";
const ARGO_ID: &str = "argocd.argoproj.io/tracking-id";
const ARGO_INSTANCE: &str = "argocd.argoproj.io/instance";
const FLUX_KUSTOMIZATION: &str = "kustomize.toolkit.fluxcd.io/name";
const FLUX_HELM: &str = "helm.toolkit.fluxcd.io/name";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const INSTANCE: &str = "app.kubernetes.io/instance";

/// The labels and annotations that say who tracks an object.
pub const MARKS: [&str; 9] =
    [HELM_HOOK, HELM_RELEASE, ARGO_HOOK, ARGO_ID, ARGO_INSTANCE, FLUX_KUSTOMIZATION, FLUX_HELM, MANAGED_BY, INSTANCE];

/// What stands in the place of a value that is too large to be kept (`bodies::rules`). Neither `spec.start` nor `status` can be
/// a number by themselves, so whatever reads this by mistake fails.
pub const OMITTED: &str = "0";

fn is_omitted(value: &Value) -> bool {
    *value == 0
}

/// The label by which an object that was read says who tracks it. Of its real labels only [`RESTORED`] is kept.
pub const TRACKED_BY: &str = "athena-operator.dev/tracked-by";

impl Metadata {
    /// By their usual marks. What a hook of theirs created they don't create anew by themselves.
    fn tracker(&self) -> Option<&'static str> {
        let marks = || [&self.annotations, &self.labels].into_iter().flatten();
        let has = |name: &str| marks().any(|marks| marks.contains_key(name));
        if has(HELM_HOOK) || has(ARGO_HOOK) {
            return None;
        }
        let is_managed_by = |name: &str| marks().any(|marks| marks.get(MANAGED_BY).is_some_and(|by| by == name));
        if has(ARGO_ID) || has(ARGO_INSTANCE) {
            Some("Argo CD")
        } else if has(FLUX_KUSTOMIZATION) || has(FLUX_HELM) {
            Some("Flux")
        } else if has(HELM_RELEASE) || is_managed_by("Helm") {
            Some("Helm")
        } else if has(INSTANCE) {
            // Argo CD's own mark up to version 2; others use it too.
            Some("Argo CD, or another that sets the label app.kubernetes.io/instance,")
        } else {
            None
        }
    }
}

impl TryFrom<Metadata> for ObjectMeta {
    type Error = &'static str;

    fn try_from(read: Metadata) -> Result<Self, Self::Error> {
        if read.name.is_none() {
            return Err("an object without a name");
        }
        let tracked_by = read.tracked_by.map(|tracker| (TRACKED_BY.to_owned(), tracker.to_owned()));
        let restored_by = read.restored_by.map(|restore| (RESTORED.to_owned(), restore));
        let labels: BTreeMap<_, _> = tracked_by.into_iter().chain(restored_by).collect();
        let mut annotations = read.annotations.unwrap_or_default();
        annotations.retain(|name, _| name == PAUSED || name == START_RESTORED);
        Ok(Self {
            name: read.name,
            namespace: read.namespace,
            uid: read.uid,
            resource_version: read.resource_version,
            generation: read.generation,
            creation_timestamp: read.creation_timestamp,
            deletion_timestamp: read.deletion_timestamp,
            finalizers: read.finalizers.map(|finalizers| finalizers.into_iter().flatten().collect()),
            annotations: (!annotations.is_empty()).then_some(annotations),
            labels: (!labels.is_empty()).then_some(labels),
            ..Self::default()
        })
    }
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

impl Raw {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut raw = Self::deserialize(deserializer)?;
        // Who tracks the object matters where it would be deleted; of thousands of others it would be much to keep.
        if !raw.spec["ttlAfterEnded"].is_null() {
            raw.metadata.tracked_by = raw.metadata.tracker();
        }
        // The label is kept only where it counts: a restored object with `start` must not start a session by itself.
        if raw.starts() {
            raw.metadata.restored_by = raw.metadata.labels.as_ref().and_then(|labels| labels.get(RESTORED).cloned());
        }
        Ok(raw)
    }

    fn starts(&self) -> bool {
        self.spec["start"].is_object() || is_omitted(&self.spec["start"])
    }

    /// Whether a part was too large to be kept.
    fn is_partial(&self) -> bool {
        let lacks_finalizers = self.metadata.finalizers.iter().flatten().any(Option::is_none);
        lacks_finalizers || is_omitted(&self.spec["start"]) || is_omitted(&self.status)
    }

    /// Takes the object but for its metadata.
    fn take_rest<K: Resource<DynamicType = ()>>(&mut self) -> Value {
        let (spec, status) = (self.spec.take(), self.status.take());
        json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {}, "spec": spec, "status": status})
    }
}

impl<'de, K> Deserialize<'de> for Slim<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut raw = Raw::read(deserializer)?;
        let (is_partial, rest) = (raw.is_partial(), raw.take_rest::<K>());
        let metadata = raw.metadata.try_into().map_err(D::Error::custom)?;
        if is_partial {
            return Ok(Self(Err(Unreadable { problem: TOO_LARGE.to_owned(), metadata })));
        }
        Ok(Self(match K::deserialize(rest) {
            Ok(mut object) => {
                *object.meta_mut() = metadata;
                Ok(object)
            }
            Err(error) => Err(Unreadable { problem: error.to_string(), metadata }),
        }))
    }
}

impl<K: Serialize> Serialize for Slim<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(object) => object.serialize(serializer),
            Err(unreadable) => Err(S::Error::custom(&unreadable.problem)),
        }
    }
}

impl<K: Resource> Resource for Slim<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| &unreadable.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| &mut unreadable.metadata, K::meta_mut)
    }
}
