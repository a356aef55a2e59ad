//! Random stories. Whatever sessions, objects and Athena do:
//!
//! - an end that is told is true, and nothing goes round in circles ([`World::breach`]);
//! - each change of a watched session is noticed within a bound, however pages shift and lists lag;
//! - where nothing changes nobody is notified, and calls stay within the budget of the cheaper way.

use std::time::Duration;

use proptest::prelude::*;

use crate::core::{ErrorClass, Operation, SessionState};
use crate::model::{Act, PAGE, TIMING, Tokens, World, millis, seconds};

#[derive(Clone, Debug)]
struct Story {
    sessions: usize,
    history: usize,
    latency: u64,
    lag: u64,
    tokens: Tokens,
    counting: bool,
    /// How many are watched from the beginning.
    watched: usize,
    /// What happens, each so many milliseconds after the one before.
    acts: Vec<(u64, Many)>,
}

/// The same for some sessions in a row.
#[derive(Clone, Debug)]
struct Many {
    first: usize,
    count: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Watch,
    Unwatch,
    Terminate(u64),
    Becomes(SessionState),
    Starts,
    Fails(Operation, Option<ErrorClass>),
    Reset,
}

fn what(failing: bool) -> impl Strategy<Value = What> {
    let state = prop::sample::select(vec![
        SessionState::Busy,
        SessionState::Degraded,
        SessionState::Failed,
        SessionState::Terminated,
        SessionState::Unknown("HIBERNATING".to_owned()),
    ]);
    let operation = prop::sample::select(vec![
        Operation::ListSessions,
        Operation::ListSessions,
        Operation::GetSessionStatus,
        Operation::GetSession,
    ]);
    let class = prop::option::weighted(0.7, prop::sample::select(ErrorClass::ALL.to_vec()));
    let weight = if failing { 3 } else { 0 };
    prop_oneof![
        4 => Just(What::Watch),
        1 => Just(What::Unwatch),
        4 => prop::sample::select(vec![0, 100, 2_000, 2_100, 30_000]).prop_map(What::Terminate),
        3 => state.prop_map(What::Becomes),
        2 => Just(What::Starts),
        weight => (operation, class).prop_map(|(operation, class)| What::Fails(operation, class)),
        weight / 3 => Just(What::Reset),
    ]
}

fn many(failing: bool) -> impl Strategy<Value = Many> {
    let count = prop_oneof![4 => 1..4usize, 2 => 4..40usize, 1 => 40..250usize];
    (0..250usize, count, what(failing)).prop_map(|(first, count, what)| Many { first, count, what })
}

fn story(failing: bool) -> impl Strategy<Value = Story> {
    let gap = prop_oneof![3 => 0..200u64, 3 => 200..3_000u64, 2 => 3_000..70_000u64, 1 => Just(400_000u64)];
    let place = (
        0..250usize,
        prop_oneof![Just(0), Just(150), Just(2_000)],
        prop::sample::select(vec![0, 20, 50, 300]),
        prop::sample::select(vec![0, 1_000, 20_000]),
        prop::sample::select(vec![Tokens::Offsets, Tokens::Keysets]),
    );
    let wanted = (any::<bool>(), 0..250usize, prop::collection::vec((gap, many(failing)), 0..14));
    (place, wanted).prop_map(|((sessions, history, latency, lag, tokens), (counting, watched, acts))| Story {
        sessions,
        history,
        latency,
        lag,
        tokens,
        counting,
        watched,
        acts,
    })
}

/// The session of this number: one that was there from the beginning, or one that may start.
fn id(story: &Story, number: usize) -> String {
    if number < story.sessions { format!("s-{number}") } else { format!("n-{number}") }
}

fn told(story: &Story) -> World {
    let mut world = World::new();
    world = world.with("s", story.sessions, -1_000, &SessionState::Idle);
    // Half of what ended long ago began later than some that still run.
    world = world.with("old", story.history, -100_500, &SessionState::Terminated);
    (world.latency, world.lag, world.tokens) = (millis(story.latency), millis(story.lag), story.tokens);
    world.plan.count_all(story.counting);
    for number in 0..story.watched {
        world.act_at(Duration::ZERO, Act::Watch(id(story, number)));
    }
    let mut when = Duration::ZERO;
    for (gap, many) in &story.acts {
        when += millis(*gap);
        for number in many.first..many.first + many.count {
            if let Some(act) = act(story, number, many) {
                world.act_at(when, act);
            }
        }
    }
    world.run_until(when + millis(1));
    world
}

fn act(story: &Story, number: usize, many: &Many) -> Option<Act> {
    let id = id(story, number);
    let once = number == many.first;
    match &many.what {
        What::Watch => Some(Act::Watch(id)),
        What::Unwatch => Some(Act::Unwatch(id)),
        What::Terminate(takes) => Some(Act::Terminate(id, millis(*takes))),
        What::Becomes(state) => Some(Act::Becomes(id, state.clone())),
        What::Starts => id.starts_with('n').then_some(Act::Starts(id)),
        What::Fails(operation, class) => once.then_some(Act::Fails(*operation, *class)),
        What::Reset => once.then_some(Act::Reset),
    }
}

/// The calls of any way of looking at all that is watched, one after the other.
fn all_calls(world: &World) -> u32 {
    u32::try_from(2 * world.watched.len() + world.pages() + 30).unwrap()
}

/// How long the plan may take to notice what has happened: the interval until a full scan begins, twice, since a page may
/// shift; until its lists show it; and the calls.
fn patience(world: &World) -> Duration {
    let calls = all_calls(world) * 2;
    TIMING.steady * 2 + world.lag + world.latency * calls
}

fn check(world: &World) -> Result<(), TestCaseError> {
    prop_assert_eq!(&world.breach, &None);
    let mistaken = world.mistaken();
    let first = mistaken.first().map(|id| (id, world.plan.sighting(id), world.session(id)));
    prop_assert!(mistaken.is_empty(), "{} mistaken at {:?}: {:?}", mistaken.len(), world.now, first);
    Ok(())
}

pub fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1000),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn each_change_is_noticed_in_time(story in story(false)) {
        let mut world = told(&story);
        // The last end takes half a minute.
        world.run_until(world.now + seconds(31));
        world.heal();
        world.run_until(world.now + patience(&world));
        check(&world)?;
    }

    #[test]
    fn whatever_fails_all_is_known_in_the_end_and_quiet(story in story(true)) {
        let mut world = told(&story);
        prop_assert_eq!(&world.breach, &None);
        world.run_until(world.now + seconds(31));
        world.heal();
        world.run_until(world.now + TIMING.backoff_max + patience(&world));
        check(&world)?;
        prop_assert_eq!(world.plan.list_backoff().filter(|_| story.counting), None);

        world.run_until(world.now + TIMING.steady * 2);
        world.forget_the_past();
        world.run_until(world.now + seconds(300));
        check(&world)?;
        prop_assert_eq!(world.notifications, 0);
        let pages = world.pages();
        let cheaper = if story.counting { pages } else { pages.min(world.watched.len()) };
        let twice = if story.counting { cheaper } else { 2 * cheaper };
        prop_assert!(world.calls.len() <= 5 * twice + pages + 5, "{} calls, {pages} pages", world.calls.len());
    }

    /// However many end, however deep they are in the history.
    #[test]
    fn ends_cost_no_more_than_twice_the_cheaper_way(
        ends in 1..300usize, first in 0..700usize, history in prop::sample::select(vec![0, 300, 3_000]), before in any::<bool>(),
    ) {
        let newest = if before { -1_000_000 } else { -500 };
        let mut world = World::new().with("s", 1000, -1_000, &SessionState::Idle);
        world = world.with("old", history, newest, &SessionState::Terminated);
        for number in first..first + ends {
            world.act_at(Duration::ZERO, Act::Watch(format!("s-{number}")));
        }
        world.run_until(seconds(10));
        world.forget_the_past();
        for number in first..first + ends {
            world.act_at(seconds(10), Act::Terminate(format!("s-{number}"), millis(1_900)));
        }
        world.run_until(seconds(59));
        check(&world)?;
        let oldest = -1_000 * i64::try_from(first + ends).unwrap();
        let newer = history.min(usize::try_from((newest - oldest).max(0) / 1_000).unwrap());
        let listing = (ends + newer).div_ceil(PAGE) + 1;
        let most = 2 * ends.min(listing) + 3;
        prop_assert!(world.calls.len() <= most, "{} calls, {listing} by lists", world.calls.len());
    }
}
