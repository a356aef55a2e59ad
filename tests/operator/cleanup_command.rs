//! `athena-session-operator cleanup` with a cluster, whose AthenaSessions declare sessions.

use std::time::Duration;

use fake_athena::{Fault, NewSession};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::launch::{aws_environment, operator_command};
use crate::world::{World, eventually, operator_kubeconfig};

impl World {
    fn forgotten(&self, description: Option<String>) -> String {
        let age = Duration::from_secs(4 * 3600);
        let work_group = Some("spark-team-a".to_owned());
        self.athena.add_session(NewSession { age, work_group, description, ..NewSession::default() })
    }

    /// Ends the sessions that are older than an hour.
    async fn clean_up(&self) -> Value {
        let rules = self.logs.with_extension("rules.yaml");
        std::fs::write(&rules, "rules: [{name: old, match: {olderThan: 1h}}]").unwrap();
        let mut command = Command::from(operator_command());
        command.args(["cleanup", "--between-lists", "0", "-o", "json", "--enforce", "--work-group", "spark-team-a"]);
        command.arg("--rules").arg(rules).arg("--kubeconfig").arg(operator_kubeconfig(self.plane).await);
        command.env("AWS_ENDPOINT_URL", self.athena.url()).envs(aws_environment());
        let output = command.stdout(std::process::Stdio::piped()).output().await.unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
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
