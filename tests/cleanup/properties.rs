//! What holds for any sessions, objects, tags and rules.

use std::collections::{BTreeMap, HashSet};

use athena_session_operator::api::cleanup::{Cleanup, CleanupMode, CleanupRule, KEEP_UNTIL_TAG, Protect, SessionMatch};
use athena_session_operator::athena::marker::Marker;
use athena_session_operator::cleanup::declarations::{Declaration, Declarations, DeclaredSessions};
use athena_session_operator::cleanup::plan::{Judged, RunPlan, Tally};
use athena_session_operator::cleanup::policy::{Policy, Source};
use athena_session_operator::cleanup::verdict::{Judge, Tags, Verdict};
use proptest::prelude::*;

use crate::fixtures::{CLUSTER, NOW, PLACE, Session, marked, session};

/// Everything that a run depends on.
#[derive(Clone, Debug)]
struct Case {
    sessions: Vec<(Session, Tags)>,
    /// The sessions that objects name, and the UIDs of these objects.
    objects: Vec<(String, String)>,
    cleanup: Cleanup,
    seen_before: HashSet<String>,
    used: usize,
}

fn state() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just("IDLE"),
        3 => prop::sample::select(vec!["BUSY", "CREATING", "CREATED", "DEGRADED", "TERMINATING", "TERMINATED", "STRANGE"]),
    ]
}

fn description() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        2 => Just(None),
        3 => "(dbt: |prod-|spark)?[ab]{0,3}".prop_map(Some),
        1 => ("[12]", "[12]").prop_map(|(cluster, uid)| Some(marked(&format!("c{cluster}"), &format!("u{uid}")))),
    ]
}

fn some_tags() -> impl Strategy<Value = Tags> {
    let tag = prop::sample::select(vec![
        ("team", "risk"),
        ("team", "blue"),
        ("keep", ""),
        (KEEP_UNTIL_TAG, "2027-01-01T00:00:00Z"),
        (KEEP_UNTIL_TAG, "2020-01-01T00:00:00Z"),
        (KEEP_UNTIL_TAG, "soon"),
        ("athena-operator.dev/cluster", "c2"),
        ("athena-operator.dev/retained", ""),
    ]);
    let read = prop::collection::vec(tag, 0..2).prop_map(|tags| {
        Tags::Read(tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>())
    });
    prop_oneof![6 => read, 1 => Just(Tags::Unread), 1 => Just(Tags::Unreadable("denied".to_owned()))]
}

fn pattern() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["^dbt: ", "^prod-", "a", "^$", "", "b+$", "("]).prop_map(str::to_owned)
}

fn a_match() -> impl Strategy<Value = SessionMatch> {
    let duration = prop::option::of(prop::sample::select(vec!["1s", "30m", "1h", "2h", "0s", "soon"]));
    let states = prop::collection::vec(prop::sample::select(vec!["IDLE", "BUSY", "DEGRADED", "NONE"]), 0..3);
    (states, duration.clone(), duration, prop::option::of(pattern()), any::<bool>()).prop_map(
        |(states, idle_for, older_than, description, orphaned)| SessionMatch {
            states: states.into_iter().map(str::to_owned).collect(),
            idle_for: idle_for.map(str::to_owned),
            older_than: older_than.map(str::to_owned),
            description,
            orphaned: orphaned && idle_for.is_none(),
        },
    )
}

fn cleanup() -> impl Strategy<Value = Cleanup> {
    let rule = ("[a-c]{0,2}", a_match()).prop_map(|(name, matches)| CleanupRule { name, matches });
    let protect = prop_oneof![
        4 => pattern().prop_map(|text| Protect { description: Some(text), ..Protect::default() }),
        2 => Just(Protect { tag: Some("team".to_owned()), value: Some("risk".to_owned()), ..Protect::default() }),
        1 => Just(Protect::default()),
    ];
    let (rules, protect) = (prop::collection::vec(rule, 0..5), prop::collection::vec(protect, 0..2));
    (rules, protect, 0..4_u32, 0..120_u32).prop_map(|(rules, protect, ends, percent)| Cleanup {
        mode: CleanupMode::DryRun,
        rules,
        protect,
        max_terminations_per_run: ends,
        max_matched_percent: percent,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let sessions = prop::collection::vec((state(), 0..300_i64, description(), some_tags()), 0..25);
    let objects = prop::collection::vec((0..30_usize, 0..5_usize), 0..4);
    (sessions, objects, cleanup(), prop::collection::hash_set(0..30_usize, 0..30), 0..3_usize).prop_map(
        |(sessions, objects, cleanup, seen, used)| Case {
            sessions: sessions
                .into_iter()
                .enumerate()
                .map(|(number, (state, minutes, description, tags))| {
                    let session = session(&format!("s{number}"), state, minutes);
                    let session = match description {
                        Some(text) => session.described(&text),
                        None => session,
                    };
                    (session, tags)
                })
                .collect(),
            objects: objects.into_iter().map(|(named, uid)| (format!("s{named}"), format!("u{uid}"))).collect(),
            cleanup,
            seen_before: seen.into_iter().map(|number| format!("s{number}")).collect(),
            used,
        },
    )
}

impl Case {
    fn declared(&self) -> DeclaredSessions {
        let mut declared = DeclaredSessions::default();
        for (named, uid) in &self.objects {
            declared.add(&Declaration { object: "team-a/x", uid, named: Some(named), ..Declaration::default() }, PLACE);
        }
        declared
    }

    fn judged(&self, policy: &Policy) -> Vec<Judged<'_>> {
        let objects = self.declared();
        let declared_by = |id: &str, marker: Option<&Marker>| objects.declared_by(id, marker);
        let judge = Judge {
            policy,
            declarations: Declarations { cluster: Some(CLUSTER), declared_by: &declared_by },
            now: NOW,
        };
        let judged = self.sessions.iter().map(|(session, tags)| {
            let session = session.listed();
            Judged { verdict: judge.verdict(&session, tags), session, tried_at: None }
        });
        judged.collect()
    }

    fn plan(&self, cleanup: &Cleanup) -> RunPlan {
        let policy = Policy::read(&[Source { owner: "", cleanup: Some(cleanup) }]);
        RunPlan::of(Tally::default(), &self.judged(&policy), &policy, |id| self.seen_before.contains(id), self.used)
    }

    fn ended(&self, cleanup: &Cleanup) -> Vec<&(Session, Tags)> {
        self.plan(cleanup).ends().map(|position| &self.sessions[position]).collect()
    }
}

proptest! {
    #[test]
    fn nothing_declared_or_marked_elsewhere_is_ended(case in case()) {
        for (session, _) in case.ended(&case.cleanup) {
            prop_assert!(case.objects.iter().all(|(named, _)| *named != session.id));
            if let Some(marker) = &session.status.marker {
                prop_assert!(marker.cluster == CLUSTER, "another cluster's session");
                prop_assert!(case.objects.iter().all(|(_, uid)| *uid != marker.uid), "its object exists");
            }
        }
    }

    #[test]
    fn protection_always_wins(case in case()) {
        for (session, tags) in case.ended(&case.cleanup) {
            let Tags::Read(tags) = tags else { panic!("the tags of {session:?} weren't read") };
            prop_assert!(!tags.contains_key("athena-operator.dev/retained"));
            prop_assert!(tags.get(KEEP_UNTIL_TAG).is_none_or(|until| until.starts_with("2020")));
            prop_assert!(session.status.state.as_str() != "STRANGE" && session.status.state.as_str() != "TERMINATING");
            for entry in &case.cleanup.protect {
                let tag = entry.tag.as_ref().and_then(|tag| tags.get(tag));
                prop_assert!(tag.is_none_or(|value| entry.value.as_ref().is_some_and(|protected| protected != value)));
                let pattern = entry.description.as_ref().map(|text| regex::Regex::new(text));
                let text = session.status.description.as_deref().unwrap_or_default();
                prop_assert!(pattern.is_none_or(|pattern| pattern.is_ok_and(|pattern| !pattern.is_match(text))));
                prop_assert!(entry.tag.is_some() || entry.description.is_some(), "an entry that can't be read");
            }
        }
    }

    #[test]
    fn another_protection_never_ends_more(case in case(), text in pattern()) {
        let before = case.plan(&Cleanup { max_terminations_per_run: 1000, ..case.cleanup.clone() });
        let mut cleanup = Cleanup { max_terminations_per_run: 1000, max_matched_percent: 100, ..case.cleanup.clone() };
        cleanup.protect.push(Protect { description: Some(text), ..Protect::default() });
        let after: Vec<_> = case.plan(&cleanup).ends().collect();
        let matched: HashSet<_> = before.turns.iter().map(|(position, _)| *position).collect();
        prop_assert!(after.iter().all(|position| matched.contains(position)));
    }

    #[test]
    fn a_dry_run_says_exactly_what_would_be_ended(case in case()) {
        let enforced = Cleanup { mode: CleanupMode::Enforce, ..case.cleanup.clone() };
        prop_assert_eq!(case.plan(&case.cleanup), case.plan(&enforced));
    }

    #[test]
    fn budget_share_and_two_lists_hold(case in case()) {
        let plan = case.plan(&case.cleanup);
        let ends: Vec<_> = plan.ends().collect();
        prop_assert!(ends.len() + case.used <= (case.cleanup.max_terminations_per_run as usize).max(case.used));
        let share = plan.matched * 100 > plan.tally.live * case.cleanup.max_matched_percent as usize;
        prop_assert!(ends.is_empty() || plan.matched <= 5 || !share);
        prop_assert!(ends.iter().all(|position| case.seen_before.contains(&case.sessions[*position].0.id)));
        let starts: Vec<_> = ends.iter().map(|position| case.sessions[*position].0.status.started_at).collect();
        prop_assert!(starts.is_sorted(), "the oldest first");
    }

    /// The order of the rules decides only which of them is named: the first that matches.
    #[test]
    fn the_order_of_rules_decides_only_which_one_is_named(case in case()) {
        let mut reversed = case.cleanup.clone();
        reversed.rules.reverse();
        prop_assert_eq!(case.plan(&case.cleanup).turns, case.plan(&reversed).turns);
        let policy = Policy::read(&[Source { owner: "", cleanup: Some(&case.cleanup) }]);
        for (position, judged) in case.judged(&policy).iter().enumerate() {
            let Verdict::Matched { rule } = judged.verdict else { continue };
            let named = policy.rule_name(rule);
            let earlier = case.cleanup.rules.iter().take_while(|rule| rule.name != named).cloned().collect();
            let earlier = Cleanup { rules: earlier, ..case.cleanup.clone() };
            let earlier = Policy::read(&[Source { owner: "", cleanup: Some(&earlier) }]);
            prop_assert_eq!(&case.judged(&earlier)[position].verdict, &Verdict::Unmatched);
        }
    }
}
