//! Watches: namespaces, a missing CRD, objects that can't be read, and watches that fail or hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use control_plane::ControlPlane;
use fake_athena::Config;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::launch::Start;
use crate::probes::{address, until_ready, until_unready};
use crate::proxy::{Meddle, Script, about, kubeconfig_by_way_of, refusal};
use crate::world::{World, eventually, in_checkout, install, within};

#[tokio::test]
async fn several_namespaces_can_be_watched() {
    let world = World::new().await;
    let second = format!("{}-second", world.namespace);
    world.plane.kubectl_ok(&["create", "namespace", &second]).await;
    world.start_operator_with(Start::with(&["--watch-namespace", &second])).await;
    world.declare("one", "IDLE").await;
    declare_in(&world, &second, json!({"sessionId": world.session_in("IDLE")})).await;
    world.until_reason("one", "Running").await;
    until_active_in(&world, &second).await;
}

#[tokio::test]
async fn a_namespace_that_is_named_twice_is_watched_once() {
    let world = World::new().await;
    world.start_operator_with(Start::with(&["--poll-interval=60s", "--watch-namespace", &world.namespace])).await;
    let id = world.declare("twice", "IDLE").await;
    world.until_reason("twice", "Running").await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.athena.calls_of("GetSession", Some(&id)), 1, "one controller");
}

async fn declare_in(world: &World, namespace: &str, spec: Value) {
    let manifest = json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
        "metadata": {"name": "there", "namespace": namespace}, "spec": spec,
    });
    world.plane.kubectl_with_ok(&["create", "-f", "-"], &manifest.to_string()).await;
}

async fn until_active_in(world: &World, namespace: &str) {
    world.plane.kubectl_ok(&["wait", "--for=condition=Active", "ats/there", "-n", namespace, "--timeout=30s"]).await;
}

/// A control plane of its own, since the test changes the CRD.
async fn own_control_plane() -> &'static ControlPlane {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start(Default::default()).await.unwrap()));
    for file in ["deploy/namespace.yaml", "deploy/serviceaccount.yaml", "deploy/rbac.yaml"] {
        plane.kubectl_ok(&["apply", "-f", &in_checkout(file)]).await;
    }
    plane
}

/// L1, L2: a missing CRD makes no tight loop. And without --watch-namespace all namespaces are watched.
#[tokio::test]
async fn a_missing_kind_is_waited_for_with_few_requests() {
    let plane = own_control_plane().await;
    let world = World::on(plane, Config::default()).await;
    let script = Arc::new(Script::default());
    let kubeconfig = kubeconfig_by_way_of(&script, &world).await;
    let start = Start { kubeconfig, all_namespaces: true, ..Start::with(&["--backoff-min=1s", "--backoff-max=1s"]) };
    world.start_operator_with(start).await;
    eventually("the missing kind is told", || async {
        world.log().contains("install it with `kubectl apply -k deploy`").then_some(())
    })
    .await;
    sleep(Duration::from_secs(5)).await;
    assert!(script.seen().len() <= 6, "in 5 s: {:?}", script.seen());

    install(plane).await;
    let id = world.declare("first", "IDLE").await;
    world.until_reason("first", "Running").await;
    declare_in(&world, "default", json!({"sessionId": world.session_in("IDLE")})).await;
    until_active_in(&world, "default").await;

    let address = address(&world).await;
    until_ready(&address).await;

    plane.kubectl_ok(&["delete", "-f", &in_checkout("crds"), "--wait=true"]).await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED", "the kind went, and its objects with it");
    for kind in ["AthenaSession", "AthenaWorkGroup"] {
        let line = format!("[-]watch of {kind}s failed: the cluster doesn't know the kind {kind} (");
        until_unready(&address, &line).await;
    }
    let before = script.seen().len();
    sleep(Duration::from_secs(10)).await;
    let requests = script.seen().len() - before;
    assert!(requests <= 20, "{requests} requests in 10 s without the kind");
    let told = world.log().matches("the cluster doesn't know the kind AthenaSession (").count();
    assert_eq!(told, 2, "once at start-up, once when it went: {}", world.log());

    install(plane).await;
    until_ready(&address).await;
    world.declare("second", "IDLE").await;
    world.until_reason("second", "Running").await;
}

/// L1: such an object can exist where somebody has replaced the CRD.
#[tokio::test]
async fn an_object_that_cant_be_read_is_told_and_stops_no_other() {
    let plane = own_control_plane().await;
    install(plane).await;
    let crd = plane.kubectl_ok(&["get", "crd", "athenasessions.athena-operator.dev", "-o", "json"]).await;
    let mut crd: Value = serde_json::from_str(&crd).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    // A field must be in the schema to be selectable.
    crd["spec"]["versions"][0]["selectableFields"] = json!([]);
    plane.kubectl_with_ok(&["replace", "-f", "-"], &crd.to_string()).await;
    let world = World::on(plane, Config::default()).await;
    let manifest = json!({"apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
                          "metadata": {"name": "odd"}, "spec": {"sessionId": 5}});
    let create = ["create", "--validate=false", "-n", &world.namespace, "-f", "-"];
    eventually("the API server takes anything", || async {
        world.plane.kubectl_with(&create, &manifest.to_string()).await.unwrap().status.success().then_some(())
    })
    .await;
    world.start_operator().await;
    world.until_event("odd", "Warning Unreadable").await;
    assert!(world.log().contains("can't be read"));
    let id = world.declare("even", "IDLE").await;
    world.until_reason("even", "Running").await;
    world.delete("even").await;
    world.until_gone("even").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");

    world.edit("odd", json!({"sessionId": world.session_in("IDLE")})).await;
    world.until_reason("odd", "Running").await;
}

/// L1: a connection that is half open.
#[tokio::test]
async fn a_list_that_hangs_is_given_up() {
    let lists = AtomicUsize::new(0);
    // The first list shows whether the kind exists.
    let script = Script::meddling(move |request, _| {
        (request == about("GET", "") && lists.fetch_add(1, Ordering::SeqCst) == 1).then_some(Meddle::Never)
    });
    adopts_all_the_same(&script, &about("GET", "")).await;
}

#[tokio::test]
async fn a_watch_that_hangs_is_given_up() {
    let watches = AtomicUsize::new(0);
    // The first watch shows whether the operator has the right to watch.
    let script = Script::meddling(move |request, _| {
        (request == about("GET (watch)", "") && watches.fetch_add(1, Ordering::SeqCst) == 1).then_some(Meddle::Never)
    });
    adopts_all_the_same(&script, &about("GET (watch)", "")).await;
}

async fn adopts_all_the_same(script: &Arc<Script>, hangs: &str) {
    let world = World::new().await;
    world.start_operator_by_way_of(script, &["--watch-timeout=1s"]).await;
    eventually("a request hangs", || async { (script.count(hangs) > 0).then_some(()) }).await;
    sleep(Duration::from_millis(500)).await;
    world.declare("unseen", "IDLE").await;
    let adopted = within(Duration::from_secs(30), world.until_reason("unseen", "Running")).await;
    assert!(adopted, "{} such requests in 30 s", script.count(hangs));
}

/// L1: a deletion while the watch was broken. The list of so many objects comes in two pages, and nothing else wakes an object
/// whose session has ended.
#[tokio::test]
async fn a_deletion_that_only_a_list_of_several_pages_shows_is_seen() {
    const OTHERS: usize = 60;
    let world = World::new().await;
    let is_forgotten = Arc::new(AtomicBool::new(false));
    let forgets = Arc::clone(&is_forgotten);
    let gone = json!({"type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410,
        "message": "too old resource version",
    }});
    let script = Script::meddling(move |request, _| {
        let ends = request == about("GET (watch)", "") && forgets.swap(false, Ordering::SeqCst);
        ends.then(|| Meddle::Answer(200, gone.clone()))
    });
    world.start_operator_by_way_of(&script, &["--watch-timeout=2s"]).await;
    for number in 0..OTHERS {
        world.declare(&format!("other-{number}"), "IDLE").await;
    }
    world.create("ended", json!({"sessionId": world.session_in("IDLE"), "terminate": true})).await;
    world.until_reason("ended", "Ended").await;
    let (list, release) = script.hold(&about("GET", ""));
    is_forgotten.store(true, Ordering::SeqCst);
    list.arrived().await;
    world.delete("ended").await;
    let lists = script.count(&about("GET", ""));
    release.send_replace(true);
    world.until_gone("ended").await;
    assert_eq!(script.count(&about("GET", "")), lists + 1, "the list came in one page");
}

#[tokio::test]
async fn a_watch_that_is_refused_is_told_once_and_not_ready() {
    let world = World::new().await;
    let refuses = Arc::new(AtomicBool::new(false));
    let refusing = Arc::clone(&refuses);
    let script = Script::meddling(move |request, _| {
        let refused = request == about("GET (watch)", "") && refusing.load(Ordering::SeqCst);
        refused.then(|| refusal(403, "Forbidden", "no more"))
    });
    world.start_operator_by_way_of(&script, &[]).await;
    let address = address(&world).await;
    until_ready(&address).await;
    refuses.store(true, Ordering::SeqCst);
    let watches = || script.count(&about("GET (watch)", ""));
    let before = watches();
    let line =
        format!("watch of AthenaSessions in {} failed: the operator may not watch AthenaSessions", world.namespace);
    let told = until_unready(&address, &line).await;
    assert!(told.contains("apply the RBAC rules of deploy/ (no more)"), "{told}");
    eventually("three tries", || async { (watches() >= before + 3).then_some(()) }).await;
    let log = world.log();
    assert_eq!(log.matches("the operator may not watch AthenaSessions").count(), 1, "{log}");
    refuses.store(false, Ordering::SeqCst);
    until_ready(&address).await;
    world.declare("late", "IDLE").await;
    world.until_reason("late", "Running").await;
}
