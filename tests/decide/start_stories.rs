//! Random stories of objects that start a session. People, Athena, the API server and crashes do anything, in any
//! order:
//! - S3: at most one session is started for an object.
//! - S1, S2, L1: the session is ended when an end is asked for, and never left behind.
//! - S7: a forged status gives no rights. L2: in the end nothing is written any more.
//!
//! Stories that failed once are in tests/proptest-regressions, and are tried first.

use proptest::prelude::*;

use crate::core::{DeletionPolicy, Engine, EngineKnowledge, ErrorClass, SessionState, StartBounds, Suspension};
use crate::engine_versions::everything;
use crate::fixtures::{minutes, seconds};
use crate::world::{Event, Fault, Forgery, Line, Poller, World, config};

#[derive(Clone, Debug)]
struct Story {
    faults: Vec<Fault>,
    list_lag: u64,
    list_age: u64,
    poller: Poller,
    was_adopted_before: bool,
    limited: bool,
    engine: EngineKnowledge,
    lines: Vec<Line>,
}

fn event() -> impl Strategy<Value = Event> {
    use Forgery::*;
    let states = [
        SessionState::Idle,
        SessionState::Busy,
        SessionState::Degraded,
        SessionState::Failed,
        SessionState::Terminated,
    ];
    let policies = [DeletionPolicy::Terminate, DeletionPolicy::Terminate, DeletionPolicy::Retain];
    let suspensions = [None, Some(Suspension::ReadOnly), Some(Suspension::ObjectPaused)];
    prop_oneof![
        4 => Just(Event::Delete),
        2 => Just(Event::SetTerminate),
        1 => prop::sample::select(policies.to_vec()).prop_map(Event::SetPolicy),
        4 => Just(Event::Restart),
        3 => prop::sample::select(states.to_vec()).prop_map(Event::Becomes),
        2 => prop::sample::select(vec![Emptied, Ended, OtherSession, EndRequested]).prop_map(Event::Forge),
        2 => (1..4u8, any::<bool>()).prop_map(|(requests, late)| Event::ApiServerFails { requests, late }),
        2 => any::<bool>().prop_map(Event::GroupAllows),
        1 => any::<bool>().prop_map(Event::GroupCloses),
        1 => prop::sample::select(suspensions.to_vec()).prop_map(Event::Suspension),
        2 => prop::sample::select(engines().to_vec()).prop_map(Event::Learns),
    ]
}

fn engines() -> [EngineKnowledge; 5] {
    let known = [Engine::PySpark3, Engine::Spark35, Engine::NotSpark(None)].map(EngineKnowledge::Known);
    let [old, new, sql] = known;
    [EngineKnowledge::Awaited, EngineKnowledge::NotKnown(None), old, new, sql]
}

fn line() -> impl Strategy<Value = Line> {
    let long = prop_oneof![Just(1), Just(5), Just(20), Just(70), Just(400)].prop_map(seconds);
    prop_oneof![
        5 => long.prop_map(Line::Run),
        5 => (1..7u8, event()).prop_map(|(steps, event)| Line::Ambush(steps, event)),
        4 => event().prop_map(Line::Event),
        2 => any::<bool>().prop_map(Line::Freeze),
        1 => any::<bool>().prop_map(|quota_exceeded| Line::Event(Event::QuotaExceeded(quota_exceeded))),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        2 => Just(Fault::CutAfter),
        1 => Just(Fault::Late),
        3 => prop::sample::select(ErrorClass::ALL.to_vec()).prop_map(Fault::Fails),
    ]
}

fn story() -> impl Strategy<Value = Story> {
    let pollers =
        [Poller::Off, Poller::Shows { lag: seconds(0) }, Poller::Shows { lag: seconds(3) }, Poller::AskYourself];
    let parts = (
        prop::collection::vec(fault(), 0..16),
        (prop::sample::select(vec![0, 0, 2, 20]), prop::sample::select(vec![0, 0, 3, 40])),
        prop::sample::select(pollers.to_vec()),
        any::<bool>(),
        any::<bool>(),
        prop::sample::select(engines().to_vec()),
        prop::collection::vec(line(), 0..14),
    );
    parts.prop_map(|(faults, (list_lag, list_age), poller, was_adopted_before, limited, engine, lines)| Story {
        faults,
        list_lag,
        list_age,
        poller,
        was_adopted_before,
        limited,
        engine,
        lines,
    })
}

fn told(story: &Story) -> World {
    let mut world = World::starting();
    world.faults = story.faults.iter().copied().collect();
    world.starts.list_lag = seconds(story.list_lag);
    world.starts.list_age = seconds(story.list_age);
    world.around.poller = story.poller;
    world.starts.limited = story.limited;
    world.starts.engine = story.engine.clone();
    world.starts.bounds = Some(StartBounds { engine_configuration: Some(everything()), ..StartBounds::default() });
    world.observed.adopted_here = !story.was_adopted_before;
    world.live_through(&story.lines);
    world
}

fn heal(world: &mut World) {
    let engine = Event::Learns(EngineKnowledge::Known(Engine::PySpark3));
    let calm = [
        Event::QuotaExceeded(false),
        Event::GroupAllows(true),
        Event::GroupCloses(false),
        Event::Suspension(None),
        engine,
    ];
    world.calm(&calm);
}

fn is_deleted(world: &World) -> bool {
    world.object.as_ref().is_some_and(|object| object.metadata.deletion_timestamp.is_some())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn at_most_one_session_is_started_and_none_is_left(story in story()) {
        let mut world = told(&story);
        prop_assert!(world.breach.is_none(), "{:?}\n{}", world.breach, world.told());
        let retained = world.object.as_ref().is_none_or(|object| object.spec.deletion_policy == DeletionPolicy::Retain);
        heal(&mut world);
        world.run_for(minutes(60));
        prop_assert!(world.breach.is_none(), "{:?}\n{}", world.breach, world.told());
        prop_assert!(!is_deleted(&world), "L1: the object hangs: {:?}\n{}", world.object, world.told());
        let asked = world.object.as_ref().is_none_or(|object| object.spec.terminate) && !retained;
        prop_assert!(!(asked && world.session_runs()), "L1: the session runs\n{}", world.told());
        world.forget_the_past();
        world.run_for(minutes(60));
        prop_assert!(world.writes.is_empty(), "L2: {:?}", world.writes);
        world.event(&Event::Delete);
        world.run_for(minutes(30));
        prop_assert!(world.object.is_none(), "L1: the object hangs: {:?}\n{}", world.object, world.told());
        prop_assert!(retained || !world.session_runs(), "S2: the session is left behind\n{}", world.told());
        prop_assert!(world.breach.is_none(), "{:?}\n{}", world.breach, world.told());
    }
}
