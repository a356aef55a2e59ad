//! When "does not exist" is believed.

use crate::core::{Account, CallerContext, ErrorClass, Operation, Session, SessionState, Step};
use crate::fixtures::{TIMING, WORK_GROUP, at, condition, elsewhere, home, minutes, seconds, status};
use crate::world::{Event, Fault, Forgery, World};

const MISSING: Fault = Fault::Fails(ErrorClass::NotFoundOrInvalid);
const READS: [Operation; 2] = [Operation::GetSession, Operation::GetSessionStatus];

fn seems_missing(world: &mut World) {
    world.outages.extend(READS.map(|operation| (operation, ErrorClass::NotFoundOrInvalid)));
}

#[test]
fn one_not_found_while_terminating_doesnt_let_go() {
    // Bug 6.
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

#[test]
fn what_the_listing_shows_isnt_absent() {
    let mut world = World::adopted(SessionState::Idle);
    seems_missing(&mut world);
    world.run_for(minutes(60));
    assert!(world.count(Operation::ListSessions) > 0);
    let recorded = world.recorded();
    assert_eq!(condition(recorded, "Terminated").unwrap().status, "False");
    assert_eq!(condition(recorded, "Ready").unwrap().reason, "Invalid", "the refusal meant something else");
    assert!(world.writes.len() <= 2, "{:?}", world.writes);
    world.outages.clear();
    world.run_for(minutes(5));
    assert_eq!(condition(world.recorded(), "Ready").unwrap().reason, "Running");
}

/// The listing shows that it is alive, and its end is asked for: nothing else is needed to end it.
#[test]
fn a_session_that_only_the_listing_shows_is_ended_all_the_same() {
    let mut world = World::adopted(SessionState::Idle);
    seems_missing(&mut world);
    world.event(&Event::Delete);
    world.wait(seconds(70));
    world.run_for(minutes(60));
    assert_ne!(world.session, Some(SessionState::Idle), "{}", world.told());
}

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
    let (_, Step::RemoveFinalizer { notice: Some(notice) }) = world.writes.last().unwrap() else { panic!() };
    assert_eq!(notice.reason, "SessionNotFound");
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
    assert!(world.calls.is_empty() && world.writes.is_empty(), "proven is proven");
}

#[test]
fn what_is_never_looked_for_again_doesnt_promise_it() {
    let mut world = World::adopted(SessionState::Idle);
    world.session = None;
    world.run_for(minutes(10));
    world.forget_the_past();
    world.run_for(minutes(60));
    let message = &condition(world.recorded(), "Ready").unwrap().message;
    assert_eq!(message.contains("Looked for again"), !world.calls.is_empty(), "{message}");
}

#[test]
fn a_session_that_vanished_before_its_end_counts_as_ended() {
    // TerminateSession itself is the first to say that it doesn't exist.
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

#[test]
fn an_end_asked_for_after_the_session_vanished_is_reached() {
    let mut world = World::adopted(SessionState::Idle);
    world.session = None;
    world.run_for(minutes(10));
    world.event(&Event::SetTerminate);
    world.run_for(minutes(10));
    let recorded = world.recorded();
    assert_eq!(recorded.observed_generation, Some(2), "kstatus waits for it");
    assert_eq!(condition(recorded, "Ready").unwrap().status, "True");
}

/// Denied at first, so that the deletion's first write can't say that the session was seen; then it
/// is seen, and the operator restarted: the session was seen once all the same.
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

/// S2, S4: STS was denied when the session was seen, so no account is recorded that it could be absent from.
#[test]
fn absence_in_an_account_that_was_never_recorded_proves_nothing() {
    let mut world = World::with(Some(SessionState::Idle));
    world.scope = CallerContext { account: Account::Unknown("denied".to_owned()), ..home() };
    world
        .observed
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

/// S7: somebody emptied the status, which said that the session was seen, and the operator was restarted.
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

/// L1: it may be back, and then there is something to end.
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
