//! The stage, left standing for somebody to play on.

use std::time::Duration;

use crate::stage::Stage;
use crate::{Outcome, screen};

/// What to try next: what it shows, the page about it, and the commands, which work in this order.
const TO_TRY: [(&str, &str, &[&str]); 9] = [
    (
        "adopt a session that somebody forgot, and end it; the deletion returns when the session has ended",
        "docs/tasks/adopt.md",
        &["kubectl apply -f deploy/examples/adopt.yaml", "kubectl get ats", "kubectl delete ats forgotten-notebook"],
    ),
    (
        "end a session, and keep its object as a record",
        "docs/tasks/adopt.md",
        &[
            "kubectl apply -f deploy/examples/terminate.yaml",
            "kubectl patch ats weekly-report --type merge --patch '{\"spec\":{\"terminate\":true}}'",
            "kubectl describe ats weekly-report",
        ],
    ),
    (
        "grant a work group to one namespace; another namespace is refused",
        "docs/tasks/tenants.md",
        &[
            "kubectl create namespace team-a; kubectl label namespace team-a team=a; kubectl create namespace team-b",
            "kubectl apply -n team-a -f deploy/examples/tenants; kubectl apply -n team-b -f deploy/examples/tenants/session.yaml",
            "kubectl get ats -A; kubectl get atwg",
        ],
    ),
    (
        "start a session; Ctrl-C ends the look",
        "docs/tasks/start.md",
        &["kubectl apply -n team-a -f deploy/examples/start.yaml", "kubectl get ats -n team-a -o wide -w"],
    ),
    (
        "start a session for a Job, and end it with the Job; no node is here to run the Job",
        "docs/tasks/jobs-and-pods.md",
        &[
            "kubectl apply -n team-a -f deploy/examples/with-job.yaml",
            "kubectl wait -n team-a --for=condition=Active ats/nightly-report",
            "kubectl get configmap nightly-report-session -n team-a -o yaml",
            "kubectl delete job nightly-report -n team-a; kubectl get ats nightly-report -n team-a -w",
        ],
    ),
    (
        "let a session end when it has been idle for a minute",
        "docs/tasks/limits.md",
        &[
            "kubectl apply -n team-a -f deploy/examples/limits.yaml",
            "kubectl patch ats bounded-exploration -n team-a --type merge --patch '{\"spec\":{\"maxIdle\":\"1m\"}}'",
            "kubectl get ats bounded-exploration -n team-a -o wide -w",
        ],
    ),
    (
        "let rules find the sessions that no object names; MATCHED counts them, and the dry run ends none",
        "docs/cleanup.md",
        &[
            "kubectl apply -n team-a -f deploy/examples/tenants",
            "kubectl patch atwg team-a-spark --type merge --patch \
             '{\"spec\":{\"cleanup\":{\"rules\":[{\"name\":\"idle\",\"match\":{\"idleFor\":\"2h\"}}]}}}'",
            "kubectl get atwg team-a-spark -w",
            "kubectl describe atwg team-a-spark",
        ],
    ),
    (
        "let Athena deny everything, see what the objects say, and let Athena be well again",
        "docs/operations/troubleshooting.md",
        &[
            "curl -s $ATHENA/_fake/faults --data '{\"kind\": {\"error\": {\"code\": \"AccessDeniedException\", \"message\": \"no\"}}}'",
            "kubectl apply -f deploy/examples/keep.yaml; kubectl wait --for=condition=Stalled ats/shared-sandbox; kubectl describe ats shared-sandbox",
            "curl -s -X DELETE $ATHENA/_fake/faults",
        ],
    ),
    (
        "look behind the scenes: the operator's metrics, Athena's sessions, and what Athena was asked",
        "docs/operations/monitoring.md",
        &["curl -s $OPERATOR/metrics", "curl -s $ATHENA/_fake/sessions", "curl -s $ATHENA/_fake/calls"],
    ),
];

/// Says how to go on from another terminal, and waits.
pub async fn open(stage: &mut Stage) -> Outcome {
    let athena = stage.athena.url();
    screen::chapter("Yours, until Ctrl-C. Paste this in another terminal");
    screen::tell(&format!("cd '{}'", env!("CARGO_MANIFEST_DIR")));
    screen::tell(&format!("export KUBECONFIG='{}'", stage.control_plane.admin_kubeconfig().display()));
    if let Some(program) = own_kubectl()? {
        screen::tell(&format!("kubectl() {{ {program} \"$@\"; }}"));
    }
    screen::tell(&format!("ATHENA={athena}"));
    if let Some(operator) = stage.operator_http() {
        screen::tell(&format!("OPERATOR={operator}"));
    }
    screen::chapter("What to try next, in this order");
    screen::note("The commands of each page of docs/ work in a new playground: an ended session doesn't come back.");
    for (why, page, commands) in TO_TRY {
        screen::note(&format!("\n# {why}: {page}"));
        for typed in commands {
            screen::tell(typed);
        }
    }
    screen::note("\n# see what the operator does: docs/operations/logs-and-audit.md");
    screen::tell(&format!("tail -f {}", stage.operator_log().display()));
    screen::tell("");
    while stage.operator_runs() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err("the operator has ended by itself".to_owned())
}

/// The kubectl to use where none is installed.
fn own_kubectl() -> Outcome<Option<String>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("kubectl").is_file()) {
        return Ok(None);
    }
    let kubectl = control_plane::kubectl().map_err(|error| error.to_string())?;
    let words = std::iter::once(kubectl.get_program()).chain(kubectl.get_args());
    Ok(Some(words.map(|word| format!("'{}'", word.display())).collect::<Vec<_>>().join(" ")))
}
