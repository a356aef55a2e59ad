//! Runs the commands of each page, in the order of the page, and compares what they print with what the page shows.
//!
//! A block ```console has commands, which begin with `$ ` and go on after a `\`, and below each one what it prints. A command that
//! only reads is repeated until it prints that. A command that shows nothing must succeed, and its output isn't compared.
//! CONTRIBUTING.md has more.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::compare::is_as_shown;
use super::pages::{self, Block, Page, Part};
use super::shell::Answer;
use super::stage::{Begin, Stage};

macro_rules! pages {
    ($($name:ident: $path:literal $(begins $begin:ident)?;)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                // Most pages say nothing about it.
                let [begin, ..] = [$(Begin::$begin,)? Begin::Installed];
                run(stringify!($name), $path, begin).await;
            }
        )+

        const PAGES: &[&str] = &[$($path),+];
    };
}

// Each page with commands, by name and path.
pages! {
    readme: "README.md";
    adopt: "docs/tasks/adopt.md";
    athenasession: "docs/reference/athenasession.md";
    cleanup: "docs/cleanup.md";
    first_week: "docs/first-week.md";
    gitops: "docs/tasks/gitops.md";
    installation: "docs/installation.md" begins Empty;
    jobs_and_pods: "docs/tasks/jobs-and-pods.md";
    limits: "docs/tasks/limits.md";
    logs_and_audit: "docs/operations/logs-and-audit.md";
    monitoring: "docs/operations/monitoring.md";
    start: "docs/tasks/start.md";
    tenants: "docs/tasks/tenants.md";
    troubleshooting: "docs/operations/troubleshooting.md";
    uninstall: "docs/operations/uninstall.md";
}

#[test]
fn each_page_with_commands_is_run() {
    let has_commands = |page: &Page| page.blocks().any(|block| block.language == "console");
    let pages: BTreeSet<_> = pages::for_users().into_iter().filter(has_commands).map(|page| page.path).collect();
    let run: BTreeSet<_> = PAGES.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(pages, run, "`pages!` of tests/operator/docs/run.rs must list these pages (left) and no others");
}

struct Shown {
    line: usize,
    command: String,
    output: String,
}

/// The commands of a block, each with what the page shows below it.
fn commands(block: &Block) -> Vec<Shown> {
    let mut commands: Vec<Shown> = Vec::new();
    for (line, number) in block.text.lines().zip(block.line..) {
        let is_continued = |shown: &&mut Shown| shown.output.is_empty() && shown.command.ends_with('\\');
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push(Shown { line: number, command: command.to_owned(), output: String::new() });
        } else if let Some(shown) = commands.last_mut().filter(is_continued) {
            shown.command += "\n";
            shown.command += line.strip_prefix("> ").unwrap_or(line);
        } else if let Some(shown) = commands.last_mut() {
            shown.output += line;
            shown.output += "\n";
        } else {
            panic!("line {number}: a block of commands begins with `$ `, not with {line}");
        }
    }
    commands
}

async fn run(name: &str, path: &str, begin: Begin) {
    let page = Page::at(path);
    let mut stage = Stage::new(name, begin).await;
    let mut manifest = "";
    for part in &page.parts {
        match part {
            Part::Hidden(step) => match step.text.strip_prefix("save ") {
                Some(file) => stage.save(file, manifest),
                None => stage.run_hidden(&step.text).await,
            },
            Part::Code(block) if block.language == "yaml" => manifest = &block.text,
            Part::Code(block) if block.language == "console" => {
                for shown in commands(block) {
                    if let Err(problem) = follow(&mut stage, &shown).await {
                        let log = stage.log();
                        panic!("{path}:{}: {}\n{problem}\n--- the operator's log:\n{log}", shown.line, shown.command);
                    }
                }
            }
            _ => {}
        }
    }
    stage.end().await;
}

/// Runs a command, and repeats it if that is harmless, until it does what the page shows.
async fn follow(stage: &mut Stage, shown: &Shown) -> Result<(), String> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let begun = Instant::now();
    loop {
        let answer = stage.run(&shown.command).await;
        let Err(problem) = judge(shown, &answer) else { return Ok(()) };
        let may_repeat = !shown.output.is_empty() && only_reads(&shown.command);
        if !may_repeat || begun.elapsed() > PATIENCE {
            return Err(problem);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn judge(shown: &Shown, answer: &Answer) -> Result<(), String> {
    let first = shown.output.lines().next().unwrap_or_default();
    let is_refusal = first.starts_with("Error") || first.starts_with("error:") || first.contains(" is invalid");
    if answer.is_success == is_refusal {
        let did = if answer.is_success { "succeeded, where the page shows an error" } else { "failed" };
        return Err(format!("it {did}, and printed:\n{}", answer.printed));
    }
    if !shown.output.is_empty() && !is_as_shown(&shown.output, &answer.printed) {
        return Err(format!("--- the page shows:\n{}\n--- it printed:\n{}", shown.output, answer.printed));
    }
    Ok(())
}

/// Whether a command may be repeated.
fn only_reads(command: &str) -> bool {
    const READS: [&str; 8] = ["get", "describe", "events", "explain", "auth", "logs", "api-resources", "wait"];
    let command = command.trim_start();
    let of_kubectl = command.strip_prefix("kubectl ").is_some_and(|rest| {
        READS.iter().any(|verb| rest.strip_prefix(verb).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
    });
    let of_curl = command.starts_with("curl ") && !command.contains("--data") && !command.contains(" -X");
    let has_one_command =
        !["&&", ";", "xargs", "kubectl delete", "kubectl apply"].iter().any(|it| command.contains(it));
    (of_kubectl || of_curl) && has_one_command
}
