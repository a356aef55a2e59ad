//! The operator as a process, and what it uses.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fake_athena::FakeAthena;
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::Outcome;
use crate::procfs::{Usage, descriptors, usage};
use crate::results::rounded;
use crate::stage::Stage;

const SAMPLE_EVERY: Duration = Duration::from_millis(250);
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// The answer of /metrics comes from memory.
const METRICS_WITHIN: Duration = Duration::from_secs(5);
const RATE_METRIC: &str = "athena_session_operator_athena_rate{";
/// So many calls a second are as good as no limit of the operator's own.
const UNLIMITED: u32 = 100_000;

/// What the operator used at a moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Since the operator's start.
    pub seconds: f64,
    pub rss_bytes: u64,
    /// Since the operator's start.
    pub cpu_seconds: f64,
}

/// A running operator; it is killed when this is dropped.
pub struct Operator {
    child: Child,
    pid: u32,
    log: PathBuf,
    has_metrics: bool,
    samples: Arc<Mutex<Vec<Sample>>>,
    sampler: JoinHandle<()>,
}

/// How an operator is started.
#[derive(Clone)]
pub struct Launch {
    /// What its log is called.
    pub name: String,
    /// Those that it watches; none: all.
    pub namespaces: Vec<String>,
    /// Where its Athena is.
    pub athena: String,
    /// It isn't told that Athena has no quotas.
    pub by_default: bool,
    /// More flags of `run`.
    pub arguments: Vec<String>,
    /// The most memory for data, in MiB (RLIMIT_DATA); none: as much as there is.
    pub data_limit: Option<u64>,
}

impl Launch {
    /// For one namespace and this Athena.
    pub fn of(namespace: &str, athena: &FakeAthena) -> Self {
        Self {
            name: namespace.to_owned(),
            namespaces: vec![namespace.to_owned()],
            athena: athena.url(),
            by_default: false,
            arguments: vec![],
            data_limit: None,
        }
    }

    /// The program, or a shell that becomes the program once the limit is set.
    fn command(&self, operator: &Path) -> Command {
        let Some(limit) = self.data_limit else { return Command::new(operator) };
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "ulimit -d \"$1\" && shift && exec \"$@\"", "sh"]);
        command.arg((limit * 1024).to_string()).arg(operator);
        command
    }
}

impl Operator {
    /// Starts it, and waits until it watches.
    pub async fn start(stage: &Stage, launch: &Launch) -> Outcome<Self> {
        let log = stage.out.join(format!("{}.log", launch.name));
        let stderr = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let has_metrics = stage.operator_knows("--http-address");
        let mut command = launch.command(&stage.operator);
        command.args(["run", "--log-format=json"]);
        if !launch.namespaces.is_empty() {
            command.args(["--watch-namespace", &launch.namespaces.join(",")]);
        }
        command.args(&launch.arguments);
        if !launch.by_default && stage.operator_knows("--athena-rate") {
            command.arg(format!("--athena-rate={UNLIMITED}")).arg(format!("--athena-burst={UNLIMITED}"));
        }
        if has_metrics {
            command.arg("--http-address=127.0.0.1:0");
        }
        // Nothing of this machine's own AWS settings: this must reach no real account.
        let child = command
            .env_clear()
            .env("KUBECONFIG", &stage.kubeconfig)
            .env("AWS_ENDPOINT_URL", &launch.athena)
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "bench")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", stage.operator.display()))?;
        let pid = child.id().ok_or("the operator has no process id")?;
        let samples = Arc::default();
        let sampler = tokio::spawn(sample(pid, Arc::clone(&samples)));
        let mut operator = Self { child, pid, log, has_metrics, samples, sampler };
        let started = Instant::now();
        while operator.logged("watching AthenaSessions").is_none() {
            operator.check()?;
            if started.elapsed() > STARTS_WITHIN {
                return Err(format!("the operator watches nothing after {STARTS_WITHIN:?}; see its log"));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(operator)
    }

    /// An error where it has ended.
    pub fn check(&mut self) -> Outcome {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                Err(format!("the operator has ended ({status}): {}", log.lines().last().unwrap_or("it said nothing")))
            }
            Err(error) => Err(format!("the operator: {error}")),
        }
    }

    /// What it has used so far.
    pub fn usage(&self) -> Outcome<Usage> {
        usage(self.pid)
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> Outcome<usize> {
        descriptors(self.pid)
    }

    /// Whether `/livez` answers within a second, as kubelets ask it to.
    pub async fn is_live(&self) -> Outcome<bool> {
        let answer = timeout(Duration::from_secs(1), get(&self.address()?, "/livez")).await;
        Ok(matches!(answer, Ok(Ok(page)) if !page.is_empty() && !page.contains("[-]")))
    }

    /// What it used over time.
    pub fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its own metrics, by name and labels, without the buckets of histograms; none where it has no such page.
    pub async fn metrics(&self) -> Outcome<Option<BTreeMap<String, f64>>> {
        if !self.has_metrics {
            return Ok(None);
        }
        let address = self.address()?;
        let page = timeout(METRICS_WITHIN, get(&address, "/metrics")).await;
        let page = page.map_err(|_| format!("no metrics within {METRICS_WITHIN:?}"))?;
        Ok(Some(parse(&page.map_err(|error| format!("the operator's metrics: {error}"))?)))
    }

    /// Follows, from now on, how many ends a second it allows itself.
    pub fn follow_rate(&self) -> Outcome<Followed> {
        let address = if self.has_metrics { Some(self.address()?) } else { None };
        let rates = Arc::default();
        let follower = tokio::spawn(follow(address, Arc::clone(&rates)));
        Ok(Followed { rates, follower })
    }

    fn address(&self) -> Outcome<String> {
        let line = self.logged("serving metrics and probes");
        let address = line.and_then(|line| line["address"].as_str().map(str::to_owned));
        address.ok_or_else(|| "the operator doesn't say where its metrics are".to_owned())
    }

    /// The first line of its log with this message.
    fn logged(&self, message: &str) -> Option<Value> {
        let log = fs::read_to_string(&self.log).ok()?;
        let mut lines = log.lines().filter(|line| line.contains(message));
        lines.find_map(|line| serde_json::from_str(line).ok().filter(|line: &Value| line["message"] == message))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.sampler.abort();
    }
}

/// A rate that is followed until this is dropped.
pub struct Followed {
    rates: Arc<Mutex<Vec<(f64, f64)>>>,
    follower: JoinHandle<()>,
}

impl Followed {
    /// What it was, after so many seconds.
    pub fn so_far(&self) -> Vec<(f64, f64)> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

async fn follow(address: Option<String>, rates: Arc<Mutex<Vec<(f64, f64)>>>) {
    let Some(address) = address else { return };
    let started = Instant::now();
    loop {
        if let Ok(Ok(page)) = timeout(METRICS_WITHIN, get(&address, "/metrics")).await {
            let is_meant = |name: &str| name.starts_with(RATE_METRIC) && name.contains("\"TerminateSession\"");
            let rate = parse(&page).into_iter().find(|(name, _)| is_meant(name));
            let now = rounded(started.elapsed().as_secs_f64());
            rates.lock().unwrap_or_else(PoisonError::into_inner).extend(rate.map(|(_, rate)| (now, rate)));
        }
        sleep(SAMPLE_EVERY).await;
    }
}

async fn sample(pid: u32, samples: Arc<Mutex<Vec<Sample>>>) {
    let started = Instant::now();
    while let Ok(now) = usage(pid) {
        let seconds = rounded(started.elapsed().as_secs_f64());
        let sample = Sample { seconds, rss_bytes: now.rss, cpu_seconds: rounded(now.cpu) };
        samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        sleep(SAMPLE_EVERY).await;
    }
}

/// The body of a page, by HTTP/1.0, which has no chunks.
async fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Prometheus' text format.
fn parse(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            let is_bucket = name.split('{').next().is_some_and(|name| name.ends_with("_bucket"));
            Some((name.to_owned(), value.parse().ok()?)).filter(|_| !is_bucket)
        })
        .collect()
}
