//! S6, L2: two operators work on the same objects, by mistake or for a moment during a rollout.

use std::time::Duration;

use tokio::time::sleep;

use crate::launch::{Operator, Start};
use crate::world::World;

const SECONDS: u64 = 8;

/// How many writes both operators make from now on. Meanwhile no poll is due.
async fn writes_from_now(world: &World) -> usize {
    let before = world.writes().len();
    sleep(Duration::from_secs(SECONDS)).await;
    world.writes().len() - before
}

/// S6, L2: one operator looked before the session changed, the other one afterwards.
#[tokio::test]
async fn two_operators_with_different_news_dont_write_over_each_other() {
    let world = World::new().await;
    let start = Start::with(&["--poll-interval=60s"]);
    world.start_operator_with(start.clone()).await;
    let id = world.declare("shared", "IDLE").await;
    world.until_reason("shared", "Running").await;
    world.athena.set_state(&id, "TERMINATED");
    // The second operator looks when it starts.
    let _second = Operator::start(&world, start).await;
    let writes = writes_from_now(&world).await;
    assert!((1..=5).contains(&writes), "{writes} writes in {SECONDS} s: {:?}", world.events("shared").await);
    world.until_reason("shared", "Ended").await;
}

/// S6, L2: one operator for each Region, both for all namespaces. They don't overwrite each other's status for ever.
#[tokio::test]
async fn two_operators_of_two_regions_dont_write_over_each_other() {
    let world = World::new().await;
    let start = Start::with(&["--poll-interval=60s"]);
    world.start_operator_with(start.clone()).await;
    let id = world.declare("regions", "IDLE").await;
    world.until_reason("regions", "Running").await;
    let environment = vec![("AWS_REGION", "us-east-1".to_owned())];
    let _second = Operator::start(&world, Start { environment, ..start }).await;
    let writes = writes_from_now(&world).await;
    assert!(writes <= 5, "{writes} writes in {SECONDS} s");
    world.delete("regions").await;
    world.until_gone("regions").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}
