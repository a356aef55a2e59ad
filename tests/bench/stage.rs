//! What the scenarios run on: one control plane for all, a namespace for each.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use control_plane::{ControlPlane, Options};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::Outcome;
use crate::requests::Requests;

/// As the manifests of `deploy/` name them.
const NAMESPACE: &str = "athena-session-operator";
const SERVICE_ACCOUNT: &str = "athena-session-operator";

const WORK_GROUPS: &str = "athenaworkgroups.athena-operator.dev";
/// The AthenaWorkGroup that all objects refer to.
const WORK_GROUP: &str = "bench";

/// A control plane with the CRDs and RBAC rules of the checkout, and the operator that is measured.
pub struct Stage {
    control_plane: ControlPlane,
    pub client: Client,
    /// The operator's way in, with its ServiceAccount's rights.
    pub kubeconfig: PathBuf,
    pub operator: PathBuf,
    operator_version: String,
    operator_help: String,
    /// Where the operator's logs go.
    pub out: PathBuf,
    has_work_groups: bool,
}

impl Stage {
    pub async fn start(operator: &Path, out: &Path) -> Outcome<Self> {
        let (version, help) = (ask(operator, &["--version"]).await?, ask(operator, &["run", "--help"]).await?);
        let text = |error: control_plane::Error| error.to_string();
        let control_plane = ControlPlane::start(Options { audit: true }).await.map_err(text)?;
        for file in ["crds", "deploy/namespace.yaml", "deploy/serviceaccount.yaml", "deploy/rbac.yaml"] {
            let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
            kubectl(&control_plane, &["apply", "-f", &path], "").await?;
        }
        kubectl(&control_plane, &["wait", "--for=condition=Established", "crd", "--all"], "").await?;
        let client = control_plane.client().await;
        let kinds: Api<CustomResourceDefinition> = Api::all(client.clone());
        let has_work_groups = kinds.get_opt(WORK_GROUPS).await.map_err(|error| error.to_string())?.is_some();
        if has_work_groups {
            kubectl(&control_plane, &["apply", "-f", "-"], &work_group().to_string()).await?;
        }
        Ok(Self {
            kubeconfig: control_plane.kubeconfig_for_service_account(NAMESPACE, SERVICE_ACCOUNT).await.map_err(text)?,
            control_plane,
            client,
            operator: operator.to_owned(),
            operator_version: version.trim().to_owned(),
            operator_help: help,
            out: out.to_owned(),
            has_work_groups,
        })
    }

    /// What the operator says of its version.
    pub fn operator_version(&self) -> &str {
        &self.operator_version
    }

    /// Whether this operator's `run` has a flag.
    pub fn operator_knows(&self, flag: &str) -> bool {
        self.operator_help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == flag)
    }

    /// Makes a namespace of this name.
    pub async fn create_namespace(&self, name: &str) -> Outcome {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let made = Api::all(self.client.clone()).create(&PostParams::default(), &namespace).await;
        made.map(drop).map_err(|error| format!("the namespace {name}: {error}"))
    }

    /// kubectl, as an administrator.
    pub async fn kubectl(&self, arguments: &[&str]) -> Outcome {
        kubectl(&self.control_plane, arguments, "").await
    }

    /// Grants the operator the rights of deploy/workloads.
    pub async fn grant_end_with(&self) -> Outcome {
        for file in ["role.yaml", "role-binding.yaml"] {
            self.kubectl(&["apply", "-f", &format!("{}/deploy/workloads/{file}", env!("CARGO_MANIFEST_DIR"))]).await?;
        }
        Ok(())
    }

    /// The spec of an object for this session.
    pub fn session_spec(&self, session: &str) -> Value {
        let mut spec = json!({"sessionId": session});
        if self.has_work_groups {
            spec["workGroupRef"] = json!({"name": WORK_GROUP});
        }
        spec
    }

    /// The spec of an object that starts a session.
    pub fn start_spec(&self) -> Value {
        json!({"start": {}, "workGroupRef": {"name": WORK_GROUP}})
    }

    /// Counts the operator's requests from now on.
    pub fn requests(&self) -> Outcome<Requests> {
        let user = format!("system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}");
        let reader = self.control_plane.audit_reader().map_err(|error| error.to_string())?;
        Requests::from_now(reader, user)
    }

    /// Ends it, and returns when it has ended.
    pub async fn stop(self) {
        self.control_plane.stop().await;
    }
}

/// For the fake's first work group, where sessions are unless they say otherwise.
fn work_group() -> Value {
    json!({
        "apiVersion": "athena-operator.dev/v1alpha1",
        "kind": "AthenaWorkGroup",
        "metadata": {"name": WORK_GROUP},
        "spec": {"workGroup": "primary", "namespaces": {"from": "All"}, "start": {}},
    })
}

async fn kubectl(control_plane: &ControlPlane, arguments: &[&str], input: &str) -> Outcome {
    let output = control_plane.kubectl_with(arguments, input).await.map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("kubectl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// What a program prints.
async fn ask(program: &Path, arguments: &[&str]) -> Outcome<String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{} {}: {}", program.display(), arguments.join(" "), output.status))
    }
}
