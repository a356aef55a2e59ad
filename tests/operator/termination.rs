//! How a session is ended: by deletion, by `spec.terminate`, from each state, and under faults of Athena.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fake_athena::{Config, Fault, NewSession};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::api::TerminationReason;
use crate::launch::Start;
use crate::proxy::{Meddle, Script, before_athena};
use crate::world::{World, condition, eventually, has_finalizer};

/// S2, L1: the whole life of an object, as a user sees it.
#[tokio::test]
async fn deleting_the_object_ends_the_session_first() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("report", "IDLE").await;
    let adopted = world.until_reason("report", "Running").await;
    assert!(has_finalizer(&adopted));
    let status = adopted.status.clone().unwrap();
    assert_eq!(status.session_id.as_deref(), Some(id.as_str()));
    assert_eq!(status.state.as_deref(), Some("IDLE"));
    assert_eq!(status.work_group.as_deref(), Some("primary"));
    assert_eq!(status.region.as_deref(), Some("eu-west-1"));
    assert_eq!(status.account_id.as_deref(), Some("123456789012"));
    assert!(status.started_at.is_some());
    assert_eq!(condition(&adopted, "Active").unwrap().0, "True");
    assert_eq!(condition(&adopted, "Terminated").unwrap().0, "False");
    assert_eq!(condition(&adopted, "Reconciling"), None);
    world.until_event("report", "Normal Adopted").await;

    world.delete("report").await;
    let ending = world
        .until("report", "its end is recorded", |object| condition(object, "Active").is_some_and(|it| it.0 == "False"))
        .await;
    assert_eq!(condition(&ending, "Reconciling").unwrap().1, "Terminating");
    assert!(condition(&ending, "Ready").unwrap().2.contains("deletionPolicy: Retain"), "the way out is told");
    let status = ending.status.unwrap();
    assert_eq!(status.termination_reason, Some(TerminationReason::ObjectDeleted));
    assert!(status.termination_requested_at.is_some());
    world.until_gone("report").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    assert_eq!(world.terminations(&id), 1);
    world.until_event("report", "Normal Terminating").await;
    world.until_event("report", "Normal Terminated").await;

    let writes = world.writes();
    assert_eq!(writes.len(), 4, "two to adopt, two to end: {writes:?}");
    assert!(!world.log().contains("planted-secret"));
}

/// S2: TERMINATING is no end. An earlier removal would leave a session behind that doesn't end.
#[tokio::test]
async fn the_finalizer_stays_as_long_as_athena_says_terminating() {
    let world = World::with(Config { terminating: None, ..Config::default() }).await;
    world.start_operator().await;
    let id = world.declare("slow", "IDLE").await;
    world.until_reason("slow", "Running").await;
    world.delete("slow").await;
    let looks = || world.athena.calls_of("GetSessionStatus", Some(&id));
    eventually("TerminateSession is called", || async { (world.terminations(&id) > 0).then_some(()) }).await;
    let before = looks();
    eventually("ten looks", || async {
        let object = world.get("slow").await.expect("the object is there as long as the session is");
        assert!(has_finalizer(&object));
        (looks() >= before + 10).then_some(())
    })
    .await;
    assert_eq!(world.terminations(&id), 1);
    world.athena.set_state(&id, "TERMINATED");
    world.until_gone("slow").await;
}

/// S2, L1: the finalizer is added before Athena is asked anything, so a deletion in the next second finds it.
#[tokio::test]
async fn a_deletion_right_after_the_apply_ends_the_session() {
    let world = World::new().await;
    world.athena.fault(Fault::cut());
    let environment = vec![("AWS_ENDPOINT_URL_STS", world.athena.url())];
    world.start_operator_with(Start { environment, ..Start::default() }).await;
    let id = world.declare("brief", "IDLE").await;
    world.until("brief", "the finalizer is there", has_finalizer).await;
    world.delete("brief").await;
    world.until_reason("brief", "AthenaUnavailable").await;
    let calls = || world.athena.calls_of("GetSession", Some(&id));
    let before = calls();
    eventually("five more tries", || async { (calls() >= before + 5).then_some(()) }).await;
    assert!(has_finalizer(&world.get("brief").await.expect("nothing is known of the session")));
    assert_eq!(world.athena_session(&id).state, "IDLE");
    world.athena.clear_faults();
    world.until_gone("brief").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    assert_eq!(world.terminations(&id), 1);
}

/// L1: and with none where the session is ending already.
#[tokio::test]
async fn a_session_in_any_state_is_ended_with_at_most_one_call() {
    let world = World::new().await;
    for state in
        ["CREATING", "CREATED", "IDLE", "BUSY", "DEGRADED", "HIBERNATED", "TERMINATING", "TERMINATED", "FAILED"]
    {
        let id = world.declare(&state.to_lowercase(), state).await;
        if state == "TERMINATING" {
            world.athena.set_state(&id, state);
        }
    }
    world.start_operator().await;
    let reasons = [
        ("creating", "Starting", 1),
        ("created", "Starting", 1),
        ("idle", "Running", 1),
        ("busy", "Running", 1),
        ("degraded", "Degraded", 1),
        ("hibernated", "StateUnknown", 1),
        ("terminating", "Terminating", 0),
        ("terminated", "Ended", 0),
        ("failed", "Failed", 0),
    ];
    let check = reasons.map(|(name, reason, calls)| {
        let world = &world;
        async move {
            let object = world.until_reason(name, reason).await;
            let id = object.spec.session_id.as_deref().unwrap();
            world.delete(name).await;
            if name == "terminating" {
                world.athena.set_state(id, "TERMINATED");
            }
            world.until_gone(name).await;
            let state = world.athena_session(id).state;
            assert!(state == "TERMINATED" || state == "FAILED", "{name} is {state}");
            assert_eq!(world.terminations(id), calls, "{name}");
        }
    });
    futures::future::join_all(check).await;
}

#[tokio::test]
async fn a_session_that_fails_while_it_is_ended_counts_as_ended() {
    let world = World::with(Config { terminate_ends_in: "FAILED".to_owned(), ..Config::default() }).await;
    world.start_operator().await;
    let id = world.declare("doomed", "IDLE").await;
    world.until_reason("doomed", "Running").await;
    world.delete("doomed").await;
    world.until_gone("doomed").await;
    assert_eq!(world.athena_session(&id).state, "FAILED");
}

/// L1: after --terminate-again-after.
#[tokio::test]
async fn an_accepted_end_without_effect_is_asked_for_again() {
    let world = World::new().await;
    world.athena.fault(Fault::no_effect().on("TerminateSession").times(2));
    world.start_operator().await;
    let id = world.declare("deaf", "IDLE").await;
    world.until_reason("deaf", "Running").await;
    world.delete("deaf").await;
    world.until_gone("deaf").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    assert_eq!(world.terminations(&id), 3);
    let calls = world.athena.calls().into_iter().filter(|call| call.operation == "TerminateSession");
    let at: Vec<_> = calls.map(|call| call.at).collect();
    let apart = Duration::from_secs(1).try_into().unwrap();
    assert!(at.windows(2).all(|pair| pair[1].duration_since(pair[0]) >= apart), "--terminate-again-after: {at:?}");
    world.until_event("deaf", "Normal Terminated").await;
    let events = world.events("deaf").await;
    assert_eq!(events.iter().filter(|it| *it == "Normal Terminating").count(), 1, "{events:?}");
}

#[tokio::test]
async fn an_end_that_takes_too_long_is_reported_and_still_looked_at() {
    let world = World::with(Config { terminating: None, ..Config::default() }).await;
    world.start_operator_with(Start::with(&["--termination-overdue-after=1s"])).await;
    let id = world.declare("stuck", "IDLE").await;
    world.until_reason("stuck", "Running").await;
    world.delete("stuck").await;
    let overdue = world.until_reason("stuck", "TerminationOverdue").await;
    assert_eq!(condition(&overdue, "Stalled").unwrap().0, "True");
    world.until_event("stuck", "Warning TerminationOverdue").await;
    world.athena.set_state(&id, "TERMINATED");
    world.until_gone("stuck").await;
    assert_eq!(world.terminations(&id), 1);
}

#[tokio::test]
async fn an_answer_cut_after_the_effect_leads_to_a_look() {
    let world = World::new().await;
    world.athena.fault(Fault::cut().after_effect().on("TerminateSession").times(1));
    world.start_operator().await;
    let id = world.declare("cut", "IDLE").await;
    world.until_reason("cut", "Running").await;
    world.delete("cut").await;
    world.until_gone("cut").await;
    assert_eq!(world.terminations(&id), 1);
}

/// L1, L2: throttled calls are repeated with growing waits.
#[tokio::test]
async fn throttling_is_waited_out() {
    let world = World::with(Config {
        quotas: [("TerminateSession".to_owned(), "4/2".parse().unwrap())].into(),
        ..Config::default()
    })
    .await;
    world.start_operator().await;
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(world.declare(&format!("many-{number}"), "IDLE").await);
    }
    for number in 0..20 {
        world.until_reason(&format!("many-{number}"), "Running").await;
    }
    for number in 0..20 {
        world.delete(&format!("many-{number}")).await;
    }
    for number in 0..20 {
        world.until_gone(&format!("many-{number}")).await;
    }
    let throttled = world.athena.calls().iter().filter(|call| call.outcome.contains("Throttling")).count();
    assert!(throttled > 0, "no call was throttled");
    assert!(throttled < 400, "{throttled} calls too many: the wait doesn't grow");
    for number in 0..20 {
        let events = world.events(&format!("many-{number}")).await;
        assert!(!events.iter().any(|event| event.starts_with("Warning")), "{events:?}");
    }
    assert!(ids.iter().all(|id| world.athena_session(id).state == "TERMINATED"));
}

/// The operator was away for longer than --termination-overdue-after, and the end itself takes a moment.
#[tokio::test]
async fn an_end_that_begins_after_a_downtime_isnt_overdue() {
    let world = World::with(Config { terminating: Some(Duration::from_millis(1500)), ..Config::default() }).await;
    let start = Start::with(&["--termination-overdue-after=4s"]);
    world.start_operator_with(start.clone()).await;
    world.declare("late", "IDLE").await;
    world.until_reason("late", "Running").await;
    world.kill_operator();
    world.delete("late").await;
    sleep(Duration::from_secs(6)).await;
    world.start_operator_with(start).await;
    world.until_gone("late").await;
    world.until_event("late", "Normal Terminated").await;
    let events = world.events("late").await;
    assert!(!events.contains(&"Warning TerminationOverdue".to_owned()), "{events:?}");
}

/// L1: Athena sometimes calls an ended session of Spark 3.5 STOPPED.
#[tokio::test]
async fn an_end_by_another_word_is_an_end_where_athena_says_when() {
    let ends_in = "STOPPED".to_owned();
    let world = World::with(Config { terminate_ends_in: ends_in, ..Config::default() }).await;
    world.start_operator().await;
    for (name, asks) in [("kept", json!({"terminate": true})), ("deleted", json!({}))] {
        let id = world.declare(name, "IDLE").await;
        world.until_reason(name, "Running").await;
        world.edit(name, asks).await;
        if name == "deleted" {
            world.delete(name).await;
            world.until_gone(name).await;
        } else {
            let object = world.until_reason(name, "Ended").await;
            let (terminated, status) = (condition(&object, "Terminated").unwrap(), object.status.as_ref().unwrap());
            assert_eq!((terminated.0, terminated.1), ("True", "RequestedBySpec"));
            assert_eq!((status.state.as_deref(), status.ended_at.is_some()), (Some("STOPPED"), true));
        }
        assert_eq!((world.athena_session(&id).state.as_str(), world.terminations(&id)), ("STOPPED", 1));
    }
}

#[tokio::test]
async fn an_id_of_any_characters_is_taken_as_it_is() {
    let world = World::new().await;
    world.start_operator().await;
    let id = "../a/b?c=d#\u{1F600}%2e\"'{}$(id)".to_owned();
    let id = world.athena.add_session(NewSession { id: Some(id), ..NewSession::default() });
    world.create("weird", json!({"sessionId": id})).await;
    world.until_reason("weird", "Running").await;
    world.delete("weird").await;
    world.until_gone("weird").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

/// L1: the state is cut before it is written. The API server would refuse such a status, which would hold up the end.
#[tokio::test]
async fn a_state_of_a_hundred_kilobytes_doesnt_hold_up_the_end() {
    let world = World::new().await;
    let is_ended = AtomicBool::new(false);
    let script = Script::meddling(move |request, body| {
        is_ended.fetch_or(request.starts_with("AmazonAthena.TerminateSession"), Ordering::Relaxed);
        (request.starts_with("AmazonAthena.GetSession") && !is_ended.load(Ordering::Relaxed)).then(|| {
            let asked: Value = serde_json::from_str(body).unwrap();
            let status = json!({"State": "X".repeat(100_000)});
            Meddle::Answer(200, json!({"SessionId": asked["SessionId"], "WorkGroup": "primary", "Status": status}))
        })
    });
    let athena_url = Some(before_athena(&world.athena.url(), &script, &world.namespace).await);
    world.start_operator_with(Start { athena_url, ..Start::default() }).await;
    let id = world.declare("huge", "IDLE").await;
    world.until_reason("huge", "StateUnknown").await;
    world.delete("huge").await;
    world.until_gone("huge").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}
