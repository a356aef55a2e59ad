//! Real clients (PyAthena, awswrangler) with sessions that the operator started, and sessions that they started and
//! forgot.

#[path = "../fake-athena/tests/common/python.rs"]
mod python;

use std::path::PathBuf;

use serde_json::json;
use tokio::process::Command;

use crate::world::{World, in_checkout};

/// Runs a script of `tests/operator/clients`, and returns what it prints.
async fn python(script: &str, world: &World, environment: &[(&str, &str)]) -> String {
    let folder = PathBuf::from(in_checkout("tests/operator/clients"));
    let python = python::environment("clients", &folder.join("requirements.txt")).await;
    let mut command = Command::new(python);
    command.arg("-B").arg(folder.join(script)).arg(world.athena.url()).envs(environment.iter().copied());
    python::run(&mut command).await
}

#[tokio::test]
async fn pyathena_and_awswrangler_work_in_a_started_session() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_session("nightly", &group).await;
    let status = world.until_reason("nightly", "Running").await.status.unwrap();
    let (id, work_group) = (status.session_id.unwrap(), status.work_group.unwrap());
    let environment =
        [("ATHENA_SESSION_ID", id.as_str()), ("ATHENA_WORK_GROUP", &work_group), ("AWS_REGION", "eu-west-1")];
    assert_eq!(python("use.py", &world, &environment).await, "COMPLETED\nCOMPLETED\n");
    assert_eq!(world.athena.calls_of("StartCalculationExecution", Some(&id)), 2);
    world.until_reason("nightly", "Running").await;
    assert_eq!(world.athena.sessions().len(), 1, "neither started one of its own");
    world.delete("nightly").await;
    world.until_gone("nightly").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

#[tokio::test]
async fn what_pyathena_and_awswrangler_started_and_forgot_is_ended() {
    let world = World::new().await;
    world.start_operator().await;
    let said = python("forget.py", &world, &[]).await;
    let ids: Vec<_> = said.lines().collect();
    for (name, id) in ["pyathena", "awswrangler"].into_iter().zip(&ids) {
        assert_eq!(world.athena_session(id).state, "IDLE", "{name} has left it running");
        world.create(name, json!({"sessionId": id})).await;
        world.until_reason(name, "Running").await;
        world.delete(name).await;
        world.until_gone(name).await;
        assert_eq!(world.athena_session(id).state, "TERMINATED");
    }
    assert_eq!(ids.len(), 2, "{said}");
}
