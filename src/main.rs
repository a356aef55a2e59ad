//! The command line.

use std::io::Write;
use std::process::ExitCode;

use athena_session_operator::api::crds;
use athena_session_operator::config::{self, Cli, Command};
use athena_session_operator::{run, telemetry};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let outcome = match Cli::read().command {
        Command::Crds => print_crds(),
        Command::Run(options) => {
            telemetry::start(options.log_format);
            start(*options)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("athena-session-operator: {message}");
            ExitCode::FAILURE
        }
    }
}

fn print_crds() -> Result<(), String> {
    let documents: Result<Vec<_>, _> = crds::all().iter().map(serde_saphyr::to_string).collect();
    let yaml = documents.map_err(|error| error.to_string())?.join("---\n");
    std::io::stdout().write_all(yaml.as_bytes()).map_err(|error| format!("the CRDs can't be written: {error}"))
}

fn start(options: config::Run) -> Result<(), String> {
    // One thread: the work is waiting for others. More would cost switches and memory, and hide a loop that is stuck.
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(|error| format!("no threads to run on: {error}"))?;
    let outcome = runtime.block_on(run::run(options));
    // A name server that doesn't answer would hold up the end otherwise.
    runtime.shutdown_background();
    outcome.map_err(|error| error.to_string())
}
