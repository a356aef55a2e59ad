//! Scripted faults, and what the log of calls says about them.

#![allow(clippy::unwrap_used)] // in a test a panic is the report

use std::time::{Duration, Instant};

use fake_athena::{Config, FakeAthena, Fault, NewSession};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

mod common;
use common::{Answer, call};

const SHORT: Duration = Duration::from_millis(200);

struct Setting {
    athena: FakeAthena,
    id: String,
}

impl Setting {
    /// A fake with one IDLE session, which stays TERMINATING once it is ended.
    async fn new() -> Self {
        let config = Config { terminating: None, ..Config::default() };
        let athena = FakeAthena::start(config).await.unwrap();
        let id = athena.add_session(NewSession::default());
        Setting { athena, id }
    }

    async fn terminate(&self) -> hyper::Result<Answer> {
        let input = json!({"SessionId": self.id});
        call(&self.athena.url(), "TerminateSession", input).await
    }

    async fn look(&self) -> hyper::Result<Answer> {
        let input = json!({"SessionId": self.id});
        call(&self.athena.url(), "GetSessionStatus", input).await
    }

    fn state(&self) -> String {
        self.athena.session(&self.id).unwrap().state
    }

    /// How the last call ended, and whether it had an effect.
    fn last(&self) -> (String, bool) {
        let call = self.athena.calls().pop().unwrap();
        (call.outcome, call.effect)
    }
}

fn ended(outcome: &str, effect: bool) -> (String, bool) {
    (outcome.to_owned(), effect)
}

#[tokio::test]
async fn an_error_strikes_the_next_calls_and_then_no_more() {
    let it = Setting::new().await;
    let fault = Fault::error("AccessDeniedException", "not yours").times(2);
    it.athena.fault(fault);
    for _ in 0..2 {
        let answer = it.terminate().await.unwrap();
        assert_eq!(answer.status, 400);
        let body = json!({"__type": "AccessDeniedException", "Message": "not yours"});
        assert_eq!(answer.body, body);
        assert_eq!(it.last(), ended("400 AccessDeniedException", false));
        assert_eq!(it.state(), "IDLE");
    }
    assert_eq!(it.terminate().await.unwrap().status, 200);
    assert_eq!(it.last(), ended("200", true));
}

#[tokio::test]
async fn a_fault_strikes_only_its_operation_and_its_session() {
    let it = Setting::new().await;
    let fault = Fault::throttled().on("TerminateSession");
    it.athena.fault(fault.clone().session("another"));
    assert_eq!(it.terminate().await.unwrap().status, 200);
    it.athena.fault(fault.session(&it.id));
    assert_eq!(it.look().await.unwrap().status, 200);
    assert_eq!(it.terminate().await.unwrap().status, 400);
}

#[tokio::test]
async fn a_fault_lets_as_many_calls_pass_as_it_skips() {
    let it = Setting::new().await;
    it.athena.fault(Fault::throttled().skip(2).times(1));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(it.look().await.unwrap().status);
    }
    assert_eq!(statuses, [200, 200, 400, 200]);
}

#[tokio::test]
async fn faults_strike_in_the_order_of_their_scripting_until_they_are_cleared() {
    let it = Setting::new().await;
    it.athena.fault(Fault::internal().times(1));
    it.athena.fault(Fault::throttled());
    it.athena.fault(Fault::cut().times(0));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(it.look().await.unwrap().status);
    }
    it.athena.clear_faults();
    statuses.push(it.look().await.unwrap().status);
    assert_eq!(statuses, [500, 400, 400, 200]);
}

#[tokio::test]
async fn an_error_after_the_effect_hides_what_has_happened() {
    let it = Setting::new().await;
    it.athena.fault(Fault::internal().after_effect());
    let answer = it.terminate().await.unwrap();
    assert_eq!(answer.status, 500);
    assert_eq!(answer.body["__type"], "InternalServerException");
    assert_eq!(it.state(), "TERMINATING");
    assert_eq!(it.last(), ended("500 InternalServerException", true));
}

#[tokio::test]
async fn a_cut_before_the_effect_changes_nothing() {
    let it = Setting::new().await;
    it.athena.fault(Fault::cut());
    assert!(it.terminate().await.is_err());
    assert_eq!(it.state(), "IDLE");
    assert_eq!(it.last(), ended("cut", false));
}

#[tokio::test]
async fn a_cut_after_the_effect_loses_only_the_answer() {
    let it = Setting::new().await;
    it.athena.fault(Fault::cut().after_effect());
    assert!(it.terminate().await.is_err());
    assert_eq!(it.state(), "TERMINATING");
    assert_eq!(it.last(), ended("cut", true));
}

#[tokio::test]
async fn a_start_that_was_cut_after_its_effect_is_logged_with_its_session() {
    let it = Setting::new().await;
    it.athena.forget(&it.id);
    it.athena.fault(Fault::cut().after_effect());
    let input = json!({"WorkGroup": "primary", "EngineConfiguration": {}});
    let answer = call(&it.athena.url(), "StartSession", input).await;
    assert!(answer.is_err());
    let started = &it.athena.sessions()[0].id;
    assert_eq!(it.athena.calls_of("StartSession", Some(started)), 1);
}

#[tokio::test]
async fn a_body_stands_in_the_place_of_the_answer() {
    let it = Setting::new().await;
    it.athena.fault(Fault::body(r#"{"Status": {"State": "\u001b[2J"}}"#).after_effect());
    let answer = it.terminate().await.unwrap();
    assert_eq!((answer.status, &answer.body["Status"]["State"]), (200, &json!("\u{1b}[2J")));
    assert_eq!(it.state(), "TERMINATING");
    assert_eq!(it.last(), ended("200", true));
}

#[tokio::test]
async fn an_endless_answer_comes_but_never_ends() {
    const READ: usize = 1 << 24;
    let it = Setting::new().await;
    it.athena.fault(Fault::endless().after_effect());
    let mut stream = TcpStream::connect(it.athena.url().strip_prefix("http://").unwrap()).await.unwrap();
    let input = json!({"SessionId": it.id}).to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: athena\r\nx-amz-target: AmazonAthena.TerminateSession\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/eu-west-1/athena/aws4_request\r\n\
         content-length: {}\r\n\r\n{input}",
        input.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_exact(&mut vec![0; READ]).await.unwrap();
    assert_eq!(it.state(), "TERMINATING");
    assert_eq!(it.last(), ended("endless", true));
}

#[tokio::test]
async fn a_hang_never_answers_and_changes_nothing() {
    let it = Setting::new().await;
    it.athena.fault(Fault::hang());
    assert!(timeout(SHORT, it.terminate()).await.is_err());
    assert_eq!(it.state(), "IDLE");
    assert_eq!(it.last(), ended("hang", false));
}

#[tokio::test]
async fn a_hang_after_the_effect_never_answers_but_has_changed_things() {
    let it = Setting::new().await;
    it.athena.fault(Fault::hang().after_effect());
    assert!(timeout(SHORT, it.terminate()).await.is_err());
    assert_eq!(it.state(), "TERMINATING");
    assert_eq!(it.last(), ended("hang", true));
}

#[tokio::test]
async fn a_delay_holds_back_the_effect_or_only_the_answer() {
    let it = Setting::new().await;
    for (fault, meanwhile) in
        [(Fault::delay(2 * SHORT), "IDLE"), (Fault::delay(2 * SHORT).after_effect(), "TERMINATING")]
    {
        it.athena.set_state(&it.id, "IDLE");
        it.athena.fault(fault.times(1));
        let began = Instant::now();
        let watch = async {
            sleep(SHORT).await;
            it.state()
        };
        let (answer, seen) = tokio::join!(it.terminate(), watch);
        assert_eq!(seen, meanwhile);
        assert!(began.elapsed() >= 2 * SHORT);
        assert_eq!(answer.unwrap().status, 200);
        assert_eq!(it.state(), "TERMINATING");
    }
}

#[tokio::test]
async fn a_delayed_call_has_its_effect_though_its_client_has_gone() {
    let it = Setting::new().await;
    it.athena.fault(Fault::delay(2 * SHORT));
    assert!(timeout(SHORT, it.terminate()).await.is_err());
    assert_eq!(it.last(), ended("pending", false));
    sleep(2 * SHORT).await;
    assert_eq!(it.state(), "TERMINATING");
    assert_eq!(it.last(), ended("200", true));
}

#[tokio::test]
async fn a_call_accepted_without_effect_changes_nothing() {
    let it = Setting::new().await;
    it.athena.fault(Fault::no_effect().times(1));
    let answer = it.terminate().await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["State"], "TERMINATING");
    assert_eq!(it.state(), "IDLE");
    assert_eq!(it.last(), ended("200", false));
    it.terminate().await.unwrap();
    assert_eq!(it.state(), "TERMINATING");
}

#[tokio::test]
async fn each_call_takes_the_latency() {
    let it = Setting::new().await;
    it.athena.reconfigure(|config| config.latency = SHORT);
    let began = Instant::now();
    it.look().await.unwrap();
    assert!(began.elapsed() >= SHORT);
}

#[tokio::test]
async fn the_log_tells_who_called_for_what() {
    let it = Setting::new().await;
    it.look().await.unwrap();
    it.terminate().await.unwrap();
    let call = it.athena.calls().pop().unwrap();
    assert_eq!((call.number, call.operation.as_str()), (2, "TerminateSession"));
    assert_eq!(call.session.as_ref(), Some(&it.id));
    assert_eq!(call.access_key.as_deref(), Some("AKIATEST"));
    assert_eq!(call.user_agent.as_deref(), Some("test/1"));
    assert_eq!(call.account, "123456789012");
    assert_eq!(call.body, json!({"SessionId": it.id}).to_string());
    assert_eq!(it.athena.calls_of("TerminateSession", None), 1);
    assert_eq!(it.athena.calls_of("TerminateSession", Some("another")), 0);
    it.athena.clear_calls();
    it.look().await.unwrap();
    assert_eq!(it.athena.calls()[0].number, 3);
}

#[tokio::test]
async fn a_fake_that_is_dropped_cuts_its_connections_and_stops() {
    let Setting { athena, id } = Setting::new().await;
    athena.fault(Fault::hang());
    let url = athena.url();
    let open = call(&url, "GetSession", json!({"SessionId": id}));
    let drop_it = async {
        sleep(SHORT).await;
        drop(athena);
    };
    let (answer, ()) = tokio::join!(timeout(10 * SHORT, open), drop_it);
    assert!(answer.unwrap().is_err());
    let address = url.strip_prefix("http://").unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_answer_that_is_changed_has_its_effect_all_the_same() {
    let it = Setting::new().await;
    it.athena.fault(Fault::says(json!({"State": "IDLE"})).on("TerminateSession").times(1));
    let answer = it.terminate().await.unwrap();
    assert_eq!((answer.status, &answer.body["State"]), (200, &json!("IDLE")));
    assert_eq!((it.state().as_str(), it.last()), ("TERMINATING", ended("200", true)));
    it.athena.fault(Fault::says(json!({"Status": {"State": null, "StartDateTime": 0}})).times(1));
    let status = it.look().await.unwrap().body["Status"].clone();
    assert_eq!((status.get("State"), &status["StartDateTime"]), (None, &json!(0)));
}

#[tokio::test]
async fn a_list_shows_what_it_is_told_to_and_a_call_the_truth() {
    let it = Setting::new().await;
    let listed = |filter: Option<&'static str>| {
        let mut input = json!({"WorkGroup": it.athena.session(&it.id).unwrap().work_group});
        filter.into_iter().for_each(|filter| input["StateFilter"] = json!(filter));
        let url = it.athena.url();
        async move { call(&url, "ListSessions", input).await.unwrap().body["Sessions"].as_array().map(Vec::len) }
    };
    it.athena.list_as(&it.id, Some("TERMINATED"));
    assert_eq!((listed(None).await, listed(Some("TERMINATED")).await), (Some(0), Some(1)));
    assert_eq!(it.look().await.unwrap().body["Status"]["State"], "IDLE");
    it.athena.list_as(&it.id, None);
    assert_eq!((listed(None).await, listed(Some("TERMINATED")).await), (Some(1), Some(0)));
}
