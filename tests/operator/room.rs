//! Objects that are so large that their status has no room.

use athena_session_operator::api::session::AthenaSession;
use kube::api::{Patch, PatchParams};
use serde_json::{Map, Value, json};

use crate::proxy::{Script, about, refusal};
use crate::world::{World, condition, eventually, has_finalizer};

/// What one label takes, with what the API server keeps of its owner.
const LABEL_BYTES: usize = 200;

/// Labels and an annotation of about so many bytes.
fn filler(bytes: usize) -> Value {
    let label = |number: usize| (format!("l{number:062}"), json!("x".repeat(63)));
    let labels: Map<_, _> = (0..bytes / LABEL_BYTES).map(label).collect();
    let annotations = json!({"filler": "x".repeat(bytes % LABEL_BYTES)});
    json!([
        {"op": "add", "path": "/metadata/labels", "value": labels},
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
    ])
}

impl World {
    /// Fills the object; false where the API server refuses that.
    async fn fill(&self, name: &str, bytes: usize) -> bool {
        let patch = Patch::Json::<AthenaSession>(serde_json::from_value(filler(bytes)).unwrap());
        self.objects().patch(name, &PatchParams::default(), &patch).await.is_ok()
    }

    /// Fills the object until less than so many bytes have room.
    async fn fill_up(&self, name: &str, room: usize) {
        let (mut fits, mut is_too_much) = (0, 2_000_000);
        while is_too_much - fits > 10 {
            let middle = usize::midpoint(fits, is_too_much);
            if self.fill(name, middle).await { fits = middle } else { is_too_much = middle }
        }
        assert!(fits > 1_000_000, "{fits}");
        assert!(self.fill(name, fits - room).await);
    }
}

/// Who fills an object keeps nobody from ending its session.
#[tokio::test]
async fn an_object_without_room_for_its_status_is_ended_and_goes() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("object", "IDLE").await;
    world.until_reason("object", "Running").await;
    // The mark of the deletion has room, the reason for the end hasn't.
    world.fill_up("object", 130).await;
    world.delete("object").await;
    world.until_gone("object").await;
    assert_eq!((world.athena_session(&id).state.as_str(), world.terminations(&id)), ("TERMINATED", 1));
    let log = world.log();
    assert!(log.contains("the object is too large for its status"), "{log}");
    let note = world.note_of("object", "Warning Refused").await;
    assert!(note.contains("request is too large") && note.contains("make it smaller"), "{note}");
}

/// With a proxy, since how much room a status needs isn't the same in each version of the API server.
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

/// Nothing is started that couldn't be recorded.
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
