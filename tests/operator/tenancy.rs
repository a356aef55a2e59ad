//! Helpers for AthenaWorkGroups, for objects that refer to them, and for operators that write their status.

use std::collections::BTreeSet;
use std::ops::Deref;

use control_plane::ControlPlane;
use fake_athena::{Call, Config, NewSession};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::api::{AthenaSession, AthenaWorkGroup, WORK_GROUP_FINALIZER};
use crate::launch::Start;
use crate::world::{World, condition, eventually, install};

/// Two work groups of the fake Athena.
pub const TEAM_A: &str = "spark-team-a";
pub const TEAM_B: &str = "spark-team-b";

impl World {
    /// Registers a work group under a name of this test's own.
    pub async fn register(&self, name: &str, spec: Value) -> String {
        let name = format!("{}-{name}", self.namespace);
        let group = serde_json::from_value(json!({
            "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaWorkGroup", "metadata": {"name": name}, "spec": spec,
        }));
        self.groups().create(&PostParams::default(), &group.unwrap()).await.unwrap();
        name
    }

    /// Registers a work group that each namespace may use.
    pub async fn register_for_all(&self, name: &str, work_group: &str) -> String {
        self.register(name, json!({"workGroup": work_group, "namespaces": {"from": "All"}})).await
    }

    /// Registers a work group that this test's namespace may use as long as the namespace has the label team=a.
    pub async fn register_for_label(&self, name: &str, work_group: &str) -> String {
        self.label("team=a").await;
        let namespaces = json!({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}});
        self.register(name, json!({"workGroup": work_group, "namespaces": namespaces})).await
    }

    pub fn groups(&self) -> Api<AthenaWorkGroup> {
        Api::all(self.client.clone())
    }

    pub async fn group(&self, name: &str) -> Option<AthenaWorkGroup> {
        self.groups().get_opt(name).await.unwrap()
    }

    pub async fn edit_group(&self, name: &str, patch: Value) {
        self.groups().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub async fn record_of_group(&self, name: &str, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.groups().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Deletes the AthenaWorkGroup, and doesn't wait until it is gone.
    pub async fn delete_group(&self, name: &str) {
        self.groups().delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub async fn until_group_gone(&self, name: &str) {
        eventually(&format!("{name} is gone"), || async { self.group(name).await.is_none().then_some(()) }).await;
    }

    pub async fn until_group(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&AthenaWorkGroup) -> bool,
    ) -> AthenaWorkGroup {
        eventually(&format!("{name}: {what}"), || async { self.group(name).await.filter(|group| holds(group)) }).await
    }

    /// Waits until the AthenaWorkGroup's condition Ready has this reason, and returns the message.
    pub async fn until_group_reason(&self, name: &str, reason: &str) -> String {
        let is_it = |group: &AthenaWorkGroup| ready_of(group).is_some_and(|ready| ready.0 == reason);
        ready_of(&self.until_group(name, reason, is_it).await).unwrap().1
    }

    /// Sets a label of the namespace (`key=value`), or removes one (`key-`).
    pub async fn label(&self, label: &str) {
        self.plane.kubectl_ok(&["label", "--overwrite", "namespace", &self.namespace, label]).await;
    }

    /// A session that is up, in a work group.
    pub fn session_of(&self, work_group: &str) -> String {
        self.athena.add_session(NewSession { work_group: Some(work_group.to_owned()), ..NewSession::default() })
    }

    /// Creates an object that names this session and refers to the AthenaWorkGroup, and waits until the session was
    /// seen.
    pub async fn refer(&self, name: &str, group: &str, session: &str) -> AthenaSession {
        self.create(name, referring(group, session)).await
    }

    pub async fn create_in(&self, namespace: &str, name: &str, spec: Value) {
        let object = json!({
            "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        });
        self.plane.kubectl_with_ok(&["create", "-f", "-"], &object.to_string()).await;
    }

    pub fn objects_in(&self, namespace: &str) -> Api<AthenaSession> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub async fn until_reason_in(&self, namespace: &str, name: &str, reason: &str) -> AthenaSession {
        let objects = self.objects_in(namespace);
        let is_it = |object: &AthenaSession| condition(object, "Ready").is_some_and(|ready| ready.1 == reason);
        eventually(&format!("{namespace}/{name}: {reason}"), || async {
            objects.get_opt(name).await.unwrap().filter(&is_it)
        })
        .await
    }

    pub async fn until_gone_in(&self, namespace: &str, name: &str) {
        let objects = self.objects_in(namespace);
        eventually(&format!("{namespace}/{name} is gone"), || async {
            objects.get_opt(name).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    /// A second namespace for this test.
    pub async fn second_namespace(&self) -> String {
        let name = format!("{}-second", self.namespace);
        self.plane.kubectl_ok(&["create", "namespace", &name]).await;
        name
    }

    /// Calls that name this session.
    pub fn calls_about(&self, session: &str) -> Vec<Call> {
        self.athena.calls().into_iter().filter(|call| call.session.as_deref() == Some(session)).collect()
    }

    /// Which operations of Athena were called, for any session.
    pub fn operations(&self) -> BTreeSet<String> {
        let of_sts = ["GetCallerIdentity", "AssumeRole"];
        let operations = self.athena.calls().into_iter().map(|call| call.operation);
        operations.filter(|operation| !of_sts.contains(&operation.as_str())).collect()
    }

    /// The calls of any kind that change something.
    pub fn mutations(&self) -> Vec<Call> {
        const READS: [&str; 6] =
            ["GetCallerIdentity", "AssumeRole", "GetSession", "GetSessionStatus", "GetWorkGroup", "ListSessions"];
        self.athena.calls().into_iter().filter(|call| !READS.contains(&call.operation.as_str())).collect()
    }
}

/// The spec of an object that names a session of an AthenaWorkGroup.
pub fn referring(group: &str, session: &str) -> Value {
    json!({"sessionId": session, "workGroupRef": {"name": group}})
}

/// The reason and the message of the condition Ready.
pub fn ready_of(group: &AthenaWorkGroup) -> Option<(String, String)> {
    let conditions = &group.status.as_ref()?.conditions;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    Some((ready.reason.clone(), ready.message.clone()))
}

pub fn is_kept(group: &AthenaWorkGroup) -> bool {
    group.finalizers().iter().any(|name| name == WORK_GROUP_FINALIZER)
}

/// A control plane whose operator watches all namespaces. Its tests run one after the other, since each operator acts
/// on all objects.
pub struct Whole {
    pub world: World,
    _turn: MutexGuard<'static, ()>,
}

impl Whole {
    pub async fn new() -> Self {
        static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        let plane = installed(&PLANE).await;
        tidy(plane).await;
        Self { world: World::on(plane, brisk()).await, _turn: turn }
    }

    pub async fn start(&self, arguments: &[&str]) {
        self.world.start_operator_with(Start { all_namespaces: true, ..Start::with(arguments) }).await;
    }
}

/// A control plane besides the shared one, with `crds/` and the RBAC rules of `deploy/`.
pub async fn installed(plane: &'static OnceCell<ControlPlane>) -> &'static ControlPlane {
    plane
        .get_or_init(async || {
            let plane = ControlPlane::start(Default::default()).await.unwrap();
            install(&plane).await;
            // The API server takes a moment to serve a new kind.
            for kind in ["ats", "atwg"] {
                eventually("the kind is served", || async {
                    let answer = plane.kubectl(&["get", kind, "--all-namespaces"]).await.unwrap();
                    answer.status.success().then_some(())
                })
                .await;
            }
            plane
        })
        .await
}

impl Deref for Whole {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

/// An Athena where sessions start and end within a moment.
pub fn brisk() -> Config {
    let moment = std::time::Duration::from_millis(300);
    Config { creating: Some(moment), terminating: Some(moment), ..Config::default() }
}

/// Removes what the test before left behind. No operator runs.
async fn tidy(plane: &ControlPlane) {
    const FREE: &str = r#"{"metadata":{"finalizers":[]}}"#;
    let client = plane.client().await;
    let objects: Api<AthenaSession> = Api::all(client.clone());
    for object in objects.list(&Default::default()).await.unwrap() {
        let (namespace, name) = (object.namespace().unwrap(), object.name_any());
        let patch = ["patch", "ats", "-n", &namespace, &name, "--type=merge", "-p", FREE];
        plane.kubectl(&patch).await.unwrap();
        plane.kubectl(&["delete", "ats", "-n", &namespace, &name]).await.unwrap();
    }
    let groups: Api<AthenaWorkGroup> = Api::all(client);
    for group in groups.list(&Default::default()).await.unwrap() {
        plane.kubectl(&["patch", "atwg", &group.name_any(), "--type=merge", "-p", FREE]).await.unwrap();
        plane.kubectl(&["delete", "atwg", &group.name_any()]).await.unwrap();
    }
}
