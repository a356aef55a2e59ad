//! `athena-session-operator cleanup` with a cluster, whose AthenaSessions declare sessions.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use control_plane::ControlPlane;
use fake_athena::{FakeAthena, Fault, NewSession};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::launch::{aws_environment, operator_command};
use crate::tenancy::{TEAM_A, brisk};
use crate::world::{OPERATOR_NAMESPACE, World, eventually, in_checkout, install, operator_kubeconfig};

/// Ends the sessions that are older than an hour.
const OLD: &str = "rules: [{name: old, match: {olderThan: 1h}}]";

/// Runs the command, and returns its report.
///
/// # Errors
/// What it said instead.
pub async fn cleanup(athena: &FakeAthena, arguments: &[&str]) -> Result<Value, String> {
    let mut command = Command::from(operator_command());
    command.args(["cleanup", "--between-lists", "0", "-o", "json"]).args(arguments);
    command.env("AWS_ENDPOINT_URL", athena.url()).envs(aws_environment()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().await.unwrap();
    serde_json::from_slice(&output.stdout).map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Ends the sessions of spark-team-a that are older than an hour.
///
/// # Errors
/// What the command said instead of its report.
pub async fn end_old_sessions(athena: &FakeAthena, arguments: &[&str]) -> Result<Value, String> {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yaml");
    std::fs::write(&rules, OLD).unwrap();
    let rules = rules.display().to_string();
    cleanup(athena, &[&["--enforce", "--work-group", TEAM_A, "--rules", &rules], arguments].concat()).await
}

impl World {
    fn forgotten(&self, description: Option<String>) -> String {
        let age = Duration::from_secs(4 * 3600);
        let work_group = Some(TEAM_A.to_owned());
        self.athena.add_session(NewSession { age, work_group, description, ..NewSession::default() })
    }

    async fn clean_up(&self) -> Value {
        self.clean_up_as(&operator_kubeconfig(self.plane).await).await
    }

    async fn clean_up_as(&self, kubeconfig: &Path) -> Value {
        end_old_sessions(&self.athena, &["--kubeconfig", &kubeconfig.display().to_string()]).await.unwrap()
    }
}

#[tokio::test]
async fn what_objects_declare_is_left_and_orphans_are_ended() {
    let world = World::new().await;
    let (named, free) = (world.forgotten(None), world.forgotten(None));
    world.create("named", json!({"sessionId": named})).await;
    let cluster = world.plane.kubectl_ok(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]).await;
    let uid = world.get("named").await.unwrap().metadata.uid.unwrap();
    let marked = |cluster: &str, uid: &str| {
        world.forgotten(Some(format!("[athena-operator {cluster} {}/named {uid}]", world.namespace)))
    };
    let (bearing, orphan, foreign) = (marked(&cluster, &uid), marked(&cluster, "gone"), marked("another", "gone"));
    let report = world.clean_up().await;
    let left = [&named, &bearing, &foreign].map(|id| world.athena_session(id).state);
    assert_eq!(left, ["IDLE", "IDLE", "IDLE"], "{report}");
    let ended = [&free, &orphan].map(|id| world.athena_session(id).state);
    assert_eq!(ended, ["TERMINATED", "TERMINATED"], "{report}");
}

#[tokio::test]
async fn an_object_that_is_applied_in_the_middle_of_a_run_saves_its_session() {
    let world = World::new().await;
    let (saved, free) = (world.forgotten(None), world.forgotten(None));
    world.athena.fault(Fault::delay(Duration::from_secs(2)).on("ListTagsForResource"));
    let apply = async {
        let asked = || async { (world.athena.calls_of("ListTagsForResource", None) > 0).then_some(()) };
        eventually("the rules have matched", asked).await;
        world.create("late", json!({"sessionId": saved})).await;
    };
    let (report, ()) = tokio::join!(world.clean_up(), apply);
    assert_eq!(world.athena_session(&saved).state, "IDLE", "{report}");
    assert_eq!(world.athena_session(&free).state, "TERMINATED", "{report}");
}

/// Somebody who tries the example without having read it loses no session.
#[test]
fn the_cronjob_of_the_example_ends_nothing() {
    let example = std::fs::read_to_string(in_checkout("deploy/examples/cleanup-cronjob.yaml")).unwrap();
    let arguments = example.lines().find(|line| line.trim_start().starts_with("args:")).unwrap();
    assert!(arguments.contains("cleanup") && !arguments.contains("--enforce"), "{arguments}");
}

/// The rights of `deploy/examples/cleanup-cronjob.yaml` are enough.
#[tokio::test]
async fn the_cronjob_of_the_example_sees_what_is_declared() {
    let world = World::new().await;
    let example = std::fs::read_to_string(in_checkout("deploy/examples/cleanup-cronjob.yaml")).unwrap();
    // No node is there for its Pods.
    let rights: Vec<_> = example.split("\n---\n").filter(|object| !object.contains("kind: CronJob")).collect();
    world.plane.kubectl_with_ok(&["apply", "-n", OPERATOR_NAMESPACE, "-f", "-"], &rights.join("\n---\n")).await;
    let kubeconfig = world.plane.kubeconfig_for_service_account(OPERATOR_NAMESPACE, "athena-cleanup").await.unwrap();
    let (named, free) = (world.forgotten(None), world.forgotten(None));
    world.create("named", json!({"sessionId": named})).await;
    let cluster = world.plane.kubectl_ok(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]).await;
    let orphan = world.forgotten(Some(format!("[athena-operator {cluster} {}/gone uid]", world.namespace)));
    let report = world.clean_up_as(&kubeconfig).await;
    let states = [&named, &free, &orphan].map(|id| world.athena_session(id).state);
    assert_eq!(states, ["IDLE", "TERMINATED", "TERMINATED"], "{report}");
}

/// The kind as an earlier version installed it, without a selectable field: all objects are read instead.
#[tokio::test]
async fn a_kind_without_a_selectable_field_declares_sessions_all_the_same() {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start(Default::default()).await.unwrap()));
    install(plane).await;
    let field = r#"[{"op": "remove", "path": "/spec/versions/0/selectableFields"}]"#;
    let kind = "crd/athenasessions.athena-operator.dev";
    plane.kubectl_ok(&["patch", kind, "--type=json", "-p", field]).await;
    let world = World::on(plane, brisk()).await;
    eventually("the field can't be selected by", || async {
        let list = ["get", "ats", "-A", "--field-selector=spec.sessionId=x"];
        (!plane.kubectl(&list).await.unwrap().status.success()).then_some(())
    })
    .await;
    let (named, free) = (world.forgotten(None), world.forgotten(None));
    world.create("named", json!({"sessionId": named})).await;
    let report = world.clean_up().await;
    let states = [&named, &free].map(|id| world.athena_session(id).state);
    assert_eq!(states, ["IDLE", "TERMINATED"], "{report}");
}
