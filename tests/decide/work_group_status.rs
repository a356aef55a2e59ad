//! The status of an AthenaWorkGroup: conditions, counts of sessions, and found rates.

use std::collections::BTreeMap;

use serde_json::json;

use crate::core::{
    Account, AthenaSession, AthenaSessionSpec, AthenaWorkGroup, AthenaWorkGroupSpec, AthenaWorkGroupStatus, CallError,
    CallerContext, Census, Dependents, ErrorClass, Event, GroupFacts, Kinds, Operation, PAUSED, Reason, due,
    only_counts_differ, rates_in_words,
};
use crate::fixtures::{HOME, REGION, TIMING, at, elsewhere, error, home, seconds};

fn group() -> AthenaWorkGroup {
    AthenaWorkGroup::new("spark", AthenaWorkGroupSpec::default())
}

fn census(idle: u32, declared: u32) -> Census {
    Census { sessions: Some([("IDLE".to_owned(), idle)].into()), declared, ..Census::default() }
}

fn written(
    group: &AthenaWorkGroup,
    scope: &CallerContext,
    census: &Census,
    dependents: Option<&Dependents>,
) -> Option<(AthenaWorkGroupStatus, Vec<Event>)> {
    with_rates(group, scope, census, dependents, &BTreeMap::new())
}

fn with_rates(
    group: &AthenaWorkGroup,
    scope: &CallerContext,
    census: &Census,
    dependents: Option<&Dependents>,
    rates: &BTreeMap<String, String>,
) -> Option<(AthenaWorkGroupStatus, Vec<Event>)> {
    due(&GroupFacts {
        group,
        scope,
        census,
        rates,
        cleanup: None,
        dependents,
        timing: &TIMING,
        wall: at(seconds(0)).wall,
    })
}

/// Dependents of a work group, each given as `namespace/name`.
fn dependents(objects: &[&str]) -> Dependents {
    let mut dependents = Dependents::default();
    for (namespace, name) in objects.iter().filter_map(|object| object.split_once('/')) {
        let mut object = AthenaSession::new(name, AthenaSessionSpec::default());
        object.metadata.namespace = Some(namespace.to_owned());
        dependents.add(&object);
    }
    dependents
}

fn reason(status: &AthenaWorkGroupStatus) -> &str {
    let word = &status.conditions.iter().find(|it| it.type_ == "Ready").unwrap().reason;
    assert_ne!(Reason::from_word(word).unwrap().row().kinds, Kinds::Session, "{word}");
    word
}

/// S4, L2: the account and the Region are recorded, and nothing is written twice.
#[test]
fn the_first_status_records_where_it_is_and_the_second_is_none() {
    let mut group = group();
    let (status, event) = written(&group, &home(), &census(5, 2), None).unwrap();
    assert_eq!((status.work_group.as_deref(), status.region.as_deref()), (Some("spark"), Some(REGION)));
    assert_eq!(status.account_id.as_deref(), Some(HOME));
    assert_eq!((status.declared, status.undeclared, reason(&status)), (Some(2), Some(3), "Available"));
    assert_eq!(event, []);
    group.status = Some(status);
    assert_eq!(written(&group, &home(), &census(5, 2), None), None);
    // Where sessions can't be counted the numbers stay.
    assert_eq!(written(&group, &home(), &Census::default(), None), None);
}

#[test]
fn what_is_worst_is_said_first_and_told_once() {
    let recorded = || {
        let mut group = group();
        group.status = written(&group, &home(), &census(1, 0), None).map(|(status, _)| status);
        group
    };
    let unreadable = || {
        let mut group = recorded();
        let expressions = json!({"matchExpressions": [{"key": "team", "operator": "Like", "values": ["a"]}]});
        group.spec.namespaces = serde_json::from_value(json!({"from": "Selector", "selector": expressions})).unwrap();
        group
    };
    let unknown = CallerContext { account: Account::Unknown("no answer".to_owned()), ..home() };
    let trouble = Census { trouble: Some(error(Operation::ListSessions, ErrorClass::Denied)), ..census(1, 0) };
    let unknown_group =
        Census { trouble: Some(error(Operation::ListSessions, ErrorClass::NotFoundOrInvalid)), ..census(1, 0) };
    for (mut group, scope, census, dependents, expected, told) in [
        (recorded(), CallerContext { region: None, ..home() }, census(1, 0), None, "AwsNotConfigured", true),
        (recorded(), unknown, census(1, 0), None, "AccountUnknown", false),
        (recorded(), elsewhere(), census(1, 0), None, "WrongAccount", true),
        (unreadable(), home(), census(1, 0), None, "InvalidSelector", true),
        (unreadable(), elsewhere(), census(1, 0), None, "WrongAccount", true),
        (recorded(), home(), trouble.clone(), None, "AccessDenied", true),
        (unreadable(), home(), trouble.clone(), None, "InvalidSelector", true),
        (recorded(), home(), unknown_group, None, "WorkGroupUnknown", true),
        (unreadable(), elsewhere(), trouble, Some(&dependents(&["a/one"])), "InUse", false),
    ] {
        let (status, event) = written(&group, &scope, &census, dependents).unwrap();
        assert_eq!((reason(&status), !event.is_empty()), (expected, told), "{group:?}");
        assert_eq!(status.account_id.as_deref(), Some(HOME), "the record isn't replaced");
        group.status = Some(status);
        assert_eq!(written(&group, &scope, &census, dependents), None);
    }
}

#[test]
fn the_first_three_objects_that_hold_a_work_group_are_named() {
    for (objects, said) in [
        (&["b/x"][..], "1 AthenaSession refers to it (b/x), "),
        (&["b/x", "a/y"], "2 AthenaSessions refer to it (a/y, b/x), "),
        (&["b/x", "a/y", "a-b/z"], "3 AthenaSessions refer to it (a/y, a-b/z, b/x), "),
        (&["b/x", "a/y", "a-b/z", "a/x", "c/a"], "5 AthenaSessions refer to it (a/x, a/y, a-b/z and others), "),
    ] {
        let mut group = group();
        let mut objects = objects.to_vec();
        let (status, _) = written(&group, &home(), &census(0, 0), Some(&dependents(&objects))).unwrap();
        let message = &status.conditions[0].message;
        assert!(message.starts_with(said), "{message}");
        group.status = Some(status);
        objects.reverse();
        assert_eq!(written(&group, &home(), &census(0, 0), Some(&dependents(&objects))), None, "nothing changed");
    }
}

#[test]
fn a_pause_is_said_and_doesnt_make_it_unusable() {
    let mut group = group();
    group.metadata.annotations = Some([(PAUSED.to_owned(), "true".to_owned())].into());
    let (status, _) = written(&group, &home(), &census(0, 0), None).unwrap();
    assert_eq!(reason(&status), "Available");
    assert!(status.conditions[0].message.contains(PAUSED));
}

/// L2: counts alone are written rarely.
#[test]
fn only_later_numbers_are_worth_no_write_of_their_own() {
    let mut group = group();
    let first = written(&group, &home(), &Census::default(), None).unwrap().0;
    group.status = Some(first.clone());
    let counted = written(&group, &home(), &census(5, 2), None).unwrap().0;
    assert!(!only_counts_differ(&first, &counted), "the first numbers are news");
    group.status = Some(counted.clone());
    let later = written(&group, &home(), &census(7, 3), None).unwrap().0;
    assert!(only_counts_differ(&counted, &later));
    let trouble = written(&group, &elsewhere(), &census(9, 3), None).unwrap().0;
    assert!(!only_counts_differ(&counted, &trouble));
}

/// L1: the API server refuses no status for its size. Names and counts are bounded where the answers are read.
#[test]
fn a_status_is_small_whatever_athena_says() {
    let (long, name) = ("x".repeat(100_000), "n".repeat(253));
    let mut group = group();
    group.metadata.name = Some(name.clone());
    let many: Vec<_> = (0..2_000).map(|number| format!("{}/{name}{number}", "s".repeat(63))).collect();
    let dependents = dependents(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let rates: BTreeMap<_, _> = [("ListSessions", 1e300), ("GetSession", 5.0)].into();
    for class in [ErrorClass::Denied, ErrorClass::NotFoundOrInvalid, ErrorClass::Unavailable] {
        let trouble = CallError { message: long.clone(), ..error(Operation::ListSessions, class) };
        let census = Census { trouble: Some(trouble), ..census(u32::MAX, 1) };
        let unknown = CallerContext { account: Account::Unknown(long.clone()), ..home() };
        for (scope, dependents) in [(home(), None), (unknown, None), (home(), Some(&dependents))] {
            let (status, _) = with_rates(&group, &scope, &census, dependents, &rates_in_words(&rates)).unwrap();
            let bytes = serde_json::to_string(&status).unwrap().len();
            assert!(bytes < 8_000, "{bytes} bytes");
        }
    }
}

#[test]
fn found_rates_are_told_and_outlive_a_restart() {
    let mut group = group();
    let (first, _) = written(&group, &home(), &census(5, 2), None).unwrap();
    assert!(first.calls_per_second.is_empty(), "the rate to begin with isn't found");
    group.status = Some(first.clone());
    let found = rates_in_words(&BTreeMap::from([("TerminateSession", 18.64), ("ListSessions", 2.44)]));
    let (told, _) = with_rates(&group, &home(), &census(5, 2), None, &found).unwrap();
    assert_eq!(json!(told.calls_per_second), json!({"TerminateSession": "19", "ListSessions": "2.4"}));
    assert!(only_counts_differ(&first, &told), "it isn't worth a write each time");
    group.status = Some(told);
    assert_eq!(with_rates(&group, &home(), &census(5, 2), None, &found), None);
    // The next process hasn't found a rate yet.
    assert_eq!(written(&group, &home(), &census(5, 2), None), None);
}
