//! S5: AthenaWorkGroups as grants. Who may adopt a session, and what doesn't happen without a grant. The operators of
//! these tests only read AthenaWorkGroups.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::api::{AthenaSession, AthenaWorkGroupStatus};
use crate::launch::Start;
use crate::tenancy::{TEAM_A, TEAM_B, brisk, referring};
use crate::world::{World, condition, has_finalizer};

/// Checks that the object isn't adopted, that only STS is called, and that a deleted object goes at once.
async fn is_refused_untouched(world: &World, name: &str, session: &str, reason: &str) -> AthenaSession {
    let object = world.until_reason(name, reason).await;
    // Some polls later.
    sleep(Duration::from_millis(1_500)).await;
    let object_later = world.get(name).await.unwrap();
    assert!(!has_finalizer(&object_later), "the object was adopted");
    assert_eq!(
        condition(&object_later, "Reconciling").map(|it| it.1),
        Some(reason),
        "the AthenaWorkGroup may arrive later"
    );
    assert_eq!(condition(&object_later, "Stalled"), None, "before two minutes");
    assert_eq!(object_later.metadata.resource_version, object.metadata.resource_version, "the status is written once");
    let status = object_later.status.unwrap();
    assert_eq!((status.session_id, status.state, status.work_group, status.started_at), (None, None, None, None));
    assert!(world.operations().is_empty(), "{:?}", world.operations());
    world.delete(name).await;
    assert!(world.get(name).await.is_none(), "no finalizer holds the object");
    sleep(Duration::from_millis(300)).await;
    assert!(world.mutations().is_empty() && world.calls_about(session).is_empty());
    assert_ne!(world.athena_session(session).state, "TERMINATED");
    object
}

async fn is_served(world: &World, name: &str, session: &str) {
    let object = world.until_reason(name, "Running").await;
    assert!(has_finalizer(&object));
    assert_eq!(object.status.unwrap().work_group.as_deref(), Some(TEAM_A));
    assert_eq!(world.terminations(session), 0);
    world.delete(name).await;
    world.until_gone(name).await;
    assert_eq!(world.athena_session(session).state, "TERMINATED");
    assert_eq!(world.terminations(session), 1);
}

async fn registered(namespaces: Value) -> (World, String, String) {
    let world = World::new().await;
    world.label("team=a").await;
    let group = world.register("a", json!({"workGroup": TEAM_A, "namespaces": namespaces})).await;
    let session = world.session_of(TEAM_A);
    world.start_operator().await;
    world.refer("object", &group, &session).await;
    (world, group, session)
}

#[tokio::test]
async fn a_work_group_for_all_namespaces_serves_each() {
    let (world, group, session) = registered(json!({"from": "All"})).await;
    is_served(&world, "object", &session).await;
    assert!(world.group(&group).await.unwrap().metadata.finalizers.is_none(), "this operator only reads it");
    assert_eq!(
        world.group(&group).await.unwrap().status,
        Some(AthenaWorkGroupStatus::default()),
        "nobody wrote the status"
    );
}

/// S5: the namespace has the labels that the selector asks for.
#[tokio::test]
async fn a_selector_that_matches_serves() {
    let (world, _, session) = registered(json!({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}})).await;
    is_served(&world, "object", &session).await;
}

/// S5: `from: None`.
#[tokio::test]
async fn a_work_group_for_no_namespace_serves_none() {
    let (world, _, session) = registered(json!({"from": "None"})).await;
    let object = is_refused_untouched(&world, "object", &session, "NamespaceNotAllowed").await;
    let message = condition(&object, "Ready").unwrap().2;
    assert!(message.contains("cluster administrator") && message.contains(&world.namespace), "{message}");
    assert_eq!(world.note_of("object", "Warning NamespaceNotAllowed").await, message, "the event comes at once");
}

/// S5: the namespace lacks the label.
#[tokio::test]
async fn a_selector_that_doesnt_match_serves_nobody() {
    let (world, _, session) = registered(json!({"from": "Selector", "selector": {"matchLabels": {"team": "b"}}})).await;
    is_refused_untouched(&world, "object", &session, "NamespaceNotAllowed").await;
}

/// L1: by the watch, and not by a poll.
#[tokio::test]
async fn a_reference_is_served_the_moment_its_work_group_appears() {
    let world = World::new().await;
    let session = world.session_of(TEAM_A);
    // With a slow poll, only the watch can be so quick.
    world.start_operator_with(Start::with(&["--poll-interval=1h"])).await;
    let missing = format!("{}-missing", world.namespace);
    world.refer("refused", &missing, &session).await;
    is_refused_untouched(&world, "refused", &session, "WorkGroupNotFound").await;
    world.refer("early", &missing, &session).await;
    world.until_reason("early", "WorkGroupNotFound").await;
    world.register_for_all("missing", TEAM_A).await;
    is_served(&world, "early", &session).await;
}

#[tokio::test]
async fn a_grant_that_comes_later_is_picked_up_the_moment_it_comes() {
    let world = World::new().await;
    world.start_operator_with(Start::with(&["--poll-interval=1h"])).await;
    let group = world.register_for_label("late", TEAM_A).await;
    world.label("team-").await;
    let (one, two) = (world.session_of(TEAM_A), world.session_of(TEAM_A));
    world.refer("label", &group, &one).await;
    world.until_reason("label", "NamespaceNotAllowed").await;
    world.label("team=a").await;
    is_served(&world, "label", &one).await;
    world.label("team=b").await;
    world.refer("selector", &group, &two).await;
    world.until_reason("selector", "NamespaceNotAllowed").await;
    world.edit_group(&group, json!({"spec": {"namespaces": {"selector": {"matchLabels": {"team": "b"}}}}})).await;
    is_served(&world, "selector", &two).await;
}

#[tokio::test]
async fn without_a_reference_the_operators_own_identity_serves() {
    let world = World::new().await;
    world.start_operator().await;
    let session = world.session_of(TEAM_A);
    world.create("bare", json!({"sessionId": session})).await;
    is_served(&world, "bare", &session).await;
}

/// S5: with --require-work-group.
#[tokio::test]
async fn an_object_without_a_required_work_group_is_refused() {
    let world = World::new().await;
    let group = world.register_for_all("a", TEAM_A).await;
    world.start_operator_with(Start::with(&["--require-work-group"])).await;
    let session = world.session_of(TEAM_A);
    world.create("bare", json!({"sessionId": session})).await;
    let object = world.until_reason("bare", "WorkGroupRequired").await;
    assert!(!has_finalizer(&object));
    assert_eq!(condition(&object, "Stalled").unwrap().0, "True", "only a person changes that");
    assert!(world.operations().is_empty());
    world.delete("bare").await;
    assert!(world.get("bare").await.is_none());

    world.create("mended", json!({"sessionId": session})).await;
    world.until_reason("mended", "WorkGroupRequired").await;
    world.edit("mended", json!({"workGroupRef": {"name": group}})).await;
    is_served(&world, "mended", &session).await;
}

/// S5, L1: the object was adopted before the flag --require-work-group was set. It waits until its reference is set.
#[tokio::test]
async fn an_adopted_object_without_a_required_work_group_waits() {
    let world = World::new().await;
    let group = world.register_for_all("a", TEAM_A).await;
    world.start_operator().await;
    let session = world.session_of(TEAM_A);
    world.create("bare", json!({"sessionId": session})).await;
    world.until_reason("bare", "Running").await;
    world.kill_operator();
    world.athena.clear_calls();
    world.start_operator_with(Start::with(&["--require-work-group"])).await;
    world.until_reason("bare", "WorkGroupRequired").await;
    world.delete("bare").await;
    sleep(Duration::from_secs(2)).await;
    assert!(world.get("bare").await.is_some(), "the session runs");
    assert!(world.mutations().is_empty());
    world.edit("bare", json!({"workGroupRef": {"name": group}})).await;
    world.until_gone("bare").await;
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
}

/// S5, S8: a tenant names the session of another team, with a reference to the tenant's own work group.
#[tokio::test]
async fn a_session_of_another_work_group_is_neither_told_of_nor_ended() {
    let world = World::new().await;
    let group = world.register_for_all("a", TEAM_A).await;
    let foreign = world.session_of(TEAM_B);
    world.start_operator().await;
    world.refer("thief", &group, &foreign).await;
    let object = world.until_reason("thief", "WrongWorkGroup").await;
    sleep(Duration::from_millis(1_500)).await;
    let text = serde_json::to_string(&world.get("thief").await.unwrap().status).unwrap();
    for secret in [TEAM_B, "IDLE", "startedAt", "idleSince", "dpuExecution", "\"state\""] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    assert_eq!(condition(&object, "Active").unwrap().0, "Unknown");
    let told = world.events("thief").await;
    assert!(!told.iter().any(|event| event.contains("Adopted")), "{told:?}");
    world.edit("thief", json!({"terminate": true})).await;
    sleep(Duration::from_millis(1_500)).await;
    world.delete("thief").await;
    world.until_gone("thief").await;
    assert!(world.mutations().is_empty());
    assert_eq!(world.athena_session(&foreign).state, "IDLE");
}

/// S1, S8: the object is deleted while no operator runs.
#[tokio::test]
async fn after_a_restart_a_session_of_another_work_group_isnt_ended() {
    let world = World::new().await;
    let group = world.register_for_all("a", TEAM_A).await;
    let foreign = world.session_of(TEAM_B);
    world.start_operator().await;
    world.refer("thief", &group, &foreign).await;
    world.until_reason("thief", "WrongWorkGroup").await;
    world.kill_operator();
    world.delete("thief").await;
    world.start_operator().await;
    world.until_gone("thief").await;
    assert!(world.mutations().is_empty());
    assert_eq!(world.athena_session(&foreign).state, "IDLE");
}

/// S5: an end that is asked for without a grant isn't called for.
#[tokio::test]
async fn a_withdrawn_grant_holds_up_the_end_until_it_is_back() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_label("a", TEAM_A).await;
    let session = world.session_of(TEAM_A);
    world.refer("object", &group, &session).await;
    world.until_reason("object", "Running").await;
    for (withdraw, grant) in [("team-", "team=a"), ("team=other", "team=a")] {
        world.label(withdraw).await;
        let object = world.until_reason("object", "NamespaceNotAllowed").await;
        assert!(has_finalizer(&object), "it was adopted, and is held");
        world.label(grant).await;
        world.until_reason("object", "Running").await;
    }
    world.edit_group(&group, json!({"spec": {"namespaces": {"selector": {"matchLabels": {"team": "z"}}}}})).await;
    world.until_reason("object", "NamespaceNotAllowed").await;
    world.edit("object", json!({"terminate": true})).await;
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(world.terminations(&session), 0);
    let object = world.get("object").await.unwrap();
    assert_eq!(object.status.unwrap().termination_requested_at, None, "without a grant no end is requested");
    world.edit_group(&group, json!({"spec": {"namespaces": {"selector": {"matchLabels": {"team": "a"}}}}})).await;
    world.until_reason("object", "Ended").await;
    assert_eq!(world.terminations(&session), 1);
}

/// S1: the end of one session doesn't touch the other.
#[tokio::test]
async fn several_work_groups_serve_side_by_side() {
    let world = World::with(brisk()).await;
    let (a, b) = (world.register_for_all("a", TEAM_A).await, world.register_for_all("b", TEAM_B).await);
    let (in_a, in_b) = (world.session_of(TEAM_A), world.session_of(TEAM_B));
    world.start_operator().await;
    world.refer("in-a", &a, &in_a).await;
    world.create("in-b", referring(&b, &in_b)).await;
    world.until_reason("in-a", "Running").await;
    world.until_reason("in-b", "Running").await;
    world.delete("in-b").await;
    world.until_gone("in-b").await;
    assert_eq!(world.athena_session(&in_a).state, "IDLE");
    assert_eq!(world.athena_session(&in_b).state, "TERMINATED");
}

/// S5, S8: a tenant without a grant names a session that the operator watches for others.
#[tokio::test]
async fn without_a_grant_nothing_of_anothers_session_is_told() {
    let world = World::new().await;
    let second = world.second_namespace().await;
    world.start_operator_with(Start::with(&["--watch-namespace", &second])).await;
    let group = world.register_for_label("a", TEAM_A).await;
    let session = world.session_of(TEAM_A);
    world.refer("mine", &group, &session).await;
    world.until_reason("mine", "Running").await;
    world.create_in(&second, "curious", referring(&group, &session)).await;
    world.until_reason_in(&second, "curious", "NamespaceNotAllowed").await;
    sleep(Duration::from_secs(2)).await;
    let curious = world.objects_in(&second).get("curious").await.unwrap();
    let text = serde_json::to_string(&curious.status).unwrap();
    for secret in ["\"state\"", "startedAt", "\"sessionId\"", "IDLE", TEAM_A] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    world.objects_in(&second).delete("curious", &Default::default()).await.unwrap();
    world.until_gone_in(&second, "curious").await;
    assert!(world.mutations().is_empty());
}
