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

use super::reason::Reason;
use super::session::{AthenaSession, AthenaSessionSpec, AthenaSessionStatus, Workload};
use super::{PAUSED, RESTORED, START_RESTORED};

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
}

impl Packed {
    /// The object.
    ///
    /// # Errors
    /// Why it can't be read.
    pub fn open(&self) -> Result<AthenaSession, String> {
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

#[derive(Deserialize)]
struct Rest {
    spec: AthenaSessionSpec,
    status: Option<AthenaSessionStatus>,
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::read(deserializer)?;
        let text = |value: &Value| value.as_str().map(Box::from);
        let starts = raw.spec["start"].is_object();
        Ok(Self {
            session_id: text(&raw.spec["sessionId"]).or_else(|| text(&raw.status["sessionId"]).filter(|_| starts)),
            place: starts.then(|| StartPlace::of(&raw.status)),
            reference: text(&raw.spec["workGroupRef"]["name"]),
            end_with: Deserialize::deserialize(&raw.spec["endWith"]).unwrap_or_default(),
            rest: json!({"spec": raw.spec, "status": raw.status}).to_string().into(),
            metadata: raw.metadata.try_into().map_err(D::Error::custom)?,
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
    finalizers: Option<Vec<String>>,
    annotations: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
    #[serde(skip)]
    tracked_by: Option<&'static str>,
    #[serde(skip)]
    restored_by: Option<String>,
}

/// The label by which an object that was read says who tracks it. Of its real labels only [`RESTORED`] is kept.
pub const TRACKED_BY: &str = "athena-operator.dev/tracked-by";

impl Metadata {
    /// By their usual marks. What a hook of theirs created they don't create anew by themselves.
    fn tracker(&self) -> Option<&'static str> {
        let marks = || [&self.annotations, &self.labels].into_iter().flatten();
        let has = |name: &str| marks().any(|marks| marks.contains_key(name));
        if has("helm.sh/hook") || has("argocd.argoproj.io/hook") {
            return None;
        }
        let is_managed_by =
            |name: &str| marks().any(|marks| marks.get("app.kubernetes.io/managed-by").is_some_and(|by| by == name));
        if has("argocd.argoproj.io/tracking-id") || has("argocd.argoproj.io/instance") {
            Some("Argo CD")
        } else if has("kustomize.toolkit.fluxcd.io/name") || has("helm.toolkit.fluxcd.io/name") {
            Some("Flux")
        } else if has("meta.helm.sh/release-name") || is_managed_by("Helm") {
            Some("Helm")
        } else if has("app.kubernetes.io/instance") {
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
            finalizers: read.finalizers,
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
        if raw.spec["start"].is_object() {
            raw.metadata.restored_by = raw.metadata.labels.as_ref().and_then(|labels| labels.get(RESTORED).cloned());
        }
        Ok(raw)
    }

    fn rest<K: Resource<DynamicType = ()>>(&self) -> Value {
        json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {}, "spec": self.spec, "status": self.status,
        })
    }
}

impl<'de, K> Deserialize<'de> for Slim<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::read(deserializer)?;
        let rest = raw.rest::<K>();
        let metadata = raw.metadata.try_into().map_err(D::Error::custom)?;
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
