//! Random stories of clean-up: two operators, whose lists lag and lack sessions, whose requests fail, and which are restarted
//! between any two requests, while people apply, tag, edit and pause, and sessions go to work.
//!
//! - At each end: [`crate::world`] checks what had to be known then (S1.16), and the budget over all processes.
//! - L1: what the rules match is ended, once nothing fails. A run makes a bounded number of requests.
//! - A dry run reports exactly what is ended where the rules are enforced.

use athena_session_operator::api::cleanup::{Cleanup, CleanupMode};
use athena_session_operator::athena::types::SessionState;
use jiff::SignedDuration;
use proptest::prelude::*;

use crate::world::{Event, Fault, STEADY, World, oracle};

/// A line of a story.
#[derive(Clone, Debug)]
enum Line {
    Event(Event),
    /// An operator makes so many requests.
    Steps(usize, u8),
    /// An interval passes, and then an operator has a complete list, so many seconds late, without one of the sessions. It makes
    /// its run, in whose middle this happens.
    Run {
        operator: usize,
        lag: i64,
        missing: Option<usize>,
        meanwhile: Option<(u8, Vec<Event>)>,
    },
    /// An interval passes, and then both operators make their runs at once: whose request is next is given.
    Both {
        turns: Vec<bool>,
        meanwhile: Option<(u8, Vec<Event>)>,
    },
}

#[derive(Clone, Debug)]
struct Story {
    groups: Vec<Option<Cleanup>>,
    sessions: Vec<(u8, i64)>,
    faults: Vec<Fault>,
    lines: Vec<Line>,
}

/// How many stories are tried: 1000, or as many as the environment variable PROPTEST_CASES says.
fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(1000), ..ProptestConfig::default() }
}

fn cleanup() -> impl Strategy<Value = Option<Cleanup>> {
    let mode = prop_oneof![1 => Just(CleanupMode::DryRun), 6 => Just(CleanupMode::Enforce)];
    let chosen = prop_oneof![2 => Just([true; 3]), 1 => any::<[bool; 3]>()];
    let percent = prop::sample::select(vec![40, 100, 100]);
    let rules = (mode, chosen, 1..6_u32, percent)
        .prop_map(|(mode, chosen, ends, percent)| oracle::cleanup(mode, chosen, ends, percent));
    prop::option::weighted(0.9, rules)
}

fn fault() -> impl Strategy<Value = Fault> {
    let faults = vec![Fault::Throttled, Fault::Denied, Fault::Unavailable, Fault::AnswerLost];
    prop_oneof![5 => Just(Fault::None), 2 => prop::sample::select(faults)]
}

fn event() -> impl Strategy<Value = Event> {
    let states = vec![SessionState::Idle, SessionState::Busy, SessionState::Terminating, SessionState::Terminated];
    let tags = vec![
        ("team", "risk"),
        ("team", "blue"),
        ("athena-operator.dev/keep-until", "2999-01-01T00:00:00Z"),
        ("athena-operator.dev/keep-until", "2020-01-01T00:00:00Z"),
        ("athena-operator.dev/retained", ""),
    ];
    let (one, which) = (0..2_usize, 0..14_usize);
    prop_oneof![
        2 => (0..5_u8, 0..300_i64).prop_map(|(kind, age)| Event::Starts(kind, age)),
        3 => (which.clone(), prop::sample::select(states)).prop_map(|(which, state)| Event::Becomes(which, state)),
        2 => (which.clone(), prop::sample::select(tags)).prop_map(|(which, (key, value))| Event::Tag(which, key, value)),
        1 => which.clone().prop_map(Event::Untag),
        3 => which.clone().prop_map(Event::Declare),
        1 => which.prop_map(Event::DeclareByMark),
        1 => Just(Event::Undeclare),
        1 => (one.clone(), cleanup()).prop_map(|(which, cleanup)| Event::Edit(which, cleanup)),
        1 => (one.clone(), any::<bool>()).prop_map(|(which, is_paused)| Event::Pause(which, is_paused)),
        1 => (one.clone(), any::<bool>()).prop_map(|(which, is_located)| Event::Locate(which, is_located)),
        1 => (one.clone(), any::<bool>()).prop_map(|(which, is_on)| Event::ReadOnly(which, is_on)),
        1 => one.clone().prop_map(Event::Touch),
        3 => prop::sample::select(vec![1, 9, 20, 45, 700, 4000]).prop_map(Event::Wait),
        3 => one.clone().prop_map(Event::Sync),
        2 => one.clone().prop_map(Event::Restart),
        1 => one.prop_map(Event::SwitchAccount),
    ]
}

/// Somebody changes an AthenaWorkGroup, and the watches of both operators show the change at once.
fn shown_change() -> impl Strategy<Value = Vec<Event>> {
    let which = 0..2_usize;
    let change = prop_oneof![
        which.clone().prop_map(|which| Event::Pause(which, true)),
        (which, cleanup()).prop_map(|(which, cleanup)| Event::Edit(which, cleanup)),
    ];
    change.prop_map(|change| vec![change, Event::Sync(0), Event::Sync(1)])
}

fn line() -> impl Strategy<Value = Line> {
    let events = || prop_oneof![3 => event().prop_map(|event| vec![event]), 1 => shown_change()];
    let meanwhile = || prop::option::of((0..25_u8, events()));
    let lag = prop::sample::select(vec![0, 0, 30, 130, 4000]);
    let missing = prop::option::weighted(0.2, 0..14_usize);
    prop_oneof![
        4 => event().prop_map(Line::Event),
        1 => (0..2_usize, 1..20_u8).prop_map(|(operator, steps)| Line::Steps(operator, steps)),
        6 => (0..2_usize, lag, missing, meanwhile())
            .prop_map(|(operator, lag, missing, meanwhile)| Line::Run { operator, lag, missing, meanwhile }),
        4 => (prop::collection::vec(any::<bool>(), 40), meanwhile()).prop_map(|(turns, meanwhile)| Line::Both { turns, meanwhile }),
    ]
}

fn story() -> impl Strategy<Value = Story> {
    let parts = (
        prop::collection::vec(cleanup(), 1..3),
        prop::collection::vec((0..5_u8, 0..300_i64), 1..14),
        prop_oneof![1 => Just(Vec::new()), 2 => prop::collection::vec(fault(), 0..30)],
        prop::collection::vec(line(), 0..16),
    );
    parts.prop_map(|(groups, sessions, faults, lines)| Story { groups, sessions, faults, lines })
}

impl World {
    fn live(&mut self, line: &Line) {
        match line {
            Line::Event(event) => self.event(event),
            Line::Steps(operator, steps) => (0..*steps).for_each(|_| {
                self.step(*operator);
            }),
            Line::Run { operator, lag, missing, meanwhile } => {
                self.event(&Event::Wait(STEADY.as_secs() / 2));
                self.list(*operator, *lag, *missing);
                self.run_with(meanwhile.as_ref(), |_| *operator);
            }
            Line::Both { turns, meanwhile } => {
                self.event(&Event::Wait(STEADY.as_secs()));
                (0..2).for_each(|operator| self.list(operator, 0, None));
                self.run_with(meanwhile.as_ref(), |step| usize::from(turns[step % turns.len()]));
                (0..2).for_each(|operator| self.run(operator));
            }
        }
    }

    fn run_with(&mut self, meanwhile: Option<&(u8, Vec<Event>)>, whose: impl Fn(usize) -> usize) {
        for step in 0.. {
            if let Some((_, events)) = meanwhile.filter(|(at, _)| usize::from(*at) == step) {
                events.iter().for_each(|event| self.event(event));
            }
            if !self.step(whose(step)) {
                break;
            }
        }
    }
}

fn begun(story: &Story) -> World {
    let mut world = World::new(story.groups.clone());
    story.sessions.iter().for_each(|(kind, age)| world.event(&Event::Starts(*kind, *age)));
    world
}

/// Nothing fails any more, everything is enforced, and both operators work.
fn calm(world: &mut World) {
    world.faults.clear();
    let all = oracle::cleanup(CleanupMode::Enforce, [true; 3], 2, 100);
    for number in 0..2 {
        for event in [
            Event::Edit(number, Some(all.clone())),
            Event::Pause(number, false),
            Event::Locate(number, true),
            Event::ReadOnly(number, false),
            Event::Sync(0),
            Event::Sync(1),
        ] {
            world.event(&event);
        }
    }
    for _ in 0..40 {
        world.event(&Event::Wait(STEADY.as_secs()));
        for operator in 0..2 {
            world.event(&Event::Sync(operator));
            world.list(operator, 0, None);
            world.run(operator);
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn only_forgotten_sessions_are_cleaned_up_and_all_of_them(story in story()) {
        let mut world = begun(&story);
        world.faults = story.faults.iter().copied().collect();
        for line in &story.lines {
            world.live(line);
            prop_assert!(world.breach.is_none(), "{:?}\n{}", world.breach, world.told.join("\n"));
        }
        calm(&mut world);
        prop_assert!(world.breach.is_none(), "{:?}\n{}", world.breach, world.told.join("\n"));
        let rules = oracle::rules_of(&world.groups);
        // One that has been matched for only a few minutes may still be waiting for its turn.
        let a_while_ago = world.wall - SignedDuration::from_mins(20);
        let left = world.sessions.iter().find(|session| {
            let is_matched = oracle::matches(&rules, &session.now.status, a_while_ago);
            is_matched && !oracle::tags_protect(&rules, &session.tags, world.wall) && !world.is_declared(&session.now)
        });
        prop_assert!(left.is_none(), "L1: {left:?} is left\n{}", world.told.join("\n"));
    }

    #[test]
    fn a_dry_run_reports_exactly_the_sessions_that_rules_end(
        story in story(),
        bad_tags in prop::collection::vec(0..14_usize, 0..3),
        bad_status in prop::collection::vec(0..14_usize, 0..3),
    ) {
        let in_mode = |mode| {
            let cleanup = |cleanup: &Option<Cleanup>| Some(Cleanup { mode, ..cleanup.clone().unwrap_or_default() });
            let mut world = begun(&Story { groups: story.groups.iter().map(cleanup).collect(), ..story.clone() });
            (world.bad_tags, world.bad_status) = (bad_tags.clone(), bad_status.clone());
            world
        };
        let (mut dry, mut enforced) = (in_mode(CleanupMode::DryRun), in_mode(CleanupMode::Enforce));
        // Until the first end, which only one of the worlds sees.
        for line in &story.lines {
            let event = match line {
                Line::Event(
                    Event::Edit(..)
                    | Event::Restart(_)
                    | Event::Pause(..)
                    | Event::ReadOnly(..)
                    | Event::Locate(..)
                    | Event::SwitchAccount(_),
                )
                | Line::Steps(..) => continue,
                Line::Event(event) => Some(event),
                Line::Run { .. } | Line::Both { .. } => None,
            };
            for world in [&mut dry, &mut enforced] {
                if let Some(event) = event {
                    world.event(event);
                } else {
                    world.event(&Event::Wait(STEADY.as_secs() * 2));
                    world.event(&Event::Sync(0));
                    let before = world.clock();
                    world.list(0, 0, None);
                    world.run(0);
                    // The requests of one of the modes take more time.
                    world.event(&Event::Wait(1000 - (world.clock() - before)));
                }
            }
            prop_assert!(dry.breach.is_none() && enforced.breach.is_none(), "{:?} {:?}", dry.breach, enforced.breach);
            prop_assert!(dry.sessions.iter().all(|session| !session.ended_by_rule));
            let (told, done) = (&dry.operators[0].report, &enforced.operators[0].report);
            prop_assert_eq!(told.is_some(), done.is_some());
            let (Some(told), Some(done)) = (told, done) else { continue };
            let ended: Vec<_> = enforced.sessions.iter().filter(|it| it.ended_by_rule).map(|it| &it.now.id).collect();
            prop_assert_eq!(told.status.due as usize, ended.len(), "{:?}\n{}", told, enforced.told.join("\n"));
            prop_assert_eq!(&told.status.protected, &done.status.protected);
            prop_assert_eq!((told.status.looked_at, told.status.matched), (done.status.looked_at, done.status.matched));
            let ids = |report: &athena_session_operator::work_group::cleanup::report::CleanupReport| -> Vec<_> {
                report.status.matched_sessions.iter().map(|session| session.id.clone()).collect()
            };
            prop_assert_eq!(ids(told), ids(done));
            if !ended.is_empty() {
                return Ok(());
            }
        }
    }
}
