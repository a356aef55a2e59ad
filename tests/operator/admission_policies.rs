//! The admission policies and RBAC rules of `deploy/`: who may do what. No operator runs, except in one test, so that
//! only the user makes the difference. Most requests are dry runs, which policies judge as well.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use control_plane::ControlPlane;
use fake_athena::Config;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::api::{FINALIZER, WORK_GROUP_FINALIZER};
use crate::docs::pages::{self, Page, block};
use crate::world::{OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, World, eventually, in_checkout, operator_kubeconfig, within};

/// Answers of the API server.
const YES: &str = "yes";
/// The user has no such right, whatever policies say.
const RBAC: &str = "rbac";
const USE: &str = "use";
const STATUS: &str = "status";
const KEPT: &str = "finalizer";
const REQUIRED: &str = "require-work-group";

/// `kubectl apply -k deploy`, on a control plane of its own, since policies judge what every test does.
async fn installed() -> &'static ControlPlane {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    PLANE
        .get_or_init(async || {
            let plane = ControlPlane::start(Default::default()).await.unwrap();
            // In one command, an object may be applied before its kind.
            plane.kubectl_ok(&["apply", "-f", &in_checkout("crds")]).await;
            for kind in ["athenasessions", "athenaworkgroups"] {
                let crd = format!("crd/{kind}.athena-operator.dev");
                plane.kubectl_ok(&["wait", "--for=condition=Established", &crd]).await;
            }
            plane.kubectl_ok(&["apply", "-k", &in_checkout("deploy")]).await;
            until_policies_bind(&plane).await;
            plane
        })
        .await
}

/// Waits until the API server enforces the policies, which takes some seconds.
async fn until_policies_bind(plane: &ControlPlane) {
    let held = session("probe", json!({"sessionId": "probe"}), &[FINALIZER]);
    plane.kubectl_with_ok(&["create", "-n", "default", "-f", "-"], &held.to_string()).await;
    let stranger = "--as=somebody";
    let group = "--as-group=probes";
    let all =
        ["create", "clusterrole", "probe", "--verb=get,create,patch", "--resource=athenasessions.athena-operator.dev"];
    plane.kubectl_ok(&all).await;
    plane.kubectl_ok(&["create", "clusterrolebinding", "probe", "--clusterrole=probe", "--group=probes"]).await;
    let reference = session("other", json!({"sessionId": "probe", "workGroupRef": {"name": "any"}}), &[]).to_string();
    let patch = ["patch", "ats", "probe", "-n", "default", "--dry-run=server", "--type=merge"];
    let bound = eventually("each policy binds", || async {
        let create = [stranger, group, "-n", "default", "create", "--dry-run=server", "-f", "-"];
        let finalizer = [&patch[..], &["-p", r#"{"metadata":{"finalizers":[]}}"#, stranger, group]].concat();
        let status = [&patch[..], &["-p", r#"{"status":{"state":"IDLE"}}"#, "--subresource=status"]].concat();
        let answers = [
            ask(plane, &create, &reference).await.0,
            ask(plane, &finalizer, "").await.0,
            ask(plane, &status, "").await.0,
        ];
        (answers == [USE, KEPT, STATUS]).then_some(())
    });
    within(Duration::from_secs(20), bound).await;
}

/// The kind of answer ([`YES`] and so on), and what kubectl printed.
async fn ask(plane: &ControlPlane, arguments: &[&str], input: &str) -> (String, String) {
    let output = plane.kubectl_with(arguments, input).await.unwrap();
    if output.status.success() {
        return (YES.to_owned(), String::from_utf8(output.stdout).unwrap());
    }
    let said = String::from_utf8(output.stderr).unwrap();
    let policy =
        said.split_once("ValidatingAdmissionPolicy '").and_then(|(_, rest)| rest.split_once(".athena-operator.dev'"));
    let word = match policy {
        Some((policy, _)) => policy,
        None if said.contains(" cannot ") => RBAC,
        None => "?",
    };
    (word.to_owned(), said)
}

fn session(name: &str, spec: Value, finalizers: &[&str]) -> Value {
    let mut object = json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
        "metadata": {"name": name, "finalizers": finalizers},
    });
    object["spec"] = spec;
    object
}

fn work_group(name: &str, finalizers: &[&str]) -> Value {
    json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaWorkGroup",
        "metadata": {"name": name, "finalizers": finalizers}, "spec": {},
    })
}

/// A namespace, and an AthenaWorkGroup of the same name.
struct Place {
    plane: &'static ControlPlane,
    name: String,
}

impl Place {
    async fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let plane = installed().await;
        let name = format!("place-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        plane.kubectl_ok(&["create", "namespace", &name]).await;
        let here = Self { plane, name };
        here.admin(&["create", "-f", "-"], &work_group(&here.name, &[WORK_GROUP_FINALIZER])).await;
        here
    }

    /// A request as `system:masters`, which must succeed.
    async fn admin(&self, arguments: &[&str], input: &Value) -> String {
        self.plane.kubectl_with_ok(&[&["-n", &self.name], arguments].concat(), &input.to_string()).await
    }

    async fn ask(&self, user: &str, arguments: &[&str], input: &Value) -> (String, String) {
        let user = format!("--as={user}");
        let namespace = ["-n", &self.name];
        let impersonate: &[&str] = if user == "--as=admin" { &[] } else { &[&user] };
        ask(self.plane, &[&namespace, impersonate, arguments].concat(), &input.to_string()).await
    }

    async fn finalizers(&self, object: &str) -> String {
        self.admin(&["get", object, "-o", "jsonpath={.metadata.finalizers}"], &Value::Null).await
    }

    /// The user name of a ServiceAccount of this namespace. For RBAC the name is enough.
    fn account(&self, name: &str) -> String {
        format!("system:serviceaccount:{}:{name}", self.name)
    }

    /// Binds a role in this namespace, or a ClusterRole in all namespaces.
    async fn bind(&self, user: &str, role: &str, everywhere: bool) {
        let name = format!("{}-{}-{}", self.name, user.replace(':', "-"), role.rsplit('=').next().unwrap());
        let what = if everywhere { "clusterrolebinding" } else { "rolebinding" };
        self.admin(&["create", what, &name, role, &format!("--user={user}")], &Value::Null).await;
    }

    /// A tenant with the rights that the documentation proposes.
    async fn tenant(&self, name: &str) -> String {
        let user = self.account(name);
        let verbs = "--verb=create,get,list,watch,delete,patch,update";
        let role = format!("sessions-{name}");
        self.admin(&["create", "role", &role, verbs, "--resource=athenasessions.athena-operator.dev"], &Value::Null)
            .await;
        self.bind(&user, &format!("--role={role}"), false).await;
        user
    }

    /// Grants the verb `use` on this test's AthenaWorkGroup.
    async fn grant_use(&self, user: &str) {
        let resources = json!(["athenaworkgroups"]);
        let rule = json!({"verbs": ["use"], "resources": resources, "resourceNames": [self.name]});
        self.bind_everywhere(user, "use", rule).await;
    }

    /// Binds one rule about our kinds, in all namespaces. `kubectl create clusterrole` doesn't take the verb `use`.
    async fn bind_everywhere(&self, user: &str, what: &str, mut rule: Value) {
        rule["apiGroups"] = json!(["athena-operator.dev"]);
        let name = format!("{what}-{}", self.name);
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                          "metadata": {"name": name}, "rules": [rule]});
        self.admin(&["create", "-f", "-"], &role).await;
        self.bind(user, &format!("--clusterrole={name}"), true).await;
    }

    /// The object with another status, as `replace --subresource=status` takes it.
    async fn with_status(&self, object: &Value, account: &str) -> Value {
        let what = if object["kind"] == "AthenaSession" { "ats" } else { "atwg" };
        let name = object["metadata"]["name"].as_str().unwrap();
        let version = "jsonpath={.metadata.resourceVersion}";
        let version = self.admin(&["get", what, name, "-o", version], &Value::Null).await;
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = json!(version);
        object["status"] = json!({"accountId": account});
        object
    }

    fn reference(&self) -> Value {
        json!({"sessionId": "one", "workGroupRef": {"name": self.name}})
    }
}

fn operator() -> String {
    format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}")
}

/// Waits until RBAC enforces a binding.
async fn until_may(plane: &ControlPlane, user: &str, verb: &str, what: &str) {
    eventually(&format!("{user} may {verb} {what}"), || async {
        let output = plane.kubectl(&["auth", "can-i", verb, what, "-A", &format!("--as={user}")]).await.unwrap();
        output.status.success().then_some(())
    })
    .await;
}

/// The whole table: the answer to each kind of user for each operation.
#[tokio::test]
async fn each_user_may_do_what_is_theirs() {
    let here = Place::new().await;
    let bare = here.tenant("bare").await;
    let granted = here.tenant("granted").await;
    here.grant_use(&granted).await;
    // All rights in this namespace, which is more than the role `admin` has.
    let owner = here.account("owner");
    here.bind(&owner, "--clusterrole=cluster-admin", false).await;
    // All rights about the two kinds, in every namespace.
    let everywhere = here.account("everywhere");
    here.bind_everywhere(&everywhere, "all", json!({"verbs": ["*"], "resources": ["*"]})).await;
    let cluster_admin = here.account("cluster-admin");
    here.bind(&cluster_admin, "--clusterrole=cluster-admin", true).await;
    until_may(here.plane, &cluster_admin, "*", "*").await;

    here.admin(
        &["create", "-f", "-"],
        &session("held", json!({"sessionId": "one"}), &[FINALIZER, "example.com/other"]),
    )
    .await;
    let forged_session = here.with_status(&session("held", json!({"sessionId": "one"}), &[]), "forged").await;
    let forged_group = here.with_status(&work_group(&here.name, &[]), "forged").await;
    let none = Value::Null;
    let create = ["create", "-f", "-"];
    let write_status = ["replace", "--subresource=status", "-f", "-"];
    let patch = |what, patch| ["patch", "--type=merge", what, "-p", patch];
    let add_reference = json!({"spec": {"workGroupRef": {"name": here.name}}}).to_string();
    let same_work_group = format!("atwg/{}", here.name);
    let label = r#"{"metadata":{"labels":{"cost-centre":"42"}}}"#;
    let retain = r#"{"spec":{"deletionPolicy":"Retain"}}"#;
    let let_go = r#"{"metadata":{"finalizers":["example.com/other"]}}"#;
    let let_all_go = r#"{"metadata":{"finalizers":null}}"#;
    let let_other_go = json!({"metadata": {"finalizers": [FINALIZER]}}).to_string();

    let users = [&bare, &granted, &owner, &everywhere, &operator(), &cluster_admin, "admin"];
    // The operator has neither the right to update nor to create.
    #[rustfmt::skip]
    let table = [
        ("create, no reference", &create[..], session("new", json!({"sessionId": "one"}), &[]), [YES, YES, YES, YES, RBAC, YES, YES]),
        ("create, with reference", &create, session("new", here.reference(), &[]), [USE, YES, USE, YES, RBAC, YES, YES]),
        ("add the reference", &patch("ats/held", &add_reference), none.clone(), [USE, YES, USE, YES, USE, YES, YES]),
        ("add it by an update", &["replace", "-f", "-"], session("held", here.reference(), &[FINALIZER]), [USE, YES, USE, YES, RBAC, YES, YES]),
        ("label", &patch("ats/held", label), none.clone(), [YES, YES, YES, YES, YES, YES, YES]),
        ("Retain", &patch("ats/held", retain), none.clone(), [YES, YES, YES, YES, YES, YES, YES]),
        ("delete", &["delete", "ats/held"], none.clone(), [YES, YES, YES, YES, RBAC, YES, YES]),
        ("remove the finalizer", &patch("ats/held", let_go), none.clone(), [KEPT, KEPT, KEPT, KEPT, YES, YES, YES]),
        ("remove all finalizers", &patch("ats/held", let_all_go), none.clone(), [KEPT, KEPT, KEPT, KEPT, YES, YES, YES]),
        ("… by an update", &["replace", "-f", "-"], session("held", json!({"sessionId": "one"}), &[]), [KEPT, KEPT, KEPT, KEPT, RBAC, YES, YES]),
        ("remove somebody else's", &patch("ats/held", &let_other_go), none.clone(), [YES, YES, YES, YES, YES, YES, YES]),
        ("write status", &write_status, forged_session.clone(), [RBAC, RBAC, STATUS, STATUS, YES, STATUS, STATUS]),
        ("label a work group", &patch(&same_work_group, label), none.clone(), [RBAC, RBAC, RBAC, YES, YES, YES, YES]),
        ("remove its finalizer", &patch(&same_work_group, let_all_go), none.clone(), [RBAC, RBAC, RBAC, KEPT, YES, YES, YES]),
        ("write its status", &write_status, forged_group.clone(), [RBAC, RBAC, RBAC, STATUS, YES, STATUS, STATUS]),
    ];
    let mut wrong = String::new();
    for (operation, arguments, input, expected) in &table {
        let arguments = [arguments, &["--dry-run=server"][..]].concat();
        let answers = join_all(users.iter().map(|user| here.ask(user, &arguments, input))).await;
        for ((user, expected), (answer, said)) in users.iter().zip(expected).zip(answers) {
            if answer != *expected {
                let _ = writeln!(wrong, "{operation}, {user}: {answer}, not {expected}: {said}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[tokio::test]
async fn a_refusal_says_in_one_line_what_was_wrong_and_what_to_do() {
    let here = Place::new().await;
    let tenant = here.tenant("tenant").await;
    let powerful = here.account("powerful");
    here.bind_everywhere(&powerful, "both", json!({"verbs": ["get", "patch"], "resources": ["*"]})).await;
    until_may(here.plane, &powerful, "patch", "athenaworkgroups.athena-operator.dev").await;
    here.admin(&["create", "-f", "-"], &session("held", json!({"sessionId": "one"}), &[FINALIZER])).await;

    let refusal = async |user: &str, arguments: &[&str], input: &Value| {
        let (_, said) = here.ask(user, arguments, input).await;
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        said.trim_end().split_once("denied request: ").unwrap_or_else(|| panic!("no refusal: {said}")).1.to_owned()
    };
    let let_go = r#"{"metadata":{"finalizers":null}}"#;
    let patch = |what| ["patch", what, "--type=merge", "-p", let_go];
    let name = &here.name;
    assert_eq!(
        refusal(&tenant, &["create", "-f", "-"], &session("new", here.reference(), &[])).await,
        format!(
            "{tenant} may not use the AthenaWorkGroup {name}: ask a cluster administrator for the verb \"use\" on athenaworkgroups/{name}"
        )
    );
    assert_eq!(
        refusal(&tenant, &patch("ats/held"), &Value::Null).await,
        format!(
            "only the operator ({}) and cluster administrators remove the finalizer athena-operator.dev/session, and not {tenant}: it \
             goes when the session has ended; to let the object go and leave the session running, set spec.deletionPolicy: Retain",
            operator()
        )
    );
    assert_eq!(
        refusal(&powerful, &patch(&format!("atwg/{name}")), &Value::Null).await,
        format!(
            "only the operator ({}) and cluster administrators remove the finalizer athena-operator.dev/work-group, and not {powerful}: \
             it goes when no AthenaSession needs this AthenaWorkGroup any more",
            operator()
        )
    );
    assert_eq!(
        refusal(
            "admin",
            &["patch", "ats/held", "--subresource=status", "--type=merge", "-p", r#"{"status":{"state":"IDLE"}}"#],
            &Value::Null
        )
        .await,
        format!(
            "only the operator ({}) writes status, and not admin: it is the record of what the operator saw; change spec to ask for \
             something",
            operator()
        )
    );
}

/// S2: by apply, by server-side apply, and by a JSON patch with an index.
#[tokio::test]
async fn no_way_of_writing_gets_round_the_finalizer() {
    let here = Place::new().await;
    let owner = here.account("owner");
    here.bind(&owner, "--clusterrole=cluster-admin", false).await;
    let spec = json!({"sessionId": "one"});
    let (with, without) = (session("held", spec.clone(), &[FINALIZER]), session("held", spec, &[]));
    eventually("the owner may create it", || async {
        (here.ask(&owner, &["apply", "-f", "-"], &with).await.0 == YES).then_some(())
    })
    .await;

    assert_eq!(here.ask(&owner, &["apply", "-f", "-"], &without).await.0, KEPT, "kubectl apply");
    let by_index = ["patch", "ats/held", "--type=json", "-p", r#"[{"op":"remove","path":"/metadata/finalizers/0"}]"#];
    assert_eq!(here.ask(&owner, &by_index, &Value::Null).await.0, KEPT, "a JSON patch");
    let server_side = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    assert_eq!(here.ask(&owner, &server_side, &with).await.0, YES);
    // Until now kubectl's other way of applying owned the finalizer, too.
    assert_eq!(here.ask(&owner, &server_side, &without).await.0, KEPT, "kubectl apply --server-side");
    for cascade in ["foreground", "orphan", "background"] {
        let delete = ["delete", "ats/held", "--wait=false", &format!("--cascade={cascade}")];
        assert_eq!(here.ask(&owner, &delete, &Value::Null).await.0, YES);
        assert!(here.finalizers("ats/held").await.contains(FINALIZER), "deleted with {cascade}");
    }
    let by_force = ["delete", "ats/held", "--force", "--grace-period=0", "--wait=false"];
    assert_eq!(here.ask(&owner, &by_force, &Value::Null).await.0, YES);
    let gone = ["patch", "ats/held", "--type=merge", "-p", r#"{"metadata":{"finalizers":[]}}"#];
    assert_eq!(here.ask(&owner, &gone, &Value::Null).await.0, KEPT, "while it is being deleted");

    assert_eq!(here.ask(&operator(), &gone, &Value::Null).await.0, YES);
    let gone = here.ask("admin", &["get", "ats/held"], &Value::Null).await.1;
    assert!(gone.contains("NotFound"), "{gone}");
}

/// S7: also the user who may write the status.
#[tokio::test]
async fn a_write_of_status_changes_no_finalizer_and_no_spec() {
    let here = Place::new().await;
    here.admin(&["create", "-f", "-"], &session("held", json!({"sessionId": "one"}), &[FINALIZER])).await;
    for (what, write) in [
        ("ats/held", session("held", here.reference(), &[])),
        (&format!("atwg/{}", here.name), work_group(&here.name, &[])),
    ] {
        let write = here.with_status(&write, "123456789012").await;
        let before = here.finalizers(what).await;
        let answer = here.ask(&operator(), &["replace", "--subresource=status", "-f", "-"], &write).await;
        assert_eq!(answer.0, YES, "{}", answer.1);
        let now = here.admin(&["get", what, "-o", "json"], &Value::Null).await;
        let now: Value = serde_json::from_str(&now).unwrap();
        assert_eq!(now["status"]["accountId"], "123456789012");
        assert_eq!(now["metadata"]["finalizers"].to_string(), before);
        assert!(now["spec"].get("workGroupRef").is_none(), "{now}");
    }
    // And no other write changes the status.
    let mut forged = session("forged", json!({"sessionId": "one"}), &[]);
    forged["status"] = json!({"accountId": "forged"});
    for verb in ["create", "replace"] {
        here.admin(&[verb, "-f", "-"], &forged).await;
        let now = here.admin(&["get", "ats/forged", "-o", "jsonpath={.status}"], &Value::Null).await;
        assert_eq!(now, r#"{"observedGeneration":-1}"#, "by {verb}");
    }
}

/// Flux impersonates by the user name alone (fluxcd/pkg, `runtime/client`). The API server adds the groups.
#[tokio::test]
async fn flux_needs_the_right_use_for_the_account_it_impersonates() {
    let here = Place::new().await;
    let plane = here.plane;
    let manifests = format!(
        "{}\n---\n{}",
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount",
               "metadata": {"name": "kustomize-controller", "namespace": "flux-system"}})
    );
    plane.kubectl_with_ok(&["apply", "-f", "-"], &manifests).await;
    let controller = "system:serviceaccount:flux-system:kustomize-controller";
    here.bind(controller, "--clusterrole=cluster-admin", true).await;
    until_may(plane, controller, "*", "*").await;
    let kubeconfig = plane.kubeconfig_for_service_account("flux-system", "kustomize-controller").await.unwrap();
    let tenant = here.tenant("team").await;

    let manifest = |name: &str, spec: Value| session(name, spec, &[]).to_string();
    let apply = async |service_account_name: Option<&str>, manifest: &str| {
        let impersonate = service_account_name.map(|name| format!("--as={}", here.account(name)));
        let mut arguments = vec!["--kubeconfig", kubeconfig.to_str().unwrap(), "-n", &here.name];
        arguments.extend(impersonate.as_deref());
        arguments.extend([
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=kustomize-controller",
            "-f",
            "-",
        ]);
        ask(plane, &arguments, manifest).await.0
    };
    let (without, with) = (manifest("one", json!({"sessionId": "one"})), manifest("one", here.reference()));

    // spec.serviceAccountName: team.
    eventually("the tenant may apply", || async { (apply(Some("team"), &without).await == YES).then_some(()) }).await;
    assert_eq!(apply(Some("team"), &with).await, USE, "the reference comes with an update");
    assert_eq!(apply(Some("team"), &manifest("two", here.reference())).await, USE, "it comes with the object");
    here.grant_use(&tenant).await;
    eventually("use is granted", || async { (apply(Some("team"), &with).await == YES).then_some(()) }).await;
    assert_eq!(apply(Some("team"), &manifest("two", here.reference())).await, YES);

    // Without serviceAccountName each write comes from the controller, which may do everything, and nobody knows the
    // author. Then only the AthenaWorkGroup's `namespaces` decide.
    let other = json!({"sessionId": "one", "workGroupRef": {"name": "of-somebody-else"}});
    assert_eq!(apply(Some("team"), &manifest("three", other.clone())).await, USE);
    assert_eq!(apply(None, &manifest("three", other)).await, YES, "what the documentation warns of");
}

#[tokio::test]
async fn use_is_asked_for_once_and_by_name() {
    let here = Place::new().await;
    let first = here.tenant("first").await;
    let second = here.tenant("second").await;
    here.grant_use(&first).await;
    eventually("use is granted", || async {
        (here.ask(&first, &["create", "-f", "-"], &session("one", here.reference(), &[])).await.0 == YES).then_some(())
    })
    .await;
    // Later changes need only the right to change the object.
    let end = ["patch", "ats/one", "--type=merge", "-p", r#"{"spec":{"terminate":true}}"#];
    assert_eq!(here.ask(&second, &end, &Value::Null).await.0, YES);
    let mut same = session("one", here.reference(), &[]);
    same["spec"]["terminate"] = json!(true);
    assert_eq!(here.ask(&second, &["replace", "-f", "-"], &same).await.0, YES, "the same reference again");

    // For the CRD null is no reference.
    let null = session("null", json!({"sessionId": "one", "workGroupRef": null}), &[FINALIZER]);
    assert_eq!(here.ask(&second, &["create", "--validate=false", "-f", "-"], &null).await.0, YES);
    let let_go = ["patch", "ats/null", "--type=merge", "-p", r#"{"metadata":{"finalizers":[]}}"#];
    assert_eq!(here.ask(&operator(), &let_go, &Value::Null).await.0, YES);
    let set = json!([{"op": "add", "path": "/spec/workGroupRef", "value": {"name": here.name}}]).to_string();
    let set = ["patch", "ats/null", "--type=json", "-p", &set];
    assert_eq!(here.ask(&second, &set, &Value::Null).await.0, USE);
    let (answer, said) = here.ask(&first, &set, &Value::Null).await;
    assert_eq!(answer, YES, "{said}");

    for name in ["another", &format!("{}-b", here.name)] {
        let other = session("two", json!({"sessionId": "one", "workGroupRef": {"name": name}}), &[]);
        assert_eq!(here.ask(&first, &["create", "-f", "-"], &other).await.0, USE, "{name}");
    }
}

/// S8, already at apply: each AthenaWorkGroup has bounds for its own sessions only.
#[tokio::test]
async fn what_a_work_group_doesnt_let_start_is_refused_at_apply() {
    let plane = installed().await;
    let role = "arn:aws:iam::123456789012:role/spark";
    let bounds = json!({"maxConcurrentDpus": 4, "executionRoles": [role], "tagKeys": ["team"]});
    for (name, spec) in [("starts-none", json!({})), ("starts-some", json!({"start": bounds}))] {
        let group = json!({"apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaWorkGroup",
                           "metadata": {"name": name}, "spec": spec});
        plane.kubectl_with_ok(&["apply", "-f", "-"], &group.to_string()).await;
    }
    let said = async |group: &str, start: Value| {
        let object = session("starts", json!({"start": start, "workGroupRef": {"name": group}}), &[]);
        ask(plane, &["create", "-n", "default", "--dry-run=server", "-f", "-"], &object.to_string()).await.1
    };
    eventually("the policy knows the AthenaWorkGroups", || async {
        said("starts-none", json!({})).await.contains("its spec.start is not set").then_some(())
    })
    .await;
    let engine = |dpus: i32| json!({"engineConfiguration": {"maxConcurrentDpus": dpus}});
    for (start, sentence) in [
        (engine(5), "maxConcurrentDpus is 5, and AthenaWorkGroup starts-some allows 4"),
        (
            json!({"executionRole": "arn:aws:iam::123456789012:role/admin"}),
            "executionRole arn:aws:iam::123456789012:role/admin is not among spec.start.executionRoles of AthenaWorkGroup starts-some",
        ),
        (json!({"monitoringConfiguration": {}}), "forbids monitoringConfiguration"),
        (
            json!({"tags": {"zone": "c", "team": "a", "cost": "b"}}),
            "the tag cost is not among spec.start.tagKeys of AthenaWorkGroup starts-some",
        ),
        (json!({"tags": {"two\nlines": "a"}}), "a key of tags is not among spec.start.tagKeys of the AthenaWorkGroup"),
    ] {
        let said = said("starts-some", start.clone()).await;
        assert!(said.contains(sentence), "{start}: {said}");
    }
    for start in [json!({}), engine(4), json!({"executionRole": role, "tags": {"team": "a"}})] {
        let said = said("starts-some", start.clone()).await;
        assert!(said.contains("created"), "{start}: {said}");
    }
    assert!(said("not-there-yet", json!({})).await.contains("created"), "things arrive out of order");
}

/// S2: the namespace controller and the garbage collector have many rights, and not the right to remove our finalizer.
#[tokio::test]
async fn namespaces_and_garbage_are_cleared_around_the_finalizer() {
    let here = Place::new().await;
    let owner = session("owner", json!({"sessionId": "one"}), &[FINALIZER]);
    here.admin(&["create", "-f", "-"], &owner).await;
    // In the tests' control plane these controllers may do everything. In other clusters they are these users.
    let collector = "system:serviceaccount:kube-system:generic-garbage-collector";
    let cleaner = "system:serviceaccount:kube-system:namespace-controller";
    let let_go = |left: &[&str]| json!({"metadata": {"finalizers": left}}).to_string();
    let patch = async |user: &str, patch: String| {
        here.ask(user, &["patch", "ats/owner", "--dry-run=server", "--type=merge", "-p", &patch], &Value::Null).await.0
    };
    here.admin(&["delete", "ats/owner", "--cascade=foreground", "--wait=false"], &Value::Null).await;
    assert_eq!(patch(collector, let_go(&[FINALIZER])).await, YES, "its own finalizer");
    assert_eq!(patch(collector, let_go(&[])).await, KEPT);
    let delete = ["delete", "ats", "--all", "--dry-run=server"];
    assert_eq!(here.ask(cleaner, &delete, &Value::Null).await.0, YES);

    here.admin(&["delete", "namespace", &here.name, "--wait=false"], &Value::Null).await;
    eventually("the garbage collector is through", || async {
        (here.finalizers("ats/owner").await == format!("[\"{FINALIZER}\"]")).then_some(())
    })
    .await;
    let waits = ["wait", "--for=condition=NamespaceFinalizersRemaining", "--timeout=30s"];
    here.admin(&[&waits[..], &[&format!("ns/{}", here.name)]].concat(), &Value::Null).await;
    let gone = here.ask(&operator(), &["patch", "ats/owner", "--type=merge", "-p", &let_go(&[])], &Value::Null).await;
    assert_eq!(gone.0, YES, "{}", gone.1);
    here.plane.kubectl_ok(&["wait", "--for=delete", "--timeout=60s", &format!("ns/{}", here.name)]).await;
}

/// The policies let each request of the operator pass.
#[tokio::test]
async fn the_operator_does_its_work_under_the_policies() {
    let config = Config { terminating: Some(Duration::from_millis(400)), ..Config::default() };
    let world = World::on(installed().await, config).await;
    world.start_operator().await;
    let id = world.declare("ends", "IDLE").await;
    world.until_reason("ends", "Running").await;
    let let_go = r#"{"metadata":{"finalizers":null}}"#;
    let kept = ["-n", &world.namespace, "--as=somebody", "--as-group=probes"];
    let kept = [&kept[..], &["patch", "ats/ends", "--type=merge", "-p", let_go]].concat();
    assert_eq!(ask(world.plane, &kept, "").await.0, KEPT);
    world.delete("ends").await;
    world.until_gone("ends").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

// Kustomizations.

/// What `kubectl kustomize` renders of a kustomization in a folder next to `deploy/`, as docs/installation.md proposes.
pub async fn rendered(name: &str, kustomization: &str) -> Vec<Value> {
    rendered_of(name, &[(".", kustomization)]).await
}

/// What `kubectl kustomize` renders of a kustomization that includes others, each in a folder of its own.
async fn rendered_of(name: &str, kustomizations: &[(&str, &str)]) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kustomization-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let copy = Command::new("cp").arg("-R").args([in_checkout("deploy"), in_checkout("crds")]).arg(&folder).status();
    assert!(copy.unwrap().success());
    for (place, kustomization) in kustomizations {
        std::fs::create_dir_all(folder.join(place)).unwrap();
        std::fs::write(folder.join(place).join("kustomization.yaml"), kustomization).unwrap();
    }
    let plane = installed().await;
    let yaml = plane.kubectl_ok(&["kustomize", folder.to_str().unwrap()]).await;
    let json = plane.kubectl_with_ok(&["create", "--dry-run=client", "-o", "json", "-f", "-"], &yaml).await;
    let objects: Vec<Value> = serde_json::Deserializer::from_str(&json).into_iter().map(Result::unwrap).collect();
    objects.into_iter().flat_map(|it| it.get("items").and_then(Value::as_array).cloned().unwrap_or(vec![it])).collect()
}

fn one<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
}

#[tokio::test]
async fn a_required_work_group_keeps_no_old_object_from_going() {
    let here = Place::new().await;
    let require = "resources: [deploy]\ncomponents: [deploy/require-work-group]\n";
    // In the namespaces of other tests no work group is required.
    let only_here = format!(
        "patches:\n- target: {{kind: ValidatingAdmissionPolicyBinding, name: require-work-group.athena-operator.dev}}\n  patch: |\n    \
         - op: add\n      path: /spec/matchResources\n      \
         value: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {}}}}}}}\n",
        here.name
    );
    let objects = rendered("require", &format!("{require}{only_here}")).await;
    let container =
        &one(&objects, "Deployment", OPERATOR_ACCOUNT).unwrap()["spec"]["template"]["spec"]["containers"][0];
    let environment = container["env"].as_array().unwrap();
    assert!(
        environment.contains(&json!({"name": "ATHENA_OPERATOR_REQUIRE_WORK_GROUP", "value": "true"})),
        "{container}"
    );
    assert!(environment.iter().any(|variable| variable["name"] == "AWS_REGION"), "{container}");
    assert!(
        one(
            &rendered("plain", "resources: [deploy]\n").await,
            "ValidatingAdmissionPolicy",
            "require-work-group.athena-operator.dev"
        )
        .is_none()
    );

    let bare = |name: &str| session(name, json!({"sessionId": "one"}), &[FINALIZER]);
    here.admin(&["create", "-f", "-"], &bare("old")).await;
    for kind in ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"] {
        here.admin(&["apply", "-f", "-"], one(&objects, kind, "require-work-group.athena-operator.dev").unwrap()).await;
    }
    let create = ["create", "--dry-run=server", "-f", "-"];
    let said = eventually("it binds", || async {
        let (answer, said) = here.ask("admin", &create, &bare("new")).await;
        (answer == REQUIRED).then_some(said)
    })
    .await;
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(
        said.trim_end().ends_with(
            ": spec.workGroupRef is required in this cluster: name the AthenaWorkGroup that the session's work group is \
             registered by; a cluster administrator knows which"
        ),
        "{said}"
    );
    assert_eq!(here.ask("admin", &create, &session("new", here.reference(), &[])).await.0, YES);
    let null = session("new", json!({"sessionId": "one", "workGroupRef": null}), &[]);
    assert_eq!(
        here.ask("admin", &[&create[..], &["--validate=false"]].concat(), &null).await.0,
        REQUIRED,
        "null is none"
    );

    let patch =
        async |patch: &str| here.ask("admin", &["patch", "ats/old", "--type=merge", "-p", patch], &Value::Null).await;
    assert_eq!(patch(r#"{"spec":{"deletionPolicy":"Retain"}}"#).await.0, YES);
    assert_eq!(here.ask("admin", &["delete", "ats/old", "--wait=false"], &Value::Null).await.0, YES);
    assert_eq!(patch(r#"{"metadata":{"finalizers":null}}"#).await.0, YES, "the finalizer can be removed");

    here.admin(&["create", "-f", "-"], &session("old", here.reference(), &[])).await;
    // The rule of the CRD is the first to refuse this.
    let (_, said) = patch(r#"{"spec":{"workGroupRef":null}}"#).await;
    assert!(said.contains("workGroupRef can't change, nor be removed"), "{said}");
}

/// The change that the comment at the top of admission.yaml proposes.
#[tokio::test]
async fn another_operator_is_named_in_one_place_for_each_policy() {
    let comment = std::fs::read_to_string(in_checkout("deploy/admission.yaml")).unwrap();
    let patches: String = comment
        .lines()
        .skip_while(|line| *line != "#   patches:")
        .take_while(|line| *line != "#")
        .map(|line| format!("{}\n", line.trim_start_matches("#   ")))
        .collect();
    let patches = patches.replace("USER", "jane").replace("NAMESPACE", "athena").replace("NAME", "operator");
    let objects = rendered("elsewhere", &format!("resources: [deploy]\n{patches}")).await;
    for policy in ["status", "finalizer"] {
        let policy = one(&objects, "ValidatingAdmissionPolicy", &format!("{policy}.athena-operator.dev")).unwrap();
        let others = json!({"name": "others", "expression": "['jane', 'system:serviceaccount:athena:operator']"});
        assert_eq!(policy["spec"]["variables"][0], others);
    }
}

/// The change that the comment at the top of one-namespace/kustomization.yaml proposes.
#[tokio::test]
async fn an_operator_of_one_namespace_may_run_in_any_namespace() {
    let inner = "resources: [../deploy]\ncomponents: [../deploy/workloads]\nnamespace: data-platform\nnamePrefix: x-\n";
    let outer = "resources: [operator]\ncomponents: [deploy/one-namespace]\n";
    let objects = rendered_of("moved-of-one", &[("operator", inner), (".", outer)]).await;
    let bindings: Vec<_> = objects.iter().filter(|object| object["kind"] == "RoleBinding").collect();
    assert_eq!(bindings.len(), 4, "{bindings:?}");
    for binding in bindings {
        assert_eq!(binding["metadata"]["namespace"], "team-a", "{binding}");
        let subject =
            json!({"kind": "ServiceAccount", "name": "x-athena-session-operator", "namespace": "data-platform"});
        assert_eq!(binding["subjects"], json!([subject]), "{binding}");
        let role = binding["roleRef"]["name"].as_str().unwrap();
        assert!(one(&objects, "ClusterRole", role).is_some(), "there is no {role}");
    }
}

/// The namespace of `deploy/one-namespace` and of the examples.
async fn with_team_a(plane: &ControlPlane) {
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a", "labels": {"team": "a"}}});
    plane.kubectl_with_ok(&["apply", "--server-side", "-f", "-"], &namespace.to_string()).await;
}

#[tokio::test]
async fn an_operator_of_one_namespace_only_reads_what_is_in_none() {
    let plane = installed().await;
    let objects =
        rendered("one", "resources: [deploy]\ncomponents: [deploy/one-namespace]\nnameSuffix: -of-team-a\n").await;
    with_team_a(plane).await;
    for object in &objects {
        if object["kind"].as_str().unwrap().contains("Role") {
            plane.kubectl_with_ok(&["create", "-f", "-"], &object.to_string()).await;
        }
    }
    let user = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}-of-team-a");
    until_may(plane, &user, "watch", "namespaces").await;
    let sessions = "athenasessions.athena-operator.dev";
    let groups = "athenaworkgroups.athena-operator.dev";
    let (team, other) = ("--namespace=team-a", "--namespace=default");
    for (verb, what, whose, limited, whole) in [
        ("patch", sessions, team, YES, YES),
        ("update", "athenasessions.athena-operator.dev/status", team, YES, YES),
        ("create", "events.events.k8s.io", team, YES, YES),
        ("list", sessions, other, "no", YES),
        ("list", sessions, "--all-namespaces", "no", YES),
        ("patch", sessions, other, "no", YES),
        ("get", groups, "", YES, YES),
        ("list", groups, "", YES, YES),
        ("watch", groups, "", YES, YES),
        ("patch", groups, "", "no", YES),
        ("update", "athenaworkgroups.athena-operator.dev/status", "", "no", YES),
        ("list", "namespaces", "", YES, YES),
        ("get", "namespaces", "", YES, YES),
        // Requests that nobody needs.
        ("use", groups, "", "no", "no"),
        ("create", groups, "", "no", "no"),
        ("update", groups, "", "no", "no"),
        ("delete", groups, "", "no", "no"),
        ("patch", "namespaces", "", "no", "no"),
        ("update", sessions, team, "no", "no"),
        ("create", sessions, team, "no", "no"),
        ("get", "secrets", team, "no", "no"),
        ("get", "configmaps", team, "no", "no"),
    ] {
        for (user, expected) in [(&user, limited), (&operator(), whole)] {
            let user = format!("--as={user}");
            let (what, subresource) = match what.split_once('/') {
                Some((what, subresource)) => (what, format!("--subresource={subresource}")),
                None => (what, "--subresource=".to_owned()),
            };
            let mut arguments = vec!["auth", "can-i", verb, what, &user, &subresource];
            arguments.extend(Some(whose).filter(|whose| !whose.is_empty()));
            let answer = plane.kubectl(&arguments).await.unwrap();
            let answer = String::from_utf8(answer.stdout).unwrap();
            assert_eq!(answer.trim(), expected, "{verb} {what} {subresource} {whose} {user}");
        }
    }
}

#[tokio::test]
async fn with_all_components_one_namespace_gives_no_rights_in_others() {
    let plane = installed().await;
    let block = block(&["yaml"], |block| block.starts_with("resources: [deploy]\n")).replace("\n# ", "\n");
    for component in ["workloads", "require-work-group", "one-namespace"] {
        assert!(block.contains(&format!("\n- deploy/{component} ")), "{block}");
    }
    let objects = rendered("readme", &format!("{block}\nnameSuffix: -of-all\n")).await;
    with_team_a(plane).await;
    for object in &objects {
        if object["kind"].as_str().unwrap().contains("Role") {
            plane.kubectl_with_ok(&["create", "-f", "-"], &object.to_string()).await;
        }
    }
    let user = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}-of-all");
    until_may(plane, &user, "watch", "namespaces").await;
    for (verb, what) in [
        ("create", "configmaps"),
        ("delete", "configmaps"),
        ("watch", "jobs.batch"),
        ("list", "pods"),
        ("delete", "athenasessions.athena-operator.dev"),
    ] {
        for (whose, expected) in [("--namespace=team-a", YES), ("--namespace=default", "no")] {
            let answer = plane.kubectl(&["auth", "can-i", verb, what, whose, &format!("--as={user}")]).await.unwrap();
            assert_eq!(String::from_utf8(answer.stdout).unwrap().trim(), expected, "{verb} {what} {whose}");
        }
    }
}

/// The change that the comment at the top of workloads/kustomization.yaml proposes.
#[tokio::test]
async fn of_the_rights_for_workloads_each_can_be_left_out() {
    let comment = std::fs::read_to_string(in_checkout("deploy/workloads/kustomization.yaml")).unwrap();
    let kustomization: String =
        comment.lines().filter_map(|line| line.strip_prefix("#   ")).map(|line| format!("{line}\n")).collect();
    assert!(kustomization.contains("$patch: delete"), "{kustomization}");
    let objects = rendered("ttl-alone", &kustomization).await;
    for kind in ["ClusterRole", "ClusterRoleBinding"] {
        for (feature, is_there) in [("publish", false), ("end-with", false), ("expire", true)] {
            let name = format!("{OPERATOR_ACCOUNT}-{feature}");
            assert_eq!(one(&objects, kind, &name).is_some(), is_there, "{kind} {name}");
        }
    }
}

// The documentation.

#[tokio::test]
async fn the_rights_that_the_docs_propose_for_tenants_do() {
    let plane = installed().await;
    let example = block(&["yaml"], |block| block.starts_with("# For tenants")).replace("team-a", "team-of-the-docs");
    plane.kubectl_ok(&["create", "namespace", "team-of-the-docs"]).await;
    plane.kubectl_with_ok(&["apply", "-f", "-"], &example).await;
    let tenant = ["--as=ann", "--as-group=team-of-the-docs", "-n", "team-of-the-docs"];
    let work_group = "team-of-the-docs-spark";
    let object = session("mine", json!({"sessionId": "one", "workGroupRef": {"name": work_group}}), &[]);
    eventually("the tenant may create it", || async {
        (ask(plane, &[&tenant[..], &["create", "-f", "-"]].concat(), &object.to_string()).await.0 == YES).then_some(())
    })
    .await;
    let patch = ["patch", "ats/mine", "--type=merge", "-p"];
    for (arguments, answer) in [
        (vec!["get", "ats"], YES),
        (vec!["get", "atwg", work_group], "?"),
        (vec!["get", "atwg"], RBAC),
        ([&patch[..], &[r#"{"spec":{"terminate":true}}"#]].concat(), YES),
        ([&patch[..], &[r#"{"status":{}}"#, "--subresource=status"]].concat(), RBAC),
        (vec!["delete", "atwg", work_group], RBAC),
        (vec!["delete", "ats/mine"], YES),
    ] {
        let (answered, said) = ask(plane, &[&tenant[..], &arguments].concat(), "").await;
        assert_eq!(answered, answer, "{arguments:?}: {said}");
    }
}

#[test]
fn each_json_of_the_docs_and_of_iam_can_be_read() {
    let is_policy = |text: &String| text.contains("\"Statement\"");
    let blocks = |page: &Page| page.blocks().map(|block| block.text.clone()).filter(is_policy).collect::<Vec<_>>();
    let in_docs: Vec<_> = pages::for_users().iter().flat_map(blocks).collect();
    assert!(in_docs.len() >= 2, "{in_docs:?}");
    let files = ["deploy/iam-policy.json", "deploy/iam-assume-role.json"];
    let files = files.map(|file| std::fs::read_to_string(PathBuf::from(in_checkout(file))).unwrap());
    for policy in in_docs.into_iter().chain(files) {
        let policy: Value = serde_json::from_str(&policy).unwrap_or_else(|error| panic!("{error}: {policy}"));
        assert_eq!(policy["Version"], "2012-10-17");
    }
}

#[tokio::test]
async fn the_examples_start_what_their_work_groups_allow() {
    let here = Place::new().await;
    for folder in ["tenants", "spark-3-5"] {
        let path = in_checkout(&format!("deploy/examples/{folder}/work-group.yaml"));
        here.admin(&["apply", "-f", &path], &Value::Null).await;
    }
    for (group, most) in [("team-a-spark", 60), ("team-a-spark-3-5", 4)] {
        let start = json!({"engineConfiguration": {"maxConcurrentDpus": 61}});
        let much = session("much", json!({"start": start, "workGroupRef": {"name": group}}), &[]);
        eventually("the policy knows the AthenaWorkGroup", || async {
            let said = here.ask("admin", &["create", "--dry-run=server", "-f", "-"], &much).await.1;
            said.contains(&format!("AthenaWorkGroup {group} allows {most}")).then_some(())
        })
        .await;
    }
    here.admin(&["apply", "--dry-run=server", "-R", "-f", &in_checkout("deploy/examples")], &Value::Null).await;
    let kubeconfig = operator_kubeconfig(here.plane).await;
    let read = ["--kubeconfig", kubeconfig.to_str().unwrap(), "get", "atwg", &here.name];
    assert_eq!(ask(here.plane, &read, "").await.0, YES, "with the operator's token too");
}
