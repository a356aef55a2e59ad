//! Objects that a restore from a backup creates anew (Velero): they start no session by themselves.

use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::api::{AthenaSession, FINALIZER, RESTORED, START_RESTORED};
use crate::world::{World, condition, has_finalizer};

/// Creates an object as Velero does: with the finalizers of the backup, and without owners or status.
async fn restore(world: &World, name: &str, group: &str, finalizers: Value) {
    let object = json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
        "metadata": {
            "name": name, "namespace": world.namespace, "finalizers": finalizers,
            "labels": {RESTORED: "daily-1", "velero.io/backup-name": "daily"},
        },
        "spec": {"start": {}, "workGroupRef": {"name": group}},
    });
    let object: AthenaSession = serde_json::from_value(object).unwrap();
    world.objects().create(&PostParams::default(), &object).await.unwrap();
}

/// S3: a restored object starts nothing until its annotation allows the start.
#[tokio::test]
async fn a_restored_object_waits_for_its_annotation_to_start() {
    let world = World::new().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_operator().await;
    restore(&world, "with-finalizer", &group, json!([FINALIZER])).await;
    restore(&world, "without", &group, json!([])).await;
    for name in ["with-finalizer", "without"] {
        let object = world.until_reason(name, "Restored").await;
        let stalled = condition(&object, "Stalled").unwrap();
        assert!(stalled.2.contains("delete this object") && stalled.2.contains(START_RESTORED), "{}", stalled.2);
        assert_eq!(condition(&object, "Active").unwrap().0, "False");
        world.until_event(name, "Warning Restored").await;
        assert_eq!(has_finalizer(&object), name == "with-finalizer");
    }
    assert_eq!(world.athena.calls_of("StartSession", None), 0);
    // Both ways that the message names work.
    world.delete("without").await;
    world.until_gone("without").await;
    let patch = Patch::Merge(json!({"metadata": {"annotations": {START_RESTORED: "true"}}}));
    world.objects().patch("with-finalizer", &PatchParams::default(), &patch).await.unwrap();
    world.until_reason("with-finalizer", "Running").await;
    assert_eq!(world.athena.calls_of("StartSession", None), 1);
    world.delete("with-finalizer").await;
    world.until_gone("with-finalizer").await;
    assert_eq!(world.athena.sessions()[0].state, "TERMINATED");
}

/// S1, S3: the object that was backed up still exists, for example in another namespace, and keeps its session.
#[tokio::test]
async fn a_restored_status_gives_no_claim_to_the_session() {
    let world = World::new().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_operator().await;
    world.start_session("nightly", &group).await;
    let original = world.until_reason("nightly", "Running").await;
    let session = original.status.as_ref().unwrap().session_id.clone().unwrap();
    world.kill_operator();
    restore(&world, "copy", &group, json!([FINALIZER])).await;
    let mut status = serde_json::to_value(original.status.unwrap()).unwrap();
    status["startAttempt"]["at"] = json!("2020-01-01T00:00:00Z");
    world.forge_status("copy", status).await;
    world.start_operator().await;
    let copy = world.until_reason("copy", "Restored").await;
    assert_eq!(copy.status.unwrap().session_id, None);
    world.delete("copy").await;
    world.until_gone("copy").await;
    assert_eq!((world.terminations(&session), world.athena.calls_of("StartSession", None)), (0, 1));
    world.until_reason("nightly", "Running").await;
}
