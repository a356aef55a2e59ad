//! Sessions that Athena says don't exist: what proves an absence, and what doesn't.

use std::time::Duration;

use fake_athena::{Config, Fault, NewSession, NotFound};
use serde_json::json;
use tokio::time::sleep;

use crate::launch::Start;
use crate::proxy::{Meddle, Script, before_athena};
use crate::world::{World, condition, eventually, has_finalizer, within};

/// S2: Athena denies the session once, while it still ends.
#[tokio::test]
async fn one_not_found_while_it_is_terminating_lets_nothing_go() {
    let world = World::with(Config { terminating: None, ..Config::default() }).await;
    world.start_operator().await;
    let id = world.declare("blink", "IDLE").await;
    world.until_reason("blink", "Running").await;
    world
        .athena
        .fault(Fault::error("InvalidRequestException", "Session does not exist").on("GetSessionStatus").times(1));
    world.delete("blink").await;
    let struck = || world.athena.calls().iter().any(|call| call.outcome.contains("InvalidRequest"));
    eventually("Athena denies the session once", || async { struck().then_some(()) }).await;
    sleep(Duration::from_secs(3)).await;
    assert!(world.get("blink").await.is_some(), "the session is still TERMINATING");
    world.athena.set_state(&id, "TERMINATED");
    world.until_gone("blink").await;
}

/// S2: the answers are --confirm-absence-after apart.
#[tokio::test]
async fn a_forgotten_session_is_released_after_two_answers_and_a_list() {
    for not_found in [NotFound::InvalidRequest, NotFound::ResourceNotFound] {
        let world = World::with(Config { not_found, ..Config::default() }).await;
        world.start_operator().await;
        let id = world.declare("forgotten", "IDLE").await;
        world.until_reason("forgotten", "Running").await;
        world.athena.forget(&id);
        let gone = world.until_reason("forgotten", "SessionNotFound").await;
        assert_eq!(condition(&gone, "Terminated").unwrap().1, "NotFound");
        assert_eq!(condition(&gone, "Stalled").unwrap().0, "True");
        let calls = world.athena.calls().into_iter();
        let denied: Vec<_> = calls.filter(|call| call.status == Some(400)).map(|call| call.at).collect();
        let apart = denied.last().unwrap().duration_since(denied[0]);
        assert!(apart >= Duration::from_secs(1).try_into().unwrap(), "--confirm-absence-after: {denied:?}");
        assert!(world.athena.calls_of("ListSessions", None) >= 8);
        world.delete("forgotten").await;
        world.until_gone("forgotten").await;
        assert_eq!(world.terminations(&id), 0);
    }
}

/// S2: a list that shows the session outweighs calls that deny it.
#[tokio::test]
async fn a_listed_session_isnt_absent_whatever_the_status_call_says() {
    let world = World::with(Config { terminating: None, ..Config::default() }).await;
    world.start_operator().await;
    // The session is on the last page of every list.
    let id = world.athena.add_session(NewSession { age: Duration::from_secs(3_600), ..NewSession::default() });
    for _ in 0..150 {
        world.session_in("TERMINATING");
    }
    world.create("listed", json!({"sessionId": id})).await;
    world.until_reason("listed", "Running").await;
    world.athena.fault(Fault::error("InvalidRequestException", "Session does not exist").on("GetSessionStatus"));
    world.delete("listed").await;
    world.until_reason("listed", "Invalid").await;
    sleep(Duration::from_secs(2)).await;
    assert!(world.get("listed").await.is_some());
    world.athena.clear_faults();
    world.athena.set_state(&id, "TERMINATED");
    world.until_gone("listed").await;
}

/// S2: Athena may deny a session that has just been started.
#[tokio::test]
async fn one_not_found_of_a_session_never_seen_lets_nothing_go() {
    let world = World::new().await;
    world.athena.fault(Fault::error("InvalidRequestException", "Session does not exist").on("GetSession").times(1));
    let id = world.session_in("IDLE");
    world.start_operator().await;
    world.create("young", json!({"sessionId": id})).await;
    world.until("young", "the finalizer is there", has_finalizer).await;
    world.delete("young").await;
    world.until_gone("young").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    assert_eq!(world.terminations(&id), 1);
}

#[tokio::test]
async fn a_mistyped_id_is_told_and_its_object_goes_when_it_is_deleted() {
    let world = World::new().await;
    world.start_operator().await;
    world.create("typo", json!({"sessionId": "no-such-session"})).await;
    let missing = world.until_reason("typo", "SessionNotFound").await;
    let message = condition(&missing, "Stalled").unwrap().2;
    assert!(
        message.contains("no-such-session") && message.contains("eu-west-1") && message.contains("123456789012"),
        "{message}"
    );
    world.until_event("typo", "Warning SessionNotFound").await;
    world.delete("typo").await;
    world.until_gone("typo").await;
    assert_eq!(world.terminations("no-such-session"), 0);
}

/// S2: an error of before the deletion proves nothing for the deletion.
#[tokio::test]
async fn what_athena_denied_before_the_deletion_is_asked_again_after_it() {
    let world = World::new().await;
    world.athena.fault(Fault::error("InvalidRequestException", "Work group is disabled").on("GetSession").times(2));
    world.start_operator_with(Start::with(&["--poll-interval=60s"])).await;
    let id = world.declare("early", "IDLE").await;
    world.until_reason("early", "SessionNotFound").await;
    eventually("two refusals", || async { (world.athena.calls_of("GetSession", Some(&id)) >= 2).then_some(()) }).await;
    sleep(Duration::from_secs(1)).await;
    // From here on Athena answers truly.
    world.delete("early").await;
    world.until_gone("early").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

/// L1: a long list at the rate that Athena allows goes on page by page, and doesn't begin anew.
#[tokio::test]
async fn a_long_listing_that_is_throttled_comes_to_its_end() {
    let quotas = [("ListSessions".to_owned(), "5/10".parse().unwrap())].into();
    let world = World::with(Config { history: 3000, quotas, ..Config::default() }).await;
    world.start_operator_with(Start::with(&["--backoff-min=1s", "--backoff-max=4s"])).await;
    let id = world.declare("long", "IDLE").await;
    world.until_reason("long", "Running").await;
    world.athena.forget(&id);
    world.delete("long").await;
    let gone = within(Duration::from_secs(50), world.until_gone("long")).await;
    let pages = world.athena.calls_of("ListSessions", None);
    assert!(gone, "{pages} pages asked for in 50 s, where 38 make the whole list");
    assert!(world.athena.calls().iter().any(|call| call.outcome.contains("Throttling")), "no call was throttled");
}

/// L1, L2: the NextToken leads back to the first page.
#[tokio::test]
async fn a_circular_list_makes_no_tight_loop_and_retain_works() {
    let world = World::new().await;
    let script = Script::meddling(|request, _| {
        let nowhere = || Meddle::Answer(200, json!({"Sessions": [], "NextToken": "again"}));
        (request == "AmazonAthena.ListSessions").then(nowhere)
    });
    let athena_url = Some(before_athena(&world.athena.url(), &script, &world.namespace).await);
    world.start_operator_with(Start { athena_url, ..Start::default() }).await;
    let id = world.declare("circle", "IDLE").await;
    world.until_reason("circle", "Running").await;
    world.athena.forget(&id);
    let pages = || script.count("AmazonAthena.ListSessions");
    eventually("a listing", || async { (pages() > 0).then_some(()) }).await;
    sleep(Duration::from_secs(5)).await;
    assert!(pages() < 50, "{} pages in 5 s", pages());
    world.delete("circle").await;
    world.edit("circle", json!({"deletionPolicy": "Retain"})).await;
    world.until_gone("circle").await;
}
