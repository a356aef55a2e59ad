//! Adversarial objects: claims on a session without a right to it, and finalizers without a grant. And a message of STS
//! that never stays the same.

use std::time::Duration;

use fake_athena::Fault;
use kube::api::PostParams;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::api::FINALIZER;
use crate::launch::Start;
use crate::tenancy::{TEAM_A, TEAM_B, referring};
use crate::world::{World, condition, eventually};

/// L2: as in aws_errors.rs, but from STS.
#[tokio::test]
async fn a_message_of_sts_that_differs_each_time_is_written_once() {
    let world = World::new().await;
    world.start_operator().await;
    world.declare("skew", "IDLE").await;
    world.until_reason("skew", "Running").await;
    world.kill_operator();
    for second in 0..3_000 {
        let said = format!("Signature expired: 20261101T12{second:04}Z is now earlier than 20261101T13{second:04}Z");
        world.athena.fault(Fault::error("SignatureDoesNotMatch", said).on("GetCallerIdentity").times(1));
    }
    world.start_operator().await;
    let object = world.until_reason("skew", "AccountUnknown").await;
    sleep(Duration::from_secs(10)).await;
    let later = world.get("skew").await.unwrap();
    let (before, after) = (object.metadata.resource_version.clone(), later.metadata.resource_version.clone());
    assert_eq!(
        before,
        after,
        "it is written again and again: {} / {}",
        condition(&object, "Ready").unwrap().2,
        condition(&later, "Ready").unwrap().2
    );
}

async fn squatted(world: &World, second: &str) -> String {
    world.start_operator_with(Start::with(&["--watch-namespace", second])).await;
    let group = world.register_for_label("b", TEAM_B).await;
    world.label("team-").await;
    let session = world.session_of(TEAM_A);
    world.refer("squatter", &group, &session).await;
    world.until_reason("squatter", "NamespaceNotAllowed").await;
    sleep(Duration::from_millis(1_100)).await;
    session
}

/// S1, L1: the rightful object has no reference, and adopts the session first. An older object gets a grant for another
/// work group, and the operator restarts.
#[tokio::test]
async fn a_squatter_keeps_no_adopted_session_after_a_restart() {
    let world = World::new().await;
    let second = world.second_namespace().await;
    let session = squatted(&world, &second).await;
    world.create_in(&second, "rightful", json!({"sessionId": session})).await;
    world.until_reason_in(&second, "rightful", "Running").await;
    world.label("team=a").await;
    world.until_reason("squatter", "WrongWorkGroup").await;
    world.kill_operator();
    world.start_operator_with(Start::with(&["--watch-namespace", &second])).await;
    sleep(Duration::from_secs(2)).await;
    world.objects_in(&second).delete("rightful", &Default::default()).await.unwrap();
    let gone = timeout(Duration::from_secs(30), world.until_gone_in(&second, "rightful")).await;
    let said = world.objects_in(&second).get("rightful").await.map(|it| format!("{:?}", condition(&it, "Ready")));
    assert!(gone.is_ok(), "the object hangs, and the session is {}: {said:?}", world.athena_session(&session).state);
}

/// L1: as above, before anybody has adopted the session.
#[tokio::test]
async fn a_squatter_of_another_work_group_keeps_nobody_from_adopting() {
    let world = World::new().await;
    let second = world.second_namespace().await;
    let session = squatted(&world, &second).await;
    world.label("team=a").await;
    world.until_reason("squatter", "WrongWorkGroup").await;
    world.create_in(&second, "rightful", json!({"sessionId": session})).await;
    world.until_reason_in(&second, "rightful", "Running").await;
}

/// L1: two objects name a work group that the session isn't in. The younger one was adopted first, and is deleted while
/// no operator runs. Neither may end the session, so neither has to wait for the other.
#[tokio::test]
async fn of_two_squatters_the_younger_goes_after_a_restart() {
    let world = World::new().await;
    let second = world.second_namespace().await;
    let session = squatted(&world, &second).await;
    let group = world.register_for_all("c", TEAM_B).await;
    world.create_in(&second, "younger", referring(&group, &session)).await;
    world.until_reason_in(&second, "younger", "WrongWorkGroup").await;
    world.label("team=a").await;
    world.until_reason("squatter", "WrongWorkGroup").await;
    world.kill_operator();
    world.objects_in(&second).delete("younger", &Default::default()).await.unwrap();
    world.start_operator_with(Start::with(&["--watch-namespace", &second])).await;
    world.until_gone_in(&second, "younger").await;
    assert!(world.mutations().is_empty());
}

/// S8: a finalizer that a tenant added is no grant, so the owner of the session isn't shown.
#[tokio::test]
async fn a_forged_finalizer_tells_nobody_whose_a_session_is() {
    let world = World::new().await;
    let second = world.second_namespace().await;
    world.start_operator_with(Start::with(&["--watch-namespace", &second])).await;
    let group = world.register_for_label("a", TEAM_A).await;
    let session = world.session_of(TEAM_A);
    world.refer("secret-name", &group, &session).await;
    world.until_reason("secret-name", "Running").await;
    let spy = serde_json::from_value(json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
        "metadata": {"name": "spy", "namespace": second, "finalizers": [FINALIZER]},
        "spec": {"sessionId": session, "workGroupRef": {"name": group}},
    }));
    world.objects_in(&second).create(&PostParams::default(), &spy.unwrap()).await.unwrap();
    let objects = world.objects_in(&second);
    let told = eventually("it is told something", || async {
        condition(&objects.get("spy").await.unwrap(), "Ready").map(|it| it.2.to_string())
    })
    .await;
    assert!(!told.contains("secret-name"), "{told:?}");
}
