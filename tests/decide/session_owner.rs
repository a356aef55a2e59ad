//! S1, S2: who owns a session that two objects name. Only the owner may end it.

use crate::core::{ANSWER_LIFE, Access, Observed, OwnerRead, SessionState, Step, View, decide};
use crate::fixtures::{at, claim, condition, home, minutes, object, seconds, states, time, view};
use crate::world::{Event, Owner, Poller, World};

const STANDS: Option<Owner> = Some(Owner { stands: true });
const GOES: Option<Owner> = Some(Owner { stands: false });

/// S1, S8: the condition says AlreadyDeclared.
#[test]
fn an_object_that_isnt_the_owner_neither_watches_nor_ends() {
    for state in states() {
        for asked in [None, Some(Event::SetTerminate)] {
            let mut world = World::granted(SessionState::Idle);
            world.around.poller = Poller::Shows { lag: seconds(0) };
            world.event(&Event::Owner(STANDS, true));
            asked.iter().for_each(|asked| world.event(asked));
            world.event(&Event::Becomes(state.clone()));
            // The owner's poller sees the session.
            world.wait(seconds(1));
            world.poll();
            world.run_for(minutes(10));
            assert!(world.calls.is_empty(), "{}", world.told());
            assert_eq!(
                world.recorded().state.as_deref(),
                Some("IDLE"),
                "only the owner's object shows the state from now on"
            );
            assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, "AlreadyDeclared");
            assert_eq!((world.writes.len(), world.breach), (1, None));
        }
    }
}

/// S8: the status says only that another object owns the session.
#[test]
fn an_object_without_finalizer_isnt_adopted_and_told_nothing() {
    let mut world = World::bound(SessionState::Idle);
    world.object.as_mut().unwrap().metadata.finalizers = None;
    world.around.poller = Poller::Shows { lag: seconds(0) };
    world.event(&Event::Owner(STANDS, true));
    world.wait(seconds(1));
    world.poll();
    world.run_for(minutes(10));
    assert_eq!((world.recorded().state.as_deref(), world.calls.len(), world.breach.clone()), (None, 0, None));
    // The watches may not show why the owner changed, for example where an account comes to be known.
    world.event(&Event::Owner(None, true));
    world.run_for(minutes(2));
    assert_eq!(world.recorded().state.as_deref(), Some("IDLE"));
}

/// S2: the owner is read from the API server before.
#[test]
fn the_object_goes_when_its_owner_certainly_exists() {
    let mut world = World::granted(SessionState::Idle);
    world.event(&Event::Owner(STANDS, true));
    world.run_for(seconds(1));
    world.event(&Event::Delete);
    world.pass();
    assert!(world.object.is_none() && world.calls.is_empty(), "{}", world.told());
    assert_eq!((world.session, world.breach), (Some(SessionState::Idle), None));
}

/// S2, L1: the owner that the watch shows may be gone, or may be retained.
#[test]
fn an_owner_that_is_gone_leaves_the_session_to_the_other() {
    for truth in [None, GOES] {
        let mut world = World::granted(SessionState::Idle);
        world.event(&Event::Owner(STANDS, true));
        world.event(&Event::Owner(truth, false));
        world.event(&Event::Delete);
        world.run_for(minutes(5));
        assert!(world.object.is_some(), "{truth:?}");
        world.event(&Event::Owner(None, true));
        world.run_for(minutes(1));
        assert!(world.object.is_none());
        assert_eq!((world.session, world.breach), (Some(SessionState::Terminated), None));
    }
}

/// S2: or when it was of another owner.
#[test]
fn the_owner_is_read_again_when_the_read_is_old() {
    let mut object = object();
    object.metadata.deletion_timestamp = Some(time(seconds(0)));
    let access = Access { owner: Some(claim("older")), ..Access::default() };
    let now = at(minutes(10));
    let step = |uid: &str, ago, stands| {
        let read = OwnerRead { uid: uid.to_owned(), at: at(minutes(10) - ago).tick, stands };
        let mut observed = Observed::default();
        observed.session.owner = Some(Box::new(read));
        let scope = home();
        decide(&View { access: &access, ..view(&object, &observed, &scope, now) })
    };
    let confirms = |step| matches!(step, Step::GetOwner { .. });
    assert!(matches!(step("older", ANSWER_LIFE, true), Step::RemoveFinalizer { .. }));
    assert!(confirms(step("older", ANSWER_LIFE + seconds(1), true)));
    assert!(confirms(step("another", seconds(1), true)));
    assert!(!confirms(step("older", seconds(1), false)));
}
