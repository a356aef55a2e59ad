//! What the watches show of AthenaWorkGroups, namespaces and AthenaSessions, and what follows for one object: the
//! terms on which it may use Athena ([`super::terms`]), and the way to it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use tokio::sync::{RwLock, mpsc, watch};

use super::access::{Access, Rules, is_paused};
use super::claims::Claims;
use super::claims::{Claim, Location};
use super::dependents::Dependents;
use super::objects::{Group, Labelled, Session, Sessions, Watch, holds, key};
use super::session_quota::Slot;
use super::session_quota::{SessionQuotas, Usage, reference};
use super::workloads::FollowedWorkloads;
use crate::api::session::{AthenaSession, Workload, WorkloadKind};
use crate::api::work_group::AthenaWorkGroup;
use crate::api::workload::WorkloadState;
use crate::api::{is_held, is_kept};
use crate::athena::identity::Identities;
use crate::athena::marker::Marker;
use crate::athena::quota::Key;
use crate::athena::types::{AwsTarget, Role};
use crate::compact::fingerprint;

/// All that is watched.
pub struct ClusterIndex {
    rules: Rules,
    /// The cluster's id: the UID of the namespace kube-system.
    pub cluster: String,
    /// Whether this operator answers for AthenaWorkGroups: it sees the whole cluster.
    pub keeps_groups: bool,
    groups: Store<Group>,
    group_wake: mpsc::UnboundedSender<ObjectRef<Group>>,
    namespaces: Store<Labelled>,
    sessions: Vec<Sessions>,
    /// The ways to Athena.
    pub identities: Arc<Identities>,
    missing: watch::Sender<BTreeSet<Watch>>,
    /// What matters of each AthenaWorkGroup to those that refer to it; its numbers, which change often, don't.
    spec_hashes: Mutex<HashMap<String, u64>>,
    declared: Claims,
    places: SessionQuotas,
    /// Which objects follow which workloads.
    pub followed: FollowedWorkloads,
    /// Held for reading while an object is adopted, and for writing while an AthenaWorkGroup is let go.
    pub adoptions: RwLock<()>,
}

impl ClusterIndex {
    /// Of these watches; what they show is told by [`ClusterIndex::session_event`].
    #[must_use]
    pub fn new(
        rules: Rules,
        cluster: String,
        keeps_groups: bool,
        (groups, group_wake): (Store<Group>, mpsc::UnboundedSender<ObjectRef<Group>>),
        namespaces: Store<Labelled>,
        sessions: Vec<Sessions>,
        identities: Arc<Identities>,
    ) -> Self {
        let missing = [Watch::Groups, Watch::Namespaces].into_iter().chain((0..sessions.len()).map(Watch::Sessions));
        let missing = watch::Sender::new(missing.collect());
        let (spec_hashes, declared, places, followed, adoptions) = Default::default();
        Self {
            rules,
            cluster,
            keeps_groups,
            groups,
            group_wake,
            namespaces,
            sessions,
            identities,
            missing,
            spec_hashes,
            declared,
            places,
            followed,
            adoptions,
        }
    }

    // What the watches show.

    /// The watch of these AthenaSessions has something new.
    pub fn session_event(&self, watch: usize, event: &Event<Session>) {
        match event {
            Event::Apply(object) | Event::InitApply(object) => self.declare(object),
            Event::Delete(object) => self.withdraw(object),
            Event::Init => {}
            Event::InitDone => {
                self.declared.retain(|key| self.session(key)?.session_id().map(str::to_owned));
                self.followed.retain(|key| self.session(key).is_some());
                self.places.retain(|key| self.session(key)?.meta().uid.clone());
                self.listed(Watch::Sessions(watch));
            }
        }
    }

    /// All AthenaWorkGroups, or all namespaces, have been listed anew: any of them may have changed.
    pub fn grants_listed(&self, watch: Watch) {
        self.spec_hashes().clear();
        self.listed(watch);
        self.wake_where(|object| object.reference().is_some());
    }

    /// All sessions of a work group have been counted.
    pub fn full_scan_completed(&self, target: &AwsTarget, work_group: &str) {
        self.groups_of(target, work_group).iter().for_each(|group| self.wake_group(group));
    }

    /// Wakes the objects whose start may wait for the engine of this work group, which is known now or has changed.
    pub fn engine_learned(&self, target: &AwsTarget, work_group: &str) {
        for group in self.groups_of(target, work_group) {
            self.wake_group(&group);
            self.wake_where(|object| {
                object.reference() == Some(&group) && object.start_place().is_some() && object.session_id().is_none()
            });
        }
    }

    /// The AthenaWorkGroups that register a work group.
    fn groups_of(&self, target: &AwsTarget, work_group: &str) -> Vec<String> {
        let is_it = |group: &AthenaWorkGroup| group.athena_name() == work_group && self.target_of(group) == *target;
        let groups = self.groups.state();
        groups.iter().filter(|group| group.0.as_ref().is_ok_and(is_it)).map(|group| group.name_any()).collect()
    }

    /// An AthenaWorkGroup is new or has changed: whatever refers to it may stand otherwise now.
    pub fn group_applied(&self, group: &Group) {
        let name = group.name_any();
        let spec_hash = spec_hash(group);
        let before = self.spec_hashes().insert(name.clone(), spec_hash);
        if before != Some(spec_hash) {
            self.wake_users(&name);
        }
    }

    /// An AthenaWorkGroup is gone.
    pub fn group_gone(&self, name: &str) {
        self.spec_hashes().remove(name);
        self.wake_users(name);
    }

    fn wake_users(&self, name: &str) {
        self.wake_where(|object| object.reference() == Some(name));
    }

    /// A namespace is new, has changed or is gone.
    pub fn namespace_changed(&self, name: &str) {
        self.wake_where(|object| object.reference().is_some() && object.meta().namespace.as_deref() == Some(name));
    }

    /// Whether there is a namespace of this name.
    #[must_use]
    pub fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.get(&ObjectRef::new(name)).is_some()
    }

    /// All objects of a watch have been listed.
    fn listed(&self, watch: Watch) {
        self.missing.send_if_modified(|missing| missing.remove(&watch));
    }

    /// Returns when all that is watched has been listed once.
    pub async fn until_listed(&self) {
        // An error would mean that the index is gone.
        let _ = self.missing.subscribe().wait_for(BTreeSet::is_empty).await;
    }

    /// Whether every object has been listed, so that no grant and no claim is unknown.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.borrow().is_empty()
    }

    /// A watch shows a workload so.
    pub fn workload_shown(&self, namespace: &str, workload: Workload, state: WorkloadState) {
        self.followed.shown(namespace, workload, state).iter().for_each(|key| self.wake(key));
    }

    /// All workloads of a kind have been listed anew, in one namespace or in all.
    pub fn workloads_listed(&self, kind: WorkloadKind, namespace: Option<&str>) {
        self.followed.listed(kind, namespace).iter().for_each(|key| self.wake(key));
    }

    /// When a watch last had news of a workload that an object follows.
    #[must_use]
    pub fn workload_news(&self, object: &AthenaSession) -> Option<Instant> {
        let workloads = &object.spec.end_with;
        if workloads.is_empty() {
            return None;
        }
        self.followed.news(object.meta().namespace.as_deref().unwrap_or_default(), workloads)
    }

    fn declare(&self, object: &Session) {
        self.followed.follow(&key(object), object.end_with());
        if !is_held(object) {
            self.released(object);
        }
        self.places.shown(object, self.limit(object.reference())).iter().for_each(|next| self.wake(next));
        // Whose the session is may have changed for the others too.
        self.declared.declare(object).iter().for_each(|other| self.wake(other));
    }

    fn withdraw(&self, object: &Session) {
        self.followed.follow(&key(object), &[]);
        self.released(object);
        self.places.gone(object, self.limit(object.reference())).iter().for_each(|next| self.wake(next));
        self.declared.withdraw(object).iter().for_each(|other| self.wake(other));
    }

    /// An AthenaWorkGroup that is being deleted may wait for just this object.
    fn released(&self, object: &Session) {
        let Some(name) = object.reference() else { return };
        let is_going = self.group(name).is_some_and(|group| group.meta().deletion_timestamp.is_some());
        if is_going {
            self.wake_group(name);
        }
    }

    // Who is asked for a pass.

    /// Asks for a pass over an object.
    pub fn wake(&self, key: &Key) {
        let watched = self.watched(&key.0);
        let object = ObjectRef::new(&key.1).within(&key.0);
        // Nobody listens at shutdown.
        let _ = watched.map(|watched| watched.wake.send(object));
    }

    /// Asks for a pass over each object that names this session.
    pub fn wake_session(&self, id: &str) {
        self.declared.of(id).iter().for_each(|key| self.wake(key));
    }

    fn wake_group(&self, name: &str) {
        // Nobody listens at shutdown.
        let _ = self.group_wake.send(ObjectRef::new(name));
    }

    fn wake_where(&self, holds: impl Fn(&Session) -> bool) {
        for watched in &self.sessions {
            for object in watched.store.state() {
                if holds(&object) {
                    self.wake(&key(&*object));
                }
            }
        }
    }

    // SessionQuotas among the sessions of a namespace.

    /// Gives an object that is about to start its session a place, if there is one still: its terms tell.
    pub fn reserve(&self, object: &AthenaSession) {
        if let Some(limit) = self.limit(reference(object)) {
            self.places.reserve(object, limit);
        }
    }

    /// What a pass knows of the session that an object has its place for. Who may have it now gets a pass.
    pub fn report_usage(&self, object: &AthenaSession, usage: Usage) {
        self.places.report_usage(object, usage, self.limit(reference(object))).iter().for_each(|next| self.wake(next));
    }

    // What follows.

    /// The terms on which an object may use Athena. `id`: the session that it stands for, as far as that is known. `real`: the
    /// work group that Athena shows its session in; one that is bound to another has no claim to it. `marker`: the mark that
    /// Athena shows on the session.
    #[must_use]
    pub fn access(
        &self,
        object: &AthenaSession,
        id: Option<&str>,
        real: Option<&str>,
        marker: Option<&Marker>,
    ) -> Access {
        let mut access = self.own_access(object);
        let others = || id.map_or_else(Vec::new, |id| self.others(object, id));
        if let Some(start) = &mut access.start {
            let limit = start.bounds.as_ref().and_then(|bounds| bounds.sessions_per_namespace);
            start.slot = limit.map_or(Slot::Held, |limit| self.places.place(object, limit));
            // What StartSession returned may be another object's session.
            access.is_contested = others().iter().any(|other| self.may_own(other));
        } else if is_held(object) || access.denied.is_none() {
            let others = others();
            access.is_contested = others.iter().any(|other| self.may_own(other));
            access.owner = self.marked(object, marker).or_else(|| self.owner(object, &others, &access, real));
        }
        access
    }

    /// Whether a session may be this other object's, so that only Athena can tell. Without a grant an object owns nothing: no
    /// tenant holds up ends in another namespace by naming sessions.
    fn may_own(&self, other: &Session) -> bool {
        let may_own = |it: &AthenaSession| it.spec.start.is_some() || self.own_access(it).claim(it).is_some();
        other.outline().is_ok_and(|other| may_own(&other))
    }

    /// The other object that the session was started for.
    fn marked(&self, object: &AthenaSession, marker: Option<&Marker>) -> Option<Claim> {
        let marker = marker.filter(|marker| marker.cluster == self.cluster)?;
        let other = self.session(&(marker.namespace.clone(), marker.name.clone()))?.outline().ok()?;
        let is_it = other.uid().as_ref() == Some(&marker.uid) && other.uid() != object.uid();
        (is_it && other.spec.start.is_some() && is_held(&other)).then(|| Claim::by_mark(&other))
    }

    /// How many sessions an AthenaWorkGroup allows to a namespace at once.
    fn limit(&self, reference: Option<&str>) -> Option<u32> {
        let group = self.group(reference?)?;
        group.0.as_ref().ok()?.spec.start.as_ref()?.sessions_per_namespace
    }

    fn owner(
        &self,
        object: &AthenaSession,
        others: &[Arc<Session>],
        access: &Access,
        real: Option<&str>,
    ) -> Option<Claim> {
        if others.is_empty() {
            return None;
        }
        let mut domain = self.domain(object);
        domain.work_group = real.map(str::to_owned).or(domain.work_group);
        let own = access.claim(object);
        // The oldest first: whoever claims the session first has it, and the rest needn't be looked into.
        // Whose a started session is, its mark says: what is recorded may be forged.
        let mut named =
            others.iter().filter_map(|other| other.outline().ok()).filter(|it| it.spec.session_id.is_some());
        named.find_map(|other| {
            let others_domain = self.domain(&other);
            // Of an object that is bound to no work group the session's is asked for before it is anybody else's.
            let is_open = domain.work_group.is_none() && others_domain.work_group.is_some();
            let may_be_same = !is_open && others_domain.overlaps(&domain);
            let claim = may_be_same.then(|| self.own_access(&other).claim(&other)).flatten()?;
            Some(own.as_ref().is_none_or(|own| claim.precedes(own)).then_some(claim))
        })?
    }

    /// The way to an object's session; None where its AthenaWorkGroup doesn't exist.
    #[must_use]
    pub fn target(&self, object: &AthenaSession) -> Option<AwsTarget> {
        match &object.spec.work_group_ref {
            None => Some(AwsTarget { role: None, region: self.identities.region().map(str::to_owned) }),
            Some(reference) => {
                self.group(&reference.name).and_then(|group| Some(self.target_of(group.0.as_ref().ok()?)))
            }
        }
    }

    /// The way to a work group.
    #[must_use]
    pub fn target_of(&self, group: &AthenaWorkGroup) -> AwsTarget {
        let role = group.spec.role_arn.clone();
        let external_id = group.spec.external_id.clone();
        AwsTarget {
            role: role.map(|arn| Role { arn, external_id }),
            region: group.region().or(self.identities.region()).map(str::to_owned),
        }
    }

    /// The ways that are in use.
    #[must_use]
    pub fn targets(&self) -> HashSet<AwsTarget> {
        self.groups
            .state()
            .iter()
            .filter_map(|group| group.0.as_ref().ok())
            .map(|group| self.target_of(group))
            .collect()
    }

    /// An AthenaWorkGroup.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.groups.get(&ObjectRef::new(name))
    }

    /// The objects that we hold and that refer to an AthenaWorkGroup, as far as the watch shows.
    #[must_use]
    pub fn held_by(&self, name: &str) -> Dependents {
        let mut holders = Dependents::default();
        let objects = self.sessions.iter().flat_map(|watched| watched.store.state());
        objects.filter(|object| holds(object, name)).for_each(|object| holders.add(&*object));
        holders
    }

    /// Whether any object names this session.
    #[must_use]
    pub fn is_declared(&self, id: &str) -> bool {
        self.declared.contains(id)
    }

    fn own_access(&self, object: &AthenaSession) -> Access {
        let group = object.spec.work_group_ref.as_ref().and_then(|reference| self.group(&reference.name));
        let group = group.as_ref().and_then(|group| group.0.as_ref().ok());
        let namespace = self.namespaces.get(&ObjectRef::new(object.meta().namespace.as_deref().unwrap_or_default()));
        let labels = namespace.as_ref().map(|namespace| namespace.labels());
        let mut access = Access::of(object, group, labels, self.rules);
        access.lacks_finalizer =
            self.keeps_groups && !access.is_terminating && group.is_some_and(|group| !is_kept(group));
        access
    }

    fn domain(&self, object: &AthenaSession) -> Location {
        let own = || self.identities.own().caller_context().account.known().map(str::to_owned);
        let region = || self.identities.region().map(str::to_owned);
        let Some(reference) = &object.spec.work_group_ref else {
            return Location { region: region(), account: own(), work_group: None };
        };
        let group = self.group(&reference.name);
        let Some(group) = group.as_ref().and_then(|group| group.0.as_ref().ok()) else { return Location::default() };
        // arn:aws:iam::ACCOUNT:role/NAME
        let of_role = |arn: &String| arn.split(':').nth(4).map(str::to_owned);
        Location {
            region: group.region().map(str::to_owned).or_else(region),
            account: group.spec.role_arn.as_ref().map_or_else(own, of_role),
            work_group: Some(group.athena_name()),
        }
    }

    /// Other objects that name this session of an object, the oldest first.
    fn others(&self, object: &AthenaSession, id: &str) -> Vec<Arc<Session>> {
        let others = self.declared.others(object, id).into_iter().filter_map(|key| self.session(&key));
        let mut others: Vec<_> =
            others.filter(|other| other.meta().uid != object.meta().uid && other.session_id() == Some(id)).collect();
        others.sort_by(|one, two| age(one).cmp(&age(two)));
        others
    }

    fn spec_hashes(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.spec_hashes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self, key: &Key) -> Option<Arc<Session>> {
        self.watched(&key.0)?.store.get(&ObjectRef::new(&key.1).within(&key.0))
    }

    fn watched(&self, namespace: &str) -> Option<&Sessions> {
        self.sessions.iter().find(|watched| watched.namespace.as_deref().is_none_or(|name| name == namespace))
    }
}

/// A fingerprint of what follows from an AthenaWorkGroup for those that refer to it.
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
