//! Races with the API server: old copies of objects, late writes, and names that are used again (S1, S2).

use std::sync::Arc;
use std::time::Duration;

use fake_athena::{Config, Fault, NewSession};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::sleep;

use crate::api::FINALIZER;
use crate::proxy::{Script, about};
use crate::world::{World, eventually, has_finalizer, within};

/// S1: the UID counts and not the name, so a new object isn't taken for the old one.
#[tokio::test]
async fn a_name_created_again_during_the_end_is_another_object() {
    let world = World::with(Config { terminating: Some(Duration::from_secs(1)), ..Config::default() }).await;
    world.start_operator().await;
    let old = world.declare("name", "IDLE").await;
    let first = world.until_reason("name", "Running").await;
    world.delete("name").await;
    eventually("TerminateSession is called", || async { (world.terminations(&old) > 0).then_some(()) }).await;
    // Somebody removes the finalizer by force and creates the name again.
    let by_force = r#"{"metadata":{"finalizers":null}}"#;
    world.plane.kubectl_ok(&["patch", "ats", "name", "-n", &world.namespace, "--type=merge", "-p", by_force]).await;
    world.until_gone("name").await;
    let new = world.athena.add_session(NewSession {
        state: "IDLE".to_owned(),
        work_group: Some("spark-team-b".to_owned()),
        ..NewSession::default()
    });
    world.create("name", json!({"sessionId": new})).await;
    let second = world.until_reason("name", "Running").await;
    assert_ne!(first.metadata.uid, second.metadata.uid);
    let status = second.status.unwrap();
    assert_eq!(status.session_id, Some(new.clone()));
    assert_eq!(status.work_group.as_deref(), Some("spark-team-b"), "nothing of the old object's session");
    sleep(Duration::from_secs(2)).await;
    let object = world.get("name").await.expect("the new object stays");
    assert!(has_finalizer(&object) && object.metadata.deletion_timestamp.is_none());
    assert_eq!(world.athena_session(&new).state, "IDLE");
    assert_eq!(world.athena_session(&old).state, "TERMINATED");
}

/// S2: the removal of the finalizer is on its way while a new object takes the name.
#[tokio::test]
async fn a_late_finalizer_removal_doesnt_hit_a_new_object() {
    let world = World::with(Config { terminating: None, ..Config::default() }).await;
    let script = Arc::new(Script::default());
    world.start_operator_by_way_of(&script, &[]).await;
    let old = world.declare("name", "IDLE").await;
    world.until_reason("name", "Running").await;
    let (held, release) = script.hold(&about("PATCH", "name"));
    world.delete("name").await;
    eventually("TerminateSession is called", || async { (world.terminations(&old) > 0).then_some(()) }).await;
    world.athena.set_state(&old, "TERMINATED");
    held.arrived().await;

    let by_force = r#"{"metadata":{"finalizers":null}}"#;
    world.plane.kubectl_ok(&["patch", "ats", "name", "-n", &world.namespace, "--type=merge", "-p", by_force]).await;
    world.until_gone("name").await;
    let new = world.session_in("IDLE");
    let manifest = json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
        "metadata": {"name": "name", "namespace": world.namespace, "finalizers": [FINALIZER]},
        "spec": {"sessionId": new},
    });
    world.plane.kubectl_with_ok(&["create", "-f", "-"], &manifest.to_string()).await;
    world.delete("name").await;
    release.send_replace(true);
    eventually("TerminateSession is called", || async { (world.terminations(&new) > 0).then_some(()) }).await;
    assert!(has_finalizer(&world.get("name").await.expect("its session is TERMINATING")));
    world.athena.set_state(&new, "TERMINATED");
    world.until_gone("name").await;
}

/// L1: a finalizer that is added during the deletion would make the object hang.
#[tokio::test]
async fn an_object_deleted_before_the_patch_gets_no_finalizer() {
    let world = World::new().await;
    let script = Arc::new(Script::default());
    let patch = about("PATCH", "race");
    let (held, release) = script.hold(&patch);
    world.start_operator_by_way_of(&script, &[]).await;

    let id = world.session_in("IDLE");
    world.plane.kubectl_with_ok(
        &["create", "-f", "-"],
        &json!({
            "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
            "metadata": {"name": "race", "namespace": world.namespace, "finalizers": ["example.com/somebody-elses"]},
            "spec": {"sessionId": id},
        })
        .to_string(),
    )
    .await;
    held.arrived().await;
    world.delete("race").await;
    release.send_replace(true);
    sleep(Duration::from_secs(2)).await;
    let object = world.get("race").await.expect("the other finalizer holds it");
    assert!(!has_finalizer(&object), "a finalizer was added to an object that is being deleted");
    assert_eq!(world.terminations(&id), 0, "without the operator's finalizer nothing is ended");
    // The API server itself refuses this finalizer, and the operator must not try again.
    assert_eq!(script.count(&patch), 1, "the patch is tried again");
}

/// S1: Retain was set, and the watch stands still. The operator must read the object before it ends the session.
#[tokio::test]
async fn a_session_isnt_ended_by_an_old_copy_of_its_object() {
    let world = World::new().await;
    let script = Arc::new(Script::default());
    let arguments = ["--backoff-min=4s", "--backoff-max=4s", "--watch-timeout=60s"];
    world.start_operator_by_way_of(&script, &arguments).await;
    let id = world.declare("changed", "IDLE").await;
    world.until_reason("changed", "Running").await;
    world.athena.fault(Fault::throttled().on("TerminateSession").times(1));
    world.delete("changed").await;
    eventually("a refused call", || async { (world.terminations(&id) > 0).then_some(()) }).await;
    // The watch brings the operator's own write, and then nothing more.
    sleep(Duration::from_millis(500)).await;
    script.pause_watches(true);
    world.edit("changed", json!({"deletionPolicy": "Retain"})).await;
    world.until_gone("changed").await;
    assert_eq!(world.terminations(&id), 1, "only the refused call");
    assert_eq!(world.athena_session(&id).state, "IDLE");
    assert!(script.count(&about("GET", "changed")) > 0, "the object was read, not only watched");
}

/// L1: somebody else writes to the object all the time.
#[tokio::test]
async fn a_storm_of_conflicts_doesnt_hold_up_the_end() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("storm", "IDLE").await;
    world.until_reason("storm", "Running").await;
    let objects = world.objects();
    let storm = tokio::spawn(async move {
        for number in 0.. {
            let patch = Patch::Merge(json!({"metadata": {"annotations": {"storm": number.to_string()}}}));
            if objects.patch("storm", &PatchParams::default(), &patch).await.is_err() {
                return;
            }
        }
    });
    sleep(Duration::from_secs(1)).await;
    let looks = || world.athena.calls().iter().filter(|call| call.session.as_deref() == Some(&id)).count();
    let before = looks();
    sleep(Duration::from_secs(3)).await;
    let looked = looks() - before;
    assert!(looked <= 5, "{looked} calls in 3 s: a change of the object isn't one of the session");
    world.delete("storm").await;
    assert!(within(Duration::from_secs(30), world.until_gone("storm")).await);
    storm.abort();
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}
