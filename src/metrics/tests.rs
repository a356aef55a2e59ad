use crate::athena::types::{QuotaScope, SessionState};

use super::*;

fn failure(class: ErrorClass, code: &str) -> CallError {
    CallError {
        operation: Operation::GetSession,
        class,
        code: code.to_owned(),
        message: String::new(),
        request_id: None,
    }
}

/// Every metric, with a value.
fn used() -> Metrics {
    let metrics = Metrics::new();
    metrics.controller("athenasession", 64);
    metrics.queue_depth("athenasession", 7);
    metrics.reconciliation("athenasession").ended(ReconcileResult::Error);
    metrics.terminated(TerminationReason::ObjectDeleted, Duration::from_secs(3));
    metrics.called(Operation::GetSession, None, Duration::from_millis(20));
    let throttled = failure(ErrorClass::Throttled, "ThrottlingException");
    metrics.called(Operation::GetSession, Some(&throttled), Duration::from_millis(20));
    metrics.scrape.waiting_from(|| vec![(Operation::ListSessions, 4)]);
    metrics.scrape.rates_from(|| {
        let place = QuotaScope { account: Some("123456789012".to_owned()), region: Some("eu-west-1".to_owned()) };
        vec![(place, Operation::TerminateSession, 18.5)]
    });
    metrics.scrape.sessions(&named("team \"a\"\\"), &[SessionState::Idle, SessionState::Idle, SessionState::Busy]);
    metrics.scrape.polled(&named("team \"a\"\\"), Instant::now());
    metrics
}

/// The value of a series, None where there is none.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.text(Format::OpenMetrics);
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map(|value| value.parse().expect("a number"))
}

#[test]
fn what_is_told_can_be_read_again() {
    let metrics = used();
    let expected = [
        ("controller_runtime_reconcile_total{controller=\"athenasession\",result=\"error\"}", 1.0),
        ("controller_runtime_reconcile_total{controller=\"athenasession\",result=\"success\"}", 0.0),
        ("controller_runtime_reconcile_errors_total{controller=\"athenasession\"}", 1.0),
        ("controller_runtime_reconcile_time_seconds_count{controller=\"athenasession\"}", 1.0),
        ("controller_runtime_max_concurrent_reconciles{controller=\"athenasession\"}", 64.0),
        ("workqueue_depth{name=\"athenasession\"}", 7.0),
        ("athena_session_operator_terminations_total{reason=\"ObjectDeleted\"}", 1.0),
        ("athena_session_operator_termination_duration_seconds_sum", 3.0),
        ("athena_session_operator_athena_calls_total{operation=\"GetSession\",code=\"OK\"}", 1.0),
        ("athena_session_operator_athena_calls_total{operation=\"GetSession\",code=\"ThrottlingException\"}", 1.0),
        ("athena_session_operator_athena_throttled_total{operation=\"GetSession\"}", 1.0),
        ("athena_session_operator_athena_waiting{operation=\"ListSessions\"}", 4.0),
        (
            "athena_session_operator_athena_rate{account=\"123456789012\",region=\"eu-west-1\",operation=\"TerminateSession\"}",
            18.5,
        ),
        (
            "athena_session_operator_sessions{account=\"\",region=\"\",work_group=\"team \\\"a\\\"\\\\\",state=\"IDLE\"}",
            2.0,
        ),
    ];
    for (series, expected) in expected {
        assert_eq!(value(&metrics, series), Some(expected), "{series} in\n{}", metrics.text(Format::OpenMetrics));
    }
    assert!(metrics.text(Format::OpenMetrics).ends_with("\n# EOF\n"));
}

fn named(name: &str) -> WorkGroup {
    WorkGroup { name: name.to_owned(), ..WorkGroup::default() }
}

#[test]
fn whatever_codes_and_states_come_in_the_series_are_few() {
    let metrics = Metrics::new();
    for number in 0..1_000 {
        let garbage = failure(ErrorClass::Unavailable, &format!("Garbage{number}"));
        metrics.called(Operation::GetSession, Some(&garbage), Duration::ZERO);
    }
    let states: Vec<_> = (0..1_000).map(|number| SessionState::Unknown(format!("STATE{number}"))).collect();
    metrics.scrape.sessions(&named("wg"), &states);
    let text = metrics.text(Format::OpenMetrics);
    let series = |name: &str| text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
    assert_eq!(series("athena_session_operator_athena_calls_total"), 1);
    assert_eq!(series("athena_session_operator_sessions"), 1);
    assert!(text.lines().count() < 100);
}

#[test]
fn the_sessions_of_a_work_group_are_replaced_and_go_with_it() {
    let metrics = Metrics::new();
    let of = |group: &str, state: &str| {
        let series = format!(
            "athena_session_operator_sessions{{account=\"\",region=\"\",work_group=\"{group}\",state=\"{state}\"}}"
        );
        value(&metrics, &series)
    };
    metrics.scrape.sessions(&named("a"), &[SessionState::Idle, SessionState::Busy]);
    metrics.scrape.sessions(&named("b"), &[SessionState::Idle]);
    metrics.scrape.polled(&named("a"), Instant::now());
    metrics.scrape.sessions(&named("a"), &[SessionState::Busy]);
    assert_eq!((of("a", "IDLE"), of("a", "BUSY"), of("b", "IDLE")), (None, Some(1.0), Some(1.0)));
    metrics.scrape.forget(&named("a"));
    assert!(!metrics.text(Format::OpenMetrics).contains("\"a\""));
    assert_eq!(of("b", "IDLE"), Some(1.0));
}

#[test]
fn the_age_of_a_poll_is_that_at_the_scrape() {
    let metrics = Metrics::new();
    let now = Instant::now();
    metrics.scrape.polled(&named("a"), now.checked_sub(Duration::from_secs(5)).unwrap_or(now));
    let age = || {
        value(&metrics, "athena_session_operator_poll_age_seconds{account=\"\",region=\"\",work_group=\"a\"}")
            .expect("it is told")
    };
    let before = age();
    std::thread::sleep(Duration::from_millis(20));
    assert!(before >= 5.0 && age() >= before + 0.02, "{before} {}", age());
}

#[test]
fn a_pass_is_under_way_until_it_ends_however_it_ends() {
    let metrics = Metrics::new();
    let active = || value(&metrics, "controller_runtime_active_workers{controller=\"c\"}");
    let (one, other) = (metrics.reconciliation("c"), metrics.reconciliation("c"));
    assert_eq!(active(), Some(2.0));
    one.ended(ReconcileResult::Success);
    drop(other);
    assert_eq!(active(), Some(0.0));
    assert_eq!(value(&metrics, "controller_runtime_reconcile_time_seconds_count{controller=\"c\"}"), Some(1.0));
}

#[test]
fn the_process_tells_of_itself() {
    let metrics = Metrics::new();
    for (name, least) in [("process_start_time_seconds", 1.7e9), ("process_open_fds", 3.0)] {
        assert!(value(&metrics, name) >= Some(least), "{name}");
    }
    assert!(value(&metrics, "process_resident_memory_bytes") > Some(1e6));
    let cpu = || value(&metrics, "process_cpu_seconds_total").expect("it is told");
    let (before, begun) = (cpu(), Instant::now());
    while cpu() < before + 0.05 {
        assert!(begun.elapsed() < Duration::from_secs(20), "no CPU time was used");
    }
}

/// What promtool asks of the text format, too: each family is described by the name that its samples have.
#[test]
fn in_the_text_format_each_sample_is_of_a_family_that_is_described() {
    let text = used().text(Format::Text);
    assert!(!text.contains("# EOF"), "{text}");
    let mut family = ("", "");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = (help.split_once(' ').expect("a help text").0, "");
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            assert_eq!(name, family.0, "its help is another's");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family.1 = kind;
        } else {
            let name = &line[..line.find(['{', ' ']).expect("a value")];
            let suffix = name.strip_prefix(family.0).unwrap_or_else(|| panic!("{line} under {family:?}"));
            let expected: &[_] = if family.1 == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(expected.contains(&suffix), "{line} under {family:?}");
        }
    }
    let samples = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(samples(&text), samples(&used().text(Format::OpenMetrics)));
}
