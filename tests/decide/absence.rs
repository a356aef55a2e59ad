//! Sessions that Athena says don't exist: how often, and by which calls, before the operator believes it.

use crate::core::{Account, CallerContext, ErrorClass, Operation, Session, SessionState, Step};
use crate::fixtures::{TIMING, WORK_GROUP, at, condition, elsewhere, home, minutes, seconds, status};
use crate::world::{Event, Fault, Forgery, World};

const MISSING: Fault = Fault::Fails(ErrorClass::NotFoundOrInvalid);
const READS: [Operation; 2] = [Operation::GetSession, Operation::GetSessionStatus];

fn seems_missing(world: &mut World) {
    world.outages.extend(READS.map(|operation| (operation, ErrorClass::NotFoundOrInvalid)));
}

/// S2: one answer proves no absence.
#[test]
fn one_not_found_while_terminating_doesnt_let_go() {
    // Athena may deny a session once that it still ends.
    let mut world = World::adopted(SessionState::Idle);
    world.terminating_for = Some(minutes(10));
    world.event(&Event::Delete);
    world.pass();
    world.faults = [MISSING].into();
    world.run_for(minutes(5));
    assert!(world.object.is_some());
    assert_eq!(world.count(Operation::ListSessions), 0, "the second answer showed it");
    world.run_for(minutes(10));
    assert!(world.object.is_none());
    assert_eq!(world.breach, None);
}

/// S2: a minute apart, with a complete list after both answers.
#[test]
fn a_seen_session_is_absent_after_two_answers_and_a_list() {
    let mut world = World::adopted(SessionState::Idle);
    world.session = None;
    world.event(&Event::Delete);
    world.wait(seconds(70));
    let began = world.elapsed;
    world.run_until(began + minutes(10), |world| world.object.is_none());
    assert!(world.object.is_none());
    let calls: Vec<_> = world.calls.iter().map(|(_, operation)| *operation).collect();
    assert_eq!(
        calls,
        [
            Operation::GetSessionStatus,
            Operation::GetSessionStatus,
            Operation::ListSessions,
            Operation::GetCallerIdentity
        ]
    );
    assert!(world.calls[1].0 - world.calls[0].0 >= TIMING.confirm_absence);
    assert!(world.elapsed - began < TIMING.confirm_absence + seconds(5));
}

/// S2: an earlier process saw the session.
#[test]
fn the_absence_of_a_recorded_session_is_confirmed_as_slowly() {
    let mut world = World::adopted(SessionState::Idle);
    world.session = None;
    world.event(&Event::Restart);
    world.event(&Event::Delete);
    world.run_for(seconds(59));
    assert!(world.object.is_some());
    world.run_for(seconds(5));
    assert!(world.object.is_none());
    assert_eq!(world.count(Operation::ListSessions), 1);
}

/// S2: a list that shows the session outweighs two answers that deny it.
#[test]
fn what_the_listing_shows_isnt_absent() {
    let mut world = World::adopted(SessionState::Idle);
    seems_missing(&mut world);
    world.run_for(minutes(60));
    assert!(world.count(Operation::ListSessions) > 0);
    let recorded = world.recorded();
    assert_eq!(condition(recorded, "Terminated").unwrap().status, "False");
    assert_eq!(condition(recorded, "Ready").unwrap().reason, "Invalid", "the error isn't an absence");
    assert!(world.writes.len() <= 2, "{:?}", world.writes);
    world.outages.clear();
    world.run_for(minutes(5));
    assert_eq!(condition(world.recorded(), "Ready").unwrap().reason, "Running");
}

/// L1: a list that shows the session is enough to end it.
#[test]
fn a_session_that_only_the_listing_shows_is_ended_all_the_same() {
    let mut world = World::adopted(SessionState::Idle);
    seems_missing(&mut world);
    world.event(&Event::Delete);
    world.wait(seconds(70));
    world.run_for(minutes(60));
    assert_ne!(world.session, Some(SessionState::Idle), "{}", world.told());
}

/// S2: only a complete list proves an absence.
#[test]
fn a_listing_that_fails_proves_nothing() {
    for class in ErrorClass::ALL {
        let mut world = World::adopted(SessionState::Idle);
        world.session = None;
        world.outages.push((Operation::ListSessions, class));
        world.event(&Event::Delete);
        world.run_for(minutes(60));
        assert!(world.object.is_some(), "{class:?}");
        world.outages.clear();
        world.run_for(minutes(10));
        assert!(world.object.is_none(), "{class:?}");
    }
}

/// S2: a moment apart; no list is needed where the session was never seen.
#[test]
fn a_session_never_seen_is_absent_after_two_answers() {
    let mut world = World::with(None);
    world.event(&Event::Delete);
    world.pass();
    assert_eq!(world.told(), "GetSession WriteStatus Wait(2s)");
    world.wait(TIMING.changing);
    world.forget_the_past();
    world.pass();
    assert_eq!(world.told(), "GetSession RemoveFinalizer");
    let (_, Step::RemoveFinalizer { event: Some(event) }) = world.writes.last().unwrap() else { panic!() };
    assert_eq!(event.reason, "SessionNotFound");
}

#[test]
fn a_session_never_seen_is_looked_for_as_long_as_it_is_wanted() {
    let mut world = World::with(None);
    world.run_for(minutes(60));
    assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, "SessionNotFound");
    assert_eq!(world.writes.len(), 1);
    assert!((12..=18).contains(&world.calls.len()), "{} calls in an hour", world.calls.len());
    world.session = Some(SessionState::Idle);
    world.run_for(minutes(5));
    assert_eq!(condition(world.recorded(), "Ready").unwrap().reason, "Running");
}

#[test]
fn a_wanted_session_that_vanished_is_terminated_and_stalled() {
    let mut world = World::adopted(SessionState::Idle);
    world.session = None;
    world.run_for(minutes(10));
    assert_eq!(condition(world.recorded(), "Terminated").unwrap().reason, "NotFound");
    assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, "SessionNotFound");
    world.forget_the_past();
    world.run_for(minutes(60));
    assert!(world.calls.is_empty() && world.writes.is_empty(), "a proven absence needs no call and no write");
}

#[test]
fn what_is_never_looked_for_again_doesnt_promise_it() {
    let mut world = World::adopted(SessionState::Idle);
    world.session = None;
    world.run_for(minutes(10));
    world.forget_the_past();
    world.run_for(minutes(60));
    let message = &condition(world.recorded(), "Ready").unwrap().message;
    assert_eq!(message.contains("The operator looks for"), !world.calls.is_empty(), "{message}");
}

#[test]
fn a_session_that_vanished_before_its_end_counts_as_ended() {
    // TerminateSession is the first call that says so.
    let mut world = World::adopted(SessionState::Idle);
    world.session = None;
    world.event(&Event::SetTerminate);
    world.run_for(minutes(30));
    let recorded = world.recorded();
    assert_eq!(condition(recorded, "Terminated").unwrap().reason, "NotFound");
    let ready = condition(recorded, "Ready").unwrap();
    assert_eq!((ready.reason.as_str(), ready.status.as_str()), ("Ended", "True"), "{}", ready.message);
}

#[test]
fn the_message_of_a_vanished_session_doesnt_call_it_idle() {
    let mut world = World::adopted(SessionState::Idle);
    world.event(&Event::SetTerminate);
    world.terminating_for = None;
    world.pass();
    world.session = None;
    world.run_for(minutes(30));
    let ready = condition(world.recorded(), "Ready").unwrap();
    assert_eq!(ready.reason, "Ended");
    assert!(!ready.message.contains("TERMINATING"), "{}", ready.message);
}

/// L1: the absence is proven already.
#[test]
fn an_end_asked_for_after_the_session_vanished_is_reached() {
    let mut world = World::adopted(SessionState::Idle);
    world.session = None;
    world.run_for(minutes(10));
    world.event(&Event::SetTerminate);
    world.run_for(minutes(10));
    let recorded = world.recorded();
    assert_eq!(recorded.observed_generation, Some(2), "kstatus waits for the observed generation");
    assert_eq!(condition(recorded, "Ready").unwrap().status, "True");
}

/// S2: the first calls are denied, so the deletion is recorded before the session is seen. Then the session is seen,
/// and the operator restarts. The new process must still count the session as one that was seen.
#[test]
fn a_session_first_seen_during_its_deletion_counts_as_seen() {
    let mut world = World::with(Some(SessionState::Idle));
    world.terminating_for = Some(minutes(10));
    world.outages.push((Operation::GetSession, ErrorClass::Denied));
    world.event(&Event::Delete);
    world.run_for(seconds(30));
    world.outages.clear();
    world.run_for(minutes(2));
    assert_eq!(world.session, Some(SessionState::Terminating));
    world.event(&Event::Restart);
    seems_missing(&mut world);
    world.run_for(seconds(30));
    assert_eq!(world.breach, None);
    assert!(world.object.is_some(), "{}", world.told());
}

/// S2, S4: STS was denied when the session was seen. So no account is recorded, and an absence in any account proves
/// nothing.
#[test]
fn absence_in_an_account_that_was_never_recorded_proves_nothing() {
    let mut world = World::with(Some(SessionState::Idle));
    world.scope = CallerContext { account: Account::Unknown("denied".to_owned()), ..home() };
    world
        .observed
        .session
        .described(
            Session {
                status: status(&SessionState::Idle),
                work_group: WORK_GROUP.to_owned(),
                dpu_execution_millis: None,
            },
            at(world.elapsed),
        )
        .unwrap();
    world.pass();
    assert_eq!(world.recorded().account_id, None);
    world.event(&Event::Restart);
    world.scope = elsewhere();
    world.event(&Event::Delete);
    world.run_for(minutes(30));
    assert_eq!(world.breach, None);
    assert!(world.object.is_some(), "the finalizer went on evidence from another account");
}

/// S2, S7: somebody empties the status that says that the session was seen, and the operator restarts.
#[test]
fn an_emptied_status_doesnt_shorten_the_proof() {
    let mut world = World::adopted(SessionState::Idle);
    world.session = None;
    world.event(&Event::Forge(Forgery::Emptied));
    world.event(&Event::Restart);
    world.event(&Event::Delete);
    world.run_for(TIMING.confirm_absence - seconds(1));
    assert!(world.object.is_some(), "{}", world.told());
    world.run_for(minutes(2));
    assert!(world.object.is_none());
}

/// L1: the session may appear again, and then it must be ended.
#[test]
fn while_a_listing_fails_the_session_is_still_looked_for() {
    for class in ErrorClass::ALL {
        let mut world = World::adopted(SessionState::Idle);
        seems_missing(&mut world);
        world.outages.push((Operation::ListSessions, class));
        world.event(&Event::Delete);
        world.wait(seconds(70));
        world.run_for(minutes(10));
        assert!(world.object.is_some() && world.count(Operation::ListSessions) > 0, "{class:?}");
        world.outages.retain(|(operation, _)| *operation == Operation::ListSessions);
        world.run_for(minutes(10));
        assert_eq!(world.session, Some(SessionState::Terminated), "{class:?}: {}", world.told());
        assert!(world.object.is_none(), "{class:?}");
    }
}
