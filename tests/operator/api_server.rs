//! The API server's side: deleted namespaces, forbidden events, refused requests, and writes of others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fake_athena::Config;
use tokio::time::sleep;

use crate::launch::Start;
use crate::proxy::{Script, about, refusal};
use crate::world::{OPERATOR_NAMESPACE, World, eventually, has_finalizer};

/// L1: nothing in a deleted namespace may wait for something that goes first.
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

/// S2, L1: the finalizer holds the objects while no operator runs.
#[tokio::test]
async fn objects_deleted_during_a_downtime_are_ended_afterwards() {
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

/// L1: a forbidden Event doesn't hold up an end. In a namespace that is Terminating no Event can be created.
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
    for role in [account.as_str(), "athena-session-operator-work-groups"] {
        let name = format!("{account}-{role}");
        plane.kubectl_ok(&["create", "clusterrolebinding", &name, "--clusterrole", role, &subject]).await;
    }
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

/// L1: a foreign finalizer keeps the object, and not its session.
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

/// L1: a load balancer, or an API server that starts, answers 404 for a moment.
#[tokio::test]
async fn one_404_doesnt_make_an_object_forgotten() {
    for (verb, object, body) in [("PATCH", "lost", "\"remove\""), ("PUT", "lost/status", "\"terminationRequestedAt\"")]
    {
        let world = World::new().await;
        let said = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&said);
        let script = Script::meddling(move |request, sent| {
            let struck = request == about(verb, object) && sent.contains(body);
            let first = struck && counted.fetch_add(1, Ordering::SeqCst) == 0;
            first.then(|| refusal(404, "NotFound", "the server could not find the requested resource"))
        });
        world.start_operator_by_way_of(&script, &[]).await;
        let id = world.declare("lost", "IDLE").await;
        world.until_reason("lost", "Running").await;
        world.delete("lost").await;
        world.until_gone("lost").await;
        assert!(said.load(Ordering::SeqCst) >= 2, "{verb} wasn't tried again");
        assert_eq!(world.athena_session(&id).state, "TERMINATED");
    }
}

/// L1, L2: the API server also answers 422 to a write that comes too late. Here a policy refuses the write.
#[tokio::test]
async fn a_refusal_by_policy_is_told_and_rarely_retried() {
    let world = World::new().await;
    let refuses = Arc::new(AtomicBool::new(true));
    let refusing = Arc::clone(&refuses);
    let script = Script::meddling(move |request, body| {
        let removal = request == about("PATCH", "policy") && body.contains("\"remove\"");
        let refused = removal && refusing.load(Ordering::SeqCst);
        refused.then(|| refusal(422, "Invalid", "ValidatingAdmissionPolicy 'keep-finalizers' denied the request"))
    });
    world.start_operator_by_way_of(&script, &["--backoff-min=1s", "--backoff-max=2s"]).await;
    let id = world.declare("policy", "IDLE").await;
    world.until_reason("policy", "Running").await;
    world.delete("policy").await;
    let note = world.note_of("policy", "Warning Refused").await;
    assert!(note.contains("keep-finalizers"), "{note}");
    let removals = || script.count(&about("PATCH", "policy"));
    let before = removals();
    sleep(Duration::from_secs(5)).await;
    assert!((1..=6).contains(&(removals() - before)), "{} tries in 5 s", removals() - before);
    assert!(world.log().contains("keep-finalizers"));
    refuses.store(false, Ordering::SeqCst);
    world.until_gone("policy").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

/// S7, L1: the API server accepts a time that the operator can't parse.
#[tokio::test]
async fn a_status_that_cant_be_read_holds_up_nothing() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("odd", "IDLE").await;
    world.until_reason("odd", "Running").await;
    let forged = r#"{"status":{"startedAt":"2026-01-01T00:00:00+99:99"}}"#;
    let patched = world.kubectl(&["patch", "ats", "odd", "--subresource=status", "--type=merge", "-p", forged]).await;
    assert!(patched.status.success(), "{patched:?}");
    world.kubectl(&["delete", "ats", "odd", "--wait=false"]).await;
    let gone = world.kubectl(&["wait", "--for=delete", "ats/odd", "--timeout=20s"]).await;
    assert!(gone.status.success(), "the session is {}", world.athena_session(&id).state);
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}
