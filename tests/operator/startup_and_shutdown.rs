//! The program as a process: how it starts, what it says when it can't start, and how it stops.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use fake_athena::Fault;
use serde_json::Value;
use tokio::time::sleep;

use crate::launch::{Start, operator_command};
use crate::proxy::{Script, about};
use crate::world::{World, eventually};

#[test]
fn without_a_cluster_one_line_says_what_to_do() {
    let output = operator_command().arg("run").stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let after_the_settings: Vec<_> = said.trim_end().lines().skip(1).collect();
    assert!(matches!(after_the_settings[..], [line] if line.contains("set KUBECONFIG")), "{said}");
    assert!(output.stdout.is_empty());
}

/// The one line that the program prints with the exit code of a usage error; None where it starts.
fn refusal(arguments: &[&str], variables: &[(&str, &str)]) -> Option<String> {
    let mut command = operator_command();
    let output = command.arg("run").args(arguments).envs(variables.iter().copied()).stderr(Stdio::piped()).output();
    let output = output.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code() == Some(2)).then(|| said.lines().next().unwrap().to_owned())
}

#[test]
fn a_flag_that_cant_be_used_is_a_usage_error() {
    for (flag, why) in [
        ("--poll-interval=soon", "such as 90s"),
        ("--watch-namespace=Team_A", "which has lower-case letters, digits and hyphens, 63 at the most"),
        ("--watch-namespace=,", "has only empty names"),
        ("--watch-timeout=500ms", "write whole seconds"),
        ("--log-format=yaml", "invalid value"),
        ("--read-only=true", "unexpected value"),
    ] {
        let said = refusal(&[flag], &[]).unwrap_or_else(|| panic!("{flag} was taken"));
        assert!(said.contains(why), "{said}");
    }
}

/// A user may have meant such a variable to keep the operator from ending sessions.
#[test]
fn a_variable_that_no_flag_reads_is_a_usage_error() {
    let said = "error: no flag reads the environment variable ATHENA_OPERATOR_READONLY: remove it, or write \
                ATHENA_OPERATOR_READ_ONLY if you mean that one";
    assert_eq!(refusal(&[], &[("ATHENA_OPERATOR_READONLY", "true")]).as_deref(), Some(said));
    let said = "error: no flag reads the environment variable ATHENA_OPERATOR_DRY_RUN: remove it; `athena-session-operator run \
                --help` shows those that are read";
    assert_eq!(refusal(&[], &[("ATHENA_OPERATOR_DRY_RUN", "true")]).as_deref(), Some(said));
    let of_a_service = [("ATHENA_OPERATOR_SERVICE_HOST", "10.0.0.7"), ("ATHENA_OPERATOR_PORT", "tcp://10.0.0.7:80")];
    assert_eq!(refusal(&[], &of_a_service), None);
}

#[test]
fn a_minimum_back_off_above_the_maximum_is_a_usage_error() {
    let sentence = "error: --backoff-min (10m) is longer than --backoff-max (5m): make --backoff-min shorter, or --backoff-max longer";
    assert_eq!(refusal(&["--backoff-min=10m"], &[]).as_deref(), Some(sentence));
    assert!(refusal(&["--backoff-max=1s"], &[("ATHENA_OPERATOR_BACKOFF_MIN", "2s")]).is_some());
    assert_eq!(refusal(&["--backoff-min=2s", "--backoff-max=2s"], &[]), None);
}

/// Parses a line of logfmt: keys, and values that are in quotation marks where needed.
fn logfmt(line: &str) -> Vec<(String, String)> {
    let (mut pairs, mut rest) = (Vec::new(), line);
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').unwrap_or_else(|| panic!("no value at {rest:?} in {line}"));
        assert!(!key.is_empty() && !key.contains([' ', '"']), "{key:?} in {line}");
        let mut values = serde_json::Deserializer::from_str(after).into_iter::<String>();
        let (value, end) = if after.starts_with('"') {
            (values.next().unwrap().unwrap(), values.byte_offset())
        } else {
            let end = after.find(' ').unwrap_or(after.len());
            assert!(!after[..end].contains('"'), "{line}");
            (after[..end].to_owned(), end)
        };
        pairs.push((key.to_owned(), value));
        rest = after[end..].strip_prefix(' ').unwrap_or(&after[end..]);
    }
    pairs
}

#[tokio::test]
async fn each_log_line_is_logfmt() {
    let world = World::new().await;
    let said = r#"User "x" isn't allowed: a=b \ c"#;
    world.athena.fault(Fault::error("AccessDeniedException", said).on("TerminateSession").times(2));
    let environment = vec![("ATHENA_OPERATOR_LOG_FORMAT", "pretty".to_owned())];
    world.start_operator_with(Start { environment, ..Start::default() }).await;
    let id = world.declare("logged", "IDLE").await;
    world.until_reason("logged", "Running").await;
    world.delete("logged").await;
    world.until_gone("logged").await;
    let log = world.log();
    let lines: Vec<_> = log.lines().map(logfmt).collect();
    let has =
        |line: &[(String, String)], key: &str, value: &str| line.iter().any(|pair| pair.0 == key && pair.1 == value);
    let ends: Vec<_> = lines.iter().filter(|line| has(line, "message", "TerminateSession")).collect();
    assert!(
        ends.len() >= 3 && ends.iter().all(|line| has(line, "session", &id) && has(line, "name", "logged")),
        "{log}"
    );
    assert!(ends.iter().any(|line| line.iter().any(|(_, value)| value.contains(said))), "{log}");
}

#[test]
fn a_path_is_said_once() {
    let said = |variables: &[(&str, &str)]| {
        let output =
            operator_command().arg("run").envs(variables.iter().copied()).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said.lines().last().unwrap().to_owned())
    };
    let sentence =
        "athena-session-operator: the kubeconfig /nowhere/config can't be used: No such file or directory (os error 2)";
    assert_eq!(said(&[("KUBECONFIG", "/nowhere/config")]), (Some(1), sentence.to_owned()));
    let (_, without) = said(&[]);
    assert_eq!(without.matches("/nonexistent/.kube/config").count(), 1, "{without}");
}

#[test]
fn the_first_log_line_says_what_changes_what_the_operator_does() {
    let first = |arguments: &[&str]| {
        let mut command = operator_command();
        let output =
            command.args(["run", "--log-format=json"]).args(arguments).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        serde_json::from_str::<Value>(said.lines().next().unwrap()).unwrap()
    };
    let usual = first(&[]);
    for (setting, value) in [("read_only", "false"), ("require_work_group", "false"), ("end_with", "false")] {
        assert_eq!(usual[setting].to_string(), value, "{usual}");
    }
    assert_eq!(usual["namespaces"], "all");
    let bound = first(&["--read-only", "--require-work-group", "--end-with", "--watch-namespace=b,a"]);
    for setting in ["read_only", "require_work_group", "end_with"] {
        assert_eq!(bound[setting], true, "{bound}");
    }
    assert_eq!(bound["namespaces"], "a,b");
}

#[test]
fn a_switch_in_the_environment_is_true_or_false() {
    for variable in ["ATHENA_OPERATOR_READ_ONLY", "ATHENA_OPERATOR_REQUIRE_WORK_GROUP"] {
        let start = |word: &str| {
            let output = operator_command().arg("run").env(variable, word).stderr(Stdio::piped()).output().unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        for taken in ["true", "false", ""] {
            let (code, said) = start(taken);
            assert!(code == Some(1) && said.contains("set KUBECONFIG"), "{variable}={taken}: {said}");
        }
        for refused in ["maybe", "1", "no", "True", "true "] {
            let (code, said) = start(refused);
            assert_eq!(code, Some(2), "{variable}={refused}: {said}");
            assert!(said.contains(&format!("write true or false, not {refused:?}")), "{said}");
        }
    }
}

#[test]
fn help_shows_each_flag_with_its_variable_and_default() {
    let output = operator_command().args(["run", "--help"]).stdout(Stdio::piped()).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for said in ["--watch-namespace", "ATHENA_OPERATOR_POLL_INTERVAL", "[default: 15m]", "KUBECONFIG", "AWS_REGION"] {
        assert!(help.contains(said), "{said} isn't in:\n{help}");
    }
}

#[tokio::test]
async fn sigterm_stops_the_operator_within_five_seconds() {
    let world = World::new().await;
    world.start_operator_with(Start::with(&["--aws-timeout=60s"])).await;
    world.declare("hanging", "IDLE").await;
    world.until_reason("hanging", "Running").await;
    world.athena.fault(Fault::hang().on("TerminateSession"));
    world.delete("hanging").await;
    eventually("a call hangs", || async { (world.athena.calls_of("TerminateSession", None) > 0).then_some(()) }).await;
    let (status, took) = world.stop_operator().await;
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn ctrl_c_stops_the_operator() {
    let world = World::new().await;
    world.start_operator().await;
    world.declare("any", "IDLE").await;
    world.until_reason("any", "Running").await;
    let (status, _) = world.stop_operator_by("-INT").await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_call_to_athena_that_hangs_is_given_up_and_made_again() {
    let world = World::new().await;
    world.athena.fault(Fault::hang().times(1).on("GetSession"));
    world.start_operator().await;
    world.declare("patient", "IDLE").await;
    world.until_reason("patient", "Running").await;
}

#[tokio::test]
async fn a_hanging_api_request_is_given_up_and_repeated() {
    let world = World::new().await;
    let script = Arc::new(Script::default());
    let (held, release) = script.hold(&about("PUT", "patient/status"));
    world.start_operator_by_way_of(&script, &["--kubernetes-timeout=500ms"]).await;
    world.declare("patient", "IDLE").await;
    held.arrived().await;
    eventually("it is given up", || async { world.log().contains("no answer from the API server").then_some(()) })
        .await;
    release.send_replace(true);
    world.until_reason("patient", "Running").await;
}

#[tokio::test]
async fn an_api_server_that_is_away_is_told_once_and_waited_for() {
    let world = World::new().await;
    let nobody = world.plane.kubeconfig_for_token_at("http://127.0.0.1:1", "token").unwrap();
    world.start_operator_with(Start { kubeconfig: Some(nobody), ..Start::default() }).await;
    eventually("the absent API server is told", || async {
        world.log().contains("the Kubernetes API server http://127.0.0.1:1/ can't be used").then_some(())
    })
    .await;
    sleep(Duration::from_secs(2)).await;
    assert!(world.operator_runs());
    assert_eq!(world.log().matches("WARN").count(), 1, "{}", world.log());
    let (status, _) = world.stop_operator().await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn the_longest_settings_that_are_taken_work() {
    const SETTINGS: [&str; 9] = [
        "poll-interval",
        "poll-interval-changing",
        "terminate-again-after",
        "termination-overdue-after",
        "confirm-absence-after",
        "backoff-min",
        "backoff-max",
        "aws-timeout",
        "kubernetes-timeout",
    ];
    let world = World::new().await;
    let arguments = SETTINGS.map(|setting| format!("--{setting}=8760h"));
    world.start_operator_with(Start { arguments: arguments.into(), ..Start::default() }).await;
    world.athena.fault(Fault::throttled().on("GetSession").times(1));
    let waiting = world.declare("waiting", "IDLE").await;
    eventually("a call", || async { (world.athena.calls_of("GetSession", Some(&waiting)) > 0).then_some(()) }).await;
    let id = world.declare("long", "IDLE").await;
    world.until_reason("long", "Running").await;
    world.delete("long").await;
    eventually("a call", || async { (world.terminations(&id) > 0).then_some(()) }).await;
    sleep(Duration::from_secs(1)).await;
    assert!(world.operator_runs() && !world.log().contains("panicked"), "{}", world.log());
}
