//! The program as a process: how it starts, what it says when it can't, how it stops.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use fake_athena::Fault;
use serde_json::json;
use tokio::time::sleep;

use crate::proxy::{Script, before_api_server};
use crate::world::{OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, Start, World, eventually, operator_command};

#[test]
fn without_a_cluster_one_line_says_what_to_do() {
    let output = operator_command().arg("run").stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.contains("set KUBECONFIG"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_wrong_flag_is_a_usage_error() {
    let output = operator_command().args(["run", "--poll-interval=soon"]).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("such as 90s"));
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
async fn sigterm_ends_it_within_five_seconds_also_in_the_middle_of_a_call() {
    let world = World::new().await;
    world.start_operator_with(Start { arguments: vec!["--aws-timeout=60s".to_owned()], ..Start::default() }).await;
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
async fn ctrl_c_ends_it() {
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
async fn a_request_to_the_api_server_that_hangs_is_given_up_and_made_again() {
    let world = World::new().await;
    let script = Arc::new(Script::default());
    let url = before_api_server(world.plane, &script, &world.namespace).await;
    let token = world.plane.service_account_token(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT).await.unwrap();
    let kubeconfig = Some(world.plane.kubeconfig_for_token_at(&url, &token).unwrap());
    let arguments = vec!["--kubernetes-timeout=500ms".to_owned()];
    let path = "PUT /apis/athena-operator.dev/v1alpha1/namespaces/NAMESPACE/athenasessions/patient/status";
    let (held, release) = script.hold(path);
    world.start_operator_with(Start { kubeconfig, arguments, ..Start::default() }).await;
    world.declare("patient", "IDLE").await;
    held.arrived().await;
    eventually("it is given up", || async { world.log().contains("no answer from the API server").then_some(()) })
        .await;
    release.send_replace(true);
    world.until_reason("patient", "Running").await;
}

#[tokio::test]
async fn several_namespaces_can_be_watched() {
    let world = World::new().await;
    let second = format!("{}-second", world.namespace);
    world.plane.kubectl_ok(&["create", "namespace", &second]).await;
    let arguments = vec!["--watch-namespace".to_owned(), second.clone()];
    world.start_operator_with(Start { arguments, ..Start::default() }).await;
    world.declare("one", "IDLE").await;
    let manifest = json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
        "metadata": {"name": "two", "namespace": second}, "spec": {"sessionId": world.session_in("IDLE")},
    });
    world.plane.kubectl_with_ok(&["create", "-f", "-"], &manifest.to_string()).await;
    world.until_reason("one", "Running").await;
    world.plane.kubectl_ok(&["wait", "--for=condition=Active", "ats/two", "-n", &second, "--timeout=30s"]).await;
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
    assert_eq!(world.log().lines().count(), 1, "{}", world.log());
    let (status, _) = world.stop_operator().await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn each_end_leaves_one_line_in_the_audit_trail() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("audited", "IDLE").await;
    let object = world.until_reason("audited", "Running").await;
    world.delete("audited").await;
    world.until_gone("audited").await;
    let log = world.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("\"TerminateSession\"")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(line["session"], id);
    assert_eq!(line["namespace"], world.namespace);
    assert_eq!(line["name"], "audited");
    assert_eq!(line["uid"], object.metadata.uid.unwrap());
    assert_eq!(line["reason"], "ObjectDeleted");
    assert_eq!(line["answer"], "TERMINATING");
    assert_ne!(line["aws_request_id"], "none");
}
