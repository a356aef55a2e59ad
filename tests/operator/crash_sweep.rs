//! The crash sweep: the operator is killed at each of its requests, before and after the request takes effect, and
//! started again. Or the connection is cut there. In each case the session is ended by one call, and the object goes
//! (S2, S3, L1).

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fake_athena::Config;
use futures::stream::{FuturesUnordered, StreamExt};
use serde_json::json;
use tokio::time::timeout;

use crate::api::RETAINED_TAG;
use crate::launch::Start;
use crate::proxy::{Key, Script, When, before_athena, kubeconfig_by_way_of};
use crate::world::{PATIENCE, World, condition};

/// How many runs take place side by side.
const AT_ONCE: usize = 6;
/// The occurrences of a request that are struck. A request that occurs more often is polling.
const OCCURRENCES: u32 = 3;

#[derive(Clone, Copy, PartialEq)]
enum End {
    Deleted,
    TerminatedThenDeleted,
    /// The object has started the session.
    StartedThenDeleted,
    /// The object has started the session, and leaves it running.
    StartedThenRetained,
}

impl End {
    fn has_started(self) -> bool {
        matches!(self, Self::StartedThenDeleted | Self::StartedThenRetained)
    }
}

/// What happens at a request.
#[derive(Clone, Copy, PartialEq)]
enum Blow {
    Kill,
    Cut,
}

/// S2, L1: the operator is killed at each request of a deletion.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_completed_after_a_crash_at_any_request() {
    sweep(End::Deleted, Blow::Kill).await;
}

/// S2, L1: the operator is killed at each request of an end by `spec.terminate`.
#[tokio::test(flavor = "multi_thread")]
async fn spec_terminate_is_completed_after_a_crash_at_any_request() {
    sweep(End::TerminatedThenDeleted, Blow::Kill).await;
}

/// S2, S3, L1: one session is started, and none is left.
#[tokio::test(flavor = "multi_thread")]
async fn one_session_is_started_and_ended_despite_a_crash_anywhere() {
    sweep(End::StartedThenDeleted, Blow::Kill).await;
}

/// S2, S3, L1: a crash between the tag and the removal of the finalizer has the session tagged again, and none leaves it untagged.
#[tokio::test(flavor = "multi_thread")]
async fn a_retained_session_is_tagged_despite_a_crash_anywhere() {
    sweep(End::StartedThenRetained, Blow::Kill).await;
}

/// S2, S3, L1: the operator lives on, and doesn't know whether its request had an effect.
#[tokio::test(flavor = "multi_thread")]
async fn one_session_is_started_and_ended_despite_a_cut_connection() {
    sweep(End::StartedThenDeleted, Blow::Cut).await;
}

/// A request, and whether the blow falls before or after its effect.
pub type Strike = (Key, When);

/// Makes a run without a blow, and then one for each strike that `strikes_at` says of a request that some run has seen. Returns all
/// requests, and how many blows fell. A run returns whether its blow fell, and all its requests.
pub async fn strike_each<R>(
    at_once: usize,
    strikes_at: impl Fn(Key) -> Vec<Strike>,
    run: impl Fn(Option<Strike>) -> R,
) -> (HashSet<Key>, usize)
where
    R: Future<Output = (bool, Vec<Key>)>,
{
    let mut known = HashSet::new();
    let mut waiting = VecDeque::from([None]);
    let mut running = FuturesUnordered::new();
    let mut struck = 0;
    loop {
        while running.len() < at_once
            && let Some(strike) = waiting.pop_front()
        {
            running.push(run(strike));
        }
        let Some((was_struck, seen)) = running.next().await else { break };
        struck += usize::from(was_struck);
        // A request that was seen for the first time is struck in a run of its own.
        for key in seen {
            if known.insert(key.clone()) {
                waiting.extend(strikes_at(key).into_iter().map(Some));
            }
        }
    }
    (known, struck)
}

async fn sweep(end: End, blow: Blow) {
    let strikes_at = |key: Key| match key.occurrence {
        ..=OCCURRENCES => vec![(key.clone(), When::Before), (key, When::After)],
        _ => Vec::new(),
    };
    let (known, struck) = strike_each(AT_ONCE, strikes_at, |strike| run(end, blow, strike)).await;
    let begins = if end.has_started() { "AmazonAthena.StartSession" } else { "AmazonAthena.GetSession" };
    let ends =
        if end == End::StartedThenRetained { "AmazonAthena.TagResource" } else { "AmazonAthena.TerminateSession" };
    let requests = ["PATCH", "PUT", begins, ends, "GET (watch)"];
    for request in requests {
        assert!(known.iter().any(|key| key.request.starts_with(request)), "{request} was never seen in {known:?}");
    }
    assert!(struck >= 2 * requests.len(), "only {struck} blows");
}

/// One life of a session, with the blow at `strike`. Returns whether the blow fell, and all requests.
async fn run(end: End, blow: Blow, strike: Option<Strike>) -> (bool, Vec<Key>) {
    let world = World::with(Config { terminating: Some(Duration::from_millis(300)), ..Config::default() }).await;
    let script = Arc::new(if blow == Blow::Cut { Script::cutting() } else { Script::default() });
    if let Some((key, when)) = strike.clone() {
        script.strike_at(key, when);
    }
    if end.has_started() {
        let group = world.register_for_starts("a", json!({})).await;
        world.start_session("crash", &group).await;
    } else {
        world.declare("crash", "IDLE").await;
    }
    let scenario = async {
        start(&world, &script).await;
        world.until_reason("crash", "Running").await;
        if end == End::TerminatedThenDeleted {
            world.edit("crash", json!({"terminate": true})).await;
            let ended = world.until_reason("crash", "Ended").await;
            assert_eq!(condition(&ended, "Terminated").unwrap().1, "RequestedBySpec", "struck at {strike:?}");
        }
        if end == End::StartedThenRetained {
            world.edit("crash", json!({"deletionPolicy": "Retain"})).await;
        }
        world.delete("crash").await;
        world.until_gone("crash").await;
    };
    let killer = async {
        script.struck().await;
        if blow == Blow::Kill {
            world.kill_operator();
            start(&world, &script).await;
        }
        std::future::pending::<()>().await;
    };
    let outcome = timeout(PATIENCE, async {
        tokio::select! {
            () = scenario => {}
            () = killer => {}
        }
    })
    .await;
    assert!(outcome.is_ok(), "hangs after a blow at {strike:?}");
    let was_struck = strike.is_some() && script.is_spent();
    let sessions = world.athena.sessions();
    assert_eq!(sessions.len(), 1, "struck at {strike:?}");
    let is_retained = end == End::StartedThenRetained;
    let (state, terminations) = if is_retained { ("IDLE", 0) } else { ("TERMINATED", 1) };
    assert_eq!(sessions[0].state, state, "struck at {strike:?}");
    assert_eq!(world.terminations(&sessions[0].id), terminations, "struck at {strike:?}");
    assert_eq!(sessions[0].tags.contains_key(RETAINED_TAG), is_retained, "struck at {strike:?}");
    (was_struck, script.seen())
}

async fn start(world: &World, script: &Arc<Script>) {
    let kubeconfig = kubeconfig_by_way_of(script, world).await;
    let athena_url = Some(before_athena(&world.athena.url(), script, &world.namespace).await);
    // No polls, since a fast machine would have more of them than a slow one.
    world.start_operator_with(Start { kubeconfig, athena_url, ..Start::with(&["--poll-interval=60s"]) }).await;
}
