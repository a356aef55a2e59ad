#![allow(clippy::unwrap_used, reason = "a test that can't go on should say where")]

use hyper::Uri;
use k8s_openapi::api::batch::v1::Job;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::rules::rules;
use super::trim::{Keep, Trim};
use super::{About, Asked, with_limit};
use crate::api::cached::CachedSession;
use crate::api::workload::WorkloadObject;
use crate::api::{FINALIZER, PAUSED, START_RESTORED};

fn trimmed(rule: &'static Keep, text: &str, piece: usize) -> String {
    let (mut trim, mut out) = (Trim::by(rule), vec![]);
    text.as_bytes().chunks(piece).for_each(|piece| trim.push(piece, &mut out));
    String::from_utf8(out).unwrap()
}

fn session(value: &Value) -> Value {
    serde_json::from_str(&trimmed(rules("athenasessions", false).unwrap().object, &value.to_string(), 7)).unwrap()
}

fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

#[test]
fn requests_are_told_apart_by_their_paths() {
    let kinds = [
        ("/api/v1/namespaces?&limit=500", "namespaces", About::List),
        ("/api/v1/namespaces/kube-system", "namespaces", About::Object),
        ("/api/v1/namespaces/a/pods?&limit=500&continue=x", "pods", About::List),
        ("/api/v1/namespaces/a/pods/b", "pods", About::Object),
        ("/apis/batch/v1/jobs?&watch=true&timeoutSeconds=290", "jobs", About::Watch),
        ("/apis/athena-operator.dev/v1alpha1/namespaces/a/athenasessions/b/status", "athenasessions", About::Object),
        ("/apis/authentication.k8s.io/v1/selfsubjectreviews", "selfsubjectreviews", About::List),
        ("/version", "", About::Object),
    ];
    for (path, plural, about) in kinds {
        let uri = uri(path);
        let asked = Asked::of(&uri);
        assert_eq!((asked.plural, asked.about), (plural, about), "{path}");
    }
    let page = uri("/api/v1/pods?&limit=500&continue=x%3D");
    assert_eq!(Asked::of(&page), Asked { plural: "pods", about: About::List, limit: Some(500), is_first: false });
    assert_eq!(with_limit(&page, 7), "/api/v1/pods?&limit=7&continue=x%3D");
}

/// A property of JSON texts: values, some large, some deep.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        r#"[a-z"\\{}\[\],: \n\té]{0,20}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        let name = prop_oneof![Just("a".to_owned()), Just("b".to_owned()), r#"[a-z"\\:é]{0,6}"#];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..5).prop_map(Value::from_iter),
        ]
    })
}

static EACH: Keep = Keep::AllMembers(&[("a", &Keep::All)], &Keep::Nothing);
static ALL_MEMBERS: Keep = Keep::AllMembers(&[("a", &Keep::Items(&EACH))], &Keep::All);

/// The same by what serde reads.
fn model(rule: &Keep, value: &Value) -> Option<Value> {
    Some(match (rule, value) {
        (Keep::All, value) => value.clone(),
        (Keep::Nothing, _) => return None,
        (Keep::AllMembers(known, others), Value::Object(members)) => {
            let rule = |name: &str| known.iter().find(|it| it.0 == name).map_or(*others, |it| it.1);
            members.iter().filter_map(|(name, value)| Some((name.clone(), model(rule(name), value)?))).collect()
        }
        (Keep::Items(rule), Value::Array(items)) => items.iter().filter_map(|item| model(rule, item)).collect(),
        (_, value) if value.to_string().len() > 4096 => Value::Null,
        (_, value) => value.clone(),
    })
}

proptest! {
    /// However the text is cut into pieces, and whatever is in it.
    #[test]
    fn what_is_kept_is_what_the_rule_says(value in json_value(), piece in 1..40_usize, pretty: bool) {
        let mut text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        // Where a number ends is seen at what follows.
        text.push('\n');
        let kept: Value = serde_json::from_str(&trimmed(&ALL_MEMBERS, &text, piece)).unwrap();
        prop_assert_eq!(Some(kept), model(&ALL_MEMBERS, &value));
    }
}

proptest! {
    /// A proxy may answer with a page of its own. Whoever parses it says what is wrong, so the text must only come to its end.
    #[test]
    fn a_text_that_is_no_json_comes_to_its_end(text in r#"[ab<>{}\[\],:"\\ \n]{0,40}"#, piece in 1..9_usize) {
        for plural in ["athenasessions", "pods"] {
            let rules = rules(plural, false).unwrap();
            for rule in [rules.object, rules.list, rules.events] {
                trimmed(rule, &text, piece);
            }
        }
    }
}

#[test]
fn the_events_of_a_watch_stay_lines() {
    let event = |name: &str| json!({"type": "ADDED", "object": {"metadata": {"name": name, "labels": {"a": "\n"}}}});
    let text = format!("{}\n{}\n", event("one"), event("two"));
    for piece in [1, 3, 1_000] {
        let kept = trimmed(rules("pods", false).unwrap().events, &text, piece);
        let expected = ["one", "two"].map(|name| json!({"type": "ADDED", "object": {"metadata": {"name": name}}}));
        let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(kept, expected);
    }
}

/// A property of the kinds: what an object is read as doesn't depend on the trimming, as long as it isn't too large.
#[test]
fn an_object_is_read_as_without_trimming() {
    let object = json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
        "metadata": {
            "name": "nightly", "namespace": "team-a", "uid": "u", "resourceVersion": "7", "generation": 2,
            "creationTimestamp": "2026-03-01T03:12:00Z", "deletionTimestamp": "2026-03-01T03:12:00Z",
            "finalizers": ["other.example.com/x", FINALIZER], "managedFields": [{"manager": "kubectl"}],
            "annotations": {PAUSED: "true", START_RESTORED: "true", "note": "x", "meta.helm.sh/release-name": "r"},
            "labels": {"velero.io/restore-name": "daily", "team": "a"},
        },
        "spec": {
            "start": {"engineConfiguration": {"sparkProperties": {"a": "b"}}}, "workGroupRef": {"name": "w"},
            "ttlAfterEnded": "1h", "endWith": [{"kind": "Job", "name": "j"}],
        },
        "status": {"sessionId": "s", "conditions": []},
    });
    let read = |value: Value| format!("{:?}", serde_json::from_value::<CachedSession>(value).unwrap());
    assert_eq!(read(session(&object)), read(object));
}

#[test]
fn a_mark_is_known_however_long_its_value_is() {
    let object =
        json!({"metadata": {"name": "x", "annotations": {PAUSED: "y".repeat(200_000), "z": "y".repeat(9_000)}}});
    assert_eq!(session(&object), json!({"metadata": {"name": "x", "annotations": {PAUSED: ""}}}));
}

#[test]
fn of_many_finalizers_ours_is_kept_and_others_are_seen_to_be_there() {
    let mut finalizers: Vec<_> = (0..50_000).map(|number| format!("example.com/{number}")).collect();
    finalizers.insert(49_000, FINALIZER.to_owned());
    finalizers.push("f".repeat(100_000));
    let kept = session(&json!({"metadata": {"finalizers": finalizers}}));
    let kept = kept["metadata"]["finalizers"].as_array().unwrap();
    assert!(kept.len() < 100, "{}", kept.len());
    assert_eq!((&kept[0], kept.last().unwrap()), (&json!("example.com/0"), &json!(FINALIZER)));
    assert!(kept.contains(&json!("")));
}

#[test]
fn a_large_spec_or_status_is_left_out_and_the_rest_is_kept() {
    let large = "x".repeat(20_000);
    let object = json!({
        "metadata": {"name": "x", "finalizers": [FINALIZER]},
        "spec": {"start": {"description": large}, "workGroupRef": {"name": "w"}, "deletionPolicy": "Retain"},
        "status": {"state": large},
    });
    let packed: CachedSession = serde_json::from_value(session(&object)).unwrap();
    assert!(packed.is_partial() && packed.is_legible() && packed.open().is_err());
    let outline = packed.outline().unwrap();
    assert!(outline.spec.start.is_some() && outline.status.is_none());
    assert_eq!(format!("{:?}", outline.spec.deletion_policy), "Retain");
    let whole = trimmed(rules("athenasessions", true).unwrap().object, &object.to_string(), 100);
    let whole: CachedSession = serde_json::from_str(&whole).unwrap();
    assert_eq!(whole.open().unwrap().spec.start.unwrap().description, Some(large));
}

#[test]
fn a_job_and_a_pod_are_read_as_without_trimming() {
    let time = "2026-03-01T03:12:00Z";
    let job = json!({
        "metadata": {"name": "j", "namespace": "n", "uid": "u", "labels": {"a": "b"}},
        "spec": {"suspend": true, "template": {"spec": {"containers": [{"env": []}]}}},
        "status": {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": time, "message": "x"}]},
    });
    let kept = trimmed(rules("jobs", false).unwrap().object, &job.to_string(), 11);
    let states = [job.to_string(), kept].map(|text| {
        let job: Job = serde_json::from_str(&text).unwrap();
        format!("{:?}", job.state())
    });
    assert_eq!(states[0], states[1]);
    let gates = vec![json!({"name": "example.com/gate"}); 10_000];
    let pod =
        json!({"metadata": {}, "spec": {"schedulingGates": gates, "containers": []}, "status": {"phase": "Failed"}});
    let kept = trimmed(rules("pods", false).unwrap().object, &pod.to_string(), 11);
    assert_eq!(kept, r#"{"metadata":{},"spec":{"schedulingGates":[{}]},"status":{"phase":"Failed"}}"#);
}
