//! `make bench`: what many objects cost. The release build of the operator works against the real control
//! plane and the fake Athena, and each figure stands beside its target. docs/performance.md says how to
//! read it.

mod athena;
mod attack;
mod chart;
mod cleanup;
mod figure;
mod objects;
mod operator;
#[path = "../shared/process.rs"]
mod process;
mod procfs;
mod progress;
mod requests;
mod results;
mod run;
mod scenario;
mod stage;
mod table;
mod watched;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use process::{asked_to_stop, beside_this};
use progress::Progress;
use results::Report;
use scenario::{Kind, Scenario};
use stage::Stage;

/// What goes wrong is said in one line.
type Outcome<T = ()> = Result<T, String>;

/// Measures the operator with many objects, against a real Kubernetes API server and a fake Athena.
#[derive(Parser)]
struct Arguments {
    /// Runs only this scenario; may be repeated: deleted-N, default-N, quota-N, found-N, idle-N, flips-N, cleanup-N or
    /// attack-KIND-N, for N objects [default: deleted-1000, deleted-10000, default-1000, quota-300, found-600, idle-10000, flips-10000,
    /// cleanup-10000]
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<Scenario>,
    /// Where bench.json, bench.svg and the operator's logs go
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
    /// The operator [default: the one that is built beside this program]
    #[arg(long, value_name = "PROGRAM")]
    operator: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = tokio::select! {
        ended = bench(&arguments) => ended,
        // What was started is dropped, and so ends.
        () = asked_to_stop() => Err("interrupted".to_owned()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// A missed target is no failure: the machine may have had other work.
async fn bench(arguments: &Arguments) -> Outcome {
    let mut scenarios = if arguments.only.is_empty() { Scenario::usual() } else { arguments.only.clone() };
    // Those of clean-up first: the bench measures its own memory there, and would count what other scenarios leave behind.
    scenarios.sort_by_key(|scenario| scenario.kind != Kind::Cleanup);
    let program = match &arguments.operator {
        Some(program) => program.clone(),
        None => beside_this("athena-session-operator", "make bench")?,
    };
    let out = &arguments.out;
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let progress = Progress::new();
    progress.phase("starting a Kubernetes control plane");
    let stage = Stage::start(&program, out).await?;
    let mut report = Report::new(stage.operator_version());
    let mut failed = vec![];
    for scenario in scenarios {
        let played = match scenario.kind {
            Kind::Attack(attack) => {
                attack.run(scenario, &stage, &progress).await.map(|figures| report.figures.extend(figures))
            }
            Kind::Cleanup => {
                progress.phase(&format!("{scenario}: rules are applied to {} sessions", scenario.objects));
                cleanup::measure(scenario).map(|figures| report.figures.extend(figures))
            }
            _ => run::run(scenario, &stage, &progress).await.map(|results| report.add(results)),
        };
        match played {
            Ok(()) => {}
            // The others may work, and what they cost is worth knowing.
            Err(problem) => failed.push(format!("{scenario}: {problem}")),
        }
    }
    progress.end();
    stage.stop().await;
    table::print(&report);
    let write = |name: &str, content: &str| {
        let path = out.join(name);
        fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))
    };
    write("bench.json", &report.to_json()?)?;
    write("bench.svg", &chart::draw(&report)?)?;
    eprintln!("{0}/bench.json and {0}/bench.svg are written", out.display());
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}
