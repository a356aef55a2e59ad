//! Sessions: their states over time, tokens, lists, quotas.

#![allow(clippy::unwrap_used)] // in a test a panic is the report

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use fake_athena::{Config, FakeAthena, NewSession, NotFound, Quota, SPARK_3_5, WorkGroup};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

mod common;
use common::{Answer, call, call_from};

const GROUP: &str = "spark-team-a";
const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
const MINUTE: Duration = Duration::from_secs(60);

async fn athena(change: impl FnOnce(&mut Config)) -> FakeAthena {
    let mut config = Config::default();
    change(&mut config);
    FakeAthena::start(config).await.unwrap()
}

async fn ask(athena: &FakeAthena, operation: &str, input: Value) -> Answer {
    call(&athena.url(), operation, input).await.unwrap()
}

async fn start(athena: &FakeAthena, more: Value) -> Answer {
    let mut input = json!({"WorkGroup": GROUP, "EngineConfiguration": {"MaxConcurrentDpus": 4}});
    let members = input.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    ask(athena, "StartSession", input).await
}

async fn terminate(athena: &FakeAthena, id: &str) -> Answer {
    ask(athena, "TerminateSession", json!({"SessionId": id})).await
}

async fn list(athena: &FakeAthena, more: Value) -> (Vec<String>, Option<String>) {
    let mut input = json!({"WorkGroup": GROUP});
    let members = input.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    let answer = ask(athena, "ListSessions", input).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let sessions = answer.body["Sessions"].as_array().unwrap();
    let ids = sessions.iter().map(|it| it["SessionId"].as_str().unwrap().to_owned());
    let token = answer.body["NextToken"].as_str().map(str::to_owned);
    (ids.collect(), token)
}

fn add(athena: &FakeAthena, state: &str, age: Duration) -> String {
    athena.add_session(NewSession {
        work_group: Some(GROUP.to_owned()),
        state: state.to_owned(),
        age,
        ..NewSession::default()
    })
}

fn state(athena: &FakeAthena, id: &str) -> String {
    athena.session(id).unwrap().state
}

fn id_of(answer: &Answer) -> String {
    answer.body["SessionId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_same_token_starts_one_session_and_gives_the_same_answer() {
    let athena = athena(|_| ()).await;
    let first = start(&athena, json!({"ClientRequestToken": TOKEN})).await;
    athena.advance(MINUTE);
    let second = start(&athena, json!({"ClientRequestToken": TOKEN})).await;
    assert_eq!(first, second);
    assert_eq!(athena.sessions().len(), 1);
    let effects: Vec<bool> = athena.calls().iter().map(|call| call.effect).collect();
    assert_eq!(effects, [true, false]);
}

#[tokio::test]
async fn a_token_with_a_changed_parameter_is_refused() {
    let athena = athena(|_| ()).await;
    start(&athena, json!({"ClientRequestToken": TOKEN})).await;
    let changed = json!({"ClientRequestToken": TOKEN, "Description": "another"});
    let answer = start(&athena, changed).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body["__type"], "InvalidRequestException");
    assert_eq!(athena.sessions().len(), 1);
}

#[tokio::test]
async fn a_token_older_than_its_life_starts_another_session() {
    let athena = athena(|config| config.token_life = Some(MINUTE)).await;
    let first = start(&athena, json!({"ClientRequestToken": TOKEN})).await;
    athena.advance(MINUTE);
    let second = start(&athena, json!({"ClientRequestToken": TOKEN})).await;
    assert_ne!(id_of(&first), id_of(&second));
}

#[tokio::test]
async fn without_a_token_each_start_makes_a_session() {
    let athena = athena(|_| ()).await;
    start(&athena, json!({})).await;
    start(&athena, json!({})).await;
    assert_eq!(athena.sessions().len(), 2);
}

#[tokio::test]
async fn a_session_is_creating_then_created_then_idle() {
    let athena = athena(|config| {
        config.creating = Some(MINUTE);
        config.created = MINUTE;
    })
    .await;
    let answer = start(&athena, json!({})).await;
    assert_eq!(answer.body["State"], "CREATING");
    let id = id_of(&answer);
    athena.advance(MINUTE);
    assert_eq!(state(&athena, &id), "CREATED");
    athena.advance(MINUTE);
    let session = athena.session(&id).unwrap();
    assert_eq!(session.state, "IDLE");
    let since = session.idle_since.unwrap().duration_since(session.started_at);
    assert_eq!(since, SignedDuration::from_mins(2));
}

#[tokio::test]
async fn a_start_can_lead_to_failed() {
    let athena = athena(|config| config.start_ends_in = "FAILED".to_owned()).await;
    let id = id_of(&start(&athena, json!({})).await);
    athena.advance(MINUTE);
    assert_eq!(state(&athena, &id), "FAILED");
}

#[tokio::test]
async fn ending_takes_its_time_and_says_why() {
    let athena = athena(|config| config.terminating = Some(MINUTE)).await;
    let id = add(&athena, "IDLE", MINUTE);
    assert_eq!(terminate(&athena, &id).await.body["State"], "TERMINATING");
    assert_eq!(athena.session(&id).unwrap().ended_at, None);
    athena.advance(MINUTE);
    let session = athena.session(&id).unwrap();
    assert_eq!(session.state, "TERMINATED");
    let reason = session.state_change_reason.unwrap();
    assert_eq!(reason, "Session was terminated per request");
    assert!(session.ended_at.unwrap() > session.started_at);
}

#[tokio::test]
async fn an_end_can_lead_to_failed_or_never_come() {
    let athena = athena(|config| config.terminate_ends_in = "FAILED".to_owned()).await;
    let failed = add(&athena, "BUSY", MINUTE);
    terminate(&athena, &failed).await;
    athena.reconfigure(|config| config.terminating = None);
    let stuck = add(&athena, "DEGRADED", MINUTE);
    terminate(&athena, &stuck).await;
    athena.advance(1000 * MINUTE);
    assert_eq!(state(&athena, &failed), "FAILED");
    assert_eq!(state(&athena, &stuck), "TERMINATING");
}

#[tokio::test]
async fn ending_what_has_ended_or_is_ending_succeeds_without_an_effect() {
    let athena = athena(|_| ()).await;
    for ended in ["TERMINATING", "TERMINATED", "FAILED"] {
        let id = add(&athena, ended, MINUTE);
        let before = athena.session(&id).unwrap().last_modified_at;
        let answer = terminate(&athena, &id).await;
        assert_eq!((answer.status, &answer.body["State"]), (200, &json!(ended)));
        assert_eq!(athena.session(&id).unwrap().last_modified_at, before);
    }
    assert!(athena.calls().iter().all(|call| !call.effect));
}

#[tokio::test]
async fn an_idle_session_ends_after_its_timeout_and_a_busy_one_does_not() {
    let athena = athena(|config| config.calculation = 10 * MINUTE).await;
    let timeout = json!({"SessionIdleTimeoutInMinutes": 5});
    let idle = id_of(&start(&athena, timeout.clone()).await);
    let busy = id_of(&start(&athena, timeout).await);
    athena.advance(MINUTE);
    let calculation = json!({"SessionId": busy, "CodeBlock": "1"});
    let answer = ask(&athena, "StartCalculationExecution", calculation).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    athena.advance(6 * MINUTE);
    assert_eq!(state(&athena, &idle), "TERMINATED");
    assert_eq!(state(&athena, &busy), "BUSY");
    athena.advance(6 * MINUTE);
    assert_eq!(state(&athena, &busy), "IDLE");
    athena.advance(6 * MINUTE);
    assert_eq!(state(&athena, &busy), "TERMINATED");
}

#[tokio::test]
async fn pages_are_newest_first_and_a_session_started_in_between_shifts_nothing() {
    let athena = athena(|_| ()).await;
    let ids: Vec<String> = (1..=5).map(|age| add(&athena, "IDLE", age * MINUTE)).collect();
    let (first, token) = list(&athena, json!({"MaxResults": 2})).await;
    assert_eq!(first, ids[..2]);
    add(&athena, "IDLE", Duration::ZERO);
    let (second, token) = list(&athena, json!({"MaxResults": 2, "NextToken": token})).await;
    assert_eq!(second, ids[2..4]);
    let (third, token) = list(&athena, json!({"MaxResults": 2, "NextToken": token})).await;
    assert_eq!((third, token), (ids[4..].to_vec(), None));
}

#[tokio::test]
async fn a_page_token_is_refused_in_another_list() {
    let athena = athena(|_| ()).await;
    for _ in 0..2 {
        add(&athena, "IDLE", MINUTE);
    }
    let (_, token) = list(&athena, json!({"MaxResults": 1})).await;
    for (group, filter, token) in [
        (GROUP, json!("IDLE"), token.as_deref()),
        ("spark-team-b", Value::Null, token.as_deref()),
        (GROUP, Value::Null, Some("forged")),
        (GROUP, Value::Null, Some("äöü")),
    ] {
        let input = json!({"WorkGroup": group, "StateFilter": filter, "NextToken": token});
        let answer = ask(&athena, "ListSessions", input).await;
        assert_eq!(answer.body["__type"], "InvalidRequestException", "{answer:?}");
    }
}

#[tokio::test]
async fn the_page_limit_holds_whatever_is_asked_for() {
    let athena = athena(|config| config.page_limit = 2).await;
    for _ in 0..3 {
        add(&athena, "IDLE", MINUTE);
    }
    let (page, token) = list(&athena, json!({"MaxResults": 100})).await;
    assert_eq!((page.len(), token.is_some()), (2, true));
}

#[tokio::test]
async fn without_a_filter_only_active_sessions_are_listed() {
    let athena = athena(|_| ()).await;
    let busy = add(&athena, "BUSY", MINUTE);
    let degraded = add(&athena, "DEGRADED", MINUTE);
    add(&athena, "TERMINATING", MINUTE);
    assert_eq!(list(&athena, json!({})).await.0, [busy]);
    let filter = json!({"StateFilter": "DEGRADED"});
    assert_eq!(list(&athena, filter).await.0, [degraded]);
}

#[tokio::test]
async fn a_list_lags_behind_the_truth() {
    let athena = athena(|config| {
        config.list_lag = MINUTE;
        config.terminating = Some(Duration::ZERO);
    })
    .await;
    let id = id_of(&start(&athena, json!({})).await);
    assert!(list(&athena, json!({})).await.0.is_empty());
    athena.advance(2 * MINUTE);
    assert_eq!(list(&athena, json!({})).await.0, std::slice::from_ref(&id));
    terminate(&athena, &id).await;
    assert_eq!(state(&athena, &id), "TERMINATED");
    let filter = json!({"StateFilter": "IDLE"});
    assert_eq!(list(&athena, filter).await.0, [id]);
    athena.advance(2 * MINUTE);
    assert!(list(&athena, json!({})).await.0.is_empty());
}

#[tokio::test]
async fn a_quota_refuses_what_exceeds_it_and_recovers() {
    let quota: Quota = "10/2".parse().unwrap();
    let athena = athena(|config| config.quotas = BTreeMap::from([("GetSession".to_owned(), quota)])).await;
    let id = add(&athena, "IDLE", MINUTE);
    let input = json!({"SessionId": id});
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        outcomes.push(ask(&athena, "GetSession", input.clone()).await.status);
    }
    assert_eq!(outcomes, [200, 200, 400]);
    let error = athena.calls()[2].error.clone();
    assert_eq!(error.as_deref(), Some("ThrottlingException"));
    let other = ask(&athena, "GetSessionStatus", input.clone()).await;
    assert_eq!(other.status, 200);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(ask(&athena, "GetSession", input).await.status, 200);
    let count = |outcome: &str| athena.count_calls()[&("GetSession".to_owned(), outcome.to_owned())];
    assert_eq!((count("200"), count("400 ThrottlingException")), (3, 1));
}

#[tokio::test]
async fn a_rate_for_all_operations_counts_each_by_itself() {
    let quota: Quota = "0/1".parse().unwrap();
    let athena = athena(|config| config.quotas = BTreeMap::from([("*".to_owned(), quota)])).await;
    let id = add(&athena, "IDLE", MINUTE);
    for (operation, status) in [("GetSession", 200), ("GetSession", 400), ("GetSessionStatus", 200)] {
        let answer = ask(&athena, operation, json!({"SessionId": id})).await;
        assert_eq!(answer.status, status, "{operation}");
    }
}

#[tokio::test]
async fn a_quota_that_was_lifted_starts_full_when_it_comes_back() {
    let quota: Quota = "0/1".parse().unwrap();
    let quotas = BTreeMap::from([("GetSession".to_owned(), quota)]);
    let athena = athena(|_| ()).await;
    let input = json!({"SessionId": add(&athena, "IDLE", MINUTE)});
    for quotas in [quotas.clone(), BTreeMap::new(), quotas] {
        athena.reconfigure(|config| config.quotas = quotas);
        let answer = ask(&athena, "GetSession", input.clone()).await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn an_unknown_state_stays_until_a_call_changes_it() {
    let athena = athena(|config| config.terminating = None).await;
    let id = id_of(&start(&athena, json!({})).await);
    athena.set_state(&id, "HIBERNATED");
    assert_eq!(state(&athena, &id), "HIBERNATED");
    athena.advance(100 * MINUTE);
    let answer = ask(&athena, "GetSessionStatus", json!({"SessionId": id})).await;
    assert_eq!(answer.body["Status"]["State"], "HIBERNATED");
    assert_eq!(terminate(&athena, &id).await.body["State"], "TERMINATING");
}

#[tokio::test]
async fn a_forgotten_session_has_never_been() {
    let athena = athena(|_| ()).await;
    let input = json!({"ClientRequestToken": TOKEN});
    let id = id_of(&start(&athena, input.clone()).await);
    athena.forget(&id);
    let answer = ask(&athena, "GetSessionStatus", json!({"SessionId": id})).await;
    assert_eq!(answer.body["__type"], "InvalidRequestException");
    let message = format!("Session {id} does not exist");
    assert_eq!(answer.body["Message"], message);
    assert!(list(&athena, json!({})).await.0.is_empty());
    assert_ne!(id_of(&start(&athena, input).await), id);
    athena.reconfigure(|config| config.not_found = NotFound::ResourceNotFound);
    let answer = ask(&athena, "GetSessionStatus", json!({"SessionId": id})).await;
    assert_eq!(answer.body["__type"], "ResourceNotFoundException");
}

#[tokio::test]
async fn another_region_knows_nothing_of_a_session() {
    let athena = athena(|_| ()).await;
    let id = add(&athena, "IDLE", MINUTE);
    let input = json!({"SessionId": id});
    let here = call_from("eu-west-1", &athena.url(), "GetSession", input.clone()).await;
    let there = call_from("us-east-1", &athena.url(), "GetSession", input).await;
    assert_eq!((here.unwrap().status, there.unwrap().status), (200, 400));
    let regions: Vec<String> = athena.calls().into_iter().map(|call| call.region).collect();
    assert_eq!(regions, ["eu-west-1", "us-east-1"]);
}

#[tokio::test]
async fn work_group_tags_are_copied_when_asked_for() {
    let tags = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    let group = WorkGroup { tags, ..WorkGroup::named(GROUP) };
    let athena = athena(|config| config.work_groups = vec![group]).await;
    let own = json!([{"Key": "own", "Value": "x"}]);
    let plain = id_of(&start(&athena, json!({"Tags": own})).await);
    let copied = id_of(&start(&athena, json!({"Tags": own, "CopyWorkGroupTags": true})).await);
    let keys = |id: &str| athena.session(id).unwrap().tags.into_keys().collect::<Vec<_>>();
    assert_eq!(keys(&plain), ["own"]);
    assert_eq!(keys(&copied), ["own", "team"]);
}

#[tokio::test]
async fn the_calculation_api_is_missing_on_spark_3_5() {
    let group = WorkGroup::with_engine(GROUP, SPARK_3_5);
    let athena = athena(|config| config.work_groups = vec![group]).await;
    let id = add(&athena, "IDLE", MINUTE);
    let input = json!({"SessionId": id, "CodeBlock": "1"});
    let answer = ask(&athena, "StartCalculationExecution", input).await;
    assert_eq!(answer.body["__type"], "InvalidRequestException");
    assert_eq!(state(&athena, &id), "IDLE");
}

#[tokio::test]
async fn a_skewed_clock_shows_in_the_answers() {
    let skew = SignedDuration::from_hours(-2);
    let athena = athena(|config| config.skew = skew).await;
    let id = id_of(&start(&athena, json!({})).await);
    let off = Timestamp::now().duration_since(athena.session(&id).unwrap().started_at);
    assert_eq!(off.as_hours(), 2);
    let on_time = Timestamp::now().duration_since(athena.calls()[0].at);
    assert_eq!(on_time.as_hours(), 0);
}

#[tokio::test]
async fn a_history_of_20000_sessions_is_cheap() {
    let began = Instant::now();
    let athena = athena(|config| config.history = 20_000).await;
    let first = json!({"WorkGroup": "primary", "StateFilter": "TERMINATED"});
    let answer = ask(&athena, "ListSessions", first).await;
    assert_eq!(answer.body["Sessions"].as_array().unwrap().len(), 100);
    let none = json!({"WorkGroup": "primary", "StateFilter": "BUSY"});
    let answer = ask(&athena, "ListSessions", none).await;
    assert!(answer.body["Sessions"].as_array().unwrap().is_empty());
    assert_eq!(athena.sessions().len(), 20_000);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}
