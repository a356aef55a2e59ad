//! `AthenaWorkGroup.spec.limits`, as administrators and tenants see it.

use std::time::Duration;

use fake_athena::NewSession;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::api::{PAUSED, TerminationReason};
use crate::tenancy::{TEAM_A, referring};
use crate::world::{World, condition};

/// Registers a work group with these limits, in which sessions may be started.
async fn register(world: &World, limits: Value) -> String {
    let all = json!({"from": "All"});
    world.register("a", json!({"workGroup": TEAM_A, "namespaces": all, "start": {}, "limits": limits})).await
}

/// An adopted session of this work group, whose object has these fields, too.
async fn adopted(world: &World, name: &str, group: &str, state: &str, fields: Value) -> String {
    let (work_group, state) = (Some(TEAM_A.to_owned()), state.to_owned());
    let session = world.athena.add_session(NewSession { state, work_group, ..NewSession::default() });
    let mut spec = referring(group, &session);
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    world.create(name, spec).await;
    session
}

async fn end_reason(world: &World, name: &str) -> (String, Option<TerminationReason>) {
    let object = world.until_reason(name, "Ended").await;
    (condition(&object, "Terminated").unwrap().1.to_owned(), object.status.unwrap().termination_reason)
}

/// The AthenaSession's own smaller limit is told as such.
#[tokio::test]
async fn the_limit_of_a_work_group_ends_adopted_and_started_sessions() {
    let world = World::new().await;
    world.start_operator().await;
    let group = register(&world, json!({"maxIdle": "3s", "maxLifetime": "10h"})).await;
    let idle = adopted(&world, "idle", &group, "IDLE", json!({})).await;
    let longer = adopted(&world, "longer", &group, "IDLE", json!({"maxIdle": "1h"})).await;
    let own = adopted(&world, "own", &group, "IDLE", json!({"maxIdle": "1s"})).await;
    let busy = adopted(&world, "busy", &group, "BUSY", json!({})).await;
    world.create("started", json!({"start": {}, "workGroupRef": {"name": group}})).await;
    let by_group = ("WorkGroupLimit".to_owned(), Some(TerminationReason::WorkGroupLimit));
    for name in ["idle", "longer", "started"] {
        assert_eq!(end_reason(&world, name).await, by_group, "{name}");
    }
    assert_eq!(end_reason(&world, "own").await, ("MaxIdle".to_owned(), Some(TerminationReason::MaxIdle)));
    let ends = [&idle, &longer, &own].map(|session| world.terminations(session));
    assert_eq!((ends, world.terminations(&busy)), ([1, 1, 1], 0));
    let shown = world.kubectl(&["get", "ats", "idle", "-o", "wide"]).await;
    assert!(String::from_utf8_lossy(&shown.stdout).contains("WorkGroupLimit"), "{shown:?}");
    let said = world.note_of("idle", "Normal Terminating").await;
    assert!(said.contains("a limit of its AthenaWorkGroup (spec.limits) is reached"), "{said}");
}

#[tokio::test]
async fn a_started_session_has_the_smaller_limit_as_athenas_idle_timeout() {
    let world = World::new().await;
    world.start_operator().await;
    let group = register(&world, json!({"maxIdle": "15m"})).await;
    let spec = |idle: Value| json!({"start": {}, "workGroupRef": {"name": group}, "maxIdle": idle});
    for (name, idle, minutes) in [("none", Value::Null, 15), ("longer", json!("1h"), 15), ("own", json!("5m"), 5)] {
        world.create(name, spec(idle)).await;
        let object =
            world.until(name, "it has started", |object| object.status.as_ref().is_some_and(|it| it.state.is_some()));
        let session = world.athena_session(&object.await.status.unwrap().session_id.unwrap());
        assert_eq!(session.input["SessionIdleTimeoutInMinutes"], json!(minutes), "{name}");
    }
}

/// `kubectl describe` shows which limit is next, and since the limit is lowered the session ends.
#[tokio::test]
async fn a_limit_that_is_lowered_applies_to_what_runs() {
    let world = World::new().await;
    world.start_operator().await;
    let group = register(&world, json!({"maxLifetime": "10h"})).await;
    let session = adopted(&world, "running", &group, "BUSY", json!({"maxLifetime": "20h"})).await;
    world.until_reason("running", "Running").await;
    let described = world.kubectl(&["describe", "ats", "running"]).await;
    let described = String::from_utf8(described.stdout).unwrap();
    let sentence = format!("(spec.limits.maxLifetime of AthenaWorkGroup {group})");
    assert!(described.contains(&sentence), "{described}");
    world.edit_group(&group, json!({"spec": {"limits": {"maxLifetime": "30h"}}})).await;
    world
        .until("running", "its own limit is the next one", |object| {
            condition(object, "Ready").is_some_and(|ready| ready.2.contains("(spec.maxLifetime)"))
        })
        .await;
    assert_eq!(world.terminations(&session), 0);
    world.edit_group(&group, json!({"spec": {"limits": {"maxLifetime": "1s"}}})).await;
    assert_eq!(end_reason(&world, "running").await.0, "WorkGroupLimit");
    assert_eq!(world.terminations(&session), 1);
}

/// S5: neither does an AthenaWorkGroup end what it doesn't grant, nor does an object do without the limit.
#[tokio::test]
async fn a_work_group_limits_what_it_grants_and_nothing_else() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_label("a", TEAM_A).await;
    let session = adopted(&world, "object", &group, "IDLE", json!({"terminationGracePeriod": "99999h"})).await;
    world.until_reason("object", "Running").await;
    world.label("team-").await;
    world.until_reason("object", "NamespaceNotAllowed").await;
    world.edit_group(&group, json!({"spec": {"limits": {"maxLifetime": "1s", "maxIdle": "1s"}}})).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(world.terminations(&session), 0);
    let paused = Patch::Merge(json!({"metadata": {"annotations": {PAUSED: "true"}}}));
    world.objects().patch("object", &PatchParams::default(), &paused).await.unwrap();
    world.label("team=a").await;
    assert_eq!(end_reason(&world, "object").await.0, "WorkGroupLimit");
    assert_eq!(world.terminations(&session), 1);
}

#[tokio::test]
async fn limits_that_are_no_durations_are_refused_at_apply() {
    let world = World::new().await;
    for (place, (limits, words)) in [
        (json!({"maxLifetime": "3d"}), "maxLifetime is a duration in whole seconds, from 1s to 99999h"),
        (json!({"maxIdle": "0s"}), "maxIdle is a duration in whole seconds, from 1s to 99999h"),
        (json!({"maxIdle": "-1h"}), "maxIdle is a duration in whole seconds"),
        (json!({"maxLifetime": "500ms"}), "no milliseconds (500 minutes are 500m)"),
    ]
    .into_iter()
    .enumerate()
    {
        let object = json!({
            "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaWorkGroup",
            "metadata": {"name": format!("{}-{place}", world.namespace)}, "spec": {"limits": limits},
        });
        let output = world.plane.kubectl_with(&["create", "-f", "-"], &object.to_string()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(words), "{object}: {said}");
        assert_eq!(said.trim().lines().count(), 1, "{said}");
    }
}
