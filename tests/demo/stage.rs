//! What the story plays on: a control plane, a fake Athena, and the operator as its own process with
//! the rights that `deploy/` gives it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use control_plane::{ControlPlane, Options};
use fake_athena::{Config, FakeAthena, NewSession};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::process::beside_this;
use crate::{Outcome, screen};

/// As the manifests of `deploy/` name them.
const NAMESPACE: &str = "athena-session-operator";
const SERVICE_ACCOUNT: &str = "athena-session-operator";
const REGION: &str = "eu-west-1";

/// A free port, of this machine alone: something else may have the usual one.
const HTTP: &str = "--http-address=127.0.0.1:0";

/// As `deploy/workloads` sets it, and no longer than one likes to watch.
const END_WITH: &str = "--end-with";
const DELAY: &str = "--end-with-delay=2s";

/// The rules of clean-up are applied after each complete list, and a list follows each interval. By default it is a minute.
const INTERVAL: &str = "--poll-interval=5s";

/// Athena takes its time, so that one can watch it.
const TERMINATING: Duration = Duration::from_secs(8);
const COMMAND: Duration = Duration::from_secs(90);
/// The operator exits within 5 s of SIGTERM.
const OPERATOR_STOPS: Duration = Duration::from_secs(10);

/// Those of the examples that take on a session without an AthenaWorkGroup.
pub const ADOPT: &str = "deploy/examples/adopt.yaml";
pub const TERMINATE: &str = "deploy/examples/terminate.yaml";
pub const KEEP: &str = "deploy/examples/keep.yaml";

/// Sessions as these name them.
pub const NOTEBOOK: &str = "11111111-2222-4333-8444-555555555555";
pub const REPORT: &str = "22222222-3333-4444-8555-666666666666";
pub const SANDBOX: &str = "33333333-4444-4555-8666-777777777777";
/// As `deploy/examples/tenants/` names it.
pub const TENANTS: &str = "55555555-6666-4777-8888-999999999999";
/// One that no manifest names.
pub const UNDECLARED: &str = "44444444-5555-4666-8777-888888888888";

/// All that runs.
pub struct Stage {
    pub athena: FakeAthena,
    pub control_plane: ControlPlane,
    operator: Option<Child>,
}

impl Stage {
    /// Starts everything, the operator last.
    pub async fn start() -> Outcome<Self> {
        let operator = beside_this("athena-session-operator", "make demo, or cargo build first")?;
        screen::chapter("The stage");
        screen::note("Starting a Kubernetes control plane and a fake Athena on this machine …");
        let athena = fake_athena().await?;
        let control_plane = ControlPlane::start(Options::default()).await.map_err(|error| error.to_string())?;
        screen::tell(&format!("Kubernetes   {}", control_plane.api_url()));
        screen::tell(&format!("fake Athena  {}", athena.url()));
        let mut stage = Self { athena, control_plane, operator: None };
        stage.kubectl(&["apply", "-k", "deploy"]).await?;
        let workloads = ["-f", "deploy/workloads/role.yaml", "-f", "deploy/workloads/role-binding.yaml"];
        stage.kubectl(&[&["apply"], &workloads[..]].concat()).await?;
        let kinds = ["crd/athenasessions.athena-operator.dev", "crd/athenaworkgroups.athena-operator.dev"];
        stage.kubectl(&[&["wait", "--for=condition=Established"], &kinds[..]].concat()).await?;
        stage.start_operator(&operator).await?;
        Ok(stage)
    }

    /// There are no nodes that could run the Deployment, so it runs here, as the same ServiceAccount.
    async fn start_operator(&mut self, program: &Path) -> Outcome {
        let kubeconfig = self.control_plane.kubeconfig_for_service_account(NAMESPACE, SERVICE_ACCOUNT).await;
        let kubeconfig = kubeconfig.map_err(|error| error.to_string())?;
        let log = std::fs::File::create(self.operator_log()).map_err(|error| format!("the operator's log: {error}"))?;
        let url = self.athena.url();
        screen::tell("\nNo node is here to run the Deployment: the operator runs as a process, as its ServiceAccount.");
        screen::command(&format!(
            "KUBECONFIG={} AWS_ENDPOINT_URL={url} AWS_REGION={REGION} AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo \
             athena-session-operator run {HTTP} {INTERVAL} {END_WITH} {DELAY}",
            kubeconfig.display()
        ));
        // Nothing of the user's own AWS settings: this must reach no real account.
        let operator = Command::new(program)
            .args(["run", HTTP, INTERVAL, END_WITH, DELAY])
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .env("AWS_ENDPOINT_URL", url)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "demo")
            .env("AWS_SECRET_ACCESS_KEY", "demo")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C is for the demo, which stops it in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        self.operator = Some(operator);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while !self.read_operator_log().contains("watching AthenaSessions") {
            if tokio::time::Instant::now() > deadline || !self.operator_runs() {
                let log = self.read_operator_log();
                return Err(format!("the operator didn't start: {}", log.lines().last().unwrap_or("it said nothing")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.show_operator_log(1);
        Ok(())
    }

    /// Where the operator serves metrics and probes, as its log says.
    pub fn operator_http(&self) -> Option<String> {
        let log = self.read_operator_log();
        let (_, address) = log.split_once("serving metrics and probes\" address=")?;
        address.split_whitespace().next().map(|address| format!("http://{address}"))
    }

    /// Whether the operator hasn't ended.
    pub fn operator_runs(&mut self) -> bool {
        self.operator.as_mut().is_some_and(|operator| matches!(operator.try_wait(), Ok(None)))
    }

    /// Runs a command that must succeed, and shows both it and what it prints.
    pub async fn kubectl(&self, arguments: &[&str]) -> Outcome<String> {
        let output = self.show(arguments).await?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!("{} failed: {}", screen::typed("kubectl", arguments), one_line(&output.stderr)))
        }
    }

    /// Runs a command that must be refused.
    pub async fn kubectl_refused(&self, arguments: &[&str]) -> Outcome<String> {
        let output = self.show(arguments).await?;
        if output.status.success() {
            Err(format!("{} should have been refused", screen::typed("kubectl", arguments)))
        } else {
            Ok(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    async fn show(&self, arguments: &[&str]) -> Outcome<Output> {
        screen::command(&screen::typed("kubectl", arguments));
        let output = self.ask(arguments).await?;
        for printed in [&output.stdout, &output.stderr] {
            let printed = String::from_utf8_lossy(printed);
            if !printed.trim().is_empty() {
                screen::tell(printed.trim_end());
            }
        }
        Ok(output)
    }

    /// Calls the fake Athena, as what runs in a Job would.
    pub async fn call_athena(&self, operation: &str, body: &Value) -> Outcome<Value> {
        let (url, body) = (self.athena.url(), body.to_string());
        let address = url.trim_start_matches("http://");
        let request = format!(
            "POST / HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/x-amz-json-1.1\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=demo/20260101/{REGION}/athena/aws4_request\r\n\
             X-Amz-Target: AmazonAthena.{operation}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let talk = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = talk.await.map_err(|error| format!("{operation}: {error}"))?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).map_err(|_| format!("{operation}: {}", one_line(answer.as_bytes())))
    }

    /// Runs a command for the demo itself, in silence.
    pub async fn ask(&self, arguments: &[&str]) -> Outcome<Output> {
        let output = timeout(COMMAND, self.control_plane.kubectl(arguments)).await;
        let output = output.map_err(|_| format!("{} took over {COMMAND:?}", screen::typed("kubectl", arguments)))?;
        output.map_err(|error| error.to_string())
    }

    /// Where the operator logs, as long as the stage stands.
    pub fn operator_log(&self) -> PathBuf {
        self.control_plane.folder().join("operator.log")
    }

    /// What the operator has logged.
    pub fn read_operator_log(&self) -> String {
        std::fs::read_to_string(self.operator_log()).unwrap_or_default()
    }

    /// Shows the last lines of it.
    pub fn show_operator_log(&self, most: usize) {
        let log = self.read_operator_log();
        let lines: Vec<&str> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(most)..] {
            screen::tell(line);
        }
    }

    /// Stops everything, the operator first and by SIGTERM, as Kubernetes would.
    pub async fn stop(mut self) {
        if let Some(mut operator) = self.operator.take() {
            if let Some(id) = operator.id() {
                // Where it can't be told to stop it is killed, when it is dropped.
                let _ = Command::new("sh").args(["-c", &format!("kill -TERM {id}")]).status().await;
            }
            let _ = timeout(OPERATOR_STOPS, operator.wait()).await;
        }
        self.control_plane.stop().await;
    }
}

async fn fake_athena() -> Outcome<FakeAthena> {
    let config = Config { region: REGION.to_owned(), terminating: Some(TERMINATING), ..Config::default() };
    let athena = FakeAthena::start(config).await.map_err(|error| format!("the fake Athena: {error}"))?;
    let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
    for (id, work_group, state, age, description) in [
        (NOTEBOOK, "spark-team-a", "IDLE", hours(19), "notebook of somebody on holiday"),
        (REPORT, "spark-team-a", "BUSY", hours(3), "weekly report"),
        (SANDBOX, "spark-team-b", "IDLE", hours(5), "sandbox that all share"),
        (TENANTS, "spark-team-a", "IDLE", hours(1), "notebook of a tenant, team-a"),
        (UNDECLARED, "spark-team-a", "IDLE", hours(2), "nobody's manifest names it"),
    ] {
        athena.add_session(NewSession {
            id: Some(id.to_owned()),
            work_group: Some(work_group.to_owned()),
            state: state.to_owned(),
            age,
            description: Some(description.to_owned()),
            ..NewSession::default()
        });
    }
    Ok(athena)
}

fn one_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).split_whitespace().collect::<Vec<_>>().join(" ")
}
