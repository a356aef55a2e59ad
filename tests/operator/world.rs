//! The world of a test: a namespace, a fake Athena, and an operator to start, stop and kill.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use control_plane::ControlPlane;
use fake_athena::{Config, FakeAthena, NewSession, SessionView};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use crate::api::{AthenaSession, FINALIZER};
use crate::launch::{Operator, Start};
use crate::proxy::{Script, kubeconfig_by_way_of};

/// The names in deploy/.
pub const OPERATOR_NAMESPACE: &str = "athena-session-operator";
pub const OPERATOR_ACCOUNT: &str = "athena-session-operator";

/// The longest wait, which no healthy run reaches.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub plane: &'static ControlPlane,
    pub client: Client,
    pub athena: FakeAthena,
    pub namespace: String,
    pub logs: PathBuf,
    operator: Mutex<Option<Operator>>,
}

impl World {
    /// A namespace and an Athena, where sessions start and end within a moment.
    pub async fn new() -> Self {
        Self::with(Config {
            creating: Some(Duration::from_millis(200)),
            terminating: Some(Duration::from_millis(400)),
            ..Config::default()
        })
        .await
    }

    pub async fn with(config: Config) -> Self {
        let plane = installed_control_plane().await;
        Self::on(plane, config).await
    }

    pub async fn on(plane: &'static ControlPlane, config: Config) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        plane.kubectl_ok(&["create", "namespace", &namespace]).await;
        let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{namespace}.log"));
        // Each operator of the test adds to this log.
        let _ = std::fs::remove_file(&logs);
        let athena = FakeAthena::start(config).await.unwrap();
        Self { client: plane.client().await, plane, athena, namespace, logs, operator: Mutex::default() }
    }

    // The operator.

    pub async fn start_operator(&self) {
        self.start_operator_with(Start::default()).await;
    }

    pub async fn start_operator_with(&self, start: Start) {
        let operator = Operator::start(self, start).await;
        let before = self.operator().replace(operator);
        assert!(before.is_none(), "an operator runs already");
    }

    /// With a proxy before the API server.
    pub async fn start_operator_by_way_of(&self, script: &Arc<Script>, arguments: &[&str]) {
        let kubeconfig = kubeconfig_by_way_of(script, self).await;
        self.start_operator_with(Start { kubeconfig, ..Start::with(arguments) }).await;
    }

    pub fn kill_operator(&self) {
        self.operator().take();
    }

    /// How many descriptors the operator has open.
    pub fn descriptors(&self) -> usize {
        let id = self.operator().as_ref().expect("an operator runs").id();
        std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
    }

    pub fn peak_memory(&self) -> u64 {
        self.operator().as_ref().expect("an operator runs").peak_memory()
    }

    pub fn operator_runs(&self) -> bool {
        self.operator().as_mut().is_some_and(|operator| operator.exit_status().is_none())
    }

    /// Stops the operator with SIGTERM, as the kubelet does.
    pub async fn stop_operator(&self) -> (ExitStatus, Duration) {
        self.stop_operator_by("-TERM").await
    }

    pub async fn stop_operator_by(&self, signal: &str) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        self.operator().as_ref().expect("an operator runs").signal(signal);
        let exit = || async { self.operator().as_mut().and_then(Operator::exit_status) };
        let status = eventually("the operator exits", exit).await;
        self.kill_operator();
        (status, asked.elapsed())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.logs).unwrap_or_default()
    }

    fn operator(&self) -> MutexGuard<'_, Option<Operator>> {
        self.operator.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    // Objects.

    pub fn objects(&self) -> Api<AthenaSession> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A session in Athena, in the given state, and an object for it.
    pub async fn declare(&self, name: &str, state: &str) -> String {
        let id = self.session_in(state);
        self.create(name, json!({"sessionId": id})).await;
        id
    }

    pub fn session_in(&self, state: &str) -> String {
        self.athena.add_session(NewSession { state: state.to_owned(), ..NewSession::default() })
    }

    pub async fn create(&self, name: &str, spec: Value) -> AthenaSession {
        let object = serde_json::from_value(json!({
            "apiVersion": "athena-operator.dev/v1alpha1",
            "kind": "AthenaSession",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }));
        self.objects().create(&PostParams::default(), &object.unwrap()).await.unwrap()
    }

    pub async fn get(&self, name: &str) -> Option<AthenaSession> {
        self.objects().get_opt(name).await.unwrap()
    }

    pub async fn edit(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.objects().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    pub async fn forge_status(&self, name: &str, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.objects().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Deletes the object, and doesn't wait until it is gone.
    pub async fn delete(&self, name: &str) {
        self.objects().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Runs kubectl in this namespace, whatever it answers, for what the typed client can't read or write.
    pub async fn kubectl(&self, arguments: &[&str]) -> Output {
        self.plane.kubectl(&[&["-n", &self.namespace], arguments].concat()).await.unwrap()
    }

    pub fn athena_session(&self, id: &str) -> SessionView {
        self.athena.session(id).expect("Athena has the session")
    }

    pub fn terminations(&self, id: &str) -> usize {
        self.athena.calls_of("TerminateSession", Some(id))
    }

    // Waits.

    pub async fn until_gone(&self, name: &str) {
        eventually(&format!("{name} is gone"), || async { self.get(name).await.is_none().then_some(()) }).await;
    }

    /// Waits until Ready has this reason.
    pub async fn until_reason(&self, name: &str, reason: &str) -> AthenaSession {
        self.until(name, reason, |object| condition(object, "Ready").is_some_and(|ready| ready.1 == reason)).await
    }

    pub async fn until(&self, name: &str, what: &str, holds: impl Fn(&AthenaSession) -> bool) -> AthenaSession {
        eventually(&format!("{name}: {what}"), || async { self.get(name).await.filter(|object| holds(object)) }).await
    }

    /// The events about an object, as "Type Reason". An event that was repeated stands so often.
    pub async fn events(&self, name: &str) -> Vec<String> {
        self.events_about(name).await.into_iter().map(|(word, _)| word).collect()
    }

    /// The text of the first event of this type and reason.
    pub async fn note_of(&self, name: &str, event: &str) -> String {
        self.until_event(name, event).await;
        self.events_about(name).await.into_iter().find(|(word, _)| word == event).unwrap().1
    }

    async fn events_about(&self, name: &str) -> Vec<(String, String)> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let about = |event: &Event| event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(name);
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let words = |event: Event| {
            let word = format!("{} {}", event.type_.unwrap_or_default(), event.reason.unwrap_or_default());
            let times = event.series.map_or(1, |series| series.count);
            std::iter::repeat_n((word, event.note.unwrap_or_default()), usize::try_from(times).unwrap())
        };
        events.into_iter().filter(about).flat_map(words).collect()
    }

    pub async fn until_event(&self, name: &str, event: &str) {
        eventually(&format!("the event {event} about {name}"), || async {
            self.events(name).await.iter().any(|it| it == event).then_some(())
        })
        .await;
    }

    /// The operator's writes to AthenaSessions of this namespace, as "verb/subresource name".
    pub fn writes(&self) -> Vec<String> {
        let user = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}");
        let entries = self.plane.audit_entries().unwrap().into_iter();
        let ours = entries.filter(|entry| {
            entry.user == user
                && entry.namespace == self.namespace
                && entry.resource == "athenasessions"
                && entry.is_write()
        });
        ours.map(|entry| format!("{}/{} {} {}", entry.verb, entry.subresource, entry.name, entry.code)).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_operator();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n");
            let calls: Vec<_> =
                self.athena.calls().iter().map(|call| format!("{} {}", call.operation, call.outcome)).collect();
            eprintln!("--- {} · the operator's log:\n{tail}\n--- calls: {calls:?}", self.namespace);
        }
    }
}

/// The shared control plane, with `crds/` and the RBAC rules of `deploy/`.
async fn installed_control_plane() -> &'static ControlPlane {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let plane = ControlPlane::shared().await;
    INSTALLED.get_or_init(|| install(plane)).await;
    plane
}

pub async fn install(plane: &ControlPlane) {
    for file in ["crds", "deploy/namespace.yaml", "deploy/serviceaccount.yaml", "deploy/rbac.yaml"] {
        plane.kubectl_ok(&["apply", "-f", &in_checkout(file)]).await;
    }
    for kind in ["athenasessions", "athenaworkgroups"] {
        let crd = format!("crd/{kind}.athena-operator.dev");
        plane.kubectl_ok(&["wait", "--for=condition=Established", &crd]).await;
    }
}

pub fn in_checkout(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

pub async fn operator_kubeconfig(plane: &ControlPlane) -> PathBuf {
    plane.kubeconfig_for_service_account(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT).await.unwrap()
}

/// Whether this comes within so long.
pub async fn within(time: Duration, what: impl Future) -> bool {
    timeout(time, what).await.is_ok()
}

/// Asks again and again until there is an answer.
pub async fn eventually<T, F>(what: &str, ask: impl Fn() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// The status, the reason and the message of a condition.
pub fn condition<'a>(object: &'a AthenaSession, type_: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = &object.status.as_ref()?.conditions;
    let found = conditions.iter().find(|condition| condition.type_ == type_)?;
    Some((&found.status, &found.reason, &found.message))
}

pub fn has_finalizer(object: &AthenaSession) -> bool {
    object.finalizers().iter().any(|name| name == FINALIZER)
}
