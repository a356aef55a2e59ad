//! The recorded status: what is written, how often, and which records survive a restart.

use crate::core::{AthenaSession, ErrorClass, Operation, SessionState, SessionStatus, Step};
use crate::fixtures::{HOME, REGION, SESSION, TIMING, WORK_GROUP, at, condition, elsewhere, minutes, states, status};
use crate::world::{Event, World};

#[test]
fn adopting_records_what_athena_said_and_where() {
    let world = World::adopted(SessionState::Idle);
    let recorded = world.recorded();
    assert_eq!(recorded.session_id.as_deref(), Some(SESSION));
    assert_eq!(recorded.state.as_deref(), Some("IDLE"));
    assert_eq!(recorded.work_group.as_deref(), Some(WORK_GROUP));
    assert_eq!(recorded.region.as_deref(), Some(REGION));
    assert_eq!(recorded.account_id.as_deref(), Some(HOME));
    assert!(recorded.started_at.is_some());
    assert_eq!(recorded.observed_generation, Some(1));
}

/// L2: for an hour, in every state.
#[test]
fn nothing_is_written_where_nothing_changes() {
    for state in states() {
        let mut world = World::adopted(state.clone());
        world.terminating_for = None;
        // By now a session that is TERMINATING is overdue.
        world.run_for(minutes(20));
        world.forget_the_past();
        world.run_for(minutes(60));
        assert!(world.writes.is_empty(), "{state}: {:?}", world.writes);
    }
}

/// L2: the new process sees what is recorded.
#[test]
fn a_restart_writes_nothing_where_nothing_changed() {
    for state in states() {
        let mut world = World::adopted(state.clone());
        world.terminating_for = None;
        world.run_for(minutes(20));
        world.forget_the_past();
        world.event(&Event::Restart);
        world.run_for(minutes(60));
        assert!(world.writes.is_empty(), "{state}: {:?}", world.writes);
    }
}

/// L2: for an hour, in every state.
#[test]
fn athena_is_asked_no_more_than_the_polling_budget() {
    let cases = [(SessionState::Idle, 60), (SessionState::Degraded, 60), (SessionState::Creating, 1800)];
    for (state, budget) in cases {
        let mut world = World::adopted(state.clone());
        world.run_for(minutes(60));
        assert!(world.calls.len() <= budget + 1, "{state}: {} calls in an hour", world.calls.len());
    }
}

/// L2: Athena's times have milliseconds.
#[test]
fn fractions_of_seconds_make_no_writes() {
    // Kubernetes' times have no fractions of seconds.
    let mut world = World::adopted(SessionState::Idle);
    let mut said = status(&SessionState::Idle);
    said.started_at = said.started_at.map(|time| time + std::time::Duration::from_millis(999));
    said.idle_since = said.started_at;
    world.observed.session.looked(said, at(world.elapsed));
    world.pass();
    assert!(world.writes.is_empty(), "{:?}", world.writes);
}

/// L2: the convention of Kubernetes for lastTransitionTime.
#[test]
fn a_condition_keeps_its_time_while_it_keeps_its_status() {
    // A new lastTransitionTime in each pass would make a write in each pass.
    let mut world = World::adopted(SessionState::Idle);
    let before = condition(world.recorded(), "Ready").unwrap().clone();
    world.event(&Event::Becomes(SessionState::Busy));
    world.run_for(minutes(2));
    assert_eq!(world.recorded().state.as_deref(), Some("BUSY"));
    assert_eq!(condition(world.recorded(), "Ready").unwrap().last_transition_time, before.last_transition_time);
    world.event(&Event::Becomes(SessionState::Degraded));
    world.run_for(minutes(2));
    assert!(condition(world.recorded(), "Ready").unwrap().last_transition_time > before.last_transition_time);
}

#[test]
fn idle_since_is_there_only_while_idle() {
    let mut world = World::adopted(SessionState::Idle);
    let mut said = status(&SessionState::Idle);
    said.idle_since = Some(at(world.elapsed).wall);
    world.observed.session.looked(said.clone(), at(world.elapsed));
    world.pass();
    assert!(world.recorded().idle_since.is_some());
    world.observed.session.looked(SessionStatus { state: SessionState::Busy, ..said }, at(world.elapsed));
    world.pass();
    assert!(world.recorded().idle_since.is_none());
}

#[test]
fn each_thing_is_told_once() {
    let mut world = World::adopted(SessionState::Idle);
    world.event(&Event::SetTerminate);
    world.run_for(minutes(10));
    world.event(&Event::Restart);
    world.run_for(minutes(10));
    let told: Vec<_> = world
        .writes
        .iter()
        .filter_map(|(_, step)| if let Step::WriteStatus { events, .. } = step { Some(events) } else { None })
        .flatten()
        .map(|event| event.reason)
        .collect();
    assert_eq!(told, ["Terminated"]);
}

#[test]
fn a_session_that_failed_unasked_is_stalled() {
    let mut world = World::adopted(SessionState::Busy);
    world.event(&Event::Becomes(SessionState::Failed));
    world.run_for(minutes(2));
    assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, "Failed");
    assert_eq!(condition(world.recorded(), "Terminated").unwrap().reason, "Failed");
}

/// S4: the condition says WrongAccount.
#[test]
fn no_call_is_made_in_another_account_than_the_recorded_one() {
    let mut world = World::adopted(SessionState::Idle);
    world.event(&Event::Restart);
    world.scope = elsewhere();
    world.event(&Event::Delete);
    world.run_for(minutes(60));
    assert!(world.calls.is_empty());
    assert!(world.object.is_some());
    assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, "WrongAccount");
    assert_eq!(world.writes.len(), 1);
}

/// An operator that can't ask Athena knows nothing that contradicts the record, so the record stays.
#[test]
fn a_recorded_end_isnt_taken_back_by_an_operator_that_cant_ask() {
    for class in ErrorClass::ALL {
        let mut world = World::adopted(SessionState::Terminated);
        world.event(&Event::Restart);
        for operation in [Operation::GetSession, Operation::GetSessionStatus, Operation::ListSessions] {
            world.outages.push((operation, class));
        }
        world.run_for(minutes(30));
        let terminated = condition(world.recorded(), "Terminated").unwrap();
        assert_eq!(terminated.status, "True", "{class:?}: {terminated:?}");
    }
}

#[test]
fn a_recorded_end_outlives_athenas_memory_of_the_session() {
    let mut world = World::adopted(SessionState::Terminated);
    world.event(&Event::Forgets);
    world.event(&Event::Restart);
    world.run_for(TIMING.confirm_absence + minutes(30));
    assert!(world.writes.is_empty());
    world.event(&Event::Delete);
    world.run_for(minutes(5));
    assert!(world.object.is_none());
}

#[test]
fn spec_changes_are_observed_when_athena_forgot_the_session() {
    let mut world = World::adopted(SessionState::Terminated);
    world.event(&Event::Forgets);
    world.event(&Event::Restart);
    world.event(&Event::SetTerminate);
    world.run_for(minutes(30));
    assert_eq!(world.recorded().observed_generation, Some(2), "kstatus waits for the observed generation");
}

/// S6, L2: one operator looked before the session changed, the other one afterwards.
#[test]
fn two_operators_dont_write_over_each_other() {
    let mut world = World::adopted(SessionState::Idle);
    let mut other = world.observed.clone();
    world.event(&Event::Becomes(SessionState::Busy));
    other.session.looked(status(&SessionState::Busy), at(world.elapsed));
    for _ in 0..50 {
        std::mem::swap(&mut world.observed, &mut other);
        world.pass();
    }
    assert!(world.writes.len() <= 2, "{}", world.told());
    assert_eq!(world.recorded().state.as_deref(), Some("BUSY"));
}

/// S4: calls go to another account than the one in which the session was seen.
#[test]
fn another_account_is_told_and_not_recorded_as_the_sessions() {
    for event in [None, Some(Event::Delete), Some(Event::SetTerminate)] {
        let mut world = World::adopted(SessionState::Idle);
        world.scope = elsewhere();
        event.iter().for_each(|event| world.event(event));
        world.run_for(minutes(10));
        assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, "WrongAccount", "{event:?}");
        assert_eq!(world.recorded().account_id.as_deref(), Some(HOME), "{event:?}");
    }
}

/// L1: after a rollback to this version, for example. An object that can't be read could be neither ended nor released.
#[test]
fn what_a_newer_operator_recorded_counts_as_not_recorded() {
    let written = serde_json::json!({"apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
        "metadata": {"name": "a"}, "spec": {"sessionId": "s"},
        "status": {"state": "IDLE", "terminationReason": "OfTheFuture", "endedAt": 5, "conditions": [{"type": 1}]}});
    let status = serde_json::from_value::<AthenaSession>(written).unwrap().status.unwrap();
    assert_eq!(status.state.as_deref(), Some("IDLE"));
    assert_eq!((status.termination_reason, status.ended_at, status.conditions.len()), (None, None, 0));
}
