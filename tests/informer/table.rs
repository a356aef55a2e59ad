//! What the design's targets cost, in calls.

use std::time::Duration;

use crate::core::{ErrorClass, Operation, Polled, SessionState};
use crate::model::{Act, Tokens, World, millis, seconds};

const IDLE: SessionState = SessionState::Idle;

fn watch_all(world: &mut World, prefix: &str, count: usize, from: Duration, within: Duration) {
    for number in 0..count {
        let when = from + within * u32::try_from(number).unwrap() / u32::try_from(count).unwrap();
        world.act_at(when, Act::Watch(format!("{prefix}-{number}")));
    }
}

fn terminate_all(world: &mut World, count: usize, from: Duration, within: Duration, takes: Duration) {
    for number in 0..count {
        let when = from + within * u32::try_from(number).unwrap() / u32::try_from(count).unwrap();
        world.act_at(when, Act::Terminate(format!("s-{number}"), takes));
    }
}

fn calls(world: &World) -> (usize, usize, usize) {
    let count = |operation| world.count(operation);
    (count(Operation::ListSessions), count(Operation::GetSessionStatus), count(Operation::GetSession))
}

/// How long after the last of these ended an object learned it.
fn last_noticed(world: &World, last_end: Duration) -> Duration {
    let ends = world.noticed.iter().filter(|(_, _, state)| state.is_ended());
    ends.map(|(when, _, _)| *when).max().unwrap().saturating_sub(last_end)
}

fn ends_noticed(world: &World) -> usize {
    let mut ids: Vec<_> = world.noticed.iter().filter(|(_, _, it)| it.is_ended()).map(|(_, id, _)| id).collect();
    ids.sort();
    ids.dedup();
    ids.len()
}

#[test]
fn ten_thousand_idle_sessions_take_102_calls_a_minute() {
    let mut world =
        World::new().with("s", 10_000, -1000, &IDLE).with("old", 20_000, -20_000_000, &SessionState::Terminated);
    world.plan.count_all(true);
    watch_all(&mut world, "s", 10_000, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(60));
    assert_eq!(calls(&world), (102, 0, 0));
    assert_eq!(world.plan.full_scan().unwrap().counts["IDLE"], 10_000);
    assert_eq!(world.plan.counted().count(), 10_000);
    world.forget_the_past();
    world.run_until(seconds(360));
    assert_eq!(calls(&world), (510, 0, 0));
    assert_eq!(world.notifications, 0);
}

/// While only a full scan goes on, its pages are asked for without a look at all sessions before each.
#[test]
fn an_end_doesnt_wait_for_a_long_full_scan_to_end() {
    let mut world = World::new().with("s", 10_000, -1000, &IDLE);
    world.latency = millis(200);
    world.plan.count_all(true);
    watch_all(&mut world, "s", 10_000, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(60));
    // The next full scan takes from 60 s to 80 s.
    world.act_at(seconds(63), Act::Terminate("s-5".to_owned(), seconds(3)));
    world.run_until(seconds(80));
    let late = last_noticed(&world, seconds(66));
    assert!(ends_noticed(&world) == 1 && late <= millis(3_500), "noticed after {late:?}");
}

/// If only the watched ones matter, the other two lists aren't needed while all are seen.
#[test]
fn ten_thousand_watched_sessions_take_100_calls_a_minute() {
    let mut world = World::new().with("s", 10_000, -1000, &IDLE);
    watch_all(&mut world, "s", 10_000, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(60));
    world.forget_the_past();
    world.run_until(seconds(360));
    assert_eq!(calls(&world), (500, 0, 0));
}

/// Near its end the full scan has cost more calls than it has sessions still to show, and is the cheaper way all the same.
#[test]
fn a_full_scan_of_30_000_sessions_isnt_given_up_near_its_end() {
    let mut world = World::new().with("s", 30_000, -1000, &IDLE);
    watch_all(&mut world, "s", 30_000, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(60));
    world.forget_the_past();
    world.run_until(seconds(120));
    assert_eq!(calls(&world), (300, 0, 0));
}

#[test]
fn few_watched_sessions_among_thousands_are_asked_for_singly() {
    let mut world = World::new().with("s", 10_000, -1000, &IDLE);
    for number in [17, 5000, 9000] {
        world.act_at(Duration::ZERO, Act::Watch(format!("s-{number}")));
    }
    world.run_until(seconds(1));
    assert_eq!(calls(&world), (0, 0, 3));
    world.forget_the_past();
    world.run_until(seconds(301));
    assert_eq!(calls(&world), (0, 15, 0));
}

/// A full scan that turns out too dear is given up, and seldom tried again.
#[test]
fn twenty_sessions_among_thousands_cost_about_a_call_each() {
    let mut world = World::new().with("s", 10_000, -1000, &IDLE);
    for number in 0..20 {
        world.act_at(Duration::ZERO, Act::Watch(format!("s-{}", 9_999 - 450 * number)));
    }
    world.run_until(seconds(3600));
    let (lists, statuses, gets) = calls(&world);
    assert!(gets <= 20 && lists + statuses <= 60 * 20 * 11 / 10 + 40, "{:?}", calls(&world));
    assert_eq!(world.mistaken(), Vec::<String>::new());
}

#[test]
fn a_thousand_ends_at_once_take_few_calls_and_are_noticed_soon() {
    let storms = [(0, 1500, 29), (20_000, 1500, 29), (20_000, 0, 10), (20_000, 10, 10), (0, 5_000, 65)];
    for (history, within, most) in storms {
        let old = SessionState::Terminated;
        let mut world = World::new().with("s", 1000, -1000, &IDLE).with("old", history, -2_000_000, &old);
        watch_all(&mut world, "s", 1000, Duration::ZERO, Duration::ZERO);
        world.run_until(seconds(10));
        world.forget_the_past();
        terminate_all(&mut world, 1000, seconds(10), millis(within), seconds(2));
        world.run_until(seconds(40));
        assert_eq!(ends_noticed(&world), 1000);
        let last_end = seconds(12) + millis(within * 999 / 1000);
        let late = last_noticed(&world, last_end);
        assert!(world.calls.len() <= most, "within {within} ms: {:?}", calls(&world));
        assert!(late <= millis(600), "{late:?}");
    }
}

#[test]
fn one_end_alone_takes_one_get_session_status() {
    let mut world = World::new().with("s", 1, -1000, &IDLE);
    watch_all(&mut world, "s", 1, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(10));
    world.forget_the_past();
    world.act_at(seconds(10), Act::Terminate("s-0".to_owned(), millis(1500)));
    world.run_until(seconds(600));
    assert_eq!(calls(&world), (0, 1, 0));
    assert_eq!(world.calls[0].sent, seconds(12));
    assert_eq!(ends_noticed(&world), 1);
}

/// What ends by itself is missing from the full scan.
#[test]
fn sessions_that_fail_are_found_in_the_lists_of_ended_sessions() {
    let mut world = World::new().with("s", 1000, -1000, &IDLE).with("old", 20_000, -2_000_000, &SessionState::Failed);
    watch_all(&mut world, "s", 1000, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(10));
    world.forget_the_past();
    for number in 0..1000 {
        world.act_at(seconds(11), Act::Becomes(format!("s-{number}"), SessionState::Failed));
    }
    world.run_until(seconds(70));
    assert_eq!(ends_noticed(&world), 1000);
    // The full scan's three empty lists, TERMINATED, and ten pages of FAILED.
    assert_eq!(calls(&world), (14, 0, 0));
}

#[test]
fn one_session_that_fails_among_thousands_takes_one_more_call() {
    let mut world = World::new().with("s", 10_000, -1000, &IDLE);
    world.plan.count_all(true);
    watch_all(&mut world, "s", 10_000, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(60));
    world.forget_the_past();
    world.act_at(seconds(30), Act::Becomes("s-7777".to_owned(), SessionState::Failed));
    world.run_until(seconds(119));
    assert_eq!(calls(&world), (102, 1, 0));
    assert_eq!((ends_noticed(&world), world.notifications), (1, 1));
}

#[test]
fn a_thousand_objects_at_once_take_a_listing_and_no_get_session() {
    for (within, most) in [(0, 10), (80, 10), (2000, 24)] {
        let mut world = World::new().with("s", 1000, -1000, &IDLE);
        watch_all(&mut world, "s", 1000, Duration::ZERO, millis(within));
        world.run_until(seconds(30));
        assert_eq!(calls(&world), (most, 0, 0), "within {within} ms");
        assert_eq!(world.noticed.len(), 1000);
    }
}

#[test]
fn an_object_with_an_unknown_session_calls_athena_at_once() {
    let mut world = World::new().with("s", 1000, -1000, &IDLE);
    world.act_at(seconds(1), Act::Watch("s-3".to_owned()));
    world.act_at(seconds(1), Act::Watch("unheard-of".to_owned()));
    world.run_until(seconds(50));
    assert_eq!(calls(&world), (0, 0, 2));
    assert_eq!(world.calls[0].sent, seconds(1) + millis(100));
    assert_eq!(world.plan.sighting("unheard-of"), Polled::AskYourself);
}

#[test]
fn an_object_whose_session_a_full_scan_showed_needs_no_call() {
    let mut world = World::new().with("s", 1000, -1000, &IDLE);
    world.plan.count_all(true);
    world.run_until(seconds(30));
    world.forget_the_past();
    world.act_at(seconds(30), Act::Watch("s-3".to_owned()));
    world.run_until(seconds(50));
    assert_eq!((calls(&world), world.noticed.len()), ((0, 0, 0), 1));
}

/// Of ids that Athena doesn't know: each object asks once, and costs nothing from then on.
#[test]
fn a_full_scan_still_shows_a_session_left_to_its_object() {
    let mut world = World::new().with("s", 1000, -1000, &IDLE);
    world.plan.count_all(true);
    watch_all(&mut world, "n", 500, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(50));
    assert_eq!(calls(&world), (12, 0, 500));
    world.forget_the_past();
    world.run_until(seconds(350));
    assert_eq!(calls(&world), (60, 0, 0));
    world.act_at(seconds(351), Act::Starts("n-7".to_owned()));
    world.run_until(seconds(420));
    assert!(world.noticed.iter().any(|(_, id, _)| id == "n-7"), "its object wasn't notified");
}

/// Stuck ones are looked for together, every `changing`.
#[test]
fn a_thousand_slow_ends_take_a_targeted_scan_every_two_seconds() {
    let mut world =
        World::new().with("s", 1000, -1000, &IDLE).with("old", 20_000, -2_000_000, &SessionState::Terminated);
    watch_all(&mut world, "s", 1000, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(10));
    terminate_all(&mut world, 1000, seconds(10), seconds(2), seconds(600));
    world.run_until(seconds(60));
    world.forget_the_past();
    world.run_until(seconds(360));
    // Each two seconds two lists, and a full scan each minute.
    let (lists, statuses, _) = calls(&world);
    assert!(lists <= 150 * 2 + 5 * 12 && statuses == 0, "{:?}", calls(&world));
}

#[test]
fn a_hundred_sessions_that_start_are_watched_in_one_list() {
    let mut world = World::new().with("s", 5000, -1000, &IDLE);
    for number in 0..100 {
        world.act_at(seconds(1), Act::Starts(format!("n-{number}")));
        world.act_at(seconds(1), Act::Watch(format!("n-{number}")));
    }
    world.run_until(seconds(20));
    assert_eq!(world.mistaken(), Vec::<String>::new());
    assert_eq!(calls(&world), (5, 0, 0));
}

/// Without the right to list, ends are still noticed, and Athena isn't flooded.
#[test]
fn ends_are_noticed_while_listing_is_denied() {
    let mut world = World::new().with("s", 1000, -1000, &IDLE);
    world.act_at(Duration::ZERO, Act::Fails(Operation::ListSessions, Some(ErrorClass::Denied)));
    watch_all(&mut world, "s", 1000, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(10));
    assert_eq!(world.count(Operation::GetSession), 1000);
    assert_eq!(world.plan.list_backoff().unwrap().class, ErrorClass::Denied);
    world.forget_the_past();
    terminate_all(&mut world, 20, seconds(10), seconds(1), seconds(2));
    world.run_until(seconds(25));
    assert_eq!(ends_noticed(&world), 20);
    world.run_until(seconds(130));
    let (lists, statuses, _) = calls(&world);
    assert!(lists <= 3 && statuses <= 5 * 120, "{:?}", calls(&world));
}

/// Without the right to ask for one, lists tell.
#[test]
fn ends_are_noticed_while_get_session_status_is_denied() {
    let mut world = World::new().with("s", 3, -1000, &IDLE);
    world.act_at(Duration::ZERO, Act::Fails(Operation::GetSessionStatus, Some(ErrorClass::Denied)));
    watch_all(&mut world, "s", 3, Duration::ZERO, Duration::ZERO);
    terminate_all(&mut world, 3, seconds(10), seconds(1), seconds(2));
    world.run_until(seconds(20));
    assert_eq!(ends_noticed(&world), 3);
    assert!(world.calls.len() <= 20, "{:?}", calls(&world));
}

/// A session on a page that shifts away is asked for, not given up.
#[test]
fn a_session_that_a_shifted_page_hides_is_still_known() {
    let mut world = World::new().with("s", 1000, -1000, &IDLE);
    world.tokens = Tokens::Offsets;
    watch_all(&mut world, "s", 1000, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(59));
    world.forget_the_past();
    for number in 0..50 {
        world.act_at(seconds(60) + millis(200), Act::Becomes(format!("s-{number}"), SessionState::Failed));
    }
    world.run_until(seconds(64));
    // Twelve pages of the full scan, two of ends, and a call for each of the fifty that slipped through.
    assert_eq!(calls(&world), (14, 50, 0));
    assert_eq!((ends_noticed(&world), world.notifications), (50, 50));
    assert_eq!(world.mistaken(), Vec::<String>::new());
}

/// A list that lags behind doesn't take an accepted end back.
#[test]
fn a_list_that_lags_behind_doesnt_take_back_terminating() {
    let mut world = World::new().with("s", 200, -1000, &IDLE);
    world.lag = seconds(20);
    watch_all(&mut world, "s", 200, seconds(30), Duration::ZERO);
    world.run_until(seconds(89));
    world.act_at(seconds(89), Act::Terminate("s-0".to_owned(), seconds(300)));
    world.forget_the_past();
    world.run_until(seconds(120));
    let states: Vec<_> = world.noticed.iter().map(|(_, id, state)| (id.as_str(), state)).collect();
    assert_eq!(states, [("s-0", &SessionState::Terminating)]);
}

#[test]
fn a_list_that_lags_behind_doesnt_take_back_an_end() {
    let mut world = World::new().with("s", 200, -1000, &IDLE);
    world.lag = seconds(20);
    watch_all(&mut world, "s", 200, seconds(30), Duration::ZERO);
    world.run_until(seconds(85));
    world.act_at(seconds(85), Act::Terminate("s-0".to_owned(), seconds(1)));
    world.forget_the_past();
    world.run_until(seconds(200));
    let states: Vec<_> = world.noticed.iter().map(|(_, id, state)| (id.as_str(), state)).collect();
    assert_eq!(states, [("s-0", &SessionState::Terminating), ("s-0", &SessionState::Terminated)]);
}

#[test]
fn nothing_is_asked_when_nobody_wants_to_know() {
    let mut world = World::new().with("s", 100, -1000, &IDLE);
    watch_all(&mut world, "s", 100, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(10));
    assert!(world.plan.is_wanted());
    for number in 0..100 {
        world.act_at(seconds(10), Act::Unwatch(format!("s-{number}")));
    }
    world.run_until(seconds(11));
    world.forget_the_past();
    world.run_until(seconds(600));
    assert!(!world.plan.is_wanted());
    assert_eq!(calls(&world), (0, 0, 0));
}

/// What another account said of these ids says nothing of these sessions.
#[test]
fn after_a_reset_all_is_learned_anew() {
    let mut world = World::new().with("s", 1000, -1000, &IDLE);
    watch_all(&mut world, "s", 1000, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(10));
    world.forget_the_past();
    world.act_at(seconds(10), Act::Reset);
    world.run_until(seconds(10) + millis(50));
    assert_eq!(world.plan.sighting("s-1"), Polled::NotYet);
    world.run_until(seconds(20));
    assert_eq!((calls(&world), world.noticed.len()), ((10, 0, 0), 1000));
}

/// The poller's own back-off after an outage ends with the first good answer to anybody's call.
#[test]
fn lists_are_asked_for_again_as_soon_as_an_outage_has_ended() {
    let mut world = World::new().with("s", 50, -1000, &IDLE);
    watch_all(&mut world, "s", 50, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(70));
    for operation in [Operation::ListSessions, Operation::GetSessionStatus] {
        world.act_at(seconds(70), Act::Fails(operation, Some(ErrorClass::Unavailable)));
        world.act_at(seconds(900), Act::Fails(operation, None));
    }
    world.run_until(seconds(901));
    let backoff = *world.plan.list_backoff().unwrap();
    assert!(backoff.retry_at > backoff.failed_at + seconds(60), "{backoff:?}");
    // An end of an outage that came before the last failure changes nothing.
    world.plan.recovered(backoff.failed_at);
    assert_eq!(world.plan.list_backoff(), Some(&backoff));
    let now = backoff.failed_at + seconds(1);
    world.plan.recovered(now);
    assert_eq!(world.plan.list_backoff().unwrap().retry_at, now);
}

/// A list shows the session as ended, and each call for it shows that it lives: from the first call on only calls count.
#[test]
fn a_session_that_lists_wrongly_show_as_ended_takes_calls() {
    let mut world = World::new().with("s", 300, -1000, &IDLE);
    watch_all(&mut world, "s", 300, Duration::ZERO, Duration::ZERO);
    world.run_until(seconds(10));
    world.listed_as.insert("s-5".to_owned(), SessionState::Terminated);
    world.run_until(seconds(200));
    world.forget_the_past();
    world.run_until(seconds(800));
    assert_eq!(world.breach, None);
    let (lists, statuses, gets) = calls(&world);
    assert!(lists <= 40 && statuses <= 12 && gets <= 1, "{:?}", calls(&world));
    world.act_at(seconds(801), Act::Becomes("s-5".to_owned(), SessionState::Failed));
    world.run_until(seconds(900));
    assert!(world.noticed.iter().any(|(_, id, state)| id == "s-5" && *state == SessionState::Failed));
    assert_eq!(world.breach, None);
}
