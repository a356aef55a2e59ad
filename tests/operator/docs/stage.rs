//! What the commands of a page work on: a control plane of the page's own, the fake Athena with the sessions of the playground,
//! and the operator.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use control_plane::{ControlPlane, Options};
use fake_athena::{Config, FakeAthena, NewSession, SPARK_3_5, WorkGroup};

use super::shell::{Answer, Shell};
use crate::launch::{BRISK, Operator, aws_environment, operator_command};
use crate::world::{OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, eventually, in_checkout};

/// What is there before the first command of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// `deploy/` with the rights of `deploy/workloads`, and a running operator.
    Installed,
    /// An empty cluster: the page installs what it needs.
    Empty,
}

pub struct Stage {
    plane: ControlPlane,
    athena: FakeAthena,
    folder: PathBuf,
    shell: Shell,
    operator: Option<Operator>,
}

impl Stage {
    pub async fn new(name: &str, begin: Begin) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("docs-{name}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("bin")).unwrap();
        for copied in ["deploy", "crds"] {
            copy(Path::new(&in_checkout(copied)), &folder.join(copied));
        }
        let athena = athena().await;
        let plane = ControlPlane::start(Options::default()).await.unwrap();
        write_programs(&folder.join("bin"), &folder.join("operator.log"));
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.join("bin").display());
        let variables = [
            ("KUBECONFIG", plane.admin_kubeconfig().display().to_string()),
            ("KUBECACHEDIR", plane.folder().join("kubectl-cache").display().to_string()),
            ("ATHENA", athena.url()),
        ];
        let shell = Shell::start(&folder, &path, &variables);
        let mut stage = Self { plane, athena, folder, shell, operator: None };
        if begin == Begin::Installed {
            stage.install().await;
        }
        stage
    }

    async fn install(&mut self) {
        for command in [
            "kubectl apply -k deploy",
            "kubectl apply -f deploy/workloads/role.yaml -f deploy/workloads/role-binding.yaml",
        ] {
            self.must(command).await;
        }
        self.start_operator(&[]).await;
        // The policies bind after some seconds.
        let plane = &self.plane;
        eventually("the guard binds", || async {
            let asked = ["delete", "crd", "athenaworkgroups.athena-operator.dev", "--dry-run=server"];
            (!plane.kubectl(&asked).await.unwrap().status.success()).then_some(())
        })
        .await;
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub async fn must(&mut self, command: &str) -> String {
        let answer = self.run(command).await;
        assert!(answer.is_success, "failed: {command}\n{}", answer.printed);
        answer.printed
    }

    pub async fn run(&mut self, command: &str) -> Answer {
        self.shell.run(command).await
    }

    /// Writes a file into the working folder.
    pub fn save(&self, file: &str, text: &str) {
        fs::write(self.folder.join(file), text).unwrap();
    }

    /// Runs a step that readers don't see: commands, or first `start-operator FLAGS` or `stop-operator`.
    pub async fn run_hidden(&mut self, step: &str) {
        let (first, rest) = step.split_once(';').unwrap_or((step, ""));
        let words: Vec<_> = first.split_whitespace().collect();
        let rest = match words[..] {
            ["start-operator", ref flags @ ..] => {
                self.start_operator(flags).await;
                rest
            }
            ["stop-operator"] => {
                self.operator = None;
                rest
            }
            _ => step,
        };
        if !rest.is_empty() {
            self.must(rest).await;
        }
    }

    /// Starts the operator with the rights of its ServiceAccount, in the place of one that runs.
    async fn start_operator(&mut self, flags: &[&str]) {
        self.operator = None;
        let log = self.folder.join("operator.log");
        let kubeconfig = self.plane.kubeconfig_for_service_account(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT).await.unwrap();
        let mut command = operator_command();
        command
            .args(["run", "--end-with", "--end-with-delay=2s"])
            .args(flags)
            .env("KUBECONFIG", kubeconfig)
            .env("AWS_ENDPOINT_URL", self.athena.url())
            .envs(aws_environment())
            .envs(BRISK)
            .env("ATHENA_OPERATOR_LOG_FORMAT", "pretty")
            .stderr(File::create(&log).unwrap());
        self.operator = Some(Operator::spawn(command));
        let read = || fs::read_to_string(&log).unwrap_or_default();
        let address = eventually("the operator watches", || async {
            let log = read();
            let (_, address) = log.split_once("serving metrics and probes\" address=")?;
            log.contains("watching AthenaSessions")
                .then(|| address.split_whitespace().next().unwrap_or_default().to_owned())
        })
        .await;
        self.must(&format!("export OPERATOR=http://{address}")).await;
    }

    /// The end of the operator's log, for a failure.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.join("operator.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    pub async fn end(self) {
        drop((self.shell, self.operator));
        self.plane.stop().await;
    }
}

/// The sessions of the playground (tests/demo/stage.rs), and a work group for the example of Spark 3.5.
async fn athena() -> FakeAthena {
    let mut work_groups: Vec<_> = ["primary", "spark-team-a", "spark-team-b"].map(WorkGroup::named).into();
    work_groups.push(WorkGroup::with_engine("spark-3-5-team-a", SPARK_3_5));
    let config = Config {
        creating: Some(Duration::from_millis(200)),
        terminating: Some(Duration::from_secs(2)),
        work_groups,
        ..Config::default()
    };
    let athena = FakeAthena::start(config).await.unwrap();
    for (id, work_group, state, hours, description) in [
        ("11111111-2222-4333-8444-555555555555", "spark-team-a", "IDLE", 19, "notebook of somebody on holiday"),
        ("22222222-3333-4444-8555-666666666666", "spark-team-a", "BUSY", 3, "weekly report"),
        ("33333333-4444-4555-8666-777777777777", "spark-team-b", "IDLE", 5, "sandbox that all share"),
        ("55555555-6666-4777-8888-999999999999", "spark-team-a", "IDLE", 1, "notebook of a tenant, team-a"),
        ("44444444-5555-4666-8777-888888888888", "spark-team-a", "IDLE", 2, "nobody's manifest names it"),
    ] {
        athena.add_session(NewSession {
            id: Some(id.to_owned()),
            work_group: Some(work_group.to_owned()),
            state: state.to_owned(),
            age: Duration::from_secs(hours * 3600),
            description: Some(description.to_owned()),
            ..NewSession::default()
        });
    }
    athena
}

/// The programs that commands find first.
fn write_programs(bin: &Path, log: &Path) {
    let kubectl = control_plane::kubectl().unwrap();
    let words = std::iter::once(kubectl.get_program()).chain(kubectl.get_args());
    let kubectl = words.map(|word| format!("'{}'", word.display())).collect::<Vec<_>>().join(" ");
    let log = log.display();
    // There are no nodes, so no Pod of the operator has a log.
    let kubectl =
        format!("case \" $* \" in *' logs '*athena-session-operator*) exec cat '{log}';; esac\nexec {kubectl} \"$@\"");
    let operator = format!("exec '{}' \"$@\"", env!("CARGO_BIN_EXE_athena-session-operator"));
    // What a node would have said when the Job's Pods have succeeded.
    let complete_job = r#"now=$(date -u +%FT%TZ)
is='"status": "True", "lastProbeTime": "'$now'", "lastTransitionTime": "'$now'"'
conditions='[{"type": "SuccessCriteriaMet", '$is'}, {"type": "Complete", '$is'}]'
exec kubectl patch job "$2" -n "$1" --subresource=status --type=merge \
  -p '{"status": {"startTime": "'$now'", "completionTime": "'$now'", "succeeded": 1, "conditions": '"$conditions"'}}'"#;
    for (name, script) in
        [("kubectl", kubectl.as_str()), ("athena-session-operator", operator.as_str()), ("complete-job", complete_job)]
    {
        let file = bin.join(name);
        fs::write(&file, format!("#!/bin/bash\n{script}\n")).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
