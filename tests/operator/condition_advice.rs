//! Conditions give no advice that would end a live session. After a restart, an object whose session runs never says
//! that a start is forbidden, or that the object should be deleted.

use fake_athena::Fault;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::api::{AthenaSession, PAUSED};
use crate::launch::Start;
use crate::world::{World, condition};

const OTHERS_FINALIZER: &str = "example.com/held-by-this-test";

async fn hold_group(world: &World, group: &str, finalizers: Value) {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    world.groups().patch(group, &PatchParams::default(), &patch).await.unwrap();
}

/// The operator restarts while Athena is away, and meanwhile something has come to forbid starts.
#[tokio::test]
async fn a_session_that_runs_is_never_told_to_be_started() {
    for case in ["deleted", "narrowed", "read-only"] {
        let world = World::new().await;
        world.start_operator().await;
        let group = world.register_for_starts("a", json!({"maxConcurrentDpus": 20})).await;
        let start = json!({"engineConfiguration": {"maxConcurrentDpus": 20}});
        world.create("nightly", json!({"start": start, "workGroupRef": {"name": group}})).await;
        world.until_reason("nightly", "Running").await;
        world.kill_operator();
        match case {
            "deleted" => {
                hold_group(&world, &group, json!([OTHERS_FINALIZER])).await;
                world.delete_group(&group).await;
            }
            "narrowed" => world.edit_group(&group, json!({"spec": {"start": {"maxConcurrentDpus": 4}}})).await,
            _ => {}
        }
        for operation in ["GetSession", "GetSessionStatus", "ListSessions"] {
            world.athena.fault(Fault::internal().on(operation));
        }
        let arguments: &[&str] = if case == "read-only" { &["--read-only"] } else { &[] };
        world.start_operator_with(Start::with(arguments)).await;
        let object = world.until_reason("nightly", "AthenaUnavailable").await;
        assert_eq!(condition(&object, "Active").unwrap().0, "Unknown", "{case}");
        world.athena.clear_faults();
        let object = world.until_reason("nightly", "Running").await;
        assert_eq!(condition(&object, "Active").unwrap().0, "True", "{case}");
        let events = world.events("nightly").await;
        let misleads = |event: &String| {
            ["StartNotAllowed", "WorkGroupTerminating", "ReadOnly"].iter().any(|reason| event.contains(reason))
        };
        assert!(!events.iter().any(misleads), "{case}: {events:?}");
        assert_eq!(world.athena.calls_of("StartSession", None), 1, "{case}");
        if case == "deleted" {
            hold_group(&world, &group, Value::Null).await;
        }
    }
}

/// The reason `ReadOnly` announces only a call that nothing else would hold up.
#[tokio::test]
async fn read_only_forecasts_as_many_starts_as_there_are_slots() {
    let world = World::new().await;
    let group = world.register_for_starts("a", json!({"sessionsPerNamespace": 1})).await;
    world.start_session("first", &group).await;
    // Kubernetes' creation times have no fractions of seconds.
    sleep(std::time::Duration::from_millis(1_100)).await;
    world.start_session("second", &group).await;
    world.start_operator_with(Start::with(&["--read-only"])).await;
    world.until_reason("first", "ReadOnly").await;
    world.until_reason("second", "WaitingForQuota").await;
    world.kill_operator();
    world.start_operator().await;
    world.until_reason("first", "Running").await;
    world.until_reason("second", "WaitingForQuota").await;
    assert_eq!(world.athena.calls_of("StartSession", None), 1);
}

#[tokio::test]
async fn the_annotation_paused_holds_up_a_start_until_it_goes() {
    let world = World::new().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.edit_group(&group, json!({"metadata": {"annotations": {PAUSED: "true"}}})).await;
    // With a slow poll, only the change itself can have a quick effect.
    world.start_operator_with(Start::with(&["--poll-interval=1h"])).await;
    world.start_session("nightly", &group).await;
    let object = world.until_reason("nightly", "Paused").await;
    let message = condition(&object, "Stalled").unwrap().2;
    assert!(message.contains("the start") && message.contains(&group), "{message}");
    let patch = Patch::Merge(json!({"metadata": {"annotations": {PAUSED: "true"}}}));
    world.objects().patch("nightly", &PatchParams::default(), &patch).await.unwrap();
    world.edit_group(&group, json!({"metadata": {"annotations": {PAUSED: "false"}}})).await;
    let on_object = |it: &AthenaSession| {
        condition(it, "Ready").is_some_and(|ready| ready.1 == "Paused" && ready.2.contains("on this object"))
    };
    world.until("nightly", "paused by its own annotation", on_object).await;
    assert_eq!(world.athena.calls_of("StartSession", None), 0);
    let patch = Patch::Merge(json!({"metadata": {"annotations": {PAUSED: "false"}}}));
    world.objects().patch("nightly", &PatchParams::default(), &patch).await.unwrap();
    world.until_reason("nightly", "Running").await;
}
