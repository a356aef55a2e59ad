//! The command line.

use std::process::ExitCode;

use athena_session_operator::api;
use athena_session_operator::config::{Cli, Command};
use athena_session_operator::{run, telemetry};
use clap::Parser;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Crds => crds(),
        Command::Run(options) => {
            telemetry::start(options.log_format);
            start(options)
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

fn crds() -> Result<(), String> {
    let yaml = serde_saphyr::to_string(&api::crd()).map_err(|error| error.to_string())?;
    print!("{yaml}");
    Ok(())
}

#[tokio::main]
async fn start(options: athena_session_operator::config::Run) -> Result<(), String> {
    run::run(options).await.map_err(|error| error.to_string())
}
