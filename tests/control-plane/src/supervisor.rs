//! The process that starts the components and outlives this one just long enough to end them.

use std::{
    env, fs,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::Error;

const SCRIPT: &str = include_str!("supervisor.sh");
pub(crate) const COMPONENTS: [&str; 3] = [ETCD, API_SERVER, CONTROLLER_MANAGER];
pub(crate) const ETCD: &str = "etcd";
pub(crate) const API_SERVER: &str = "kube-apiserver";
pub(crate) const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// The running `supervisor.sh`. Dropping it ends the components and removes their folder.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shell: Child,
    pipe: Option<ChildStdin>,
    folder: PathBuf,
}

/// The ports of one start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) database: u16,
    pub(crate) api: u16,
}

impl Supervisor {
    /// Starts etcd and kube-apiserver; `folder` holds what they read and is the shell's from here.
    pub(crate) fn start(
        program: &Path,
        folder: PathBuf,
        ports: Ports,
        api_server_arguments: &[String],
    ) -> Result<Self, Error> {
        // The environment is cleared since etcd takes any ETCD_… as a setting. Its own process
        // group keeps a terminal's Ctrl-C from it, so that it lives to see the pipe close.
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "control-plane"])
            .args(api_server_arguments)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("PROGRAM", program)
            .env("DATA", &folder)
            .env("DATABASE_PORT", ports.database.to_string())
            .env("API_PORT", ports.api.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(Error::io("sh"))?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe, folder })
    }

    /// Starts kube-controller-manager.
    pub(crate) fn api_server_is_ready(&mut self) -> Result<(), Error> {
        match &mut self.pipe {
            Some(pipe) => pipe.write_all(b"ready\n").map_err(Error::io("the supervisor's pipe")),
            None => Ok(()),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The first component that has ended by itself: a zombie, or gone already where the shell is one
    /// that looks after its children at once. Without a /proc to tell, the start's deadline has to do.
    pub(crate) fn ended(&self) -> Option<&'static str> {
        COMPONENTS.into_iter().find(|name| {
            let Ok(pid) = fs::read_to_string(self.folder.join(format!("{name}.pid"))) else {
                return false;
            };
            // The shell may be just about to write it.
            if pid.trim().is_empty() {
                return false;
            }
            match fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
                // The state follows the command in parentheses, which may hold any character.
                Ok(stat) => stat.rsplit(") ").next().is_some_and(|state| state.starts_with('Z')),
                Err(_) => Path::new("/proc/self/stat").exists(),
            }
        })
    }

    /// The end of a component's log.
    pub(crate) fn log(&self, component: &str) -> String {
        const LINES: usize = 20;
        let log = fs::read(self.folder.join(format!("{component}.log"))).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.pipe = None;
        // It can only fail where the shell has been waited for already, and nobody else does.
        let _ = self.shell.wait();
    }
}
