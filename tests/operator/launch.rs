//! Starts the operator as a child process.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::world::{World, operator_kubeconfig};

const OPERATOR: &str = env!("CARGO_BIN_EXE_athena-session-operator");

/// Intervals that are short enough for tests. The order of events is that of the defaults.
pub const BRISK: [(&str, &str); 12] = [
    ("ATHENA_OPERATOR_ATHENA_RATE", "1000000"),
    ("ATHENA_OPERATOR_ATHENA_BURST", "1000000"),
    ("ATHENA_OPERATOR_HTTP_ADDRESS", "127.0.0.1:0"),
    ("ATHENA_OPERATOR_POLL_INTERVAL", "1s"),
    ("ATHENA_OPERATOR_POLL_INTERVAL_CHANGING", "100ms"),
    ("ATHENA_OPERATOR_TERMINATE_AGAIN_AFTER", "1s"),
    ("ATHENA_OPERATOR_CONFIRM_ABSENCE_AFTER", "1s"),
    ("ATHENA_OPERATOR_BACKOFF_MIN", "50ms"),
    ("ATHENA_OPERATOR_BACKOFF_MAX", "500ms"),
    ("ATHENA_OPERATOR_AWS_TIMEOUT", "3s"),
    ("ATHENA_OPERATOR_WATCH_TIMEOUT", "5s"),
    ("ATHENA_OPERATOR_LOG_FORMAT", "json"),
];

/// How to start an operator, where the defaults of these tests don't fit.
#[derive(Clone, Default)]
pub struct Start {
    pub arguments: Vec<String>,
    pub environment: Vec<(&'static str, String)>,
    pub kubeconfig: Option<PathBuf>,
    pub athena_url: Option<String>,
    /// Without --watch-namespace.
    pub all_namespaces: bool,
    /// The limits of the process, as the shell's `ulimit` takes them: `-n 256`.
    pub ulimit: Option<&'static str>,
}

impl Start {
    pub fn with(arguments: &[&str]) -> Self {
        Self { arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(), ..Self::default() }
    }
}

/// A running operator, which is killed when this value is dropped.
pub struct Operator(Child);

impl Operator {
    pub async fn start(world: &World, start: Start) -> Self {
        let kubeconfig = match start.kubeconfig {
            Some(kubeconfig) => kubeconfig,
            None => operator_kubeconfig(world.plane).await,
        };
        let mut command = start.ulimit.map_or_else(operator_command, operator_command_within);
        command.arg("run");
        if !start.all_namespaces {
            command.args(["--watch-namespace", &world.namespace]);
        }
        command
            .args(start.arguments)
            .env("KUBECONFIG", kubeconfig)
            .env("AWS_ENDPOINT_URL", start.athena_url.unwrap_or_else(|| world.athena.url()))
            .envs(aws_environment())
            .envs(BRISK)
            .envs(start.environment)
            .stderr(File::options().create(true).append(true).open(&world.logs).unwrap());
        Self::spawn(command)
    }

    pub fn spawn(mut command: Command) -> Self {
        Self(command.spawn().unwrap())
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// The most memory that it ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The operator, in an environment that has nothing of this machine's Kubernetes and AWS settings.
pub fn operator_command() -> Command {
    clean(Command::new(OPERATOR))
}

/// The operator's command in a shell that sets limits and then becomes the operator.
fn operator_command_within(ulimit: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("ulimit {ulimit} && exec \"$0\" \"$@\""), OPERATOR]);
    clean(shell)
}

fn clean(mut command: Command) -> Command {
    command.env_clear().env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

pub fn aws_environment() -> [(&'static str, &'static str); 3] {
    [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "planted-secret")]
}
