//! A hostile Athena: answers without an end, answers that are far too large, and texts that deceive readers.

use std::time::Duration;

use athena_session_operator::text::is_hidden;
use fake_athena::{Fault, NewSession};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::launch::Start;
use crate::probes::{address, ask, until_unready};
use crate::tenancy::{TEAM_A, Whole};
use crate::world::{World, condition, eventually};

/// More memory than the operator needs in a test, and less than an answer without an end would take.
const MOST_MEMORY: u64 = 256 << 20;

/// A start of the operator with long deadlines, so that the size ends an endless answer and not the deadline.
fn patient() -> Start {
    Start { environment: vec![("ATHENA_OPERATOR_AWS_TIMEOUT", "10m".to_owned())], ..Start::default() }
}

/// An answer of so many bytes with the status of a session.
fn status_of(id: &str, bytes: usize) -> String {
    let mut status = json!({"SessionId": id, "Status": {"State": "BUSY"}, "Padding": ""});
    status["Padding"] = json!("x".repeat(bytes - status.to_string().len()));
    status.to_string()
}

#[tokio::test]
async fn an_answer_without_an_end_is_given_up_and_told() {
    let world = World::new().await;
    world.start_operator_with(patient()).await;
    let id = world.declare("object", "IDLE").await;
    world.until_reason("object", "Running").await;
    world.athena.fault(Fault::endless());
    let object = world.until_reason("object", "AthenaUnavailable").await;
    let said = condition(&object, "Ready").unwrap().2;
    let sentence =
        format!("AnswerTooLarge: {} gave an answer that is larger than any answer of AWS. ", world.athena.url());
    assert!(said.contains(&sentence), "{said}");
    world.delete("object").await;
    eventually("an end is tried", || async { (world.terminations(&id) > 0).then_some(()) }).await;
    assert!(world.peak_memory() < MOST_MEMORY, "{} bytes", world.peak_memory());
    world.athena.clear_faults();
    world.until_gone("object").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

#[tokio::test]
async fn a_start_whose_answer_has_no_end_starts_one_session() {
    let world = World::new().await;
    world.start_operator_with(patient()).await;
    let group = world.register_for_starts("a", json!({})).await;
    world.athena.fault(Fault::endless().after_effect().on("StartSession").times(1));
    world.start_session("object", &group).await;
    world.until_reason("object", "Running").await;
    let sessions = world.athena.sessions();
    assert_eq!(sessions.len(), 1);
    world.delete("object").await;
    world.until_gone("object").await;
    assert_eq!(world.athena_session(&sessions[0].id).state, "TERMINATED");
}

#[tokio::test]
async fn an_end_whose_answer_has_no_end_is_an_end() {
    let world = World::new().await;
    world.start_operator_with(patient()).await;
    let id = world.declare("object", "IDLE").await;
    world.until_reason("object", "Running").await;
    world.athena.fault(Fault::endless().after_effect().on("TerminateSession").times(1));
    world.delete("object").await;
    world.until_gone("object").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    assert_eq!(world.terminations(&id), 1);
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bound_and_not_beyond() {
    let world = World::new().await;
    world.start_operator_with(patient()).await;
    let id = world.declare("object", "IDLE").await;
    world.until_reason("object", "Running").await;
    let shows = |state: &'static str| {
        world.until("object", state, move |object| object.status.as_ref().unwrap().state.as_deref() == Some(state))
    };
    world.athena.fault(Fault::body(status_of(&id, 256 << 10)).on("GetSessionStatus"));
    shows("BUSY").await;
    world.athena.clear_faults();
    shows("IDLE").await;
    world.athena.fault(Fault::body(status_of(&id, (256 << 10) + 1)).on("GetSessionStatus"));
    // A list would show the session.
    world.athena.fault(Fault::internal().on("ListSessions"));
    let object = world.until_reason("object", "AthenaUnavailable").await;
    assert!(condition(&object, "Ready").unwrap().2.contains("AnswerTooLarge"), "{object:?}");
    assert_eq!(object.status.unwrap().state.as_deref(), Some("IDLE"));
}

/// The SDK would parse a million sessions from the first page.
#[tokio::test]
async fn a_page_with_more_sessions_than_were_asked_for_is_refused() {
    let whole = Whole::new().await;
    let page = |session: &str, count: usize| format!("{{\"Sessions\":[{}]}}", vec![session; count].join(","));
    whole.start(&[]).await;
    let group = whole.register_for_all("a", TEAM_A).await;
    for (page, code) in [(page("{}", 1_300_000), "AnswerTooLarge"), (page("{}", 101), "UnusablePage")] {
        whole.until_group_reason(&group, "Available").await;
        whole.athena.fault(Fault::body(page).on("ListSessions"));
        let told = whole.until_group_reason(&group, "AthenaUnavailable").await;
        assert!(told.contains(&format!("ListSessions: {code}: ")), "{told}");
        let metrics = ask(&address(&whole).await, "/metrics").await.1;
        assert!(metrics.contains(&format!("operation=\"ListSessions\",code=\"{code}\"")), "{metrics}");
        whole.athena.clear_faults();
    }
    assert!(whole.peak_memory() < MOST_MEMORY, "{} bytes", whole.peak_memory());
}

#[tokio::test]
async fn sts_whose_answer_has_no_end_is_told() {
    let world = World::new().await;
    world.athena.fault(Fault::endless().on("GetCallerIdentity"));
    world.start_operator_with(patient()).await;
    let group = world.register_for_all("a", TEAM_A).await;
    let id = world.session_of(TEAM_A);
    world.refer("object", &group, &id).await;
    let object = world.until_reason("object", "AccountUnknown").await;
    let said = condition(&object, "Ready").unwrap().2;
    assert!(said.contains("GetCallerIdentity: AnswerTooLarge: "), "{said}");
    world.athena.clear_faults();
    world.until_reason("object", "Running").await;
    assert!(world.peak_memory() < MOST_MEMORY, "{} bytes", world.peak_memory());
}

/// The container of a Pod gets its credentials from EKS Pod Identity in this way.
#[tokio::test]
async fn credentials_whose_answer_has_no_end_take_no_memory() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let credentials = format!("http://{}/credentials", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n").await;
            while stream.write_all(&[b' '; 1 << 16]).await.is_ok() {}
        }
    });
    let environment = vec![
        ("AWS_ACCESS_KEY_ID", String::new()),
        ("AWS_SECRET_ACCESS_KEY", String::new()),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", credentials),
        ("ATHENA_OPERATOR_AWS_TIMEOUT", "10m".to_owned()),
    ];
    world.start_operator_with(Start { environment, ..Start::default() }).await;
    let address = address(&world).await;
    until_unready(&address, "the provider of AWS credentials failed").await;
    assert!(world.peak_memory() < MOST_MEMORY, "{} bytes", world.peak_memory());
}

#[tokio::test]
async fn unknown_states_are_counted_together() {
    const SESSIONS: u32 = 150;
    let whole = Whole::new().await;
    for number in 0..SESSIONS {
        let (state, work_group) = (format!("{number}-{}", "x".repeat(5_000)), Some(TEAM_A.to_owned()));
        whole.athena.add_session(NewSession { state, work_group, ..NewSession::default() });
    }
    whole.start(&[]).await;
    let group = whole.register_for_all("a", TEAM_A).await;
    let counted = whole.until_group(&group, "its sessions are counted", |group| {
        let status = group.status.clone().unwrap_or_default();
        assert!(status.sessions.keys().all(|state| state == "UNKNOWN"), "{status:?}");
        status.undeclared == Some(SESSIONS)
    });
    let status = counted.await.status.unwrap();
    assert_eq!(status.sessions, [("UNKNOWN".to_owned(), SESSIONS)].into());
    assert_eq!(status.undeclared, Some(SESSIONS));
}

/// A text that clears the screen, turns the direction of writing, and begins a new line.
const HOSTILE: &str = "\u{1b}[2J\u{9b}31m\u{202e}gnp\u{2066}\u{200f}\u{61c}\u{2028}\nlevel=ERROR end";

/// The hidden characters, where there are any.
fn hidden_in(text: &str) -> Option<String> {
    let hidden: Vec<_> = text.chars().filter(|it| is_hidden(*it)).collect();
    (!hidden.is_empty()).then(|| format!("{hidden:?}"))
}

fn strings_of(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(strings_of).collect(),
        Value::Object(values) => values.values().flat_map(strings_of).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn texts_that_are_made_to_deceive_are_shown_as_they_are() {
    for format in ["json", "pretty"] {
        let world = World::new().await;
        let environment = vec![("ATHENA_OPERATOR_LOG_FORMAT", format.to_owned())];
        world.start_operator_with(Start { environment, ..Start::default() }).await;
        let long = format!("{HOSTILE}{}", "ü".repeat(10_000));
        let session =
            NewSession { state: long.clone(), state_change_reason: Some(long.clone()), ..NewSession::default() };
        let id = world.athena.add_session(NewSession { description: Some(long.clone()), ..session });
        world.athena.fault(Fault::error(&long, &long).on("TerminateSession"));
        world.create("object", json!({"sessionId": id})).await;
        let unknown = world.until_reason("object", "StateUnknown").await;
        world.edit("object", json!({"terminate": true})).await;
        let refused = world.until_reason("object", "Invalid").await;
        for object in [unknown, refused] {
            let status = serde_json::to_value(object.status.unwrap()).unwrap();
            for text in strings_of(&status) {
                assert_eq!(hidden_in(text), None, "{text:?}");
                assert!(text.len() <= 1_000, "{} bytes: {text}", text.len());
            }
            // A word that can't be a state of Athena stands in quotation marks.
            assert!(status["state"].as_str().unwrap().starts_with(r#""\u001b[2J"#), "{status}");
            assert!(status["stateChangeReason"].as_str().unwrap().starts_with(r"\u001b[2J"), "{status}");
        }
        let note = world.note_of("object", "Warning Invalid").await;
        assert_eq!(hidden_in(&note), None, "{note:?}");
        assert!(note.contains(r"\u202egnp"), "{note}");
        let log = world.log();
        assert!(log.contains(r"\u202egnp"), "{log}");
        for line in log.lines() {
            assert_eq!(hidden_in(line), None, "{line:?}");
            assert!(!line.starts_with("level=ERROR"), "{log}");
        }
    }
}

#[tokio::test]
async fn http_where_https_is_meant_is_told_in_one_sentence() {
    let world = World::new().await;
    let url = world.athena.url().replace("http://", "https://");
    world.start_operator_with(Start { athena_url: Some(url.clone()), ..Start::default() }).await;
    let address = address(&world).await;
    let said = until_unready(&address, &url).await;
    assert!(
        said.ends_with(&format!(
            "{url} doesn't speak TLS: write http:// in the endpoint's URL, if that is what it speaks"
        )),
        "{said}"
    );
}

#[tokio::test]
async fn tls_where_http_is_meant_is_told_in_one_sentence() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // A TLS server answers a plain HTTP request with an alert, "unexpected message".
            let _ = stream.read(&mut [0; 1 << 12]).await;
            let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, 10]).await;
            sleep(Duration::from_millis(100)).await;
        }
    });
    world.start_operator_with(Start { athena_url: Some(url.clone()), ..Start::default() }).await;
    let address = address(&world).await;
    let said = until_unready(&address, &url).await;
    assert!(
        said.ends_with(&format!(
            "{url} doesn't speak HTTP: write https:// in the endpoint's URL, if that is what it speaks"
        )),
        "{said}"
    );
}
