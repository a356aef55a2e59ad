//! `deletionPolicy: Retain`: a deleted object goes at once, and its session is left alone. A session that the operator started
//! is tagged first.

use std::time::Duration;

use fake_athena::{Config, Fault, SessionView};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::RETAINED_TAG;
use crate::launch::Start;
use crate::world::{World, eventually, within};

impl World {
    /// Starts a session for an object with `deletionPolicy: Retain`, and waits until it is up.
    async fn start_retained(&self, name: &str, group: &str) {
        let spec = json!({"start": {}, "workGroupRef": {"name": group}, "deletionPolicy": "Retain"});
        self.create(name, spec).await;
        self.until_reason(name, "Running").await;
    }

    fn tag_calls(&self) -> usize {
        self.athena.calls_of("TagResource", None)
    }
}

fn is_tagged(session: &SessionView) -> bool {
    session.tags.contains_key(RETAINED_TAG)
}

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

#[tokio::test]
async fn a_started_session_is_tagged_before_its_object_goes() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_retained("keep", &group).await;
    let before = Timestamp::now() - Duration::from_secs(1);
    world.delete("keep").await;
    world.until_gone("keep").await;
    let [session] = world.athena.sessions().try_into().expect("one session");
    assert_eq!((session.state.as_str(), world.tag_calls()), ("IDLE", 1));
    let retained_at: Timestamp = session.tags[RETAINED_TAG].parse().unwrap();
    assert!(before <= retained_at && retained_at <= Timestamp::now(), "{retained_at}");
    assert!(!world.note_of("keep", "Normal Retained").await.contains("couldn't be tagged"));
    let log = world.log();
    let line = log.lines().find(|line| line.contains("\"TagResource\"")).expect("it is in the audit log");
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["session"], &line["name"]), (&json!(session.id), &json!("keep")));
    assert_ne!(line["aws_request_id"], "none");
}

/// L1: the tag is best effort, whatever becomes of the call.
#[tokio::test]
async fn an_object_goes_although_its_session_cant_be_tagged() {
    let world = World::new().await;
    world.start_operator_with(Start::with(&["--aws-timeout=2s"])).await;
    let group = world.register_for_starts("a", json!({})).await;
    let faults = [
        ("denied", Fault::error("AccessDeniedException", "no")),
        ("throttled", Fault::throttled()),
        ("broken", Fault::internal()),
        ("cut", Fault::cut()),
        ("hangs", Fault::hang()),
    ];
    for (name, fault) in faults {
        world.start_retained(name, &group).await;
        world.athena.clear_faults();
        world.athena.clear_calls();
        world.athena.fault(fault.on("TagResource"));
        world.delete(name).await;
        assert!(within(Duration::from_secs(10), world.until_gone(name)).await, "{name}");
        assert_eq!(world.tag_calls(), 1, "{name}: one attempt");
        assert!(world.note_of(name, "Normal Retained").await.contains("couldn't be tagged"), "{name}");
    }
    assert!(world.athena.sessions().iter().all(|session| session.state == "IDLE" && !is_tagged(session)));
    assert!(world.log().contains("AccessDeniedException"));
}

#[tokio::test]
async fn a_read_only_operator_tags_nothing() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_retained("keep", &group).await;
    world.kill_operator();
    world.start_operator_with(Start::with(&["--read-only"])).await;
    world.delete("keep").await;
    world.until_gone("keep").await;
    assert_eq!(world.tag_calls(), 0);
}
