//! Sessions that Athena doesn't know: what proves it, and what doesn't.

use std::time::Duration;

use fake_athena::{Config, Fault, NewSession, NotFound};
use serde_json::json;
use tokio::time::sleep;

use crate::world::{World, condition, eventually, has_finalizer};

/// Bug 6: one transient NotFound that drops the claim while the machine lives.
#[tokio::test]
async fn one_not_found_while_it_is_terminating_lets_nothing_go() {
    let world = World::with(Config { terminating: None, ..Config::default() }).await;
    world.start_operator().await;
    let id = world.declare("blink", "IDLE").await;
    world.until_reason("blink", "Running").await;
    world
        .athena
        .fault(Fault::error("InvalidRequestException", "Session does not exist").on("GetSessionStatus").times(1));
    world.delete("blink").await;
    let struck = || world.athena.calls().iter().any(|call| call.outcome.contains("InvalidRequest"));
    eventually("Athena denies the session once", || async { struck().then_some(()) }).await;
    sleep(Duration::from_secs(3)).await;
    assert!(world.get("blink").await.is_some(), "the session is still TERMINATING");
    world.athena.set_state(&id, "TERMINATED");
    world.until_gone("blink").await;
}

#[tokio::test]
async fn a_session_that_athena_forgot_is_let_go_after_two_answers_and_a_listing() {
    for not_found in [NotFound::InvalidRequest, NotFound::ResourceNotFound] {
        let world = World::with(Config { not_found, ..Config::default() }).await;
        world.start_operator().await;
        let id = world.declare("forgotten", "IDLE").await;
        world.until_reason("forgotten", "Running").await;
        world.athena.forget(&id);
        let gone = world.until_reason("forgotten", "SessionNotFound").await;
        assert_eq!(condition(&gone, "Terminated").unwrap().1, "NotFound");
        assert_eq!(condition(&gone, "Stalled").unwrap().0, "True");
        let calls = world.athena.calls().into_iter();
        let denied: Vec<_> = calls.filter(|call| call.status == Some(400)).map(|call| call.at).collect();
        let apart = denied.last().unwrap().duration_since(denied[0]);
        assert!(apart >= Duration::from_secs(1).try_into().unwrap(), "--confirm-absence-after: {denied:?}");
        assert!(world.athena.calls_of("ListSessions", None) >= 8);
        world.delete("forgotten").await;
        world.until_gone("forgotten").await;
        assert_eq!(world.terminations(&id), 0);
    }
}

#[tokio::test]
async fn a_listed_session_isnt_absent_whatever_the_status_call_says() {
    let world = World::with(Config { terminating: None, ..Config::default() }).await;
    world.start_operator().await;
    // It is on the last page of every list.
    let id = world.athena.add_session(NewSession { age: Duration::from_secs(3_600), ..NewSession::default() });
    for _ in 0..150 {
        world.session_in("TERMINATING");
    }
    world.create("listed", json!({"sessionId": id})).await;
    world.until_reason("listed", "Running").await;
    world.athena.fault(Fault::error("InvalidRequestException", "Session does not exist").on("GetSessionStatus"));
    world.delete("listed").await;
    world.until_reason("listed", "Invalid").await;
    sleep(Duration::from_secs(2)).await;
    assert!(world.get("listed").await.is_some());
    world.athena.clear_faults();
    world.athena.set_state(&id, "TERMINATED");
    world.until_gone("listed").await;
}

/// Athena may deny a session that has just been started.
#[tokio::test]
async fn one_not_found_of_a_session_never_seen_lets_nothing_go() {
    let world = World::new().await;
    world.athena.fault(Fault::error("InvalidRequestException", "Session does not exist").on("GetSession").times(1));
    let id = world.session_in("IDLE");
    world.start_operator().await;
    world.create("young", json!({"sessionId": id})).await;
    world.until("young", "the finalizer is there", has_finalizer).await;
    world.delete("young").await;
    world.until_gone("young").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    assert_eq!(world.terminations(&id), 1);
}

#[tokio::test]
async fn a_mistyped_id_is_told_and_its_object_goes_when_it_is_deleted() {
    let world = World::new().await;
    world.start_operator().await;
    world.create("typo", json!({"sessionId": "no-such-session"})).await;
    let missing = world.until_reason("typo", "SessionNotFound").await;
    let message = condition(&missing, "Stalled").unwrap().2;
    assert!(
        message.contains("no-such-session") && message.contains("eu-west-1") && message.contains("123456789012"),
        "{message}"
    );
    world.until_event("typo", "Warning SessionNotFound").await;
    world.delete("typo").await;
    world.until_gone("typo").await;
    assert_eq!(world.terminations("no-such-session"), 0);
}
