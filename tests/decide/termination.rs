//! How a session is ended: what is written, which calls are made, and how often.

use jiff::Timestamp;

use crate::core::{DeletionPolicy, ErrorClass, Operation, SessionState, Step, TerminationReason};
use crate::fixtures::{TIMING, at, condition, minutes, object, seconds, spec};
use crate::world::{Event, Fault, World, written};

const LOOK: Operation = Operation::GetSessionStatus;
const TERMINATE: Operation = Operation::TerminateSession;

/// L2: the reason of the end, and the removal of the finalizer.
#[test]
fn a_deletion_takes_two_writes_and_one_terminate_session() {
    let mut world = World::adopted(SessionState::Idle);
    world.event(&Event::Delete);
    world.run_for(minutes(1));
    assert!(world.object.is_none(), "{}", world.told());
    assert_eq!(written(&world), ["WriteStatus", "RemoveFinalizer"]);
    assert_eq!(world.count(TERMINATE), 1);
}

/// S2, L1: the finalizer is there before Athena is asked anything.
#[test]
fn a_deletion_right_after_the_creation_ends_the_session() {
    let mut world = World::with(Some(SessionState::Creating));
    world.object = None;
    world.event(&Event::Create(Box::new(spec())));
    world.ambush.push((1, Event::Delete));
    world.run_for(minutes(1));
    assert!(world.object.is_none());
    assert_eq!(written(&world), ["AddFinalizer", "WriteStatus", "RemoveFinalizer"]);
    assert_eq!(world.session, Some(SessionState::Terminated));
}

#[test]
fn an_end_that_terminate_session_answers_is_looked_at_at_once() {
    let mut world = World::adopted(SessionState::Idle);
    world.terminating_for = Some(seconds(0));
    world.event(&Event::Delete);
    world.pass();
    assert_eq!(world.told(), "WriteStatus TerminateSession GetSessionStatus RemoveFinalizer");
    assert!(world.object.is_none());
}

#[test]
fn spec_terminate_ends_the_session_and_keeps_the_object() {
    let mut world = World::adopted(SessionState::Busy);
    world.event(&Event::SetTerminate);
    world.run_for(minutes(1));
    let recorded = world.recorded();
    assert_eq!(recorded.state.as_deref(), Some("TERMINATED"));
    assert_eq!(recorded.termination_reason, Some(TerminationReason::RequestedBySpec));
    assert_eq!(recorded.dpu_execution_millis, Some(7));
    assert!(recorded.ended_at.is_some());
    assert_eq!(condition(recorded, "Terminated").unwrap().reason, "RequestedBySpec");
    assert_eq!(condition(recorded, "Ready").unwrap().status, "True");
}

/// S2: TERMINATING is no end.
#[test]
fn the_object_stays_as_long_as_the_session_is_terminating() {
    // A finalizer that goes while the session is TERMINATING would leave a session behind that doesn't end.
    let mut world = World::adopted(SessionState::Idle);
    world.terminating_for = None;
    world.event(&Event::Delete);
    world.run_for(minutes(60));
    assert!(world.object.is_some());
    assert_eq!(world.count(TERMINATE), 1, "TerminateSession isn't called for a session that is TERMINATING");
    world.event(&Event::Becomes(SessionState::Terminated));
    world.run_for(minutes(2));
    assert!(world.object.is_none());
}

/// L1: and not before.
#[test]
fn a_call_without_effect_is_repeated_after_a_minute() {
    let mut world = World::adopted(SessionState::Idle);
    world.faults = [Fault::NoEffect].into();
    world.event(&Event::Delete);
    let ended = world.run_until(minutes(5), |world| world.count(TERMINATE) == 2);
    assert!(ended, "never called again");
    let times: Vec<_> = world.calls.iter().filter(|(_, it)| *it == TERMINATE).map(|(at, _)| *at).collect();
    let apart = times[1] - times[0];
    assert!(
        apart >= TIMING.terminate_again && apart < TIMING.terminate_again + seconds(5),
        "called again after {apart:?}"
    );
    assert_eq!(world.calls[world.calls.len() - 2].1, LOOK, "looked at just before");
}

#[test]
fn a_lost_answer_is_looked_for_before_the_call_is_made_again() {
    let mut world = World::adopted(SessionState::Idle);
    world.faults = [Fault::CutAfter].into();
    world.event(&Event::Delete);
    world.run_for(minutes(1));
    assert!(world.object.is_none());
    assert_eq!(world.count(TERMINATE), 1, "the call had its effect: {}", world.told());

    let mut world = World::adopted(SessionState::Idle);
    world.faults = [Fault::Fails(ErrorClass::Unavailable)].into();
    world.event(&Event::Delete);
    world.run_for(minutes(1));
    let calls: Vec<_> = world.calls.iter().map(|(_, it)| *it).take(3).collect();
    assert_eq!(calls, [TERMINATE, LOOK, TERMINATE], "the call had no effect: {}", world.told());
}

#[test]
fn a_call_that_was_refused_is_made_again_without_a_look() {
    let mut world = World::adopted(SessionState::Idle);
    world.faults = [Fault::Fails(ErrorClass::Throttled)].into();
    world.event(&Event::Delete);
    world.run_until(minutes(1), |world| world.count(TERMINATE) == 2);
    assert_eq!(world.count(LOOK), 0, "{}", world.told());
}

#[test]
fn a_retry_reads_the_object_again() {
    let mut world = World::adopted(SessionState::Idle);
    world.faults = [Fault::Fails(ErrorClass::Throttled)].into();
    world.event(&Event::Delete);
    world.pass();
    assert_eq!(world.told(), "WriteStatus TerminateSession Wait(1s)");
    world.forget_the_past();
    world.wait(seconds(2));
    world.pass();
    assert_eq!(world.told(), "GetObject TerminateSession Wait(2s)");
}

/// A deletion whose first TerminateSession was refused. Then the watch stands still, and the author sets Retain.
fn retained_unseen_by_the_watch() -> World {
    let mut world = World::adopted(SessionState::Idle);
    world.faults = [Fault::Fails(ErrorClass::Throttled)].into();
    world.event(&Event::Delete);
    world.pass();
    world.cache_frozen = true;
    world.cache = world.object.clone();
    world.event(&Event::SetPolicy(DeletionPolicy::Retain));
    world
}

/// S1: the object is read anew before TerminateSession.
#[test]
fn a_cached_wish_that_was_taken_back_ends_nothing() {
    let mut world = retained_unseen_by_the_watch();
    world.wait(seconds(2));
    world.pass();
    assert!(world.object.is_none(), "{}", world.told());
    assert_eq!(world.session, Some(SessionState::Idle));
    assert_eq!(world.count(TERMINATE), 1, "only the refused call");
    assert_eq!(world.breach, None);
}

/// L1: the API server refuses that patch, and the object goes.
#[test]
fn no_finalizer_is_added_to_an_object_deleted_meanwhile() {
    // The object is deleted between the read of the cache and the patch.
    let mut world = World::with(Some(SessionState::Idle));
    let mut bare = object();
    bare.metadata.finalizers = Some(vec!["example.com/other".to_owned()]);
    world.object = Some(bare);
    world.cache.clone_from(&world.object);
    world.cache_frozen = true;
    world.event(&Event::Delete);
    world.pass();
    assert_eq!(world.told(), "AddFinalizer Wait");
    assert!(world.writes.is_empty(), "the patch was refused, and not tried again");
}

/// S2: only the operator's own finalizer goes.
#[test]
fn a_foreign_finalizer_is_left_alone() {
    let mut world = World::adopted(SessionState::Terminated);
    let finalizers = world.object.as_mut().unwrap().metadata.finalizers.as_mut().unwrap();
    finalizers.insert(0, "example.com/other".to_owned());
    world.event(&Event::Delete);
    world.run_for(minutes(1));
    let left = world.object.unwrap().metadata.finalizers;
    assert_eq!(left, Some(vec!["example.com/other".to_owned()]));
}

/// S1: the UID counts, not the name.
#[test]
fn a_new_object_of_the_same_name_isnt_taken_for_the_old_one() {
    // The old object asked for the end. The new one, which names the same session, doesn't.
    let mut world = retained_unseen_by_the_watch();
    world.object = None;
    world.event(&Event::Create(Box::new(spec())));
    world.wait(seconds(2));
    world.pass();
    assert_eq!(world.count(TERMINATE), 1, "only the refused call");
    world.cache_frozen = false;
    world.run_for(minutes(5));
    assert_eq!(world.session, Some(SessionState::Idle));
    assert_eq!(condition(world.recorded(), "Active").unwrap().status, "True");
}

/// L2: an end is final.
#[test]
fn an_ended_session_is_never_looked_at_again() {
    for state in [SessionState::Terminated, SessionState::Failed] {
        let mut world = World::adopted(state);
        world.run_for(minutes(600));
        assert!(world.calls.is_empty());
        assert!(world.writes.is_empty());
    }
}

#[test]
fn a_session_that_ends_by_itself_needs_no_call() {
    let mut world = World::adopted(SessionState::Idle);
    world.event(&Event::Becomes(SessionState::Terminated));
    world.run_for(minutes(3));
    assert_eq!(condition(world.recorded(), "Terminated").unwrap().reason, "EndedElsewhere");
    world.event(&Event::Delete);
    world.run_for(seconds(1));
    assert!(world.object.is_none());
    assert_eq!(world.count(TERMINATE), 0);
}

#[test]
fn an_end_isnt_unlearned_by_a_late_answer() {
    let mut world = World::adopted(SessionState::Idle);
    world.event(&Event::Becomes(SessionState::Terminated));
    world.run_for(minutes(2));
    world.observed.session.looked(crate::fixtures::status(&SessionState::Idle), at(world.elapsed));
    assert_eq!(world.observed.session.state(), Some(&SessionState::Terminated));
}

#[test]
fn an_overdue_end_is_reported_and_looking_goes_on() {
    let mut world = World::adopted(SessionState::Idle);
    world.terminating_for = None;
    world.event(&Event::Delete);
    let told = world.run_until(minutes(60), |world| {
        condition(world.recorded(), "Stalled").is_some_and(|stalled| stalled.reason == "TerminationOverdue")
    });
    assert!(told);
    let after = world.elapsed;
    assert!(after >= TIMING.overdue && after < TIMING.overdue + minutes(1), "reported after {after:?}");
    let (_, Step::WriteStatus { events, .. }) = world.writes.last().unwrap() else { panic!() };
    assert_eq!(events.iter().map(|event| event.reason).collect::<Vec<_>>(), ["TerminationOverdue"]);

    world.forget_the_past();
    world.run_for(minutes(60));
    assert!(world.writes.is_empty(), "reported more than once");
    assert!((59..=61).contains(&world.count(LOOK)), "{} looks in an hour", world.count(LOOK));
}

/// L1: an accepted call may have had no effect.
#[test]
fn an_overdue_end_that_has_no_effect_is_asked_for_again() {
    let mut world = World::adopted(SessionState::Idle);
    world.faults = std::iter::repeat_n(Fault::NoEffect, 10_000).collect();
    world.event(&Event::Delete);
    world.run_for(minutes(60));
    assert!((30..=60).contains(&world.count(TERMINATE)), "{} calls in an hour", world.count(TERMINATE));
}

/// The operator was away for an hour, and hasn't called TerminateSession yet. So the end isn't overdue.
#[test]
fn an_old_deletion_that_is_only_now_seen_isnt_overdue() {
    let mut world = World::adopted(SessionState::Idle);
    world.event(&Event::Delete);
    world.event(&Event::Restart);
    world.wait(minutes(60));
    let began = world.elapsed;
    world.run_until(began + minutes(10), |world| world.object.is_none());
    assert_eq!(written(&world), ["WriteStatus", "RemoveFinalizer"]);
    assert!(world.elapsed - began < seconds(15), "took {:?}", world.elapsed - began);
}

/// L2: a deletion takes two writes.
#[test]
fn the_end_of_what_is_deleted_isnt_written_on_it() {
    let mut world = World::adopted(SessionState::Idle);
    world.event(&Event::Delete);
    world.pass();
    assert_eq!(world.session, Some(SessionState::Terminating));
    assert_eq!(world.recorded().state.as_deref(), Some("IDLE"));
    let asked = world.recorded().termination_requested_at.as_ref().map(|time| time.0);
    assert_eq!(asked.map(Timestamp::as_second), Some(at(world.elapsed).wall.as_second()));
}

#[test]
fn a_terminating_session_isnt_ended_again_after_a_restart() {
    let mut world = World::adopted(SessionState::Idle);
    world.terminating_for = Some(minutes(5));
    world.event(&Event::Delete);
    world.pass();
    world.event(&Event::Restart);
    world.run_for(minutes(10));
    assert!(world.object.is_none());
    assert_eq!(world.count(TERMINATE), 1);
    assert_eq!(written(&world), ["WriteStatus", "RemoveFinalizer"]);
}
