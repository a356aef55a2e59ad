//! L2: a restart with many objects of which nobody knows whether they have a session. One complete list answers for
//! all. Otherwise a tenant with thousands of objects that wait to start would make one full list for each.

use std::time::{Duration, Instant};

use fake_athena::{Config, FakeAthena, Fault};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::launch::Start;
use crate::tenancy::{TEAM_A, TEAM_B, brisk, referring};
use crate::world::{World, condition, eventually};

/// The calls for a list of a work group in all states, where each state fits on a page.
const FULL_LIST: usize = 9;
/// Ended sessions, on pages that no object of these tests needs.
const HISTORY: usize = 2_000;
/// Shorter intervals than the defaults: two lists that begin 4 s apart prove that no session was started.
const QUIET: Duration = Duration::from_secs(4);
const SETTINGS: [&str; 7] = [
    "--poll-interval=60s",
    "--poll-interval-changing=3s",
    "--confirm-absence-after=4s",
    "--aws-timeout=2s",
    "--athena-rate=5",
    "--athena-rate-max=5",
    "--athena-burst=10",
];

fn limited() -> Config {
    let quotas = [("ListSessions".to_owned(), "6/12".parse().unwrap())].into();
    Config { history: HISTORY, quotas, work_groups: team_a_first(), ..brisk() }
}

/// The ended sessions are in the first work group.
fn team_a_first() -> Vec<fake_athena::WorkGroup> {
    [TEAM_A, TEAM_B].map(fake_athena::WorkGroup::named).to_vec()
}

fn lists(athena: &FakeAthena, work_group: &str) -> usize {
    let calls = athena.calls().into_iter().filter(|call| call.operation == "ListSessions");
    let of_group = |body: &str| serde_json::from_str::<Value>(body).is_ok_and(|body| body["WorkGroup"] == work_group);
    calls.filter(|call| of_group(&call.body)).count()
}

/// Objects that wait for a slot: one session runs, and the namespace may have no more.
async fn waiting(world: &World, count: usize) -> String {
    world.start_operator_with(Start::with(&SETTINGS)).await;
    let group = world.register_for_starts("a", json!({"sessionsPerNamespace": 1})).await;
    world.start_session("first", &group).await;
    world.until_reason("first", "Running").await;
    join_all((0..count).map(|number| {
        let (world, group) = (&world, &group);
        async move { world.start_session(&format!("waiting-{number}"), group).await }
    }))
    .await;
    for number in 0..count {
        world.until_reason(&format!("waiting-{number}"), "WaitingForQuota").await;
    }
    group
}

async fn delete_waiting(world: &World, count: usize) {
    let all = |number| async move { world.delete(&format!("waiting-{number}")).await };
    join_all((0..count).map(all)).await;
}

async fn until_waiting_are_gone(world: &World) {
    eventually("all that waited are gone", || async {
        let left = world.objects().list(&Default::default()).await.unwrap().items.len();
        (left <= 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn many_that_wait_to_start_share_the_lists_of_a_restart() {
    const WAITING: usize = 150;
    let world = World::with(limited()).await;
    waiting(&world, WAITING).await;
    world.kill_operator();
    delete_waiting(&world, WAITING).await;
    world.athena.clear_calls();
    let started = Instant::now();
    world.start_operator_with(Start::with(&SETTINGS)).await;
    until_waiting_are_gone(&world).await;
    let (took, calls) = (started.elapsed(), lists(&world.athena, TEAM_A));
    // Two full lists, since one empty list isn't believed, and the few calls for the session that runs.
    let most = 2 * FULL_LIST * 12 / 10 + 3;
    assert!(calls <= most, "{calls} calls of ListSessions for {WAITING} objects, {most} are enough");
    assert!(took >= QUIET, "gone after {took:?}: before what was under way had come to pass");
    // The limit is generous, since the tests run side by side.
    assert!(took < QUIET * 10, "gone after {took:?}");
    assert_eq!(world.athena.calls_of("StartSession", None), 0);
    world.until_reason("first", "Running").await;
}

/// L2: the first list is made for all objects that wait. Later lists are rare.
#[tokio::test]
async fn many_that_are_deleted_after_a_restart_share_one_list() {
    const WAITING: usize = 100;
    let world = World::with(limited()).await;
    waiting(&world, WAITING).await;
    world.kill_operator();
    world.athena.clear_calls();
    world.start_operator_with(Start::with(&SETTINGS)).await;
    let is_listed = || async { (lists(&world.athena, TEAM_A) >= FULL_LIST).then_some(()) };
    eventually("the work group is listed once", is_listed).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = lists(&world.athena, TEAM_A);
    assert!(before <= FULL_LIST * 12 / 10 + 3, "{before} calls for the first list");
    delete_waiting(&world, WAITING).await;
    until_waiting_are_gone(&world).await;
    let calls = lists(&world.athena, TEAM_A) - before;
    assert!(calls <= FULL_LIST * 12 / 10 + 3, "{calls} calls of ListSessions for {WAITING} deleted objects");
}

/// L1: another tenant adopts a session in another work group of the account, as fast as without these objects.
#[tokio::test]
async fn many_waiting_starts_hold_up_no_adoption() {
    const WAITING: usize = 100;
    let world = World::with(limited()).await;
    waiting(&world, WAITING).await;
    let other = world.register_for_all("b", TEAM_B).await;
    world.kill_operator();
    world.start_operator_with(Start::with(&SETTINGS)).await;
    eventually("the work group is listed", || async {
        world.athena.calls_of("ListSessions", None).gt(&2).then_some(())
    })
    .await;
    let session = world.session_of(TEAM_B);
    let created = Instant::now();
    world.refer("other", &other, &session).await;
    world.until_reason("other", "Running").await;
    let took = created.elapsed();
    assert!(took < Duration::from_secs(10), "adopted after {took:?}");
}

/// S2, L2: Athena has forgotten the sessions of deleted objects. One list proves the absence of all of them.
#[tokio::test]
async fn many_whose_sessions_nobody_knows_any_more_share_a_list() {
    const GONE: usize = 20;
    let world = World::with(Config { history: HISTORY, work_groups: team_a_first(), ..brisk() }).await;
    world.start_operator_with(Start::with(&SETTINGS)).await;
    let group = world.register_for_all("a", TEAM_A).await;
    let sessions: Vec<_> = (0..GONE).map(|_| world.session_of(TEAM_A)).collect();
    for (number, session) in sessions.iter().enumerate() {
        world.create(&format!("waiting-{number}"), referring(&group, session)).await;
    }
    for number in 0..GONE {
        world.until_reason(&format!("waiting-{number}"), "Running").await;
    }
    world.kill_operator();
    sessions.iter().for_each(|session| world.athena.forget(session));
    delete_waiting(&world, GONE).await;
    world.athena.clear_calls();
    world.start_operator_with(Start::with(&SETTINGS)).await;
    eventually("all are gone", || async {
        world.objects().list(&Default::default()).await.unwrap().items.is_empty().then_some(())
    })
    .await;
    let calls = lists(&world.athena, TEAM_A);
    // Nobody knows when these sessions were started, so the list is read to its end.
    let full = FULL_LIST + HISTORY / 100 - 1;
    assert!((full..full * 2).contains(&calls), "{calls} calls of ListSessions, a full list has {full}");
}

/// S2: lists are denied, so nothing is proven. The objects say so, and stay.
#[tokio::test]
async fn without_lists_no_possibly_started_session_is_released() {
    const WAITING: usize = 10;
    let world = World::with(limited()).await;
    waiting(&world, WAITING).await;
    world.kill_operator();
    world.athena.fault(
        Fault::error("AccessDeniedException", "not authorized to perform: athena:ListSessions").on("ListSessions"),
    );
    delete_waiting(&world, WAITING).await;
    let settings = [&SETTINGS[1..], &["--poll-interval=2s"]].concat();
    world.start_operator_with(Start::with(&settings)).await;
    for number in 0..WAITING {
        let object = world.until_reason(&format!("waiting-{number}"), "AccessDenied").await;
        assert!(condition(&object, "Stalled").unwrap().2.contains("athena:ListSessions"));
    }
    world.athena.clear_faults();
    until_waiting_are_gone(&world).await;
}

/// S2, S3: an operator died before it got the answers to its starts. One list finds all these sessions.
#[tokio::test]
async fn one_list_finds_the_sessions_of_starts_that_were_lost() {
    const LOST: usize = 12;
    let world = World::with(limited()).await;
    world.athena.fault(Fault::hang().after_effect().on("StartSession"));
    world.start_operator_with(Start::with(&["--aws-timeout=60s"])).await;
    let group = world.register_for_starts("a", json!({})).await;
    for number in 0..LOST {
        world.start_session(&format!("lost-{number}"), &group).await;
    }
    eventually("all are started", || async { (world.athena.calls_of("StartSession", None) == LOST).then_some(()) })
        .await;
    world.kill_operator();
    world.athena.clear_faults();
    world.athena.clear_calls();
    world.start_operator_with(Start::with(&SETTINGS)).await;
    for number in 0..LOST {
        world.until_reason(&format!("lost-{number}"), "Running").await;
    }
    assert_eq!(world.athena.calls_of("StartSession", None), 0);
    let calls = lists(&world.athena, TEAM_A);
    assert!(calls <= 2 * FULL_LIST + 6, "{calls} calls of ListSessions");
}
