//! Kubernetes' side: namespaces that go, events that are forbidden, names that come back, watches
//! that lag, a kind that isn't there; and many objects.

use std::sync::Arc;
use std::time::Duration;

use athena_session_operator::api::FINALIZER;
use control_plane::ControlPlane;
use fake_athena::{Config, NewSession};
use futures::future::join_all;
use kube::api::DeleteParams;
use serde_json::json;
use tokio::time::sleep;

use crate::proxy::{Script, before_api_server};
use crate::world::{
    OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, Start, World, eventually, has_finalizer, in_checkout, install,
};

/// Bug 7: a namespace that hangs since something in it waits for what went first.
#[tokio::test]
async fn a_namespace_with_ten_sessions_goes_when_they_have_ended() {
    let world = World::with(Config { terminating: None, ..Config::default() }).await;
    world.start_operator().await;
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(world.declare(&format!("session-{number}"), "IDLE").await);
    }
    for number in 0..10 {
        world.until_reason(&format!("session-{number}"), "Running").await;
    }
    world.plane.kubectl_ok(&["delete", "namespace", &world.namespace, "--wait=false"]).await;
    eventually("ten calls", || async { (world.athena.calls_of("TerminateSession", None) == 10).then_some(()) }).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.objects().list(&Default::default()).await.unwrap().items.len(), 10, "all are TERMINATING");
    for id in &ids {
        world.athena.set_state(id, "TERMINATED");
    }
    world.plane.kubectl_ok(&["wait", "--for=delete", &format!("namespace/{}", world.namespace), "--timeout=60s"]).await;
    for id in ids {
        assert_eq!(world.athena_session(&id).state, "TERMINATED");
        assert_eq!(world.terminations(&id), 1);
    }
}

#[tokio::test]
async fn objects_that_were_deleted_while_the_operator_was_down_are_ended_when_it_is_back() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("patient", "IDLE").await;
    world.until_reason("patient", "Running").await;
    world.kill_operator();
    world.delete("patient").await;
    sleep(Duration::from_secs(1)).await;
    assert!(has_finalizer(&world.get("patient").await.unwrap()));
    world.start_operator().await;
    world.until_gone("patient").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

/// Bug 8: an Event that is forbidden and blocks the clean-up.
#[tokio::test]
async fn forbidden_events_change_nothing_else() {
    let world = World::new().await;
    let account = format!("silent-{}", world.namespace);
    let plane = world.plane;
    plane.kubectl_ok(&["create", "serviceaccount", &account, "-n", OPERATOR_NAMESPACE]).await;
    let rules = [
        "--verb=get,list,watch,patch,update",
        "--resource=athenasessions.athena-operator.dev,athenasessions.athena-operator.dev/status",
    ];
    plane.kubectl_ok(&["create", "clusterrole", &account, rules[0], rules[1]]).await;
    let subject = format!("--serviceaccount={OPERATOR_NAMESPACE}:{account}");
    plane.kubectl_ok(&["create", "clusterrolebinding", &account, "--clusterrole", &account, &subject]).await;
    let kubeconfig = plane.kubeconfig_for_service_account(OPERATOR_NAMESPACE, &account).await.unwrap();
    world.start_operator_with(Start { kubeconfig: Some(kubeconfig), ..Start::default() }).await;
    let id = world.declare("quiet", "IDLE").await;
    world.until_reason("quiet", "Running").await;
    world.delete("quiet").await;
    world.until_gone("quiet").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    assert_eq!(world.events("quiet").await, Vec::<String>::new());
    eventually("the refusal is logged", || async { world.log().contains("could not be published").then_some(()) })
        .await;
    assert_eq!(world.log().matches("could not be published").count(), 1, "once, not at each event");
}

/// Bug 20: a new object of the same name that is taken for the old one.
#[tokio::test]
async fn a_name_that_is_created_again_in_the_middle_of_the_clean_up_is_another_object() {
    let world = World::with(Config { terminating: Some(Duration::from_secs(1)), ..Config::default() }).await;
    world.start_operator().await;
    let old = world.declare("name", "IDLE").await;
    let first = world.until_reason("name", "Running").await;
    world.delete("name").await;
    eventually("TerminateSession is called", || async { (world.terminations(&old) > 0).then_some(()) }).await;
    // Somebody removes the finalizer by force and creates the name again.
    world
        .plane
        .kubectl_ok(&[
            "patch",
            "ats",
            "name",
            "-n",
            &world.namespace,
            "--type=merge",
            "-p",
            r#"{"metadata":{"finalizers":null}}"#,
        ])
        .await;
    world.until_gone("name").await;
    let new = world.athena.add_session(NewSession {
        state: "IDLE".to_owned(),
        work_group: Some("spark-team-b".to_owned()),
        ..NewSession::default()
    });
    world.create("name", json!({"sessionId": new})).await;
    let second = world.until_reason("name", "Running").await;
    assert_ne!(first.metadata.uid, second.metadata.uid);
    let status = second.status.unwrap();
    assert_eq!(status.session_id, Some(new.clone()));
    assert_eq!(status.work_group.as_deref(), Some("spark-team-b"), "nothing of the old object's session");
    sleep(Duration::from_secs(2)).await;
    let object = world.get("name").await.expect("the new object stays");
    assert!(has_finalizer(&object) && object.metadata.deletion_timestamp.is_none());
    assert_eq!(world.athena_session(&new).state, "IDLE");
    assert_eq!(world.athena_session(&old).state, "TERMINATED");
}

/// Bug 20, at its worst: the finalizer's removal is on its way while the name changes hands.
#[tokio::test]
async fn a_late_removal_of_the_finalizer_doesnt_hit_a_new_object_of_the_same_name() {
    let world = World::with(Config { terminating: None, ..Config::default() }).await;
    let script = Arc::new(Script::default());
    let url = before_api_server(world.plane, &script, &world.namespace).await;
    let token = world.plane.service_account_token(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT).await.unwrap();
    let kubeconfig = world.plane.kubeconfig_for_token_at(&url, &token).unwrap();
    world.start_operator_with(Start { kubeconfig: Some(kubeconfig), ..Start::default() }).await;
    let old = world.declare("name", "IDLE").await;
    world.until_reason("name", "Running").await;
    let patch = "PATCH /apis/athena-operator.dev/v1alpha1/namespaces/NAMESPACE/athenasessions/name";
    let (held, release) = script.hold(patch);
    world.delete("name").await;
    eventually("TerminateSession is called", || async { (world.terminations(&old) > 0).then_some(()) }).await;
    world.athena.set_state(&old, "TERMINATED");
    held.arrived().await;

    let by_force = r#"{"metadata":{"finalizers":null}}"#;
    world.plane.kubectl_ok(&["patch", "ats", "name", "-n", &world.namespace, "--type=merge", "-p", by_force]).await;
    world.until_gone("name").await;
    let new = world.session_in("IDLE");
    let manifest = json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
        "metadata": {"name": "name", "namespace": world.namespace, "finalizers": [FINALIZER]},
        "spec": {"sessionId": new},
    });
    world.plane.kubectl_with_ok(&["create", "-f", "-"], &manifest.to_string()).await;
    world.delete("name").await;
    release.send_replace(true);
    eventually("TerminateSession is called", || async { (world.terminations(&new) > 0).then_some(()) }).await;
    assert!(has_finalizer(&world.get("name").await.expect("its session is TERMINATING")));
    world.athena.set_state(&new, "TERMINATED");
    world.until_gone("name").await;
}

/// Bug 9: a finalizer that is added again during the deletion.
#[tokio::test]
async fn an_object_deleted_between_the_read_and_the_patch_gets_no_finalizer() {
    let world = World::new().await;
    let script = Arc::new(Script::default());
    let url = before_api_server(world.plane, &script, &world.namespace).await;
    let token = world.plane.service_account_token(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT).await.unwrap();
    let kubeconfig = world.plane.kubeconfig_for_token_at(&url, &token).unwrap();
    let path = "PATCH /apis/athena-operator.dev/v1alpha1/namespaces/NAMESPACE/athenasessions/race";
    let (held, release) = script.hold(path);
    world.start_operator_with(Start { kubeconfig: Some(kubeconfig), ..Start::default() }).await;

    let id = world.session_in("IDLE");
    world.plane.kubectl_with_ok(
        &["create", "-f", "-"],
        &json!({
            "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
            "metadata": {"name": "race", "namespace": world.namespace, "finalizers": ["example.com/somebody-elses"]},
            "spec": {"sessionId": id},
        })
        .to_string(),
    )
    .await;
    held.arrived().await;
    world.delete("race").await;
    release.send_replace(true);
    sleep(Duration::from_secs(2)).await;
    let object = world.get("race").await.expect("the other finalizer holds it");
    assert!(!has_finalizer(&object), "a finalizer was added to an object that is being deleted");
    assert_eq!(world.terminations(&id), 0, "an object without our finalizer is not ours");
    // The API server itself refuses such a finalizer; insisting would be the bug that is left.
    assert_eq!(script.seen().iter().filter(|key| key.request == path).count(), 1, "it is tried again");
}

/// A finalizer of somebody else's keeps the object, not the session.
#[tokio::test]
async fn a_foreign_finalizer_is_left_where_it_is() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("shared", "IDLE").await;
    world.until_reason("shared", "Running").await;
    world
        .plane
        .kubectl_ok(&[
            "patch",
            "ats",
            "shared",
            "-n",
            &world.namespace,
            "--type=json",
            "-p",
            r#"[{"op":"add","path":"/metadata/finalizers/0","value":"example.com/somebody-elses"}]"#,
        ])
        .await;
    world.delete("shared").await;
    let object = world.until("shared", "ours is gone", |object| !has_finalizer(object)).await;
    assert_eq!(object.metadata.finalizers, Some(vec!["example.com/somebody-elses".to_owned()]));
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

/// Bug 19: a missing kind that gives a tight loop.
#[tokio::test]
async fn a_missing_kind_is_waited_for_with_few_requests() {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start(Default::default()).await.unwrap()));
    for file in ["deploy/namespace.yaml", "deploy/serviceaccount.yaml", "deploy/rbac.yaml"] {
        plane.kubectl_ok(&["apply", "-f", &in_checkout(file)]).await;
    }
    let world = World::on(plane, Config::default()).await;
    let script = Arc::new(Script::default());
    let url = before_api_server(plane, &script, &world.namespace).await;
    let token = plane.service_account_token(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT).await.unwrap();
    let kubeconfig = Some(plane.kubeconfig_for_token_at(&url, &token).unwrap());
    world
        .start_operator_with(Start { kubeconfig, arguments: vec!["--backoff-min=1s".to_owned()], ..Start::default() })
        .await;
    eventually("the missing kind is told", || async {
        world.log().contains("athena-session-operator crds | kubectl").then_some(())
    })
    .await;
    sleep(Duration::from_secs(5)).await;
    assert!(script.seen().len() <= 6, "in 5 s: {:?}", script.seen());

    install(plane).await;
    let id = world.declare("first", "IDLE").await;
    world.until_reason("first", "Running").await;

    plane.kubectl_ok(&["delete", "-f", &in_checkout("crds"), "--wait=true"]).await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED", "the kind went, and its objects with it");
    let before = script.seen().len();
    sleep(Duration::from_secs(10)).await;
    let requests = script.seen().len() - before;
    assert!(requests <= 20, "{requests} requests in 10 s without the kind");

    install(plane).await;
    world.declare("second", "IDLE").await;
    world.until_reason("second", "Running").await;
}

/// Bug 11: a status that is written again and again. And a thousand that are deleted at once.
#[tokio::test]
async fn where_nothing_changes_nothing_is_written_and_what_is_deleted_at_once_goes() {
    const QUIET: usize = 300;
    const ALL: usize = 1_000;
    let world = World::new().await;
    // The intervals of the defaults.
    world.start_operator_with(Start { arguments: vec!["--poll-interval=60s".to_owned()], ..Start::default() }).await;
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
