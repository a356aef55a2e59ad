//! What holds up ends: `--read-only`, and the annotation `paused`.

use crate::core::{Brake, DeletionPolicy, Operation, SessionState};
use crate::fixtures::{condition, minutes, seconds};
use crate::world::{Event, World};

const BRAKES: [(Brake, &str); 3] =
    [(Brake::ReadOnly, "ReadOnly"), (Brake::ObjectPaused, "Paused"), (Brake::WorkGroupPaused, "Paused")];

#[test]
fn a_suspension_holds_up_the_end_and_is_reported_once() {
    for (brake, reason) in BRAKES {
        for asked in [Event::Delete, Event::SetTerminate] {
            let mut world = World::granted(SessionState::Idle);
            world.event(&Event::Brake(Some(brake)));
            world.event(&asked);
            world.run_for(minutes(30));
            assert_eq!(world.session, Some(SessionState::Idle), "{brake:?}");
            assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, reason);
            let message = &condition(world.recorded(), "Ready").unwrap().message;
            let lets_go =
                "remove the annotation, or set it to \"false\", to go on. Every other value counts as paused.";
            assert_eq!(message.contains(lets_go), reason == "Paused", "{message}");
            assert!(world.recorded().termination_requested_at.is_some(), "when it was asked for is recorded");
            assert_eq!(world.writes.len(), 1, "{}", world.told());
            world.event(&Event::Brake(None));
            world.run_for(minutes(2));
            assert_eq!(world.session, Some(SessionState::Terminated));
            assert_eq!(world.object.is_none(), asked == Event::Delete);
            assert_eq!((world.count(Operation::TerminateSession), world.breach), (1, None));
        }
    }
}

#[test]
fn a_suspension_changes_nothing_where_no_end_is_requested() {
    for (brake, _) in BRAKES {
        let mut world = World::granted(SessionState::Idle);
        world.event(&Event::Brake(Some(brake)));
        world.run_for(minutes(5));
        assert!(world.writes.is_empty(), "{brake:?}");
    }
}

#[test]
fn a_suspended_object_goes_when_an_end_under_way_is_reached() {
    for (brake, _) in BRAKES {
        for state in [SessionState::Terminating, SessionState::Terminated, SessionState::Failed] {
            let mut world = World::granted(SessionState::Idle);
            world.event(&Event::Brake(Some(brake)));
            world.event(&Event::Delete);
            world.run_for(minutes(1));
            world.event(&Event::Becomes(state.clone()));
            world.run_for(minutes(3));
            assert!(world.object.is_none(), "{brake:?} {state}");
            assert_eq!((world.count(Operation::TerminateSession), world.breach), (0, None));
        }
    }
}

/// It comes while the end is about to be asked for.
#[test]
fn a_suspension_counts_until_the_call() {
    for steps in 1..4 {
        let mut world = World::granted(SessionState::Idle);
        world.event(&Event::Delete);
        world.ambush.push((steps, Event::Brake(Some(Brake::ObjectPaused))));
        world.run_for(seconds(30));
        assert_eq!(world.breach, None, "after {steps} steps");
    }
}

#[test]
fn retain_releases_a_suspended_object() {
    for (brake, _) in BRAKES {
        let mut world = World::granted(SessionState::Idle);
        world.event(&Event::Brake(Some(brake)));
        world.event(&Event::Delete);
        world.run_for(minutes(1));
        world.event(&Event::SetPolicy(DeletionPolicy::Retain));
        world.pass();
        assert_eq!((world.object.is_none(), world.session), (true, Some(SessionState::Idle)));
    }
}
