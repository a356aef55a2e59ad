//! A bash that runs the commands of a page, one after the other, with the variables of the earlier ones.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// More than any command takes.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the shell prints after each command.
const DONE: &str = "--- done with ";

pub struct Shell {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

/// What a command printed, on stdout and on stderr, and whether it succeeded.
pub struct Answer {
    pub printed: String,
    pub is_success: bool,
}

impl Shell {
    /// A shell in this folder, which finds its programs in `path` and has nothing of this machine's settings.
    pub fn start(folder: &Path, path: &str, variables: &[(&str, String)]) -> Self {
        let mut child = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(folder)
            .env_clear()
            .env("HOME", folder)
            .env("PATH", path)
            .env("LC_ALL", "C.UTF-8")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Its commands end with it, by the group.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output }
    }

    pub async fn run(&mut self, command: &str) -> Answer {
        let asked = format!("{{\n{command}\n}} </dev/null 2>&1\nprintf '\\n%s%s\\n' '{DONE}' $?\n");
        let ask = async {
            self.input.write_all(asked.as_bytes()).await.unwrap();
            self.input.flush().await.unwrap();
            let mut printed = Vec::new();
            loop {
                let line = self.output.next_line().await.unwrap().expect("the shell goes on");
                if let Some(status) = line.strip_prefix(DONE) {
                    return Answer { printed: printed.join("\n"), is_success: status == "0" };
                }
                printed.push(line);
            }
        };
        timeout(PATIENCE, ask).await.unwrap_or_else(|_| panic!("it took over {PATIENCE:?}: {command}"))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Some(id) = self.child.id() {
            let _ = std::process::Command::new("kill").args(["-KILL", "--", &format!("-{id}")]).status();
        }
    }
}
