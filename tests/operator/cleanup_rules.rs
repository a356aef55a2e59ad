//! `AthenaWorkGroup.spec.cleanup`: which rules the API server refuses, each in one line that says what to do.

use serde_json::{Value, json};

use crate::world::World;

async fn created(world: &World, name: &str, cleanup: Value) -> (bool, String) {
    let object = json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaWorkGroup",
        "metadata": {"name": format!("{}-{name}", world.namespace)},
        "spec": {"workGroup": "spark-team-a", "cleanup": cleanup},
    });
    let output = world.plane.kubectl_with(&["create", "-f", "-"], &object.to_string()).await.unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn rules_without_meaning_are_refused_at_apply() {
    let world = World::new().await;
    let rule = |matches: Value| json!({"rules": [{"name": "it", "match": matches}]});
    let many: Vec<_> =
        (0..51).map(|number| json!({"name": format!("r{number}"), "match": {"orphaned": true}})).collect();
    for (cleanup, words) in [
        (rule(json!({})), "an empty match would match every session: set one or more of"),
        (rule(json!({"orphaned": false})), "an empty match would match every session"),
        (rule(json!({"states": []})), "an empty match would match every session"),
        (rule(json!({"description": ""})), "write ^$ for sessions without a description"),
        (rule(json!({"description": "("})), "missing closing )"),
        (rule(json!({"description": "("})), "description is a regular expression"),
        (rule(json!({"idleFor": "0s"})), "idleFor is a duration in whole seconds, from 1s"),
        (rule(json!({"olderThan": "-1h"})), "olderThan is a duration in whole seconds, from 1s"),
        (rule(json!({"olderThan": "3d"})), "there are no days"),
        (rule(json!({"states": ["IDLING"]})), "states can be CREATING, CREATED, IDLE, BUSY and DEGRADED"),
        (rule(json!({"states": ["TERMINATED"]})), "a session in any other state has ended"),
        (json!({"rules": [{"match": {"orphaned": true}}]}), "a rule needs a name"),
        (json!({"rules": [{"name": "Odd Name", "match": {"orphaned": true}}]}), "a rule needs a name"),
        (
            json!({"rules": [{"name": "a", "match": {"orphaned": true}}, {"name": "a", "match": {"idleFor": "1h"}}]}),
            "two rules have the same name: give each rule a name of its own",
        ),
        (json!({"rules": many}), "must have at most 50 items"),
        (json!({"protect": [{}]}), "an entry of protect has either description or tag"),
        (json!({"protect": [{"description": "x", "tag": "y"}]}), "write two entries for two conditions"),
        (json!({"protect": [{"description": "x", "value": "y"}]}), "value only together with tag"),
        (json!({"protect": [{"description": "[a"}]}), "missing closing ]"),
        (rule(json!({"description": "[a&&b]"})), "Go and Rust read this expression differently"),
        (rule(json!({"description": "^x [^a--b]"})), "neither &&, -- nor ~~"),
        (json!({"protect": [{"description": "[a~~b]"}]}), "Go and Rust read this expression differently"),
        (json!({"protect": [{"description": "x[y][[a]"}]}), "write \\[ for the character ["),
        (json!({"protect": [{"description": "\\<prod"}]}), "write < and > without a backslash"),
        (json!({"mode": "Maybe"}), "DryRun"),
        (json!({"maxTerminationsPerRun": 0}), "greater than or equal to 1"),
        (json!({"maxMatchedPercent": 101}), "less than or equal to 100"),
    ] {
        let (taken, said) = created(&world, "bad", cleanup.clone()).await;
        assert!(!taken && said.contains(words), "{cleanup}: {said}");
    }
}

#[tokio::test]
async fn the_rules_of_the_docs_are_taken_with_their_defaults() {
    let world = World::new().await;
    let cleanup = json!({
        "rules": [
            {"name": "forgotten-dbt",
             "match": {"states": ["IDLE"], "idleFor": "1h", "olderThan": "2h", "description": "^dbt: "}},
            {"name": "lost", "match": {"orphaned": true, "olderThan": "1h"}},
            {"name": "nameless", "match": {"description": "^$", "idleFor": "8h"}},
        ],
        "protect": [{"description": "^prod-"}, {"tag": "team", "value": "risk"}, {"tag": "keep"},
                    {"description": "a&&b--c~~ [[:alpha:]&_-] \\[x"}],
    });
    let (taken, said) = created(&world, "good", cleanup).await;
    assert!(taken, "{said}");
    let name = format!("{}-good", world.namespace);
    let stored = world.group(&name).await.unwrap().spec.cleanup.unwrap();
    assert_eq!((stored.max_terminations_per_run, stored.max_matched_percent, stored.rules.len()), (10, 50, 3));
    world.delete_group(&name).await;
}
