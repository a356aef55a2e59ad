//! Secrets that must not appear in status, events or logs: credentials and tokens in the messages of others.

use std::path::PathBuf;
use std::process::Stdio;

use fake_athena::Fault;
use serde_json::json;

use crate::launch::{Start, operator_command};
use crate::world::{World, condition};

fn scratch(name: &str, content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Checks that status, events and log don't contain the secret.
async fn assert_unsaid(world: &World, name: &str, reason: &str, secret: &str) {
    let object = world.until_reason(name, reason).await;
    assert!(!condition(&object, "Ready").unwrap().2.contains(secret), "{object:?}");
    let note = world.note_of(name, &format!("Warning {reason}")).await;
    assert!(!note.contains(secret), "{note}");
    assert!(!world.log().contains(secret), "the log: {}", world.log());
}

/// AWS answers a wrong signature with the text that was signed, which has the session token.
#[tokio::test]
async fn the_session_token_in_an_answer_of_aws_isnt_shown() {
    const TOKEN: &str = "IQoJb3JpZ2luX2VjEPLANTEDTOKEN";
    let world = World::new().await;
    let said = format!(
        "The request signature we calculated does not match the signature you provided.\n\nThe Canonical String for \
         this request should have been\n'POST\n/\n\nhost:athena.eu-west-1.amazonaws.com\n\
         x-amz-security-token:{TOKEN}\nx-amz-target:AmazonAthena.GetSession\n"
    );
    world.athena.fault(Fault::error("InvalidSignatureException", said));
    let environment = vec![("AWS_SESSION_TOKEN", TOKEN.to_owned())];
    world.start_operator_with(Start { environment, ..Start::default() }).await;
    world.declare("signed", "IDLE").await;
    assert_unsaid(&world, "signed", "AccessDenied", TOKEN).await;
}

/// Spark properties of a manifest may be secrets, and so is the request's token. The operator never asks for the code
/// that runs in a session.
#[tokio::test]
async fn what_a_session_is_started_with_isnt_shown() {
    let world = World::new().await;
    world.athena.fault(Fault::error("InvalidRequestException", "Engine configuration is not valid").on("StartSession"));
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    let properties = json!({"spark.hadoop.fs.s3a.secret.key": "PLANTEDSECRET"});
    let start = json!({"engineConfiguration": {"sparkProperties": properties}});
    world.create("refused", json!({"start": start, "workGroupRef": {"name": group}})).await;
    assert_unsaid(&world, "refused", "Invalid", "PLANTEDSECRET").await;
    world.athena.clear_faults();
    let started = world.until_reason("refused", "Running").await;
    let calls = world.athena.calls();
    let body = &calls.iter().find(|call| call.operation == "StartSession").unwrap().body;
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    for secret in ["PLANTEDSECRET", body["ClientRequestToken"].as_str().unwrap()] {
        assert!(!json!(started.status).to_string().contains(secret), "{secret}");
        assert!(!world.log().contains(secret), "{secret}");
    }
    let session = &world.athena.sessions()[0].id;
    let calls: Vec<_> = calls.iter().filter(|call| call.session.as_ref() == Some(session)).collect();
    assert!(!calls.iter().any(|call| call.operation.contains("Calculation") || call.operation.contains("Endpoint")));
}

#[tokio::test]
async fn what_a_credential_process_says_isnt_shown() {
    let world = World::new().await;
    let helper = "echo 'curl: > X-Vault-Token: hvs.PLANTEDTOKEN' >&2\nexit 1\n";
    let helper = scratch(&format!("{}-helper.sh", world.namespace), helper);
    let config = format!("[default]\nregion = eu-west-1\ncredential_process = /bin/sh {}\n", helper.display());
    let config = scratch(&format!("{}-aws-config", world.namespace), &config);
    let environment = vec![
        ("AWS_ACCESS_KEY_ID", String::new()),
        ("AWS_SECRET_ACCESS_KEY", String::new()),
        ("AWS_CONFIG_FILE", config.display().to_string()),
        ("PATH", "/usr/bin:/bin".to_owned()),
    ];
    world.start_operator_with(Start { environment, ..Start::default() }).await;
    world.declare("helped", "IDLE").await;
    assert_unsaid(&world, "helped", "AwsNotConfigured", "PLANTEDTOKEN").await;
}

#[test]
fn the_token_of_a_kubeconfig_that_cant_be_read_isnt_shown() {
    let user = "users:\n- name: a\n  user:\n    token: PLANTEDTOKEN";
    for (number, broken) in
        ["\n   wrong: indented\n", ": x\n", "\n\tclusters: []\n", "\n    token: [\n", "\n- 5\n"].iter().enumerate()
    {
        let path = scratch(&format!("broken-{number}.kubeconfig"), &format!("{user}{broken}"));
        let mut command = operator_command();
        command.arg("run").env("KUBECONFIG", &path).stderr(Stdio::piped());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(path.to_str().unwrap()), "which file isn't said: {said}");
        assert!(!said.contains("PLANTEDTOKEN"), "{said}");
    }
}
