//! The reference of the metrics, from what `/metrics` shows once each metric has a value.

use std::time::{Duration, Instant};

use athena_session_operator::api::session::TerminationReason;
use athena_session_operator::athena::types::{Operation, QuotaScope, SessionState};
use athena_session_operator::metrics::{Format, Metrics, ReconcileResult, WorkGroup};

use super::{keep, table};

fn used() -> Metrics {
    let metrics = Metrics::new();
    metrics.controller("athenasession", 64);
    metrics.reconciliation("athenasession").ended(ReconcileResult::Success);
    metrics.terminated(TerminationReason::ObjectDeleted, Duration::from_secs(3));
    metrics.called(Operation::GetSession, None, Duration::from_millis(20));
    metrics.scrape.waiting_from(|| vec![(Operation::ListSessions, 4)]);
    metrics.scrape.rates_from(|| vec![(QuotaScope { account: None, region: None }, Operation::TerminateSession, 18.5)]);
    metrics.scrape.sessions(&WorkGroup::default(), &[SessionState::Idle]);
    metrics.scrape.polled(&WorkGroup::default(), Instant::now());
    metrics
}

#[test]
fn the_reference_of_the_metrics_is_up_to_date() {
    let shown = used().text(Format::OpenMetrics);
    let mut families: Vec<_> = shown.split("# HELP ").skip(1).map(row).collect();
    families.sort();
    assert!(families.len() >= 20, "{shown}");
    keep("metrics.md", &[("metrics", table(["name", "labels", "type", "meaning"], families))]);
}

/// A family: its name and help, its type, and a sample.
fn row(family: &str) -> [String; 4] {
    let lines: Vec<_> = family.lines().collect();
    let (name, help) = lines[0].split_once(' ').expect("a help text");
    let kind = lines[1].strip_prefix("# TYPE ").and_then(|line| line.rsplit_once(' ')).expect("a type").1;
    // A unit would stand between type and samples.
    let sample = lines[2..].iter().find(|line| !line.starts_with('#')).unwrap_or_else(|| panic!("{name} has no value"));
    let pairs = sample.split_once('{').map_or("", |(_, labels)| labels).split("\",");
    let labels = pairs.filter_map(|pair| pair.split_once("=\"")).map(|(label, _)| label).filter(|label| *label != "le");
    let labels: Vec<_> = labels.map(|label| format!("`{label}`")).collect();
    let total = if kind == "counter" { "_total" } else { "" };
    [format!("`{name}{total}`"), labels.join(", "), kind.to_owned(), with_code(help.trim_end_matches('.'))]
}

/// Puts the names of metrics and flags into backticks.
fn with_code(help: &str) -> String {
    let is_code = |word: &str| word.contains('_') || word.starts_with("--");
    let marked = |word: &str| if is_code(word) { format!("`{word}`") } else { word.to_owned() };
    help.split(' ').map(marked).collect::<Vec<_>>().join(" ")
}
