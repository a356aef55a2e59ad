//! What each test starts from: a namespace, an Athena, and operators to start, stop and kill.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use athena_session_operator::api::FINALIZER;
use athena_session_operator::api::session::AthenaSession;
use control_plane::ControlPlane;
use fake_athena::{Config, FakeAthena, NewSession, SessionView};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::sleep;

/// As deploy/ names them.
pub const OPERATOR_NAMESPACE: &str = "athena-session-operator";
pub const OPERATOR_ACCOUNT: &str = "athena-session-operator";

/// A wait that no healthy run reaches.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Intervals short enough for tests; the order of events is that of the defaults.
const BRISK: [(&str, &str); 9] = [
    ("ATHENA_OPERATOR_POLL_INTERVAL", "1s"),
    ("ATHENA_OPERATOR_POLL_INTERVAL_CHANGING", "100ms"),
    ("ATHENA_OPERATOR_TERMINATE_AGAIN_AFTER", "1s"),
    ("ATHENA_OPERATOR_CONFIRM_ABSENCE_AFTER", "1s"),
    ("ATHENA_OPERATOR_BACKOFF_MIN", "50ms"),
    ("ATHENA_OPERATOR_BACKOFF_MAX", "500ms"),
    ("ATHENA_OPERATOR_AWS_TIMEOUT", "3s"),
    ("ATHENA_OPERATOR_WATCH_TIMEOUT", "5s"),
    ("ATHENA_OPERATOR_LOG_FORMAT", "json"),
];

pub struct World {
    pub plane: &'static ControlPlane,
    pub client: Client,
    pub athena: FakeAthena,
    pub namespace: String,
    operator: Mutex<Option<Child>>,
    logs: PathBuf,
}

/// How to start an operator, where the usual way isn't meant.
#[derive(Clone, Default)]
pub struct Start {
    pub arguments: Vec<String>,
    pub environment: Vec<(&'static str, String)>,
    pub kubeconfig: Option<PathBuf>,
    pub athena_url: Option<String>,
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
        // Each start of an operator adds to it.
        let _ = std::fs::remove_file(&logs);
        let athena = FakeAthena::start(config).await.unwrap();
        Self { client: plane.client().await, plane, athena, namespace, operator: Mutex::default(), logs }
    }

    // The operator.

    pub async fn start_operator(&self) {
        self.start_operator_with(Start::default()).await;
    }

    pub async fn start_operator_with(&self, start: Start) {
        let kubeconfig = match start.kubeconfig {
            Some(kubeconfig) => kubeconfig,
            None => operator_kubeconfig(self.plane).await,
        };
        let athena_url = start.athena_url.unwrap_or_else(|| self.athena.url());
        let mut command = operator_command();
        command
            .args(["run", "--watch-namespace", &self.namespace])
            .args(start.arguments)
            .env("KUBECONFIG", kubeconfig)
            .env("AWS_ENDPOINT_URL", athena_url)
            .envs(aws_environment())
            .envs(BRISK)
            .envs(start.environment)
            .stderr(File::options().create(true).append(true).open(&self.logs).unwrap());
        let child = command.spawn().unwrap();
        let before = self.operator().replace(child);
        assert!(before.is_none(), "an operator runs already");
    }

    pub fn kill_operator(&self) {
        if let Some(mut child) = self.operator().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn operator_runs(&self) -> bool {
        self.operator().as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// SIGTERM, as the kubelet does it.
    pub async fn stop_operator(&self) -> (ExitStatus, Duration) {
        self.stop_operator_by("-TERM").await
    }

    pub async fn stop_operator_by(&self, signal: &str) -> (ExitStatus, Duration) {
        let pid = self.operator().as_ref().expect("an operator runs").id().to_string();
        let asked = Instant::now();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let status = eventually("the operator exits", || async {
            self.operator().as_mut().and_then(|child| child.try_wait().unwrap())
        })
        .await;
        self.operator().take();
        (status, asked.elapsed())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.logs).unwrap_or_default()
    }

    fn operator(&self) -> MutexGuard<'_, Option<Child>> {
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

    /// Asks for the deletion, and doesn't wait for it.
    pub async fn delete(&self, name: &str) {
        self.objects().delete(name, &DeleteParams::default()).await.unwrap();
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

    /// The events about an object, as "Type Reason"; one that was repeated is there so often.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let about = |event: &Event| event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(name);
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let words = |event: Event| {
            let word = format!("{} {}", event.type_.unwrap_or_default(), event.reason.unwrap_or_default());
            let times = event.series.map_or(1, |series| series.count);
            std::iter::repeat_n(word, usize::try_from(times).unwrap())
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
    plane.kubectl_ok(&["wait", "--for=condition=Established", "crd/athenasessions.athena-operator.dev"]).await;
}

pub fn in_checkout(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

pub async fn operator_kubeconfig(plane: &ControlPlane) -> PathBuf {
    plane.kubeconfig_for_service_account(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT).await.unwrap()
}

/// The operator, in an environment that has nothing of this machine's Kubernetes and AWS settings.
pub fn operator_command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_athena-session-operator"));
    command.env_clear().env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

pub fn aws_environment() -> [(&'static str, &'static str); 3] {
    [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "planted-secret")]
}

/// Asks until there is an answer.
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

/// (status, reason, message) of a condition.
pub fn condition<'a>(object: &'a AthenaSession, type_: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = &object.status.as_ref()?.conditions;
    let found = conditions.iter().find(|condition| condition.type_ == type_)?;
    Some((&found.status, &found.reason, &found.message))
}

pub fn has_finalizer(object: &AthenaSession) -> bool {
    object.finalizers().iter().any(|name| name == FINALIZER)
}
