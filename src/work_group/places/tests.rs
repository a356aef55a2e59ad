use serde_json::{Value, json};

use super::*;
use crate::api::FINALIZER;

fn object(name: &str, namespace: &str, minute: u32, status: &Value) -> Session {
    let object = json!({
        "metadata": {
            "name": name, "namespace": namespace, "uid": format!("{namespace}/{name}"), "finalizers": [FINALIZER],
            "creationTimestamp": format!("2026-01-01T00:{minute:02}:00Z"),
        },
        "spec": {"start": {}, "workGroupRef": {"name": "nightly"}},
        "status": status,
    });
    serde_json::from_value(object).expect("an object")
}

fn waits(name: &str, minute: u32) -> Session {
    object(name, "team-a", minute, &json!({}))
}

fn has_started(name: &str, minute: u32) -> Session {
    object(name, "team-a", minute, &json!({"startAttempt": {"at": "2026-01-01T00:00:00Z", "outcome": "Started"}}))
}

fn has_ended(name: &str, minute: u32) -> Session {
    object(name, "team-a", minute, &json!({"conditions": [{"type": "Terminated", "status": "True"}]}))
}

fn names(keys: Vec<Key>) -> Vec<String> {
    keys.into_iter().map(|(_, name)| name).collect()
}

/// Two places: a and b have them, c, d and e wait.
fn line() -> Places {
    let places = Places::default();
    for object in [has_started("a", 0), has_started("b", 1), waits("e", 4), waits("d", 3), waits("c", 2)] {
        assert!(places.shown(&object, Some(2)).is_empty());
    }
    places
}

fn crowd(places: &Places, object: &Session) -> Option<Vec<String>> {
    places.crowd(&object.open().expect("legible"), 2).map(|crowd| crowd.names)
}

#[test]
fn an_end_wakes_just_the_first_in_the_line() {
    let places = line();
    assert_eq!(crowd(&places, &waits("c", 2)), Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(names(places.shown(&has_ended("a", 0), Some(2))), ["c"]);
    // Told once more it frees nothing more.
    assert!(places.shown(&has_ended("a", 0), Some(2)).is_empty());
    assert!(places.gone(&has_ended("a", 0), Some(2)).is_empty());
    assert_eq!(crowd(&places, &waits("c", 2)), None);
    // What has been promised is taken, whatever the watch shows.
    assert_eq!(crowd(&places, &waits("d", 3)), Some(vec!["b".to_owned(), "c".to_owned()]));
    assert_eq!(names(places.gone(&has_started("b", 1), Some(2))), ["d"]);
}

#[test]
fn without_a_limit_all_who_wait_are_woken() {
    assert_eq!(names(line().gone(&has_started("a", 0), None)), ["c", "d", "e"]);
}

#[test]
fn who_leaves_the_line_frees_a_place_for_nobody_else_but_moves_it_on() {
    let places = line();
    assert!(places.gone(&waits("c", 2), Some(2)).is_empty());
    assert_eq!(names(places.gone(&has_started("a", 0), Some(2))), ["d"]);
    // A promise goes with the object.
    assert_eq!(crowd(&places, &waits("d", 3)), None);
    assert_eq!(names(places.gone(&waits("d", 3), Some(2))), ["e"]);
}

#[test]
fn another_namespace_has_places_of_its_own() {
    let places = line();
    assert_eq!(crowd(&places, &object("x", "team-b", 9, &json!({}))), None);
}

#[test]
fn what_went_unseen_is_dropped_by_the_next_list() {
    let places = line();
    places.retain(|(_, name)| (name != "a").then(|| format!("team-a/{name}")));
    assert_eq!(crowd(&places, &waits("c", 2)), None);
    // Another object has taken the name.
    places.retain(|(_, name)| Some(format!("another/{name}")));
    assert_eq!(crowd(&places, &waits("z", 9)), None);
}
