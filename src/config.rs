//! The command line: each flag, its environment variable, default and unit.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use strsim::sorensen_dice;

use crate::athena::quota::Rate;
use crate::cleanup_command;
use crate::index::access::Rules;
use crate::text;
use crate::timing::Timing;

/// Where to read on, by the paths of the source.
const DOCS: &str = "Documentation: README.md, which leads to all pages. docs/installation.md: how to install it. \
                    docs/reference/settings.md: all settings. docs/operations/troubleshooting.md: what to do when something \
                    hangs.";

/// A Kubernetes operator that starts and ends Amazon Athena for Apache Spark sessions, one for each AthenaSession
/// object, and waits until Athena says that they have ended.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = DOCS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads the command line and the environment. On invalid input, prints one line that says why, and ends the
    /// program.
    pub(crate) fn read() -> Self {
        let cli = Self::try_parse().unwrap_or_else(|error| {
            let _ = error.print();
            let is_cleanup = std::env::args_os().nth(1).is_some_and(|command| command == "cleanup");
            // Where `cleanup` exits with 2, rules match.
            std::process::exit(if is_cleanup { error.exit_code().min(1) } else { error.exit_code() })
        });
        if let Command::Run(run) = &cli.command
            && let Some(wrong) = unknown_variable(&environment()).or_else(|| run.contradiction())
        {
            clap::Error::raw(ErrorKind::ValueValidation, format!("{wrong}\n")).exit();
        }
        cli
    }
}

fn environment() -> BTreeSet<String> {
    std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect()
}

/// What the environment variable of each flag begins with.
const PREFIX: &str = "ATHENA_OPERATOR_";

/// The error where an environment variable begins with [`PREFIX`] and no flag reads it. Such a variable is a typing
/// mistake. An operator that ignored it might end sessions although somebody meant to forbid that, by
/// `ATHENA_OPERATOR_READONLY`, say.
fn unknown_variable(environment: &BTreeSet<String>) -> Option<String> {
    let mut command = Cli::command();
    command.build();
    let run = command.find_subcommand("run")?;
    let known: Vec<_> = run.get_arguments().filter_map(|flag| flag.get_env()?.to_str()).collect();
    let is_meant = |name: &&String| name.to_ascii_uppercase().starts_with(PREFIX) && !is_of_service(name, environment);
    let unknown = environment.iter().filter(is_meant).find(|name| !known.contains(&name.as_str()))?;
    let likeness = |known: &str| sorensen_dice(&unknown[PREFIX.len()..].to_ascii_uppercase(), &known[PREFIX.len()..]);
    let nearest = known.iter().max_by(|one, two| likeness(one).total_cmp(&likeness(two)))?;
    let advice = if likeness(nearest) > 0.4 {
        format!("remove it, or write {nearest} if you mean that one")
    } else {
        "remove it; `athena-session-operator run --help` shows those that are read".to_owned()
    };
    Some(format!("no flag reads the environment variable {unknown}: {advice}"))
}

/// Whether the kubelet sets this variable. It sets some for each Service in the Pod's namespace: for a Service called
/// athena-operator ATHENA_OPERATOR_SERVICE_HOST and ATHENA_OPERATOR_PORT, among others.
fn is_of_service(name: &str, environment: &BTreeSet<String>) -> bool {
    let services = environment.iter().filter_map(|name| name.strip_suffix("_SERVICE_HOST"));
    let mut rests = services.filter_map(|service| name.strip_prefix(service));
    rests.any(|rest| rest == "_PORT" || rest.starts_with("_PORT_") || rest.starts_with("_SERVICE_"))
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the operator until SIGTERM or Ctrl-C.
    ///
    /// The cluster comes from KUBECONFIG or ~/.kube/config, or from the Pod that it runs in. AWS
    /// credentials and Region come from the default chain of the AWS SDKs (AWS_REGION, AWS_PROFILE,
    /// AWS_ENDPOINT_URL_ATHENA, web identity, Pod Identity, …).
    #[command(after_help = DOCS)]
    Run(Box<Run>),
    /// Ends the sessions of a work group that rules match and no AthenaSession declares; a dry run without --enforce.
    ///
    /// The rules are those of spec.cleanup of an AthenaWorkGroup. AWS credentials and Region come from the default
    /// chain of the AWS SDKs. Exit code 0: no rule matches, or all matched sessions have ended. 2: a dry run, and
    /// rules match. 1: the command failed, or a matched session is left.
    Cleanup(Box<cleanup_command::Options>),
    /// Prints the CustomResourceDefinitions as YAML, for `kubectl apply -f -`.
    Crds,
}

/// The flags of `run`. Durations are written as Go writes them: 90s, 1m30s, 500ms. The hidden flags are for tests.
#[derive(Clone, Debug, Args)]
pub(crate) struct Run {
    /// Watch only this namespace; may be given several times [default: all namespaces]
    #[arg(
        long = "watch-namespace",
        env = "ATHENA_OPERATOR_WATCH_NAMESPACE",
        value_name = "NAMESPACE",
        value_delimiter = ',',
        value_parser = namespace
    )]
    pub watch_namespaces: Vec<String>,

    /// Refuse AthenaSessions without spec.workGroupRef, which the operator reaches with its own AWS identity
    #[arg(long, env = "ATHENA_OPERATOR_REQUIRE_WORK_GROUP", value_parser = switch)]
    pub require_work_group: bool,

    /// Make no call that changes something in AWS; conditions and logs say what would be done
    #[arg(long, env = "ATHENA_OPERATOR_READ_ONLY", value_parser = switch)]
    pub read_only: bool,

    /// Calls a second of each Athena operation in each AWS account and Region; only calls that end sessions may exceed
    /// this rate
    #[arg(long, env = "ATHENA_OPERATOR_ATHENA_RATE", value_name = "CALLS", default_value_t = 5.0, value_parser = calls)]
    pub athena_rate: f64,

    /// The highest rate for calls that end sessions, in calls a second; it is reached while Athena throttles no call.
    /// With --athena-rate or less the rate doesn't grow
    #[arg(long, env = "ATHENA_OPERATOR_ATHENA_RATE_MAX", value_name = "CALLS", default_value_t = 100.0, value_parser = calls)]
    pub athena_rate_max: f64,

    /// Calls of one operation at once, after a while without any
    #[arg(long, env = "ATHENA_OPERATOR_ATHENA_BURST", value_name = "CALLS", default_value_t = 10.0, value_parser = calls)]
    pub athena_burst: f64,

    /// Where /metrics, /livez and /readyz are served; port 0 takes a free one
    #[arg(long, env = "ATHENA_OPERATOR_HTTP_ADDRESS", value_name = "ADDRESS", default_value = "0.0.0.0:8080", value_parser = address)]
    pub http_address: SocketAddr,

    /// How log lines look, on stderr; RUST_LOG says which are written
    #[arg(long, env = "ATHENA_OPERATOR_LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty)]
    pub log_format: LogFormat,

    /// Watch Jobs and Pods, and end sessions with those that spec.endWith names
    #[arg(long, env = "ATHENA_OPERATOR_END_WITH", value_parser = switch)]
    pub end_with: bool,

    /// The time from the end of the last workload of spec.endWith until the session is ended
    #[arg(long, env = "ATHENA_OPERATOR_END_WITH_DELAY", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub end_with_delay: Duration,

    /// The time between two looks at a session that isn't changing, and between retries that need a person
    #[arg(long, env = "ATHENA_OPERATOR_POLL_INTERVAL", value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub poll_interval: Duration,

    /// The time between two looks at a session that is starting or ending
    #[arg(long, env = "ATHENA_OPERATOR_POLL_INTERVAL_CHANGING", value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub poll_interval_changing: Duration,

    /// How long after an accepted TerminateSession without effect the call is repeated
    #[arg(hide = true, long, env = "ATHENA_OPERATOR_TERMINATE_AGAIN_AFTER", value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub terminate_again_after: Duration,

    /// The time from the first sign that an end is under way until it is reported as TerminationOverdue
    #[arg(long, env = "ATHENA_OPERATOR_TERMINATION_OVERDUE_AFTER", value_name = "DURATION", default_value = "15m", value_parser = duration)]
    pub termination_overdue_after: Duration,

    /// The least time between the two answers that prove that a session once seen doesn't exist any more
    #[arg(hide = true, long, env = "ATHENA_OPERATOR_CONFIRM_ABSENCE_AFTER", value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub confirm_absence_after: Duration,

    /// The first wait after a failure of Athena or of the API server; each further failure doubles the wait
    #[arg(hide = true, long, env = "ATHENA_OPERATOR_BACKOFF_MIN", value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub backoff_min: Duration,

    /// The longest wait after a failure of Athena or of the API server
    #[arg(hide = true, long, env = "ATHENA_OPERATOR_BACKOFF_MAX", value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub backoff_max: Duration,

    /// The deadline of each call to AWS
    #[arg(long, env = "ATHENA_OPERATOR_AWS_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub aws_timeout: Duration,

    /// The deadline of each request to the Kubernetes API server, except watches
    #[arg(hide = true, long, env = "ATHENA_OPERATOR_KUBERNETES_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub kubernetes_timeout: Duration,

    /// How long each watch lives, in whole seconds. Then it is renewed; a connection that stays silent longer is closed
    #[arg(hide = true, long, env = "ATHENA_OPERATOR_WATCH_TIMEOUT", value_name = "DURATION", default_value = "60s", value_parser = seconds)]
    pub watch_timeout: Duration,
}

impl Run {
    /// The namespaces to watch, each once; None means all of them. Several names that are all empty mean none of them:
    /// a comma too many must not mean all namespaces.
    pub(crate) fn namespaces(&self) -> Option<BTreeSet<&str>> {
        let named = self.watch_namespaces.iter().map(String::as_str).filter(|name| !name.is_empty());
        // A single empty name counts as none given: a manifest may set the variable to nothing.
        let is_unset = self.watch_namespaces.iter().all(String::is_empty) && self.watch_namespaces.len() < 2;
        (!is_unset).then(|| named.collect())
    }

    fn contradiction(&self) -> Option<String> {
        let (min, max) = (self.backoff_min, self.backoff_max);
        if self.namespaces().is_some_and(|names| names.is_empty()) {
            return Some(
                "--watch-namespace has only empty names: name a namespace, or leave it out to watch all".to_owned(),
            );
        }
        (min > max).then(|| {
            format!(
                "--backoff-min ({}) is longer than --backoff-max ({}): make --backoff-min shorter, or --backoff-max longer",
                text::duration(min),
                text::duration(max)
            )
        })
    }

    pub(crate) fn rate(&self) -> Rate {
        Rate { per_second: self.athena_rate, most: self.athena_rate_max, burst: self.athena_burst }
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules { require_work_group: self.require_work_group, read_only: self.read_only }
    }

    pub(crate) fn timing(&self) -> Timing {
        Timing {
            changing: self.poll_interval_changing,
            steady: self.poll_interval,
            confirm_absence: self.confirm_absence_after,
            terminate_again: self.terminate_again_after,
            overdue: self.termination_overdue_after,
            backoff_min: self.backoff_min,
            backoff_max: self.backoff_max,
            call_deadline: self.aws_timeout,
            end_with: self.end_with.then_some(self.end_with_delay),
        }
    }
}

fn namespace(text: &str) -> Result<String, String> {
    let name = text.trim();
    let is_possible = name.is_empty() || is_label(name);
    let refused = || {
        format!(
            "{name:?} can't be the name of a namespace, which has lower-case letters, digits and hyphens, 63 at the most"
        )
    };
    is_possible.then(|| name.to_owned()).ok_or_else(refused)
}

/// Whether it is a DNS label (RFC 1123), as the name of each namespace is.
fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 63 && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines of key=value (logfmt).
    Pretty,
    /// One JSON object a line.
    Json,
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        // An empty variable, as a manifest may set it, is none.
        "false" | "" => Ok(false),
        _ => Err(format!("write true or false, not {text:?}")),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("write an IP address and a port, such as 0.0.0.0:8080 or [::]:8080, not {text:?}"))
}

fn calls(text: &str) -> Result<f64, String> {
    let refused = || format!("write a number of calls from 0.01 to 1000000, such as 5, not {text:?}");
    let calls: f64 = text.parse().map_err(|_| refused())?;
    if (0.01..=1e6).contains(&calls) { Ok(calls) } else { Err(refused()) }
}

/// A year: a clock can't count on for ever.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

fn duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("write a duration above zero and up to 8760h, such as 90s, 1m30s or 500ms, not {text:?}");
    // Longer numbers could overflow, where kube's parser panics.
    let parsed: kube::core::Duration =
        if text.len() > 16 { return Err(refused()) } else { text.parse().map_err(|_| refused())? };
    let duration = Duration::from(parsed);
    let is_usable = !parsed.is_negative() && !duration.is_zero() && duration <= LONGEST;
    if is_usable { Ok(duration) } else { Err(refused()) }
}

/// A duration in whole seconds, which is what the API server takes for the life of a watch.
fn seconds(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    let refused = || format!("write whole seconds, such as 60s or 5m, not {text:?}");
    if duration.subsec_nanos() == 0 { Ok(duration) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_flag_has_an_environment_variable_of_its_name() {
        let mut command = Cli::command();
        command.build();
        let run = command.find_subcommand("run").expect("there is a command run");
        for flag in run.get_arguments().filter(|flag| !["help", "version"].contains(&flag.get_id().as_str())) {
            let long = flag.get_long().expect("a long name");
            let variable = format!("ATHENA_OPERATOR_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(flag.get_env().and_then(|name| name.to_str()), Some(variable.as_str()));
        }
    }

    fn run(given: &str) -> Result<Run, clap::Error> {
        let cli = Cli::try_parse_from(["operator", "run", given])?;
        let Command::Run(run) = cli.command else { panic!("not run") };
        Ok(*run)
    }

    #[test]
    fn a_comma_too_many_never_means_all_namespaces() {
        let namespaces = |given: &str| {
            let run = run(&format!("--watch-namespace={given}")).expect("it is taken");
            run.namespaces().map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        let team_a = Some(vec!["team-a".to_owned()]);
        assert_eq!(namespaces("team-a,"), team_a);
        assert_eq!(namespaces("team-a, team-a"), team_a);
        assert_eq!(namespaces(""), None);
        assert_eq!(namespaces(","), Some(Vec::new()), "all namespaces are watched");
        assert!(run("--watch-namespace=,").is_ok_and(|run| run.contradiction().is_some()), "it isn't refused");
        for refused in ["Team_A", "../x", "-a"] {
            assert!(run(&format!("--watch-namespace={refused},")).is_err(), "{refused:?} was taken");
        }
    }

    #[test]
    fn the_life_of_a_watch_is_whole_seconds() {
        assert!(run("--watch-timeout=1m1s").is_ok());
        for refused in ["500ms", "1.5s"] {
            assert!(run(&format!("--watch-timeout={refused}")).is_err(), "{refused:?} was taken");
        }
    }

    #[test]
    fn a_variable_that_no_flag_has_is_refused_and_the_nearest_named() {
        let unknown = |names: &[&str]| unknown_variable(&names.iter().map(|name| (*name).to_owned()).collect());
        for (wrong, meant) in [
            ("READONLY", "READ_ONLY"),
            ("read_only", "READ_ONLY"),
            ("NAMESPACE", "WATCH_NAMESPACE"),
            ("WATCH_NAMESPACES", "WATCH_NAMESPACE"),
            ("REQUIRE_WORKGROUP", "REQUIRE_WORK_GROUP"),
            ("RATE", "ATHENA_RATE"),
            ("LOGFORMAT", "LOG_FORMAT"),
            ("ENDWITH", "END_WITH"),
            ("POLL_INTERVALL", "POLL_INTERVAL"),
        ] {
            let said = unknown(&["ATHENA_OPERATOR_END_WITH", &format!("ATHENA_OPERATOR_{wrong}")]);
            let said = said.unwrap_or_else(|| panic!("{wrong} was taken"));
            assert!(said.contains(wrong) && said.contains(&format!(", or write ATHENA_OPERATOR_{meant} if")), "{said}");
        }
        assert!(unknown(&["ATHENA_OPERATOR_"]).is_some());
        assert_eq!(unknown(&["ATHENA_OPERATOR_READ_ONLY", "ATHENA_OPERATORS", "PATH", "AWS_REGION"]), None);
    }

    /// Their values come from the kubelet.
    #[test]
    fn variables_of_a_service_called_athena_operator_are_let_be() {
        let refused = |names: &[&str]| {
            let names = names.iter().map(|name| format!("ATHENA_OPERATOR_{name}")).collect();
            unknown_variable(&names).is_some()
        };
        assert!(!refused(&["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP_ADDR"]));
        assert!(!refused(&["METRICS_SERVICE_HOST", "METRICS_PORT", "METRICS_PORT_8080_TCP"]));
        assert!(refused(&["HTTP_PORT"]), "no Service is called so");
        assert!(refused(&["SERVICE_HOST", "READONLY"]));
    }

    #[test]
    fn durations_are_gos_and_above_zero() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for refused in ["", "0", "0s", "-1s", "1d", "60", "soon", "8761h", "99999999999999999999h"] {
            assert!(duration(refused).is_err(), "{refused:?} was taken");
        }
    }
}
