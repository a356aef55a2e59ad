//! `deletionPolicy: Retain`: a deleted object goes at once, and its session is left alone.

use crate::core::{DeletionPolicy, ErrorClass, Operation, SessionState, Step};
use crate::fixtures::{condition, minutes};
use crate::world::{Event, World};

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
