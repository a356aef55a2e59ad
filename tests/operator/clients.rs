//! Sessions that real clients started and forgot.

#[path = "../fake-athena/tests/common/python.rs"]
mod python;

use std::path::PathBuf;

use serde_json::json;
use tokio::process::Command;

use crate::world::{World, in_checkout};

#[tokio::test]
async fn what_pyathena_and_awswrangler_started_and_forgot_is_ended() {
    let world = World::new().await;
    world.start_operator().await;
    let folder = PathBuf::from(in_checkout("tests/operator/clients"));
    let python = python::environment("clients", &folder.join("requirements.txt")).await;
    let mut command = Command::new(python);
    let said = python::run(command.arg("-B").arg(folder.join("forget.py")).arg(world.athena.url())).await;
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
