//! What a person at a terminal sees while the program works, and is asked.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Progress on stderr, where that is a terminal.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Nothing is shown yet.
    pub(super) fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Says what is being done, where nobody knows how long it takes.
    pub(super) fn doing(&self, what: impl Into<String>) {
        self.0.set_style(ProgressStyle::default_spinner());
        self.0.set_message(what.into());
    }

    /// Begins a bar of so many steps.
    pub(super) fn begin(&self, what: impl Into<String>, steps: usize) {
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{bar:30}] {pos}/{len}") {
            self.0.set_style(style);
        }
        self.0.set_length(u64::try_from(steps).unwrap_or(u64::MAX));
        self.0.set_position(0);
        self.0.set_message(what.into());
    }

    /// One step is done.
    pub(super) fn step(&self) {
        self.0.inc(1);
    }

    /// Takes the progress away while something else is written or asked.
    pub(super) fn aside<T>(&self, other: impl FnOnce() -> T) -> T {
        self.0.suspend(other)
    }

    /// Shows nothing any more, for good.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// Whether the table has colours.
pub(super) fn has_colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Whether a person can be asked before sessions are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Person {
    /// Nobody answers: stdin isn't a terminal.
    Absent,
    /// A person could answer, and wouldn't see the question: stdin is a terminal, and stderr isn't.
    SeesNoQuestion,
    /// A person sees the question, and can answer.
    CanBeAsked,
}

impl Person {
    /// By what stdin and stderr are.
    pub(super) fn at_terminal() -> Self {
        match (std::io::stdin().is_terminal(), std::io::stderr().is_terminal()) {
            (false, _) => Self::Absent,
            (true, false) => Self::SeesNoQuestion,
            (true, true) => Self::CanBeAsked,
        }
    }
}

/// Asks the person at the terminal.
pub(super) fn agrees(question: &str) -> bool {
    eprint!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    matches!(answer.trim(), "y" | "Y" | "yes")
}
