//! Random stories of sessions with limits and grace periods. People, Athena, the API server and crashes do anything, in
//! any order:
//! - S1, S7: no session is ended before a limit is reached in truth, and no BUSY session before its grace period is
//!   over.
//! - L1: each limit, and each end that was asked for, is reached. L2: in the end nothing is written any more.

use std::time::Duration;

use jiff::SignedDuration;
use proptest::prelude::*;

use crate::core::{DeletionPolicy, ErrorClass, SessionState, Suspension};
use crate::fixtures::{minutes, seconds};
use crate::world::{Event, Fault, Forgery, Line, Poller, World, config, fault, poller};

#[derive(Clone, Debug)]
struct Story {
    starts: bool,
    faults: Vec<Fault>,
    poller: Poller,
    skew: i64,
    lines: Vec<Line>,
}

fn some_time() -> impl Strategy<Value = Option<Duration>> {
    prop::sample::select(vec![None, Some(seconds(20)), Some(minutes(2)), Some(minutes(10)), Some(minutes(60))])
}

fn event() -> impl Strategy<Value = Event> {
    use Forgery::*;
    let states =
        [SessionState::Idle, SessionState::Busy, SessionState::Idle, SessionState::Busy, SessionState::Degraded];
    let forgeries = [Emptied, EndRequested, EndRequestedLongAgo, EndRequestedInTheFuture, EndedByALimit];
    let suspensions = [None, Some(Suspension::ReadOnly), Some(Suspension::ObjectPaused)];
    prop_oneof![
        1 => Just(Event::Delete),
        1 => Just(Event::SetTerminate),
        3 => some_time().prop_map(Event::SetGrace),
        3 => some_time().prop_map(Event::SetLifetime),
        3 => some_time().prop_map(Event::SetIdle),
        3 => (some_time(), some_time()).prop_map(|(lifetime, idle)| Event::GroupLimits(lifetime, idle)),
        8 => prop::sample::select(states.to_vec()).prop_map(Event::Becomes),
        2 => Just(Event::Restart),
        2 => prop::sample::select(forgeries.to_vec()).prop_map(Event::Forge),
        1 => (1..4u8, any::<bool>()).prop_map(|(requests, late)| Event::ApiServerFails { requests, late }),
        1 => any::<bool>().prop_map(Event::GroupAllows),
        1 => prop::sample::select(suspensions.to_vec()).prop_map(Event::Suspension),
    ]
}

fn line() -> impl Strategy<Value = Line> {
    let long = prop_oneof![Just(1), Just(10), Just(19), Just(70), Just(400)].prop_map(seconds);
    prop_oneof![
        5 => long.prop_map(Line::Run),
        4 => (1..7u8, event()).prop_map(|(steps, event)| Line::Ambush(steps, event)),
        6 => event().prop_map(Line::Event),
        1 => any::<bool>().prop_map(Line::Freeze),
    ]
}

fn story() -> impl Strategy<Value = Story> {
    let parts = (
        any::<bool>(),
        prop::collection::vec(fault(), 0..12),
        poller(),
        prop::sample::select(vec![0, 0, 7200, -7200]),
        prop::collection::vec(line(), 0..20),
    );
    parts.prop_map(|(starts, faults, poller, skew, lines)| Story { starts, faults, poller, skew, lines })
}

fn told(story: &Story) -> World {
    let mut world = if story.starts { World::starting() } else { World::bound(SessionState::Idle) };
    world.scope.skew = Some(SignedDuration::from_secs(story.skew));
    world.faults = story.faults.iter().copied().collect();
    world.around.poller = story.poller;
    world.live_through(&story.lines);
    world
}

fn heal(world: &mut World) {
    world.calm(&[]);
    // A session that stays CREATING is asked for often, which these stories don't test.
    if world.session == Some(SessionState::Creating) {
        world.event(&Event::Becomes(SessionState::Idle));
    }
    // An object that is paused reaches the limit of its AthenaWorkGroup all the same.
    let paused = world.around.limits.lifetime().map(|_| Suspension::ObjectPaused);
    for event in [Event::GroupAllows(true), Event::Suspension(paused)] {
        world.event(&event);
    }
}

/// Whether the end of the object's session must come within the next hours.
fn is_due(world: &World) -> bool {
    let Some(object) = &world.object else { return false };
    let is_idle = world.session == Some(SessionState::Idle) && object.spec.max_idle.is_some();
    let of_group = &world.around.limits;
    let is_idle_in_group = world.session == Some(SessionState::Idle) && of_group.idle().is_some();
    object.spec.terminate
        || object.spec.max_lifetime.is_some()
        || of_group.lifetime().is_some()
        || is_idle
        || is_idle_in_group
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_session_is_ended_before_its_time_nor_lives_beyond_it(story in story()) {
        let mut world = told(&story);
        prop_assert!(world.breach.is_none(), "{:?}\n{}", world.breach, world.told());
        heal(&mut world);
        let is_due = is_due(&world);
        world.run_for(minutes(130));
        prop_assert!(world.breach.is_none(), "{:?}\n{}", world.breach, world.told());
        prop_assert!(!(is_due && world.session_runs()), "L1: the session runs: {:?}\n{}", world.object, world.told());
        let is_deleted = world.object.as_ref().is_some_and(|object| object.metadata.deletion_timestamp.is_some());
        prop_assert!(!is_deleted, "L1: the object hangs: {:?}\n{}", world.object, world.told());
        world.forget_the_past();
        world.run_for(minutes(30));
        prop_assert!(world.writes.is_empty(), "L2: {:?}", world.writes);
        world.event(&Event::SetPolicy(DeletionPolicy::Terminate));
        world.event(&Event::Delete);
        world.run_for(minutes(70));
        prop_assert!(world.object.is_none() && !world.session_runs(), "L1: {:?}\n{}", world.object, world.told());
        prop_assert!(world.breach.is_none(), "{:?}\n{}", world.breach, world.told());
    }
}

/// An administrator raises the limit between the operator's read and TerminateSession. Athena has no call that ends a session
/// only if an AthenaWorkGroup is unchanged.
#[test]
fn a_limit_that_is_raised_while_it_is_enforced_is_no_breach() {
    let lines = vec![
        Line::Ambush(1, Event::SetGrace(Some(minutes(2)))),
        Line::Event(Event::GroupLimits(Some(seconds(20)), Some(minutes(2)))),
        Line::Run(seconds(70)),
        Line::Ambush(4, Event::GroupLimits(Some(minutes(2)), None)),
        Line::Event(Event::Becomes(SessionState::Busy)),
        Line::Run(seconds(1)),
        Line::Run(seconds(10)),
    ];
    let faults = vec![Fault::Fails(ErrorClass::Denied), Fault::None];
    let world = told(&Story { starts: false, faults, poller: Poller::Shows { lag: Duration::ZERO }, skew: 0, lines });
    assert!(world.breach.is_none(), "{:?}\n{}", world.breach, world.told());
}
