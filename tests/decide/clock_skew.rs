//! S1: impossible times in Athena's answers, and clocks that were set. They reach no limit, and skip no grace period.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::core::{AthenaSession, CallerContext, Now, Observed, SessionState, grace};
use crate::fixtures::{TIMING, at, home, minutes, object, seconds, time, view};
use crate::world::{Event, World, ends, message, reason};

fn moment(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

/// The start of the session and its idle time, as Athena claims them.
type Said = (Option<Timestamp>, Option<Timestamp>);

#[test]
fn a_time_that_cant_be_reaches_no_limit_and_is_told_once() {
    let future = at(minutes(1_000)).wall;
    let cases: [(Said, &str); 4] = [
        ((moment("1970-01-01T00:00:00Z"), None), "before Athena"),
        ((Some(future), None), "in the future"),
        ((None, moment("1970-01-01T00:00:00Z")), "before Athena"),
        ((Some(at(minutes(8)).wall), Some(at(seconds(0)).wall)), "idle since before its start"),
    ];
    for ((started, idle), words) in cases {
        let mut world = World::granted(SessionState::Idle);
        (world.truth.said_started_at, world.truth.said_idle_since) = (started, idle);
        let limit = Some(minutes(600));
        let (lifetime, idleness) = if idle.is_some() { (None, Some(minutes(5))) } else { (limit, None) };
        world.event(&Event::SetLifetime(lifetime));
        world.event(&Event::SetIdle(idleness));
        world.run_for(minutes(60));
        assert_eq!((ends(&world), reason(&world).as_str()), (0, "Running"), "{words}: {}", world.told());
        assert!(message(&world).contains(words), "{}", message(&world));
        assert!(world.writes.len() <= 3, "{words}: {:?}", world.writes);
        world.event(&Event::Delete);
        assert!(world.run_until(minutes(80), |world| world.object.is_none()), "{}", world.told());
    }
}

/// Otherwise `ttlAfterEnded` would delete the object at once, and with it the record of why the session ended.
#[test]
fn an_end_before_the_start_makes_no_object_expire() {
    let mut world = World::granted(SessionState::Idle);
    world.object.as_mut().unwrap().spec.ttl_after_ended = Some("30m".to_owned());
    world.run_for(minutes(60));
    world.event(&Event::Becomes(SessionState::Terminated));
    world.truth.said_ended_at = moment("1970-01-01T00:00:00Z");
    world.run_for(minutes(5));
    assert!(!world.told().contains("DeleteObject"), "{}", world.told());
    assert!(world.recorded().ended_at.as_ref().unwrap().0 >= at(minutes(59)).wall, "when it was seen");
}

// Clocks that were set.

const GRACE: Duration = minutes(30);

/// An object whose end was asked for five minutes after the story began.
fn draining() -> AthenaSession {
    let mut object = object();
    object.spec.terminate = true;
    object.spec.termination_grace_period = Some(GRACE.into());
    object.status.get_or_insert_default().termination_requested_at = Some(time(minutes(5)));
    object
}

fn rest(object: &AthenaSession, observed: &Observed, scope: &CallerContext, now: Now) -> Duration {
    grace(&view(object, observed, scope, now)).map_or(Duration::ZERO, |grace| grace.rest)
}

fn about(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) <= seconds(1)
}

#[test]
fn a_clock_that_is_set_over_a_restart_skips_no_grace_period() {
    for hours in [10, -10] {
        let set = SignedDuration::from_hours(hours);
        let now = |elapsed| Now { wall: at(elapsed).wall.checked_add(set).unwrap(), tick: at(elapsed).tick };
        let (object, mut observed) = (draining(), Observed::default());
        // The new process finds the object a minute after the end was asked for.
        let unknown = CallerContext { skew: None, ..home() };
        observed.found(&object, &unknown, now(minutes(6)));
        assert!(about(rest(&object, &observed, &unknown, now(minutes(6))), GRACE), "{hours} h: all of it");
        // Athena answers.
        let known = CallerContext { skew: Some(-set), ..home() };
        observed.found(&object, &known, now(minutes(7)));
        let left = rest(&object, &observed, &known, now(minutes(7)));
        assert!(about(left, GRACE - minutes(2)), "{hours} h: {left:?}");
        // From then on the rest decreases as time passes.
        observed.found(&object, &known, now(minutes(20)));
        let left = rest(&object, &observed, &known, now(minutes(20)));
        assert!(about(left, GRACE - minutes(15)), "{hours} h: {left:?}");
    }
}

/// Athena doesn't answer, or its answers have no date.
#[test]
fn without_athenas_clock_this_process_measures_the_grace_period() {
    let (object, mut observed, scope) = (draining(), Observed::default(), CallerContext { skew: None, ..home() });
    let later = |elapsed| Now { wall: at(minutes(900)).wall, tick: at(elapsed).tick };
    observed.found(&object, &scope, later(minutes(6)));
    let left = rest(&object, &observed, &scope, later(minutes(26)));
    assert!(about(left, GRACE - minutes(20)), "{left:?}");
    assert_eq!(rest(&object, &observed, &scope, later(minutes(36) + TIMING.changing)), Duration::ZERO);
}

#[test]
fn the_request_of_an_end_is_recorded_by_athenas_clock() {
    let mut world = World::granted(SessionState::Busy);
    world.scope.skew = Some(SignedDuration::from_hours(-10));
    world.event(&Event::SetGrace(Some(GRACE)));
    world.event(&Event::SetTerminate);
    world.run_for(seconds(5));
    let recorded = world.recorded().termination_requested_at.clone().unwrap().0;
    let athena = world.scope.athena_time(at(world.elapsed).wall);
    assert!(athena.duration_since(recorded).abs() < SignedDuration::from_secs(10), "{recorded} {athena}");
}
