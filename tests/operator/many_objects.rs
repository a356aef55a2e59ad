//! Many objects: what they cost, and that they don't hold up each other.

use std::time::Duration;

use fake_athena::Fault;
use futures::future::join_all;
use kube::api::DeleteParams;
use tokio::time::sleep;

use crate::launch::Start;
use crate::world::{World, eventually, within};

/// L1, L2: a status isn't written again and again. Then a thousand objects are deleted at once.
#[tokio::test]
async fn an_idle_cluster_writes_nothing_and_mass_deletion_completes() {
    const QUIET: usize = 300;
    const ALL: usize = 1_000;
    let world = World::new().await;
    // The default intervals.
    world.start_operator_with(Start::with(&["--poll-interval=60s"])).await;
    let names: Vec<_> = (0..ALL).map(|number| format!("object-{number}")).collect();
    join_all(names[..QUIET].iter().map(|name| world.declare(name, "IDLE"))).await;
    let running = |names: &[String]| {
        let names = names.to_vec();
        let world = &world;
        async move {
            for name in names {
                world.until_reason(&name, "Running").await;
            }
        }
    };
    running(&names[..QUIET]).await;
    let versions = || async {
        let objects = world.objects().list(&Default::default()).await.unwrap().items;
        objects.into_iter().map(|object| object.metadata.resource_version).collect::<Vec<_>>()
    };
    let before = versions().await;
    let writes = world.writes().len();
    assert_eq!(writes, 2 * QUIET, "the finalizer and the status of each");
    world.athena.clear_calls();
    sleep(Duration::from_secs(60)).await;
    let calls = world.athena.calls().len();
    assert_eq!(versions().await, before);
    assert_eq!(world.writes().len(), writes);
    assert!(calls <= QUIET + QUIET / 10, "{calls} calls in a minute for {QUIET} objects");

    join_all(names[QUIET..].iter().map(|name| world.declare(name, "IDLE"))).await;
    running(&names[QUIET..]).await;
    world.objects().delete_collection(&DeleteParams::default(), &Default::default()).await.unwrap();
    eventually("a thousand objects are gone", || async {
        world.objects().list(&Default::default()).await.unwrap().items.is_empty().then_some(())
    })
    .await;
    assert!(world.athena.sessions().iter().all(|session| session.state == "TERMINATED"));
    assert_eq!(world.athena.calls_of("TerminateSession", None), ALL);
}

/// L1: only the object of this call waits.
#[tokio::test]
async fn a_call_that_hangs_holds_up_no_other_object() {
    let world = World::new().await;
    world.start_operator_with(Start::with(&["--aws-timeout=60s"])).await;
    let hanging = world.session_in("IDLE");
    world.athena.fault(Fault::hang().on("GetSession").session(&hanging));
    world.create("hanging", serde_json::json!({"sessionId": hanging})).await;
    let calls = || world.athena.calls_of("GetSession", Some(&hanging));
    eventually("a call hangs", || async { (calls() > 0).then_some(()) }).await;
    let others = async {
        let id = world.declare("other", "IDLE").await;
        world.until_reason("other", "Running").await;
        world.delete("other").await;
        world.until_gone("other").await;
        assert_eq!(world.athena_session(&id).state, "TERMINATED");
    };
    assert!(within(Duration::from_secs(20), others).await, "all objects wait for one call");
    assert_eq!(calls(), 1, "the call still hangs");
}
