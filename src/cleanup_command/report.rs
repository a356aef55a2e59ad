//! The report of `cleanup`: a line for each session, as a table or as JSON, and the exit code. PURE.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::athena::types::SessionStatus;
use crate::cleanup::conditions::Ages;
use crate::text::{age, visible};

/// What became of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// No rule ends the session: none matches, an AthenaSession declares it, something protects it, or its end is under way.
    Left(String),
    /// A dry run: with --enforce the session would be ended.
    WouldEnd,
    /// The session has ended.
    Ended,
    /// A rule matches the session, and this run doesn't end it: why.
    Waits(String),
    /// The session was to be ended, and it isn't certain that it has ended: why.
    Failed(String),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Left(_) => "Left",
            Self::WouldEnd => "WouldEnd",
            Self::Ended => "Ended",
            Self::Waits(_) => "Waits",
            Self::Failed(_) => "Failed",
        }
    }

    fn why(&self) -> Option<&str> {
        match self {
            Self::Left(why) | Self::Waits(why) | Self::Failed(why) => Some(why),
            Self::WouldEnd | Self::Ended => None,
        }
    }
}

/// A session, and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) status: SessionStatus,
    /// The rule that matches.
    pub(super) rule: Option<String>,
    pub(super) outcome: Outcome,
}

impl Row {
    /// The line for a person who is asked whether the session is to be ended.
    pub(super) fn in_question(&self, now: Timestamp) -> String {
        let Ages { age, idle } = Ages::of(&self.status, now);
        let idle = idle.map(|idle| format!(", idle {}", age_or_dash(Some(idle)))).unwrap_or_default();
        let description = self.status.description.as_deref().map_or("<none>".to_owned(), shortened);
        let (id, state, rule) = (&self.id, &self.status.state, self.rule.as_deref().unwrap_or_default());
        format!("{id}   {state}, age {}{idle}, rule {rule}: {description}\n", age_or_dash(age))
    }
}

/// The report of one run.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) work_group: String,
    pub(super) account: String,
    pub(super) region: String,
    pub(super) enforces: bool,
    /// The API server that was asked what is declared.
    pub(super) cluster: Option<String>,
    /// Why nothing is ended, although rules match.
    pub(super) held: Option<String>,
    pub(super) rows: Vec<Row>,
    pub(super) now: Timestamp,
}

impl Report {
    /// 0: no rule matches, or all matched sessions have ended. 2: a dry run, and rules match. 1: something isn't ended that
    /// should be.
    pub(super) fn exit_code(&self) -> u8 {
        let any = |is: fn(&Outcome) -> bool| self.rows.iter().any(|row| is(&row.outcome));
        if any(|outcome| matches!(outcome, Outcome::Failed(_))) {
            1
        } else if !self.enforces && any(|outcome| matches!(outcome, Outcome::WouldEnd | Outcome::Waits(_))) {
            2
        } else {
            u8::from(any(|outcome| matches!(outcome, Outcome::Waits(_))))
        }
    }

    /// One line that says how many sessions there are, and what became of them.
    pub(super) fn summary(&self) -> String {
        let count = |is: fn(&Outcome) -> bool| self.rows.iter().filter(|row| is(&row.outcome)).count();
        let (live, ended) = (self.rows.len(), count(|outcome| *outcome == Outcome::Ended));
        let would = count(|outcome| *outcome == Outcome::WouldEnd);
        let (waiting, failed) = (
            count(|outcome| matches!(outcome, Outcome::Waits(_))),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
        );
        let mut line = format!("{}: {live} {}", self.work_group, if live == 1 { "session" } else { "sessions" });
        let done = if self.enforces { (ended, "ended") } else { (would, "would be ended with --enforce") };
        for (number, words) in [done, (waiting, "matched and left for now"), (failed, "failed")] {
            if number > 0 || words == done.1 {
                let _ = write!(line, ", {number} {words}");
            }
        }
        line
    }

    /// The sessions as kubectl prints objects. `is_coloured`: with colours for a terminal.
    pub(super) fn table(&self, is_coloured: bool) -> String {
        let header = ["SESSION", "STATE", "AGE", "IDLE", "DESCRIPTION", "VERDICT"].map(str::to_owned);
        let rows = self.rows.iter().map(|row| {
            let ages = Ages::of(&row.status, self.now);
            let description = row.status.description.as_deref().map_or("<none>".to_owned(), shortened);
            let state = row.status.state.to_string();
            [row.id.clone(), state, age_or_dash(ages.age), age_or_dash(ages.idle), description, verdict(row)]
        });
        let lines: Vec<_> = std::iter::once(header).chain(rows).collect();
        let widths: Vec<_> =
            (0..5).map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0) + 3).collect();
        let mut table = String::new();
        for (number, line) in lines.iter().enumerate() {
            for (text, width) in line.iter().zip(&widths) {
                let _ = write!(table, "{text:<width$}");
            }
            let outcome = number.checked_sub(1).and_then(|row| self.rows.get(row)).map(|row| &row.outcome);
            let last = &line[5];
            let _ = match (is_coloured, outcome.map(colour)) {
                (true, Some(Some(code))) => writeln!(table, "\u{1b}[{code}m{last}\u{1b}[0m"),
                _ => writeln!(table, "{last}"),
            };
        }
        table
    }

    /// The report as JSON, for programs.
    pub(super) fn json(&self) -> Value {
        let sessions: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                let ages = Ages::of(&row.status, self.now);
                let seconds = |long: Option<SignedDuration>| long.map(|long| long.as_secs());
                json!({
                    "sessionId": row.id, "state": row.status.state.as_str(), "ageSeconds": seconds(ages.age),
                    "idleSeconds": seconds(ages.idle), "description": row.status.description, "rule": row.rule,
                    "verdict": row.outcome.word(), "why": row.outcome.why(),
                })
            })
            .collect();
        json!({
            "workGroup": self.work_group, "accountId": self.account, "region": self.region, "enforce": self.enforces,
            "cluster": self.cluster, "held": self.held, "sessions": sessions,
        })
    }
}

fn verdict(row: &Row) -> String {
    let rule = row.rule.as_ref().map(|rule| format!(" ({rule})")).unwrap_or_default();
    match &row.outcome {
        Outcome::Left(why) => format!("left{rule}: {why}"),
        Outcome::WouldEnd => format!("would be ended{rule}"),
        Outcome::Ended => format!("ended{rule}"),
        Outcome::Waits(why) => format!("matched{rule}: {why}"),
        Outcome::Failed(why) => format!("FAILED{rule}: {why}"),
    }
}

fn colour(outcome: &Outcome) -> Option<u8> {
    match outcome {
        Outcome::Left(_) => None,
        Outcome::WouldEnd | Outcome::Waits(_) => Some(33),
        Outcome::Ended => Some(32),
        Outcome::Failed(_) => Some(31),
    }
}

fn age_or_dash(long: Option<SignedDuration>) -> String {
    long.map_or_else(|| "-".to_owned(), age)
}

/// A description in a column.
fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    let text = visible(text);
    let short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}
