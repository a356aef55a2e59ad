//! Mistakes in manifests, and what the API server says of them.

use fake_athena::Config;
use serde_json::{Value, json};

use crate::api::{AthenaSessionStatus, crds};
use crate::world::{World, eventually};

/// kubectl's refusal of a manifest with this spec, in YAML; an empty text where the manifest is accepted.
async fn answer(world: &World, spec: &str) -> String {
    let manifest = format!(
        "apiVersion: athena-operator.dev/v1alpha1\nkind: AthenaSession\nmetadata: {{name: new}}\nspec: {spec}\n"
    );
    let apply = ["apply", "--dry-run=server", "-n", &world.namespace, "-f", "-"];
    let output = world.plane.kubectl_with(&apply, &manifest).await.unwrap();
    if output.status.success() { String::new() } else { String::from_utf8(output.stderr).unwrap() }
}

/// Each refusal is one line, as kubectl prints it.
#[tokio::test]
async fn a_mistake_is_refused_in_a_sentence_that_says_what_to_write() {
    let world = World::new().await;
    let reference = "workGroupRef: {name: spark}";
    let none =
        "no session is named: set sessionId to the id of a session that exists, or write `start: {}` to start one";
    let milliseconds = "maxLifetime is a duration in whole seconds, from 1s to 99999h, such as 90s, 10m or 1h30m; there are \
                        no days (three of them are 72h), and no milliseconds (500 minutes are 500m)";
    let engines = "sparkProperties and classifications exclude each other";
    for (spec, sentence) in [
        ("{sessionId: one, maxLifetime: 500ms}".to_owned(), milliseconds),
        (format!("{{{reference}}}"), none),
        (format!("\n  {reference}\n  start:"), none),
        (format!("\n  {reference}\n  sessionId:"), none),
        (
            format!("{{{reference}, start: {{}}, sessionId: one}}"),
            "sessionId and start exclude each other: leave start out",
        ),
        (
            format!(
                "{{{reference}, start: {{engineConfiguration: {{sparkProperties: {{a: b}}, classifications: []}}}}}}"
            ),
            engines,
        ),
    ] {
        let said = answer(&world, &spec).await;
        assert!(said.contains(sentence), "{spec}: {said}");
        assert_eq!(said.trim().lines().count(), 1, "{spec}: {said}");
    }
    for spec in ["\n  sessionId: one\n  start:".to_owned(), format!("\n  {reference}\n  start: {{}}\n  sessionId:")] {
        assert_eq!(answer(&world, &spec).await, "", "what says nothing is as if it weren't there");
    }
}

#[tokio::test]
async fn a_work_groups_defaults_are_for_one_engine() {
    let world = World::new().await;
    let name = format!("{}-defaults", world.namespace);
    let manifest = |engine: Value| {
        json!({"apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaWorkGroup", "metadata": {"name": name},
               "spec": {"start": {"engineConfiguration": engine}}})
    };
    let create = ["create", "--dry-run=server", "-f", "-"];
    let both = manifest(json!({"sparkProperties": {"a": "b"}, "classifications": [{"name": "spark-defaults"}]}));
    let refused = world.plane.kubectl_with(&create, &both.to_string()).await.unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("sparkProperties and classifications exclude each other"), "{said}");
    let one = manifest(json!({"sparkProperties": {"a": "b"}}));
    world.plane.kubectl_with_ok(&create, &one.to_string()).await;
}

/// L1: from Kubernetes 1.30 on, the API server checks a new rule only on fields that change. The CRD of this test is in
/// a group of its own, so that only this test changes its rules.
#[tokio::test]
async fn an_object_of_an_earlier_rule_can_be_changed_and_deleted() {
    let world = World::new().await;
    let group = format!("{}.example", world.namespace);
    let kind = format!("athenasessions.{group}");
    let mut crd = crds::all().remove(0);
    crd["metadata"]["name"] = json!(kind);
    crd["spec"]["group"] = json!(group);
    for extra in ["shortNames", "categories"] {
        crd["spec"]["names"].as_object_mut().unwrap().remove(extra);
    }
    let today = crd.to_string();
    let now = "duration(self) >= duration('1s') && duration(self).getMilliseconds() % 1000 == 0";
    let earlier = today.replace(now, "duration(self) > duration('0s')");
    assert_ne!(earlier, today, "the rule reads otherwise");
    world.plane.kubectl_with_ok(&["create", "-f", "-"], &earlier).await;
    let object = |name: &str| {
        json!({"apiVersion": format!("{group}/v1alpha1"), "kind": "AthenaSession", "metadata": {"name": name},
               "spec": {"sessionId": "one", "maxLifetime": "500ms"}})
        .to_string()
    };
    let create = ["create", "-n", &world.namespace, "-f", "-"];
    eventually("the kind of an earlier version is served", || async {
        world.plane.kubectl_with(&create, &object("old")).await.unwrap().status.success().then_some(())
    })
    .await;
    world.plane.kubectl_with_ok(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &today).await;
    let dry = ["create", "--dry-run=server", "-n", &world.namespace, "-f", "-"];
    eventually("today's rule holds", || async {
        (!world.plane.kubectl_with(&dry, &object("new")).await.unwrap().status.success()).then_some(())
    })
    .await;
    let patch = |patch: &'static str| {
        let arguments = ["patch", kind.as_str(), "old", "--type=merge", "-p", patch].map(str::to_owned);
        let world = &world;
        async move { world.kubectl(&arguments.each_ref().map(String::as_str)).await.status.success() }
    };
    assert!(patch(r#"{"metadata": {"finalizers": ["example.com/held"]}}"#).await, "a finalizer comes");
    assert!(patch(r#"{"spec": {"deletionPolicy": "Retain"}}"#).await, "another field changes");
    assert!(!patch(r#"{"spec": {"maxLifetime": "501ms"}}"#).await, "what changes is held to the rule");
    assert!(world.kubectl(&["delete", &kind, "old", "--wait=false"]).await.status.success());
    assert!(patch(r#"{"metadata": {"finalizers": null}}"#).await, "the finalizer goes");
    world.plane.kubectl_ok(&["delete", "crd", &kind]).await;
}

/// kstatus, and so Flux, counts an object without a status as ready. No operator runs here.
#[tokio::test]
async fn an_object_that_nobody_has_seen_says_so() {
    let world = World::with(Config::default()).await;
    world.create("unseen", json!({"sessionId": "one"})).await;
    let observed = ["get", "ats", "unseen", "-o", "jsonpath={.status.observedGeneration} {.metadata.generation}"];
    let shown = world.kubectl(&observed).await;
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), "-1 1");
    let null =
        world.kubectl(&["patch", "ats", "unseen", "--subresource=status", "--type=merge", "-p", r#"{"status": null}"#]);
    assert!(null.await.status.success());
    let shown = world.kubectl(&observed).await;
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), "-1 1", "a status that was taken away is none");
    let status = world.get("unseen").await.unwrap().status;
    assert_eq!(status, Some(AthenaSessionStatus::default()), "the operator takes it for a status that says nothing");
}
