//! Two accidents that `deploy/` prevents. The guard refuses a deletion of the CRDs, which would end every session. And
//! the admission policies recognise the operator in any namespace, so that they never keep it from ending a session.
//! Each test has a control plane of its own.

use std::time::Duration;

use control_plane::ControlPlane;
use fake_athena::Config;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::admission_policies::rendered;
use crate::api::FINALIZER;
use crate::docs::pages::block;
use crate::launch::Start;
use crate::probes::{address, ask};
use crate::world::{OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, World, eventually, in_checkout};

const SESSIONS: &str = "athenasessions.athena-operator.dev";
const GROUPS: &str = "athenaworkgroups.athena-operator.dev";
const REFUSED: &str = "ValidatingAdmissionPolicy 'kinds.athena-operator.dev'";

/// A control plane with `deploy/`, or with the objects that a kustomization makes of it.
async fn deployed(objects: Option<&[Value]>) -> &'static ControlPlane {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start(Default::default()).await.unwrap()));
    apply(plane, objects).await;
    eventually("the guard binds", || async {
        let said = refusal(plane, &["delete", "crd", GROUPS, "--dry-run=server"]).await;
        said.contains("kinds.athena-operator.dev'").then_some(())
    })
    .await;
    plane
}

/// In one command, an object may be applied before its kind.
async fn apply(plane: &ControlPlane, objects: Option<&[Value]>) {
    plane.kubectl_ok(&["apply", "-f", &in_checkout("crds")]).await;
    for kind in [SESSIONS, GROUPS] {
        plane.kubectl_ok(&["wait", "--for=condition=Established", &format!("crd/{kind}")]).await;
    }
    match objects {
        None => plane.kubectl_ok(&["apply", "-k", &in_checkout("deploy")]).await,
        Some(objects) => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
            plane.kubectl_with_ok(&["apply", "-f", "-"], &list.to_string()).await
        }
    };
}

/// The error of kubectl; an empty text where kubectl succeeds.
async fn refusal(plane: &ControlPlane, arguments: &[&str]) -> String {
    let output = plane.kubectl(arguments).await.unwrap();
    if output.status.success() { String::new() } else { String::from_utf8(output.stderr).unwrap() }
}

async fn world(plane: &'static ControlPlane, terminating: Option<Duration>) -> World {
    World::on(plane, Config { terminating, ..Config::default() }).await
}

const A_MOMENT: Option<Duration> = Some(Duration::from_millis(400));

async fn deletion_of(plane: &ControlPlane, what: &str) -> String {
    plane.kubectl_ok(&["get", what, "-o", "jsonpath={.metadata.deletionTimestamp}"]).await
}

#[tokio::test]
async fn deploy_deleted_twice_leaves_kinds_and_objects() {
    let plane = deployed(None).await;
    let world = world(plane, A_MOMENT).await;
    world.start_operator().await;
    let (lives, goes) = (world.declare("lives", "IDLE").await, world.declare("goes", "IDLE").await);
    world.until_reason("lives", "Running").await;
    world.until_reason("goes", "Running").await;
    world.kill_operator();
    world.delete("goes").await;

    for time in ["first", "second", "third"] {
        let said =
            refusal(plane, &["delete", "-k", &in_checkout("deploy"), "--wait=false", "--ignore-not-found"]).await;
        for kind in [SESSIONS, GROUPS] {
            assert!(said.contains(&format!("\"{kind}\" is forbidden: {REFUSED}")), "the {time} time: {said}");
        }
    }
    let guard = "validatingadmissionpolicy/kinds.athena-operator.dev";
    assert_ne!(deletion_of(plane, guard).await, "", "the guard isn't being deleted: the third time shows nothing");
    assert_eq!(deletion_of(plane, &format!("crd/{SESSIONS}")).await, "");
    assert!(world.get("lives").await.unwrap().metadata.deletion_timestamp.is_none());
    assert!(world.get("goes").await.unwrap().finalizers().contains(&FINALIZER.to_owned()));

    plane.kubectl_ok(&["wait", "--for=delete", &format!("namespace/{OPERATOR_NAMESPACE}"), "--timeout=60s"]).await;
    apply(plane, None).await;
    world.start_operator().await;
    world.until_gone("goes").await;
    assert_eq!(world.athena_session(&goes).state, "TERMINATED");
    world.until_reason("lives", "Running").await;
    assert_eq!(world.terminations(&lives), 0);
}

/// The annotations by which Helm, Argo CD and Flux decide whether to delete an object that has left their source.
#[tokio::test]
async fn kinds_and_guard_are_marked_to_be_kept_by_gitops() {
    let objects = rendered("kept", "resources: [deploy]\n").await;
    let is_kept = |object: &&Value| {
        let annotations = &object["metadata"]["annotations"];
        annotations["helm.sh/resource-policy"] == "keep"
            && annotations["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"
            && annotations["kustomize.toolkit.fluxcd.io/prune"] == "disabled"
    };
    let kept: Vec<_> =
        objects.iter().filter(is_kept).map(|object| object["metadata"]["name"].as_str().unwrap()).collect();
    let guard = "kinds.athena-operator.dev";
    assert_eq!(kept, [SESSIONS, GROUPS, guard, guard]);
    for kind in objects.iter().filter(|object| object["kind"] == "CustomResourceDefinition") {
        let labels =
            json!({"app.kubernetes.io/name": OPERATOR_ACCOUNT, "app.kubernetes.io/version": env!("CARGO_PKG_VERSION")});
        assert_eq!(kind["metadata"]["labels"], labels);
    }
}

#[tokio::test]
async fn a_kind_goes_only_with_the_annotation_that_allows_it() {
    let plane = deployed(None).await;
    let said = refusal(plane, &["delete", "crd", SESSIONS]).await;
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    let sentence = "the kind stays, with its objects, also where the operator is removed: its deletion would delete all \
                    AthenaSessions of the cluster, and end their sessions; who wants just that sets the annotation \
                    athena-operator.dev/allow-delete=true on the CustomResourceDefinition before";
    assert!(said.trim_end().ends_with(sentence), "{said}");
    let collection = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?labelSelector=app.kubernetes.io/name=athena-session-operator";
    let said = refusal(plane, &["delete", "--raw", collection]).await;
    assert!(said.contains(REFUSED), "a collection: {said}");
    plane.kubectl_ok(&["annotate", "crd", SESSIONS, "athena-operator.dev/allow-delete=false"]).await;
    assert!(refusal(plane, &["delete", "crd", SESSIONS]).await.contains(REFUSED), "false is taken for true");

    // The commands of the documentation.
    let is_uninstall = |block: &str| block.contains("allow-delete=true") && block.contains("delete -k deploy");
    let uninstall = block(&["sh", "console"], is_uninstall);
    let commands = uninstall.replace("\\\n", " ").replace('\'', "");
    let commands: Vec<_> = commands.lines().map(|line| line.trim_start_matches("$ ")).collect();
    for command in commands.into_iter().filter(|line| line.starts_with("kubectl ")) {
        let command = command.replace("-k deploy", &format!("-k {}", in_checkout("deploy")));
        let words: Vec<_> = command.split_whitespace().collect();
        assert_eq!(words[0], "kubectl", "{command}");
        let overwrite: &[&str] = if words[1] == "annotate" { &["--overwrite"] } else { &[] };
        plane.kubectl_ok(&[&words[1..], overwrite].concat()).await;
    }
    for kind in ["crd", "validatingadmissionpolicy", "validatingadmissionpolicybinding", "clusterrole"] {
        let left = plane.kubectl_ok(&["get", kind, "-l", "app.kubernetes.io/name=athena-session-operator"]).await;
        assert_eq!(left, "", "a {kind} is left");
    }
}

#[tokio::test]
async fn a_deleted_kind_is_told_and_work_goes_on_once_it_is_back() {
    let plane = deployed(None).await;
    // Its sessions end when the test says so.
    let world = world(plane, None).await;
    world.start_operator().await;
    let id = world.declare("goes", "IDLE").await;
    world.until_reason("goes", "Running").await;
    world.kill_operator();
    plane.kubectl_ok(&["annotate", "crd", SESSIONS, "athena-operator.dev/allow-delete=true"]).await;
    plane.kubectl_ok(&["delete", "crd", SESSIONS, "--wait=false"]).await;
    plane.kubectl_ok(&["apply", "-k", &in_checkout("deploy")]).await;

    world.start_operator().await;
    let told = |what: &'static str| {
        let world = &world;
        async move {
            eventually(what, || async { world.log().contains(what).then_some(()) }).await;
            assert_eq!(world.log().matches(what).count(), 1, "{}", world.log());
        }
    };
    told("the kind AthenaSession is being deleted").await;
    let readyz = ask(&address(&world).await, "/readyz").await;
    assert_eq!(readyz.0, 503, "{readyz:?}");
    assert!(readyz.1.contains("[-]kind AthenaSession failed: the kind AthenaSession is being deleted"), "{readyz:?}");
    assert!(!readyz.1.contains("kind AthenaWorkGroup"), "{readyz:?}");
    eventually("the end is asked for", || async { (world.terminations(&id) > 0).then_some(()) }).await;
    world.athena.set_state(&id, "TERMINATED");
    told("the deletion of the kind AthenaSession is over").await;
    assert_eq!(refusal(plane, &["get", "crd", SESSIONS]).await.matches("NotFound").count(), 1);

    apply(plane, None).await;
    world.declare("next", "IDLE").await;
    world.until_reason("next", "Running").await;
    eventually("it is ready", || async { (ask(&address(&world).await, "/readyz").await.0 == 200).then_some(()) }).await;
}

const ELSEWHERE: &str = "resources: [deploy]\ncomponents: [deploy/workloads, deploy/require-work-group]\n\
                         namespace: data-platform\nnamePrefix: x-\n";

#[tokio::test]
async fn policies_recognise_the_operator_under_another_name() {
    let objects = rendered("moved", ELSEWHERE).await;
    let plane = deployed(Some(&objects)).await;
    let moved = plane.kubeconfig_for_service_account("data-platform", &format!("x-{OPERATOR_ACCOUNT}")).await.unwrap();
    let world = world(plane, A_MOMENT).await;
    let start = Start { kubeconfig: Some(moved), ..Start::default() };
    world.start_operator_with(start).await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_session("ends", &group).await;
    let id = world.until_reason("ends", "Running").await.status.unwrap().session_id.unwrap();
    let policy =
        |said: &str, name: &str| said.contains(&format!("ValidatingAdmissionPolicy 'x-{name}.athena-operator.dev'"));
    let patch = ["patch", "ats", "ends", "-n", &world.namespace, "--type=merge"];
    let forged = [&patch[..], &["--subresource=status", "-p", r#"{"status":{"state":"BUSY"}}"#]].concat();
    let said = refusal(plane, &forged).await;
    assert!(policy(&said, "status") && said.contains("data-platform:x-athena-session-operator"), "{said}");
    let let_go =
        ["--as=system:serviceaccount:data-platform:other", "--as-group=all", "-p", r#"{"metadata":{"finalizers":[]}}"#];
    let may = ["create", "clusterrole", "all", "--verb=get,patch", "--resource=athenasessions.athena-operator.dev"];
    plane.kubectl_ok(&may).await;
    plane.kubectl_ok(&["create", "clusterrolebinding", "all", "--clusterrole=all", "--group=all"]).await;
    eventually("the finalizer is kept", || async {
        policy(&refusal(plane, &[&patch[..], &let_go].concat()).await, "finalizer").then_some(())
    })
    .await;
    world.delete("ends").await;
    world.until_gone("ends").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    assert!(!world.log().contains("the API server refuses"), "{}", world.log());
}

/// An operator on a laptop next to an installation, or one whose ServiceAccount was changed without the policies.
#[tokio::test]
async fn an_operator_that_the_policies_dont_know_says_so_at_start() {
    let plane = deployed(None).await;
    let world = world(plane, A_MOMENT).await;
    world.start_operator().await;
    let id = world.declare("ends", "IDLE").await;
    world.until_reason("ends", "Running").await;
    world.kill_operator();

    let (user, kubeconfig) = stranger(plane).await;
    let start = Start { kubeconfig: Some(kubeconfig), ..Start::default() };
    world.start_operator_with(start).await;
    let line = told_refusal(&world).await;
    assert_eq!(line["refused_by"], "the admission policy status.athena-operator.dev", "{line}");
    assert_eq!(line["identity"], user, "{line}");
    assert!(line["remedy"].as_str().unwrap().contains("apply deploy/ for the ServiceAccount"), "{line}");
    assert!(line["problem"].as_str().unwrap().starts_with("a dry run of writing the status: "), "{line}");

    world.delete("ends").await;
    let note = world.note_of("ends", "Warning Refused").await;
    assert!(note.contains("policy") && note.contains("For an administrator: apply deploy/"), "{note}");
    assert!(note.contains(&format!("and not {user}: ")), "{note}");
    let not_ready = || async {
        let (status, text) = ask(&address(&world).await, "/readyz").await;
        (status == 503).then_some(text)
    };
    let text = eventually("it isn't ready", not_ready).await;
    assert!(text.contains("s the admission policy status.athena-operator.dev has refused each write of "), "{text}");
    assert_eq!(world.terminations(&id), 0, "what isn't recorded isn't done");
    assert_eq!(refusals(&world).len(), 1, "each refusal is told: {}", world.log());

    // The change that the top of admission.yaml proposes.
    let named = json!([{"op": "replace", "path": "/spec/variables/0/expression", "value": format!("['{user}']")}]);
    for policy in ["status.athena-operator.dev", "finalizer.athena-operator.dev"] {
        plane
            .kubectl_ok(&["patch", "validatingadmissionpolicy", policy, "--type=json", "-p", &named.to_string()])
            .await;
    }
    world.until_gone("ends").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    let ready = || async { (ask(&address(&world).await, "/readyz").await.0 == 200).then_some(()) };
    eventually("it is ready again", ready).await;
}

/// Without an object no dry run is possible at start. Then the first write to an object shows the refusal.
#[tokio::test]
async fn the_first_write_that_is_refused_is_told_on_the_object() {
    let plane = deployed(None).await;
    let world = world(plane, A_MOMENT).await;
    let (_, kubeconfig) = stranger(plane).await;
    world.start_operator_with(Start { kubeconfig: Some(kubeconfig), all_namespaces: true, ..Start::default() }).await;
    let group = json!({"apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaWorkGroup",
                       "metadata": {"name": "spark"}, "spec": {}});
    plane.kubectl_with_ok(&["create", "-f", "-"], &group.to_string()).await;
    world.declare("new", "IDLE").await;
    world.until_event("new", "Warning Refused").await;
    told_refusal(&world).await;
    eventually("the event about the AthenaWorkGroup", || async {
        let events =
            ["get", "events", "-n", "default", "--field-selector=involvedObject.name=spark,reason=Refused", "-o=name"];
        (!plane.kubectl_ok(&events).await.is_empty()).then_some(())
    })
    .await;
}

/// A ServiceAccount with the operator's rights that no policy names. Returns its user name and its kubeconfig.
async fn stranger(plane: &ControlPlane) -> (String, std::path::PathBuf) {
    plane.kubectl_ok(&["create", "serviceaccount", "stranger", "-n", "default"]).await;
    for role in [OPERATOR_ACCOUNT, "athena-session-operator-work-groups"] {
        let name = format!("stranger-{role}");
        let binding =
            ["create", "clusterrolebinding", &name, "--clusterrole", role, "--serviceaccount=default:stranger"];
        plane.kubectl_ok(&binding).await;
    }
    let kubeconfig = plane.kubeconfig_for_service_account("default", "stranger").await.unwrap();
    ("system:serviceaccount:default:stranger".to_owned(), kubeconfig)
}

/// The lines of the log that tell the administrator of refused writes.
fn refusals(world: &World) -> Vec<Value> {
    let lines = world.log();
    let told = lines.lines().filter(|line| line.contains("the API server refuses a write of the operator"));
    told.map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| line.get("fields").cloned().unwrap_or(line))
        .collect()
}

async fn told_refusal(world: &World) -> Value {
    eventually("the refusal is told", || async { refusals(world).into_iter().next() }).await
}
