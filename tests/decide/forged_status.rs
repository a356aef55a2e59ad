//! S7: a status is a record and no authority. A forged one ends no session and lets no object go.

use crate::core::{Operation, SessionState};
use crate::fixtures::{condition, minutes};
use crate::world::{Event, Forgery, World};

const FORGERIES: [Forgery; 7] = [
    Forgery::Emptied,
    Forgery::Ended,
    Forgery::OtherSession,
    Forgery::OtherWorkGroup,
    Forgery::OtherRegion,
    Forgery::OtherAccount,
    Forgery::EndRequested,
];

/// S1, S7: whoever may write the status can't end a session by it.
#[test]
fn a_forged_status_ends_no_session() {
    for forgery in FORGERIES {
        for restarted in [false, true] {
            let mut world = World::adopted(SessionState::Idle);
            world.event(&Event::Forge(forgery));
            if restarted {
                world.event(&Event::Restart);
            }
            world.run_for(minutes(10));
            assert_eq!(world.count(Operation::TerminateSession), 0, "{forgery:?}");
            assert_eq!(world.session, Some(SessionState::Idle));
        }
    }
}

/// S2, S7: the finalizer needs evidence from Athena.
#[test]
fn a_forged_status_lets_no_object_go() {
    for forgery in FORGERIES {
        for restarted in [false, true] {
            let mut world = World::adopted(SessionState::Idle);
            world.terminating_for = None;
            world.event(&Event::Forge(forgery));
            if restarted {
                world.event(&Event::Restart);
            }
            world.event(&Event::Delete);
            world.run_for(minutes(10));
            assert!(world.object.is_some(), "{forgery:?}");
            assert_eq!(world.breach, None, "{forgery:?}");
        }
    }
}

/// S7, L1: this process trusts what it has seen itself.
#[test]
fn a_forged_status_keeps_no_session_alive_that_was_seen() {
    for forgery in FORGERIES {
        let mut world = World::adopted(SessionState::Idle);
        world.event(&Event::Forge(forgery));
        world.event(&Event::Delete);
        world.run_for(minutes(10));
        assert!(world.object.is_none(), "{forgery:?}");
        assert_eq!(world.session, Some(SessionState::Terminated), "{forgery:?}");
    }
}

/// S7: the next look overwrites what was forged.
#[test]
fn a_forged_status_is_put_right() {
    for forgery in FORGERIES {
        let mut world = World::adopted(SessionState::Idle);
        let mut before = world.recorded().clone();
        world.event(&Event::Forge(forgery));
        world.run_for(minutes(2));
        let mut after = world.recorded().clone();
        // Athena doesn't know when the end was asked for. Where nobody asks for an end, this time has no effect.
        (before.termination_requested_at, after.termination_requested_at) = (None, None);
        for condition in before.conditions.iter_mut().chain(&mut after.conditions) {
            condition.last_transition_time = crate::fixtures::time(minutes(0));
        }
        assert_eq!(after, before, "{forgery:?}");
    }
}

/// S4, S7: a new process can't know better than the record, so it calls nothing and says why.
#[test]
fn a_forged_account_or_region_stops_every_call_after_a_restart() {
    for (forgery, reason) in [(Forgery::OtherRegion, "WrongRegion"), (Forgery::OtherAccount, "WrongAccount")] {
        let mut world = World::adopted(SessionState::Idle);
        world.event(&Event::Forge(forgery));
        world.event(&Event::Restart);
        world.forget_the_past();
        world.run_for(minutes(10));
        assert!(world.calls.is_empty());
        assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, reason);
    }
}
