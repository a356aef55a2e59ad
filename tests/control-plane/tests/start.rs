//! A start that goes wrong says what is wrong; a lost port is no such thing.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod script;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use script::write_script;

/// `CONTROL_PLANE` for the program under test.
fn script(folder: &Path, lines: &str) -> PathBuf {
    let path = folder.join("script");
    write_script(&path, lines);
    path
}

fn run(folder: &Path, script: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    let temporary = folder.join("tmp");
    fs::create_dir(&temporary).unwrap();
    command.arg("run").env("CONTROL_PLANE", script).env("TMPDIR", temporary);
    command
}

#[test]
fn a_component_that_ends_while_it_starts_is_named_with_the_end_of_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let real = control_plane::program().unwrap();
    let script = script(
        folder.path(),
        &format!(
            "if [ $1 = kube-apiserver ]; then seq 100; echo 'no such flag' >&2; exit 1; fi\n\
             exec '{}' \"$@\"",
            real.display()
        ),
    );
    let began = Instant::now();
    let output = run(folder.path(), &script).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(error.starts_with("error: kube-apiserver ended while the control plane started"), "{error}");
    assert!(error.ends_with("\n99\n100\nno such flag\n"), "{error}");
    assert!(!error.contains("\n80\n"), "{error}");
    // Long before the deadline for what is only slow.
    assert!(began.elapsed() < Duration::from_secs(20));
    let left: Vec<_> = fs::read_dir(folder.path().join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_start_that_loses_a_port_to_another_process_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let real = control_plane::program().unwrap();
    let lost = folder.path().join("lost");
    let script = script(
        folder.path(),
        &format!(
            "if [ $1 = etcd ] && mkdir '{}'; then echo 'bind: address already in use' >&2; exit 1; fi\n\
             exec '{}' \"$@\"",
            lost.display(),
            real.display()
        ),
    );
    let mut holder = run(folder.path(), &script).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(lost.exists());
    assert!(line.starts_with("export KUBECONFIG="), "{line}");
    let left = fs::read_dir(folder.path().join("tmp")).unwrap().count();
    assert_eq!(left, 1, "the first attempt's folder is gone");
    // The components end with it, as the tests of the end show.
    holder.kill().unwrap();
    holder.wait().unwrap();
}
