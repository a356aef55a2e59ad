//! The story: sessions that somebody forgot, ended by `kubectl delete` and by `spec.terminate`; a tenant who is refused; a
//! session that is started for a Job, and ends with it; and rules for the session that no manifest names. What each scene
//! shows is also checked.

use std::time::Duration;

use fake_athena::Call;
use serde_json::json;

use crate::stage::{ADOPT, KEEP, NOTEBOOK, REPORT, SANDBOX, Stage, TENANTS, TERMINATE, UNDECLARED};
use crate::{Outcome, screen};

const SESSIONS: [&str; 5] = [NOTEBOOK, REPORT, SANDBOX, TENANTS, UNDECLARED];

/// Plays all of it.
pub async fn play(stage: &mut Stage) -> Outcome {
    forgotten(stage);
    declared(stage).await?;
    deleted(stage).await?;
    terminated(stage).await?;
    retained(stage).await?;
    granted(stage).await?;
    refused(stage).await?;
    let started = handed_over(stage).await?;
    cleaned_up(stage).await?;
    audited(stage)?;
    in_the_end(stage, &started);
    check(stage.operator_runs(), || "the operator has ended by itself".to_owned())
}

fn forgotten(stage: &Stage) {
    screen::chapter("Athena bills these sessions for as long as they live, and everybody has gone home");
    show_sessions(stage, &SESSIONS);
}

async fn declared(stage: &Stage) -> Outcome {
    screen::chapter("Three of them become Kubernetes objects");
    stage.kubectl(&["apply", "-f", ADOPT, "-f", TERMINATE, "-f", KEEP]).await?;
    stage.kubectl(&["wait", "--for=condition=Active", "ats", "--all", "--timeout=60s"]).await?;
    let table = stage.kubectl(&["get", "ats"]).await?;
    for name in ["forgotten-notebook", "weekly-report", "shared-sandbox"] {
        check(table.contains(name), || format!("kubectl get ats doesn't show {name}"))?;
    }
    for (name, state) in [("forgotten-notebook", "IDLE"), ("weekly-report", "BUSY"), ("shared-sandbox", "IDLE")] {
        let recorded = field(stage, name, "{.status.state}").await?;
        check(recorded == state, || format!("the status of {name} says {recorded}, not {state}"))?;
    }
    Ok(())
}

async fn deleted(stage: &Stage) -> Outcome {
    const OBJECT: &str = "ats/forgotten-notebook";
    screen::chapter("kubectl delete ends a session; --wait=false, to look at it meanwhile");
    stage.kubectl(&["delete", OBJECT, "--wait=false"]).await?;
    stage.kubectl(&["wait", "--for=condition=Reconciling", OBJECT, "--timeout=30s"]).await?;
    stage.kubectl(&["describe", OBJECT]).await?;
    expect_state(stage, NOTEBOOK, "TERMINATING", "and its object is held until it has ended")?;
    screen::good("The session is shutting down, and the object stays until Athena says that it has ended.");

    stage.kubectl(&["wait", "--for=delete", OBJECT, "--timeout=60s"]).await?;
    // Asked first: an object that went too early would find it TERMINATING.
    expect_state(stage, NOTEBOOK, "TERMINATED", "before its object goes")?;
    let gone = stage.kubectl_refused(&["get", OBJECT]).await?;
    check(gone.contains("NotFound"), || format!("{OBJECT} should be gone: {}", gone.trim()))?;
    events(stage, "forgotten-notebook", &["Adopted", "Terminating", "Terminated"]).await?;
    show_calls(stage, NOTEBOOK);
    expect_one_end(stage, NOTEBOOK)?;
    screen::good("The object went after the session, which one TerminateSession ended.");
    Ok(())
}

async fn terminated(stage: &Stage) -> Outcome {
    const OBJECT: &str = "ats/weekly-report";
    screen::chapter("spec.terminate ends a session and keeps the object as its record");
    stage.kubectl(&["patch", OBJECT, "--type=merge", "-p", r#"{"spec":{"terminate":true}}"#]).await?;
    stage.kubectl(&["wait", "--for=condition=Terminated", OBJECT, "--timeout=60s"]).await?;
    expect_state(stage, REPORT, "TERMINATED", "once the object says Terminated")?;
    await_events(stage, "weekly-report", &["Adopted", "Terminating", "Terminated"]).await?;
    stage.kubectl(&["describe", OBJECT]).await?;
    let reason = field(stage, "weekly-report", r#"{.status.conditions[?(@.type=="Terminated")].reason}"#).await?;
    check(reason == "RequestedBySpec", || format!("the condition Terminated of {OBJECT} names {reason}"))?;
    show_calls(stage, REPORT);
    expect_one_end(stage, REPORT)?;

    screen::tell("\nIt can't be undone, and kubectl says why:");
    let refused =
        stage.kubectl_refused(&["patch", OBJECT, "--type=merge", "-p", r#"{"spec":{"terminate":false}}"#]).await?;
    check(refused.contains("can't be taken back"), || format!("the refusal doesn't say why: {}", refused.trim()))
}

async fn retained(stage: &Stage) -> Outcome {
    const OBJECT: &str = "ats/shared-sandbox";
    screen::chapter("deletionPolicy: Retain leaves the session as it is");
    stage.kubectl(&["delete", OBJECT]).await?;
    events(stage, "shared-sandbox", &["Adopted", "Retained"]).await?;
    expect_state(stage, SANDBOX, "IDLE", "after its object was deleted with Retain")?;
    check(stage.athena.calls_of("TerminateSession", Some(SANDBOX)) == 0, || format!("{SANDBOX} was to be retained"))?;
    screen::good("The object went at once, and the session runs on.");
    Ok(())
}

async fn granted(stage: &Stage) -> Outcome {
    screen::chapter(
        "With tenants an AthenaWorkGroup says which namespaces may use which work group, and by which role",
    );
    stage.kubectl(&["create", "namespace", "team-a"]).await?;
    stage.kubectl(&["label", "namespace", "team-a", "team=a"]).await?;
    stage.kubectl(&["apply", "-n", "team-a", "-f", "deploy/examples/tenants"]).await?;
    stage.kubectl(&["wait", "-n", "team-a", "--for=condition=Active", "ats/team-notebook", "--timeout=60s"]).await?;
    stage.kubectl(&["wait", "--for=jsonpath={.status.declared}=1", "atwg/team-a-spark", "--timeout=60s"]).await?;
    let table = stage.kubectl(&["get", "atwg", "-o", "wide"]).await?;
    check(table.contains("Available"), || "the AthenaWorkGroup isn't Available".to_owned())?;
    let roles = stage.athena.calls().iter().filter(|call| call.operation == "AssumeRole").count();
    check(roles > 0, || "no role was assumed for the AthenaWorkGroup".to_owned())?;
    screen::good("team-a has the label that the AthenaWorkGroup selects: its session is adopted, by the role.");
    Ok(())
}

async fn refused(stage: &Stage) -> Outcome {
    const OBJECT: &str = "ats/team-notebook";
    const READY: &str = r#".status.conditions[?(@.type=="Ready")]"#;
    screen::chapter("team-b declares the same session, to end it by deleting its own object");
    stage.kubectl(&["create", "namespace", "team-b"]).await?;
    stage.kubectl(&["apply", "-n", "team-b", "-f", "deploy/examples/tenants/session.yaml"]).await?;
    let refused = format!("--for=jsonpath={{{READY}.reason}}=NamespaceNotAllowed");
    stage.kubectl(&["wait", "-n", "team-b", &refused, OBJECT, "--timeout=60s"]).await?;
    stage.kubectl(&["get", "ats", "-A"]).await?;
    let learned =
        stage.ask(&["get", "-n", "team-b", OBJECT, "-o", "jsonpath={.status.state}{.status.sessionId}"]).await?;
    check(learned.stdout.is_empty(), || "team-b has learned how the session stands".to_owned())?;
    let message = format!("jsonpath={{{READY}.message}}");
    stage.kubectl(&["get", "-n", "team-b", OBJECT, "-o", &message]).await?;
    stage.kubectl(&["delete", "-n", "team-b", OBJECT]).await?;
    expect_state(stage, TENANTS, "IDLE", "whatever team-b declares and deletes")?;
    let on_behalf = |call: &Call| call.user_agent.as_ref().is_some_and(|agent| agent.contains("(team-b/"));
    let calls = stage.athena.calls().iter().filter(|call| on_behalf(call)).count();
    check(calls == 0, || format!("Athena got {calls} calls on behalf of team-b"))?;
    let ends = stage.athena.calls_of("TerminateSession", Some(TENANTS));
    check(ends == 0, || format!("{TENANTS} is team-a's, and nobody has asked for its end"))?;
    screen::good("It was refused, so nothing holds it: it went at once, and Athena wasn't asked anything.");
    screen::note(
        "An object without workGroupRef isn't checked so: with tenants install deploy/require-work-group too.",
    );
    Ok(())
}

/// Returns the session's id.
async fn handed_over(stage: &Stage) -> Outcome<String> {
    const OBJECT: &str = "ats/nightly-report";
    screen::chapter("One manifest starts a session, hands it to a Job, and ends it with the Job");
    stage.kubectl(&["apply", "-n", "team-a", "-f", "deploy/examples/with-job.yaml"]).await?;
    stage.kubectl(&["wait", "-n", "team-a", "--for=condition=Active", OBJECT, "--timeout=60s"]).await?;
    let configmap = ["configmap/nightly-report-session", "-n", "team-a"];
    stage.kubectl(&[&["wait", "--for=create", "--timeout=30s"], &configmap[..]].concat()).await?;
    stage.kubectl(&[&["get", "-o", "jsonpath={.data}"], &configmap[..]].concat()).await?;
    let id = stage.ask(&[&["get", "-o", "jsonpath={.data.ATHENA_SESSION_ID}"], &configmap[..]].concat()).await?;
    let id = String::from_utf8_lossy(&id.stdout).into_owned();

    screen::note("No node is here to run the Job's Pod: this does what it would, and says that the Job is complete.");
    let code = json!({"SessionId": id, "CodeBlock": "print('a report')"});
    let calculation = stage.call_athena("StartCalculationExecution", &code).await?;
    let calculation = json!({"CalculationExecutionId": calculation["CalculationExecutionId"]});
    loop {
        let answer = stage.call_athena("GetCalculationExecutionStatus", &calculation).await?;
        let state = answer["Status"]["State"].as_str().unwrap_or("unknown").to_owned();
        screen::tell(&format!("The calculation is {state}."));
        check(!matches!(state.as_str(), "FAILED" | "unknown"), || format!("the calculation is {state}"))?;
        if state == "COMPLETED" {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let now = stage.athena.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let is = |type_: &str| json!({"type": type_, "status": "True", "lastProbeTime": now, "lastTransitionTime": now});
    let conditions = [is("SuccessCriteriaMet"), is("Complete")];
    let status = json!({"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions});
    let patch = json!({"status": status}).to_string();
    let job = ["patch", "job/nightly-report", "-n", "team-a", "--subresource=status", "--type=merge", "-p", &patch];
    let patched = stage.ask(&job).await?;
    check(patched.status.success(), || format!("the Job: {}", String::from_utf8_lossy(&patched.stderr)))?;

    stage.kubectl(&["wait", "-n", "team-a", "--for=condition=Terminated", OBJECT, "--timeout=60s"]).await?;
    let terminated = r#"jsonpath={.status.conditions[?(@.type=="Terminated")].reason}"#;
    let reason = stage.kubectl(&["get", "-n", "team-a", OBJECT, "-o", terminated]).await?;
    check(reason == "WorkloadFinished", || format!("the condition Terminated of {OBJECT} names {reason}"))?;
    expect_state(stage, &id, "TERMINATED", "once its Job has completed")?;
    expect_one_end(stage, &id)?;
    let started = stage.athena.calls_of("StartSession", Some(&id));
    check(started == 1, || format!("Athena got {started} calls of StartSession, not 1"))?;
    screen::good(
        "One session was started, its Job used it, and it has ended with the Job. The ConfigMap is gone, too.",
    );
    let gone = stage.kubectl_refused(&[&["get"], &configmap[..]].concat()).await?;
    check(gone.contains("NotFound"), || format!("the ConfigMap should be gone: {}", gone.trim()))?;
    Ok(id)
}

/// The session that nobody's manifest names: rules end it, after a dry run.
async fn cleaned_up(stage: &Stage) -> Outcome {
    const GROUP: &str = "atwg/team-a-spark";
    screen::chapter("Rules end what no object names: first a dry run says what they would end");
    check(calls_about(stage, UNDECLARED) == 0, || {
        format!("no object names {UNDECLARED}, and Athena got calls about it")
    })?;
    let rules = json!({"mode": "DryRun", "rules": [{"name": "idle", "match": {"states": ["IDLE"], "idleFor": "2h"}}]});
    let patch = |cleanup: &serde_json::Value| json!({"spec": {"cleanup": cleanup}}).to_string();
    stage.kubectl(&["patch", GROUP, "--type=merge", "-p", &patch(&rules)]).await?;
    stage.kubectl(&["wait", GROUP, "--for=jsonpath={.status.cleanup.due}=1", "--timeout=60s"]).await?;
    stage.kubectl(&["get", GROUP]).await?;
    let told = stage.kubectl(&["get", GROUP, "-o", "jsonpath={.status.cleanup.matchedSessions}"]).await?;
    check(told.contains(UNDECLARED), || format!("the dry run doesn't tell {UNDECLARED}: {told}"))?;
    expect_state(stage, UNDECLARED, "IDLE", "after a dry run")?;
    check(stage.athena.calls_of("TerminateSession", Some(UNDECLARED)) == 0, || "a dry run ended a session".to_owned())?;
    screen::good("One session is forgotten. The dry run has looked at it, and ended nothing.");

    screen::tell("\nWith mode Enforce the operator ends it:");
    stage.kubectl(&["patch", GROUP, "--type=merge", "-p", &patch(&json!({"mode": "Enforce"}))]).await?;
    for _ in 0..300 {
        if stage.athena.session(UNDECLARED).is_some_and(|session| session.state == "TERMINATED") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    expect_state(stage, UNDECLARED, "TERMINATED", "once the rules are enforced")?;
    expect_one_end(stage, UNDECLARED)?;
    show_calls(stage, UNDECLARED);
    stage.kubectl(&["events", "--for", "athenaworkgroup/team-a-spark"]).await?;
    screen::good("It was matched in two lists, looked at once more, and ended by one call, on behalf of the rule.");
    Ok(())
}

fn audited(stage: &Stage) -> Outcome {
    screen::chapter("The operator logs each call that changes something in AWS, and on whose behalf");
    let log = stage.read_operator_log();
    let audit: Vec<&str> =
        log.lines().filter(|line| line.contains("TerminateSession") || line.contains("StartSession")).collect();
    for line in &audit {
        screen::tell(line);
    }
    check(audit.len() == 5, || format!("the operator's log has {} such lines, not 5", audit.len()))
}

fn in_the_end(stage: &Stage, started: &str) {
    screen::chapter("In the end");
    show_sessions(stage, &[&SESSIONS[..], &[started]].concat());
}

fn calls_about(stage: &Stage, id: &str) -> usize {
    stage.athena.calls().iter().filter(|call| call.session.as_deref() == Some(id)).count()
}

async fn events(stage: &Stage, name: &str, expected: &[&str]) -> Outcome {
    await_events(stage, name, expected).await?;
    stage.kubectl(&["events", "--for", &format!("athenasession/{name}")]).await.map(|_| ())
}

/// Events come a moment after what they tell: they are off the critical path.
async fn await_events(stage: &Stage, name: &str, expected: &[&str]) -> Outcome {
    let of = format!("athenasession/{name}");
    let mut missing = None;
    for _ in 0..50 {
        let output = stage.ask(&["events", "--for", &of]).await?;
        let printed = String::from_utf8_lossy(&output.stdout);
        missing = expected.iter().find(|reason| !printed.contains(&format!(" {reason} ")));
        if missing.is_none() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err(format!("no event {} about {name}", missing.unwrap_or(&"")))
}

async fn field(stage: &Stage, name: &str, path: &str) -> Outcome<String> {
    let output = stage.ask(&["get", "ats", name, "-o", &format!("jsonpath={path}")]).await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn show_sessions(stage: &Stage, ids: &[&str]) {
    screen::tell("\nAthena's sessions:");
    let mut rows = vec![["SESSION", "WORK GROUP", "STATE", "STARTED", "DESCRIPTION"].map(str::to_owned).to_vec()];
    for session in ids.iter().filter_map(|id| stage.athena.session(id)) {
        let hours = stage.athena.now().duration_since(session.started_at).as_hours();
        rows.push(vec![
            session.id,
            session.work_group,
            session.state,
            format!("{hours} h ago"),
            session.description.unwrap_or_default(),
        ]);
    }
    screen::table(&rows);
}

/// What Athena was asked about one session; the same call again and again is one row.
fn show_calls(stage: &Stage, id: &str) {
    screen::tell(&format!("\nWhat Athena saw of session {id}:"));
    let mut rows: Vec<(String, String, String, usize)> = vec![];
    for call in stage.athena.calls().into_iter().filter(|call| call.session.as_deref() == Some(id)) {
        match rows.last_mut() {
            Some((_, operation, outcome, times)) if *operation == call.operation && *outcome == call.outcome => {
                *times += 1;
            }
            _ => rows.push((call.at.strftime("%H:%M:%S").to_string(), call.operation, call.outcome, 1)),
        }
    }
    let head = ["UTC", "CALL", "ANSWER", "TIMES"].map(str::to_owned).to_vec();
    let rows = rows.into_iter().map(|(at, operation, outcome, times)| vec![at, operation, outcome, times.to_string()]);
    screen::table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    if let Some(session) = stage.athena.session(id) {
        let ended = session.ended_at.map_or_else(String::new, |at| format!(" since {}", at.strftime("%H:%M:%S")));
        screen::tell(&format!("The session is {}{ended}.", session.state));
    }
}

fn expect_state(stage: &Stage, id: &str, expected: &str, when: &str) -> Outcome {
    let state = stage.athena.session(id).map_or_else(|| "unknown".to_owned(), |session| session.state);
    check(state == expected, || format!("session {id} is {state} in Athena; it must be {expected} {when}"))
}

fn expect_one_end(stage: &Stage, id: &str) -> Outcome {
    let calls = stage.athena.calls_of("TerminateSession", Some(id));
    check(calls == 1, || format!("Athena got {calls} calls of TerminateSession for {id}, not 1"))
}

fn check(holds: bool, problem: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(problem()) }
}
