//! StartSession: sessions that are started from their manifests. Once, whatever happens (S3), and ended with their
//! objects (S2, L1).

use std::time::Duration;

use fake_athena::{Fault, NewSession, SessionView};
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::api::{AthenaSession, FINALIZER, StartOutcome};
use crate::launch::Start;
use crate::tenancy::{TEAM_A, referring};
use crate::world::{World, condition, eventually, has_finalizer};

impl World {
    /// Registers a work group where sessions may be started, within these bounds.
    pub async fn register_for_starts(&self, name: &str, bounds: Value) -> String {
        self.register(name, json!({"workGroup": TEAM_A, "namespaces": {"from": "All"}, "start": bounds})).await
    }

    /// Creates an object that starts a session with the defaults of the work group.
    pub async fn start_session(&self, name: &str, group: &str) {
        self.create(name, starting(group, json!({}))).await;
    }

    async fn cluster(&self) -> String {
        let uid = ["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"];
        self.plane.kubectl_ok(&uid).await
    }

    async fn wipe_status(&self, name: &str) {
        let patch = r#"[{"op": "replace", "path": "/status", "value": {}}]"#;
        let patched = self.kubectl(&["patch", "ats", name, "--subresource=status", "--type=json", "-p", patch]).await;
        assert!(patched.status.success(), "{}", String::from_utf8_lossy(&patched.stderr));
    }

    async fn put_finalizer(&self, name: &str) {
        let patch = json!({"metadata": {"finalizers": [FINALIZER]}}).to_string();
        assert!(self.kubectl(&["patch", "ats", name, "--type=merge", "-p", &patch]).await.status.success());
    }

    fn started(&self) -> Vec<SessionView> {
        self.athena.sessions()
    }

    fn starts(&self) -> usize {
        self.athena.calls_of("StartSession", None)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the callers read better so")]
pub fn starting(group: &str, start: Value) -> Value {
    json!({"start": start, "workGroupRef": {"name": group}})
}

#[tokio::test]
async fn a_session_is_started_from_its_manifest_and_ended_with_its_object() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_session("nightly", &group).await;
    let object = world.until_reason("nightly", "Running").await;
    let [session] = world.started().try_into().expect("one session");
    let status = object.status.as_ref().unwrap();
    assert_eq!((status.session_id.as_ref(), status.work_group.as_deref()), (Some(&session.id), Some(TEAM_A)));
    assert_eq!(status.start_attempt.as_ref().unwrap().outcome, StartOutcome::Started);
    assert_eq!(condition(&object, "Active").unwrap().0, "True");
    world.until_event("nightly", "Normal Started").await;
    world.delete("nightly").await;
    world.until_gone("nightly").await;
    assert_eq!(world.athena_session(&session.id).state, "TERMINATED");
    assert_eq!((world.starts(), world.terminations(&session.id)), (1, 1));
}

/// S3: each version must send the same request, since Athena compares it with the one that first had this token.
#[tokio::test]
async fn the_request_is_as_it_always_was() {
    let world = World::new().await;
    world.start_operator().await;
    let role = "arn:aws:iam::123456789012:role/spark";
    let bounds = json!({
        "executionRoles": [role], "maxConcurrentDpus": 60, "monitoring": "Allowed", "tagKeys": ["team"],
        "engineConfiguration": {"coordinatorDpuSize": 1, "sparkProperties": {"spark.a": "usual"}},
    });
    let group = world.register_for_starts("a", bounds).await;
    let start = json!({
        "description": "nightly report", "executionRole": role, "tags": {"team": "a"}, "copyWorkGroupTags": false,
        "engineConfiguration": {"maxConcurrentDpus": 20, "additionalConfigs": {"NotebookId": "n"}},
        "notebookVersion": "Athena notebook version 1",
        "monitoringConfiguration": {
            "cloudWatchLoggingConfiguration":
                {"enabled": true, "logGroup": "/spark", "logStreamNamePrefix": "a", "logTypes": {"SPARK_DRIVER": ["STDOUT"]}},
            "managedLoggingConfiguration": {"enabled": false},
            "s3LoggingConfiguration": {"enabled": true, "logLocation": "s3://bucket/logs/"},
        },
    });
    let object = world.create("nightly", starting(&group, start)).await;
    world.until_reason("nightly", "Running").await;
    let calls = world.athena.calls();
    let call = calls.iter().find(|call| call.operation == "StartSession").unwrap();
    let mut sent: Value = serde_json::from_str(&call.body).unwrap();
    let (uid, namespace) = (object.uid().unwrap(), &world.namespace);
    let token = sent.as_object_mut().unwrap().remove("ClientRequestToken").unwrap();
    assert_eq!(token.as_str().unwrap().len(), 36);
    let cluster = sent["Tags"][0]["Value"].as_str().unwrap().to_owned();
    assert_eq!(cluster.len(), 36);
    let own = |key: &str, value: &str| json!({"Key": format!("athena-operator.dev/{key}"), "Value": value});
    assert_eq!(
        sent,
        json!({
            "WorkGroup": TEAM_A,
            "Description": format!("nightly report [athena-operator {cluster} {namespace}/nightly {uid}]"),
            "ExecutionRole": role,
            "CopyWorkGroupTags": false,
            "NotebookVersion": "Athena notebook version 1",
            "EngineConfiguration": {
                "CoordinatorDpuSize": 1, "MaxConcurrentDpus": 20,
                "AdditionalConfigs": {"NotebookId": "n"}, "SparkProperties": {"spark.a": "usual"},
            },
            "MonitoringConfiguration": {
                "CloudWatchLoggingConfiguration":
                    {"Enabled": true, "LogGroup": "/spark", "LogStreamNamePrefix": "a", "LogTypes": {"SPARK_DRIVER": ["STDOUT"]}},
                "ManagedLoggingConfiguration": {"Enabled": false},
                "S3LoggingConfiguration": {"Enabled": true, "LogLocation": "s3://bucket/logs/"},
            },
            "Tags": [
                own("cluster", &cluster), own("name", "nightly"), own("namespace", namespace), own("uid", &uid),
                {"Key": "team", "Value": "a"},
            ],
        })
    );
}

/// S2, S3: whatever happens to the answer, there is one session, and it ends with its object.
#[tokio::test]
async fn an_answer_that_is_lost_starts_no_second_session() {
    for (name, fault) in [
        ("cut before", Fault::cut()),
        ("cut after", Fault::cut().after_effect()),
        ("silence after", Fault::hang().after_effect()),
        ("late", Fault::delay(Duration::from_secs(5))),
        ("failed after", Fault::internal().after_effect()),
    ] {
        let world = World::new().await;
        world.athena.fault(fault.on("StartSession").times(1));
        world.start_operator().await;
        let group = world.register_for_starts("a", json!({})).await;
        world.start_session("nightly", &group).await;
        world.until_reason("nightly", "Running").await;
        assert_eq!(world.started().len(), 1, "{name}");
        world.delete("nightly").await;
        world.until_gone("nightly").await;
        // The call that was under way takes effect.
        sleep(Duration::from_secs(3)).await;
        assert!(world.started().iter().all(|session| session.state == "TERMINATED"), "{name}: {:?}", world.started());
        assert_eq!(world.started().len(), 1, "{name}");
    }
}

/// S2, L1: the object is deleted while StartSession hangs.
#[tokio::test]
async fn an_object_deleted_during_its_start_leaves_no_session() {
    for after_effect in [false, true] {
        let world = World::new().await;
        let fault = Fault::hang().on("StartSession").times(1);
        world.athena.fault(if after_effect { fault.after_effect() } else { fault });
        world.start_operator().await;
        let group = world.register_for_starts("a", json!({})).await;
        world.start_session("nightly", &group).await;
        eventually("the call is made", || async { (world.starts() == 1).then_some(()) }).await;
        world.delete("nightly").await;
        world.until_gone("nightly").await;
        assert_eq!(world.starts(), 1, "the call isn't repeated for a deleted object");
        assert_eq!(world.started().len(), usize::from(after_effect));
        assert!(world.started().iter().all(|session| session.state == "TERMINATED"));
    }
}

/// S3: the watch stands still, and the operator has an old copy of the object.
#[tokio::test]
async fn a_watch_that_stands_still_starts_no_second_session() {
    let world = World::new().await;
    let script = std::sync::Arc::default();
    world.start_operator_by_way_of(&script, &["--watch-timeout=60s"]).await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_session("nightly", &group).await;
    eventually("the call is made", || async { (world.starts() == 1).then_some(()) }).await;
    script.pause_watches(true);
    sleep(Duration::from_secs(4)).await;
    script.pause_watches(false);
    world.until_reason("nightly", "Running").await;
    assert_eq!((world.starts(), world.started().len()), (1, 1));
}

/// S1, S3: the status of an object is wiped. Then its manifest is applied anew, which gives a new UID.
#[tokio::test]
async fn a_wiped_status_finds_the_session_and_a_new_uid_starts_one() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_session("nightly", &group).await;
    world.until_reason("nightly", "Running").await;
    let first = world.started()[0].id.clone();
    world.kill_operator();
    world.wipe_status("nightly").await;
    world.start_operator().await;
    let object = world.until_reason("nightly", "Running").await;
    assert_eq!(object.status.unwrap().session_id, Some(first.clone()));
    assert_eq!(world.starts(), 1);
    world.edit("nightly", json!({"deletionPolicy": "Retain"})).await;
    world.delete("nightly").await;
    world.until_gone("nightly").await;
    world.start_session("nightly", &group).await;
    let object = world.until_reason("nightly", "Running").await;
    assert_ne!(object.status.unwrap().session_id, Some(first.clone()), "what was started for another object");
    world.delete("nightly").await;
    world.until_gone("nightly").await;
    assert_eq!(world.athena_session(&first).state, "IDLE", "the retained session was to be left alone");
}

/// S1: the name is used again while the first session ends.
#[tokio::test]
async fn a_name_that_is_used_again_stands_for_a_session_of_its_own() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    for _ in 0..2 {
        world.start_session("nightly", &group).await;
        world.until_reason("nightly", "Running").await;
        world.delete("nightly").await;
        world.until_gone("nightly").await;
    }
    assert_eq!(world.started().len(), 2);
    assert!(world.started().iter().all(|session| session.state == "TERMINATED"));
}

/// S5, S8: the bounds of the AthenaWorkGroup.
#[tokio::test]
async fn what_the_work_group_doesnt_allow_is_refused_without_a_call() {
    let world = World::new().await;
    world.start_operator().await;
    let none = world.register_for_all("none", TEAM_A).await;
    let some = world.register_for_starts("some", json!({"maxConcurrentDpus": 4})).await;
    let big = json!({"engineConfiguration": {"maxConcurrentDpus": 5}});
    for (name, spec, word) in [
        ("unset", starting(&none, json!({})), "spec.start isn't set"),
        ("big", starting(&some, big), "maxConcurrentDpus is 5"),
        ("tagged", starting(&some, json!({"tags": {"a": "b"}})), "the tag a"),
        ("logging", starting(&some, json!({"monitoringConfiguration": {}})), "forbids monitoringConfiguration"),
    ] {
        world.create(name, spec).await;
        let object = world.until_reason(name, "StartNotAllowed").await;
        assert!(!has_finalizer(&object));
        let message = condition(&object, "Ready").unwrap().2;
        assert!(message.contains(word), "{message}");
        world.delete(name).await;
        world.until_gone(name).await;
    }
    assert!(world.mutations().is_empty());
    // The session is started as soon as the work group allows it.
    world.start_session("later", &none).await;
    world.until_reason("later", "StartNotAllowed").await;
    world.edit_group(&none, json!({"spec": {"start": {}}})).await;
    world.until_reason("later", "Running").await;
}

/// S8: `sessionsPerNamespace`.
#[tokio::test]
async fn a_namespace_keeps_its_session_quota_and_the_next_one_waits() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({"sessionsPerNamespace": 2})).await;
    for name in ["one", "two", "three"] {
        world.start_session(name, &group).await;
        // Kubernetes' creation times have no fractions of seconds.
        sleep(Duration::from_millis(1_100)).await;
    }
    let waiting = world.until_reason("three", "WaitingForQuota").await;
    let message = condition(&waiting, "Ready").unwrap().2;
    assert!(message.contains("2 sessions") && message.contains("one and two have them."), "{message}");
    for name in ["one", "two"] {
        world.until_reason(name, "Running").await;
    }
    assert_eq!(world.starts(), 2);
    world.edit("one", json!({"terminate": true})).await;
    world.until_reason("three", "Running").await;
    assert_eq!(world.started().len(), 3);
}

/// S8: `sessionsPerNamespace`.
#[tokio::test]
async fn sessions_requested_at_once_stay_within_the_session_quota() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({"sessionsPerNamespace": 3})).await;
    for number in 0..10 {
        world.start_session(&format!("session-{number}"), &group).await;
    }
    eventually("three are started", || async { (world.starts() == 3).then_some(()) }).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(world.starts(), 3);
}

#[tokio::test]
async fn capacity_is_waited_for_and_a_refusal_is_quoted() {
    let world = World::new().await;
    world.athena.fault(Fault::error("TooManyRequestsException", "Maximum allowed sessions reached").on("StartSession"));
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_session("nightly", &group).await;
    let object = world.until_reason("nightly", "WaitingForCapacity").await;
    assert!(condition(&object, "Stalled").is_none());
    assert_eq!(object.status.unwrap().start_attempt.unwrap().outcome, StartOutcome::Refused);
    world.athena.clear_faults();
    for (words, reason) in [
        ("Work group spark-team-a is not Apache Spark enabled", "Invalid"),
        ("Maximum allowed sessions for this account is reached", "WaitingForCapacity"),
        ("MaxConcurrentDpus 70 is above the quota of 60 DPUs: capacity limit exceeded", "Invalid"),
        ("The session failed, the required capacity not being available", "WaitingForCapacity"),
    ] {
        world.athena.clear_faults();
        world.athena.fault(Fault::error("InvalidRequestException", words).on("StartSession"));
        let said = |object: &AthenaSession| {
            condition(object, "Ready").is_some_and(|it| it.1 == reason && it.2.contains(words))
        };
        let object = world.until("nightly", words, said).await;
        assert_eq!(condition(&object, "Stalled").is_some(), reason == "Invalid", "{words}");
    }
    // No session was started, so the object goes at once.
    world.delete("nightly").await;
    world.until_gone("nightly").await;
    assert!(world.started().is_empty());
}

#[tokio::test]
async fn a_session_that_fails_to_start_is_stalled_and_goes_at_once() {
    let world = World::with(fake_athena::Config { creating: None, ..fake_athena::Config::default() }).await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_session("nightly", &group).await;
    world.until_reason("nightly", "Starting").await;
    let id = eventually("it is started", || async { world.started().pop() }).await.id;
    world.athena.set_state(&id, "FAILED");
    let object = world.until_reason("nightly", "Failed").await;
    assert_eq!(condition(&object, "Stalled").unwrap().0, "True");
    world.delete("nightly").await;
    world.until_gone("nightly").await;
    assert_eq!(world.terminations(&id), 0);
}

#[tokio::test]
async fn a_degraded_session_isnt_active_and_warns() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_session("nightly", &group).await;
    world.until_reason("nightly", "Running").await;
    world.athena.set_state(&world.started()[0].id, "DEGRADED");
    let object = world.until_reason("nightly", "Degraded").await;
    assert_eq!(condition(&object, "Active").unwrap().0, "False");
}

/// S1: the object of the marker owns the session, and not an older object that names it.
#[tokio::test]
async fn a_session_belongs_to_the_object_whose_mark_it_bears() {
    let world = World::new().await;
    let group = world.register_for_starts("a", json!({})).await;
    let (cluster, id) = (world.cluster().await, "0a0a0a0a-0000-4000-8000-000000000000");
    world.create("older", referring(&group, id)).await;
    sleep(Duration::from_millis(1_100)).await;
    let starter = world.create("starter", starting(&group, json!({}))).await;
    let mark = format!("[athena-operator {cluster} {}/starter {}]", world.namespace, starter.uid().unwrap());
    let description = Some(format!("dbt {mark}"));
    let work_group = Some(TEAM_A.to_owned());
    world.athena.add_session(NewSession { id: Some(id.to_owned()), description, work_group, ..NewSession::default() });
    // The object, as an earlier operator left it.
    world.put_finalizer("starter").await;
    world.start_operator().await;
    let starter = world.until_reason("starter", "Running").await;
    assert_eq!(starter.status.unwrap().session_id.as_deref(), Some(id));
    world.until_reason("older", "AlreadyDeclared").await;
    world.delete("older").await;
    world.until_gone("older").await;
    assert_eq!((world.starts(), world.terminations(id)), (0, 0));
    world.delete("starter").await;
    world.until_gone("starter").await;
    assert_eq!(world.athena_session(id).state, "TERMINATED");
}

/// S5, L1: the grant is withdrawn, and then all is deleted.
#[tokio::test]
async fn what_was_started_is_ended_after_the_grant_was_withdrawn() {
    let world = World::new().await;
    world.start_operator().await;
    world.label("team=a").await;
    let namespaces = json!({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}});
    let group = world.register("a", json!({"workGroup": TEAM_A, "namespaces": namespaces, "start": {}})).await;
    world.start_session("nightly", &group).await;
    world.until_reason("nightly", "Running").await;
    world.label("team-").await;
    world.kill_operator();
    world.start_operator().await;
    world.objects().delete("nightly", &DeleteParams::default()).await.unwrap();
    world.until_gone("nightly").await;
    assert_eq!(world.started()[0].state, "TERMINATED");
    world.start_session("another", &group).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.starts(), 1);
}

#[tokio::test]
async fn read_only_starts_nothing() {
    let world = World::new().await;
    world.start_operator_with(Start::with(&["--read-only"])).await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_session("nightly", &group).await;
    world.until_reason("nightly", "ReadOnly").await;
    assert!(world.mutations().is_empty());
    world.delete("nightly").await;
    world.until_gone("nightly").await;
}

/// S7, L1: a tenant forges the status of an object that waits to start. The owner of the named session still ends it.
#[tokio::test]
async fn a_forged_start_record_takes_no_session_from_its_owner() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    let (id, work_group) = ("0b0b0b0b-0000-4000-8000-000000000000", Some(TEAM_A.to_owned()));
    world.athena.add_session(NewSession { id: Some(id.to_owned()), work_group, ..NewSession::default() });
    world.athena.fault(Fault::error("TooManyRequestsException", "no room").on("StartSession"));
    world.start_session("forger", &group).await;
    world.until_reason("forger", "WaitingForCapacity").await;
    let patch = json!({"status": {"sessionId": id}}).to_string();
    let patched =
        world.kubectl(&["patch", "ats", "forger", "--subresource=status", "--type=merge", "-p", &patch]).await;
    assert!(patched.status.success());
    sleep(Duration::from_millis(1_100)).await;
    world.create("victim", referring(&group, id)).await;
    world.until_reason("victim", "Running").await;
    world.delete("victim").await;
    world.until_gone("victim").await;
    assert_eq!(world.athena_session(id).state, "TERMINATED");
}

/// S1, S7: a tenant names another object's session, and forges a recorded end before the grant comes.
#[tokio::test]
async fn a_forged_record_of_an_end_ends_no_session_of_another_object() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_session("victim", &group).await;
    world.until_reason("victim", "Running").await;
    let victim = world.started()[0].id.clone();
    let other = world.register_for_label("b", TEAM_A).await;
    world.label("team-").await;
    let spec = json!({"sessionId": victim, "workGroupRef": {"name": other}, "terminate": true});
    world.create("forger", spec).await;
    world.until_reason("forger", "NamespaceNotAllowed").await;
    let forged = json!({"terminationRequestedAt": "2026-01-01T00:00:00Z", "terminationReason": "RequestedBySpec"});
    world.forge_status("forger", forged).await;
    world.label("team=a").await;
    world.until_reason("forger", "AlreadyDeclared").await;
    assert_eq!((world.terminations(&victim), world.athena_session(&victim).state.as_str()), (0, "IDLE"));
}

/// S8: all objects exist before the operator starts, and are adopted at once.
#[tokio::test]
async fn objects_found_at_startup_use_exactly_the_session_quota() {
    for _ in 0..3 {
        let world = World::new().await;
        let group = world.register_for_starts("a", json!({"sessionsPerNamespace": 3})).await;
        for number in 0..24 {
            world.start_session(&format!("session-{number}"), &group).await;
        }
        world.start_operator().await;
        eventually("three are started", || async { (world.starts() >= 3).then_some(()) }).await;
        sleep(Duration::from_secs(4)).await;
        assert_eq!(world.starts(), 3);
    }
}

/// An object that isn't allowed to start has no slot, however old it is.
#[tokio::test]
async fn a_start_that_isnt_allowed_any_more_holds_no_slot() {
    let world = World::new().await;
    world.start_operator().await;
    let bounds = |dpus| json!({"sessionsPerNamespace": 1, "maxConcurrentDpus": dpus});
    let group = world.register_for_starts("a", bounds(20)).await;
    world.athena.fault(Fault::error("TooManyRequestsException", "no room").on("StartSession"));
    world.create("large", starting(&group, json!({"engineConfiguration": {"maxConcurrentDpus": 20}}))).await;
    world.until_reason("large", "WaitingForCapacity").await;
    let patch = json!({"spec": {"start": bounds(10)}}).to_string();
    assert!(world.kubectl(&["patch", "atwg", &group, "--type=merge", "-p", &patch]).await.status.success());
    world.until_reason("large", "StartNotAllowed").await;
    world.athena.clear_faults();
    sleep(Duration::from_millis(1_100)).await;
    world.start_session("small", &group).await;
    world.until_reason("small", "Running").await;
}
