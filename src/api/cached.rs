//! Objects as the operator keeps them: without the parts that nothing depends on, and with a reason where an object can't be
//! read. kube's `DeserializeGuard` gives such a reason, too, but keeps each label and annotation.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::labels::{
    ARGO_HOOK, ARGO_ID, ARGO_INSTANCE, FLUX_HELM, FLUX_KUSTOMIZATION, HELM_HOOK, HELM_RELEASE, INSTANCE, MANAGED_BY,
    PAUSED, RESTORED, START_RESTORED,
};
use super::session::{AthenaSession, AthenaSessionSpec, AthenaSessionStatus};
use super::workload::Workload;
use crate::status::reason::Reason;

/// An AthenaSession in memory. Spec and status are kept as JSON, which takes half the memory of the parsed object.
#[derive(Clone, Debug, Resource)]
#[resource(inherit = "AthenaSession")]
pub struct CachedSession {
    metadata: ObjectMeta,
    session_id: Option<Box<str>>,
    reference: Option<Box<str>>,
    place: Option<StartPlace>,
    end_with: Box<[Workload]>,
    rest: Box<str>,
    is_partial: bool,
}

impl CachedSession {
    /// The object, or why it can't be read.
    pub fn open(&self) -> Result<AthenaSession, String> {
        if self.is_partial { Err(TOO_LARGE.to_owned()) } else { self.outline() }
    }

    /// Whether a part of the object is too large to be kept: `spec.start`, the status or the finalizers.
    pub fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// The object without the parts that are too large to be kept. The outline shows what the object claims. Nothing may be
    /// done for the object by the outline alone.
    pub fn outline(&self) -> Result<AthenaSession, String> {
        let Rest { spec, status } = serde_json::from_str(&self.rest).map_err(|error| error.to_string())?;
        Ok(AthenaSession { metadata: self.metadata.clone(), spec, status })
    }

    /// The id of the object's session: the one that the spec names, or the recorded one of the session that was started.
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// Whether the object says which session it is about: one that it names, or starts.
    pub fn is_legible(&self) -> bool {
        self.session_id.is_some() || self.place.is_some() && self.reference.is_some()
    }

    /// How the object counts among the sessions of its namespace; None where it starts none.
    pub fn start_place(&self) -> Option<StartPlace> {
        self.place
    }

    pub fn end_with(&self) -> &[Workload] {
        &self.end_with
    }

    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }
}

/// How an object that starts a session counts among the sessions of its namespace. Only the status says so, which may be
/// forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartPlace {
    /// No call is recorded that could have started it.
    Waits,
    Counts,
    /// Its session has ended, or none can be started for it, or its workloads are suspended or have finished.
    Free,
}

impl StartPlace {
    fn of(status: &Value) -> Self {
        let conditions = status["conditions"].as_array();
        let is_true =
            |name: &str| conditions.into_iter().flatten().any(|it| it["type"] == name && it["status"] == "True");
        // While its workloads are suspended, or have finished, the object starts no session, so other objects may use
        // the slot.
        let is_waiting =
            |it: &Value| it["type"] == "Reconciling" && it["reason"] == Reason::WaitingForWorkload.as_str();
        let waits_for_workload = || conditions.into_iter().flatten().any(is_waiting);
        // `ReadOnly` is a forecast: without --read-only this object would start its session, and need its slot.
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

const TOO_LARGE: &str = "spec.start, the status or the finalizers are too large to be kept in memory";

#[derive(Deserialize)]
struct Rest {
    spec: AthenaSessionSpec,
    status: Option<AthenaSessionStatus>,
}

impl<'de> Deserialize<'de> for CachedSession {
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
            session_id: text(&raw.spec["sessionId"])
                .or_else(|| if starts { text(&raw.status["sessionId"]) } else { None }),
            place: starts.then_some(place),
            reference: text(&raw.spec["workGroupRef"]["name"]),
            end_with: Deserialize::deserialize(&raw.spec["endWith"]).unwrap_or_default(),
            rest: json!({"spec": raw.spec, "status": raw.status}).to_string().into(),
            metadata: raw.metadata,
            is_partial,
        })
    }
}

/// An object without the parts that nothing depends on, or why the object can't be read.
#[derive(Clone, Debug)]
pub(crate) struct Trimmed<K>(pub(crate) Result<K, Unreadable>);

#[derive(Clone, Debug)]
pub(crate) struct Unreadable {
    pub(crate) problem: String,
    pub(crate) metadata: ObjectMeta,
}

/// The labels and annotations by which a tracker, such as Helm, marks its objects.
pub(crate) const MARKS: [&str; 9] =
    [HELM_HOOK, HELM_RELEASE, ARGO_HOOK, ARGO_ID, ARGO_INSTANCE, FLUX_KUSTOMIZATION, FLUX_HELM, MANAGED_BY, INSTANCE];

/// The value in the place of one that is too large to be kept (`bodies::rules`). Neither `spec.start` nor `status` can be a
/// number by themselves, so code that reads this one by mistake fails.
pub(crate) const OMITTED: &str = "0";

fn is_omitted(value: &Value) -> bool {
    *value == 0
}

/// The label that names who tracks the object. The operator sets it on its copy. Of the real labels only [`RESTORED`] is kept.
pub const TRACKED_BY: &str = "athena-operator.dev/tracked-by";

/// Who would create the object anew if it were deleted, by the usual marks. An object that a hook has created isn't created
/// anew.
fn tracker(metadata: &ObjectMeta) -> Option<&'static str> {
    let marks = || [&metadata.annotations, &metadata.labels].into_iter().flatten();
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
        // Up to version 2 this is the mark of Argo CD. Others use the label too.
        Some("Argo CD, or another that sets the label app.kubernetes.io/instance,")
    } else {
        None
    }
}

/// An object whose answer was trimmed by `bodies::rules`.
#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

impl Raw {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut raw = Self::deserialize(deserializer)?;
        if raw.metadata.name.is_none() {
            return Err(D::Error::custom("an object without a name"));
        }
        // The tracker matters only where the object is to be deleted. For thousands of others it would take memory in vain.
        let tracker = if raw.spec["ttlAfterEnded"].is_null() { None } else { tracker(&raw.metadata) };
        let mut labels = raw.metadata.labels.take().unwrap_or_default();
        // The label is kept only where it matters: a restored object with `start` must not start a session by itself.
        labels.retain(|name, _| name == RESTORED && raw.starts());
        labels.extend(tracker.map(|tracker| (TRACKED_BY.to_owned(), tracker.to_owned())));
        let mut annotations = raw.metadata.annotations.take().unwrap_or_default();
        annotations.retain(|name, _| name == PAUSED || name == START_RESTORED);
        let unless_empty = |all: BTreeMap<_, _>| (!all.is_empty()).then_some(all);
        (raw.metadata.labels, raw.metadata.annotations) = (unless_empty(labels), unless_empty(annotations));
        raw.metadata.managed_fields = None;
        Ok(raw)
    }

    fn starts(&self) -> bool {
        self.spec["start"].is_object() || is_omitted(&self.spec["start"])
    }

    fn is_partial(&self) -> bool {
        let lacks_finalizers = self.metadata.finalizers.iter().flatten().any(String::is_empty);
        lacks_finalizers || is_omitted(&self.spec["start"]) || is_omitted(&self.status)
    }
}

impl<'de, K> Deserialize<'de> for Trimmed<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::read(deserializer)?;
        let is_partial = raw.is_partial();
        let Raw { metadata, spec, status } = raw;
        if is_partial {
            return Ok(Self(Err(Unreadable { problem: TOO_LARGE.to_owned(), metadata })));
        }
        Ok(Self(match K::deserialize(json!({"metadata": {}, "spec": spec, "status": status})) {
            Ok(mut object) => {
                *object.meta_mut() = metadata;
                Ok(object)
            }
            Err(error) => Err(Unreadable { problem: error.to_string(), metadata }),
        }))
    }
}

impl<K: Serialize> Serialize for Trimmed<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(object) => object.serialize(serializer),
            Err(unreadable) => Err(S::Error::custom(&unreadable.problem)),
        }
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Trimmed<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| &unreadable.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| &mut unreadable.metadata, K::meta_mut)
    }
}
