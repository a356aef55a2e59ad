//! Suspended ends: the flag `--read-only`, and the annotation `athena-operator.dev/paused`.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::api::PAUSED;
use crate::launch::Start;
use crate::tenancy::TEAM_A;
use crate::world::{World, condition, has_finalizer};

async fn annotate(world: &World, name: &str, value: Value) {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {PAUSED: value}}}));
    world.objects().patch(name, &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test]
async fn a_read_only_operator_ends_nothing_and_says_what_it_would_do() {
    let world = World::new().await;
    let group = world.register_for_all("a", TEAM_A).await;
    let session = world.session_of(TEAM_A);
    world.start_operator_with(Start::with(&["--read-only"])).await;
    world.refer("kept", &group, &session).await;
    let bare = world.declare("bare", "BUSY").await;
    world.until_reason("kept", "Running").await;
    world.until_reason("bare", "Running").await;
    world.delete("kept").await;
    world.edit("bare", json!({"terminate": true})).await;
    let kept = world.until_reason("kept", "ReadOnly").await;
    let message = condition(&kept, "Stalled").unwrap().2;
    assert!(message.contains("--read-only") && message.contains("TerminateSession"), "{message}");
    world.until_reason("bare", "ReadOnly").await;
    sleep(Duration::from_secs(2)).await;
    let kept = world.get("kept").await.unwrap();
    assert!(has_finalizer(&kept));
    assert!(world.mutations().is_empty());
    let log = world.log();
    let would = log.lines().filter(|line| line.contains("read-only") && line.contains(&session)).count();
    assert_eq!(would, 1, "the log says once what would be done: {log}");

    world.kill_operator();
    world.start_operator().await;
    world.until_gone("kept").await;
    world.until_reason("bare", "Ended").await;
    assert_eq!((world.terminations(&session), world.terminations(&bare)), (1, 1));
}

/// L1: an object whose session has ended by itself goes.
#[tokio::test]
async fn a_read_only_operator_lets_go_of_what_has_ended() {
    let world = World::new().await;
    world.start_operator_with(Start::with(&["--read-only"])).await;
    let id = world.declare("object", "IDLE").await;
    world.until_reason("object", "Running").await;
    world.delete("object").await;
    world.until_reason("object", "ReadOnly").await;
    world.athena.set_state(&id, "TERMINATED");
    world.until_gone("object").await;
    assert!(world.mutations().is_empty());
}

#[tokio::test]
async fn a_paused_object_ends_nothing_until_the_annotation_goes() {
    let world = World::new().await;
    // With a slow poll, only the change itself can have a quick effect.
    world.start_operator_with(Start::with(&["--poll-interval=1h"])).await;
    let id = world.declare("object", "IDLE").await;
    world.until_reason("object", "Running").await;
    annotate(&world, "object", json!("incident 42")).await;
    world.delete("object").await;
    let object = world.until_reason("object", "Paused").await;
    let message = condition(&object, "Stalled").unwrap().2;
    assert!(message.contains(PAUSED) && message.contains("deletionPolicy: Retain"), "{message}");
    sleep(Duration::from_secs(2)).await;
    assert!(world.mutations().is_empty());
    annotate(&world, "object", Value::Null).await;
    world.until_gone("object").await;
    assert_eq!(world.terminations(&id), 1);
}

#[tokio::test]
async fn a_paused_work_group_ends_nothing_until_the_annotation_goes() {
    let world = World::new().await;
    world.start_operator_with(Start::with(&["--poll-interval=1h"])).await;
    let group = world.register_for_all("a", TEAM_A).await;
    let (deleted, terminated) = (world.session_of(TEAM_A), world.session_of(TEAM_A));
    world.refer("deleted", &group, &deleted).await;
    world.refer("terminated", &group, &terminated).await;
    world.until_reason("deleted", "Running").await;
    world.until_reason("terminated", "Running").await;
    world.edit_group(&group, json!({"metadata": {"annotations": {PAUSED: "true"}}})).await;
    // The operator must have seen the annotation before the end is asked for.
    sleep(Duration::from_millis(500)).await;
    world.delete("deleted").await;
    world.edit("terminated", json!({"terminate": true})).await;
    let object = world.until_reason("deleted", "Paused").await;
    assert!(condition(&object, "Ready").unwrap().2.contains(&group));
    world.until_reason("terminated", "Paused").await;
    sleep(Duration::from_secs(2)).await;
    assert!(world.mutations().is_empty());
    world.edit_group(&group, json!({"metadata": {"annotations": {PAUSED: Value::Null}}})).await;
    world.until_gone("deleted").await;
    world.until_reason("terminated", "Ended").await;
    assert_eq!((world.terminations(&deleted), world.terminations(&terminated)), (1, 1));
}

#[tokio::test]
async fn a_pause_that_says_false_pauses_nothing() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("object", "IDLE").await;
    world.until_reason("object", "Running").await;
    annotate(&world, "object", json!("false")).await;
    world.delete("object").await;
    world.until_gone("object").await;
    assert_eq!(world.terminations(&id), 1);
}
