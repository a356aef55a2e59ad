//! The command: its URL on stdout, its calls on stderr, its end.

#![allow(clippy::unwrap_used)] // in a test a panic is the report

use std::{process::Stdio, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

mod common;
use common::call;

const PATIENCE: Duration = Duration::from_secs(10);

async fn start(options: &[&str]) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fake-athena"))
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = timeout(PATIENCE, lines.next_line()).await.unwrap();
    (child, url.unwrap().unwrap())
}

async fn stderr_at_the_end(child: &mut Child) -> String {
    let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
    let mut log = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut log).await.unwrap();
    log
}

#[tokio::test]
async fn each_call_is_one_line_on_stderr_and_a_signal_ends_it_cleanly() {
    let (mut child, url) = start(&["--terminating", "never", "--quota", "GetSession=0/1"]).await;
    for _ in 0..2 {
        let input = json!({"SessionId": "gone"});
        call(&url, "GetSession", input).await.unwrap();
    }
    let id = child.id().unwrap().to_string();
    Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
    let log = stderr_at_the_end(&mut child).await;
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].contains("InvalidRequestException"), "{log}");
    assert!(lines[1].contains("ThrottlingException"), "{log}");
}

#[tokio::test]
async fn it_ends_with_its_stdin_when_told_to() {
    let (mut child, _) = start(&["--exit-with-stdin"]).await;
    drop(child.stdin.take());
    stderr_at_the_end(&mut child).await;
}

#[tokio::test]
async fn bad_options_are_refused_in_a_clear_line() {
    for (options, words) in [
        (["--creating", "soon"], "not a duration such as 2s, 500ms or 1h30m: soon"),
        (["--creating", "-2s"], "a duration can't be negative: -2s"),
        (["--quota", "GetSession"], "not OPERATION=RATE/BURST"),
        (["--quota", "GetSession=x/1"], "not RATE/BURST, such as 5/10: x/1"),
    ] {
        let options = [&format!("{}={}", options[0], options[1])];
        let command = Command::new(env!("CARGO_BIN_EXE_fake-athena")).args(options).output();
        let output = timeout(PATIENCE, command).await.unwrap().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && errors.contains(words), "{errors}");
    }
}
