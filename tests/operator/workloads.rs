//! Sessions with a workload: the ConfigMap of `publishTo`, the end with a Job or Pod (`endWith`), and `ttlAfterEnded`.
//! The operator has the rights of `deploy/workloads` in the test's namespace.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::admission_policies::rendered;
use crate::api::{AthenaSession, TerminationReason, WorkloadOutcome};
use crate::launch::Start;
use crate::proxy::{Meddle, Script, refusal};
use crate::world::{OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, World, condition, eventually, has_finalizer, in_checkout};

const CONFIG_MAP: &str = "nightly-session";

impl World {
    /// A world where the operator has the rights of `deploy/workloads` in the test's namespace.
    pub async fn with_workloads() -> Self {
        static ROLE: OnceCell<()> = OnceCell::const_new();
        let world = Self::new().await;
        let role = in_checkout("deploy/workloads/role.yaml");
        ROLE.get_or_init(async || drop(world.plane.kubectl_ok(&["apply", "-f", &role]).await)).await;
        world.grant_workloads_in(&world.namespace).await;
        world
    }

    /// Grants the rights of `deploy/workloads` in another namespace.
    pub async fn grant_workloads_in(&self, namespace: &str) {
        let account = format!("--serviceaccount={OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}");
        for feature in ["publish", "end-with", "expire"] {
            let role = format!("--clusterrole=athena-session-operator-{feature}");
            self.plane.kubectl_ok(&["create", "rolebinding", feature, "-n", namespace, &role, &account]).await;
        }
    }

    async fn start_following(&self) {
        self.start_operator_with(Start::with(&["--end-with", "--end-with-delay=1s"])).await;
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn config_map(&self) -> Option<ConfigMap> {
        self.config_maps().get_opt(CONFIG_MAP).await.unwrap()
    }

    async fn until_published(&self) -> ConfigMap {
        eventually("the ConfigMap is there", || self.config_map()).await
    }

    async fn publish(&self, name: &str, state: &str) -> String {
        let id = self.session_in(state);
        self.create(name, json!({"sessionId": id, "publishTo": {"configMapName": CONFIG_MAP}})).await;
        id
    }

    pub async fn add_job(&self, name: &str) {
        let container = json!({"name": "main", "image": "none"});
        let pod = json!({"spec": {"restartPolicy": "Never", "containers": [container]}});
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"template": pod},
        });
        self.plane.kubectl_with_ok(&["create", "-f", "-"], &job.to_string()).await;
    }

    /// Sets the status that the Job controller would set, which doesn't run here.
    async fn complete_job(&self, name: &str) {
        let time = "2026-03-01T03:12:00Z";
        let condition =
            |type_: &str| json!({"type": type_, "status": "True", "lastProbeTime": time, "lastTransitionTime": time});
        let conditions = [condition("SuccessCriteriaMet"), condition("Complete")];
        let status = json!({"status": {
            "startTime": "2026-03-01T03:00:00Z", "completionTime": time, "succeeded": 1, "conditions": conditions,
        }});
        let (namespace, patch) = (&self.namespace, status.to_string());
        let arguments = ["patch", "job", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", &patch];
        self.plane.kubectl_ok(&arguments).await;
    }

    async fn suspend_job(&self, name: &str, is_suspended: bool) {
        let patch = json!({"spec": {"suspend": is_suspended}}).to_string();
        let arguments = ["patch", "job", name, "-n", &self.namespace, "--type=merge", "-p", &patch];
        self.plane.kubectl_ok(&arguments).await;
    }

    /// An object that starts a session for a Job.
    async fn start_for(&self, name: &str, group: &str, job: &str) {
        let end_with = json!([{"kind": "Job", "name": job}]);
        let spec = json!({"start": {}, "workGroupRef": {"name": group}, "endWith": end_with, "ttlAfterEnded": "3s"});
        self.create(name, spec).await;
    }

    /// The Job of the example `deploy/examples/job-owns-session`.
    async fn create_job_that_owns_its_session(&self, run: &str, group: &str) {
        let read = |file: &str| {
            let path = in_checkout(&format!("deploy/examples/job-owns-session/{file}.yaml.in"));
            std::fs::read_to_string(path).unwrap().replace("${RUN}", run).replace("team-a-spark", group)
        };
        let create = ["create", "-n", &self.namespace, "-o", "jsonpath={.metadata.uid}", "-f", "-"];
        let uid = self.plane.kubectl_with_ok(&create, &read("job")).await;
        let session = read("session").replace("${JOB_UID}", &uid);
        self.plane.kubectl_with_ok(&create, &session).await;
    }

    async fn remove_job_in_the_background(&self, name: &str) {
        self.plane.kubectl_ok(&["delete", "job", name, "-n", &self.namespace, "--cascade=background"]).await;
    }

    async fn remove_job(&self, name: &str) {
        let namespace = &self.namespace;
        self.plane.kubectl_ok(&["delete", "job", name, "-n", namespace, "--cascade=orphan"]).await;
    }

    pub async fn follow(&self, name: &str, job: &str) -> String {
        let id = self.session_in("BUSY");
        self.create(name, json!({"sessionId": id, "endWith": [{"kind": "Job", "name": job}]})).await;
        id
    }

    pub async fn until_seen(&self, name: &str) -> AthenaSession {
        let is_seen =
            |object: &AthenaSession| object.status.as_ref().is_some_and(|status| !status.workloads.is_empty());
        self.until(name, "its Job has been seen", is_seen).await
    }
}

fn ended_by_workload(object: &AthenaSession) -> bool {
    let reason = object.status.as_ref().and_then(|status| status.termination_reason);
    reason == Some(TerminationReason::WorkloadFinished)
        && condition(object, "Terminated").is_some_and(|it| (it.0, it.1) == ("True", "WorkloadFinished"))
}

#[tokio::test]
async fn a_config_map_tells_of_the_session_while_it_is_up() {
    let world = World::with_workloads().await;
    let script = Script::meddling(|_, _| None);
    world.start_operator_by_way_of(&script, &[]).await;
    let id = world.publish("nightly", "CREATING").await;
    world.until_reason("nightly", "Starting").await;
    assert!(world.config_map().await.is_none());
    world.athena.set_state(&id, "IDLE");
    let published = world.until_published().await;
    let object = world.until_reason("nightly", "Running").await;
    let data: Vec<_> = published.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        data,
        [("ATHENA_SESSION_ID", id.as_str()), ("ATHENA_WORK_GROUP", "primary"), ("AWS_REGION", "eu-west-1")]
    );
    let owners = published.owner_references();
    assert_eq!(owners.len(), 1);
    assert_eq!((&owners[0].uid, owners[0].controller), (&object.uid().unwrap(), Some(true)));
    assert_eq!((owners[0].kind.as_str(), owners[0].block_owner_deletion), ("AthenaSession", None));

    world.edit("nightly", json!({"terminate": true})).await;
    let object = world.until_reason("nightly", "Ended").await;
    assert!(world.config_map().await.is_none());
    assert!(has_finalizer(&object));
    let removed_at = eventually("its removal is in the audit log", || async {
        let entries = world.plane.audit_entries().unwrap();
        let removal = |verb: &str| {
            entries.iter().any(|it| it.resource == "configmaps" && it.verb == verb && it.namespace == world.namespace)
        };
        (removal("create") && removal("delete")).then_some(())
    });
    removed_at.await;
    assert_eq!(world.terminations(&id), 1);
}

/// While TerminateSession is on its way, the workload must find no ConfigMap.
#[tokio::test]
async fn the_config_map_goes_before_the_end_is_called_for() {
    let world = World::with_workloads().await;
    world.start_operator().await;
    let id = world.publish("nightly", "IDLE").await;
    world.until_published().await;
    world.athena.fault(fake_athena::Fault::error("InternalServerException", "try again").on("TerminateSession"));
    world.delete("nightly").await;
    eventually("the end was called for", || async { (world.terminations(&id) > 0).then_some(()) }).await;
    assert!(world.config_map().await.is_none());
    world.athena.clear_faults();
    world.until_gone("nightly").await;
}

#[tokio::test]
async fn a_config_map_of_somebody_elses_is_left_as_it_is() {
    let world = World::with_workloads().await;
    let namespace = &world.namespace;
    world.plane.kubectl_ok(&["create", "configmap", CONFIG_MAP, "-n", namespace, "--from-literal=a=b"]).await;
    let before = world.config_map().await.unwrap();
    world.start_operator().await;
    let id = world.publish("nightly", "IDLE").await;
    let object = world.until_reason("nightly", "PublishConflict").await;
    assert_eq!(condition(&object, "Active").unwrap().0, "True");
    assert_eq!(condition(&object, "Stalled").unwrap().0, "True");
    world.delete("nightly").await;
    world.until_gone("nightly").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    assert_eq!(world.config_map().await, Some(before));
}

#[tokio::test]
async fn an_edited_config_map_is_set_right_and_goes_with_its_object() {
    let world = World::with_workloads().await;
    world.start_operator().await;
    world.publish("nightly", "IDLE").await;
    let published = world.until_published().await;
    world.config_maps().delete(CONFIG_MAP, &DeleteParams::default()).await.unwrap();
    let again = world.until_published().await;
    assert_eq!(again.data, published.data);
    let patch = r#"{"data":{"ATHENA_SESSION_ID":"another"}}"#;
    world.kubectl(&["patch", "configmap", CONFIG_MAP, "--type=merge", "-p", patch]).await;
    eventually("it is set right", || async { (world.config_map().await?.data == published.data).then_some(()) }).await;
    world.edit("nightly", json!({"deletionPolicy": "Retain"})).await;
    world.delete("nightly").await;
    world.until_gone("nightly").await;
    eventually("the garbage collector removes it", || async { world.config_map().await.is_none().then_some(()) }).await;
}

/// L1: without `deploy/workloads`.
#[tokio::test]
async fn missing_rights_are_told_and_hold_up_no_end() {
    let world = World::new().await;
    world.start_following().await;
    let id = world.publish("publishing", "IDLE").await;
    let object = world.until_reason("publishing", "PublishForbidden").await;
    let message = condition(&object, "Stalled").unwrap().2;
    assert!(message.contains("deploy/workloads") && message.contains("configmaps"), "{message}");
    assert_eq!(condition(&object, "Active").unwrap().0, "True");
    let followed = world.follow("following", "job").await;
    let object = world.until_reason("following", "EndWithForbidden").await;
    assert!(condition(&object, "Stalled").unwrap().2.contains("deploy/workloads"));
    for (name, id) in [("publishing", id), ("following", followed)] {
        world.delete(name).await;
        world.until_gone(name).await;
        assert_eq!(world.athena_session(&id).state, "TERMINATED");
    }
    let id = world.session_in("TERMINATED");
    world.create("over", json!({"sessionId": id, "ttlAfterEnded": "1s"})).await;
    let is_told = |object: &AthenaSession| {
        condition(object, "Ready").is_some_and(|it| it.1 == "Ended" && it.2.contains("spec.ttlAfterEnded can't delete"))
    };
    world.until("over", "says why it stays", is_told).await;
}

/// L1: the API server refuses only the removal of the ConfigMap.
#[tokio::test]
async fn a_removal_that_is_refused_holds_up_no_end() {
    let world = World::with_workloads().await;
    let script = Script::meddling(|name, _| {
        let is_removal = name.starts_with("DELETE") && name.contains("/configmaps/");
        is_removal.then(|| refusal(403, "Forbidden", "no")) as Option<Meddle>
    });
    world.start_operator_by_way_of(&script, &[]).await;
    let id = world.publish("nightly", "IDLE").await;
    world.until_published().await;
    world.delete("nightly").await;
    world.until_gone("nightly").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    eventually("the garbage collector removes it", || async { world.config_map().await.is_none().then_some(()) }).await;
}

#[tokio::test]
async fn a_session_ends_with_its_job() {
    let world = World::with_workloads().await;
    world.start_following().await;
    // The Job and the object may be applied in any order.
    let id = world.follow("nightly", "job").await;
    world.until_reason("nightly", "Running").await;
    world.add_job("job").await;
    world.until_seen("nightly").await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.terminations(&id), 0);
    world.complete_job("job").await;
    let object = world.until("nightly", "ended with its Job", ended_by_workload).await;
    let message = condition(&object, "Ready").unwrap().2;
    let sentence = format!("Job {}/job completed at 2026-03-01T03:12:00Z", world.namespace);
    assert!(message.contains(&sentence), "{message}");
    assert_eq!((world.terminations(&id), world.athena_session(&id).state.as_str()), (1, "TERMINATED"));
    let record = &object.status.unwrap().workloads[0];
    assert_eq!(record.outcome, Some(WorkloadOutcome::Completed));
}

#[tokio::test]
async fn a_session_ends_when_its_job_or_pod_is_gone() {
    let world = World::with_workloads().await;
    world.add_job("job").await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "namespace": world.namespace},
        "spec": {"containers": [{"name": "main", "image": "none"}], "automountServiceAccountToken": false},
    });
    world.plane.kubectl_with_ok(&["create", "-f", "-"], &pod.to_string()).await;
    world.start_following().await;
    let id = world.session_in("IDLE");
    let both = json!([{"kind": "Job", "name": "job"}, {"kind": "Pod", "name": "pod"}]);
    world.create("nightly", json!({"sessionId": id, "endWith": both})).await;
    world.until_seen("nightly").await;
    world.remove_job("job").await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.terminations(&id), 0, "the Pod is there");
    // An operator that never saw the Job uses the record.
    world.kill_operator();
    world.kubectl(&["delete", "pod", "pod", "--grace-period=0", "--force"]).await;
    world.start_following().await;
    let object = world.until("nightly", "ended", ended_by_workload).await;
    assert!(condition(&object, "Ready").unwrap().2.contains("Pod"));
}

#[tokio::test]
async fn a_job_that_is_created_anew_keeps_the_session() {
    let world = World::with_workloads().await;
    world.start_operator_with(Start::with(&["--end-with", "--end-with-delay=3s"])).await;
    world.add_job("job").await;
    let id = world.follow("nightly", "job").await;
    let first = world.until_seen("nightly").await.status.unwrap().workloads[0].uid.clone();
    world.remove_job("job").await;
    world.add_job("job").await;
    let is_new = |object: &AthenaSession| {
        object
            .status
            .as_ref()
            .is_some_and(|status| status.workloads.iter().any(|it| it.uid != first && it.outcome.is_none()))
    };
    world.until("nightly", "follows the new Job", is_new).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.terminations(&id), 0);
    world.complete_job("job").await;
    world.until("nightly", "ended with its Job", ended_by_workload).await;
}

/// With Kueue, a Job that is suspended leaves its slot in sessionsPerNamespace to another Job.
#[tokio::test]
async fn a_session_is_started_when_its_suspended_job_is_resumed() {
    let world = World::with_workloads().await;
    world.start_following().await;
    let group = world.register_for_starts("a", json!({"sessionsPerNamespace": 1})).await;
    for job in ["held", "free"] {
        world.add_job(job).await;
    }
    world.suspend_job("held", true).await;
    world.start_for("waits", &group, "held").await;
    let object = world.until_reason("waits", "WaitingForWorkload").await;
    let message = condition(&object, "Reconciling").unwrap().2;
    assert!(message.contains(&format!("Job {}/held is suspended", world.namespace)), "{message}");
    // This object is younger.
    sleep(Duration::from_millis(1_100)).await;
    world.start_for("runs", &group, "free").await;
    world.until_reason("runs", "Running").await;
    assert_eq!(world.athena.sessions().len(), 1);
    world.suspend_job("held", false).await;
    world.until_reason("waits", "WaitingForQuota").await;
    world.complete_job("free").await;
    world.until_reason("waits", "Running").await;
    assert_eq!(world.athena.sessions().len(), 2);
}

#[tokio::test]
async fn a_session_whose_job_is_complete_already_isnt_started() {
    let world = World::with_workloads().await;
    world.add_job("job").await;
    world.complete_job("job").await;
    world.start_following().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_for("nightly", &group, "job").await;
    let object = world.until("nightly", "ended with its Job", ended_by_workload).await;
    let (_, reason, message) = condition(&object, "Ready").unwrap();
    assert!(reason == "Ended" && message.contains("No session was started, since Job"), "{reason}: {message}");
    world.until_event("nightly", "Normal NotStarted").await;
    world.until_gone("nightly").await;
    assert_eq!(world.athena.calls_of("StartSession", None), 0);
}

/// The Job waits for a ConfigMap that doesn't come. A person looks for the reason in the object.
#[tokio::test]
async fn an_object_whose_start_failed_stays_while_its_job_waits() {
    let world = World::with_workloads().await;
    world.start_following().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.add_job("job").await;
    world.start_for("nightly", &group, "job").await;
    let object = world.until_reason("nightly", "Running").await;
    world.athena.set_state(&object.status.unwrap().session_id.unwrap(), "FAILED");
    let waits = format!("Without a session: Job {}/job.", world.namespace);
    let is_told =
        |object: &AthenaSession| condition(object, "Ready").is_some_and(|it| it.1 == "Failed" && it.2.contains(&waits));
    world.until("nightly", "says what waits", is_told).await;
    world.until_event("nightly", "Warning WorkloadWithoutSession").await;
    sleep(Duration::from_secs(5)).await;
    assert!(world.get("nightly").await.unwrap().metadata.deletion_timestamp.is_none());
    world.complete_job("job").await;
    world.until_gone("nightly").await;
}

#[tokio::test]
async fn a_start_that_isnt_allowed_names_the_job_and_its_config_map() {
    let world = World::with_workloads().await;
    world.start_following().await;
    let group = world.register_for_starts("a", json!({"maxConcurrentDpus": 4})).await;
    world.add_job("job").await;
    let start = json!({"engineConfiguration": {"maxConcurrentDpus": 20}});
    let spec = json!({
        "start": start, "workGroupRef": {"name": group}, "publishTo": {"configMapName": CONFIG_MAP},
        "endWith": [{"kind": "Job", "name": "job"}],
    });
    world.create("nightly", spec).await;
    let (job, map) = (format!("Job {}/job.", world.namespace), format!("ConfigMap {}/{CONFIG_MAP}", world.namespace));
    let is_told = |object: &AthenaSession| {
        let told = condition(object, "Stalled");
        told.is_some_and(|it| it.1 == "StartNotAllowed" && it.2.contains(&job) && it.2.contains(&map))
    };
    world.until("nightly", "names what waits", is_told).await;
}

#[tokio::test]
async fn without_the_flag_a_session_isnt_ended_with_its_job() {
    let world = World::with_workloads().await;
    world.start_operator().await;
    world.add_job("job").await;
    world.complete_job("job").await;
    let id = world.follow("nightly", "job").await;
    let object = world.until_reason("nightly", "EndWithDisabled").await;
    assert!(condition(&object, "Stalled").unwrap().2.contains("--end-with"));
    assert_eq!(condition(&object, "Active").unwrap().0, "True");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.terminations(&id), 0);
}

/// The garbage collector of Kubernetes removes the Job by its ownerReference.
#[tokio::test]
async fn a_job_that_the_session_owns_goes_with_it() {
    let world = World::with_workloads().await;
    world.start_operator().await;
    world.declare("nightly", "IDLE").await;
    let object = world.until_reason("nightly", "Running").await;
    world.add_job("job").await;
    let owner = json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession", "name": "nightly", "uid": object.uid(),
    });
    let patch = json!({"metadata": {"ownerReferences": [owner]}}).to_string();
    assert!(world.kubectl(&["patch", "job", "job", "--type=merge", "-p", &patch]).await.status.success());
    world.delete("nightly").await;
    world.until_gone("nightly").await;
    eventually("the Job goes", || async {
        (!world.kubectl(&["get", "job", "job"]).await.status.success()).then_some(())
    })
    .await;
}

/// S2: the pattern of `deploy/examples/job-owns-session`, where the garbage collector deletes the object.
#[tokio::test]
async fn a_job_that_came_and_went_unseen_starts_no_session() {
    let world = World::with_workloads().await;
    let group = world.register_for_starts("a", json!({"maxConcurrentDpus": 20})).await;
    world.create_job_that_owns_its_session("1", &group).await;
    world.remove_job_in_the_background("nightly-report-1").await;
    world.until_gone("nightly-report-1").await;
    world.create_job_that_owns_its_session("2", &group).await;
    world.start_following().await;
    let id = world.until_reason("nightly-report-2", "Running").await.status.unwrap().session_id.unwrap();
    // The session has been started, and no operator runs when the Job goes.
    world.kill_operator();
    world.remove_job_in_the_background("nightly-report-2").await;
    let is_deleted = |object: &AthenaSession| object.metadata.deletion_timestamp.is_some();
    world.until("nightly-report-2", "is to go with its Job", is_deleted).await;
    world.start_following().await;
    world.until_gone("nightly-report-2").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    assert_eq!(world.athena.calls_of("StartSession", None), 1);
}

#[tokio::test]
async fn an_object_goes_so_long_after_its_end() {
    let world = World::with_workloads().await;
    world.start_operator().await;
    let id = world.session_in("IDLE");
    world.create("nightly", json!({"sessionId": id, "ttlAfterEnded": "3s", "terminate": true})).await;
    let object = world.until_reason("nightly", "Ended").await;
    assert!(object.metadata.deletion_timestamp.is_none());
    world.until_gone("nightly").await;
    assert_eq!(world.terminations(&id), 1);
}

#[tokio::test]
async fn a_starting_object_that_argo_cd_tracks_is_kept() {
    let world = World::with_workloads().await;
    let spec = json!({"workGroup": "spark-team-a", "namespaces": {"from": "All"}, "start": {}});
    let group = world.register("spark", spec).await;
    world.start_operator().await;
    let manifest = json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
        "metadata": {
            "name": "tracked", "namespace": world.namespace,
            "annotations": {"argocd.argoproj.io/tracking-id": "app:athena-operator.dev/AthenaSession:x/tracked"},
        },
        "spec": {"start": {}, "workGroupRef": {"name": group}, "ttlAfterEnded": "1s"},
    });
    world.plane.kubectl_with_ok(&["create", "-f", "-"], &manifest.to_string()).await;
    world.until_reason("tracked", "Running").await;
    world.edit("tracked", json!({"terminate": true})).await;
    let is_kept = |object: &AthenaSession| {
        condition(object, "Ready").is_some_and(|it| it.1 == "Ended" && it.2.contains("Argo CD tracks the object"))
    };
    world.until("tracked", "says why it stays", is_kept).await;
    sleep(Duration::from_secs(3)).await;
    assert!(world.get("tracked").await.unwrap().metadata.deletion_timestamp.is_none());
    // The labels and annotations of the object are unchanged.
    let kept = world.get("tracked").await.unwrap();
    assert!(kept.annotations().contains_key("argocd.argoproj.io/tracking-id") && kept.labels().is_empty());
    let remove = r#"{"metadata":{"annotations":{"argocd.argoproj.io/tracking-id":null}}}"#;
    world.kubectl(&["patch", "ats", "tracked", "--type=merge", "-p", remove]).await;
    world.until_gone("tracked").await;
}

#[tokio::test]
async fn what_a_manifest_may_say_of_workloads_is_checked() {
    let world = World::new().await;
    let job = |name: &str| json!({"kind": "Job", "name": name});
    let eleven: Vec<_> = (0..11).map(|number| job(&number.to_string())).collect();
    for (spec, sentence) in [
        (json!({"endWith": []}), "spec.endWith"),
        (json!({"endWith": eleven}), "spec.endWith: Too many"),
        (json!({"endWith": [job("a"), job("a")]}), "Duplicate value"),
        (json!({"endWith": [job("A")]}), "name can't be the name of a Job or a Pod"),
        (json!({"endWith": [{"kind": "Deployment", "name": "a"}]}), "Unsupported value"),
        (json!({"publishTo": {"configMapName": "A b"}}), "configMapName can't be the name of a ConfigMap"),
        (json!({"publishTo": {}}), "configMapName: Required value"),
        (json!({"ttlAfterEnded": "0s"}), "ttlAfterEnded is a duration in whole seconds"),
        (json!({"ttlAfterEnded": "1d"}), "ttlAfterEnded is a duration in whole seconds"),
        (json!({"ttlAfterEnded": "-1h"}), "ttlAfterEnded is a duration in whole seconds"),
    ] {
        let said = said_of(&world, spec.clone()).await;
        assert!(said.contains(sentence), "{spec}: {said}");
    }
    for spec in [
        json!({"endWith": [job("a"), {"kind": "Pod", "name": "a"}], "publishTo": {"configMapName": "a.b-c"}}),
        json!({"ttlAfterEnded": "1h30m"}),
        json!({"ttlAfterEnded": "0.5h"}),
    ] {
        assert_eq!(said_of(&world, spec).await, "");
    }
    world.create("once", json!({"sessionId": "one"})).await;
    world.edit("once", json!({"publishTo": {"configMapName": "first"}})).await;
    for other in [json!(null), json!({"configMapName": "second"})] {
        let patch = json!({"spec": {"publishTo": other}}).to_string();
        let output = world.kubectl(&["patch", "ats", "once", "--type=merge", "-p", &patch]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("publishTo can't change, nor be removed"), "{said}");
    }
}

async fn said_of(world: &World, mut spec: Value) -> String {
    spec["sessionId"] = json!("one");
    let manifest = json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
        "metadata": {"name": "checked", "namespace": world.namespace}, "spec": spec,
    });
    let arguments = ["create", "--dry-run=server", "-f", "-"];
    let output = world.plane.kubectl_with(&arguments, &manifest.to_string()).await.unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn the_component_for_workloads_adds_the_rights_and_the_flag() {
    let objects = rendered("workloads", "resources: [deploy]\ncomponents: [deploy/workloads]\n").await;
    let named = |kind: &'static str| objects.iter().filter(move |it| it["kind"] == kind);
    for feature in ["publish", "end-with", "expire"] {
        let name = format!("athena-session-operator-{feature}");
        let is_ours = |object: &&Value| object["metadata"]["name"] == *name;
        assert_eq!(named("ClusterRole").filter(is_ours).count(), 1);
        let binding = named("ClusterRoleBinding").find(is_ours).unwrap();
        assert_eq!(binding["roleRef"]["name"], *name);
    }
    let deployment = named("Deployment").next().unwrap();
    let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    for name in ["AWS_REGION", "ATHENA_OPERATOR_END_WITH"] {
        assert!(variables.iter().any(|it| it["name"] == name), "{name} isn't there");
    }
}

/// After `kubectl delete --cascade=orphan` the garbage collector removes the ownerReference, and keeps the ConfigMap.
#[tokio::test]
async fn a_config_map_that_lost_its_owner_is_taken_over_or_removed() {
    let world = World::with_workloads().await;
    world.start_operator().await;
    let first = world.publish("nightly", "IDLE").await;
    let published = world.until_published().await;
    assert_eq!(published.labels()["velero.io/exclude-from-backup"], "true");
    assert_eq!(published.annotations()["athena-operator.dev/published-for"], "nightly");
    let orphan = ["delete", "ats", "nightly", "--cascade=orphan", "--wait=false"];
    assert!(world.kubectl(&orphan).await.status.success());
    world.until_gone("nightly").await;
    assert_eq!(world.terminations(&first), 1);
    assert!(world.config_map().await.is_none(), "it is removed before the session is ended");

    // The ConfigMap remains from an object of the same name, whose session was retained.
    let mut left = published.clone();
    left.metadata = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        name: published.metadata.name.clone(),
        labels: published.metadata.labels.clone(),
        annotations: published.metadata.annotations.clone(),
        ..Default::default()
    };
    world.config_maps().create(&Default::default(), &left).await.unwrap();
    let second = world.publish("nightly", "IDLE").await;
    let is_taken_over = async || {
        let found = world.config_map().await?;
        let says = found.data.as_ref().and_then(|data| data.get("ATHENA_SESSION_ID")) == Some(&second);
        let object = world.get("nightly").await?;
        (says && found.owner_references().iter().any(|owner| Some(&owner.uid) == object.metadata.uid.as_ref()))
            .then_some(())
    };
    eventually("it is taken over", is_taken_over).await;
    world.until_reason("nightly", "Running").await;
    world.delete("nightly").await;
    world.until_gone("nightly").await;

    // A ConfigMap that was written for another object, or that has an owner, is left as it is.
    left.metadata
        .annotations
        .get_or_insert_default()
        .insert("athena-operator.dev/published-for".into(), "other".into());
    world.config_maps().create(&Default::default(), &left).await.unwrap();
    let third = world.publish("nightly", "IDLE").await;
    world.until_reason("nightly", "PublishConflict").await;
    world.delete("nightly").await;
    world.until_gone("nightly").await;
    assert_eq!(world.terminations(&third), 1);
    assert_eq!(world.config_map().await.unwrap().data, left.data);
}
