//! How far it is, on stderr: lines of what begins, and on a terminal how far that is.

use std::io::{IsTerminal, Write, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Tells what goes on.
pub struct Progress {
    started: Instant,
    is_terminal: bool,
    now: Mutex<String>,
}

impl Progress {
    pub fn new() -> Self {
        Self { started: Instant::now(), is_terminal: stderr().is_terminal(), now: Mutex::default() }
    }

    /// Something begins.
    pub fn phase(&self, what: &str) {
        what.clone_into(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner));
        self.write(&format!("{}{} {what}\n", self.clear(), self.time()));
    }

    /// How far it is; to be called about once a second.
    pub fn step(&self, how_far: &str) {
        if self.is_terminal {
            self.write(&format!("{}{} … {how_far}", self.clear(), self.time()));
        }
    }

    /// What began last.
    pub fn now(&self) -> String {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves the terminal to others.
    pub fn end(&self) {
        self.write(self.clear());
    }

    fn time(&self) -> String {
        let seconds = self.started.elapsed().as_secs();
        format!("{:>2}:{:02}", seconds / 60, seconds % 60)
    }

    /// Takes the last step away.
    fn clear(&self) -> &'static str {
        if self.is_terminal { "\r\x1b[K" } else { "" }
    }

    fn write(&self, text: &str) {
        let mut stderr = stderr().lock();
        // Nobody is left to be told where stderr is closed.
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}
