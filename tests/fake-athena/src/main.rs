//! The command `fake-athena`: prints its URL on stdout, logs each call on stderr, stops on a signal.

use std::{collections::BTreeMap, io::Write as _, process::ExitCode, time::Duration};

use clap::Parser;
use fake_athena::{Config, FakeAthena, NotFound, Quota, WorkGroup, duration};
use jiff::SignedDuration;
use tokio::signal::unix::{SignalKind, signal};

/// A fake Amazon Athena on 127.0.0.1, for tests. Durations read like 500ms, 2s or 1h30m.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// The port; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The Region of callers that name none
    #[arg(long, default_value = "eu-west-1")]
    region: String,
    /// The account of access keys that AssumeRole didn't hand out
    #[arg(long, default_value = "123456789012")]
    account: String,
    /// A work group that exists; may be repeated [default: primary, spark-team-a, spark-team-b]
    #[arg(long = "work-group", value_name = "NAME")]
    work_groups: Vec<String>,
    /// How long a session is CREATING, or `never` to leave it there
    #[arg(long, value_parser = delay, default_value = "500ms")]
    creating: Delay,
    /// How long a session is CREATED
    #[arg(long, value_parser = duration::parse, default_value = "0s")]
    created: Duration,
    /// What a start leads to
    #[arg(long, value_name = "STATE", default_value = "IDLE")]
    start_ends_in: String,
    /// How long a session is TERMINATING, or `never` to leave it there
    #[arg(long, value_parser = delay, default_value = "500ms")]
    terminating: Delay,
    /// What an end leads to
    #[arg(long, value_name = "STATE", default_value = "TERMINATED")]
    terminate_ends_in: String,
    /// How long each calculation runs
    #[arg(long, value_parser = duration::parse, default_value = "1s")]
    calculation: Duration,
    /// How long each call takes
    #[arg(long, value_parser = duration::parse, default_value = "0s")]
    latency: Duration,
    /// How many TERMINATED sessions the first work group starts with
    #[arg(long, value_name = "SESSIONS", default_value_t = 0)]
    history: usize,
    /// A rate, such as TerminateSession=5/10 (5 a second, 10 at once) or *=20/40; may be repeated
    #[arg(long = "quota", value_parser = quota, value_name = "OPERATION=RATE/BURST")]
    quotas: Vec<(String, Quota)>,
    /// How far ListSessions lags behind
    #[arg(long, value_parser = duration::parse, default_value = "0s")]
    list_lag: Duration,
    /// The error that an unknown session id earns
    #[arg(long, value_enum, default_value = "invalid-request")]
    not_found: NotFound,
    /// How far the clock is ahead of the real one; may be negative
    #[arg(long, value_parser = duration::parse_signed, default_value = "0s", allow_hyphen_values = true)]
    skew: SignedDuration,
    /// Stops when stdin ends, so that it can't outlive the one that started it
    #[arg(long)]
    exit_with_stdin: bool,
}

/// A named type, since clap takes a bare `Option` for "this flag may be left out".
type Delay = Option<Duration>;

fn delay(text: &str) -> Result<Delay, String> {
    match text {
        "never" => Ok(None),
        text => duration::parse(text).map(Some),
    }
}

fn quota(text: &str) -> Result<(String, Quota), String> {
    let (operation, quota) = text
        .split_once('=')
        .ok_or_else(|| format!("not OPERATION=RATE/BURST, such as TerminateSession=5/10: {text}"))?;
    Ok((operation.to_owned(), quota.parse()?))
}

impl From<Options> for Config {
    fn from(options: Options) -> Self {
        let defaults = Config::default();
        let work_groups = if options.work_groups.is_empty() {
            defaults.work_groups
        } else {
            options.work_groups.into_iter().map(WorkGroup::named).collect()
        };
        Config {
            port: options.port,
            region: options.region,
            account: options.account,
            work_groups,
            creating: options.creating,
            created: options.created,
            start_ends_in: options.start_ends_in,
            terminating: options.terminating,
            terminate_ends_in: options.terminate_ends_in,
            calculation: options.calculation,
            latency: options.latency,
            history: options.history,
            quotas: BTreeMap::from_iter(options.quotas),
            list_lag: options.list_lag,
            not_found: options.not_found,
            skew: options.skew,
            ..defaults
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fake-athena: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> std::io::Result<()> {
    let exit_with_stdin = options.exit_with_stdin;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let athena = FakeAthena::start(options.into()).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", athena.url())?;
    stdout.flush()?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = end_of_stdin(), if exit_with_stdin => {}
    }
    Ok(())
}

async fn end_of_stdin() {
    let (ended, end) = tokio::sync::oneshot::channel();
    // Not tokio's stdin: its blocked read would keep the process alive after a signal.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}
