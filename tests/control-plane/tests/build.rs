//! The build of the program, with a stand-in for Go: the real one takes minutes.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod script;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use script::write_script;
use tempfile::TempDir;

/// The program under test in a build folder where nothing is built yet.
struct Fresh {
    folder: TempDir,
}

impl Fresh {
    fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(folder.path().join("CACHEDIR.TAG"), "").unwrap();
        fs::create_dir(folder.path().join("path")).unwrap();
        fs::hard_link(env!("CARGO_BIN_EXE_control-plane"), folder.path().join("this")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A Go of this version whose builds run these lines.
    fn with_go(self, version: &str, build: &str) -> Self {
        let go = self.path("path").join("go");
        let lines = format!(
            "PATH=/usr/bin:/bin\n\
             if [ \"$1\" = env ]; then printf '{version}\\n\\n\\n'; exit; fi\n\
             echo build >>'{}'\nwhile [ \"$1\" != -o ]; do shift; done\n{build}\n",
            self.path("builds").display()
        );
        write_script(&go, &lines);
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.path("this"));
        command.arg("build").env_remove("CONTROL_PLANE").env("PATH", self.path("path"));
        command
    }

    fn build(&self) -> Output {
        self.command().output().unwrap()
    }

    fn builds(&self) -> usize {
        fs::read_to_string(self.path("builds")).unwrap().lines().count()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn without_go_one_line_says_what_to_install() {
    let output = Fresh::new().build();
    assert!(!output.status.success());
    assert_eq!(
        stderr(&output),
        "error: Go wasn't found: install Go 1.26 or newer, which builds the control plane, \
         or set CONTROL_PLANE to a program that is one\n"
    );
}

#[test]
fn with_an_old_go_one_line_says_what_to_install() {
    let output = Fresh::new().with_go("go1.25.7", "exit 1").build();
    assert!(!output.status.success());
    assert_eq!(
        stderr(&output),
        "error: go1.25.7 is too old: install Go 1.26 or newer, which builds the control plane, \
         or set CONTROL_PLANE to a program that is one\n"
    );
}

#[test]
fn a_program_that_is_given_is_taken_and_nothing_is_built() {
    let output = Fresh::new().command().env("CONTROL_PLANE", "given").output().unwrap();
    assert_eq!(stdout(&output), "given\n");
}

#[test]
fn a_build_that_fails_shows_what_go_said_and_is_tried_again_next_time() {
    let fresh = Fresh::new()
        .with_go("go1.26.8", "touch $2; echo go: downloading a module >&2; echo ./main.go:1: broken >&2; exit 1");
    let output = fresh.build();
    assert!(!output.status.success());
    let error = stderr(&output);
    assert!(error.ends_with("error: go build of the control plane failed:\n./main.go:1: broken\n"), "{error}");
    assert!(!fresh.build().status.success());
    assert_eq!(fresh.builds(), 2);
}

#[test]
fn a_build_tells_what_it_does_and_that_it_takes_minutes() {
    let output = Fresh::new().with_go("go1.26.8", "touch $2").build();
    let told = stderr(&output);
    assert!(told.contains("building a Kubernetes v1."), "{told}");
    assert!(told.contains("takes some minutes the first time\n"), "{told}");
    assert!(told.ends_with("built the control plane after 0:00 min\n"), "{told}");
}

#[test]
fn processes_that_need_it_at_once_build_it_once() {
    let fresh = Fresh::new().with_go("go1.26.8", "sleep 1; touch $2");
    let one = fresh.command().stdout(std::process::Stdio::piped()).spawn().unwrap();
    let other = stdout(&fresh.build());
    let one = stdout(&one.wait_with_output().unwrap());
    assert_eq!(one, other);
    assert!(Path::new(one.trim()).exists());
    assert_eq!(stdout(&fresh.build()), one);
    assert_eq!(fresh.builds(), 1);
}

#[test]
fn a_machine_without_a_home_gets_a_build_cache() {
    let fresh = Fresh::new().with_go("go1.26.8", "echo $GOCACHE $GOMODCACHE >$2");
    let output = fresh.command().env_clear().env("PATH", fresh.path("path")).output();
    let program = stdout(&output.unwrap());
    let folder = fresh.path("control-plane");
    assert_eq!(fs::read_to_string(program.trim()).unwrap(), format!("{0}/gocache {0}/gomodcache\n", folder.display()));
}
