//! Runs `judge/judge.py`: boto3 drives the fake, and its answers are compared with botocore's service model.

#![allow(clippy::unwrap_used)] // in a test a panic is the report

use std::{
    fs,
    path::{Path, PathBuf},
};

use fake_athena::{Config, FakeAthena};
use tokio::process::Command;

#[tokio::test]
async fn boto3_and_its_service_model_find_nothing_wrong() {
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("judge");
    let python = python(&judge.join("requirements.txt")).await;
    let athena = FakeAthena::start(Config::default()).await.unwrap();
    let mut command = Command::new(python);
    command.arg("-B").arg(judge.join("judge.py")).arg(athena.url());
    run(&mut command).await;
}

/// The Python of an environment with the pinned requirements, made anew only when these have changed.
async fn python(requirements: &Path) -> PathBuf {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("judge");
    let python = environment.join("bin/python");
    let installed = environment.join("installed.txt");
    let wanted = fs::read_to_string(requirements).unwrap();
    if fs::read_to_string(&installed).is_ok_and(|it| it == wanted) {
        return python;
    }
    let mut command = Command::new("python3");
    run(command.args(["-m", "venv", "--clear"]).arg(&environment)).await;
    let mut command = Command::new(&python);
    command.args(["-m", "pip", "install", "--quiet", "--requirement"]);
    run(command.arg(requirements)).await;
    fs::write(installed, wanted).unwrap();
    python
}

async fn run(command: &mut Command) {
    let output = command.kill_on_drop(true).output().await.unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
