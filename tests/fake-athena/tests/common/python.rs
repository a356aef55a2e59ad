//! Python environments with pinned packages, for the clients that judge or use the fake.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;
use tokio::sync::Mutex;

/// The Python of an environment with these requirements, made anew only when they have changed. The requirements must name each
/// package that is needed: what these packages ask for themselves isn't installed.
pub async fn environment(name: &str, requirements: &Path) -> PathBuf {
    // Tests that run side by side use the same environment.
    static MAKING: Mutex<()> = Mutex::const_new(());
    let _making = MAKING.lock().await;
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let python = environment.join("bin/python");
    let installed = environment.join("installed.txt");
    let wanted = fs::read_to_string(requirements).unwrap();
    if fs::read_to_string(&installed).is_ok_and(|it| it == wanted) {
        return python;
    }
    let mut command = Command::new("python3");
    run(command.args(["-m", "venv", "--clear"]).arg(&environment)).await;
    let mut command = Command::new(&python);
    command.args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--requirement"]);
    run(command.arg(requirements)).await;
    fs::write(installed, wanted).unwrap();
    python
}

/// Runs a program to its end, and returns what it wrote to stdout.
///
/// Panics with all that it wrote where it fails.
pub async fn run(command: &mut Command) -> String {
    let output = command.kill_on_drop(true).output().await.unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{said}{complained}", output.status);
    said.into_owned()
}
