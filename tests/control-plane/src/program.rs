//! The one program with all components, and how it is built.

use std::{
    env,
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::{Error, progress::Progress};

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");
const GO_MOD: &str = include_str!("../go.mod");
const SOURCES: [&str; 3] = [GO_MOD, include_str!("../go.sum"), include_str!("../main.go")];
const NEEDED_GO: &str = "1.26";

/// The program with the sub-commands `etcd`, `kube-apiserver`, `kube-controller-manager` and
/// `kubectl`: the one that the environment variable `CONTROL_PLANE` names, else one that is built
/// beside the Rust build's own results unless it is there already. The first time takes minutes;
/// stderr tells how it goes.
///
/// `CONTROL_PLANE` may name a script if that replaces itself by `exec`.
///
/// # Errors
/// Where there is no suitable Go, or its build fails.
pub fn program() -> Result<PathBuf, Error> {
    if let Some(program) = env::var_os("CONTROL_PLANE") {
        let program = PathBuf::from(program);
        let is_path = program.components().count() > 1;
        return if is_path && !program.is_file() { Err(Error::NotAProgram(program)) } else { Ok(program) };
    }
    let folder = build_folder()?;
    let program = folder.join(version_of_sources()).join("control-plane");
    if program.exists() {
        return Ok(program);
    }
    fs::create_dir_all(&folder).map_err(Error::io("the build's folder"))?;
    let _lock = lock(&folder)?;
    // Another process may have built it while this one waited.
    if !program.exists() {
        build(&folder, &program)?;
    }
    Ok(program)
}

/// In the folder that cargo builds into, which cargo marks and in which this program lies.
fn build_folder() -> Result<PathBuf, Error> {
    let this = env::current_exe().map_err(Error::io("this program's path"))?;
    let target = this
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").exists())
        .map_or_else(env::temp_dir, Path::to_path_buf);
    Ok(target.join("control-plane"))
}

fn version_of_sources() -> String {
    let mut hasher = DefaultHasher::new();
    SOURCES.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn lock(folder: &Path) -> Result<File, Error> {
    let lock = File::create(folder.join("lock")).map_err(Error::io("the build's lock"))?;
    let mut progress = Progress::new();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(fs::TryLockError::WouldBlock) => {
                progress.tell("waiting for another process that builds the control plane");
                thread::sleep(Duration::from_secs(1));
            }
            Err(fs::TryLockError::Error(error)) => {
                return Err(Error::Io("the build's lock".to_owned(), error));
            }
        }
    }
}

fn build(folder: &Path, program: &Path) -> Result<(), Error> {
    let mut go = go(folder)?;
    let kubernetes = kubernetes_version();
    // Moved to its place only once it is whole. The folder is this build's own, since a Go whose
    // caller was killed goes on.
    let own = tempfile::tempdir_in(folder).map_err(Error::io("the build's folder"))?;
    let unfinished = own.path().join("control-plane");
    let mut child = go
        .args(["build", "-trimpath", "-buildvcs=false", "-ldflags"])
        .arg(format!("-s -w -X k8s.io/component-base/version.gitVersion={kubernetes}"))
        .arg("-o")
        .args([unfinished.as_path(), Path::new(".")])
        .current_dir(FOLDER)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io("go build"))?;
    let stderr = child.stderr.take();
    let messages = thread::spawn(move || {
        let mut messages = String::new();
        if let Some(mut stderr) = stderr {
            // What was read so far is what there is to show.
            let _ = stderr.read_to_string(&mut messages);
        }
        messages
    });
    let mut progress = Progress::new();
    let status = loop {
        progress.tell(&format!(
            "building a Kubernetes {kubernetes} control plane with Go, which takes some minutes the first time"
        ));
        if let Some(status) = child.try_wait().map_err(Error::io("go build"))? {
            break status;
        }
        thread::sleep(Duration::from_millis(200));
    };
    let messages = messages.join().unwrap_or_default();
    if !status.success() {
        progress.end("the build failed");
        return Err(Error::Build(errors(&messages)));
    }
    if let Some(parent) = program.parent() {
        fs::create_dir_all(parent).map_err(Error::io("the program's folder"))?;
    }
    fs::rename(&unfinished, program).map_err(Error::io("the program"))?;
    progress.end("built the control plane");
    Ok(())
}

/// What Go says beside its downloads.
fn errors(messages: &str) -> String {
    messages.lines().filter(|line| !line.starts_with("go: downloading ")).collect::<Vec<_>>().join("\n")
}

fn kubernetes_version() -> &'static str {
    GO_MOD.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes ")).unwrap_or_default()
}

/// The command `go`, set up; a Go that is too old is told, not exchanged for a downloaded one.
fn go(folder: &Path) -> Result<Command, Error> {
    let base = || {
        let mut go = Command::new("go");
        go.env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0");
        go.env("GOWORK", "off");
        go
    };
    // Not in FOLDER: there an older Go refuses to say anything.
    let output =
        base().args(["env", "GOVERSION", "GOCACHE", "GOMODCACHE"]).current_dir(folder).output().map_err(|error| {
            match error.kind() {
                ErrorKind::NotFound => Error::NoGo(NEEDED_GO),
                _ => Error::Io("go".to_owned(), error),
            }
        })?;
    let answer = String::from_utf8_lossy(&output.stdout);
    let mut answer = answer.lines();
    let found = answer.next().unwrap_or_default();
    if !is_at_least(found, NEEDED_GO) {
        return Err(Error::OldGo { found: found.to_owned(), needed: NEEDED_GO });
    }
    let mut go = base();
    // Go has no place for them where there is no home.
    for name in ["GOCACHE", "GOMODCACHE"] {
        if answer.next().unwrap_or_default().is_empty() {
            go.env(name, folder.join(name.to_lowercase()));
        }
    }
    Ok(go)
}

/// Compares `go1.26.8`, `go1.27rc1` or `devel go1.28-abc` with `1.26`.
fn is_at_least(found: &str, needed: &str) -> bool {
    let release = |version: &str| {
        let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    found.split("go").last().and_then(release).is_some_and(|found| Some(found) >= release(needed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_are_compared_by_number() {
        for new_enough in ["go1.26", "go1.26.8", "go1.100rc1", "devel go1.28-abc", "go2.0"] {
            assert!(is_at_least(new_enough, "1.26"), "{new_enough}");
        }
        for too_old in ["go1.25.9", "go1.9", "devel go1.25-abc", ""] {
            assert!(!is_at_least(too_old, "1.26"), "{too_old}");
        }
    }

    #[test]
    fn the_version_that_the_program_tells_is_the_one_that_go_mod_names() {
        assert!(kubernetes_version().starts_with("v1."));
    }
}
