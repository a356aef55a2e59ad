//! However the holder of a control plane goes, its processes and its folder go too.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use control_plane::{ControlPlane, Error, Options};

const COMPONENTS: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

/// The components and the shell that supervises them, by id.
fn processes(folder: &Path) -> Vec<String> {
    let mut processes: Vec<String> = COMPONENTS
        .iter()
        .filter_map(|name| fs::read_to_string(folder.join(format!("{name}.pid"))).ok())
        .map(|pid| pid.trim().to_owned())
        .collect();
    let parent = Command::new("ps").args(["-o", "ppid=", "-p", &processes[0]]).output().unwrap();
    processes.push(String::from_utf8(parent.stdout).unwrap().trim().to_owned());
    processes
}

fn runs(pid: &str) -> bool {
    let output = Command::new("kill").args(["-0", pid]).output().unwrap();
    output.status.success()
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn all_gone(processes: &[String], folder: &Path) {
    eventually("the processes go", || !processes.iter().any(|pid| runs(pid)));
    eventually("the folder goes", || !folder.exists());
}

/// Another process that holds a control plane, in a process group of its own.
struct Holder(Child);

impl Drop for Holder {
    /// After a test that failed.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn holder(temporary: &Path) -> Holder {
    let holder = Command::new(env!("CARGO_BIN_EXE_control-plane"))
        .arg("run")
        .env("CONTROL_PLANE", control_plane::program().unwrap())
        .env("TMPDIR", temporary)
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn();
    Holder(holder.unwrap())
}

/// The folder of the holder's control plane, once that serves.
fn serving(holder: &mut Holder) -> PathBuf {
    let mut line = String::new();
    BufReader::new(holder.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let kubeconfig = line.trim().strip_prefix("export KUBECONFIG='").and_then(|line| line.strip_suffix('\''));
    Path::new(kubeconfig.unwrap()).parent().unwrap().to_owned()
}

fn kill(signal: &str, target: &str) {
    let status = Command::new("kill").args(["-s", signal, "--", target]).status();
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn a_dropped_control_plane_is_gone_when_the_drop_returns() {
    let control_plane = ControlPlane::start(Options::default()).await.unwrap();
    let folder = control_plane.folder().to_owned();
    let processes = processes(&folder);
    assert_eq!(processes.len(), 4);
    assert!(processes.iter().all(|pid| runs(pid)));
    assert!(matches!(control_plane.audit_entries(), Err(Error::NoAudit)));
    drop(control_plane);
    assert!(!processes.iter().any(|pid| runs(pid)));
    assert!(!folder.exists());
}

#[test]
fn a_control_plane_ends_when_its_holder_is_killed_with_its_process_group() {
    let temporary = tempfile::tempdir().unwrap();
    let mut holder = holder(temporary.path());
    let folder = serving(&mut holder);
    let processes = processes(&folder);
    assert!(processes.iter().all(|pid| runs(pid)));
    kill("KILL", &format!("-{}", holder.0.id()));
    holder.0.wait().unwrap();
    all_gone(&processes, &folder);
}

#[test]
fn a_control_plane_ends_when_its_holder_is_killed_while_it_starts() {
    let temporary = tempfile::tempdir().unwrap();
    let mut holder = holder(temporary.path());
    let folder = || {
        let mut entries = fs::read_dir(temporary.path()).unwrap();
        entries.next().map(|entry| entry.unwrap().path())
    };
    let pid = |name: &str| folder().map(|folder| folder.join(format!("{name}.pid")));
    eventually("kube-apiserver starts", || {
        pid("kube-apiserver").is_some_and(|pid| fs::read_to_string(pid).is_ok_and(|pid| pid.ends_with('\n')))
    });
    let folder = folder().unwrap();
    let processes = processes(&folder);
    kill("KILL", &holder.0.id().to_string());
    holder.0.wait().unwrap();
    assert_eq!(processes.len(), 3, "it hadn't served yet");
    all_gone(&processes, &folder);
}

#[test]
fn a_control_plane_ends_when_its_holder_is_asked_to_end() {
    let temporary = tempfile::tempdir().unwrap();
    let mut holder = holder(temporary.path());
    let folder = serving(&mut holder);
    let processes = processes(&folder);
    kill("TERM", &holder.0.id().to_string());
    assert!(holder.0.wait().unwrap().success());
    assert!(!processes.iter().any(|pid| runs(pid)));
    assert!(!folder.exists());
}

#[test]
fn the_components_end_when_their_supervisor_is_asked_to_end() {
    let temporary = tempfile::tempdir().unwrap();
    let mut holder = holder(temporary.path());
    let folder = serving(&mut holder);
    let processes = processes(&folder);
    kill("TERM", processes.last().unwrap());
    eventually("the folder goes", || !folder.exists());
    kill("TERM", &holder.0.id().to_string());
    holder.0.wait().unwrap();
    all_gone(&processes, &folder);
}
