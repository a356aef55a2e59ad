//! A tenant leaves: while a session runs, the grant is withdrawn, and then the namespace is deleted. Who can act, and
//! how.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::tenancy::TEAM_A;
use crate::world::{World, condition, eventually};

/// A namespace that is Terminating. An object holds it whose session runs, and whose grant was withdrawn.
async fn off_boarded() -> (World, String) {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_label("leaving", TEAM_A).await;
    let session = world.session_of(TEAM_A);
    world.refer("left", &group, &session).await;
    world.until_reason("left", "Running").await;
    world.label("team-").await;
    world.until_reason("left", "NamespaceNotAllowed").await;
    world.plane.kubectl_ok(&["delete", "namespace", &world.namespace, "--wait=false"]).await;
    let told = world.until("left", "its deletion says who can act", |object| {
        let ready = condition(object, "Ready");
        object.metadata.deletion_timestamp.is_some()
            && ready.is_some_and(|it| {
                it.1 == "NamespaceNotAllowed"
                    && it.2.contains("cluster administrator")
                    && it.2.contains("deletionPolicy: Retain")
            })
    });
    let object = told.await;
    assert_eq!(condition(&object, "Active").unwrap().0, "False");
    sleep(Duration::from_secs(2)).await;
    assert!(world.get("left").await.is_some(), "the session runs");
    assert!(world.mutations().is_empty());
    assert_eq!(world.athena_session(&session).state, "IDLE");
    (world, session)
}

async fn until_namespace_gone(world: &World) {
    eventually("the namespace is gone", || async {
        let answer = world.plane.kubectl(&["get", "namespace", &world.namespace]).await.unwrap();
        (!answer.status.success()).then_some(())
    })
    .await;
}

/// S5, L1: an administrator grants access again.
#[tokio::test]
async fn granted_again_the_session_is_ended_and_the_namespace_goes() {
    let (world, session) = off_boarded().await;
    world.label("team=a").await;
    until_namespace_gone(&world).await;
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
    assert_eq!(world.terminations(&session), 1);
}

/// S2, L1: Retain is the tenant's way out.
#[tokio::test]
async fn with_retain_the_namespace_goes_and_the_session_is_left() {
    let (world, session) = off_boarded().await;
    world.edit("left", json!({"deletionPolicy": "Retain"})).await;
    until_namespace_gone(&world).await;
    assert!(world.mutations().is_empty());
    assert_eq!(world.athena_session(&session).state, "IDLE");
}

/// S2, L1: nothing else has to be done.
#[tokio::test]
async fn when_the_session_ends_by_itself_the_namespace_goes() {
    let (world, session) = off_boarded().await;
    world.athena.set_state(&session, "TERMINATED");
    until_namespace_gone(&world).await;
    assert!(world.mutations().is_empty());
}
