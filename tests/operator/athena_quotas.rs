//! Athena's quotas: the operator stays within them (L2), and calls that end sessions go first (L1).

use std::collections::HashSet;
use std::time::Duration;

use fake_athena::Config;
use futures::future::join_all;
use kube::api::DeleteParams;
use serde_json::json;

use crate::launch::Start;
use crate::probes::{address, ask};
use crate::tenancy::{TEAM_A, Whole, brisk, referring};
use crate::world::{World, eventually};

/// An Athena with this quota for each operation.
fn rationed(rate: &str) -> Config {
    Config { quotas: [("*".to_owned(), rate.parse().unwrap())].into(), ..brisk() }
}

fn throttled(world: &World) -> (usize, usize) {
    let calls = world.athena.calls();
    let throttled = calls.iter().filter(|call| call.error.as_deref() == Some("ThrottlingException")).count();
    (throttled, calls.len())
}

/// L1, L2: all ends are reached, and few calls are throttled.
#[tokio::test]
async fn many_that_are_deleted_at_once_end_within_the_quota() {
    const SESSIONS: usize = 40;
    let world = World::with(rationed("5/10")).await;
    let group = world.register_for_all("a", TEAM_A).await;
    world
        .start_operator_with(Start::with(&[
            "--athena-rate=5",
            "--athena-rate-max=5",
            "--athena-burst=10",
            "--poll-interval=5s",
        ]))
        .await;
    let sessions: Vec<_> = (0..SESSIONS).map(|_| world.session_of(TEAM_A)).collect();
    join_all(sessions.iter().enumerate().map(|(number, id)| {
        let (world, group) = (&world, &group);
        async move { world.refer(&format!("object-{number}"), group, id).await }
    }))
    .await;
    for number in 0..SESSIONS {
        world.until_reason(&format!("object-{number}"), "Running").await;
    }
    world.objects().delete_collection(&DeleteParams::default(), &Default::default()).await.unwrap();
    for number in 0..SESSIONS {
        world.until_gone(&format!("object-{number}")).await;
    }
    assert!(sessions.iter().all(|id| world.athena_session(id).state == "TERMINATED"));
    assert_eq!(world.athena.calls_of("TerminateSession", None), SESSIONS);
    let (throttled, calls) = throttled(&world);
    assert!(throttled * 50 <= calls, "{throttled} of {calls} calls were throttled");
}

/// L1: calls that end sessions raise the rate, while adoptions and polls don't. The status and `/metrics` show the
/// found rate.
#[tokio::test]
async fn ends_find_out_that_athena_allows_more() {
    const SESSIONS: usize = 60;
    let world = Whole::new().await;
    let group = world.register_for_all("a", TEAM_A).await;
    world.start(&["--athena-rate=5", "--athena-burst=10", "--poll-interval=5s"]).await;
    let names: Vec<_> = (0..SESSIONS).map(|number| format!("object-{number}")).collect();
    join_all(names.iter().map(|name| {
        let (world, group, session) = (&world, &group, world.session_of(TEAM_A));
        async move { world.refer(name, group, &session).await }
    }))
    .await;
    for name in &names {
        world.until_reason(name, "Running").await;
    }
    let rates = rates(&world).await;
    assert!(rates.iter().all(|(_, rate)| *rate == 5.0), "{rates:?}");
    world.objects().delete_collection(&DeleteParams::default(), &Default::default()).await.unwrap();
    for name in &names {
        world.until_gone(name).await;
    }
    let rates = self::rates(&world).await;
    let of_ends = rates.iter().find(|(series, _)| series.contains("TerminateSession"));
    // Each call that waited raises the rate by 0.23.
    assert!(of_ends.is_some_and(|(_, rate)| *rate > 10.0), "{rates:?}");
    let told = eventually("the work group's status tells it", || async {
        let status = world.group(&group).await?.status?;
        status.calls_per_second.get("TerminateSession").cloned()
    });
    assert!(told.await.parse::<f64>().unwrap() > 5.0);
    assert_eq!(throttled(&world).0, 0);
}

/// By operation, the rates of `/metrics`.
async fn rates(world: &World) -> Vec<(String, f64)> {
    let address = address(world).await;
    let text = ask(&address, "/metrics").await.1;
    let lines =
        text.lines().filter_map(|line| line.strip_prefix("athena_session_operator_athena_rate{")?.split_once("} "));
    lines.map(|(series, rate)| (series.to_owned(), rate.parse().unwrap())).collect()
}

/// L1, L2: each end needs a look of the same moment. So an object looks only when its turn to end the session has come.
#[tokio::test]
async fn many_with_a_grace_period_end_within_the_quota() {
    const SESSIONS: usize = 60;
    let world = World::with(rationed("5/10")).await;
    let group = world.register_for_all("a", TEAM_A).await;
    world.start_operator_with(Start::with(&["--athena-rate=5", "--athena-burst=10", "--poll-interval=5s"])).await;
    let names: Vec<_> = (0..SESSIONS).map(|number| format!("object-{number}")).collect();
    join_all(names.iter().map(|name| {
        let mut spec = referring(&group, &world.session_of(TEAM_A));
        spec["terminationGracePeriod"] = json!("10m");
        world.create(name, spec)
    }))
    .await;
    for name in &names {
        world.until_reason(name, "Running").await;
    }
    world.objects().delete_collection(&DeleteParams::default(), &Default::default()).await.unwrap();
    for name in &names {
        world.until_gone(name).await;
    }
    assert_eq!(world.athena.calls_of("TerminateSession", None), SESSIONS);
    let looks = world.athena.calls_of("GetSessionStatus", None);
    assert!((SESSIONS..SESSIONS * 2).contains(&looks), "{looks} looks before {SESSIONS} ends");
}

/// L1, L2: without a reference each object takes a call of its own.
#[tokio::test]
async fn a_restart_stays_within_the_quota_and_ends_come_first() {
    const ALL: usize = 300;
    const DELETED: usize = 20;
    let world = World::with(brisk()).await;
    world.start_operator_with(Start::with(&["--poll-interval=60s"])).await;
    let names: Vec<_> = (0..ALL).map(|number| format!("object-{number}")).collect();
    let sessions = join_all(names.iter().map(|name| world.declare(name, "IDLE"))).await;
    for name in &names {
        world.until_reason(name, "Running").await;
    }
    world.kill_operator();
    for name in &names[ALL - DELETED..] {
        world.delete(name).await;
    }
    world.athena.clear_calls();
    world.athena.reconfigure(|config| config.quotas = rationed("10/10").quotas);
    world
        .start_operator_with(Start::with(&[
            "--poll-interval=60s",
            "--athena-rate=10",
            "--athena-rate-max=10",
            "--athena-burst=10",
        ]))
        .await;
    for name in &names[ALL - DELETED..] {
        world.until_gone(name).await;
    }
    let deleted: HashSet<_> = sessions[ALL - DELETED..].iter().collect();
    let others = || {
        let calls = world.athena.calls();
        let about = calls.iter().filter_map(|call| call.session.clone());
        about.filter(|id| !deleted.contains(id)).collect::<HashSet<_>>().len()
    };
    let looked_at = others();
    assert!(looked_at < ALL / 2, "{looked_at} others were looked at before all that were deleted had ended");
    let reads = ["GetSession", "GetSessionStatus"];
    // The other sessions are looked at later.
    eventually("each is looked at", || async { (others() == ALL - DELETED).then_some(()) }).await;
    let (throttled, calls) = throttled(&world);
    assert!(throttled * 50 <= calls, "{throttled} of {calls} calls were throttled");
    let first_end = world.athena.calls().iter().position(|call| call.operation == "TerminateSession").unwrap();
    let before = world.athena.calls()[..first_end].iter().filter(|call| reads.contains(&&*call.operation)).count();
    assert!(before <= 30, "{before} looks before the first end");
}

/// L2: with a reference, a few lists take the place of hundreds of calls.
#[tokio::test]
async fn a_restart_with_many_objects_of_a_work_group_takes_few_calls() {
    const ALL: usize = 200;
    let world = World::with(brisk()).await;
    let group = world.register_for_all("a", TEAM_A).await;
    world.start_operator_with(Start::with(&["--poll-interval=60s"])).await;
    let sessions: Vec<_> = (0..ALL).map(|_| world.session_of(TEAM_A)).collect();
    join_all(sessions.iter().enumerate().map(|(number, id)| {
        let spec = referring(&group, id);
        let world = &world;
        async move { world.create(&format!("object-{number}"), spec).await }
    }))
    .await;
    for number in 0..ALL {
        world.until_reason(&format!("object-{number}"), "Running").await;
    }
    world.kill_operator();
    for number in 0..5 {
        world.delete(&format!("object-{number}")).await;
    }
    world.athena.clear_calls();
    world.athena.reconfigure(|config| config.quotas = rationed("5/10").quotas);
    world
        .start_operator_with(Start::with(&[
            "--poll-interval=60s",
            "--athena-rate=5",
            "--athena-rate-max=5",
            "--athena-burst=10",
        ]))
        .await;
    for number in 0..5 {
        world.until_gone(&format!("object-{number}")).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let calls = world.athena.count_calls();
    let total: usize = calls.values().sum();
    assert!(total <= 60, "{calls:?}");
    let (throttled, _) = throttled(&world);
    assert_eq!(throttled, 0, "{calls:?}");
}
