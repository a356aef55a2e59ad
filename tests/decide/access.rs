//! Access: which namespaces a work group selects, what suspends ends, and which object owns a session.

use std::collections::BTreeMap;

use serde_json::json;

use crate::core::{
    Access, AthenaSession, AthenaWorkGroup, AthenaWorkGroupSpec, AthenaWorkGroupStatus, Claim, Denied, Location,
    Namespaces, PAUSED, Rules, Suspension, WorkGroupRef, selects,
};
use crate::fixtures::{HOME, WORK_GROUP, object, seconds, time};

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_work_group_selects_the_namespaces_that_it_says() {
    let team_a = labels(&[("team", "a"), ("stage", "test")]);
    let all = [labels(&[]), team_a, labels(&[("team", "b")])];
    let expression = |operator: &str, values: &[&str]| {
        json!({"from": "Selector", "selector":
        {"matchExpressions": [{"key": "team", "operator": operator, "values": values}]}})
    };
    let exists = |operator: &str| {
        json!({"from": "Selector", "selector":
        {"matchExpressions": [{"key": "team", "operator": operator}]}})
    };
    for (namespaces, expected) in [
        (json!({}), [false, false, false]),
        (json!({"from": "None"}), [false, false, false]),
        (json!({"from": "All"}), [true, true, true]),
        (json!({"from": "Selector"}), [false, false, false]),
        // The empty selector selects all.
        (json!({"from": "Selector", "selector": {}}), [true, true, true]),
        (json!({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}), [false, true, false]),
        (json!({"from": "Selector", "selector": {"matchLabels": {"team": "a", "stage": "x"}}}), [false, false, false]),
        (expression("In", &["a", "b"]), [false, true, true]),
        (expression("NotIn", &["a"]), [true, false, true]),
        (exists("Exists"), [false, true, true]),
        (exists("DoesNotExist"), [true, false, false]),
        // A selector that can't be read selects none.
        (expression("Like", &["a"]), [false, false, false]),
        // `selector` counts only with `from: Selector`.
        (json!({"from": "None", "selector": {}}), [false, false, false]),
    ] {
        let read: Namespaces = serde_json::from_value(namespaces.clone()).unwrap();
        assert_eq!(all.each_ref().map(|labels| selects(&read, labels)), expected, "{namespaces}");
    }
}

fn group(namespaces: serde_json::Value) -> AthenaWorkGroup {
    let namespaces = serde_json::from_value(namespaces).unwrap();
    let spec = AthenaWorkGroupSpec { work_group: Some(WORK_GROUP.to_owned()), namespaces, ..Default::default() };
    let mut group = AthenaWorkGroup::new("spark", spec);
    group.status = Some(AthenaWorkGroupStatus { account_id: Some(HOME.to_owned()), ..Default::default() });
    group
}

fn bound() -> AthenaSession {
    let mut object = object();
    object.spec.work_group_ref = Some(WorkGroupRef { name: "spark".to_owned() });
    object
}

fn paused(value: &str) -> Option<BTreeMap<String, String>> {
    Some(labels(&[(PAUSED, value)]))
}

#[test]
fn a_missing_reference_is_refused_only_where_it_is_required() {
    let of = |require_work_group| Access::of(&object(), None, None, Rules { require_work_group, read_only: false });
    assert_eq!(of(false), Access::default());
    assert_eq!(of(true).denied, Some(Denied::WorkGroupRequired));
}

/// S5: without both there is no grant.
#[test]
fn a_grant_needs_the_work_group_and_the_namespaces_labels() {
    let (none, some) = (Rules::default(), labels(&[("team", "a")]));
    let all = group(json!({"from": "All"}));
    let selected = group(json!({"from": "Selector", "selector": {"matchLabels": {"team": "b"}}}));
    let denied = |group: Option<&AthenaWorkGroup>, labels| Access::of(&bound(), group, labels, none).denied;
    assert_eq!(denied(None, Some(&some)), Some(Denied::WorkGroupNotFound));
    assert_eq!(denied(Some(&selected), Some(&some)), Some(Denied::NamespaceNotAllowed));
    // The watch hasn't shown the namespace yet.
    assert_eq!(denied(Some(&all), None), Some(Denied::NamespaceNotAllowed));
    let access = Access::of(&bound(), Some(&all), Some(&some), Rules { require_work_group: true, read_only: false });
    let expected = Access {
        reference: Some("spark".to_owned()),
        work_group: Some(WORK_GROUP.to_owned()),
        account: Some(HOME.to_owned()),
        ..Access::default()
    };
    assert_eq!(access, expected);
}

#[test]
fn the_strongest_suspension_is_the_one_that_is_told() {
    let mut group = group(json!({"from": "All"}));
    let mut object = bound();
    let suspension = |object: &AthenaSession, group: &AthenaWorkGroup, read_only| {
        Access::of(object, Some(group), None, Rules { require_work_group: false, read_only }).suspension
    };
    assert_eq!(suspension(&object, &group, false), None);
    group.metadata.annotations = paused("false");
    assert_eq!(suspension(&object, &group, false), None);
    // Each value but `false` suspends ends, since a typing error must not end a session.
    for value in ["true", "", "yes", "no", "0", "False"] {
        group.metadata.annotations = paused(value);
        assert_eq!(suspension(&object, &group, false), Some(Suspension::WorkGroupPaused), "{value}");
    }
    object.metadata.annotations = paused("true");
    assert_eq!(suspension(&object, &group, false), Some(Suspension::ObjectPaused));
    // Without --read-only the object would still be paused. So the annotation is reported, and not what read-only
    // holds up.
    assert_eq!(suspension(&object, &group, true), Some(Suspension::ObjectPaused));
}

/// An object of this age and UID.
fn aged(uid: &str, created: u64) -> AthenaSession {
    let mut object = object();
    object.metadata.uid = Some(uid.to_owned());
    object.metadata.creation_timestamp = Some(time(seconds(created)));
    object
}

fn claim_of(object: &AthenaSession) -> Option<Claim> {
    Access::default().claim(object)
}

#[test]
fn the_oldest_object_owns_the_session_then_the_smaller_uid() {
    let claim = |(uid, created): (&str, u64)| claim_of(&aged(uid, created)).unwrap();
    let own = claim(("m", 10));
    for (other, precedes) in [(("a", 11), false), (("z", 9), true), (("a", 10), true), (("z", 10), false)] {
        assert_eq!(claim(other).precedes(&own), precedes, "{other:?}");
    }
}

/// S5: an object without a grant owns nothing.
#[test]
fn a_claim_takes_a_grant_and_something_to_hold_the_object() {
    let refused = Access { denied: Some(Denied::NamespaceNotAllowed), ..Access::default() };
    let closing = Access { is_terminating: true, ..Access::default() };
    for (held, deleted, access, expected) in [
        (true, false, Access::default(), true),
        (false, false, Access::default(), true),
        (true, true, Access::default(), true),
        // The operator's finalizer is gone, and another finalizer holds the object.
        (false, true, Access::default(), false),
        (true, false, refused.clone(), false),
        (false, false, refused, false),
        (true, false, closing.clone(), true),
        (false, false, closing, false),
    ] {
        let mut object = aged("a", 1);
        object.metadata.finalizers.take_if(|_| !held);
        object.metadata.deletion_timestamp = deleted.then(|| time(seconds(5)));
        assert_eq!(access.claim(&object).is_some(), expected, "held {held}, deleted {deleted}, {access:?}");
    }
}

#[test]
fn unknown_accounts_and_regions_may_be_the_same() {
    let domain = |region: &str, account: &str, work_group: &str| {
        let known = |word: &str| (word != "?").then(|| word.to_owned());
        Location { region: known(region), account: known(account), work_group: known(work_group) }
    };
    let one = domain("r", "1", "w");
    for (other, expected) in [
        (domain("r", "1", "w"), true),
        (domain("?", "?", "?"), true),
        (domain("r", "1", "?"), true),
        (domain("r", "?", "w"), true),
        (domain("s", "1", "w"), false),
        (domain("r", "2", "w"), false),
        (domain("r", "1", "v"), false),
        (domain("?", "2", "?"), false),
    ] {
        assert_eq!((one.overlaps(&other), other.overlaps(&one)), (expected, expected), "{other:?}");
    }
}
