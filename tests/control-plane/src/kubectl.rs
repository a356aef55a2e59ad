//! kubectl, as a user would call it.

use std::{
    env,
    process::{Command, Output, Stdio},
};

use tokio::io::AsyncWriteExt as _;

use crate::{ControlPlane, Error, program};

/// kubectl: the program that the environment variable `KUBECTL` names, else the one that is part
/// of [`program`](crate::program()). It blocks while that is built.
///
/// # Errors
/// Where it can't be built.
pub fn kubectl() -> Result<Command, Error> {
    if let Some(kubectl) = env::var_os("KUBECTL") {
        return Ok(Command::new(kubectl));
    }
    let mut command = Command::new(program()?);
    command.arg("kubectl");
    Ok(command)
}

impl ControlPlane {
    /// Runs kubectl as the user `admin`; `--kubeconfig` among the arguments makes it another one.
    ///
    /// # Errors
    /// Where it can't be run. That it refuses is in the output's status.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<Output, Error> {
        self.kubectl_with(arguments, "").await
    }

    /// Like [`kubectl`](Self::kubectl), with an input, such as for `apply -f -`.
    ///
    /// # Errors
    /// Where it can't be run. That it refuses is in the output's status.
    pub async fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<Output, Error> {
        let mut child = tokio::process::Command::from(kubectl()?)
            .args(arguments)
            .env("KUBECONFIG", self.admin_kubeconfig())
            .env("KUBECACHEDIR", self.folder().join("kubectl-cache"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::io("kubectl"))?;
        let stdin = child.stdin.take();
        let write = async {
            if let Some(mut stdin) = stdin {
                // It may not read what it was given; its own message then says why.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let ((), output) = tokio::join!(write, child.wait_with_output());
        output.map_err(Error::io("kubectl"))
    }

    /// Runs [`kubectl`](Self::kubectl) and returns what it prints.
    ///
    /// # Panics
    /// Where it fails, with what it says.
    pub async fn kubectl_ok(&self, arguments: &[&str]) -> String {
        self.kubectl_with_ok(arguments, "").await
    }

    /// Runs [`kubectl_with`](Self::kubectl_with) and returns what it prints.
    ///
    /// # Panics
    /// Where it fails, with what it says.
    pub async fn kubectl_with_ok(&self, arguments: &[&str], input: &str) -> String {
        let command = arguments.join(" ");
        match self.kubectl_with(arguments, input).await {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
            Ok(output) => panic!("kubectl {command}: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => panic!("kubectl {command}: {error}"),
        }
    }
}
