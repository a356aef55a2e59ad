//! Errors of AWS: denied rights, missing credentials, outages, and messages that differ each time.

use std::time::{Duration, Instant};

use fake_athena::{Fault, NewSession};
use serde_json::json;
use tokio::time::sleep;

use crate::launch::Start;
use crate::tenancy::{TEAM_A, TEAM_B};
use crate::world::{World, condition, eventually};

fn denied() -> Fault {
    Fault::error("AccessDeniedException", "User: arn:aws:sts::123456789012:assumed-role/operator is not authorized")
}

/// S2: AWS denies the calls before the session was ever seen. The session may run, so the object waits for a person.
#[tokio::test]
async fn access_denied_before_the_adoption_is_told_once_and_retried() {
    let world = World::new().await;
    world.athena.fault(denied().on("GetSession"));
    world.athena.fault(denied().on("GetSessionStatus"));
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

/// L1: an end needs only GetSessionStatus and TerminateSession.
#[tokio::test]
async fn a_denied_getsession_is_told_and_holds_up_no_end() {
    let world = World::new().await;
    world.athena.fault(denied().on("GetSession"));
    world.start_operator().await;
    let id = world.declare("denied", "IDLE").await;
    let object = world.until_reason("denied", "GetSessionDenied").await;
    assert_eq!(condition(&object, "Active").unwrap().0, "True");
    let told = condition(&object, "Stalled").unwrap().2;
    assert!(told.contains("Allow athena:GetSession to"), "{told}");
    world.until_event("denied", "Warning GetSessionDenied").await;
    world.delete("denied").await;
    world.until_gone("denied").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

/// S1, S7: a list proves that the session is in the work group. Without this proof nothing is ended.
#[tokio::test]
async fn without_get_session_a_list_tells_the_work_group() {
    let world = World::new().await;
    world.athena.fault(denied().on("GetSession"));
    world.start_operator().await;
    let group = world.register_for_all("a", TEAM_A).await;
    let (own, foreign) = (world.session_of(TEAM_A), world.session_of(TEAM_B));
    world.refer("own", &group, &own).await;
    world.refer("foreign", &group, &foreign).await;
    let object = world.until_reason("foreign", "AccessDenied").await;
    assert_eq!(object.status.unwrap().state, None, "the state of a foreign session isn't shown");
    for name in ["own", "foreign"] {
        world.edit(name, json!({"terminate": true})).await;
    }
    let object = world.until_reason("own", "Ended").await;
    assert_eq!(object.status.unwrap().work_group.as_deref(), Some(TEAM_A));
    world.athena.clear_faults();
    world.until_reason("foreign", "WrongWorkGroup").await;
    assert_eq!((world.athena_session(&foreign).state.as_str(), world.terminations(&foreign)), ("IDLE", 0));
}

/// S2: AWS denies TerminateSession. Retain is the way out.
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

/// S7: a forged status asks for nothing and releases nothing.
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
    assert!(
        world.athena.calls().iter().all(|call| call.session.as_deref() != Some(&other)),
        "Athena was asked about the other session"
    );
}

/// L2: where a clock is wrong, AWS' message says each time how wrong the clock is.
#[tokio::test]
async fn a_message_that_differs_each_time_is_written_once() {
    let world = World::new().await;
    for second in 10..60 {
        let said = format!("Signature expired: 20261101T1200{second}Z is now earlier than 20261101T1210{second}Z");
        for operation in ["GetSession", "GetSessionStatus"] {
            world.athena.fault(Fault::error("InvalidSignatureException", &said).on(operation).times(1));
        }
    }
    world.start_operator().await;
    let id = world.declare("skew", "IDLE").await;
    world.until_reason("skew", "AccessDenied").await;
    world.delete("skew").await;
    sleep(Duration::from_secs(2)).await;
    let calls = || world.athena.calls_of("GetSession", Some(&id));
    let (writes, before) = (world.writes().len(), calls());
    eventually("four more tries", || async { (calls() >= before + 4).then_some(()) }).await;
    assert_eq!(world.writes().len(), writes);
}

/// S2, L1: a work group was deleted in Athena with its sessions. No list can prove that the session is gone, so a
/// person must set Retain.
#[tokio::test]
async fn retain_releases_the_objects_of_a_deleted_work_group() {
    let world = World::new().await;
    world.start_operator().await;
    let id =
        world.athena.add_session(NewSession { work_group: Some("spark-team-a".to_owned()), ..NewSession::default() });
    world.create("orphan", json!({"sessionId": id})).await;
    world.until_reason("orphan", "Running").await;
    world.athena.reconfigure(|config| config.work_groups.retain(|it| it.name != "spark-team-a"));
    world.athena.forget(&id);
    world.delete("orphan").await;
    let told = world.until("orphan", "the way out is told", |object| {
        condition(object, "Stalled").is_some_and(|it| it.2.contains("deletionPolicy: Retain"))
    });
    let object = told.await;
    let message = condition(&object, "Stalled").unwrap().2;
    assert!(message.contains("ListSessions"), "{message}");
    world.edit("orphan", json!({"deletionPolicy": "Retain"})).await;
    world.until_gone("orphan").await;
}

/// L1: each object has its own back-off. An answer to another object's call ends it.
#[tokio::test]
async fn the_first_answer_after_an_outage_is_good_for_all_objects() {
    let world = World::new().await;
    let minutes = || "5m".to_owned();
    let environment = vec![("ATHENA_OPERATOR_BACKOFF_MIN", minutes()), ("ATHENA_OPERATOR_BACKOFF_MAX", minutes())];
    world.start_operator_with(Start { environment, ..Start::default() }).await;
    let names: Vec<_> = (0..6).map(|number| format!("object-{number}")).collect();
    for name in &names {
        world.declare(name, "IDLE").await;
    }
    for name in &names {
        world.until_reason(name, "Running").await;
    }
    world.athena.fault(Fault::internal());
    for name in &names {
        world.edit(name, json!({"terminate": true})).await;
    }
    let failed = || world.athena.calls().iter().filter(|call| call.error.is_some()).count();
    eventually("each object has failed", || async { (failed() >= names.len()).then_some(()) }).await;
    sleep(Duration::from_secs(2)).await;
    world.athena.clear_faults();
    world.declare("another", "IDLE").await;
    world.until_reason("another", "Running").await;
    let answered = Instant::now();
    for name in &names {
        world.until_reason(name, "Ended").await;
    }
    assert!(answered.elapsed() < Duration::from_secs(10), "{:?}", answered.elapsed());
}
