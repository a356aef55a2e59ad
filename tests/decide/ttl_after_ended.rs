//! `spec.ttlAfterEnded`: when the operator deletes the object itself.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::{Operation, SessionState, TRACKED_BY};
use crate::fixtures::{condition, minutes, seconds};
use crate::world::{Event, Forgery, World};

fn expiring(mut world: World, ttl: &str) -> World {
    world.object.as_mut().unwrap().spec.ttl_after_ended = Some(ttl.to_owned());
    world
}

fn reason(world: &World) -> (String, String) {
    let ready = condition(world.recorded(), "Ready").unwrap();
    (ready.reason.clone(), ready.message.clone())
}

fn until_gone(world: &mut World, patience: Duration) -> bool {
    let until = world.elapsed + patience;
    world.run_until(until, |world| world.object.is_none())
}

#[test]
fn an_object_goes_so_long_after_the_end_of_its_session() {
    let mut world = expiring(World::with(Some(SessionState::Idle)), "1h30m");
    world.run_for(minutes(5));
    world.event(&Event::SetTerminate);
    world.run_for(minutes(1));
    assert_eq!(reason(&world).0, "Ended");
    let ended = world.recorded().ended_at.as_ref().unwrap().0;
    let due = Duration::try_from(ended.duration_since(crate::fixtures::at(world.elapsed).wall)).unwrap_or_default();
    assert_eq!(due, Duration::ZERO, "the session has ended");
    world.forget_the_past();
    world.run_for(minutes(88));
    assert!(world.object.is_some() && world.calls.is_empty(), "{}", world.told());
    assert!(until_gone(&mut world, minutes(2)));
    assert_eq!(world.count(Operation::TerminateSession), 0);
    assert!(world.breach.is_none(), "{:?}", world.breach);
}

#[test]
fn an_object_whose_session_failed_goes_too_and_after_a_restart() {
    let mut world = expiring(World::with(Some(SessionState::Idle)), "1h");
    world.run_for(minutes(5));
    world.event(&Event::Becomes(SessionState::Failed));
    world.run_for(minutes(5));
    world.event(&Event::Restart);
    world.run_for(minutes(30));
    assert!(world.object.is_some());
    assert!(until_gone(&mut world, minutes(40)));
}

/// S2, S7: the record alone doesn't say that the session has ended.
#[test]
fn an_object_whose_session_lives_stays_whatever_is_recorded() {
    let mut world = expiring(World::with(Some(SessionState::Idle)), "1s");
    world.run_for(minutes(5));
    world.event(&Event::Forge(Forgery::Ended));
    world.event(&Event::Restart);
    world.run_for(minutes(30));
    assert!(world.object.is_some() && !world.told().contains("DeleteObject"), "{}", world.told());
    assert_eq!(world.session, Some(SessionState::Idle));
}

#[test]
fn an_object_that_gitops_would_recreate_isnt_deleted() {
    let tracked = |mut world: World| {
        let labels = BTreeMap::from([(TRACKED_BY.to_owned(), "Argo CD".to_owned())]);
        world.object.as_mut().unwrap().metadata.labels = Some(labels);
        let mut world = expiring(world, "1m");
        world.run_for(seconds(30));
        world.event(&Event::Becomes(SessionState::Idle));
        world.run_for(seconds(30));
        world.event(&Event::SetTerminate);
        world.run_for(minutes(20));
        world
    };
    let world = tracked(World::starting());
    let (reason, message) = reason(&world);
    assert_eq!(reason, "Ended");
    assert!(message.contains("spec.ttlAfterEnded doesn't delete this object: Argo CD tracks the object"), "{message}");
    assert!(
        tracked(World::with(Some(SessionState::Idle))).object.is_none(),
        "creating this object anew starts no session"
    );
}

/// L2: and the deletion is tried rarely.
#[test]
fn a_missing_right_is_told_until_it_is_granted() {
    let mut world = expiring(World::with(Some(SessionState::Terminated)), "1m");
    world.objects.is_forbidden = true;
    world.run_for(minutes(20));
    let (reason, message) = reason(&world);
    assert_eq!(reason, "Ended");
    assert!(message.contains("spec.ttlAfterEnded can't delete this object") && message.contains("deploy/workloads"));
    assert_eq!(message.matches("ttlAfterEnded").count(), 1, "{message}");
    world.forget_the_past();
    world.run_for(minutes(20));
    assert!(world.writes.is_empty() && world.told().matches("DeleteObject").count() <= 21, "{}", world.told());
    world.objects.is_forbidden = false;
    assert!(until_gone(&mut world, minutes(2)));
}

#[test]
fn a_duration_that_cant_be_read_deletes_nothing() {
    for ttl in ["", "0s", "-1h", "1d", "soon", "99999999999999999999h", "9999999999999h"] {
        let mut world = expiring(World::with(Some(SessionState::Terminated)), ttl);
        world.run_for(minutes(60));
        assert!(world.object.is_some(), "{ttl}");
    }
}
