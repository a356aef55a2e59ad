//! The stage, left standing for somebody to play on.

use std::time::Duration;

use crate::stage::{ADOPT, KEEP, Stage, TERMINATE};
use crate::{Outcome, screen};

/// Declares the examples, says how to go on from another terminal, and waits.
pub async fn open(stage: &mut Stage) -> Outcome {
    stage.kubectl(&["apply", "-f", ADOPT, "-f", TERMINATE, "-f", KEEP]).await?;
    stage.kubectl(&["wait", "--for=condition=Active", "ats", "--all", "--timeout=60s"]).await?;
    stage.kubectl(&["get", "ats"]).await?;
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
    screen::chapter("and then, as you like");
    for (typed, why) in [
        ("kubectl get ats -o wide", "what Kubernetes knows"),
        ("kubectl delete ats forgotten-notebook", "ends that session, and waits for its end"),
        (
            "kubectl patch ats weekly-report --type merge --patch '{\"spec\":{\"terminate\":true}}'",
            "ends that one, and keeps the object",
        ),
        ("kubectl describe ats weekly-report", "conditions and events"),
        ("kubectl delete ats shared-sandbox", "that one has deletionPolicy Retain: its session runs on"),
        ("kubectl explain ats.spec", "what may be written"),
        (
            "kubectl create namespace team-a; kubectl label namespace team-a team=a; kubectl apply -n team-a -f deploy/examples/tenants",
            "a work group, granted to a namespace, and a session of that tenant's",
        ),
        (
            "kubectl apply -n team-a -f deploy/examples/start.yaml; kubectl get ats -n team-a -o wide -w",
            "a session that is started; Ctrl-C ends the look",
        ),
        (
            "kubectl apply -n team-a -f deploy/examples/with-job.yaml; kubectl wait -n team-a --for=condition=Active ats/nightly-report; kubectl get configmap nightly-report-session -n team-a -o yaml",
            "one for a Job, and what tells the Job of it",
        ),
        (
            "ID=$(kubectl get ats nightly-report -n team-a -o jsonpath={.status.sessionId}); curl -s $ATHENA/_fake/sessions/$ID/state --data '{\"state\": \"BUSY\"}'",
            "what a calculation would do: the session is BUSY, which the object shows within a minute",
        ),
        (
            "NOW=$(date -u +%FT%TZ); IS='\"status\": \"True\", \"lastProbeTime\": \"'$NOW'\", \"lastTransitionTime\": \"'$NOW'\"'; kubectl patch job nightly-report -n team-a --subresource=status --type=merge -p '{\"status\": {\"startTime\": \"'$NOW'\", \"completionTime\": \"'$NOW'\", \"succeeded\": 1, \"conditions\": [{\"type\": \"SuccessCriteriaMet\", '\"$IS\"'}, {\"type\": \"Complete\", '\"$IS\"'}]}}'; kubectl get ats nightly-report -n team-a -o wide -w",
            "no node is here to run the Job: this says that it is complete, and the session ends with it",
        ),
        (
            "kubectl apply -n team-a -f deploy/examples/limits.yaml; kubectl patch ats bounded-exploration -n team-a --type merge --patch '{\"spec\":{\"maxIdle\":\"1m\"}}'; kubectl get ats bounded-exploration -n team-a -o wide -w",
            "one with limits: it is ended when it has been idle for a minute",
        ),
        ("kubectl get atwg; kubectl describe atwg team-a-spark", "who uses it"),
        (
            "kubectl create namespace team-b; kubectl apply -n team-b -f deploy/examples/tenants/session.yaml; kubectl get ats -A",
            "somebody else declares it, and is refused",
        ),
        ("curl -s $OPERATOR/metrics", "what the operator counts"),
        ("curl -s $ATHENA/_fake/sessions", "what Athena knows, in JSON"),
        ("curl -s $ATHENA/_fake/calls", "what Athena was asked"),
        (
            "ID=$(curl -s $ATHENA/_fake/sessions --data '{\"work_group\": \"spark-team-a\", \"age\": \"2h\"}' | grep -Eo '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}' | head -n 1)",
            "another session that somebody forgot …",
        ),
        (
            "sed \"s/name: .*/name: mine/; s/sessionId: .*/sessionId: $ID/\" deploy/examples/adopt.yaml | kubectl apply -f -",
            "… and an object for it",
        ),
        (
            "curl -s $ATHENA/_fake/faults --data '{\"kind\": {\"error\": {\"code\": \"AccessDeniedException\", \"message\": \"no\"}}}'",
            "Athena refuses everything …",
        ),
        ("curl -s -X DELETE $ATHENA/_fake/faults", "… and is well again"),
    ] {
        screen::note(&format!("\n# {why}"));
        screen::tell(typed);
    }
    screen::note("\n# what the operator does");
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
