//! maxLifetime, maxIdle and terminationGracePeriod: when a limit ends a session, and what an end waits for.

use std::time::Duration;

use jiff::SignedDuration;

use crate::core::{DeletionPolicy, ErrorClass, Operation, SessionState, Suspension, TerminationReason};
use crate::fixtures::{at, condition, minutes, seconds};
use crate::world::{Event, Fault, Forgery, Poller, World, written};

const LOOK: Operation = Operation::GetSessionStatus;
const TERMINATE: Operation = Operation::TerminateSession;

fn with(state: SessionState, events: &[Event]) -> World {
    let mut world = World::adopted(state);
    for event in events {
        world.event(event);
    }
    world
}

fn ready(world: &World) -> (String, String) {
    let ready = condition(world.recorded(), "Ready").unwrap();
    (ready.reason.clone(), ready.message.clone())
}

/// When TerminateSession was first called.
fn ended_at(world: &World) -> Option<Duration> {
    world.calls.iter().find(|(_, called)| *called == TERMINATE).map(|(at, _)| *at)
}

fn is_within(ended_at: Option<Duration>, due: Duration) -> bool {
    ended_at.is_some_and(|ended_at| ended_at >= due && ended_at <= due + seconds(1))
}

/// S1, L1: and the object stays as the record.
#[test]
fn max_lifetime_ends_the_session_to_the_second() {
    for state in [SessionState::Idle, SessionState::Busy, SessionState::Degraded, SessionState::Created] {
        let mut world = with(state.clone(), &[Event::SetLifetime(Some(minutes(90) + seconds(7)))]);
        world.run_for(minutes(100));
        assert!(is_within(ended_at(&world), minutes(90) + seconds(7)), "{state}: {:?}", ended_at(&world));
        let recorded = world.recorded();
        assert_eq!(recorded.termination_reason, Some(TerminationReason::MaxLifetime));
        let terminated = condition(recorded, "Terminated").unwrap();
        assert_eq!((terminated.status.as_str(), terminated.reason.as_str()), ("True", "MaxLifetime"));
        assert_eq!(ready(&world).0, "Ended");
        assert_eq!(world.breach, None);
    }
}

/// S1: `500ms` is a typing error for `500m`, which an earlier version of the CRD accepted.
#[test]
fn a_limit_of_less_than_a_second_ends_nothing() {
    let slip = Duration::from_millis(500);
    for limit in [Event::SetLifetime(Some(slip)), Event::SetIdle(Some(slip))] {
        let mut world = with(SessionState::Idle, std::slice::from_ref(&limit));
        world.run_for(minutes(100));
        assert_eq!((ended_at(&world), world.breach), (None, None), "{limit:?}");
    }
}

/// S1: a session that was busy in between has not been idle for so long.
#[test]
fn max_idle_counts_only_unbroken_idle_time() {
    let mut world = with(SessionState::Idle, &[Event::SetIdle(Some(minutes(30)))]);
    world.run_for(minutes(29));
    world.event(&Event::Becomes(SessionState::Busy));
    world.run_for(minutes(120));
    assert_eq!((world.count(TERMINATE), ready(&world).0.as_str()), (0, "Running"));
    world.event(&Event::Becomes(SessionState::Idle));
    let since = world.elapsed;
    world.run_for(minutes(40));
    assert!(is_within(ended_at(&world), since + minutes(30)), "{:?}", ended_at(&world));
    assert_eq!(condition(world.recorded(), "Terminated").unwrap().reason, "MaxIdle");
    assert_eq!(world.breach, None);
}

/// S1: the session becomes busy, and the poll that would show this hasn't come yet.
#[test]
fn a_session_that_went_to_work_just_before_its_end_goes_on() {
    for poller in [Poller::Off, Poller::Shows { lag: seconds(20) }] {
        let mut world = World::granted(SessionState::Idle);
        world.around.poller = poller;
        world.event(&Event::SetIdle(Some(minutes(30))));
        world.run_for(minutes(30) - seconds(3));
        world.event(&Event::Becomes(SessionState::Busy));
        world.forget_the_past();
        world.run_for(seconds(25));
        assert_eq!(world.count(TERMINATE), 0, "{poller:?}: {}", world.told());
        assert!(world.writes.len() <= 1, "{poller:?}: {:?}", written(&world));
        world.event(&Event::Becomes(SessionState::Idle));
        world.run_for(minutes(29));
        assert_eq!((world.count(TERMINATE), &world.breach), (0, &None), "{poller:?}");
    }
}

/// A denied TerminateSession says nothing of a session that must not be ended any more: it can be used.
#[test]
fn a_denied_end_isnt_told_any_more_when_nobody_asks_for_the_end() {
    let mut world = with(SessionState::Idle, &[Event::SetIdle(Some(minutes(5)))]);
    world.outages = vec![(TERMINATE, ErrorClass::Denied)];
    world.run_for(minutes(6));
    let (reason, message) = ready(&world);
    assert_eq!(reason, "AccessDenied", "{message}");
    world.event(&Event::Becomes(SessionState::Busy));
    world.run_for(minutes(10));
    let active = condition(world.recorded(), "Active").unwrap();
    assert_eq!((ready(&world).0.as_str(), active.status.as_str()), ("Running", "True"), "{}", ready(&world).1);
    let tries = world.count(TERMINATE);
    world.event(&Event::Becomes(SessionState::Idle));
    world.run_for(minutes(7));
    assert!(world.count(TERMINATE) > tries, "the next idle time is over");
    assert_eq!((ready(&world).0.as_str(), world.breach), ("AccessDenied", None));
}

/// S1: reads are denied.
#[test]
fn no_limit_ends_a_session_without_a_fresh_look() {
    let mut world = with(SessionState::Idle, &[Event::SetIdle(Some(minutes(30)))]);
    world.outages = vec![(LOOK, ErrorClass::Denied)];
    world.run_for(minutes(90));
    assert_eq!((world.count(TERMINATE), ready(&world).0.as_str()), (0, "AccessDenied"));
    world.outages.clear();
    world.run_for(minutes(2));
    assert_eq!(world.count(TERMINATE), 1);
    assert_eq!(world.breach, None);
}

/// L2: limits are computed from times that are known.
#[test]
fn limits_cost_no_calls_until_they_are_due_and_two_writes_then() {
    let mut plain = World::adopted(SessionState::Idle);
    let limits = [Event::SetIdle(Some(minutes(200))), Event::SetLifetime(Some(minutes(300)))];
    let mut limited = with(SessionState::Idle, &limits);
    limited.run_for(seconds(1));
    for world in [&mut plain, &mut limited] {
        world.forget_the_past();
        world.run_for(minutes(190));
    }
    assert_eq!((limited.count(LOOK), limited.writes.len()), (plain.count(LOOK), 0));
    limited.forget_the_past();
    limited.run_until(minutes(240), |world| world.count(TERMINATE) == 1);
    assert_eq!(written(&limited), ["WriteStatus", "WriteStatus"], "the reason, and then the state TERMINATING");
    assert!(limited.told().contains("GetSessionStatus WriteStatus TerminateSession"), "{}", limited.told());
}

#[test]
fn limits_may_change_and_go_at_any_time() {
    let mut world = with(SessionState::Idle, &[Event::SetLifetime(Some(minutes(30)))]);
    world.run_for(minutes(20));
    world.event(&Event::SetLifetime(Some(minutes(60))));
    world.run_for(minutes(30));
    world.event(&Event::SetLifetime(None));
    world.event(&Event::SetIdle(Some(minutes(1))));
    world.event(&Event::SetIdle(None));
    world.run_for(minutes(60));
    assert_eq!(world.count(TERMINATE), 0);
    world.event(&Event::SetLifetime(Some(minutes(5))));
    world.run_for(seconds(10));
    assert_eq!(world.count(TERMINATE), 1, "maxLifetime was over long ago");
    assert_eq!(world.breach, None);
}

#[test]
fn athenas_times_are_compared_with_athenas_clock() {
    for skew in [SignedDuration::from_hours(2), SignedDuration::from_hours(-2)] {
        for limit in [Event::SetLifetime(Some(minutes(30))), Event::SetIdle(Some(minutes(30)))] {
            let mut world = World::with(Some(SessionState::Idle));
            world.scope.skew = Some(skew);
            world.event(&limit);
            world.run_for(minutes(40));
            assert!(is_within(ended_at(&world), minutes(30)), "{skew:?}: {:?}", ended_at(&world));
            assert_eq!(world.breach, None);
        }
    }
}

/// S5: a limit ends nothing that the spec couldn't end.
#[test]
fn suspensions_and_withdrawn_grants_hold_for_limits() {
    for (event, reason) in [
        (Event::Suspension(Some(Suspension::ReadOnly)), "ReadOnly"),
        (Event::Suspension(Some(Suspension::ObjectPaused)), "Paused"),
        (Event::GroupAllows(false), "NamespaceNotAllowed"),
    ] {
        let mut world = World::granted(SessionState::Idle);
        world.event(&Event::SetIdle(Some(minutes(5))));
        world.event(&event);
        world.run_for(minutes(30) + seconds(30));
        assert_eq!((world.count(TERMINATE), ready(&world).0.as_str()), (0, reason));
        world.event(&Event::Becomes(SessionState::Busy));
        world.event(&Event::Suspension(None));
        world.event(&Event::GroupAllows(true));
        world.run_for(minutes(30));
        assert_eq!((world.count(TERMINATE), ready(&world).0.as_str()), (0, "Running"), "{event:?}");
        let recorded = world.recorded();
        assert_eq!((&recorded.termination_reason, &recorded.termination_requested_at), (&None, &None));
        assert_eq!(world.breach, None);
    }
}

#[test]
fn an_end_by_a_limit_keeps_its_reason_whatever_comes_after() {
    let mut world = with(SessionState::Idle, &[Event::SetIdle(Some(minutes(5)))]);
    world.terminating_for = Some(minutes(2));
    world.run_until(minutes(10), |world| world.count(TERMINATE) == 1);
    world.event(&Event::SetIdle(None));
    for event in [None, Some(Event::Restart), Some(Event::Forgets), Some(Event::Restart)] {
        event.iter().for_each(|event| world.event(event));
        world.run_for(minutes(4));
        let terminated = condition(world.recorded(), "Terminated").unwrap();
        assert_eq!((terminated.status.as_str(), terminated.reason.as_str()), ("True", "MaxIdle"), "{event:?}");
        assert_eq!(world.recorded().termination_reason, Some(TerminationReason::MaxIdle));
        assert_eq!(ready(&world).0, "Ended");
    }
    assert_eq!(world.breach, None);
}

/// S7: the status claims an end by a limit that isn't reached.
#[test]
fn a_forged_end_by_a_limit_ends_nothing_and_goes() {
    for state in [SessionState::Idle, SessionState::Busy] {
        for restarts in [false, true] {
            let mut world =
                with(state.clone(), &[Event::SetIdle(Some(minutes(600))), Event::Forge(Forgery::EndedByALimit)]);
            if restarts {
                world.event(&Event::Restart);
            }
            world.run_for(minutes(10));
            assert_eq!((world.count(TERMINATE), ready(&world).0.as_str()), (0, "Running"));
            assert_eq!(world.recorded().termination_reason, None);
        }
    }
}

#[test]
fn a_started_session_has_limits_and_athenas_idle_timeout() {
    let mut world = World::starting();
    world.event(&Event::SetIdle(Some(seconds(20 * 60 + 1))));
    world.run_for(minutes(2));
    assert_eq!(world.starts.requests[0].idle_timeout_minutes, Some(21), "in whole minutes, rounded up");
    world.event(&Event::Becomes(SessionState::Idle));
    let since = world.elapsed;
    world.run_for(minutes(25));
    assert!(is_within(ended_at(&world), since + seconds(20 * 60 + 1)), "{:?}", ended_at(&world));
    assert_eq!(condition(world.recorded(), "Terminated").unwrap().reason, "MaxIdle");
    assert!(world.breach.is_none() && world.object.is_some(), "{:?}", world.breach);
}

#[test]
fn a_limit_that_is_held_up_is_waited_for_in_no_haste() {
    let mut world = with(SessionState::Idle, &[Event::SetLifetime(Some(minutes(5)))]);
    world.event(&Event::Suspension(Some(Suspension::ObjectPaused)));
    world.run_for(minutes(1));
    world.wait(minutes(5) - world.elapsed);
    for _ in 0..5 {
        world.pass();
    }
    assert!(!world.told().contains("Wait(0s)"), "{}", world.told());
}

// terminationGracePeriod.

fn draining(event: &Event) -> World {
    let mut world = with(SessionState::Busy, &[Event::SetGrace(Some(minutes(10)))]);
    world.run_for(minutes(1));
    world.forget_the_past();
    world.event(event);
    world.run_for(seconds(1));
    world
}

#[test]
fn a_busy_session_may_finish_and_is_ended_as_soon_as_it_has() {
    for event in [Event::Delete, Event::SetTerminate] {
        let mut world = draining(&event);
        let (reason, message) = ready(&world);
        let since = world.recorded().termination_requested_at.clone().unwrap().0;
        assert_eq!(reason, "Draining");
        assert!(message.contains(&format!("requested at {since}")), "{message}");
        assert!(message.contains(&(since + minutes(10)).to_string()), "{message}");
        assert_eq!(condition(world.recorded(), "Active").unwrap().status, "False");
        world.run_for(minutes(8));
        assert_eq!((written(&world), world.count(TERMINATE)), (vec!["WriteStatus".to_owned()], 0), "{event:?}");
        world.event(&Event::Becomes(SessionState::Idle));
        let finished = world.elapsed;
        world.run_for(seconds(20));
        assert!(ended_at(&world).unwrap() <= finished + seconds(3), "{event:?}: {:?}", ended_at(&world));
        assert_eq!((world.object.is_none(), &world.breach), (event == Event::Delete, &None));
    }
}

#[test]
fn the_grace_period_ends_to_the_second() {
    for event in [Event::Delete, Event::SetTerminate] {
        let mut world = draining(&event);
        let since = world.recorded().termination_requested_at.clone().unwrap();
        world.run_for(minutes(11));
        let over = since.0 + minutes(10);
        let ended = at(ended_at(&world).unwrap()).wall;
        assert!(ended >= over && ended <= over + seconds(1), "{ended} {over}");
        assert_eq!(world.breach, None);
    }
}

#[test]
fn the_grace_period_may_be_shortened_or_removed_meanwhile() {
    for grace in [Some(minutes(5)), None] {
        let mut world = draining(&Event::Delete);
        let began = world.elapsed;
        world.run_for(minutes(2));
        world.event(&Event::SetGrace(grace));
        world.run_for(minutes(4));
        let due = grace.map_or(began + minutes(2), |grace| began + grace - seconds(1));
        let ended = ended_at(&world).unwrap();
        assert!(ended >= due - seconds(1) && ended <= due + seconds(2), "{ended:?} {due:?}");
        assert!(world.object.is_none());
    }
}

#[test]
fn only_a_busy_session_is_waited_for() {
    for state in [SessionState::Idle, SessionState::Degraded, SessionState::Unknown("HIBERNATING".to_owned())] {
        let mut world = with(state.clone(), &[Event::SetGrace(Some(minutes(10))), Event::Delete]);
        world.run_for(minutes(1));
        assert!(world.object.is_none(), "{state}");
        assert_eq!(written(&world), ["WriteStatus", "RemoveFinalizer"], "{state}");
    }
}

#[test]
fn a_session_that_became_busy_since_it_was_seen_is_waited_for() {
    for poller in [Poller::Off, Poller::Shows { lag: seconds(0) }] {
        let mut world = World::granted(SessionState::Idle);
        world.around.poller = poller;
        world.event(&Event::SetGrace(Some(minutes(10))));
        world.run_for(seconds(90));
        world.event(&Event::Becomes(SessionState::Busy));
        world.event(&Event::Delete);
        world.run_for(minutes(9));
        assert_eq!(world.count(TERMINATE), 0, "{poller:?}");
        world.run_for(minutes(3));
        assert!(world.object.is_none() && world.breach.is_none(), "{:?}", world.breach);
    }
}

/// L1: the session may be BUSY, and the period is over.
#[test]
fn a_failing_look_holds_up_no_end_beyond_the_grace_period() {
    let mut world = with(SessionState::Idle, &[Event::SetGrace(Some(minutes(10)))]);
    world.run_for(seconds(30));
    world.outages = vec![(LOOK, ErrorClass::Denied)];
    let asked = world.elapsed;
    world.event(&Event::Delete);
    world.run_for(minutes(9));
    assert_eq!(world.count(TERMINATE), 0);
    world.run_until(asked + minutes(12), |world| world.count(TERMINATE) == 1);
    let late = ended_at(&world).unwrap() - asked;
    assert!(late + seconds(1) >= minutes(10) && late <= minutes(10) + seconds(1), "{late:?}");
}

/// The operator usually waits a moment before it overwrites a status that somebody else wrote. Not so here.
#[test]
fn since_when_it_counts_is_recorded_at_once() {
    let mut world = with(SessionState::Busy, &[Event::SetGrace(Some(minutes(10))), Event::Forge(Forgery::Emptied)]);
    world.run_for(seconds(1));
    world.event(&Event::Delete);
    let asked = at(world.elapsed).wall;
    world.run_for(seconds(1));
    let recorded = world.recorded().termination_requested_at.clone().unwrap().0;
    assert!(recorded.duration_since(asked).as_secs().abs() <= 1, "{recorded} {asked}");
}

#[test]
fn a_restart_goes_by_what_is_recorded() {
    let mut world = draining(&Event::SetTerminate);
    let since = world.recorded().termination_requested_at.clone().unwrap().0;
    world.run_for(minutes(4));
    world.event(&Event::Restart);
    world.forget_the_past();
    world.run_for(minutes(7));
    let ended = at(ended_at(&world).unwrap()).wall;
    assert!(ended >= since + minutes(10) && ended <= since + minutes(10) + seconds(1), "{ended}");
}

/// S1, S7, L1: an end may come late rather than early, and never not at all.
#[test]
fn a_forged_request_time_doesnt_change_the_grace_period() {
    use Forgery::{Emptied, EndRequestedInTheFuture, EndRequestedLongAgo};
    for forgery in [EndRequestedInTheFuture, EndRequestedLongAgo, Emptied] {
        for restarts in [false, true] {
            let mut world = draining(&Event::Delete);
            let deleted = world.elapsed;
            world.run_for(minutes(5));
            world.event(&Event::Forge(forgery));
            if restarts {
                world.event(&Event::Restart);
            }
            world.run_for(minutes(25));
            let ended = ended_at(&world)
                .unwrap_or_else(|| panic!("{forgery:?} {restarts} {:?} {}", world.object, world.told()));
            let latest = if restarts { minutes(16) } else { minutes(11) };
            assert!(ended + seconds(2) >= deleted + minutes(10), "{forgery:?} {restarts}: {ended:?}");
            assert!(ended <= deleted + latest, "{forgery:?} {restarts}: {ended:?}");
            assert!(world.object.is_none(), "{forgery:?} {restarts}");
        }
    }
}

/// S7, L1: the status is forged again and again.
#[test]
fn repeated_forging_puts_off_no_end() {
    for forgery in [Forgery::Emptied, Forgery::EndRequestedInTheFuture] {
        let mut world = draining(&Event::Delete);
        let deleted = world.elapsed;
        for _ in 0..60 {
            world.event(&Event::Forge(forgery));
            world.run_for(seconds(15));
        }
        let ended = ended_at(&world);
        assert!(ended.is_some_and(|ended| ended <= deleted + minutes(11)), "{forgery:?}: {ended:?}");
    }
}

#[test]
fn a_lifetime_that_is_over_waits_for_what_is_busy_too() {
    let mut world =
        with(SessionState::Busy, &[Event::SetGrace(Some(minutes(10))), Event::SetLifetime(Some(minutes(30)))]);
    world.run_for(minutes(35));
    let (reason, message) = ready(&world);
    assert_eq!((reason.as_str(), world.count(TERMINATE)), ("Draining", 0));
    assert!(message.contains("spec.maxLifetime"), "{message}");
    world.run_for(minutes(10));
    assert!(is_within(ended_at(&world), minutes(40)), "{:?}", ended_at(&world));
    assert_eq!(condition(world.recorded(), "Terminated").unwrap().reason, "MaxLifetime");
    assert_eq!(world.breach, None);
}

#[test]
fn a_lifetime_that_is_made_longer_meanwhile_takes_the_end_back() {
    let mut world =
        with(SessionState::Busy, &[Event::SetGrace(Some(minutes(10))), Event::SetLifetime(Some(minutes(30)))]);
    world.run_for(minutes(35));
    world.event(&Event::SetLifetime(Some(minutes(60))));
    world.run_for(minutes(20));
    assert_eq!((world.count(TERMINATE), ready(&world).0.as_str()), (0, "Running"));
    assert_eq!(world.recorded().termination_requested_at, None);
    world.run_for(minutes(20));
    assert!(is_within(ended_at(&world), minutes(70)), "counted anew: {:?}", ended_at(&world));
}

#[test]
fn an_end_that_was_begun_isnt_held_up_by_new_work() {
    let mut world = with(SessionState::Idle, &[Event::SetGrace(Some(minutes(10)))]);
    world.faults = [Fault::None, Fault::NoEffect].into();
    world.event(&Event::Delete);
    world.run_until(minutes(1), |world| world.count(TERMINATE) == 1);
    world.event(&Event::Becomes(SessionState::Busy));
    world.run_for(seconds(10));
    assert_eq!(ready(&world).0, "Terminating");
}

#[test]
fn retain_lets_a_draining_object_go() {
    let mut world = draining(&Event::Delete);
    assert!(ready(&world).1.contains("Retain"), "{}", ready(&world).1);
    world.event(&Event::SetPolicy(DeletionPolicy::Retain));
    world.run_for(seconds(5));
    assert_eq!((world.object.is_none(), world.session.clone()), (true, Some(SessionState::Busy)));
    assert_eq!(world.count(TERMINATE), 0);
}

#[test]
fn without_a_grace_period_nothing_waits() {
    let mut world = with(SessionState::Busy, &[Event::Delete]);
    world.run_for(minutes(1));
    assert_eq!(
        (written(&world), world.count(TERMINATE)),
        (vec!["WriteStatus".to_owned(), "RemoveFinalizer".to_owned()], 1)
    );
}

/// S1: the session was seen IDLE a moment ago, and became BUSY since.
#[test]
fn an_end_with_a_grace_period_takes_a_look_after_the_request() {
    let mut world = World::adopted(SessionState::Idle);
    world.event(&Event::SetGrace(Some(minutes(10))));
    world.run_for(seconds(1));
    world.event(&Event::Becomes(SessionState::Busy));
    world.event(&Event::Delete);
    world.run_for(minutes(9));
    assert_eq!((world.count(TERMINATE), ready(&world).0.as_str()), (0, "Draining"), "{}", world.told());
    world.run_for(minutes(3));
    assert_eq!((world.count(TERMINATE), &world.breach), (1, &None));
}

/// The start asked Athena for the same idle timeout, and Athena ends the session a moment before the operator would.
#[test]
fn an_end_by_athenas_idle_timeout_counts_as_max_idle() {
    for (idle, expected) in [(minutes(5), "MaxIdle"), (minutes(4), "EndedElsewhere")] {
        let mut world = World::starting();
        world.event(&Event::SetIdle(Some(minutes(5))));
        world.run_for(seconds(5));
        world.event(&Event::Becomes(SessionState::Idle));
        world.run_for(idle - seconds(1));
        world.event(&Event::Becomes(SessionState::Terminated));
        world.run_for(minutes(2));
        assert_eq!(world.count(TERMINATE), 0, "{}", world.told());
        assert_eq!(condition(world.recorded(), "Terminated").unwrap().reason, expected);
        world.forget_the_past();
        world.event(&Event::Restart);
        world.run_for(minutes(10));
        assert_eq!(condition(world.recorded(), "Terminated").unwrap().reason, expected, "after a restart");
    }
}
