//! The CRDs: what the API server refuses (CEL rules and schema), and what kubectl shows.

use std::process::Command;

use serde_json::{Value, json};

use crate::world::{World, in_checkout};

#[test]
fn the_generated_crds_are_up_to_date() {
    let printed = Command::new(env!("CARGO_BIN_EXE_athena-session-operator")).arg("crds").output().unwrap();
    let committed = std::fs::read_to_string(in_checkout("crds/athena-operator.dev.yaml")).unwrap();
    assert!(printed.status.success());
    assert!(String::from_utf8(printed.stdout).unwrap() == committed, "crds/ is out of date: run `make crds`");
}

async fn refused(world: &World, name: &str, spec: Value) -> String {
    let patch = json!({"spec": spec}).to_string();
    let output = world
        .plane
        .kubectl(&["patch", "ats", name, "-n", &world.namespace, "--type=merge", "-p", &patch])
        .await
        .unwrap();
    assert!(!output.status.success(), "{patch} was taken");
    String::from_utf8(output.stderr).unwrap()
}

/// kubectl's refusal of a new object.
async fn refused_new(world: &World, name: &str, spec: Value) -> String {
    let object = json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
        "metadata": {"name": name, "namespace": world.namespace}, "spec": spec,
    });
    let output = world.plane.kubectl_with(&["create", "-f", "-"], &object.to_string()).await.unwrap();
    assert!(!output.status.success(), "{object} was taken");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_session_id_with_characters_that_cant_be_seen_is_refused() {
    let world = World::new().await;
    for id in ["one two", "one\u{1b}[2J", "one\u{202e}", "one\u{2028}", "\u{200f}one"] {
        let said = refused_new(&world, "unseen", json!({"sessionId": id})).await;
        assert!(said.contains("sessionId must not contain white space, nor characters that can't be seen"), "{said}");
    }
}

#[tokio::test]
async fn what_cant_change_is_refused_at_apply_time_with_the_reason() {
    let world = World::new().await;
    world.create("fixed", json!({"sessionId": "one"})).await;
    assert!(refused(&world, "fixed", json!({"sessionId": "two"})).await.contains("sessionId can't change"));
    assert!(refused(&world, "fixed", json!({"sessionId": null})).await.contains("no session is named: set sessionId"));

    world.edit("fixed", json!({"terminate": true})).await;
    let sentence = "an ended session can't be brought back";
    assert!(refused(&world, "fixed", json!({"terminate": false})).await.contains(sentence));
    assert!(refused(&world, "fixed", json!({"terminate": null})).await.contains(sentence));
    for policy in ["Retain", "Terminate"] {
        world.edit("fixed", json!({"deletionPolicy": policy})).await;
    }
    assert!(refused(&world, "fixed", json!({"deletionPolicy": "Orphan"})).await.contains("Unsupported value"));
}

#[tokio::test]
async fn a_start_cant_change_and_needs_a_work_group() {
    let world = World::new().await;
    let reference = json!({"name": "spark"});
    world.create("fixed", json!({"start": {}, "workGroupRef": reference})).await;
    let (none, both) = ("no session is named: set sessionId", "sessionId and start exclude each other");
    for (change, sentence) in [
        (json!({"start": {"description": "other"}}), "start can't change"),
        (json!({"start": null}), none),
        (json!({"sessionId": "one"}), both),
        (json!({"start": null, "sessionId": "one"}), "sessionId can't change"),
    ] {
        let said = refused(&world, "fixed", change.clone()).await;
        assert!(said.contains(sentence), "{change}: {said}");
    }
    world.create("named", json!({"sessionId": "one", "workGroupRef": reference})).await;
    let exchanged = refused(&world, "named", json!({"sessionId": null, "start": {}})).await;
    assert!(exchanged.contains("sessionId can't change"), "{exchanged}");
    let alone = refused_new(&world, "alone", json!({"start": {}})).await;
    assert!(alone.contains("start needs workGroupRef"), "{alone}");
}

#[tokio::test]
async fn a_bad_duration_is_refused_at_apply_time_in_one_line() {
    let world = World::new().await;
    let wrong = [
        "",
        "10",
        "-5m",
        "0s",
        "0.0h",
        "500ms",
        "999ms",
        "1.5s",
        "0.0001h",
        "1h30m0.5s",
        "1d",
        "ten minutes",
        "1h 30m",
        "10m\n",
        "100000h",
        "3000000h",
        &"1m".repeat(20),
    ];
    for (number, field) in ["terminationGracePeriod", "maxLifetime", "maxIdle", "ttlAfterEnded"].iter().enumerate() {
        for (place, value) in wrong.iter().enumerate() {
            let spec = json!({"sessionId": "one", *field: value});
            let said = refused_new(&world, &format!("wrong-{number}-{place}"), spec).await;
            assert!(
                said.contains(&format!("{field} is a duration in whole seconds, from 1s to 99999h, such")),
                "{value}: {said}"
            );
            assert_eq!(said.trim().lines().count(), 1, "{value}: {said}");
        }
    }
    let spec = json!({"start": {}, "workGroupRef": {"name": "spark"}, "maxIdle": "ten minutes"});
    assert_eq!(refused_new(&world, "wrong", spec).await.trim().lines().count(), 1);
    // The parser takes no longer text.
    let said = refused_new(&world, "wrong", json!({"sessionId": "one", "ttlAfterEnded": "1h1m1h1m1h1m1h1m1s"})).await;
    assert!(one_line(&said).ends_with("ttlAfterEnded has 16 characters at the most"), "{said}");
    for (place, value) in
        ["1s", "1000ms", "1.5h", "0.5m", "1h30m", "720h", "90s", "99999h", "99999h59m59s"].iter().enumerate()
    {
        let spec = json!({"sessionId": "one", "maxIdle": value, "maxLifetime": value, "terminationGracePeriod": value,
                          "ttlAfterEnded": value});
        world.create(&format!("right-{place}"), spec).await;
    }
    world.edit("right-0", json!({"maxIdle": "3h", "maxLifetime": null})).await;
}

#[tokio::test]
async fn what_is_started_has_a_max_idle_that_athena_can_keep() {
    let world = World::new().await;
    let started = |idle: &str| json!({"start": {}, "workGroupRef": {"name": "spark"}, "maxIdle": idle});
    for (place, idle) in ["59s", "481m"].iter().enumerate() {
        let said = refused_new(&world, &format!("wrong-{place}"), started(idle)).await;
        assert!(said.contains("with start, maxIdle is 1m to 8h"), "{idle}: {said}");
    }
    for (place, idle) in ["1m", "8h"].iter().enumerate() {
        world.create(&format!("right-{place}"), started(idle)).await;
    }
    assert!(refused(&world, "right-0", json!({"maxIdle": "9h"})).await.contains("with start, maxIdle is 1m to 8h"));
}

/// An empty name breaks several rules, and is reported as one mistake.
#[tokio::test]
async fn a_name_that_nothing_can_have_is_refused_in_one_line() {
    let world = World::new().await;
    let with = |field: &str, value: Value| {
        let mut spec = json!({"start": {}, "workGroupRef": {"name": "spark"}});
        spec[field] = value;
        spec
    };
    let job = |name: &str| with("endWith", json!([{"kind": "Job", "name": name}]));
    let role = |role: &str| with("start", json!({"executionRole": role}));
    let (workload, job_name) =
        ("name can't be the name of a Job or a Pod", "the name of a Job has 63 characters at the most");
    for (number, (spec, sentence)) in [
        (with("workGroupRef", json!({"name": ""})), REFERENCE),
        (with("publishTo", json!({"configMapName": ""})), "configMapName can't be the name of a ConfigMap"),
        (job(""), workload),
        (job("two words"), workload),
        (job(&"x".repeat(64)), job_name),
        (role(""), "executionRole is the ARN of an IAM role"),
        (role("x"), "executionRole is the ARN of an IAM role"),
    ]
    .into_iter()
    .enumerate()
    {
        let said = refused_new(&world, &format!("wrong-{number}"), spec.clone()).await;
        assert!(one_line(&said).contains(sentence), "{spec}: {said}");
    }
    world.create("longest-job", job(&"x".repeat(63))).await;
    let pod = json!([{"kind": "Pod", "name": "x".repeat(253)}]);
    world.create("longest-pod", with("endWith", pod)).await;
    // The rule of the API server for names.
    let container = json!({"name": "main", "image": "none"});
    for (length, is_taken) in [(63, true), (64, false)] {
        let pod = json!({"spec": {"restartPolicy": "Never", "containers": [container]}});
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": pod},
                         "metadata": {"name": "x".repeat(length), "namespace": world.namespace}});
        let said = answer(&world, &["create", "--dry-run=server", "-f", "-"], &job).await;
        assert_eq!(said == TAKEN, is_taken, "{length}: {said}");
    }
}

/// `kubectl apply` refuses what Athena would refuse, by Athena's service model.
#[tokio::test]
async fn what_athena_would_refuse_to_start_is_refused_at_apply_time() {
    let world = World::new().await;
    let long = "x".repeat(601);
    let many: serde_json::Map<_, _> = (0..41).map(|n| (format!("key-{n}"), json!("value"))).collect();
    let s3 = |place: &str| json!({"monitoringConfiguration": {"s3LoggingConfiguration": {"enabled": true, "logLocation": place}}});
    let wrong = [
        (json!({"description": ""}), "description"),
        (json!({"description": long}), "description"),
        (json!({"description": "[athena-operator a b/c d]"}), "marks the operator's own sessions"),
        (json!({"tags": {"athena-operator.dev/uid": "x"}}), "belong to the operator"),
        (json!({"tags": {"aws:x": "x"}}), "belong to the operator and to AWS"),
        (json!({"tags": {"AWS:x": "x"}}), "belong to the operator and to AWS"),
        (json!({"tags": {"team": "a", "aWs:": "x"}}), "belong to the operator and to AWS"),
        (json!({"tags": many}), "tags"),
        (json!({"tags": {"x": "y".repeat(257)}}), "a tag's key"),
        (json!({"executionRole": "arn:aws:iam::1:role/x-x-x-x-x"}), "the ARN of an IAM role"),
        (json!({"engineConfiguration": {"maxConcurrentDpus": 1}}), "maxConcurrentDpus"),
        (json!({"engineConfiguration": {"maxConcurrentDpus": 5001}}), "maxConcurrentDpus"),
        (json!({"engineConfiguration": {"coordinatorDpuSize": 2}}), "coordinatorDpuSize"),
        (json!({"engineConfiguration": {"sparkProperties": {"": "x"}}}), "a key has 1 to 255"),
        (json!({"engineConfiguration": {"classifications": [{"properties": {}}]}}), "name"),
        (
            json!({"engineConfiguration": {"additionalConfigs": {"NotebookId": "n"}}}),
            "NotebookId needs notebookVersion",
        ),
        (json!({"notebookVersion": ""}), "notebookVersion"),
        (s3("https://bucket"), "such as s3://bucket/prefix/"),
        (json!({"monitoringConfiguration": {"cloudWatchLoggingConfiguration": {"logGroup": "x"}}}), "enabled"),
    ];
    for (number, (start, word)) in wrong.into_iter().enumerate() {
        let spec = json!({"start": start, "workGroupRef": {"name": "spark"}});
        let said = refused_new(&world, &format!("wrong-{number}"), spec).await;
        assert!(said.contains(word), "{start}: {said}");
    }
    let right = json!({
        "description": "nightly report", "tags": {"team": "a", "aws": "b", "x/aws:y": "c"}, "copyWorkGroupTags": true,
        "executionRole": "arn:aws:iam::123456789012:role/spark",
        "engineConfiguration": {
            "maxConcurrentDpus": 20, "classifications": [{"name": "spark-defaults", "properties": {"a": "b"}}],
            "additionalConfigs": {"NotebookId": "n"},
        },
        "notebookVersion": "Athena notebook version 1",
        "monitoringConfiguration": {"s3LoggingConfiguration": {"enabled": true, "logLocation": "s3://bucket/logs/"}},
    });
    world.create("right", json!({"start": right, "workGroupRef": {"name": "spark"}})).await;
}

#[tokio::test]
async fn a_session_id_has_1_to_256_characters_and_no_white_space() {
    let world = World::new().await;
    let ids = [
        (String::new(), false),
        ("x".repeat(256), true),
        ("x".repeat(257), false),
        ("copied ".to_owned(), false),
        ("two\nlines".to_owned(), false),
    ];
    for (number, (id, taken)) in ids.into_iter().enumerate() {
        let manifest = json!({
            "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
            "metadata": {"name": format!("id-{number}"), "namespace": world.namespace}, "spec": {"sessionId": id},
        });
        let output = world.plane.kubectl_with(&["apply", "-f", "-"], &manifest.to_string()).await.unwrap();
        assert_eq!(output.status.success(), taken, "{id:?}");
    }
}

/// The reference can't be changed in two steps either, by removing it first.
#[tokio::test]
async fn a_work_group_ref_may_be_set_once() {
    let world = World::new().await;
    world.create("bare", json!({"sessionId": "one"})).await;
    world.edit("bare", json!({"workGroupRef": {"name": "first"}})).await;
    world.create("born", json!({"sessionId": "one", "workGroupRef": {"name": "first"}})).await;
    let sentence = "workGroupRef can't change, nor be removed: it may be set once; create another AthenaSession for another work group";
    for name in ["bare", "born"] {
        for other in [json!({"name": "second"}), json!(null)] {
            let said = refused(&world, name, json!({"workGroupRef": other})).await;
            assert!(one_line(&said).ends_with(&format!("spec.workGroupRef: Invalid value: {sentence}")), "{said}");
        }
        let null = r#"[{"op":"replace","path":"/spec/workGroupRef","value":null}]"#;
        let output = world.kubectl(&["patch", "ats", name, "--type=json", "-p", null]).await;
        assert!(!output.status.success(), "null is none");
        world.edit(name, json!({"workGroupRef": {"name": "first"}, "terminate": true})).await;
        let said = refused(&world, name, json!({"sessionId": "two"})).await;
        assert!(one_line(&said).contains("sessionId can't change"), "{said}");
    }
    for (reference, message) in [
        (json!({}), "spec.workGroupRef.name: Required value"),
        (json!({"name": ""}), REFERENCE),
        (json!({"name": "x".repeat(254)}), "spec.workGroupRef.name: Too long: may not be more than 253 bytes"),
        (json!({"name": "Team-A"}), REFERENCE),
        (json!({"name": "team_a"}), REFERENCE),
        (json!({"name": "team-a "}), REFERENCE),
        (json!({"name": "team-a\n"}), REFERENCE),
        (json!({"name": "-team"}), REFERENCE),
        (json!({"name": "team-"}), REFERENCE),
        (json!({"name": "team..a"}), REFERENCE),
        (json!({"name": "team/a"}), REFERENCE),
    ] {
        world.create("fresh", json!({"sessionId": "one"})).await;
        let said = refused(&world, "fresh", json!({"workGroupRef": reference})).await;
        assert!(said.contains(message), "{said}");
        world.delete("fresh").await;
        world.until_gone("fresh").await;
    }
    for (number, name) in ["a", "team-a", "team.a-1", "1", &"x".repeat(253)].into_iter().enumerate() {
        world.create(&format!("well-{number}"), json!({"sessionId": "one", "workGroupRef": {"name": name}})).await;
    }
}

const REFERENCE: &str = "workGroupRef.name can't be the name of an AthenaWorkGroup: \
     write its metadata.name, which has lower-case letters, digits, hyphens and full stops";
const WORK_GROUP_FIXED: &str =
    "workGroup can't change, nor be added or removed: create another AthenaWorkGroup for another work group";
const REGION_FIXED: &str =
    "region can't change, nor be added or removed: create another AthenaWorkGroup for another Region";
const WORK_GROUP: &str =
    "workGroup is a work group's name in Athena: letters, digits, full stops, underscores and hyphens";
const REGION: &str = "region isn't the code of an AWS Region: write it as AWS does, such as eu-west-1 or us-gov-west-1";
const ROLE: &str = "roleArn is the ARN of an IAM role, such as arn:aws:iam::123456789012:role/athena-operator-team-a";
const EXTERNAL_ID: &str = "externalId is as the role's trust policy has it: 2 or more of letters, digits and _+=,.@:/-";
const EXTERNAL_ID_ALONE: &str = "externalId is for assuming a role: set roleArn too";
const SELECTOR: &str =
    "from: Selector needs a selector, and All and None take none; the empty selector, {}, matches each namespace";
const OPERATORS: &str =
    "the operators In and NotIn need values, and Exists and DoesNotExist take none; there is no other operator";
const EXECUTION_ROLES: &str =
    "each of executionRoles is the ARN of an IAM role, such as arn:aws:iam::123456789012:role/spark-team-a";
const TAG_KEYS: &str = "each of tagKeys is the key of a tag: letters, digits, spaces and _.:/=+@-";
const RESERVED_KEYS: &str =
    "tagKeys must not begin with athena-operator.dev/ or aws:, which belong to the operator and to AWS";
const TAKEN: &str = "";

/// The refusal of the API server; [`TAKEN`] where the API server accepts.
async fn answer(world: &World, arguments: &[&str], input: &Value) -> String {
    let output = world.plane.kubectl_with(arguments, &input.to_string()).await.unwrap();
    if output.status.success() { String::new() } else { String::from_utf8(output.stderr).unwrap() }
}

/// The refusal, which must be one line.
fn one_line(said: &str) -> &str {
    let line = said.trim_end();
    assert_eq!(line.lines().count(), 1, "{said}");
    line
}

#[tokio::test]
async fn a_contradictory_work_group_is_refused_with_the_reason() {
    let world = World::new().await;
    let role = "arn:aws:iam::123456789012:role/path/athena";
    let with_labels = json!({"matchLabels": {"team": "a"}});
    for (number, (spec, message)) in [
        (json!({}), TAKEN),
        (json!({"workGroup": "spark.Team_a-1", "region": "eu-west-1"}), TAKEN),
        (json!({"workGroup": "x".repeat(128)}), TAKEN),
        (json!({"workGroup": "x".repeat(129)}), "spec.workGroup: Too long: may not be more than 128 bytes"),
        (json!({"workGroup": ""}), WORK_GROUP),
        (json!({"workGroup": "two words"}), WORK_GROUP),
        (json!({"region": "eu-west-1 "}), REGION),
        (json!({"region": "Frankfurt"}), REGION),
        (json!({"region": "frankfurt"}), REGION),
        (json!({"region": "eu-west"}), REGION),
        (json!({"region": "eu-west-1a"}), REGION),
        (json!({"region": "eu-west-1\n"}), REGION),
        (json!({"region": ""}), REGION),
        (json!({"region": "us-gov-west-1"}), TAKEN),
        (json!({"region": "us-iso-east-1"}), TAKEN),
        (json!({"region": "eusc-de-east-1"}), TAKEN),
        (json!({"region": "cn-north-1"}), TAKEN),
        (json!({"region": "ap-southeast-12"}), TAKEN),
        (json!({"roleArn": role, "externalId": "team-a/1"}), TAKEN),
        (json!({"roleArn": "arn:aws-us-gov:iam::123456789012:role/athena"}), TAKEN),
        (json!({"roleArn": "arn:aws-cn:iam::123456789012:role/athena"}), TAKEN),
        (json!({"externalId": "team-a"}), EXTERNAL_ID_ALONE),
        (json!({"roleArn": role, "externalId": "x"}), EXTERNAL_ID),
        (json!({"roleArn": role, "externalId": "two words"}), EXTERNAL_ID),
        (json!({"roleArn": "athena-operator-team-a"}), ROLE),
        (json!({"roleArn": "arn:aws:iam::123456789012:user/athena-operator"}), ROLE),
        (json!({"roleArn": "arn:aws:iam::1234:role/athena-operator"}), ROLE),
        (json!({"roleArn": "arn:aws:sts::123456789012:assumed-role/athena/me"}), ROLE),
        (json!({"roleArn": format!("{role}\n")}), ROLE),
        (json!({"roleArn": ""}), ROLE),
        (json!({"start": {"executionRoles": [role, "arn:aws-cn:iam::123456789012:role/spark"]}}), TAKEN),
        (json!({"start": {"executionRoles": ["not an arn"]}}), EXECUTION_ROLES),
        (json!({"start": {"executionRoles": [role, ""]}}), EXECUTION_ROLES),
        (json!({"start": {"executionRoles": ["*"]}}), EXECUTION_ROLES),
        (json!({"start": {"executionRoles": ["arn:aws:iam::123456789012:role/*"]}}), EXECUTION_ROLES),
        (json!({"start": {"tagKeys": ["team", "cost centre", "example.com/a+b=c:d@e_f-1", "größe"]}}), TAKEN),
        (json!({"start": {"tagKeys": ["team", ""]}}), TAG_KEYS),
        (json!({"start": {"tagKeys": ["*"]}}), TAG_KEYS),
        (json!({"start": {"tagKeys": ["team\n"]}}), TAG_KEYS),
        (
            json!({"start": {"tagKeys": ["x".repeat(129)]}}),
            "spec.start.tagKeys[0]: Too long: may not be more than 128 bytes",
        ),
        (json!({"start": {"tagKeys": ["athena-operator.dev/uid"]}}), RESERVED_KEYS),
        (json!({"start": {"tagKeys": ["team", "aws:x"]}}), RESERVED_KEYS),
        (json!({"start": {"tagKeys": ["AWS:x"]}}), RESERVED_KEYS),
        (json!({"namespaces": {}}), TAKEN),
        (json!({"namespaces": {"from": "All"}}), TAKEN),
        (json!({"namespaces": {"from": "Selector", "selector": with_labels}}), TAKEN),
        (json!({"namespaces": {"from": "Selector", "selector": {}}}), TAKEN),
        (json!({"namespaces": {"from": "Selector"}}), SELECTOR),
        (json!({"namespaces": {"selector": with_labels}}), SELECTOR),
        (json!({"namespaces": {"from": "All", "selector": with_labels}}), SELECTOR),
        (json!({"namespaces": {"from": "None", "selector": {}}}), SELECTOR),
        (json!({"namespaces": {"from": "Same"}}), "spec.namespaces.from: Unsupported value"),
    ]
    .into_iter()
    .enumerate()
    {
        let manifest = work_group(&format!("{}-{number}", world.namespace), &spec);
        let said = answer(&world, &["create", "--dry-run=server", "-f", "-"], &manifest).await;
        if message == TAKEN {
            assert_eq!(said, TAKEN, "{spec}");
        } else if message.starts_with("spec.") {
            // The schema refuses this, and kubectl adds that it looked no further.
            assert!(said.contains(message), "{spec}: {said}");
        } else {
            assert!(one_line(&said).ends_with(message), "{spec}: {said}");
        }
    }
}

#[tokio::test]
async fn a_selector_that_cant_be_read_is_refused_with_the_reason() {
    let world = World::new().await;
    for (number, (expression, message)) in [
        (json!({"operator": "In", "values": ["a"]}), TAKEN),
        (json!({"operator": "NotIn", "values": ["a", "b"]}), TAKEN),
        (json!({"operator": "Exists"}), TAKEN),
        (json!({"operator": "DoesNotExist", "values": []}), TAKEN),
        (json!({"operator": "In"}), OPERATORS),
        (json!({"operator": "In", "values": []}), OPERATORS),
        (json!({"operator": "NotIn"}), OPERATORS),
        (json!({"operator": "Exists", "values": ["a"]}), OPERATORS),
        (json!({"operator": "DoesNotExist", "values": ["a"]}), OPERATORS),
        (json!({"operator": "Likes", "values": ["a"]}), OPERATORS),
        (json!({"operator": "in", "values": ["a"]}), OPERATORS),
        (json!({"operator": ""}), OPERATORS),
    ]
    .into_iter()
    .enumerate()
    {
        let mut second = expression.clone();
        second["key"] = json!("team");
        let first = json!({"key": "stage", "operator": "Exists"});
        let selector = json!({"matchLabels": {"team": "a"}, "matchExpressions": [first, second]});
        let spec = json!({"namespaces": {"from": "Selector", "selector": selector}});
        let manifest = work_group(&format!("{}-{number}", world.namespace), &spec);
        let said = answer(&world, &["create", "--dry-run=server", "-f", "-"], &manifest).await;
        if message == TAKEN {
            assert_eq!(said, TAKEN, "{expression}");
        } else {
            assert!(one_line(&said).ends_with(message), "{expression}: {said}");
        }
    }
}

fn work_group(name: &str, spec: &Value) -> Value {
    let metadata = json!({"name": name});
    json!({"apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaWorkGroup", "metadata": metadata, "spec": spec})
}

#[tokio::test]
async fn a_name_longer_than_athenas_needs_a_work_group() {
    let world = World::new().await;
    let create = ["create", "--dry-run=server", "-f", "-"];
    let name = |length: usize| format!("{}-{}", world.namespace, "x".repeat(length - world.namespace.len() - 1));
    assert_eq!(answer(&world, &create, &work_group(&name(128), &json!({}))).await, TAKEN);
    assert_eq!(answer(&world, &create, &work_group(&name(129), &json!({"workGroup": "spark"}))).await, TAKEN);
    let said = answer(&world, &create, &work_group(&name(129), &json!({}))).await;
    let sentence = "the object's name is the work group's name in Athena, which has 128 characters at the most: set spec.workGroup";
    assert!(one_line(&said).ends_with(sentence), "{said}");
}

/// S4: for each pair of different values. Two patches can't change them either.
#[tokio::test]
async fn a_work_groups_name_and_region_can_never_change() {
    let world = World::new().await;
    for (field, [first, second], sentence) in
        [("workGroup", ["first", "second"], WORK_GROUP_FIXED), ("region", ["eu-west-1", "eu-west-2"], REGION_FIXED)]
    {
        let values = [json!(null), json!(first), json!(second)];
        for (number, before) in values.iter().enumerate() {
            let name = format!("{}-{}-{number}", world.namespace, field.to_lowercase());
            world
                .plane
                .kubectl_with_ok(&["create", "-f", "-"], &work_group(&name, &json!({field: before})).to_string())
                .await;
            for after in &values {
                let patch = json!({"spec": {field: after, "roleArn": "arn:aws:iam::123456789012:role/r"}}).to_string();
                let said = answer(&world, &["patch", "atwg", &name, "--type=merge", "-p", &patch], &Value::Null).await;
                if before == after {
                    assert_eq!(said, TAKEN, "the same {field}, and something else that may change");
                } else {
                    assert!(one_line(&said).ends_with(sentence), "{before} to {after}: {said}");
                }
            }
            world.plane.kubectl_ok(&["delete", "atwg", &name]).await;
        }
    }
}

#[tokio::test]
async fn kubectl_shows_and_explains_the_kind() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("shown", "IDLE").await;
    world.until_reason("shown", "Running").await;
    let table = world.plane.kubectl_ok(&["get", "ats", "-n", &world.namespace]).await;
    let words = |line: usize| table.lines().nth(line).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(words(0), ["NAME", "STATE", "ACTIVE", "REASON", "WORKGROUP", "AGE"]);
    assert_eq!(words(1)[..5], ["shown", "IDLE", "True", "Running", "primary"]);
    // The AthenaWorkGroups of other tests have this category, too.
    let category = world.plane.kubectl_ok(&["get", "athena", "-n", &world.namespace, "-o", "name"]).await;
    assert!(category.contains("athenasession.athena-operator.dev/shown\n"), "{category}");
    let wide = world.plane.kubectl_ok(&["get", "ats", "-n", &world.namespace, "-o", "wide"]).await;
    assert!(wide.contains("IDLE SINCE") && wide.contains("STARTED") && wide.contains(&id));

    let explained = world.plane.kubectl_ok(&["explain", "athenasession.spec", "--recursive=false"]).await;
    for said in
        ["sessionId", "1 to 256 characters", "can't be undone", "Default: Terminate", "keeps running and is billed"]
    {
        assert!(
            explained.split_whitespace().collect::<Vec<_>>().join(" ").contains(said),
            "{said} isn't in:\n{explained}"
        );
    }
    for (path, said) in [
        ("athenaworkgroup.spec.start.monitoring", "Default: Forbidden"),
        ("athenasession.spec.endWith", "It may change at any time"),
        ("athenasession.spec.terminationGracePeriod", "a deletion, terminate, endWith or maxLifetime"),
        ("athenasession.spec.maxLifetime", "`90m`, `8h` or `1h30m`; there are no days"),
        ("athenasession.spec.ttlAfterEnded", "up to 16 characters, such as `90m`, `24h` or `1h30m`"),
        ("athenasession.status.terminationReason", "MaxLifetime, MaxIdle or WorkGroupLimit"),
        ("athenaworkgroup.spec.limits.maxLifetime", "with the reason WorkGroupLimit"),
        ("athenasession.status.workloads.outcome", "Completed, Failed or Gone"),
    ] {
        let explained = world.plane.kubectl_ok(&["explain", path]).await;
        let words = explained.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(said), "{said} isn't in:\n{explained}");
    }
    world
        .plane
        .kubectl_ok(&["wait", "--for=condition=Active", "ats/shown", "-n", &world.namespace, "--timeout=10s"])
        .await;
    world.edit("shown", json!({"terminate": true})).await;
    world.until_reason("shown", "Ended").await;
    let wide = world.plane.kubectl_ok(&["get", "ats", "-n", &world.namespace, "-o", "wide"]).await;
    let lines: Vec<_> = wide.lines().map(str::trim_end).collect();
    assert!(lines[0].ends_with("END REASON") && lines[1].ends_with("RequestedBySpec"), "{wide}");
}
