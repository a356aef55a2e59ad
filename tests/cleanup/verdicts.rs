//! The verdict on one session.

use athena_session_operator::api::cleanup::{KEEP_UNTIL_TAG, RETAINED_TAG, SessionMatch};
use athena_session_operator::cleanup::declarations::{Declaration, DeclaredSessions};
use athena_session_operator::cleanup::verdict::{ProtectedBy, Tags, Verdict};

use crate::fixtures::{
    CLUSTER, PLACE, Session, all, described, marked, naming, policy, protect, protect_tag, rule, rules, session, tags,
    verdict, verdict_in,
};

fn none() -> DeclaredSessions {
    DeclaredSessions::default()
}

fn matches(matches: SessionMatch, session: &Session) -> bool {
    let policy = policy(&rules([rule("it", matches)]));
    assert!(policy.faults.is_empty(), "{:?}", policy.faults);
    match verdict(&policy, &none(), session, &tags(&[])) {
        Verdict::Matched { rule: 0 } => true,
        Verdict::Unmatched => false,
        verdict => panic!("{verdict:?}"),
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn each_condition_matches_what_it_says() {
    let states = |states: &[&str]| SessionMatch {
        states: states.iter().map(|state| (*state).to_owned()).collect(),
        ..SessionMatch::default()
    };
    let idle_for = |long: &str| SessionMatch { idle_for: text(long), ..SessionMatch::default() };
    let older_than = |long: &str| SessionMatch { older_than: text(long), ..SessionMatch::default() };
    let dbt = session("a", "IDLE", 90).described("dbt: orders");
    for (asked, session, expected) in [
        (states(&["IDLE", "BUSY"]), &dbt, true),
        (states(&["BUSY"]), &dbt, false),
        (older_than("90m"), &dbt, true),
        (older_than("91m"), &dbt, false),
        (idle_for("1h30m"), &dbt, true),
        (idle_for("1h31m"), &dbt, false),
        (described("^dbt: "), &dbt, true),
        (described("^prod-"), &dbt, false),
        (described("orders$"), &dbt, true),
        (described("^$"), &dbt, false),
        (described("^$"), &session("b", "BUSY", 1), true),
        (described("^"), &session("b", "BUSY", 1), true),
        (idle_for("1s"), &session("b", "BUSY", 90), false),
    ] {
        assert_eq!(matches(asked.clone(), session), expected, "{asked:?} {session:?}");
    }
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let asked = SessionMatch {
        states: vec!["IDLE".to_owned()],
        idle_for: text("1h"),
        older_than: text("2h"),
        description: text("^dbt: "),
        orphaned: false,
    };
    let right = session("a", "IDLE", 180).described("dbt: x");
    assert!(matches(asked.clone(), &right));
    let mut young = right.clone();
    young.status.started_at = young.status.started_at.map(|at| at + jiff::SignedDuration::from_mins(61));
    assert!(!matches(asked.clone(), &young));
    let mut fresh = right.clone();
    fresh.status.idle_since = fresh.status.idle_since.map(|at| at + jiff::SignedDuration::from_mins(121));
    assert!(!matches(asked.clone(), &fresh));
    assert!(!matches(asked, &session("a", "IDLE", 180).described("spark: x")));
}

#[test]
fn a_time_that_cant_be_true_is_no_age() {
    let long = SessionMatch { older_than: text("1h"), ..SessionMatch::default() };
    let mut odd = session("a", "IDLE", 180);
    odd.status.started_at = None;
    assert!(!matches(long.clone(), &odd));
    odd.status.started_at = Some("1970-01-01T00:00:01Z".parse().unwrap());
    assert!(!matches(long, &odd), "before Athena existed");
    let mut odd = session("a", "IDLE", 10);
    odd.status.idle_since = odd.status.started_at.map(|at| at - jiff::SignedDuration::from_hours(5));
    assert!(!matches(SessionMatch { idle_for: text("1h"), ..SessionMatch::default() }, &odd), "idle before its start");
}

#[test]
fn the_first_rule_that_matches_is_named() {
    let policy =
        policy(&rules([rule("no", described("^x")), rule("one", described("^dbt")), rule("two", described("^"))]));
    let named =
        |described: &str| match verdict(&policy, &none(), &session("a", "IDLE", 9).described(described), &tags(&[])) {
            Verdict::Matched { rule } => policy.rule_name(rule).to_owned(),
            verdict => panic!("{verdict:?}"),
        };
    assert_eq!((named("dbt"), named("spark")), ("one".to_owned(), "two".to_owned()));
}

#[test]
fn a_session_that_has_ended_or_is_ending_isnt_judged() {
    let policy = policy(&all());
    for state in ["TERMINATED", "FAILED", "TERMINATING"] {
        assert_eq!(verdict(&policy, &none(), &session("a", state, 90), &tags(&[])), Verdict::Ending);
    }
    let by = ProtectedBy::UnknownState("PAUSED".to_owned());
    let odd = verdict(&policy, &none(), &session("a", "PAUSED", 90), &tags(&[]));
    assert_eq!(odd, Verdict::Protected { rule: 0, by });
}

#[test]
fn an_object_that_names_the_session_declares_it() {
    let policy = policy(&all());
    let declared = Verdict::Declared("team-a/nightly".to_owned());
    assert_eq!(verdict(&policy, &naming("a"), &session("a", "IDLE", 90), &tags(&[])), declared);
    assert_eq!(verdict(&policy, &naming("b"), &session("a", "IDLE", 90), &tags(&[])), Verdict::Matched { rule: 0 });
    let recorded = |account, region| {
        let mut objects = none();
        let object = Declaration { object: "team-a/nightly", uid: "u1", recorded: Some("a"), ..Declaration::default() };
        objects.add(&Declaration { recorded_in: (account, region), ..object }, PLACE);
        verdict(&policy, &objects, &session("a", "IDLE", 90), &tags(&[]))
    };
    assert_eq!(recorded(None, None), declared, "it may be here");
    assert_eq!(recorded(Some(PLACE.0), None), declared);
    assert_eq!(recorded(Some(PLACE.0), Some(PLACE.1)), declared);
    assert_eq!(
        recorded(Some("999999999999"), Some(PLACE.1)),
        Verdict::Matched { rule: 0 },
        "another account's session"
    );
    assert_eq!(recorded(None, Some("us-east-1")), Verdict::Matched { rule: 0 }, "another Region's session");
}

#[test]
fn a_mark_declares_a_session_makes_an_orphan_or_protects() {
    let orphaned = rules([rule("lost", SessionMatch { orphaned: true, ..SessionMatch::default() })]);
    let (orphaned, all) = (policy(&orphaned), policy(&all()));
    let ours = session("a", "IDLE", 90).described(&marked(CLUSTER, "u1"));
    let theirs = session("a", "IDLE", 90).described(&marked("c2", "u1"));
    let matched = Verdict::Matched { rule: 0 };
    assert_eq!(verdict(&all, &naming("b"), &ours, &tags(&[])), Verdict::Declared("team-a/nightly".to_owned()));
    assert_eq!(verdict(&orphaned, &none(), &ours, &tags(&[])), matched);
    assert_eq!(verdict(&orphaned, &none(), &theirs, &tags(&[])), Verdict::Unmatched);
    assert_eq!(verdict(&orphaned, &none(), &session("a", "IDLE", 90), &tags(&[])), Verdict::Unmatched);
    let protected = |by| Verdict::Protected { rule: 0, by };
    assert_eq!(verdict(&all, &none(), &theirs, &tags(&[])), protected(ProtectedBy::OtherCluster));
    // Without a cluster nobody knows whether the object is gone.
    assert_eq!(verdict_in(None, &all, &none(), &ours, &tags(&[])), protected(ProtectedBy::Mark));
    assert_eq!(verdict_in(None, &orphaned, &none(), &ours, &tags(&[])), Verdict::Unmatched);
    // The mark stands in tags, too, where somebody has changed the description.
    let bare = session("a", "IDLE", 90);
    let mark = |cluster| tags(&[("athena-operator.dev/cluster", cluster), ("athena-operator.dev/uid", "u1")]);
    assert_eq!(verdict(&all, &naming("b"), &bare, &mark(CLUSTER)), Verdict::Declared("team-a/nightly".to_owned()));
    assert_eq!(verdict(&all, &none(), &bare, &mark(CLUSTER)), matched);
    assert_eq!(verdict(&all, &none(), &bare, &mark("c2")), protected(ProtectedBy::OtherCluster));
    assert_eq!(verdict_in(None, &all, &none(), &bare, &mark(CLUSTER)), protected(ProtectedBy::Mark));
}

#[test]
fn protection_wins_over_every_rule() {
    let mut cleanup = all();
    cleanup.protect = vec![protect("^prod-"), protect_tag("team", Some("risk")), protect_tag("keep", None)];
    let policy = policy(&cleanup);
    let by = |described: &str, with: &[(&str, &str)]| match verdict(
        &policy,
        &none(),
        &session("a", "IDLE", 90).described(described),
        &tags(with),
    ) {
        Verdict::Protected { by, .. } => Some(by.kind()),
        Verdict::Matched { .. } => None,
        verdict => panic!("{verdict:?}"),
    };
    assert_eq!(by("prod-x", &[]), Some("Description"));
    assert_eq!(by("x", &[("team", "risk")]), Some("Tag"));
    assert_eq!(by("x", &[("team", "blue")]), None);
    assert_eq!(by("x", &[("keep", "")]), Some("Tag"));
    assert_eq!(by("x", &[(RETAINED_TAG, "2026-11-01T00:00:00Z")]), Some("Retained"));
    for (until, protects) in [
        ("2026-11-29T00:00:01Z", true),
        ("2026-11-29T02:30:00+02:00", true),
        ("2026-11-28T23:59:59Z", false),
        ("tomorrow", true),
        ("", true),
    ] {
        assert_eq!(by("x", &[(KEEP_UNTIL_TAG, until)]).is_some(), protects, "{until}");
    }
}

#[test]
fn tags_are_asked_for_only_where_they_matter() {
    let policy = policy(&all());
    let session = session("a", "IDLE", 90);
    assert_eq!(verdict(&policy, &none(), &session, &Tags::Unread), Verdict::NeedsTags { rule: 0 });
    let denied = Tags::Unreadable("AccessDeniedException".to_owned());
    let by = ProtectedBy::UnreadableTags("AccessDeniedException".to_owned());
    assert_eq!(verdict(&policy, &none(), &session, &denied), Verdict::Protected { rule: 0, by });
    assert!(matches!(verdict(&policy, &naming("a"), &session, &Tags::Unread), Verdict::Declared(_)));
}

/// Descriptions in ASCII are matched by all patterns in one pass, and others by one pattern after the other.
#[test]
fn patterns_match_alike_whether_a_description_is_ascii_or_not() {
    let patterns = [r"^prod-\w+$", r"\bjob\b", "é"];
    let cleanup = rules(patterns.iter().enumerate().map(|(number, it)| rule(&format!("r{number}"), described(it))));
    for (description, matched) in [
        ("prod-jurgen", Some(0)),
        ("prod-jürgen", Some(0)),
        ("a job of jurgen", Some(1)),
        ("a job of jürgen", Some(1)),
        ("üjob", None),
        ("xjob", None),
        ("café", Some(2)),
    ] {
        let session = session("a", "IDLE", 90).described(description);
        let found = verdict(&policy(&cleanup), &DeclaredSessions::default(), &session, &tags(&[]));
        assert_eq!(found, matched.map_or(Verdict::Unmatched, |rule| Verdict::Matched { rule }), "{description}");
    }
}
