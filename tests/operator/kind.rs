//! The kind as the API server enforces and shows it.

use std::process::Command;

use athena_session_operator::api::reason::{Pace, Reason};
use serde_json::json;

use crate::world::{World, in_checkout};

#[test]
fn the_generated_crds_are_up_to_date() {
    let printed = Command::new(env!("CARGO_BIN_EXE_athena-session-operator")).arg("crds").output().unwrap();
    let committed = std::fs::read_to_string(in_checkout("crds/athena-operator.dev.yaml")).unwrap();
    assert!(printed.status.success());
    assert!(String::from_utf8(printed.stdout).unwrap() == committed, "crds/ is out of date: run `make crds`");
}

#[test]
fn the_table_of_reasons_in_the_docs_is_up_to_date() {
    let file = in_checkout("docs/conditions.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = page.split_once("<!-- reasons -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- /reasons -->").unwrap();
    let made = format!("{before}<!-- reasons -->\n{}<!-- /reasons -->{after}", table_of_reasons());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(file, made).unwrap();
    } else {
        assert!(page == made, "docs/conditions.md is out of date: run `make docs-table`");
    }
}

fn table_of_reasons() -> String {
    let mut table =
        "| reason | meaning | Active | stands | looked at again | Warning |\n|---|---|---|---|---|---|\n".to_owned();
    for row in Reason::TABLE {
        let pace = match row.pace {
            Pace::Fast => "changing",
            Pace::Slow => "steady",
            Pace::BackOff => "back-off",
            Pace::Never => "never",
        };
        let warning = if row.warns { "yes" } else { "" };
        let (word, meaning) = (row.word, row.meaning.trim());
        table += &format!("| `{word}` | {meaning} | {:?} | {:?} | {pace} | {warning} |\n", row.active, row.standing);
    }
    table
}

async fn refused(world: &World, name: &str, spec: serde_json::Value) -> String {
    let patch = json!({"spec": spec}).to_string();
    let output = world
        .plane
        .kubectl(&["patch", "ats", name, "-n", &world.namespace, "--type=merge", "-p", &patch])
        .await
        .unwrap();
    assert!(!output.status.success(), "{patch} was taken");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn what_cant_change_is_refused_at_apply_time_with_the_reason() {
    let world = World::new().await;
    world.create("fixed", json!({"sessionId": "one"})).await;
    assert!(refused(&world, "fixed", json!({"sessionId": "two"})).await.contains("sessionId can't change"));
    assert!(refused(&world, "fixed", json!({"sessionId": null})).await.contains("Required value"));

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

#[tokio::test]
async fn kubectl_shows_and_explains_the_kind() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("shown", "IDLE").await;
    world.until_reason("shown", "Running").await;
    let table = world.plane.kubectl_ok(&["get", "athena", "-n", &world.namespace]).await;
    let words = |line: usize| table.lines().nth(line).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(words(0), ["NAME", "STATE", "ACTIVE", "REASON", "WORKGROUP", "AGE"]);
    assert_eq!(words(1)[..5], ["shown", "IDLE", "True", "Running", "primary"]);
    let wide = world.plane.kubectl_ok(&["get", "ats", "-n", &world.namespace, "-o", "wide"]).await;
    assert!(wide.contains("IDLE SINCE") && wide.contains("STARTED") && wide.contains(&id));

    let explained = world.plane.kubectl_ok(&["explain", "athenasession.spec", "--recursive=false"]).await;
    for said in [
        "sessionId",
        "-required-",
        "1 to 256 characters",
        "can't be undone",
        "Default: Terminate",
        "running and billed",
    ] {
        assert!(
            explained.split_whitespace().collect::<Vec<_>>().join(" ").contains(said),
            "{said} isn't in:\n{explained}"
        );
    }
    world
        .plane
        .kubectl_ok(&["wait", "--for=condition=Active", "ats/shown", "-n", &world.namespace, "--timeout=10s"])
        .await;
}
