//! The recorded status: what is kept of a session, also after its end.

use std::time::Duration;

use fake_athena::Fault;
use serde_json::json;
use tokio::time::sleep;

use crate::api::{AthenaSession, TerminationReason};
use crate::world::{World, condition, eventually};

#[tokio::test]
async fn spec_terminate_ends_the_session_and_keeps_the_object() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("record", "BUSY").await;
    world.until_reason("record", "Running").await;
    world.edit("record", json!({"terminate": true})).await;
    let ended = world.until_reason("record", "Ended").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    let status = ended.status.clone().unwrap();
    assert_eq!(status.state.as_deref(), Some("TERMINATED"));
    assert!(status.ended_at.is_some() && status.termination_requested_at.is_some());
    let session = world.athena_session(&id);
    let lived = session.ended_at.unwrap().duration_since(session.started_at).as_millis();
    assert_eq!(status.dpu_execution_millis.map(i128::from), Some(lived), "Athena's figure at the end");
    assert_eq!(status.termination_reason, Some(TerminationReason::RequestedBySpec));
    world.until_event("record", "Normal Terminated").await;
    assert_eq!(condition(&ended, "Terminated").unwrap().1, "RequestedBySpec");
    assert_eq!(condition(&ended, "Ready").unwrap().0, "True");
    assert_eq!(condition(&ended, "Active").unwrap().0, "False");
    assert_eq!(world.terminations(&id), 1);

    // L2: an ended session isn't asked about any more. The deleted object goes at once.
    let calls = || world.athena.calls().iter().filter(|call| call.operation != "GetCallerIdentity").count();
    let before = calls();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(calls(), before);
    world.delete("record").await;
    world.until_gone("record").await;
    assert_eq!(calls(), before);
}

#[tokio::test]
async fn a_session_that_ends_by_itself_is_recorded() {
    let world = World::new().await;
    world.start_operator().await;
    let ends = world.declare("ends", "IDLE").await;
    let fails = world.declare("fails", "IDLE").await;
    world.until_reason("ends", "Running").await;
    world.until_reason("fails", "Running").await;
    world.athena.set_state(&ends, "TERMINATED");
    world.athena.set_state(&fails, "FAILED");
    let ended = world.until_reason("ends", "Ended").await;
    assert_eq!(condition(&ended, "Terminated").unwrap().1, "EndedElsewhere");
    assert_eq!(condition(&ended, "Ready").unwrap().0, "True");
    let failed = world.until_reason("fails", "Failed").await;
    assert_eq!(condition(&failed, "Terminated").unwrap().1, "Failed");
    assert_eq!(condition(&failed, "Stalled").unwrap().0, "True");
    world.until_event("fails", "Warning Failed").await;
    assert_eq!(world.terminations(&ends) + world.terminations(&fails), 0);
}

#[tokio::test]
async fn a_recorded_end_isnt_taken_back_where_athena_refuses_to_tell() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.session_in("IDLE");
    world.create("ended", json!({"sessionId": id, "terminate": true})).await;
    let before = world.until_reason("ended", "Ended").await;
    world.kill_operator();
    world.athena.clear_calls();
    world.athena.fault(Fault::error("AccessDeniedException", "no").on("GetSession"));
    world.start_operator().await;
    eventually("a refusal", || async { (world.athena.calls_of("GetSession", Some(&id)) > 1).then_some(()) }).await;
    sleep(Duration::from_millis(500)).await;
    let after = world.get("ended").await.unwrap();
    assert_eq!(condition(&after, "Terminated"), condition(&before, "Terminated"));
    assert_eq!(condition(&after, "Ready"), condition(&before, "Ready"));
}

/// kstatus waits for the observed generation.
#[tokio::test]
async fn the_observed_generation_follows_each_change_of_the_spec() {
    let world = World::new().await;
    world.start_operator().await;
    world.declare("changed", "IDLE").await;
    let object = world.until_reason("changed", "Running").await;
    let observed = object.status.unwrap().observed_generation;
    assert_eq!(observed, object.metadata.generation);
    world.edit("changed", json!({"deletionPolicy": "Retain"})).await;
    let generation = world.get("changed").await.unwrap().metadata.generation;
    assert_eq!(generation, observed.map(|generation| generation + 1));
    let object = world
        .until("changed", "it is observed", |object| object.status.as_ref().unwrap().observed_generation == generation)
        .await;
    let conditions = object.status.unwrap().conditions;
    assert!(conditions.iter().all(|condition| condition.observed_generation == generation), "{conditions:?}");
}

#[tokio::test]
async fn since_when_a_session_is_idle_is_there_while_it_is() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("lazy", "IDLE").await;
    let idle = world.until_reason("lazy", "Running").await.status.unwrap();
    let since = world.athena_session(&id).idle_since.unwrap();
    assert_eq!(idle.idle_since.map(|time| time.0.as_second()), Some(since.as_second()));
    world.athena.set_state(&id, "BUSY");
    let state = |object: &AthenaSession| object.status.clone().unwrap().state;
    let busy = world.until("lazy", "BUSY", |object| state(object).as_deref() == Some("BUSY")).await;
    assert_eq!(busy.status.unwrap().idle_since, None);
}
