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

/// Two slots: a and b have them, c, d and e wait.
fn line() -> SessionQuotas {
    let quotas = SessionQuotas::default();
    for object in [has_started("a", 0), has_started("b", 1), waits("e", 4), waits("d", 3), waits("c", 2)] {
        assert!(quotas.applied(&object, Some(2)).is_empty());
    }
    quotas
}

fn opened(object: &Session) -> AthenaSession {
    object.open().expect("legible")
}

/// Which objects have the two slots, and how many wait before the object; None where there is a slot for it.
fn exceeded_for(quotas: &SessionQuotas, object: &Session) -> Option<(Vec<String>, usize)> {
    match quotas.slot(&opened(object), 2) {
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
        let quotas = SessionQuotas::default();
        for object in [object("older", "team-a", 0, &status), waits("younger", 1)] {
            quotas.applied(&object, Some(1));
        }
        matches!(quotas.slot(&opened(&waits("younger", 1)), 1), Slot::Free)
    };
    assert_eq!((reconciling("WaitingForWorkload"), reconciling("WaitingForCapacity")), (true, false));
}

/// Whether the object has a slot then.
fn reserve(quotas: &SessionQuotas, object: &Session) -> bool {
    quotas.reserve(&opened(object), 2);
    quotas.slot(&opened(object), 2) == Slot::Held
}

fn report_usage(quotas: &SessionQuotas, object: &Session, usage: Usage) -> Vec<String> {
    names(quotas.report_usage(&opened(object), usage, Some(2)))
}

fn is_refused(name: &str, minute: u32) -> Session {
    let stalled = json!([{"type": "Stalled", "status": "True"}]);
    let attempt = json!({"at": "2026-01-01T00:00:00Z", "outcome": "Refused"});
    object(name, "team-a", minute, &json!({"startAttempt": attempt, "conditions": stalled}))
}

#[test]
fn an_end_wakes_just_the_first_in_the_line() {
    let quotas = line();
    assert_eq!(exceeded_for(&quotas, &waits("c", 2)), taken_by(&["a", "b"], 0));
    assert_eq!(exceeded_for(&quotas, &waits("e", 4)), taken_by(&["a", "b"], 2));
    assert_eq!(names(quotas.applied(&has_ended("a", 0), Some(2))), ["c"]);
    // Told once more it frees nothing more.
    assert!(quotas.applied(&has_ended("a", 0), Some(2)).is_empty());
    assert!(quotas.deleted(&has_ended("a", 0), Some(2)).is_empty());
    assert!(reserve(&quotas, &waits("c", 2)));
    // What is reserved is taken, whatever the watch shows.
    assert_eq!(exceeded_for(&quotas, &waits("d", 3)), taken_by(&["b", "c"], 0));
    assert_eq!(names(quotas.deleted(&has_started("b", 1), Some(2))), ["d"]);
}

#[test]
fn to_ask_for_a_place_promises_nothing() {
    let quotas = line();
    quotas.deleted(&has_started("a", 0), Some(2));
    assert_eq!(quotas.slot(&opened(&waits("c", 2)), 2), Slot::Free);
    assert_eq!(names(quotas.deleted(&waits("c", 2), Some(2))), ["d"]);
    assert_eq!(quotas.slot(&opened(&waits("d", 3)), 2), Slot::Free);
}

#[test]
fn of_two_that_reserve_the_last_place_one_has_it() {
    let quotas = SessionQuotas::default();
    for object in [has_started("a", 0), waits("b", 1), waits("c", 1)] {
        quotas.applied(&object, Some(2));
    }
    assert_eq!(quotas.slot(&opened(&waits("b", 1)), 2), Slot::Free);
    assert!(reserve(&quotas, &waits("b", 1)));
    assert!(!reserve(&quotas, &waits("c", 1)));
    assert_eq!(exceeded_for(&quotas, &waits("c", 1)), taken_by(&["a", "b"], 0));
    assert!(reserve(&quotas, &waits("b", 1)), "it has it already");
}

#[test]
fn a_pass_that_knows_of_no_session_makes_room() {
    let quotas = SessionQuotas::default();
    for object in [waits("a", 0), waits("b", 1), waits("c", 2)] {
        quotas.applied(&object, Some(2));
    }
    assert!(reserve(&quotas, &waits("a", 0)) && reserve(&quotas, &waits("b", 1)));
    // Capacity is waited for: it is next.
    assert!(report_usage(&quotas, &waits("a", 0), Usage::Wanted).is_empty());
    assert!(report_usage(&quotas, &waits("a", 0), Usage::MaybeInUse).is_empty());
    assert_eq!(exceeded_for(&quotas, &waits("c", 2)), taken_by(&["a", "b"], 0));
    // It stands in line again, as long as the watch hasn't shown why.
    assert_eq!(report_usage(&quotas, &waits("a", 0), Usage::Unused), ["a"]);
    assert_eq!(names(quotas.applied(&is_refused("a", 0), Some(2))), ["c"]);
    assert!(report_usage(&quotas, &waits("a", 0), Usage::Unused).is_empty());
}

#[test]
fn a_start_that_was_refused_has_to_reserve_again() {
    let quotas = line();
    quotas.deleted(&has_started("a", 0), Some(2));
    assert!(reserve(&quotas, &waits("c", 2)));
    quotas.applied(&is_refused("c", 2), Some(2));
    assert_eq!(report_usage(&quotas, &is_refused("c", 2), Usage::Unused), ["d"]);
    assert!(reserve(&quotas, &waits("d", 3)));
    assert!(!reserve(&quotas, &is_refused("c", 2)));
    assert_eq!(exceeded_for(&quotas, &is_refused("c", 2)), taken_by(&["b", "d"], 0));
}

#[test]
fn a_forged_status_frees_nothing_that_is_known_to_be_taken() {
    let quotas = line();
    quotas.deleted(&has_started("a", 0), Some(2));
    assert!(reserve(&quotas, &waits("c", 2)));
    // An earlier process' session, which this one has seen by now.
    assert!(report_usage(&quotas, &has_started("b", 1), Usage::InUse).is_empty());
    for forged in [has_ended("c", 2), waits("c", 2), is_refused("c", 2), has_ended("b", 1), waits("b", 1)] {
        assert!(quotas.applied(&forged, Some(2)).is_empty());
        assert_eq!(exceeded_for(&quotas, &waits("d", 3)), taken_by(&["b", "c"], 0));
    }
    assert_eq!(report_usage(&quotas, &waits("b", 1), Usage::Unused), ["b"], "its status says that it waits");
}

/// The first reconciliation after a restart knows only what is recorded.
#[test]
fn what_is_recorded_counts_and_gives_no_place() {
    let quotas = line();
    assert_eq!(exceeded_for(&quotas, &waits("c", 2)), taken_by(&["a", "b"], 0));
    assert!(report_usage(&quotas, &has_started("a", 0), Usage::MaybeInUse).is_empty());
    // What may have been started isn't forgotten with its record, and is no right to start it.
    assert!(quotas.applied(&waits("a", 0), Some(2)).is_empty());
    assert_eq!(exceeded_for(&quotas, &waits("c", 2)), taken_by(&["a", "b"], 0));
    assert_eq!(quotas.slot(&opened(&waits("a", 0)), 2), Slot::Free);
    quotas.applied(&has_started("c", 2), Some(2));
    // Of those in doubt the older go first.
    assert_eq!(exceeded_for(&quotas, &has_started("c", 2)), taken_by(&["a", "b"], 0));
    assert!(reserve(&quotas, &has_started("a", 0)) && reserve(&quotas, &has_started("b", 1)));
    assert!(!reserve(&quotas, &has_started("c", 2)));
}

#[test]
fn what_is_let_go_has_no_place_whatever_else_holds_it() {
    for left in [waits("a", 0), has_started("a", 0)] {
        let quotas = line();
        assert!(report_usage(&quotas, &has_started("a", 0), Usage::InUse).is_empty());
        let mut left = left;
        left.meta_mut().deletion_timestamp = left.meta().creation_timestamp.clone();
        left.meta_mut().finalizers = Some(vec![FINALIZER.to_owned(), "example.com/hold".to_owned()]);
        assert!(quotas.applied(&left, Some(2)).is_empty(), "its session is being ended");
        left.meta_mut().finalizers = Some(vec!["example.com/hold".to_owned()]);
        assert_eq!(names(quotas.applied(&left, Some(2))), ["c"]);
        assert!(quotas.deleted(&left, Some(2)).is_empty());
    }
    // Nor does it stand in line.
    let quotas = line();
    let mut left = waits("c", 2);
    left.meta_mut().deletion_timestamp = left.meta().creation_timestamp.clone();
    left.meta_mut().finalizers = None;
    quotas.applied(&left, Some(2));
    assert_eq!(exceeded_for(&quotas, &waits("d", 3)), taken_by(&["a", "b"], 0));
}

#[test]
fn without_a_limit_all_who_wait_are_woken() {
    assert_eq!(names(line().deleted(&has_started("a", 0), None)), ["c", "d", "e"]);
}

#[test]
fn who_leaves_the_line_frees_a_place_for_nobody_else_but_moves_it_on() {
    let quotas = line();
    assert!(quotas.deleted(&waits("c", 2), Some(2)).is_empty());
    assert_eq!(names(quotas.deleted(&has_started("a", 0), Some(2))), ["d"]);
    // A reservation goes with the object.
    assert!(reserve(&quotas, &waits("d", 3)));
    assert_eq!(names(quotas.deleted(&waits("d", 3), Some(2))), ["e"]);
}

#[test]
fn another_namespace_has_places_of_its_own() {
    let quotas = line();
    assert_eq!(exceeded_for(&quotas, &object("x", "team-b", 9, &json!({}))), None);
}

#[test]
fn what_went_unseen_is_dropped_by_the_next_list() {
    let quotas = line();
    report_usage(&quotas, &has_started("a", 0), Usage::InUse);
    quotas.retain(|(_, name)| (name != "a").then(|| format!("team-a/{name}")));
    assert_eq!(exceeded_for(&quotas, &waits("c", 2)), None);
    // Another object has taken the name.
    quotas.retain(|(_, name)| Some(format!("another/{name}")));
    assert_eq!(exceeded_for(&quotas, &waits("z", 9)), None);
    // What is gone reserves nothing.
    assert!(!reserve(&quotas, &waits("c", 2)));
}
