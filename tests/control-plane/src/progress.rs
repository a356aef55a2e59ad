//! Tells on stderr that a long step goes on.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// Says once what goes on, and then how long already: live on a terminal, else now and then.
pub(crate) struct Progress {
    started: Instant,
    told: Option<Instant>,
    live: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), told: None, live: io::stderr().is_terminal() }
    }

    /// To be called at least once a second.
    pub(crate) fn tell(&mut self, what: &str) {
        let every = Duration::from_secs(if self.live { 1 } else { 30 });
        match self.told {
            None => write(&format!("{what}\n")),
            Some(told) if told.elapsed() < every => return,
            Some(_) if self.live => write(&format!("\r{}", self.elapsed())),
            Some(_) => write(&format!("… {}\n", self.elapsed())),
        }
        self.told = Some(Instant::now());
    }

    /// The last line.
    pub(crate) fn end(&self, what: &str) {
        let start = if self.live { "\r" } else { "" };
        write(&format!("{start}{what} after {}\n", self.elapsed()));
    }

    fn elapsed(&self) -> String {
        let seconds = self.started.elapsed().as_secs();
        format!("{}:{:02} min", seconds / 60, seconds % 60)
    }
}

/// Not by `eprint!`, which the test harness captures until a test has failed.
fn write(text: &str) {
    let mut stderr = io::stderr();
    // Nobody is left to be told where stderr is closed.
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}
