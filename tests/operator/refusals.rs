//! AWS says no: rights, credentials, account, Region.

use std::time::Duration;

use fake_athena::Fault;
use serde_json::json;
use tokio::time::sleep;

use crate::world::{Start, World, condition, eventually};

fn denied() -> Fault {
    Fault::error("AccessDeniedException", "User: arn:aws:sts::123456789012:assumed-role/operator is not authorized")
}

/// Bug 10, before the session was ever seen: it may run, so the object waits for a person.
#[tokio::test]
async fn access_denied_before_the_adoption_is_told_once_and_retried() {
    let world = World::new().await;
    world.athena.fault(denied().on("GetSession"));
    world.start_operator().await;
    let id = world.declare("denied", "IDLE").await;
    let object = world.until_reason("denied", "AccessDenied").await;
    assert_eq!(condition(&object, "Stalled").unwrap().0, "True");
    let message = condition(&object, "Stalled").unwrap().2;
    assert!(message.contains("GetSession") && message.contains("athena:GetSession"), "{message}");

    world.delete("denied").await;
    world
        .until("denied", "the way out is told", |object| {
            condition(object, "Stalled").is_some_and(|it| it.2.contains("deletionPolicy: Retain"))
        })
        .await;
    let version = world.get("denied").await.unwrap().metadata.resource_version;
    let calls = world.athena.calls_of("GetSession", Some(&id));
    eventually("three more tries", || async {
        (world.athena.calls_of("GetSession", Some(&id)) >= calls + 3).then_some(())
    })
    .await;
    assert_eq!(world.get("denied").await.unwrap().metadata.resource_version, version, "a retry writes nothing");
    let warnings = world.events("denied").await;
    assert_eq!(warnings.iter().filter(|it| *it == "Warning AccessDenied").count(), 1, "{warnings:?}");

    world.athena.clear_faults();
    world.until_gone("denied").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

/// Bug 10, after it was seen.
#[tokio::test]
async fn access_denied_to_end_it_is_told_and_retain_lets_it_go() {
    let world = World::new().await;
    world.athena.fault(denied().on("TerminateSession"));
    world.start_operator().await;
    let id = world.declare("mine", "IDLE").await;
    world.until_reason("mine", "Running").await;
    world.delete("mine").await;
    let stalled = world.until_reason("mine", "AccessDenied").await;
    assert!(condition(&stalled, "Stalled").unwrap().2.contains("athena:TerminateSession"));
    assert_eq!(condition(&stalled, "Active").unwrap().0, "False", "its end is asked for");
    world.edit("mine", json!({"deletionPolicy": "Retain"})).await;
    world.until_gone("mine").await;
    assert_eq!(world.athena_session(&id).state, "IDLE");
}

#[tokio::test]
async fn with_another_account_or_region_than_recorded_nothing_is_called() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("elsewhere", "IDLE").await;
    world.until_reason("elsewhere", "Running").await;
    world.kill_operator();
    world.athena.clear_calls();

    world.athena.reconfigure(|config| config.account = "999999999999".to_owned());
    world.start_operator().await;
    world.until_reason("elsewhere", "WrongAccount").await;
    world.kill_operator();
    world.athena.reconfigure(|config| config.account = "123456789012".to_owned());

    let environment = vec![("AWS_REGION", "us-east-1".to_owned())];
    world.start_operator_with(Start { environment, ..Start::default() }).await;
    world.until_reason("elsewhere", "WrongRegion").await;
    world.delete("elsewhere").await;
    sleep(Duration::from_secs(2)).await;
    assert!(world.get("elsewhere").await.is_some());
    world.kill_operator();
    let calls = world.athena.calls();
    assert!(calls.iter().all(|call| call.session.as_deref() != Some(&id)), "{calls:?}");

    world.start_operator().await;
    world.until_gone("elsewhere").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

#[tokio::test]
async fn while_the_account_cant_be_told_a_recorded_session_waits() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("unsure", "IDLE").await;
    world.until_reason("unsure", "Running").await;
    world.kill_operator();
    world.athena.clear_calls();
    world.athena.fault(Fault::internal().on("GetCallerIdentity"));
    world.start_operator().await;
    world.until_reason("unsure", "AccountUnknown").await;
    assert!(world.athena.calls().iter().all(|call| call.session.as_deref() != Some(&id)));
    world.athena.clear_faults();
    world.until_reason("unsure", "Running").await;
}

#[tokio::test]
async fn without_credentials_or_region_the_objects_say_so() {
    let world = World::new().await;
    let id = world.declare("bare", "IDLE").await;
    let no_credentials = vec![("AWS_ACCESS_KEY_ID", String::new()), ("AWS_SECRET_ACCESS_KEY", String::new())];
    world.start_operator_with(Start { environment: no_credentials, ..Start::default() }).await;
    let object = world.until_reason("bare", "AwsNotConfigured").await;
    assert!(condition(&object, "Stalled").unwrap().2.contains("give the operator some"));
    world.kill_operator();
    world.start_operator_with(Start { environment: vec![("AWS_REGION", String::new())], ..Start::default() }).await;
    world
        .until("bare", "the Region is asked for", |object| {
            condition(object, "Stalled").is_some_and(|it| it.1 == "AwsNotConfigured" && it.2.contains("set AWS_REGION"))
        })
        .await;
    world.kill_operator();
    assert!(world.athena.calls().iter().all(|call| call.session.as_deref() != Some(&id)));
    world.start_operator().await;
    world.until_reason("bare", "Running").await;
}

/// S7: what the status says asks for nothing and lets nothing go.
#[tokio::test]
async fn a_forged_status_buys_nothing() {
    let world = World::new().await;
    let id = world.declare("forged", "IDLE").await;
    let other = world.session_in("IDLE");
    let forged = || {
        json!({
            "sessionId": other, "state": "TERMINATED", "workGroup": "spark-team-b", "endedAt": "2026-01-01T00:00:00Z",
            "terminationRequestedAt": "2026-01-01T00:00:00Z", "terminationReason": "ObjectDeleted",
            "conditions": [{"type": "Terminated", "status": "True", "reason": "ObjectDeleted", "message": "",
                            "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        })
    };
    world.forge_status("forged", forged()).await;
    world.start_operator().await;
    world.until_reason("forged", "Running").await;
    assert_eq!(world.terminations(&id) + world.terminations(&other), 0);

    world.kill_operator();
    world.forge_status("forged", forged()).await;
    world.delete("forged").await;
    world.start_operator().await;
    world.until_gone("forged").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    assert_eq!(world.athena_session(&other).state, "IDLE");
    assert!(world.athena.calls().iter().all(|call| call.session.as_deref() != Some(&other)), "it was asked about");
}
