//! Rules that can't be read. The API server refuses them, but an object of an earlier version may have them.

use athena_session_operator::api::cleanup::{Cleanup, CleanupRule, Protect, SessionMatch};
use athena_session_operator::cleanup::declarations::DeclaredSessions;
use athena_session_operator::cleanup::verdict::Verdict;

use crate::fixtures::{all, described, policy, protect, rule, rules, session, tags, verdict};

/// The faults of these rules.
fn faults(cleanup: &Cleanup) -> Vec<String> {
    policy(cleanup).faults.iter().map(ToString::to_string).collect()
}

#[test]
fn each_fault_is_told_with_its_place_and_what_to_do() {
    let of = |matches: SessionMatch| faults(&rules([rule("it", matches)])).join("; ");
    let text = |text: &str| Some(text.to_owned());
    for (asked, path, words) in [
        (SessionMatch::default(), "rules[0].match:", "an empty match would match every session"),
        (described(""), "rules[0].match.description:", "write ^$ for sessions without a description"),
        (described("("), "rules[0].match.description:", "can't be read: unclosed group"),
        (described("(x{1000}){1000}"), "rules[0].match.description:", "too large"),
        (SessionMatch { idle_for: text("0s"), ..described("x") }, "rules[0].match.idleFor:", "write 90s"),
        (SessionMatch { idle_for: text("-1h"), ..described("x") }, "rules[0].match.idleFor:", "write 90s"),
        (SessionMatch { idle_for: text("500ms"), ..described("x") }, "rules[0].match.idleFor:", "write 90s"),
        (SessionMatch { older_than: text("3d"), ..described("x") }, "rules[0].match.olderThan:", "there are no days"),
        (SessionMatch { older_than: text(&"9".repeat(90)), ..described("x") }, "rules[0].match.olderThan:", "no days"),
        (SessionMatch { states: vec!["IDLING".to_owned()], ..described("x") }, "rules[0].match.states:", "\"IDLING\""),
        (SessionMatch { states: vec!["FAILED".to_owned()], ..described("x") }, "rules[0].match.states:", "\"FAILED\""),
    ] {
        let said = of(asked);
        assert!(said.starts_with(path) && said.contains(words) && !said.contains('\n'), "{said}");
    }
    let names = |names: &[&str]| faults(&rules(names.iter().map(|name| rule(name, described("x")))));
    assert!(names(&[""])[0].starts_with("rules[0].name: a rule needs a name"));
    assert!(names(&["Forgotten"])[0].contains("lower-case letters"));
    assert!(names(&["a", "b", "a"]).iter().all(|said| said.contains("another rule has the name a")));
    assert_eq!(names(&["a", "b", "a"]).len(), 2, "nobody knows which of the two is meant");
    let many: Vec<_> = (0..51).map(|number| format!("r{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(names(&many), ["rules[50]: there are more than 50 rules: write fewer"]);
    assert!(faults(&Cleanup { max_terminations_per_run: 0, ..all() })[0].starts_with("maxTerminationsPerRun:"));
}

#[test]
fn a_rule_that_cant_be_read_protects_what_it_would_have_matched() {
    let with_broken = |matches| policy(&rules([rule("broken", matches), rule("all", described("^"))]));
    let judged = |broken: SessionMatch, id: &str, state: &str| {
        verdict(&with_broken(broken), &DeclaredSessions::default(), &session(id, state, 90), &tags(&[]))
    };
    let asked = SessionMatch { states: vec!["BUSY".to_owned()], ..described("(") };
    let Verdict::Protected { rule, by } = judged(asked.clone(), "a", "BUSY") else { panic!("it isn't protected") };
    assert_eq!((with_broken(asked.clone()).rule_name(rule), by.kind()), ("all", "UnreadableRule"));
    assert_eq!(judged(asked, "a", "IDLE"), Verdict::Matched { rule: 0 }, "the broken rule isn't about this session");
    assert!(
        matches!(judged(SessionMatch::default(), "a", "IDLE"), Verdict::Protected { .. }),
        "it was about each session"
    );
}

#[test]
fn an_entry_of_protect_that_cant_be_read_protects_every_session() {
    for entry in [protect("("), Protect::default(), Protect { value: Some("x".to_owned()), ..Protect::default() }] {
        let policy = policy(&Cleanup { protect: vec![entry], ..all() });
        assert!(!policy.faults.is_empty());
        let found = verdict(&policy, &DeclaredSessions::default(), &session("a", "IDLE", 90), &tags(&[]));
        assert!(matches!(found, Verdict::Protected { .. }), "{found:?}");
    }
}

/// An object that an earlier version, or somebody without the CRD, wrote.
#[test]
fn whatever_stands_in_an_object_it_can_be_read() {
    let read: Cleanup = serde_json::from_value(serde_json::json!({
        "rules": [{}, {"name": "x", "match": {"states": ["?"], "idleFor": "soon"}}], "protect": [{}],
    }))
    .unwrap();
    assert_eq!(read.rules[0], CleanupRule::default());
    assert_eq!((read.max_terminations_per_run, read.max_matched_percent), (10, 50));
    assert_eq!(policy(&read).faults.len(), 4, "{:?}", policy(&read).faults);
}

#[test]
fn a_pattern_that_go_and_rust_read_differently_protects_every_session() {
    for text in
        ["[a&&b]", "x[^a--b]", "[a~~]", "[[a]", "[[:alpha]", "[]&&a]", "[^]--]", r"[\]&&a]", r"a[b]\[[c&&]", r"\<x"]
    {
        let said = faults(&Cleanup { protect: vec![protect(text)], ..all() });
        // Some of these can't be read at all by Rust.
        assert!(said[0].contains("Go and Rust read this") || said[0].contains("can't be read"), "{text}: {said:?}");
        let said = faults(&rules([rule("it", described(text))]));
        assert!(!said.is_empty(), "{text}");
        let policy = policy(&Cleanup { protect: vec![protect(text)], ..all() });
        let found = verdict(&policy, &DeclaredSessions::default(), &session("a", "IDLE", 90), &tags(&[]));
        assert!(matches!(found, Verdict::Protected { .. }), "{text}: {found:?}");
    }
    for text in [
        r"[a&b]",
        "a&&b--c~~d",
        "[[:alpha:]_-]",
        "[^[:^digit:]]",
        r"[\[a]",
        r"\[a&&b]",
        "[]a]&&[^]b]",
        r"\\[<>]--",
        "[a-z&~-]",
    ] {
        let said = faults(&Cleanup { protect: vec![protect(text)], ..rules([rule("it", described(text))]) });
        assert!(said.is_empty(), "{text}: {said:?}");
    }
}
