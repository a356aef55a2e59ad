//! Builds the control plane ahead of time, or runs one until it is told to end.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use control_plane::{ControlPlane, Error, Options};
use tokio::signal::unix::{SignalKind, signal};

/// A real Kubernetes control plane on loopback.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds its program unless it is built already, and prints its path.
    Build,
    /// Runs one until Ctrl-C. Prints the shell variable KUBECONFIG first.
    Run,
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Build => control_plane::program().map(|program| println!("{}", program.display())),
        Command::Run => run().await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    // Before the signals are taken: as long as it builds they end this process at once.
    control_plane::program()?;
    let signal = |kind| signal(kind).map_err(|error| Error::Io("a signal".to_owned(), error));
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let control_plane = tokio::select! {
        started = ControlPlane::start(Options::default()) => started?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    println!("export KUBECONFIG='{}'", control_plane.admin_kubeconfig().display());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    control_plane.stop().await;
    Ok(())
}
