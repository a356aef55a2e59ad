//! Attacks on `sessionsPerNamespace`: more sessions than a namespace may have, and slots that nobody gets. And mistakes
//! with limits and workloads that only a real poller or API server can cause.

use std::time::Duration;

use fake_athena::Fault;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::api::{AthenaSession, FINALIZER};
use crate::launch::Start;
use crate::proxy::{Meddle, Script};
use crate::tenancy::{TEAM_A, referring};
use crate::world::{World, condition, eventually, within};

impl World {
    /// How many sessions live in Athena.
    fn alive(&self) -> usize {
        self.athena.sessions().iter().filter(|it| it.state != "TERMINATED" && it.state != "FAILED").count()
    }

    async fn patch_finalizers(&self, name: &str, finalizers: Value) {
        let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
        self.objects().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }
}

/// S8: an object whose start was refused has no slot while it is Stalled.
#[tokio::test]
async fn a_retried_start_takes_no_slot_that_another_object_has() {
    let world = World::new().await;
    let environment = vec![("ATHENA_OPERATOR_POLL_INTERVAL", "12s".to_owned())];
    world.start_operator_with(Start { environment, ..Start::default() }).await;
    let group = world.register_for_starts("a", json!({"sessionsPerNamespace": 1})).await;
    let denied = "not authorized to perform: iam:PassRole";
    world.athena.fault(Fault::error("AccessDeniedException", denied).on("StartSession").times(1));
    world.start_session("refused", &group).await;
    world.until_reason("refused", "AccessDenied").await;
    world.start_session("next", &group).await;
    world.until_reason("next", "Running").await;
    assert_eq!(world.alive(), 1);
    // The refused start is repeated after a while.
    let second = eventually("there are two", || async { (world.alive() > 1).then_some(()) });
    assert!(!within(Duration::from_secs(20), second).await, "two sessions at once, and one is allowed");
    let told = |object: &AthenaSession| {
        condition(object, "Stalled").is_some_and(|it| it.1 == "AccessDenied" && it.2.contains("next has it"))
    };
    world.until("refused", "the condition names the refusal and the missing slot", told).await;
}

/// S7: a forged end in the status frees no slot.
#[tokio::test]
async fn a_forged_end_makes_no_room_for_another_session() {
    let world = World::new().await;
    let environment = vec![("ATHENA_OPERATOR_POLL_INTERVAL", "12s".to_owned())];
    world.start_operator_with(Start { environment, ..Start::default() }).await;
    let group = world.register_for_starts("a", json!({"sessionsPerNamespace": 1})).await;
    world.start_session("forger", &group).await;
    let object = world.until_reason("forger", "Running").await;
    let mut conditions = serde_json::to_value(&object.status.unwrap().conditions).unwrap();
    for condition in conditions.as_array_mut().unwrap() {
        if condition["type"] == "Terminated" {
            condition["status"] = json!("True");
        }
    }
    world.forge_status("forger", json!({"conditions": conditions})).await;
    world.start_session("next", &group).await;
    let second = eventually("there are two", || async { (world.alive() > 1).then_some(()) });
    assert!(!within(Duration::from_secs(8), second).await, "two sessions at once, and one is allowed");
    world.edit("forger", json!({"terminate": true})).await;
    world.until_reason("next", "Running").await;
    assert_eq!(world.alive(), 1);
}

/// L1: an object that is being deleted starts nothing, whatever other finalizer holds it.
#[tokio::test]
async fn an_object_held_by_a_foreign_finalizer_keeps_no_slot() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({"sessionsPerNamespace": 1})).await;
    world.athena.fault(Fault::error("TooManyRequestsException", "no room").on("StartSession"));
    world.start_session("going", &group).await;
    world.until_reason("going", "WaitingForCapacity").await;
    let finalizers = [FINALIZER, "example.com/hold"];
    world.patch_finalizers("going", json!(finalizers)).await;
    sleep(Duration::from_millis(1_100)).await;
    world.start_session("waiting", &group).await;
    world.until_reason("waiting", "WaitingForQuota").await;
    world.delete("going").await;
    let let_go =
        |object: &AthenaSession| object.metadata.finalizers.as_deref() == Some(&["example.com/hold".to_owned()]);
    world.until("going", "the finalizer is gone", let_go).await;
    world.athena.clear_faults();
    let is_up = within(Duration::from_secs(10), world.until_reason("waiting", "Running")).await;
    let waiting = world.get("waiting").await.unwrap();
    let message = condition(&waiting, "Ready").map(|it| it.2.to_owned());
    world.patch_finalizers("going", json!([])).await;
    assert!(is_up, "{message:?}");
}

/// Athena fails for a moment, just when maxIdle is over, and then the session becomes BUSY. Only the poller looks at
/// the session from now on. The old error must not be reported for ever.
#[tokio::test]
async fn trouble_with_a_look_that_nobody_needs_any_more_passes() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_all("a", TEAM_A).await;
    let id = world.session_of(TEAM_A);
    let mut spec = referring(&group, &id);
    spec["maxIdle"] = json!("4s");
    world.create("nightly", spec).await;
    world.until_reason("nightly", "Running").await;
    world.athena.fault(Fault::internal().on("GetSessionStatus"));
    world.athena.fault(Fault::internal().on("GetSession"));
    world.until_reason("nightly", "AthenaUnavailable").await;
    world.athena.set_state(&id, "BUSY");
    sleep(Duration::from_secs(1)).await;
    world.athena.clear_faults();
    let is_up = within(Duration::from_secs(20), world.until_reason("nightly", "Running")).await;
    let message = condition(&world.get("nightly").await.unwrap(), "Ready").map(|it| it.2.to_owned());
    assert!(is_up && world.terminations(&id) == 0, "twenty seconds later: {message:?}");
}

/// S1: a load balancer or a starting API server answers 404 for a moment. That isn't the absence of a Job.
#[tokio::test]
async fn a_404_of_something_on_the_way_is_no_end_of_a_job() {
    let world = World::with_workloads().await;
    let is_away = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let away = std::sync::Arc::clone(&is_away);
    let script = Script::meddling(move |name, _| {
        let is_read = name.starts_with("GET") && name.contains("/jobs/");
        (is_read && away.load(std::sync::atomic::Ordering::Relaxed))
            .then(|| Meddle::Answer(404, json!("404 page not found")))
    });
    world.start_operator_by_way_of(&script, &["--end-with", "--end-with-delay=1s"]).await;
    world.add_job("job").await;
    let id = world.follow("nightly", "job").await;
    world.until_seen("nightly").await;
    is_away.store(true, std::sync::atomic::Ordering::Relaxed);
    // Each change of the Job makes the operator read it.
    let patch = r#"{"spec":{"endWith":[{"kind":"Job","name":"job"},{"kind":"Job","name":"other"}]}}"#;
    world.kubectl(&["patch", "ats", "nightly", "--type=merge", "-p", patch]).await;
    let patch = r#"{"spec":{"endWith":[{"kind":"Job","name":"job"}]}}"#;
    sleep(Duration::from_secs(1)).await;
    world.kubectl(&["patch", "ats", "nightly", "--type=merge", "-p", patch]).await;
    sleep(Duration::from_secs(8)).await;
    assert_eq!(world.terminations(&id), 0, "the Job is at work");
}
