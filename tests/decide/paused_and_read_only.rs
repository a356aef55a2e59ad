//! Suspended ends: the flag `--read-only`, and the annotation `athena-operator.dev/paused`.

use crate::core::{DeletionPolicy, Operation, SessionState, Suspension};
use crate::fixtures::{condition, minutes, seconds};
use crate::world::{Event, World};

const SUSPENSIONS: [(Suspension, &str); 3] =
    [(Suspension::ReadOnly, "ReadOnly"), (Suspension::ObjectPaused, "Paused"), (Suspension::WorkGroupPaused, "Paused")];

#[test]
fn a_suspension_holds_up_the_end_and_is_reported_once() {
    for (suspension, reason) in SUSPENSIONS {
        for asked in [Event::Delete, Event::SetTerminate] {
            let mut world = World::granted(SessionState::Idle);
            world.event(&Event::Suspension(Some(suspension)));
            world.event(&asked);
            world.run_for(minutes(30));
            assert_eq!(world.session, Some(SessionState::Idle), "{suspension:?}");
            assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, reason);
            let message = &condition(world.recorded(), "Ready").unwrap().message;
            let lets_go =
                "remove the annotation, or set it to \"false\", to go on. Every other value counts as paused.";
            assert_eq!(message.contains(lets_go), reason == "Paused", "{message}");
            assert!(world.recorded().termination_requested_at.is_some(), "when it was asked for is recorded");
            assert_eq!(world.writes.len(), 1, "{}", world.told());
            world.event(&Event::Suspension(None));
            world.run_for(minutes(2));
            assert_eq!(world.session, Some(SessionState::Terminated));
            assert_eq!(world.object.is_none(), asked == Event::Delete);
            assert_eq!((world.count(Operation::TerminateSession), world.breach), (1, None));
        }
    }
}

#[test]
fn a_suspension_changes_nothing_where_no_end_is_requested() {
    for (suspension, _) in SUSPENSIONS {
        let mut world = World::granted(SessionState::Idle);
        world.event(&Event::Suspension(Some(suspension)));
        world.run_for(minutes(5));
        assert!(world.writes.is_empty(), "{suspension:?}");
    }
}

/// L1: a suspension stops TerminateSession, and not the end that was called for before.
#[test]
fn a_suspended_object_goes_when_an_end_under_way_is_reached() {
    for (suspension, _) in SUSPENSIONS {
        for state in [SessionState::Terminating, SessionState::Terminated, SessionState::Failed] {
            let mut world = World::granted(SessionState::Idle);
            world.event(&Event::Suspension(Some(suspension)));
            world.event(&Event::Delete);
            world.run_for(minutes(1));
            world.event(&Event::Becomes(state.clone()));
            world.run_for(minutes(3));
            assert!(world.object.is_none(), "{suspension:?} {state}");
            assert_eq!((world.count(Operation::TerminateSession), world.breach), (0, None));
        }
    }
}

/// The suspension comes while the end is about to be called for.
#[test]
fn a_suspension_counts_until_the_call() {
    for steps in 1..4 {
        let mut world = World::granted(SessionState::Idle);
        world.event(&Event::Delete);
        world.ambush.push((steps, Event::Suspension(Some(Suspension::ObjectPaused))));
        world.run_for(seconds(30));
        assert_eq!(world.breach, None, "after {steps} steps");
    }
}

#[test]
fn retain_releases_a_suspended_object() {
    for (suspension, _) in SUSPENSIONS {
        let mut world = World::granted(SessionState::Idle);
        world.event(&Event::Suspension(Some(suspension)));
        world.event(&Event::Delete);
        world.run_for(minutes(1));
        world.event(&Event::SetPolicy(DeletionPolicy::Retain));
        world.pass();
        assert_eq!((world.object.is_none(), world.session), (true, Some(SessionState::Idle)));
    }
}
