//! When GetWorkGroup is called for the engine of a work group, and what is known of it meanwhile.

use std::time::{Duration, Instant};

use crate::core::{
    CallError, Engine, EngineKnowledge, EngineWatch, ErrorClass, Operation, SessionPage, SessionState, SessionStatus,
};
use crate::model::TIMING;

const HOUR: Duration = Duration::from_secs(3600);

fn failure(operation: Operation, class: ErrorClass, message: &str) -> CallError {
    CallError { operation, class, code: "Code".to_owned(), message: message.to_owned(), request_id: None }
}

fn refused(class: ErrorClass) -> Result<Engine, CallError> {
    Err(failure(Operation::GetWorkGroup, class, "no"))
}

/// The newest first.
fn page(engines: &[Option<Engine>]) -> SessionPage {
    let status = |engine: &Option<Engine>| SessionStatus {
        state: SessionState::Idle,
        state_change_reason: None,
        started_at: None,
        idle_since: None,
        ended_at: None,
        description: None,
        marker: None,
        engine: engine.clone(),
    };
    let sessions = engines.iter().map(|engine| ("session".to_owned(), status(engine))).collect();
    SessionPage { sessions, next_token: None }
}

fn known(engine: Engine) -> EngineKnowledge {
    EngineKnowledge::Known(engine)
}

#[test]
fn an_engine_that_is_known_is_asked_for_once_an_hour() {
    let (mut watch, now) = (EngineWatch::default(), Instant::now());
    assert!(watch.is_due(now) && watch.known() == EngineKnowledge::Awaited);
    watch.answered(Ok(Engine::Spark35), now, &TIMING, 0.0);
    assert_eq!(watch.known(), known(Engine::Spark35));
    assert!(!watch.is_due(now + HOUR - Duration::from_secs(1)) && watch.is_due(now + HOUR));
}

/// Each refusal is a line in CloudTrail.
#[test]
fn a_right_that_is_missing_is_asked_for_ever_more_rarely() {
    let (mut watch, began) = (EngineWatch::default(), Instant::now());
    let mut calls = 0;
    for second in 0..24 * 3600 {
        let now = began + Duration::from_secs(second);
        if watch.is_due(now) {
            calls += 1;
            watch.answered(refused(ErrorClass::Denied), now, &TIMING, 0.0);
            assert!(matches!(watch.known(), EngineKnowledge::NotKnown(Some(_))), "nobody waits for it");
        }
    }
    assert!((24..=30).contains(&calls), "{calls} calls a day");
}

#[test]
fn a_failure_that_passes_is_waited_for_a_moment() {
    for class in [ErrorClass::Unavailable, ErrorClass::Throttled] {
        let (mut watch, began) = (EngineWatch::default(), Instant::now());
        let mut now = began;
        while watch.known() == EngineKnowledge::Awaited {
            if watch.is_due(now) {
                watch.answered(refused(class), now, &TIMING, 1.0);
            }
            now += Duration::from_millis(100);
        }
        let waited = now - began;
        assert!((TIMING.backoff_min..Duration::from_secs(20)).contains(&waited), "{waited:?}");
        watch.answered(Ok(Engine::PySpark3), now, &TIMING, 1.0);
        assert_eq!(watch.known(), known(Engine::PySpark3));
    }
}

#[test]
fn the_newest_session_shows_the_engine_without_get_work_group() {
    let (mut watch, now) = (EngineWatch::default(), Instant::now());
    watch.listed(&page(&[Some(Engine::Spark35), Some(Engine::PySpark3)]));
    assert_eq!(watch.known(), known(Engine::Spark35));
    watch.answered(refused(ErrorClass::Denied), now, &TIMING, 0.0);
    watch.listed(&page(&[]));
    watch.listed(&page(&[None]));
    assert_eq!(watch.known(), known(Engine::Spark35), "what was known stays");
    watch.answered(Ok(Engine::PySpark3), now, &TIMING, 0.0);
    assert_eq!(watch.known(), known(Engine::PySpark3), "Athena's word for the work group comes first");
}

#[test]
fn a_list_that_is_refused_tells_that_the_work_group_isnt_spark() {
    let mut watch = EngineWatch::default();
    let refused = |message| failure(Operation::ListSessions, ErrorClass::NotFoundOrInvalid, message);
    watch.refused(&refused("WorkGroup a is not found."));
    assert_eq!(watch.known(), EngineKnowledge::Awaited);
    watch.refused(&refused("Workgroup EngineVersion is not Spark."));
    assert_eq!(watch.known(), known(Engine::NotSpark(None)));
    watch.listed(&page(&[]));
    assert_eq!(watch.known(), EngineKnowledge::Awaited, "the work group has another engine by now");
}
