//! Text for people: on one line, and of bounded length.

use std::error::Error;
use std::time::{Duration, Instant};

use jiff::fmt::friendly::{Spacing, SpanPrinter};
use kube::runtime::watcher;
use tracing::warn;

/// Messages end up in conditions and events, which have limits.
const MOST_BYTES: usize = 400;

/// An error with its causes.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors repeat their cause.
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    one_line(&line)
}

/// What Kubernetes said: the API server's message where it answered, the causes where it didn't.
#[must_use]
pub fn kubernetes(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => one_line(&format!("{} (HTTP {})", status.message, status.code)),
        // The outer words only name a layer of the client.
        error => error.source().map_or_else(|| chain(error), chain),
    }
}

/// White space folded, and no longer than fits.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > MOST_BYTES {
        line.truncate(line.floor_char_boundary(MOST_BYTES));
        line.push('…');
    }
    line
}

/// A duration as people write it in a spec: `30m`, not `1800s`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    SpanPrinter::new().spacing(Spacing::None).unsigned_duration_to_string(&duration)
}

/// What is wrong with a watch.
#[must_use]
pub fn watch_problem(error: &watcher::Error) -> String {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<kube::Error>());
    cause.map_or_else(|| chain(error), kubernetes)
}

/// Says a problem of a watch once, not at each retry.
#[derive(Debug)]
pub struct Told {
    what: String,
    last: Option<(String, Instant)>,
}

impl Told {
    /// The same problem after so long is news again.
    const NEWS_AGAIN: Duration = Duration::from_secs(600);

    /// For the watch of this name.
    #[must_use]
    pub fn of(what: String) -> Self {
        Self { what, last: None }
    }

    /// The watch has this problem.
    pub fn trouble(&mut self, problem: &str) {
        let told = self.last.as_ref().is_some_and(|(told, at)| told == problem && at.elapsed() < Self::NEWS_AGAIN);
        if !told {
            warn!(problem, "the {} is broken; it is tried again, at the latest every 30 s", self.what);
            self.last = Some((problem.to_owned(), Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_as_in_a_spec() {
        for (millis, written) in
            [(500, "500ms"), (2_000, "2s"), (90_000, "1m30s"), (1_800_000, "30m"), (259_200_000, "72h")]
        {
            assert_eq!(duration(Duration::from_millis(millis)), written);
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let line = one_line(&format!("a\n\tb {}", "ü".repeat(MOST_BYTES)));
        assert!(line.starts_with("a b ü") && line.ends_with("ü…"));
        assert!(line.len() <= MOST_BYTES + '…'.len_utf8());
    }
}
