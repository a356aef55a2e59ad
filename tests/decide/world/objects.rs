//! Other objects at the API server: the ConfigMap of `spec.publishTo`, and the Jobs and Pods of `spec.endWith`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::World;
use crate::core::{
    ANSWER_LIFE, AthenaSession, FoundConfigMap, PublishTo, SessionState, Step, Workload, WorkloadKind, WorkloadOutcome,
    WorkloadState,
};
use crate::fixtures::{TIMING, at, seconds};

/// Who owns a ConfigMap that was written for the object, and whose owner is gone.
pub const NOBODY: &str = "(nobody)";

/// How a webhook of the cluster changes each ConfigMap that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Webhook {
    /// The labels and the annotation of the operator are taken off, or replaced.
    TakesMarks,
    /// Another key is added to the data.
    AddsData,
}

pub struct Objects {
    /// The ConfigMap: who owns it, and what it says.
    pub config_map: Option<(String, BTreeMap<String, String>)>,
    /// The API server refuses requests about ConfigMaps.
    pub is_forbidden: bool,
    /// The API server doesn't answer requests about ConfigMaps.
    pub is_silent: bool,
    version: u64,
    /// Jobs and Pods.
    pub workloads: BTreeMap<Workload, WorkloadState>,
    /// When the watch last had news of Jobs or Pods.
    pub news: Option<Duration>,
    /// What each request about other objects takes.
    pub slow: Duration,
    /// ConfigMaps can be read. Each write of a ConfigMap fails with an error that is no refusal.
    pub writes_fail: bool,
    /// The removal of a ConfigMap has no effect, and no answer comes for so long.
    pub removal_hangs: Option<Duration>,
    /// The webhook that changes ConfigMaps.
    pub webhook: Option<Webhook>,
    /// The name of a workload that can't be read.
    pub unreadable: Option<&'static str>,
    /// When the operator last read all workloads, and which of them had finished then. Only stories keep this.
    pub looked: Option<(Duration, Vec<Workload>)>,
    /// TerminateSession was called for finished workloads.
    pub was_called: bool,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            config_map: None,
            is_forbidden: false,
            is_silent: false,
            version: 1,
            workloads: BTreeMap::new(),
            news: None,
            slow: Duration::ZERO,
            writes_fail: false,
            removal_hangs: None,
            webhook: None,
            unreadable: None,
            looked: None,
            was_called: false,
        }
    }
}

impl Objects {
    /// Whether there is a workload, and all workloads have finished.
    pub fn have_finished(&self, workloads: &[Workload], now: Duration) -> bool {
        if let Some((looked_at, finished)) = &self.looked {
            let is_young = now <= *looked_at + ANSWER_LIFE + seconds(1);
            return !workloads.is_empty()
                && (self.was_called || is_young && workloads.iter().all(|it| finished.contains(it)));
        }
        let has_finished = |workload| {
            !matches!(
                self.workloads.get(workload),
                Some(WorkloadState::Unfinished { .. } | WorkloadState::Suspended { .. })
            )
        };
        !workloads.is_empty() && workloads.iter().all(has_finished)
    }
}

impl World {
    /// An object that publishes the session that it names.
    pub fn publishing(session: SessionState) -> Self {
        let mut world = Self::with(Some(session));
        let publish_to = PublishTo { config_map_name: "nightly".to_owned() };
        world.object.as_mut().unwrap().spec.publish_to = Some(publish_to);
        world
    }

    pub(super) fn take_step_about_objects(&mut self, object: &AthenaSession, step: &Step) {
        if *step == Step::GetWorkloads {
            return self.look_at_workloads(object);
        }
        if *step == Step::DeleteObject {
            return self.expire(object);
        }
        let uid = object.metadata.uid.clone().unwrap();
        self.wait(self.objects.slow);
        if let (Step::DeleteConfigMap { .. }, Some(long)) = (step, self.objects.removal_hangs) {
            self.wait(long);
            return self.observed.session.config_map.failed(
                step.config_map_request(),
                None,
                at(self.elapsed),
                &TIMING,
                1.0,
            );
        }
        let now = at(self.elapsed);
        if self.objects.writes_fail && *step != Step::GetConfigMap {
            return self.observed.session.config_map.failed(step.config_map_request(), None, now, &TIMING, 1.0);
        }
        if self.objects.is_forbidden || self.objects.is_silent {
            let refusal = self.objects.is_forbidden.then(|| "configmaps is forbidden".to_owned());
            return self.observed.session.config_map.failed(step.config_map_request(), refusal, now, &TIMING, 1.0);
        }
        let is_ours = |owner: &str| owner == uid || owner == NOBODY;
        let objects = &mut self.objects;
        match step {
            Step::WriteConfigMap { data } if objects.config_map.as_ref().is_none_or(|(owner, _)| is_ours(owner)) => {
                objects.version += 1;
                let mut data = data.clone();
                if objects.webhook == Some(Webhook::AddsData) {
                    data.insert("CLUSTER".to_owned(), "one".to_owned());
                }
                objects.config_map = Some((uid.clone(), data));
            }
            Step::DeleteConfigMap { resource_version, .. } => {
                if *resource_version != objects.version.to_string() {
                    return self.observed.session.config_map.changed(step.config_map_request(), now, &TIMING, 1.0);
                }
                let (owner, _) = objects.config_map.take().expect("it is there");
                assert!(is_ours(&owner), "only the object's own is removed");
            }
            _ => {}
        }
        let resource_version = objects.version.to_string();
        let found = match &objects.config_map {
            None => FoundConfigMap::Absent,
            Some((owner, data)) if is_ours(owner) => {
                let (is_marked, data) = (*owner == uid && objects.webhook != Some(Webhook::TakesMarks), data.clone());
                FoundConfigMap::Ours { uid: "uid-of-config-map".to_owned(), resource_version, data, is_marked }
            }
            Some(_) => FoundConfigMap::Foreign,
        };
        if let Step::WriteConfigMap { data } = step {
            return self.observed.session.config_map.written(data.clone(), found, now);
        }
        self.observed.session.config_map.answered(step.config_map_request(), found, now);
    }

    fn expire(&mut self, object: &AthenaSession) {
        let now = at(self.elapsed);
        if self.objects.is_forbidden || self.objects.is_silent {
            let refusal = self.objects.is_forbidden.then(|| "athenasessions is forbidden".to_owned());
            return self.observed.session.ttl.failed(refusal, now, &TIMING, 1.0);
        }
        let is_it =
            self.object.as_ref().is_some_and(|it| it.metadata.resource_version == object.metadata.resource_version);
        if is_it {
            if self.is_ours(object) && self.session_runs() {
                self.breach(format!("an object was deleted whose session is {:?}", self.session));
            }
            self.event(&super::Event::Delete);
            self.observed.session.ttl.asked(now, &TIMING);
        } else {
            self.observed.session.ttl.failed(None, now, &TIMING, 1.0);
        }
    }

    fn look_at_workloads(&mut self, object: &AthenaSession) {
        let now = at(self.elapsed);
        if self.objects.is_forbidden || self.objects.is_silent {
            let refusal = self.objects.is_forbidden.then(|| "jobs is forbidden".to_owned());
            return self.observed.session.workloads.failed(refusal, now, &TIMING, 1.0);
        }
        let sent = at(self.elapsed).tick;
        // An answer comes later than its request, so no later reconciliation begins at the moment of the request.
        self.wait(self.objects.slow.max(Duration::from_nanos(1)));
        let now = at(self.elapsed);
        let (unreadable, readable): (Vec<_>, Vec<_>) =
            object.spec.end_with.iter().partition(|it| self.objects.unreadable == Some(it.name.as_str()));
        for workload in readable {
            let state = self.objects.workloads.get(workload).cloned().unwrap_or(WorkloadState::Absent);
            self.observed.session.workloads.read(workload, state, sent, now);
        }
        if !unreadable.is_empty() {
            return self.observed.session.workloads.failed(None, now, &TIMING, 1.0);
        }
        self.observed.session.workloads.all_read();
        if self.objects.looked.is_some() {
            let has_finished = |it: &&Workload| {
                matches!(self.objects.workloads.get(*it), Some(WorkloadState::Finished { .. } | WorkloadState::Absent))
            };
            self.objects.looked =
                Some((self.elapsed, object.spec.end_with.iter().filter(has_finished).cloned().collect()));
        }
    }

    /// An object that is ended with these Jobs, and the session that it names.
    pub fn following(session: SessionState, jobs: &[&str]) -> Self {
        let mut world = Self::with(Some(session));
        world.object.as_mut().unwrap().spec.end_with = jobs.iter().map(|name| job(name)).collect();
        world
    }

    /// Sets the state of a Job. `is_told`: the watch tells the operator.
    pub fn job_becomes(&mut self, name: &str, state: WorkloadState, is_told: bool) {
        self.objects.workloads.insert(job(name), state);
        if is_told {
            self.objects.news = Some(self.elapsed);
        }
    }

    /// Somebody writes the ConfigMap, or removes it.
    pub fn meddle(&mut self, config_map: Option<(&str, &str)>) {
        self.objects.version += 1;
        self.objects.config_map = config_map
            .map(|(owner, id)| (owner.to_owned(), BTreeMap::from([("ATHENA_SESSION_ID".to_owned(), id.to_owned())])));
    }
}

pub fn job(name: &str) -> Workload {
    Workload { kind: WorkloadKind::Job, name: name.to_owned() }
}

/// A workload that is at work.
pub fn unfinished(uid: &str) -> WorkloadState {
    WorkloadState::Unfinished { uid: uid.to_owned() }
}

/// A workload that is suspended.
pub fn suspended(uid: &str) -> WorkloadState {
    WorkloadState::Suspended { uid: uid.to_owned() }
}

/// A workload that has failed.
pub fn failed(uid: &str) -> WorkloadState {
    WorkloadState::Finished { uid: uid.to_owned(), outcome: WorkloadOutcome::Failed, at: None }
}

/// A workload that has completed.
pub fn completed(uid: &str) -> WorkloadState {
    WorkloadState::Finished { uid: uid.to_owned(), outcome: WorkloadOutcome::Completed, at: None }
}
