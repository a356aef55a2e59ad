//! What is told in the end: a line for each session, as a table or as JSON, and the exit code. PURE.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::athena::types::SessionStatus;
use crate::cleanup::conditions::Ages;
use crate::text::{age, visible};

/// What became of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// No rule matches, its end is under way, an object declares it, or something protects it: nothing is to be done.
    Left(String),
    /// A dry run: with --enforce it would be ended.
    WouldEnd,
    /// It has ended.
    Ended,
    /// It is matched, and isn't ended: why.
    Waits(String),
    /// It was to be ended, and couldn't be: why.
    Failed(String),
}

impl Fate {
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
    pub(super) fate: Fate,
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
        let any = |is: fn(&Fate) -> bool| self.rows.iter().any(|row| is(&row.fate));
        if any(|fate| matches!(fate, Fate::Failed(_))) {
            1
        } else if !self.enforces && any(|fate| matches!(fate, Fate::WouldEnd | Fate::Waits(_))) {
            2
        } else {
            u8::from(any(|fate| matches!(fate, Fate::Waits(_))))
        }
    }

    /// One line that says how many sessions there are, and what became of them.
    pub(super) fn summary(&self) -> String {
        let count = |is: fn(&Fate) -> bool| self.rows.iter().filter(|row| is(&row.fate)).count();
        let (live, ended) = (self.rows.len(), count(|fate| *fate == Fate::Ended));
        let would = count(|fate| *fate == Fate::WouldEnd);
        let (waiting, failed) =
            (count(|fate| matches!(fate, Fate::Waits(_))), count(|fate| matches!(fate, Fate::Failed(_))));
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
        let heads = ["SESSION", "STATE", "AGE", "IDLE", "DESCRIPTION", "VERDICT"].map(str::to_owned);
        let rows = self.rows.iter().map(|row| {
            let ages = Ages::of(&row.status, self.now);
            let description = row.status.description.as_deref().map_or("<none>".to_owned(), shortened);
            let state = row.status.state.to_string();
            [row.id.clone(), state, old(ages.age), old(ages.idle), description, verdict(row)]
        });
        let lines: Vec<_> = std::iter::once(heads).chain(rows).collect();
        let widths: Vec<_> =
            (0..5).map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0) + 3).collect();
        let mut table = String::new();
        for (number, line) in lines.iter().enumerate() {
            for (text, width) in line.iter().zip(&widths) {
                let _ = write!(table, "{text:<width$}");
            }
            let fate = number.checked_sub(1).and_then(|row| self.rows.get(row)).map(|row| &row.fate);
            let last = &line[5];
            let _ = match (is_coloured, fate.map(colour)) {
                (true, Some(Some(code))) => writeln!(table, "\u{1b}[{code}m{last}\u{1b}[0m"),
                _ => writeln!(table, "{last}"),
            };
        }
        table
    }

    /// The same for programs.
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
                    "verdict": row.fate.word(), "why": row.fate.why(),
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
    match &row.fate {
        Fate::Left(why) => format!("left{rule}: {why}"),
        Fate::WouldEnd => format!("would be ended{rule}"),
        Fate::Ended => format!("ended{rule}"),
        Fate::Waits(why) => format!("matched{rule}: {why}"),
        Fate::Failed(why) => format!("FAILED{rule}: {why}"),
    }
}

fn colour(fate: &Fate) -> Option<u8> {
    match fate {
        Fate::Left(_) => None,
        Fate::WouldEnd | Fate::Waits(_) => Some(33),
        Fate::Ended => Some(32),
        Fate::Failed(_) => Some(31),
    }
}

fn old(long: Option<SignedDuration>) -> String {
    long.map_or_else(|| "-".to_owned(), age)
}

/// A description in a column.
fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    let text = visible(text);
    let short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}
