//! Athena contradicts itself, or gives impossible answers. No answer is believed beyond what this kind of answer can
//! show.

use std::time::Duration;

use fake_athena::{Config, Fault, NewSession};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::sleep;

use crate::api::AthenaSession;
use crate::tenancy::{TEAM_A, referring};
use crate::world::{World, condition};

/// S2, L2: lists show the session as ended, and each call for the session shows IDLE.
#[tokio::test]
async fn a_list_that_says_ended_lets_no_object_go_whose_session_lives() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_all("a", TEAM_A).await;
    // With so many sessions the operator polls by lists.
    let sessions: Vec<_> = (0..8).map(|_| world.session_of(TEAM_A)).collect();
    for (number, session) in sessions.iter().enumerate() {
        world.refer(&format!("object-{number}"), &group, session).await;
    }
    for number in 0..8 {
        world.until_reason(&format!("object-{number}"), "Running").await;
    }
    sessions.iter().for_each(|session| world.athena.list_as(session, Some("TERMINATED")));
    world.kill_operator();
    world.start_operator().await;
    for number in 0..8 {
        world.until_reason(&format!("object-{number}"), "Running").await;
    }
    world.athena.clear_calls();
    sleep(Duration::from_secs(10)).await;
    let calls = world.athena.calls().len();
    // Each session is looked at once a second here, and lists come on top. A tight loop would make thousands of calls.
    assert!(calls <= 20 * sessions.len(), "{calls} calls in 10 s");
    for number in 0..8 {
        world.delete(&format!("object-{number}")).await;
    }
    for (number, session) in sessions.iter().enumerate() {
        world.until_gone(&format!("object-{number}")).await;
        assert_eq!(world.athena_session(session).state, "TERMINATED", "object-{number}");
        assert_eq!(world.terminations(session), 1);
    }
}

/// S1: StartSession returns the id of a session that belongs to another object.
#[tokio::test]
async fn a_start_answered_with_a_foreign_session_ends_only_its_own() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    let theirs = world.session_of(TEAM_A);
    world.create("victim", referring(&group, &theirs)).await;
    world.until_reason("victim", "Running").await;
    world.athena.fault(Fault::says(json!({"SessionId": theirs})).on("StartSession"));
    world.start_session("nightly", &group).await;
    let is_its_own = |object: &AthenaSession| {
        let status = object.status.clone().unwrap_or_default();
        status.session_id.is_some_and(|id| id != theirs) && status.state.as_deref() == Some("IDLE")
    };
    world.until("nightly", "it has found its own session", is_its_own).await;
    world.delete("nightly").await;
    world.until_gone("nightly").await;
    assert_eq!((world.terminations(&theirs), world.athena_session(&theirs).state.as_str()), (0, "IDLE"));
    let own = world.athena.sessions().into_iter().find(|session| session.id != theirs).unwrap();
    assert_eq!((own.state.as_str(), world.athena.calls_of("StartSession", None)), ("TERMINATED", 1));
    world.delete("victim").await;
    world.until_gone("victim").await;
    assert_eq!(world.athena_session(&theirs).state, "TERMINATED");
}

/// S1: by this start time, maxLifetime would be over since decades.
#[tokio::test]
async fn a_start_before_athena_existed_ends_nothing_and_is_told() {
    let world = World::new().await;
    let patch = json!({"Status": {"StartDateTime": 0}});
    for operation in ["GetSession", "GetSessionStatus"] {
        world.athena.fault(Fault::says(patch.clone()).on(operation));
    }
    world.start_operator().await;
    let id = world.session_in("IDLE");
    world.create("old", json!({"sessionId": id, "maxLifetime": "8h"})).await;
    let told = |object: &AthenaSession| {
        condition(object, "Ready").is_some_and(|ready| ready.2.contains("before Athena for Apache Spark existed"))
    };
    let object = world.until("old", "the time is told", told).await;
    assert_eq!(object.status.as_ref().unwrap().started_at, None);
    let version = object.metadata.resource_version.clone();
    sleep(Duration::from_secs(4)).await;
    assert_eq!((world.terminations(&id), world.get("old").await.unwrap().metadata.resource_version), (0, version));
}

/// S2: only the exact word is an end.
#[tokio::test]
async fn a_state_in_white_space_is_unknown_and_no_end() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.athena.add_session(NewSession { state: " TERMINATED ".to_owned(), ..NewSession::default() });
    world.create("odd", json!({"sessionId": id})).await;
    let object = world.until_reason("odd", "StateUnknown").await;
    assert_eq!(object.status.unwrap().state.as_deref(), Some("\" TERMINATED \""));
    world.delete("odd").await;
    world.until_gone("odd").await;
    assert_eq!((world.terminations(&id), world.athena_session(&id).state.as_str()), (1, "TERMINATED"));
}

/// S1: an earlier process recorded the request for the end. Then the operator's clock was set ten hours ahead.
#[tokio::test]
async fn a_clock_set_ahead_over_a_restart_skips_no_grace_period() {
    let world = World::with(Config { skew: SignedDuration::from_hours(-10), ..Config::default() }).await;
    world.start_operator().await;
    let id = world.session_in("BUSY");
    let spec = json!({"sessionId": id, "terminationGracePeriod": "30m", "terminate": true});
    world.create("at-work", spec).await;
    world.until_reason("at-work", "Draining").await;
    world.kill_operator();
    // The earlier process recorded the time by a clock that agreed with Athena's.
    let recorded = Timestamp::now() - SignedDuration::from_hours(10) - SignedDuration::from_mins(1);
    world.forge_status("at-work", json!({"terminationRequestedAt": recorded.round(jiff::Unit::Second).unwrap()})).await;
    world.start_operator().await;
    sleep(Duration::from_secs(4)).await;
    world.until_reason("at-work", "Draining").await;
    assert_eq!(world.terminations(&id), 0);
    world.athena.set_state(&id, "IDLE");
    world.until_reason("at-work", "Ended").await;
}

/// S2: calls for the session are answered with another session, which has ended.
#[tokio::test]
async fn an_answer_about_another_session_counts_as_none() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("object", "IDLE").await;
    world.until_reason("object", "Running").await;
    let answer = json!({"SessionId": "another", "Status": {"State": "TERMINATED"}});
    for operation in ["GetSession", "GetSessionStatus"] {
        world.athena.fault(Fault::says(answer.clone()).on(operation));
    }
    // TerminateSession is denied, so the session runs on, and its object must stay.
    world.athena.fault(Fault::no_effect().on("TerminateSession"));
    world.delete("object").await;
    let object = world.until_reason("object", "AthenaUnavailable").await;
    let said = condition(&object, "Ready").unwrap().2;
    assert!(said.contains("WrongSession: the answer is about another session"), "{said}");
    assert_ne!(object.status.unwrap().state.as_deref(), Some("TERMINATED"));
    world.athena.clear_faults();
    world.until_gone("object").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}
