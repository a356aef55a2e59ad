//! S7: somebody with rights on the status subresource forges the status. A forged status ends no session, releases no
//! object, and shows nothing.

use std::time::Duration;

use fake_athena::NewSession;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::api::AthenaSession;
use crate::tenancy::{TEAM_A, TEAM_B};
use crate::world::{World, condition};

const HOME: &str = "123456789012";
const ELSEWHERE: &str = "999999999999";

struct Forgery {
    world: World,
    session: String,
    victim: String,
}

impl Forgery {
    /// An object with its session, and a session of another team in another work group.
    async fn new() -> Self {
        let world = World::new().await;
        let group = world.register_for_all("a", TEAM_A).await;
        let (session, victim) = (world.session_of(TEAM_A), world.session_of(TEAM_B));
        world.start_operator().await;
        world.refer("forged", &group, &session).await;
        world.until_reason("forged", "Running").await;
        Self { world, session, victim }
    }

    /// Forges the status while the operator runs, and while it restarts. Each time the object's own session must be
    /// ended.
    async fn is_ended_properly(&self, forged: &Value) {
        let world = &self.world;
        world.kill_operator();
        world.forge_status("forged", forged.clone()).await;
        world.delete("forged").await;
        world.start_operator().await;
        world.until_gone("forged").await;
        self.nothing_else_was_touched();
        assert_eq!(world.athena_session(&self.session).state, "TERMINATED");
        assert_eq!(world.terminations(&self.session), 1);
    }

    fn nothing_else_was_touched(&self) {
        let world = &self.world;
        assert!(world.calls_about(&self.victim).is_empty(), "{:?}", world.calls_about(&self.victim));
        assert!(world.mutations().iter().all(|call| call.session.as_ref() == Some(&self.session)));
        assert_eq!(world.athena_session(&self.victim).state, "IDLE");
    }
}

fn ended_conditions(reason: &str) -> Value {
    let condition = |type_: &str, status: &str, reason: &str| {
        json!({"type": type_, "status": status, "reason": reason, "message": "forged",
               "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    json!([condition("Terminated", "True", "ObjectDeleted"), condition("Ready", "True", reason)])
}

/// S1, S7: the forged status names a session of another team.
#[tokio::test]
async fn a_forged_session_id_and_work_group_lead_to_no_other_session() {
    let forgery = Forgery::new().await;
    let forged = json!({"sessionId": forgery.victim, "workGroup": TEAM_B, "state": "IDLE"});
    forgery.world.forge_status("forged", forged.clone()).await;
    let healed = |object: &AthenaSession| {
        let status = object.status.clone().unwrap_or_default();
        status.session_id.as_ref() == Some(&forgery.session) && status.work_group.as_deref() == Some(TEAM_A)
    };
    forgery.world.until("forged", "the record is set right", healed).await;
    forgery.is_ended_properly(&forged).await;
}

/// S2, S7: the forged status says TERMINATED.
#[tokio::test]
async fn a_forged_end_lets_nothing_go() {
    for reason in ["Ended", "SessionNotFound", "Failed"] {
        let forgery = Forgery::new().await;
        let forged = json!({
            "state": "TERMINATED", "endedAt": "2026-01-01T00:00:00Z", "terminationRequestedAt": "2026-01-01T00:00:00Z",
            "terminationReason": "ObjectDeleted", "conditions": ended_conditions(reason),
        });
        forgery.world.forge_status("forged", forged.clone()).await;
        forgery.world.until_reason("forged", "Running").await;
        forgery.is_ended_properly(&forged).await;
    }
}

/// S7, L1: the end is forged before the operator has ever seen the object, whose spec asks for an end.
#[tokio::test]
async fn a_forged_end_keeps_no_session_from_being_ended() {
    let forgery = Forgery::new().await;
    let world = &forgery.world;
    world.kill_operator();
    let forged = json!({"state": "TERMINATED", "terminationRequestedAt": "2026-01-01T00:00:00Z",
                        "terminationReason": "RequestedBySpec", "conditions": ended_conditions("Ended")});
    world.forge_status("forged", forged).await;
    world.edit("forged", json!({"terminate": true})).await;
    world.start_operator().await;
    world.until("forged", "it has ended", |_| world.athena_session(&forgery.session).state == "TERMINATED").await;
    forgery.nothing_else_was_touched();
}

/// S4, S7: after a restart the operator can't know better than the record, and calls nothing.
#[tokio::test]
async fn a_forged_account_or_region_holds_up_and_releases_nothing() {
    for (field, wrong, right, reason) in
        [("accountId", ELSEWHERE, HOME, "WrongAccount"), ("region", "us-east-1", "eu-west-1", "WrongRegion")]
    {
        let forgery = Forgery::new().await;
        let world = &forgery.world;
        // The running operator has seen the session itself, and ignores the forgery.
        world.forge_status("forged", json!({field: wrong})).await;
        let object = world
            .until("forged", "the record is set right", |object| {
                serde_json::to_value(&object.status).unwrap()[field] == right
            })
            .await;
        assert_eq!(condition(&object, "Ready").unwrap().1, "Running");
        world.kill_operator();
        world.athena.clear_calls();
        world.forge_status("forged", json!({field: wrong})).await;
        world.start_operator().await;
        world.until_reason("forged", reason).await;
        world.delete("forged").await;
        sleep(Duration::from_secs(2)).await;
        assert!(world.get("forged").await.is_some(), "{field}: the session runs");
        assert!(world.calls_about(&forgery.session).is_empty(), "{:?}", world.calls_about(&forgery.session));
        world.forge_status("forged", json!({field: right})).await;
        world.until_gone("forged").await;
        forgery.nothing_else_was_touched();
        assert_eq!(world.terminations(&forgery.session), 1);
    }
}

/// S1, S7: the forged record claims that the object was adopted in the work group of a foreign session.
#[tokio::test]
async fn a_forged_work_group_makes_a_foreign_session_nobodys_own() {
    let world = World::new().await;
    let group = world.register_for_all("a", TEAM_A).await;
    let victim = world.session_of(TEAM_B);
    world.start_operator().await;
    world.refer("thief", &group, &victim).await;
    world.until_reason("thief", "WrongWorkGroup").await;
    let forged = json!({"sessionId": victim, "workGroup": TEAM_B, "state": "IDLE", "accountId": HOME,
                        "region": "eu-west-1", "terminationRequestedAt": "2026-01-01T00:00:00Z",
                        "terminationReason": "ObjectDeleted"});
    world.forge_status("thief", forged.clone()).await;
    world.edit("thief", json!({"terminate": true})).await;
    world.kill_operator();
    world.forge_status("thief", forged).await;
    world.delete("thief").await;
    world.start_operator().await;
    sleep(Duration::from_secs(3)).await;
    assert!(world.mutations().is_empty());
    assert_eq!(world.athena_session(&victim).state, "IDLE");
    if world.get("thief").await.is_some() {
        // The object may have named that session rightly once, so it waits. Retain is the way out.
        let told = world.until("thief", "the way out is told", |object| {
            condition(object, "Ready")
                .is_some_and(|it| it.1 == "WrongWorkGroup" && it.2.contains("deletionPolicy: Retain"))
        });
        told.await;
        world.edit("thief", json!({"deletionPolicy": "Retain"})).await;
    }
    world.until_gone("thief").await;
    assert!(world.mutations().is_empty());
}

/// S5, S7: the status claims that an object without a grant was adopted.
#[tokio::test]
async fn a_forged_adoption_without_a_grant_calls_nothing() {
    let world = World::new().await;
    let group = world.register("none", json!({"workGroup": TEAM_A, "namespaces": {"from": "None"}})).await;
    let session = world.session_of(TEAM_A);
    world.start_operator().await;
    world.refer("forged", &group, &session).await;
    world.until_reason("forged", "NamespaceNotAllowed").await;
    let forged = json!({"sessionId": session, "workGroup": TEAM_A, "state": "IDLE", "accountId": HOME,
                        "terminationRequestedAt": "2026-01-01T00:00:00Z", "terminationReason": "ObjectDeleted"});
    world.forge_status("forged", forged).await;
    world.edit("forged", json!({"terminate": true})).await;
    sleep(Duration::from_secs(2)).await;
    assert!(world.operations().is_empty(), "{:?}", world.operations());
    world.delete("forged").await;
    assert!(world.get("forged").await.is_none());
}

/// S4, S7, S8: the object names a session of another account, through a work group of the same name. Athena denies this
/// session, and no call goes to the other account, whatever the status claims.
#[tokio::test]
async fn a_forged_account_leads_to_no_session_of_that_account() {
    let world = World::new().await;
    let group = world.register_for_all("a", TEAM_A).await;
    let theirs = world.athena.add_session(NewSession {
        account: Some(ELSEWHERE.to_owned()),
        work_group: Some(TEAM_A.to_owned()),
        ..NewSession::default()
    });
    world.start_operator().await;
    world.refer("forged", &group, &theirs).await;
    world.until_reason("forged", "SessionNotFound").await;
    world.forge_status("forged", json!({"accountId": ELSEWHERE, "state": "IDLE", "workGroup": TEAM_A})).await;
    world.delete("forged").await;
    sleep(Duration::from_secs(2)).await;
    assert!(world.mutations().is_empty());
    assert_eq!(world.athena_session(&theirs).state, "IDLE");
}
