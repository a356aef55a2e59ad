//! Who owns a session that several objects name: the oldest object with a grant. Only the owner may end the session
//! (S1).

use std::time::Duration;

use fake_athena::Fault;
use serde_json::json;
use tokio::time::sleep;

use crate::launch::Start;
use crate::tenancy::{TEAM_A, TEAM_B, referring};
use crate::world::{World, condition, has_finalizer};

/// Waits until a new object has a later creation time. Kubernetes' times have no fractions of seconds.
async fn a_second_later() {
    sleep(Duration::from_millis(1_100)).await;
}

/// Two namespaces, each with a grant of its own for the same work group of Athena.
async fn two_teams(arguments: &[&str]) -> (World, String, String) {
    let world = World::new().await;
    let second = world.second_namespace().await;
    let mut arguments = arguments.to_vec();
    arguments.extend(["--watch-namespace", &second]);
    world.start_operator_with(Start::with(&arguments)).await;
    let group = world.register_for_all("a", TEAM_A).await;
    (world, second, group)
}

#[tokio::test]
async fn of_two_namespaces_the_older_object_owns_the_session() {
    let (world, second, group) = two_teams(&[]).await;
    let session = world.session_of(TEAM_A);
    world.refer("older", &group, &session).await;
    world.until_reason("older", "Running").await;
    a_second_later().await;
    world.create_in(&second, "younger", referring(&group, &session)).await;
    let younger = world.until_reason_in(&second, "younger", "AlreadyDeclared").await;
    assert!(!has_finalizer(&younger));
    let message = condition(&younger, "Ready").unwrap().2;
    assert!(message.contains("older") && message.contains(&world.namespace), "{message}");
    assert!(younger.status.as_ref().unwrap().state.is_none());
    world.objects_in(&second).delete("younger", &Default::default()).await.unwrap();
    world.until_gone_in(&second, "younger").await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(world.terminations(&session), 0);
    world.delete("older").await;
    world.until_gone("older").await;
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
}

/// S1: also where the younger object sets `terminate`.
#[tokio::test]
async fn the_younger_object_ends_nothing() {
    let (world, second, group) = two_teams(&[]).await;
    let session = world.session_of(TEAM_A);
    world.refer("older", &group, &session).await;
    world.until_reason("older", "Running").await;
    a_second_later().await;
    let spec = json!({"sessionId": session, "workGroupRef": {"name": group}, "terminate": true});
    world.create_in(&second, "younger", spec).await;
    world.until_reason_in(&second, "younger", "AlreadyDeclared").await;
    sleep(Duration::from_millis(1_500)).await;
    assert!(world.mutations().is_empty());
}

#[tokio::test]
async fn after_the_owner_is_retained_the_other_object_owns_the_session() {
    let (world, second, group) = two_teams(&["--poll-interval=1h"]).await;
    let session = world.session_of(TEAM_A);
    world.refer("older", &group, &session).await;
    world.until_reason("older", "Running").await;
    a_second_later().await;
    world.create_in(&second, "younger", referring(&group, &session)).await;
    world.until_reason_in(&second, "younger", "AlreadyDeclared").await;
    world.edit("older", json!({"deletionPolicy": "Retain"})).await;
    world.delete("older").await;
    world.until_gone("older").await;
    world.until_reason_in(&second, "younger", "Running").await;
    assert!(world.mutations().is_empty());
    world.objects_in(&second).delete("younger", &Default::default()).await.unwrap();
    world.until_gone_in(&second, "younger").await;
    assert_eq!(world.terminations(&session), 1);
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
}

/// S5: it may not end the session either.
#[tokio::test]
async fn an_older_object_without_a_grant_owns_nothing() {
    let world = World::new().await;
    let second = world.second_namespace().await;
    world.start_operator_with(Start::with(&["--watch-namespace", &second])).await;
    let namespaces = json!({"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": second}}});
    let group = world.register("b-only", json!({"workGroup": TEAM_A, "namespaces": namespaces})).await;
    let session = world.session_of(TEAM_A);
    world.refer("squatter", &group, &session).await;
    world.until_reason("squatter", "NamespaceNotAllowed").await;
    a_second_later().await;
    world.create_in(&second, "rightful", referring(&group, &session)).await;
    world.until_reason_in(&second, "rightful", "Running").await;
    world.objects_in(&second).delete("rightful", &Default::default()).await.unwrap();
    world.until_gone_in(&second, "rightful").await;
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
    assert_eq!(world.terminations(&session), 1);
}

/// S5, L1: GetSession, which would show the work group of the session, is denied.
#[tokio::test]
async fn an_object_without_a_grant_holds_up_no_end() {
    let world = World::new().await;
    world.athena.fault(Fault::error("AccessDeniedException", "no athena:GetSession").on("GetSession"));
    world.start_operator().await;
    let session = world.declare("rightful", "IDLE").await;
    world.until_reason("rightful", "GetSessionDenied").await;
    let group = world.register("closed", json!({"workGroup": TEAM_A})).await;
    world.refer("squatter", &group, &session).await;
    world.until_reason("squatter", "NamespaceNotAllowed").await;
    world.delete("rightful").await;
    world.until_gone("rightful").await;
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
}

/// S1, S5: somebody names the session before its owner does, with a work group that the session isn't in.
#[tokio::test]
async fn an_older_object_of_another_work_group_owns_nothing() {
    let (world, second, group) = two_teams(&[]).await;
    let other = world.register_for_all("b", TEAM_B).await;
    let session = world.session_of(TEAM_A);
    world.refer("squatter", &other, &session).await;
    world.until_reason("squatter", "WrongWorkGroup").await;
    a_second_later().await;
    world.create_in(&second, "rightful", referring(&group, &session)).await;
    world.until_reason_in(&second, "rightful", "Running").await;
    world.delete("squatter").await;
    world.until_gone("squatter").await;
    assert!(world.mutations().is_empty());
    world.objects_in(&second).delete("rightful", &Default::default()).await.unwrap();
    world.until_gone_in(&second, "rightful").await;
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
}

/// S2: the owner and another object are deleted at once. Neither goes while the session runs.
#[tokio::test]
async fn two_objects_deleted_together_end_the_session_once() {
    let world = World::new().await;
    let group = world.register_for_all("a", TEAM_A).await;
    let session = world.session_of(TEAM_A);
    world.refer("older", &group, &session).await;
    a_second_later().await;
    world.refer("younger", &group, &session).await;
    world.start_operator().await;
    world.until_reason("older", "Running").await;
    world.until_reason("younger", "AlreadyDeclared").await;
    world.objects().delete_collection(&Default::default(), &Default::default()).await.unwrap();
    world.until_gone("older").await;
    world.until_gone("younger").await;
    assert_eq!(world.terminations(&session), 1);
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
}

/// S5: the grant of the owner is withdrawn, and the next object with a grant owns the session.
#[tokio::test]
async fn an_owner_that_loses_its_grant_loses_the_session() {
    let (world, second, group) = two_teams(&[]).await;
    let own = world.register_for_label("label", TEAM_A).await;
    let session = world.session_of(TEAM_A);
    world.refer("older", &own, &session).await;
    world.until_reason("older", "Running").await;
    a_second_later().await;
    world.create_in(&second, "younger", referring(&group, &session)).await;
    world.until_reason_in(&second, "younger", "AlreadyDeclared").await;
    world.label("team-").await;
    let older = world.until_reason("older", "AlreadyDeclared").await;
    assert!(condition(&older, "Ready").unwrap().2.contains("has a grant"));
    world.until_reason_in(&second, "younger", "Running").await;
    world.objects_in(&second).delete("younger", &Default::default()).await.unwrap();
    world.until_gone_in(&second, "younger").await;
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
    // For the older object the session has ended by itself.
    world.delete("older").await;
    world.until_gone("older").await;
    assert_eq!(world.terminations(&session), 1);
}
