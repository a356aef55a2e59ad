//! The index of all watches: it takes in their events, has the objects reconciled that an event concerns, and tells what an
//! AthenaSession may do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use parking_lot::Mutex;
use tokio::sync::RwLock;

use super::access::{Access, is_paused};
use super::claims::{Claim, Claims, fingerprint};
use super::objects::{Group, Objects, Session, Watch, key, reference};
use super::session_quota::{SessionQuotas, Usage};
use super::work_groups::WorkGroups;
use super::workloads::FollowedWorkloads;
use crate::api::is_held;
use crate::api::session::AthenaSession;
use crate::api::workload::{Workload, WorkloadKind, WorkloadState};
use crate::athena::marker::Marker;
use crate::athena::types::AwsTarget;

pub(crate) struct ClusterIndex {
    /// The cluster's id: the UID of the namespace kube-system.
    pub(crate) cluster: String,
    pub(crate) objects: Arc<Objects>,
    pub(crate) work_groups: WorkGroups,
    pub(crate) claims: Claims,
    quotas: SessionQuotas,
    workloads: FollowedWorkloads,
    /// A fingerprint of each AthenaWorkGroup, as far as AthenaSessions depend on it. The numbers in its status change often, and
    /// are no part of it.
    spec_hashes: Mutex<HashMap<String, u64>>,
    /// Held for reading while an object is adopted, and for writing while the finalizer of an AthenaWorkGroup is removed.
    pub(crate) adoptions: RwLock<()>,
}

impl ClusterIndex {
    pub(crate) fn new(cluster: String, objects: Arc<Objects>, work_groups: WorkGroups) -> Self {
        let (claims, quotas, workloads, spec_hashes, adoptions) = Default::default();
        Self { cluster, objects, work_groups, claims, quotas, workloads, spec_hashes, adoptions }
    }

    // Events.

    /// Takes in an event of a watch of AthenaSessions. `watch`: which one, by its position.
    pub(crate) fn session_event(&self, watch: usize, event: &Event<Session>) {
        match event {
            Event::Apply(object) | Event::InitApply(object) => self.session_applied(object),
            Event::Delete(object) => self.session_deleted(object),
            Event::Init => {}
            Event::InitDone => {
                self.claims.retain(|key| self.objects.session(key)?.session_id().map(str::to_owned));
                self.workloads.retain(|key| self.objects.session(key).is_some());
                self.quotas.retain(|key| self.objects.session(key)?.meta().uid.clone());
                self.objects.listed(Watch::Sessions(watch));
            }
        }
    }

    fn session_applied(&self, object: &Session) {
        self.workloads.follow(&key(object), object.end_with());
        if !is_held(object) {
            self.released(object);
        }
        let limit = self.work_groups.sessions_per_namespace(object.reference());
        self.objects.wake_all(&self.quotas.applied(object, limit));
        // The session may belong to another of its claimants now.
        self.objects.wake_all(&self.claims.applied(object));
    }

    fn session_deleted(&self, object: &Session) {
        self.workloads.follow(&key(object), &[]);
        self.released(object);
        let limit = self.work_groups.sessions_per_namespace(object.reference());
        self.objects.wake_all(&self.quotas.deleted(object, limit));
        self.objects.wake_all(&self.claims.deleted(object));
    }

    /// An AthenaWorkGroup that is being deleted may have waited only for this object.
    fn released(&self, object: &Session) {
        let Some(name) = object.reference() else { return };
        if self.objects.group(name).is_some_and(|group| group.meta().deletion_timestamp.is_some()) {
            self.objects.wake_group(name);
        }
    }

    /// Takes in that all AthenaWorkGroups, or all namespaces, have been listed anew. Any of them may have changed.
    pub(crate) fn grants_listed(&self, watch: Watch) {
        self.spec_hashes.lock().clear();
        self.objects.listed(watch);
        self.objects.wake_where(|object| object.reference().is_some());
    }

    pub(crate) fn group_applied(&self, group: &Group) {
        let (name, hash) = (group.name_any(), spec_hash(group));
        let before = self.spec_hashes.lock().insert(name.clone(), hash);
        if before != Some(hash) {
            self.wake_users(&name);
        }
    }

    pub(crate) fn group_deleted(&self, name: &str) {
        self.spec_hashes.lock().remove(name);
        self.wake_users(name);
    }

    fn wake_users(&self, group: &str) {
        self.objects.wake_where(|object| object.reference() == Some(group));
    }

    pub(crate) fn namespace_changed(&self, name: &str) {
        let is_inside = |object: &Session| object.meta().namespace.as_deref() == Some(name);
        self.objects.wake_where(|object| object.reference().is_some() && is_inside(object));
    }

    pub(crate) fn workload_changed(&self, namespace: &str, workload: Workload, state: WorkloadState) {
        self.objects.wake_all(&self.workloads.changed(namespace, workload, state));
    }

    pub(crate) fn workloads_listed(&self, kind: WorkloadKind, namespace: Option<&str>) {
        self.objects.wake_all(&self.workloads.listed(kind, namespace));
    }

    pub(crate) fn full_scan_completed(&self, target: &AwsTarget, work_group: &str) {
        self.work_groups.of_athena(target, work_group).iter().for_each(|group| self.objects.wake_group(group));
    }

    /// Takes in that the engine of a work group is known now, or has changed. A start may have waited for that.
    pub(crate) fn engine_learned(&self, target: &AwsTarget, work_group: &str) {
        for group in self.work_groups.of_athena(target, work_group) {
            self.objects.wake_group(&group);
            self.objects.wake_where(|object| {
                object.reference() == Some(&group) && object.start_place().is_some() && object.session_id().is_none()
            });
        }
    }

    pub(crate) fn wake_session(&self, id: &str) {
        self.objects.wake_all(&self.claims.claimants(id));
    }

    // Answers for one object.

    /// When a watch last had news of a workload that an object follows.
    pub(crate) fn workload_news(&self, object: &AthenaSession) -> Option<Instant> {
        let workloads = &object.spec.end_with;
        if workloads.is_empty() {
            return None;
        }
        self.workloads.news(object.meta().namespace.as_deref().unwrap_or_default(), workloads)
    }

    /// Reserves a slot for an object that is about to start its session, if one is free. The next
    /// [`ClusterIndex::access`] shows whether the object has its slot.
    pub(crate) fn reserve(&self, object: &AthenaSession) {
        if let Some(limit) = self.work_groups.sessions_per_namespace(reference(object)) {
            self.quotas.reserve(object, limit);
        }
    }

    /// Takes in what a reconciliation found out about the session that takes an object's slot.
    pub(crate) fn report_usage(&self, object: &AthenaSession, usage: Usage) {
        let limit = self.work_groups.sessions_per_namespace(reference(object));
        self.objects.wake_all(&self.quotas.report_usage(object, usage, limit));
    }

    /// What an object may do in Athena. `id`: the session that it stands for, as far as that is known. `shown_in`: the work group
    /// that Athena shows the session in; an object that is bound to another work group has no claim to it. `marker`: the mark
    /// that Athena shows on the session.
    pub(crate) fn access(
        &self,
        object: &AthenaSession,
        id: Option<&str>,
        shown_in: Option<&str>,
        marker: Option<&Marker>,
    ) -> Access {
        let mut access = self.work_groups.access(object);
        if access.start.is_none() && access.denied.is_some() && !is_held(object) {
            return access;
        }
        let others = id.map_or_else(Vec::new, |id| self.others(object, id));
        // Also StartSession may have returned another object's session.
        access.is_contested = others.iter().any(|other| self.may_own(other));
        if let Some(start) = &mut access.start {
            if let Some(limit) = start.bounds.as_ref().and_then(|bounds| bounds.sessions_per_namespace) {
                start.slot = self.quotas.slot(object, limit);
            }
        } else {
            access.owner =
                self.started_for(object, marker).or_else(|| self.first_claim(object, &others, &access, shown_in));
        }
        access
    }

    /// The other objects that claim the session of an object, the oldest first.
    fn others(&self, object: &AthenaSession, id: &str) -> Vec<Arc<Session>> {
        let own = key(object);
        let keys = self.claims.claimants(id).into_iter().filter(|key| *key != own);
        let others = keys.filter_map(|key| self.objects.session(&key));
        let is_other = |other: &Session| other.meta().uid != object.meta().uid && other.session_id() == Some(id);
        let mut others: Vec<_> = others.filter(|other| is_other(other)).collect();
        others.sort_by(|one, two| age(one).cmp(&age(two)));
        others
    }

    /// Whether a session may be this other object's, so that only Athena can tell. Without a grant an object owns nothing:
    /// otherwise a tenant could hold up ends in another namespace by naming sessions.
    fn may_own(&self, other: &Session) -> bool {
        let may_own = |it: &AthenaSession| it.spec.start.is_some() || self.work_groups.access(it).claim(it).is_some();
        other.outline().is_ok_and(|other| may_own(&other))
    }

    /// The other object that the session was started for, by its mark.
    fn started_for(&self, object: &AthenaSession, marker: Option<&Marker>) -> Option<Claim> {
        let marker = marker.filter(|marker| marker.cluster == self.cluster)?;
        let other = self.objects.session(&(marker.namespace.clone(), marker.name.clone()))?.outline().ok()?;
        let is_it = other.uid().as_ref() == Some(&marker.uid) && other.uid() != object.uid();
        (is_it && other.spec.start.is_some() && is_held(&other)).then(|| Claim::of(&other))
    }

    /// The claim that makes another object the owner: the oldest claim among `others`, if it is older than the object's
    /// own.
    fn first_claim(
        &self,
        object: &AthenaSession,
        others: &[Arc<Session>],
        access: &Access,
        shown_in: Option<&str>,
    ) -> Option<Claim> {
        if others.is_empty() {
            return None;
        }
        let mut location = self.work_groups.location(object);
        location.work_group = shown_in.map(str::to_owned).or(location.work_group);
        // Only the mark tells whose a started session is: the record of a start may be forged.
        let named = others.iter().filter_map(|other| other.outline().ok()).filter(|it| it.spec.session_id.is_some());
        let mut claims = named.filter_map(|other| {
            let others_location = self.work_groups.location(&other);
            // An object without a work group must first ask Athena for the session's. Until then no other object counts
            // as owner.
            let is_unknown = location.work_group.is_none() && others_location.work_group.is_some();
            let may_be_same = !is_unknown && others_location.overlaps(&location);
            if may_be_same { self.work_groups.access(&other).claim(&other) } else { None }
        });
        let (first, own) = (claims.next()?, access.claim(object));
        own.is_none_or(|own| first.precedes(&own)).then_some(first)
    }
}

fn spec_hash(group: &Group) -> u64 {
    let metadata = group.meta();
    let identity = (metadata.uid.as_ref(), metadata.generation, metadata.deletion_timestamp.is_some());
    let resolved = group.0.as_ref().ok().map(|group| (group.region(), group.account()));
    fingerprint(&(identity, &metadata.finalizers, is_paused(group), resolved))
}

fn age(object: &Session) -> (Option<Timestamp>, Option<&String>) {
    let metadata = object.meta();
    (metadata.creation_timestamp.as_ref().map(|created| created.0), metadata.uid.as_ref())
}
