//! Errors of Athena: how soon a call is repeated, and what the condition says.

use std::time::Duration;

use crate::core::{ErrorClass, Observed, Operation, SessionState, Step};
use crate::fixtures::{TIMING, at, condition, error, minutes, seconds, status};
use crate::world::{Event, Fault, World};

const LOOK: Operation = Operation::GetSessionStatus;
const ALL: [Operation; 4] =
    [Operation::GetSession, Operation::GetSessionStatus, Operation::ListSessions, Operation::TerminateSession];

fn out(world: &mut World, class: ErrorClass) {
    world.outages = ALL.map(|operation| (operation, class)).into();
}

/// The waits after each of so many failures in a row.
fn waits(class: ErrorClass, jitter: f64, failures: usize) -> Vec<Duration> {
    let mut observed = Observed::default();
    let wait = |_| {
        observed.failed(error(LOOK, class), at(Duration::ZERO), &TIMING, jitter);
        observed.session.trouble.as_ref().unwrap().retry_at - at(Duration::ZERO).tick
    };
    (0..failures).map(wait).collect()
}

#[test]
fn back_off_doubles_from_the_least_wait_to_the_longest() {
    for class in [ErrorClass::Throttled, ErrorClass::Unavailable, ErrorClass::NotConfigured] {
        let expected = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map(seconds);
        assert_eq!(waits(class, 1.0, 11), expected, "{class:?}");
    }
    assert_eq!(*waits(ErrorClass::Throttled, 1.0, 100).last().unwrap(), TIMING.backoff_max, "the wait never overflows");
}

#[test]
fn jitter_takes_up_to_half_of_the_wait_away() {
    let whole = waits(ErrorClass::Unavailable, 1.0, 11);
    let half = waits(ErrorClass::Unavailable, 0.0, 11);
    let between = waits(ErrorClass::Unavailable, 0.5, 11);
    for index in 0..whole.len() {
        assert_eq!(half[index] * 2, whole[index]);
        assert!(half[index] < between[index] && between[index] < whole[index]);
    }
    for wild in [-3.0, 7.0] {
        let wait = waits(ErrorClass::Unavailable, wild, 1)[0];
        assert!((TIMING.backoff_min / 2..=TIMING.backoff_min).contains(&wait));
    }
}

#[test]
fn what_needs_a_person_is_tried_again_slowly() {
    for class in [ErrorClass::Denied, ErrorClass::Invalid] {
        assert_eq!(waits(class, 0.0, 3), [TIMING.steady; 3]);
    }
}

/// L2: for each class of error.
#[test]
fn no_call_is_made_before_its_time() {
    for class in [ErrorClass::Throttled, ErrorClass::Unavailable, ErrorClass::Denied] {
        let mut world = World::with(Some(SessionState::Idle));
        out(&mut world, class);
        for _ in 0..20 {
            world.pass();
            let retry = world.observed.session.trouble.as_ref().unwrap().retry_at - at(world.elapsed).tick;
            world.forget_the_past();
            world.wait(retry - Duration::from_millis(1));
            world.pass();
            assert!(world.calls.is_empty(), "{class:?}: called before its time");
            world.wait(Duration::from_millis(1));
        }
    }
}

#[test]
fn an_answer_ends_the_back_off() {
    let mut observed = Observed::default();
    for _ in 0..5 {
        observed.failed(error(LOOK, ErrorClass::Unavailable), at(Duration::ZERO), &TIMING, 1.0);
    }
    observed.session.looked(status(&SessionState::Idle), at(Duration::ZERO));
    assert!(observed.session.trouble.is_none());
}

/// L1: an answer to any object's call shows that an outage is over. Nothing else cuts a wait short.
#[test]
fn the_end_of_an_outage_ends_the_back_off_of_what_it_put_off() {
    for class in ErrorClass::ALL.into_iter().filter(|class| *class != ErrorClass::NotFoundOrInvalid) {
        for events in [vec![], vec![Event::SetTerminate], vec![Event::Delete]] {
            let mut world = World::adopted(SessionState::Idle);
            events.iter().for_each(|event| world.event(event));
            out(&mut world, class);
            world.run_for(minutes(20));
            world.forget_the_past();
            let told = format!("{class:?} after {events:?}");
            // An answer that came before the last failure doesn't count.
            let trouble =
                world.observed.session.trouble.clone().or(world.observed.session.end_trouble.clone()).unwrap();
            for (recovered_at, ends) in [(trouble.at, false), (at(world.elapsed).tick, class.is_outage())] {
                world.scope.recovered_at = Some(recovered_at);
                assert_eq!(world.observed.is_relieved(world.scope.recovered_at), ends, "{told}");
                world.pass();
                assert_eq!(!world.calls.is_empty(), ends, "{told}: {:?}", world.calls);
            }
        }
    }
}

#[test]
fn passing_trouble_is_told_from_the_third_failure_on() {
    for (class, reason) in [(ErrorClass::Throttled, "Throttled"), (ErrorClass::Unavailable, "AthenaUnavailable")] {
        let mut world = World::adopted(SessionState::Idle);
        out(&mut world, class);
        world.run_until(minutes(5), |world| world.calls.len() == 2);
        assert!(world.writes.is_empty(), "reported too early");
        world.run_until(minutes(5), |world| world.calls.len() == 3);
        assert_eq!(condition(world.recorded(), "Ready").unwrap().reason, reason);
        assert_eq!(condition(world.recorded(), "Reconciling").unwrap().status, "True");
    }
}

#[test]
fn what_needs_a_person_is_told_at_once() {
    for (class, reason) in [
        (ErrorClass::Denied, "AccessDenied"),
        (ErrorClass::Invalid, "Invalid"),
        (ErrorClass::NotConfigured, "AwsNotConfigured"),
    ] {
        let mut world = World::with(Some(SessionState::Idle));
        out(&mut world, class);
        world.pass();
        let stalled = condition(world.recorded(), "Stalled").unwrap();
        assert_eq!((stalled.reason.as_str(), stalled.status.as_str()), (reason, "True"));
        assert_eq!(condition(world.recorded(), "Active").unwrap().status, "Unknown");
    }
}

/// L2: for each class of error.
#[test]
fn trouble_is_written_once_and_not_at_each_retry() {
    // NotFoundOrInvalid isn't an error but an answer: see absence.rs.
    for class in ErrorClass::ALL.into_iter().filter(|class| *class != ErrorClass::NotFoundOrInvalid) {
        for events in [vec![], vec![Event::SetTerminate], vec![Event::Delete]] {
            let mut world = World::with(Some(SessionState::Idle));
            out(&mut world, class);
            events.iter().for_each(|event| world.event(event));
            world.run_for(minutes(600));
            // The request for an end is written first. A passing error is written from its third time on.
            let passing = matches!(class, ErrorClass::Throttled | ErrorClass::Unavailable);
            let writes = 1 + usize::from(passing && !events.is_empty());
            assert_eq!(world.writes.len(), writes, "{class:?} after {events:?}: {:?}", reasons(&world));
        }
    }
}

#[test]
fn one_outage_is_one_warning() {
    // Athena goes away in the middle of an end, so TerminateSession and looks fail in turn.
    for class in [ErrorClass::Throttled, ErrorClass::Unavailable] {
        let mut world = World::adopted(SessionState::Idle);
        out(&mut world, class);
        world.event(&Event::SetTerminate);
        world.run_for(minutes(600));
        let mut reasons = reasons(&world);
        assert!(reasons.len() <= 3, "{class:?}: {reasons:?}");
        reasons.dedup();
        assert_eq!(reasons.len(), 2, "{class:?}: {reasons:?}");
    }
}

/// L2: a success of one call doesn't reset the back-off of another.
#[test]
fn calls_that_fail_by_turns_back_off_as_well() {
    // Each answer of TerminateSession is lost, and every other answer of the looks in between.
    let mut world = World::adopted(SessionState::Idle);
    let fails = Fault::Fails(ErrorClass::Unavailable);
    world.faults = std::iter::repeat_n([fails, fails, Fault::None], 10_000).flatten().collect();
    world.event(&Event::Delete);
    world.run_for(minutes(60));
    assert!(world.calls.len() < 300, "{} calls in an hour of nothing but failures", world.calls.len());
}

/// L2: for each class of error.
#[test]
fn an_outage_costs_few_calls() {
    for class in [ErrorClass::Throttled, ErrorClass::Unavailable] {
        let mut world = World::adopted(SessionState::Idle);
        out(&mut world, class);
        world.event(&Event::Delete);
        world.run_for(minutes(60));
        assert!(world.calls.len() < 40, "{class:?}: {} calls in an hour", world.calls.len());
    }
}

#[test]
fn a_refused_end_is_told_and_goes_on_when_it_is_allowed() {
    let mut world = World::adopted(SessionState::Idle);
    world.outages.push((Operation::TerminateSession, ErrorClass::Denied));
    world.event(&Event::SetTerminate);
    world.run_for(minutes(10));
    let ready = condition(world.recorded(), "Ready").unwrap();
    assert_eq!(ready.reason, "AccessDenied");
    assert!(ready.message.contains("athena:TerminateSession"), "{}", ready.message);
    assert_eq!(condition(world.recorded(), "Active").unwrap().status, "False", "an end is asked for");
    world.outages.clear();
    world.run_for(minutes(3));
    assert_eq!(condition(world.recorded(), "Ready").unwrap().reason, "Ended");
}

#[test]
fn the_message_says_what_was_tried_what_was_said_and_what_to_do() {
    let mut world = World::with(Some(SessionState::Idle));
    out(&mut world, ErrorClass::Denied);
    world.pass();
    let message = &condition(world.recorded(), "Ready").unwrap().message;
    for part in [
        "GetSession",
        "AccessDeniedException",
        "not authorized",
        "Allow athena:GetSession to the operator's own AWS identity.",
        "every 1m.",
    ] {
        assert!(message.contains(part), "{part:?} isn't in {message:?}");
    }
}

#[test]
fn a_denial_names_the_role_that_was_assumed() {
    let mut world = World::with(Some(SessionState::Idle));
    world.scope.role = Some("arn:aws:iam::111111111111:role/spark".to_owned());
    out(&mut world, ErrorClass::Denied);
    world.pass();
    let message = &condition(world.recorded(), "Ready").unwrap().message;
    assert!(message.contains("Allow athena:GetSession to the role arn:aws:iam::111111111111:role/spark."), "{message}");
}

fn reasons(world: &World) -> Vec<String> {
    let reason = |step: &Step| match step {
        Step::WriteStatus { status, .. } => condition(status, "Ready").map(|ready| ready.reason.clone()),
        _ => None,
    };
    world.writes.iter().filter_map(|(_, step)| reason(step)).collect()
}
