//! Runs `judge/judge.py`: boto3 drives the fake, and its answers are compared with botocore's service model.

#![allow(clippy::unwrap_used)] // in a test a panic is the report

#[path = "common/python.rs"]
mod python;

use std::path::Path;

use fake_athena::{Config, FakeAthena};
use tokio::process::Command;

#[tokio::test]
async fn boto3_and_its_service_model_find_nothing_wrong() {
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("judge");
    let python = python::environment("judge", &judge.join("requirements.txt")).await;
    let athena = FakeAthena::start(Config::default()).await.unwrap();
    let mut command = Command::new(python);
    python::run(command.arg("-B").arg(judge.join("judge.py")).arg(athena.url())).await;
}
