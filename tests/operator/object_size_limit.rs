//! The size limit of etcd: objects that are so large that their status has no room.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::api::AthenaSession;
use crate::proxy::{Script, about, refusal};
use crate::world::{World, condition, eventually, has_finalizer};

impl World {
    /// Adds a foreign condition with a message of so many bytes. Returns false where the API server refuses the size.
    async fn fill(&self, name: &str, bytes: usize) -> bool {
        let status = self.get(name).await.unwrap().status.unwrap();
        let others = status.conditions.iter().position(|condition| condition.type_ == "Filler");
        let place = others.map_or("-".to_owned(), |place| place.to_string());
        let condition = json!({"type": "Filler", "status": "True", "reason": "Filler", "message": "x".repeat(bytes),
                               "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let verb = if others.is_some() { "replace" } else { "add" };
        let patch = json!([{"op": verb, "path": format!("/status/conditions/{place}"), "value": condition}]);
        let patch = Patch::Json::<AthenaSession>(serde_json::from_value(patch).unwrap());
        match self.objects().patch_status(name, &PatchParams::default(), &patch).await {
            Ok(_) => true,
            Err(error) => {
                // Another refusal would say nothing about the size.
                assert!(error.to_string().contains("request is too large"), "{error}");
                false
            }
        }
    }

    /// Fills the object until no more than so many bytes have room.
    async fn fill_up(&self, name: &str, room: usize) {
        let (mut fits, mut is_too_much) = (1_000_000, 2_000_000);
        while is_too_much - fits > 1 {
            let middle = usize::midpoint(fits, is_too_much);
            if self.fill(name, middle).await { fits = middle } else { is_too_much = middle }
        }
        assert!(self.fill(name, fits - room).await);
    }
}

/// S7, L1: a tenant who fills up an object can't keep its session from being ended.
#[tokio::test]
async fn an_object_without_room_for_its_status_is_ended_and_goes() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("object", "IDLE").await;
    world.until_reason("object", "Running").await;
    // The deletion mark has room, and the reason for the end hasn't.
    world.fill_up("object", 130).await;
    world.delete("object").await;
    world.until_gone("object").await;
    assert_eq!((world.athena_session(&id).state.as_str(), world.terminations(&id)), ("TERMINATED", 1));
    let log = world.log();
    assert!(log.contains("the object is too large for its status"), "{log}");
    let note = world.note_of("object", "Warning Refused").await;
    assert!(note.contains("request is too large") && note.contains("make it smaller"), "{note}");
}

/// A proxy refuses the status, since the limit differs between versions of the API server.
#[tokio::test]
async fn a_status_that_is_refused_for_its_size_is_shortened() {
    let world = World::new().await;
    let write = about("PUT", "object/status");
    let script = Script::meddling(move |request, body| {
        let is_long = request == write && body.contains("The session is up");
        is_long.then(|| refusal(500, "InternalError", "etcdserver: request is too large"))
    });
    world.start_operator_by_way_of(&script, &[]).await;
    let id = world.declare("object", "IDLE").await;
    let object = world.until_reason("object", "Running").await;
    assert_eq!(condition(&object, "Ready").unwrap().2, "The object is too large for this message: make it smaller.");
    assert_eq!(object.status.as_ref().unwrap().state.as_deref(), Some("IDLE"));
    let writes = script.count(&about("PUT", "object/status"));
    world.athena.set_state(&id, "BUSY");
    let is_busy = |object: &AthenaSession| object.status.as_ref().unwrap().state.as_deref() == Some("BUSY");
    world.until("object", "its state is written", is_busy).await;
    eventually("the proxy has seen it", || async {
        (script.count(&about("PUT", "object/status")) == writes + 1).then_some(())
    })
    .await;
    world.delete("object").await;
    world.until_gone("object").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

/// S3: the attempt can't be recorded, so no session is started.
#[tokio::test]
async fn without_room_for_the_attempt_no_session_is_started() {
    let world = World::new().await;
    let write = about("PUT", "object/status");
    let script = Script::meddling(move |request, _| {
        (request == write).then(|| refusal(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"))
    });
    world.start_operator_by_way_of(&script, &[]).await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_session("object", &group).await;
    world.until("object", "it is held", has_finalizer).await;
    world.until_event("object", "Warning Refused").await;
    eventually("the write is tried again", || async {
        (script.count(&about("PUT", "object/status")) >= 6).then_some(())
    })
    .await;
    assert_eq!(world.athena.calls_of("StartSession", None), 0);
    world.delete("object").await;
    world.until_gone("object").await;
}
