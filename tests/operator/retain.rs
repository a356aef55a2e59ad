//! `deletionPolicy: Retain`: a deleted object goes at once, and its session is left alone.

use fake_athena::Config;
use serde_json::json;

use crate::world::{World, eventually};

#[tokio::test]
async fn a_retained_session_is_left_alone_when_its_object_goes() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.session_in("IDLE");
    world.create("keep", json!({"sessionId": id, "deletionPolicy": "Retain"})).await;
    world.until_reason("keep", "Running").await;
    world.delete("keep").await;
    world.until_gone("keep").await;
    world.until_event("keep", "Normal Retained").await;
    assert_eq!(world.athena_session(&id).state, "IDLE");
    assert_eq!(world.terminations(&id), 0);
}

/// S2, L1: AWS denies every call, and only a person can end the wait.
#[tokio::test]
async fn retain_is_the_way_out_of_a_deletion_that_hangs() {
    let world = World::with(Config { terminating: None, ..Config::default() }).await;
    world.start_operator().await;
    let id = world.declare("hangs", "IDLE").await;
    world.until_reason("hangs", "Running").await;
    world.delete("hangs").await;
    eventually("TerminateSession is called", || async { (world.terminations(&id) > 0).then_some(()) }).await;
    assert!(world.get("hangs").await.is_some());
    world.edit("hangs", json!({"deletionPolicy": "Retain"})).await;
    world.until_gone("hangs").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATING");
}

#[tokio::test]
async fn terminate_ends_a_retained_session_too() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.session_in("IDLE");
    world.create("both", json!({"sessionId": id, "deletionPolicy": "Retain", "terminate": true})).await;
    world.until_reason("both", "Ended").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    world.delete("both").await;
    world.until_gone("both").await;
    assert!(!world.events("both").await.contains(&"Warning EndNotReached".to_owned()));
}

#[tokio::test]
async fn a_retained_object_goes_at_once_with_a_warning() {
    let world = World::with(Config { terminating: None, ..Config::default() }).await;
    world.start_operator().await;
    let id = world.session_in("IDLE");
    world.create("early", json!({"sessionId": id, "deletionPolicy": "Retain", "terminate": true})).await;
    eventually("TerminateSession is called", || async { (world.terminations(&id) > 0).then_some(()) }).await;
    world.delete("early").await;
    world.until_gone("early").await;
    world.until_event("early", "Warning EndNotReached").await;
}
