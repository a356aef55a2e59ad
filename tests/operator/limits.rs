//! maxLifetime, maxIdle and terminationGracePeriod, as a user sees them.

use std::time::Duration;

use fake_athena::Config;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::api::TerminationReason;
use crate::world::{World, condition};

/// An object with these limits, whose session the operator has seen.
async fn limited(world: &World, name: &str, state: &str, limits: Value) -> String {
    let id = world.session_in(state);
    let mut spec = json!({"sessionId": id});
    spec.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
    world.create(name, spec).await;
    id
}

/// S1: only idle time counts.
#[tokio::test]
async fn max_idle_ends_an_idle_session_and_no_busy_one() {
    let world = World::new().await;
    world.start_operator().await;
    let idle = limited(&world, "idle", "IDLE", json!({"maxIdle": "2s"})).await;
    let busy = limited(&world, "busy", "BUSY", json!({"maxIdle": "2s"})).await;
    let object = world.until_reason("idle", "Ended").await;
    assert_eq!(condition(&object, "Terminated").unwrap().1, "MaxIdle");
    assert_eq!(object.status.unwrap().termination_reason, Some(TerminationReason::MaxIdle));
    sleep(Duration::from_secs(2)).await;
    assert_eq!((world.terminations(&idle), world.terminations(&busy)), (1, 0));
    world.until_reason("busy", "Running").await;
}

/// S1: and not by the operator's.
#[tokio::test]
async fn a_lifetime_is_counted_by_athenas_clock() {
    // The fake Athena's clock is an hour ahead or behind. That alone reaches no limit.
    for skew in [SignedDuration::from_hours(1), SignedDuration::from_hours(-1)] {
        let world = World::with(Config { skew, ..Config::default() }).await;
        world.start_operator().await;
        let id = limited(&world, "aging", "BUSY", json!({"maxLifetime": "30m"})).await;
        world.until_reason("aging", "Running").await;
        sleep(Duration::from_secs(3)).await;
        assert_eq!(world.terminations(&id), 0, "{skew:?}");
        world.athena.advance(Duration::from_secs(31 * 60));
        let object = world.until_reason("aging", "Ended").await;
        assert_eq!(condition(&object, "Terminated").unwrap().1, "MaxLifetime");
    }
}

#[tokio::test]
async fn an_end_waits_until_a_busy_session_has_finished() {
    let world = World::new().await;
    world.start_operator().await;
    let id = limited(&world, "at-work", "BUSY", json!({"terminationGracePeriod": "10m"})).await;
    world.until_reason("at-work", "Running").await;
    world.delete("at-work").await;
    let object = world.until_reason("at-work", "Draining").await;
    assert!(object.status.unwrap().termination_requested_at.is_some());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.terminations(&id), 0);
    world.athena.set_state(&id, "IDLE");
    world.until_gone("at-work").await;
    assert_eq!(world.terminations(&id), 1);
}

/// S1, L1: the period isn't skipped, and doesn't begin anew.
#[tokio::test]
async fn a_grace_period_holds_across_a_crash_and_can_be_taken_away() {
    let world = World::new().await;
    world.start_operator().await;
    let id = limited(&world, "at-work", "BUSY", json!({"terminationGracePeriod": "10m", "terminate": true})).await;
    let before = world.until_reason("at-work", "Draining").await.status.unwrap().termination_requested_at;
    world.kill_operator();
    world.start_operator().await;
    sleep(Duration::from_secs(3)).await;
    let after = world.until_reason("at-work", "Draining").await.status.unwrap().termination_requested_at;
    assert_eq!((world.terminations(&id), after), (0, before));
    world.edit("at-work", json!({"terminationGracePeriod": null})).await;
    let object = world.until_reason("at-work", "Ended").await;
    assert_eq!(condition(&object, "Terminated").unwrap().1, "RequestedBySpec");
}
