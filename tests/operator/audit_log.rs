//! The audit log, which has one line for each TerminateSession, and the events of an end.

use fake_athena::Fault;
use serde_json::{Value, json};

use crate::launch::Start;
use crate::world::World;

/// The lines of the audit log.
fn audit(world: &World) -> Vec<Value> {
    let log = world.log();
    let lines = log.lines().filter(|line| line.contains("\"TerminateSession\""));
    lines
        .map(|line| {
            let parsed: Value = serde_json::from_str(line).unwrap();
            // A key that stands twice would be parsed as one.
            assert_eq!(parsed.to_string().len(), line.len(), "a key is there twice: {line}");
            parsed
        })
        .collect()
}

#[tokio::test]
async fn each_end_is_one_line_in_the_audit_log() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("audited", "IDLE").await;
    let object = world.until_reason("audited", "Running").await;
    world.delete("audited").await;
    world.until_gone("audited").await;
    let lines = audit(&world);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert_eq!(line["message"], "TerminateSession");
    assert_eq!(line["session"], id);
    assert_eq!(line["namespace"], world.namespace);
    assert_eq!(line["name"], "audited");
    assert_eq!(line["uid"], object.metadata.uid.unwrap());
    assert_eq!(line["reason"], "ObjectDeleted");
    assert_eq!(line["answer"], "TERMINATING");
    assert_ne!(line["aws_request_id"], "none");
}

#[tokio::test]
async fn a_refused_end_is_a_line_in_the_audit_log_too() {
    let world = World::new().await;
    world.athena.fault(Fault::error("AccessDeniedException", "not for you").on("TerminateSession").times(1));
    world.start_operator_with(Start::with(&["--poll-interval=60s"])).await;
    let id = world.declare("refused", "IDLE").await;
    world.until_reason("refused", "Running").await;
    world.edit("refused", json!({"terminate": true})).await;
    world.until_reason("refused", "AccessDenied").await;
    let lines = audit(&world);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert_eq!(line["message"], "TerminateSession");
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["session"], id);
    assert_eq!(line["namespace"], world.namespace);
    assert_eq!(line["name"], "refused");
    assert_eq!(line["reason"], "RequestedBySpec");
    assert_eq!(line["answer"], "AccessDeniedException");
    assert_eq!(line["error"], "not for you");
}

/// A manifest may set RUST_LOG to an empty text.
#[tokio::test]
async fn an_empty_rust_log_doesnt_silence_the_audit_log() {
    let world = World::new().await;
    let environment = vec![("RUST_LOG", String::new())];
    world.start_operator_with(Start { environment, ..Start::default() }).await;
    world.declare("told", "IDLE").await;
    world.until_reason("told", "Running").await;
    world.delete("told").await;
    world.until_gone("told").await;
    assert_eq!(audit(&world).len(), 1);
}

#[tokio::test]
async fn events_tell_whose_end_it_is_and_why() {
    let world = World::new().await;
    world.start_operator().await;
    let deleted = world.declare("deleted", "IDLE").await;
    let asked = world.declare("asked", "IDLE").await;
    world.until_reason("deleted", "Running").await;
    world.until_reason("asked", "Running").await;
    world.delete("deleted").await;
    world.edit("asked", json!({"terminate": true})).await;
    let told = |name, event, said: Vec<&str>| {
        let said: Vec<_> = said.into_iter().map(str::to_owned).collect();
        let world = &world;
        async move {
            let note = world.note_of(name, event).await;
            assert!(said.iter().all(|said| note.contains(said)), "{name}, {event}: {note}");
        }
    };
    told("deleted", "Normal Adopted", vec![&deleted, "work group primary", "IDLE"]).await;
    told("deleted", "Normal Terminating", vec![&deleted, "the object was deleted"]).await;
    told("deleted", "Normal Terminated", vec![&deleted, "TERMINATED", "ObjectDeleted"]).await;
    told("asked", "Normal Terminating", vec![&asked, "spec.terminate is true"]).await;
    told("asked", "Normal Terminated", vec!["TERMINATED", "RequestedBySpec"]).await;
}
