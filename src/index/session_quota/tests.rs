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
fn line() -> SessionQuotas {
    let places = SessionQuotas::default();
    for object in [has_started("a", 0), has_started("b", 1), waits("e", 4), waits("d", 3), waits("c", 2)] {
        assert!(places.shown(&object, Some(2)).is_empty());
    }
    places
}

fn opened(object: &Session) -> AthenaSession {
    object.open().expect("legible")
}

/// Who has the two places, and how many wait before the object; None where there is one for it.
fn quota_exceeded(places: &SessionQuotas, object: &Session) -> Option<(Vec<String>, usize)> {
    match places.place(&opened(object), 2) {
        Slot::Held | Slot::Free => None,
        Slot::NoneFree(quota_exceeded) => Some((quota_exceeded.holders, quota_exceeded.waiting)),
    }
}

fn taken_by(holders: &[&str], waiting: usize) -> Option<(Vec<String>, usize)> {
    Some((holders.iter().map(|name| (*name).to_owned()).collect(), waiting))
}

/// It has what others wait for no sooner than its workloads may run.
#[test]
fn what_waits_for_its_workloads_waits_in_nobodys_way() {
    let reconciling = |reason: &str| {
        let status = json!({"conditions": [{"type": "Reconciling", "status": "True", "reason": reason}]});
        let places = SessionQuotas::default();
        for object in [object("older", "team-a", 0, &status), waits("younger", 1)] {
            places.shown(&object, Some(1));
        }
        matches!(places.place(&opened(&waits("younger", 1)), 1), Slot::Free)
    };
    assert_eq!((reconciling("WaitingForWorkload"), reconciling("WaitingForCapacity")), (true, false));
}

/// Whether it has a place now.
fn reserve(places: &SessionQuotas, object: &Session) -> bool {
    places.reserve(&opened(object), 2);
    places.place(&opened(object), 2) == Slot::Held
}

fn report_usage(places: &SessionQuotas, object: &Session, usage: Usage) -> Vec<String> {
    names(places.report_usage(&opened(object), usage, Some(2)))
}

fn is_refused(name: &str, minute: u32) -> Session {
    let stalled = json!([{"type": "Stalled", "status": "True"}]);
    let attempt = json!({"at": "2026-01-01T00:00:00Z", "outcome": "Refused"});
    object(name, "team-a", minute, &json!({"startAttempt": attempt, "conditions": stalled}))
}

#[test]
fn an_end_wakes_just_the_first_in_the_line() {
    let places = line();
    assert_eq!(quota_exceeded(&places, &waits("c", 2)), taken_by(&["a", "b"], 0));
    assert_eq!(quota_exceeded(&places, &waits("e", 4)), taken_by(&["a", "b"], 2));
    assert_eq!(names(places.shown(&has_ended("a", 0), Some(2))), ["c"]);
    // Told once more it frees nothing more.
    assert!(places.shown(&has_ended("a", 0), Some(2)).is_empty());
    assert!(places.gone(&has_ended("a", 0), Some(2)).is_empty());
    assert!(reserve(&places, &waits("c", 2)));
    // What is reserved is taken, whatever the watch shows.
    assert_eq!(quota_exceeded(&places, &waits("d", 3)), taken_by(&["b", "c"], 0));
    assert_eq!(names(places.gone(&has_started("b", 1), Some(2))), ["d"]);
}

#[test]
fn to_ask_for_a_place_promises_nothing() {
    let places = line();
    places.gone(&has_started("a", 0), Some(2));
    assert_eq!(places.place(&opened(&waits("c", 2)), 2), Slot::Free);
    assert_eq!(names(places.gone(&waits("c", 2), Some(2))), ["d"]);
    assert_eq!(places.place(&opened(&waits("d", 3)), 2), Slot::Free);
}

#[test]
fn of_two_that_reserve_the_last_place_one_has_it() {
    let places = SessionQuotas::default();
    for object in [has_started("a", 0), waits("b", 1), waits("c", 1)] {
        places.shown(&object, Some(2));
    }
    assert_eq!(places.place(&opened(&waits("b", 1)), 2), Slot::Free);
    assert!(reserve(&places, &waits("b", 1)));
    assert!(!reserve(&places, &waits("c", 1)));
    assert_eq!(quota_exceeded(&places, &waits("c", 1)), taken_by(&["a", "b"], 0));
    assert!(reserve(&places, &waits("b", 1)), "it has it already");
}

#[test]
fn a_pass_that_knows_of_no_session_makes_room() {
    let places = SessionQuotas::default();
    for object in [waits("a", 0), waits("b", 1), waits("c", 2)] {
        places.shown(&object, Some(2));
    }
    assert!(reserve(&places, &waits("a", 0)) && reserve(&places, &waits("b", 1)));
    // Capacity is waited for: it is next.
    assert!(report_usage(&places, &waits("a", 0), Usage::Wanted).is_empty());
    assert!(report_usage(&places, &waits("a", 0), Usage::MaybeInUse).is_empty());
    assert_eq!(quota_exceeded(&places, &waits("c", 2)), taken_by(&["a", "b"], 0));
    // It stands in line again, as long as the watch hasn't shown why.
    assert_eq!(report_usage(&places, &waits("a", 0), Usage::Unused), ["a"]);
    assert_eq!(names(places.shown(&is_refused("a", 0), Some(2))), ["c"]);
    assert!(report_usage(&places, &waits("a", 0), Usage::Unused).is_empty());
}

#[test]
fn a_start_that_was_refused_has_to_reserve_again() {
    let places = line();
    places.gone(&has_started("a", 0), Some(2));
    assert!(reserve(&places, &waits("c", 2)));
    places.shown(&is_refused("c", 2), Some(2));
    assert_eq!(report_usage(&places, &is_refused("c", 2), Usage::Unused), ["d"]);
    assert!(reserve(&places, &waits("d", 3)));
    assert!(!reserve(&places, &is_refused("c", 2)));
    assert_eq!(quota_exceeded(&places, &is_refused("c", 2)), taken_by(&["b", "d"], 0));
}

#[test]
fn a_forged_status_frees_nothing_that_is_known_to_be_taken() {
    let places = line();
    places.gone(&has_started("a", 0), Some(2));
    assert!(reserve(&places, &waits("c", 2)));
    // An earlier process' session, which this one has seen by now.
    assert!(report_usage(&places, &has_started("b", 1), Usage::InUse).is_empty());
    for forged in [has_ended("c", 2), waits("c", 2), is_refused("c", 2), has_ended("b", 1), waits("b", 1)] {
        assert!(places.shown(&forged, Some(2)).is_empty());
        assert_eq!(quota_exceeded(&places, &waits("d", 3)), taken_by(&["b", "c"], 0));
    }
    assert_eq!(report_usage(&places, &waits("b", 1), Usage::Unused), ["b"], "its status says that it waits");
}

/// The first pass after a restart knows only what is recorded.
#[test]
fn what_is_recorded_counts_and_gives_no_place() {
    let places = line();
    assert_eq!(quota_exceeded(&places, &waits("c", 2)), taken_by(&["a", "b"], 0));
    assert!(report_usage(&places, &has_started("a", 0), Usage::MaybeInUse).is_empty());
    // What may have been started isn't forgotten with its record, and is no right to start it.
    assert!(places.shown(&waits("a", 0), Some(2)).is_empty());
    assert_eq!(quota_exceeded(&places, &waits("c", 2)), taken_by(&["a", "b"], 0));
    assert_eq!(places.place(&opened(&waits("a", 0)), 2), Slot::Free);
    places.shown(&has_started("c", 2), Some(2));
    // Of those in doubt the older go first.
    assert_eq!(quota_exceeded(&places, &has_started("c", 2)), taken_by(&["a", "b"], 0));
    assert!(reserve(&places, &has_started("a", 0)) && reserve(&places, &has_started("b", 1)));
    assert!(!reserve(&places, &has_started("c", 2)));
}

#[test]
fn what_is_let_go_has_no_place_whatever_else_holds_it() {
    for left in [waits("a", 0), has_started("a", 0)] {
        let places = line();
        assert!(report_usage(&places, &has_started("a", 0), Usage::InUse).is_empty());
        let mut left = left;
        left.meta_mut().deletion_timestamp = left.meta().creation_timestamp.clone();
        left.meta_mut().finalizers = Some(vec![FINALIZER.to_owned(), "example.com/hold".to_owned()]);
        assert!(places.shown(&left, Some(2)).is_empty(), "its session is being ended");
        left.meta_mut().finalizers = Some(vec!["example.com/hold".to_owned()]);
        assert_eq!(names(places.shown(&left, Some(2))), ["c"]);
        assert!(places.gone(&left, Some(2)).is_empty());
    }
    // Nor does it stand in line.
    let places = line();
    let mut left = waits("c", 2);
    left.meta_mut().deletion_timestamp = left.meta().creation_timestamp.clone();
    left.meta_mut().finalizers = None;
    places.shown(&left, Some(2));
    assert_eq!(quota_exceeded(&places, &waits("d", 3)), taken_by(&["a", "b"], 0));
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
    // A reservation goes with the object.
    assert!(reserve(&places, &waits("d", 3)));
    assert_eq!(names(places.gone(&waits("d", 3), Some(2))), ["e"]);
}

#[test]
fn another_namespace_has_places_of_its_own() {
    let places = line();
    assert_eq!(quota_exceeded(&places, &object("x", "team-b", 9, &json!({}))), None);
}

#[test]
fn what_went_unseen_is_dropped_by_the_next_list() {
    let places = line();
    report_usage(&places, &has_started("a", 0), Usage::InUse);
    places.retain(|(_, name)| (name != "a").then(|| format!("team-a/{name}")));
    assert_eq!(quota_exceeded(&places, &waits("c", 2)), None);
    // Another object has taken the name.
    places.retain(|(_, name)| Some(format!("another/{name}")));
    assert_eq!(quota_exceeded(&places, &waits("z", 9)), None);
    // What is gone reserves nothing.
    assert!(!reserve(&places, &waits("c", 2)));
}
