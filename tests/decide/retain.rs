//! `deletionPolicy: Retain`: a deleted object goes at once, and its session is left alone. A session that the operator started
//! is tagged first.

use crate::core::{
    Access, Account, DeletionPolicy, ErrorClass, Operation, RETAINED_TAG, Retain, SessionState, Step, Suspension, View,
    decision,
};
use crate::fixtures::{HOME, REGION, SESSION, TIMING, WORK_GROUP, at, condition, home, minutes, seconds, view};
use crate::world::{Event, Poller, VICTIM, World};

const ALL: [Operation; 4] =
    [Operation::GetSession, Operation::GetSessionStatus, Operation::ListSessions, Operation::TerminateSession];

/// The reason of the event that was written when the object went.
fn released_event(world: &World) -> Option<&'static str> {
    let (_, Step::RemoveFinalizer { event }) = world.writes.last().unwrap() else { panic!("{:?}", world.writes) };
    event.as_ref().map(|event| event.reason)
}

/// S2: Retain is the way out where nothing else helps.
#[test]
fn retain_lets_a_hanging_deletion_go() {
    // AWS denies every call.
    let mut world = World::adopted(SessionState::Idle);
    for operation in ALL {
        world.outages.push((operation, ErrorClass::Denied));
    }
    world.event(&Event::Delete);
    world.run_for(minutes(30));
    let ready = condition(world.recorded(), "Ready").unwrap();
    assert_eq!(ready.reason, "AccessDenied");
    assert!(
        ready.message.ends_with("The session then keeps running, and is billed until it ends."),
        "{}",
        ready.message
    );
    world.event(&Event::SetPolicy(DeletionPolicy::Retain));
    world.forget_the_past();
    world.pass();
    assert_eq!(world.told(), "RemoveFinalizer");
    assert_eq!(world.session, Some(SessionState::Idle));
    assert_eq!(released_event(&world), Some("Retained"));
}

#[test]
fn retain_lets_go_also_where_the_account_is_the_wrong_one() {
    let mut world = World::adopted(SessionState::Idle);
    world.event(&Event::Restart);
    world.scope = crate::fixtures::elsewhere();
    world.event(&Event::SetPolicy(DeletionPolicy::Retain));
    world.event(&Event::Delete);
    world.pass();
    assert_eq!(world.told(), "RemoveFinalizer");
}

#[test]
fn terminate_holds_under_retain_until_the_object_is_deleted() {
    let mut world = World::adopted(SessionState::Idle);
    world.event(&Event::SetPolicy(DeletionPolicy::Retain));
    world.event(&Event::SetTerminate);
    world.pass();
    assert_eq!(world.session, Some(SessionState::Terminating));
    world.event(&Event::Delete);
    world.pass();
    assert!(world.object.is_none());
    assert_eq!(released_event(&world), Some("EndNotReached"));
}

/// The end of the session may be under way by then.
#[test]
fn the_event_retained_says_that_an_end_was_requested() {
    let mut world = World::adopted(SessionState::Idle);
    world.terminating_for = None;
    world.event(&Event::Delete);
    world.pass();
    assert_eq!(world.session, Some(SessionState::Terminating));
    world.event(&Event::SetPolicy(DeletionPolicy::Retain));
    world.pass();
    let (_, Step::RemoveFinalizer { event: Some(event) }) = world.writes.last().unwrap() else {
        panic!("{}", world.told())
    };
    assert_eq!(event.reason, "Retained");
    assert!(!event.note.contains("isn't ended") && event.note.contains("which was requested"), "{}", event.note);
}

const UNTAGGED: &str = "couldn't be tagged";

/// A session that the object has started, as the operator knows it a while later.
fn started() -> World {
    let mut world = World::starting();
    world.run_for(seconds(1));
    world.event(&Event::Becomes(SessionState::Idle));
    world.run_for(minutes(2));
    world.event(&Event::SetPolicy(DeletionPolicy::Retain));
    world.run_for(minutes(2));
    world.forget_the_past();
    world
}

/// Deletes the object. Returns the steps that follow.
fn deleted(world: &mut World) -> String {
    world.event(&Event::Delete);
    world.pass();
    assert!(world.object.is_none() && world.breach.is_none(), "{}: {:?}", world.told(), world.breach);
    assert_eq!(world.session, Some(SessionState::Idle));
    world.told()
}

fn note(world: &World) -> &str {
    let (_, Step::RemoveFinalizer { event: Some(event) }) = world.writes.last().unwrap() else {
        panic!("{}", world.told())
    };
    &event.note
}

#[test]
fn a_started_session_is_tagged_before_its_object_goes() {
    let mut world = started();
    assert_eq!(deleted(&mut world), "TagResource RemoveFinalizer");
    let Step::TagResource { arn, key, value } = &world.steps[0] else { panic!("{:?}", world.steps) };
    assert_eq!(arn, &format!("arn:aws:athena:{REGION}:{HOME}:workgroup/{WORK_GROUP}/session/{SESSION}"));
    assert_eq!(*key, RETAINED_TAG);
    let tagged_at: jiff::Timestamp = value.parse().unwrap();
    assert!(at(world.elapsed).wall.duration_since(tagged_at) < jiff::SignedDuration::from_secs(2), "{value}");
    assert!(!note(&world).contains(UNTAGGED), "{}", note(&world));
}

/// Only a session that bears the mark of an object could look orphaned.
#[test]
fn an_adopted_session_isnt_tagged() {
    let mut world = World::adopted(SessionState::Idle);
    world.event(&Event::SetPolicy(DeletionPolicy::Retain));
    assert_eq!(deleted(&mut world), "RemoveFinalizer");
    assert!(!note(&world).contains(UNTAGGED), "{}", note(&world));
}

/// Whatever TagResource answers, the call is made once and the object goes in the same pass.
#[test]
fn a_failing_tag_never_keeps_the_object() {
    for class in ErrorClass::ALL {
        let mut world = started();
        world.outages.push((Operation::TagResource, class));
        assert_eq!(deleted(&mut world), "TagResource RemoveFinalizer", "{class:?}");
        assert!(note(&world).contains(UNTAGGED), "{}", note(&world));
    }
}

/// The operator was killed, perhaps after the tag was set: a second tag is harmless.
#[test]
fn after_a_restart_athena_shows_the_mark_before_the_session_is_tagged() {
    let mut world = started();
    world.event(&Event::Restart);
    assert_eq!(deleted(&mut world), "GetSession TagResource RemoveFinalizer");
    for class in ErrorClass::ALL {
        let mut world = started();
        world.event(&Event::Restart);
        world.outages.push((Operation::GetSession, class));
        assert_eq!(deleted(&mut world), "GetSession RemoveFinalizer", "{class:?}");
        assert!(note(&world).contains(UNTAGGED), "{}", note(&world));
    }
}

/// S7: a forged status has nobody else's session tagged. The tag would protect that session from clean-up.
#[test]
fn a_forged_session_id_has_no_session_tagged() {
    let mut world = started();
    world.event(&Event::Restart);
    world.object.as_mut().unwrap().status.as_mut().unwrap().session_id = Some(VICTIM.to_owned());
    assert_eq!(deleted(&mut world), "GetSession RemoveFinalizer");
}

#[test]
fn a_session_that_has_ended_or_is_elsewhere_isnt_tagged() {
    let mut ended = started();
    ended.event(&Event::Becomes(SessionState::Terminated));
    ended.run_for(minutes(2));
    ended.forget_the_past();
    ended.event(&Event::Delete);
    ended.pass();
    assert_eq!(ended.told(), "RemoveFinalizer");

    let mut elsewhere = started();
    elsewhere.scope = crate::fixtures::elsewhere();
    assert_eq!(deleted(&mut elsewhere), "RemoveFinalizer");

    // No AthenaWorkGroup, so no identity that could call.
    let mut without_group = started();
    without_group.event(&Event::GroupExists(false));
    assert_eq!(deleted(&mut without_group), "RemoveFinalizer");
}

/// After a restart STS may not have answered yet.
#[test]
fn the_account_is_waited_for_no_longer_than_a_call() {
    let mut world = started();
    world.event(&Event::Restart);
    world.scope.account = Account::Unknown("no answer yet".to_owned());
    world.event(&Event::Delete);
    world.pass();
    assert_eq!(world.told(), "Wait(2s)");
    let mut confirmed = world;
    confirmed.run_for(seconds(3));
    confirmed.scope = home();
    confirmed.run_for(seconds(3));
    assert!(confirmed.told().ends_with("GetSession TagResource RemoveFinalizer"), "{}", confirmed.told());

    let mut unknown = started();
    unknown.event(&Event::Restart);
    unknown.scope.account = Account::Unknown("no answer yet".to_owned());
    unknown.event(&Event::Delete);
    unknown.run_for(TIMING.call_deadline + seconds(1));
    assert!(unknown.object.is_none(), "{}", unknown.told());
    assert_eq!(unknown.writes.len(), 1, "only the finalizer is written: {}", unknown.told());
}

#[test]
fn read_only_sets_no_tag_and_a_pause_does() {
    let mut read_only = started();
    read_only.event(&Event::Suspension(Some(Suspension::ReadOnly)));
    assert_eq!(deleted(&mut read_only), "RemoveFinalizer");
    let mut paused = started();
    paused.event(&Event::Suspension(Some(Suspension::ObjectPaused)));
    assert_eq!(deleted(&mut paused), "TagResource RemoveFinalizer");
}

/// The annotation `paused` hides --read-only from the conditions, and not from the tag.
#[test]
fn read_only_sets_no_tag_for_a_paused_object_either() {
    let access = |is_read_only| Access {
        reference: Some("spark".to_owned()),
        work_group: Some(WORK_GROUP.to_owned()),
        suspension: Some(Suspension::ObjectPaused),
        is_read_only,
        ..Access::default()
    };
    assert!(matches!(step_after(&access(false), seconds(0)), Step::TagResource { .. }));
    assert!(matches!(step_after(&access(true), seconds(0)), Step::RemoveFinalizer { .. }));
}

/// Where no token of the quota comes, the object waits no longer than one call may take.
#[test]
fn the_tag_holds_up_the_object_no_longer_than_a_call() {
    let access = Access { work_group: Some(WORK_GROUP.to_owned()), ..Access::default() };
    let before = TIMING.call_deadline - seconds(1);
    assert!(matches!(step_after(&access, before), Step::TagResource { .. }));
    assert!(matches!(step_after(&access, TIMING.call_deadline), Step::RemoveFinalizer { .. }));
}

/// The next step for an object whose deletion with Retain was found so long ago. The wait for the quota ends in time.
fn step_after(access: &Access, long: std::time::Duration) -> Step {
    let mut world = started();
    world.around.poller = Poller::Off;
    world.event(&Event::Delete);
    let object = world.object.unwrap();
    let began = at(world.elapsed);
    world.observed.found(&object, &home(), began);
    assert_eq!(world.observed.retain, Retain::Since(began.tick));
    let scope = home();
    let facts = View { access, ..view(&object, &world.observed, &scope, at(world.elapsed + long)) };
    let decision = decision(&facts);
    if matches!(decision.step, Step::TagResource { .. }) {
        assert_eq!(decision.awaits_quota_for, TIMING.call_deadline - long);
    }
    decision.step
}
