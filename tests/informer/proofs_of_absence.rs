//! Complete lists: one for all objects that ask, whatever happens.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use proptest::prelude::*;

use crate::core::{
    ErrorClass, ListAnswer, ListRequest, Operation, Plan, SessionPage, SessionState, SessionStatus, Sought, Task,
};
use crate::model::{Act, TIMING, Tokens, World, at, millis, seconds};
use crate::properties::cases;

/// A list in each state of a work group where all of them fit on one page.
const PAGES: usize = SessionState::FILTERS.len();

fn lists(world: &World) -> usize {
    world.count(Operation::ListSessions)
}

fn lacking(world: &World) -> usize {
    world.answers.iter().filter(|(_, _, found)| matches!(found, ListAnswer::Lacking(_))).count()
}

fn ask_all(world: &mut World, count: u64, within: Duration) {
    for number in 0..count {
        let when = within * u32::try_from(number).unwrap() / u32::try_from(count).unwrap();
        world.act_at(when, Act::Ask(format!("none-{number}")));
    }
}

#[test]
fn two_thousand_objects_that_ask_at_a_restart_share_one_list() {
    let mut world = World::new().with("s", 50, -1_000, &SessionState::Idle);
    ask_all(&mut world, 2_000, seconds(4));
    world.run_until(seconds(20));
    assert_eq!((lists(&world), lacking(&world), world.breach), (PAGES, 2_000, None));
}

/// Who asks while a list is made waits for the next one.
#[test]
fn a_list_answers_only_who_asked_before_it_began() {
    let mut world = World::new();
    world.latency = seconds(1);
    world.act_at(seconds(0), Act::Ask("early".to_owned()));
    world.act_at(seconds(5), Act::Ask("late".to_owned()));
    world.run_until(seconds(30));
    let told: Vec<_> = world.answers.iter().map(|(when, _, _)| when.as_secs()).collect();
    assert_eq!((told.len(), lists(&world), &world.breach), (2, 2 * PAGES, &None));
    assert!(told[0] < 13 && told[1] > 19, "{told:?}");
}

#[test]
fn a_session_that_a_page_shows_is_told_of_before_the_list_ends() {
    let mut world = World::new().with("s", 1, -1_000, &SessionState::Idle);
    world = world.with("old", 20_000, -2_000, &SessionState::Terminated);
    world.act_at(Duration::ZERO, Act::Ask("s-0".to_owned()));
    world.act_at(Duration::ZERO, Act::Ask("none".to_owned()));
    world.run_until(seconds(5));
    assert!(
        matches!(&world.answers[..], [(_, _, ListAnswer::Shown(shown))] if shown.id == "s-0"),
        "{:?}",
        world.answers
    );
    world.run_until(seconds(30));
    assert_eq!((lacking(&world), lists(&world)), (1, 200 + PAGES - 1));
}

/// Of 20,000 sessions that ended long ago, those are read that are younger than the oldest object that asks.
#[test]
fn a_list_is_read_as_far_back_as_the_oldest_object_needs() {
    for (searches, pages) in [(false, PAGES + 2), (true, PAGES + 199)] {
        let mut world = World::new().with("old", 20_000, -1_000, &SessionState::Terminated);
        world.asked_since = Some(-250_000);
        ask_all(&mut world, 100, Duration::ZERO);
        if searches {
            // Of a session that an object names it isn't known when it was started.
            world.act_at(Duration::ZERO, Act::Search("none".to_owned()));
        }
        world.run_until(seconds(60));
        assert_eq!((lists(&world), &world.breach), (pages, &None));
        assert_eq!(lacking(&world), 100 + usize::from(searches));
    }
}

/// Many that are deleted, and whose sessions nobody knows, ask as their looks are answered: a few a second.
#[test]
fn objects_that_search_for_their_sessions_share_one_list() {
    let mut world = World::new();
    for number in 0..20 {
        world.act_at(millis(200) * number, Act::Search(format!("gone-{number}")));
    }
    world.run_until(seconds(20));
    assert_eq!((lists(&world), lacking(&world)), (PAGES, 20));
}

/// A list goes on where it was, also for those who were told of the failure.
#[test]
fn a_list_that_fails_goes_on_where_it_was() {
    let mut world = World::new().with("old", 3_000, -1_000, &SessionState::Terminated);
    ask_all(&mut world, 10, Duration::ZERO);
    for second in (2..40).step_by(4) {
        world.act_at(seconds(second), Act::Fails(Operation::ListSessions, Some(ErrorClass::Throttled)));
        world.act_at(seconds(second + 1), Act::Fails(Operation::ListSessions, None));
    }
    world.latency = millis(300);
    world.run_until(seconds(120));
    let most = 30 + PAGES - 1 + 20;
    assert!(lacking(&world) == 10 && lists(&world) <= most, "{} told, {} pages", lacking(&world), lists(&world));
}

/// An object that was never notified may ask as often as it likes.
#[test]
fn while_lists_are_denied_askers_hear_it_and_calls_stay_few() {
    let mut world = World::new();
    world.act_at(Duration::ZERO, Act::Fails(Operation::ListSessions, Some(ErrorClass::Denied)));
    ask_all(&mut world, 100, Duration::ZERO);
    world.run_until(seconds(600));
    assert!(lists(&world) <= 11, "{} calls", lists(&world));
    assert!(world.answers.is_empty());
    world.act_at(seconds(600), Act::Fails(Operation::ListSessions, None));
    world.run_until(seconds(700));
    assert_eq!(lacking(&world), 100);
}

/// What is only looked for to be on the safe side waits for others.
#[test]
fn lists_that_nothing_waits_for_are_gathered() {
    let mut world = World::new();
    let wanted = |number: u32| {
        let sought = Sought::Session(format!("none-{number}"));
        ListRequest { work_group: String::new(), sought, since: None, after: None, is_pressing: false }
    };
    for number in 0..30 {
        let asker = ("team-a".to_owned(), number.to_string());
        world.plan.ask_for_list(&asker, &wanted(number), at(world.now));
        world.asking.insert(asker, wanted(number));
        world.run_until(seconds(2) * (number + 1));
    }
    world.run_until(seconds(100));
    assert_eq!((lists(&world), lacking(&world)), (PAGES, 30));
}

/// A full scan and a complete list take turns, and an end isn't held up by either.
#[test]
fn a_long_list_holds_up_neither_full_scans_nor_ends() {
    let mut world = World::new().with("s", 300, -1_000, &SessionState::Idle);
    world = world.with("old", 20_000, -1_000_000, &SessionState::Terminated);
    world.latency = millis(200);
    world.plan.count_all(true);
    world.act_at(Duration::ZERO, Act::Watch("s-7".to_owned()));
    world.act_at(seconds(55), Act::Ask("none".to_owned()));
    world.act_at(seconds(70), Act::Terminate("s-7".to_owned(), seconds(3)));
    world.run_until(seconds(80));
    assert!(world.plan.full_scan().is_some_and(|scan| scan.began >= at(seconds(60))));
    let end = world.noticed.iter().find(|(_, _, state)| state.is_ended()).map(|(when, _, _)| *when);
    assert!(end.is_some_and(|when| when <= seconds(76)), "{end:?}");
}

#[derive(Clone, Debug)]
enum What {
    Ask,
    Search,
    Starts,
    Watch,
    Ends,
    Fails(Option<ErrorClass>),
    Reset,
}

fn what() -> impl Strategy<Value = What> {
    let class = prop::option::weighted(0.5, prop::sample::select(ErrorClass::ALL.to_vec()));
    prop_oneof![
        6 => Just(What::Ask),
        2 => Just(What::Search),
        3 => Just(What::Starts),
        1 => Just(What::Watch),
        1 => Just(What::Ends),
        1 => class.prop_map(What::Fails),
        1 => Just(What::Reset),
    ]
}

proptest! {
    #![proptest_config(cases())]

    /// S3: never an absence from a list that began before it was asked for, nor of what was there when the list began
    /// ([`World::breach`]); and each that asks is told.
    #[test]
    fn a_list_lacks_only_what_was_asked_for_and_isnt_there(
        acts in prop::collection::vec((0..3_000u64, 0..40usize, what()), 0..60),
        history in prop::sample::select(vec![0, 150, 1_000]),
        latency in prop::sample::select(vec![0, 50, 700]),
        lag in prop::sample::select(vec![0, 3_000]),
        tokens in prop::sample::select(vec![Tokens::Offsets, Tokens::Keysets]),
        counting in any::<bool>(),
    ) {
        let mut world = World::new().with("s", 20, -1_000, &SessionState::Idle);
        world = world.with("old", history, -5_000, &SessionState::Terminated);
        (world.latency, world.lag, world.tokens) = (millis(latency), millis(lag), tokens);
        world.plan.count_all(counting);
        let mut when = Duration::ZERO;
        for (gap, number, what) in acts {
            when += millis(gap);
            let id = if number < 20 { format!("s-{number}") } else { format!("n-{number}") };
            let act = match what {
                What::Ask => Act::Ask(id),
                What::Search => Act::Search(id),
                What::Starts if number < 20 => continue,
                What::Starts => Act::Starts(id),
                What::Watch => Act::Watch(id),
                What::Ends => Act::Becomes(id, SessionState::Terminated),
                What::Fails(class) => Act::Fails(Operation::ListSessions, class),
                What::Reset => Act::Reset,
            };
            world.act_at(when, act);
        }
        world.run_until(when + millis(1));
        world.heal();
        // The longest back-off, and two lists.
        world.run_until(world.now + TIMING.backoff_max + seconds(60));
        prop_assert_eq!(&world.breach, &None);
        prop_assert!(world.asking.is_empty(), "{:?}", world.asking);
    }
}

/// One session with a start of 1970 on a page: what comes after it in the list may be the session that is looked for.
#[test]
fn a_start_that_cant_be_cuts_no_list_short() {
    let (mut plan, began) = (Plan::new(TIMING), Instant::now());
    let sought = Sought::Mark { cluster: "cluster-1".to_owned(), uid: "uid-1".to_owned() };
    let since = Timestamp::from_second(1_800_000_000).ok();
    let wanted = ListRequest { work_group: "w".to_owned(), sought, since, after: None, is_pressing: true };
    plan.ask_for_list(&("team-a".to_owned(), "nightly".to_owned()), &wanted, began);
    let now = began + TIMING.changing * 6;
    assert!(matches!(plan.next(now), Task::ListSessions { token: None, .. }));
    let (state_change_reason, idle_since, ended_at, description, marker, engine) = Default::default();
    let (state, started_at) = (SessionState::Idle, Some(Timestamp::UNIX_EPOCH));
    let odd =
        SessionStatus { state, state_change_reason, started_at, idle_since, ended_at, description, marker, engine };
    let page = SessionPage { sessions: vec![("odd".to_owned(), odd)], next_token: Some("2".to_owned()) };
    plan.page_answered(Ok(page), now, now);
    let next = plan.next(now);
    assert!(matches!(next, Task::ListSessions { token: Some(_), .. }), "{next:?}");
}
