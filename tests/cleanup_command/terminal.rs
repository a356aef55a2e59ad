//! The command on a terminal: a progress bar, colours, and the question of `--enforce`. In a pipe there is none of them.

use std::process::Stdio;
use std::time::Duration;

use fake_athena::Fault;
use pty_process::{Command, Size};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::{RULES, World};

const PATIENCE: Duration = Duration::from_secs(60);
/// What the bar shows while tags are read.
const BAR: &str = "Reading tags [";
const YELLOW: &str = "\u{1b}[33m";
const QUESTION: &str = "End 1 of 1 sessions of spark-team-a, account 123456789012, Region eu-west-1? [y/N] ";
const END_OF_INPUT: &str = "\u{4}";

/// What a run did that had a terminal.
struct Run {
    code: i32,
    /// What the terminal showed.
    shown: String,
    /// What stdout and stderr received where they were pipes.
    stdout: String,
    stderr: String,
}

impl World {
    /// A world with one session that a rule matches, where a bar has time to show.
    async fn with_a_match() -> (Self, String) {
        let world = Self::new(RULES).await;
        let id = world.session(Some("dbt: orders"), 4);
        world.athena.fault(Fault::delay(Duration::from_millis(400)).on("ListTagsForResource"));
        (world, id)
    }

    /// Runs the command with a terminal for what `set` leaves to it. `typed` is typed as soon as the question stands there.
    async fn on_terminal(&self, arguments: &[&str], typed: Option<&str>, set: impl FnOnce(Command) -> Command) -> Run {
        let (mut terminal, seat) = pty_process::open().unwrap();
        terminal.resize(Size::new(24, 120)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_athena-session-operator")).env_clear().env("TERM", "xterm");
        for (name, value) in self.environment() {
            command = command.env(name, value);
        }
        command = command.args(["cleanup", "--between-lists", "0", "--work-group", "spark-team-a", "--rules"]);
        let mut child = set(command.arg(self.rules()).args(arguments)).spawn(seat).unwrap();
        let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        let shows = async {
            let (mut shown, mut is_typed) = (Vec::new(), false);
            let mut piece = [0; 4096];
            // Linux answers with an error once nobody has the terminal open any more.
            while let Ok(length @ 1..) = terminal.read(&mut piece).await {
                shown.extend_from_slice(&piece[..length]);
                if let Some(typed) = typed
                    && !is_typed
                    && String::from_utf8_lossy(&shown).contains("[y/N] ")
                {
                    terminal.write_all(typed.as_bytes()).await.unwrap();
                    is_typed = true;
                }
            }
            String::from_utf8(shown).unwrap()
        };
        let all = async { tokio::join!(shows, received(&mut stdout), received(&mut stderr), child.wait()) };
        let (shown, stdout, stderr, status) = timeout(PATIENCE, all).await.expect("it ends");
        Run { code: status.unwrap().code().unwrap(), shown, stdout, stderr }
    }
}

async fn received(pipe: &mut Option<impl AsyncRead + Unpin>) -> String {
    let mut text = String::new();
    if let Some(pipe) = pipe {
        pipe.read_to_string(&mut text).await.unwrap();
    }
    text
}

fn unchanged(command: Command) -> Command {
    command
}

#[tokio::test]
async fn a_terminal_shows_a_bar_and_colours() {
    let (world, _) = World::with_a_match().await;
    let run = world.on_terminal(&[], None, unchanged).await;
    assert_eq!(run.code, 2, "{}", run.shown);
    assert!(run.shown.contains(BAR), "{:?}", run.shown);
    assert!(run.shown.contains(&format!("{YELLOW}would be ended (forgotten-dbt)")), "{:?}", run.shown);
}

#[tokio::test]
async fn with_no_color_a_terminal_shows_a_bar_without_colours() {
    let (world, _) = World::with_a_match().await;
    let run = world.on_terminal(&[], None, |command| command.env("NO_COLOR", "1")).await;
    assert!(run.shown.contains(BAR), "{:?}", run.shown);
    assert!(run.shown.contains("would be ended (forgotten-dbt)") && !run.shown.contains(YELLOW), "{:?}", run.shown);
}

#[tokio::test]
async fn the_bar_depends_on_stderr_and_the_colours_on_stdout() {
    let (world, _) = World::with_a_match().await;
    let run = world.on_terminal(&[], None, |command| command.stdout(Stdio::piped())).await;
    assert!(run.shown.contains(BAR), "{:?}", run.shown);
    assert!(run.stdout.contains("would be ended") && !run.stdout.contains('\u{1b}'), "{:?}", run.stdout);

    let run = world.on_terminal(&[], None, |command| command.stderr(Stdio::piped())).await;
    assert!(run.shown.contains(YELLOW) && !run.shown.contains(BAR), "{:?}", run.shown);
    assert!(run.stderr.contains("1 would be ended") && !run.stderr.contains('\u{1b}'), "{:?}", run.stderr);
}

#[tokio::test]
async fn enforce_asks_once_and_ends_on_yes() {
    for yes in ["y\n", "Y\n", "yes\n"] {
        let (world, id) = World::with_a_match().await;
        let run = world.on_terminal(&["--enforce"], Some(yes), unchanged).await;
        assert_eq!((run.code, world.state(&id).as_str()), (0, "TERMINATED"), "{}", run.shown);
        assert_eq!(run.shown.matches("[y/N]").count(), 1, "{:?}", run.shown);
        assert!(run.shown.contains(QUESTION), "{:?}", run.shown);
        let which = format!("{id}   IDLE, age 4h, idle 4h, rule forgotten-dbt: dbt: orders");
        assert!(run.shown.contains(&which), "{:?}", run.shown);
        assert!(run.shown.contains("Waiting for the ends ["), "the bar goes on: {:?}", run.shown);
    }
}

#[tokio::test]
async fn enforce_ends_nothing_on_any_other_answer() {
    for no in ["n\n", "\n", "nein\n", END_OF_INPUT] {
        let (world, id) = World::with_a_match().await;
        let run = world.on_terminal(&["--enforce"], Some(no), unchanged).await;
        assert_eq!((run.code, world.state(&id).as_str()), (1, "IDLE"), "{no:?}: {}", run.shown);
        assert!(run.shown.contains("nothing was ended"), "{no:?}: {:?}", run.shown);
        assert_eq!(world.athena.calls_of("TerminateSession", None), 0, "{no:?}");
    }
}

#[tokio::test]
async fn yes_and_a_dry_run_ask_nothing() {
    let (world, id) = World::with_a_match().await;
    let run = world.on_terminal(&[], None, unchanged).await;
    assert!(!run.shown.contains("[y/N]"), "{:?}", run.shown);
    let run = world.on_terminal(&["--enforce", "--yes"], None, unchanged).await;
    assert_eq!((run.code, world.state(&id).as_str()), (0, "TERMINATED"), "{}", run.shown);
    assert!(!run.shown.contains("[y/N]"), "{:?}", run.shown);
}

#[tokio::test]
async fn a_question_that_nobody_would_see_isnt_asked_and_nothing_is_ended() {
    let (world, id) = World::with_a_match().await;
    let run = world.on_terminal(&["--enforce"], None, |command| command.stderr(Stdio::piped())).await;
    assert_eq!((run.code, world.state(&id).as_str()), (1, "IDLE"), "{}", run.stderr);
    let lines: Vec<_> = run.stderr.lines().collect();
    assert!(matches!(lines[..], [line] if line.contains("give --yes")), "{:?}", run.stderr);
    assert_eq!(world.athena.calls_of("ListSessions", None), 0, "it is told at once");

    let run = world.on_terminal(&["--enforce", "--yes"], None, |command| command.stderr(Stdio::piped())).await;
    assert_eq!((run.code, world.state(&id).as_str()), (0, "TERMINATED"), "{}", run.stderr);
}
