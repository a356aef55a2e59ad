//! The flags of `cleanup`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};

/// The flags of `cleanup`.
#[derive(Clone, Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["work_group", "filename"])))]
pub struct Options {
    /// The work group, by its name in Athena; it needs --rules
    #[arg(long, value_name = "NAME", requires = "rules")]
    pub work_group: Option<String>,

    /// A YAML file with the rules, written as spec.cleanup of an AthenaWorkGroup
    #[arg(long, value_name = "FILE", requires = "work_group", conflicts_with = "filename")]
    pub rules: Option<PathBuf>,

    /// The manifest of an AthenaWorkGroup: its work group, Region, role and rules
    #[arg(short = 'f', long, value_name = "FILE")]
    pub filename: Option<PathBuf>,

    /// End the sessions; without this flag nothing is ended
    #[arg(long)]
    pub enforce: bool,

    /// With --enforce: don't ask before the sessions are ended
    #[arg(short = 'y', long)]
    pub yes: bool,

    /// How the result is printed
    #[arg(short = 'o', long, value_enum, default_value_t = Output::Table)]
    pub output: Output,

    /// The kubeconfig of the cluster whose AthenaSessions declare sessions [default: as kubectl finds it; without any, no
    /// cluster is asked, and --enforce may end sessions that AthenaSessions name]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Between the two lists that must both show a session
    #[arg(hide = true, long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub between_lists: Duration,
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A line for each session, as kubectl prints objects.
    Table,
    /// One JSON object.
    Json,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| format!("write a number of seconds, not {text:?}"))
}
