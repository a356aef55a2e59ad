//! What one run ends: two lists in a row, share, budget, order, and several AthenaWorkGroups on one work group.

use athena_session_operator::api::cleanup::{Cleanup, CleanupMode};
use athena_session_operator::cleanup::declarations::DeclaredSessions;
use athena_session_operator::cleanup::plan::{Judged, RunPlan, Tally, Turn};
use athena_session_operator::cleanup::policy::{Policy, Source};
use athena_session_operator::cleanup::verdict::{Tags, Verdict};

use crate::fixtures::{Session, all, described, policy, protect, rule, rules, session, tags, verdict};

fn forgotten(count: usize, of: usize) -> Vec<Session> {
    let named = |number: usize| {
        let minutes = 60 + i64::try_from(number).unwrap();
        let text = if number < count { "forgotten" } else { "used" };
        session(&format!("s{number}"), "IDLE", minutes).described(text)
    };
    (0..of).map(named).collect()
}

fn cleanup() -> Cleanup {
    rules([rule("forgotten", described("^forgotten"))])
}

fn planned(sessions: &[Session], policy: &Policy, seen: impl Fn(&str) -> bool, used: usize) -> RunPlan {
    let judged: Vec<_> = sessions
        .iter()
        .map(|session| {
            let verdict = verdict(policy, &DeclaredSessions::default(), session, &tags(&[]));
            Judged { session: session.listed(), verdict, tried_at: None }
        })
        .collect();
    RunPlan::of(Tally::default(), &judged, policy, seen, used)
}

#[test]
fn a_session_is_ended_only_after_two_lists_in_a_row() {
    let sessions = forgotten(2, 10);
    let plan = planned(&sessions, &policy(&cleanup()), |id| id == "s1", 0);
    assert_eq!(plan.ends().map(|position| sessions[position].id.as_str()).collect::<Vec<_>>(), ["s1"]);
    assert_eq!((plan.tally.live, plan.matched), (10, 2));
    assert!(plan.turns.contains(&(0, Turn::NextList)));
    assert_eq!(planned(&sessions, &policy(&cleanup()), |_| false, 0).ends().count(), 0);
}

#[test]
fn the_budget_ends_the_oldest_first() {
    let sessions = forgotten(20, 100);
    let budget = Cleanup { max_terminations_per_run: 3, ..cleanup() };
    let ends = |used| -> Vec<_> {
        planned(&sessions, &policy(&budget), |_| true, used).ends().map(|it| sessions[it].id.clone()).collect()
    };
    assert_eq!(ends(0), ["s19", "s18", "s17"]);
    assert_eq!(ends(2), ["s19"], "a run before a restart has used two");
    assert!(ends(3).is_empty() && ends(9).is_empty());
}

#[test]
fn too_large_a_share_ends_nothing() {
    let held = |matched, of| planned(&forgotten(matched, of), &policy(&cleanup()), |_| true, 0).held.is_some();
    assert!(!held(5, 5), "five are few");
    assert!(held(6, 6));
    assert!(!held(6, 12), "half isn't more than half");
    assert!(held(7, 13));
    let plan = planned(&forgotten(6, 6), &policy(&cleanup()), |_| true, 0);
    assert_eq!(plan.ends().count(), 0);
    assert!(plan.held.unwrap().to_string().contains("the rules match 6 of 6 sessions"));
    let raised = Cleanup { max_matched_percent: 100, ..cleanup() };
    assert_eq!(planned(&forgotten(6, 6), &policy(&raised), |_| true, 0).ends().count(), 6);
}

#[test]
fn sessions_that_are_ending_dont_make_the_share_smaller() {
    let mut sessions = forgotten(6, 6);
    sessions.extend((0..100).map(|number| session(&format!("e{number}"), "TERMINATING", 90)));
    let plan = planned(&sessions, &policy(&cleanup()), |_| true, 0);
    assert!(plan.held.is_some() && plan.tally.live == 6);
}

#[test]
fn tags_that_havent_been_read_count_for_the_share_and_end_nothing() {
    let (sessions, policy) = (forgotten(6, 6), policy(&cleanup()));
    let unread: Vec<_> = sessions
        .iter()
        .map(|session| {
            let verdict = verdict(&policy, &DeclaredSessions::default(), session, &Tags::Unread);
            assert_eq!(verdict, Verdict::NeedsTags { rule: 0 });
            Judged { session: session.listed(), verdict, tried_at: None }
        })
        .collect();
    let plan = RunPlan::of(Tally::default(), &unread, &policy, |_| true, 0);
    assert!(plan.held.is_some() && plan.ends().count() == 0);
}

#[test]
fn two_work_groups_on_one_add_up_and_the_smaller_limits_hold() {
    let one = Cleanup {
        mode: CleanupMode::Enforce,
        max_terminations_per_run: 7,
        max_matched_percent: 20,
        protect: vec![protect("^b")],
        ..rules([rule("it", described("^a"))])
    };
    let two =
        Cleanup { mode: CleanupMode::Enforce, max_terminations_per_run: 4, ..rules([rule("it", described("^"))]) };
    let source = |owner, cleanup| Source { owner, cleanup };
    let both = Policy::read(&[source("one", Some(&one)), source("two", Some(&two))]);
    assert!(both.faults.is_empty(), "a name counts within its object");
    assert_eq!((both.enforces, both.max_terminations_per_run, both.max_matched_percent), (true, 4, 20));
    let judged =
        |text| verdict(&both, &DeclaredSessions::default(), &session("s", "IDLE", 9).described(text), &tags(&[]));
    assert_eq!(judged("a"), Verdict::Matched { rule: 0 });
    assert_eq!(judged("c"), Verdict::Matched { rule: 1 });
    assert_eq!((both.rule_name(0), both.rule_name(1)), ("one/it", "two/it"));
    assert!(matches!(judged("b"), Verdict::Protected { rule: 1, .. }), "the protection of one holds for the other");
    let dry = Cleanup { mode: CleanupMode::DryRun, ..two.clone() };
    assert!(!Policy::read(&[source("one", Some(&one)), source("two", Some(&dry))]).enforces);
    assert!(!Policy::read(&[source("one", Some(&one)), source("two", None)]).enforces, "the other one has not agreed");
    assert!(!Policy::read(&[]).enforces || Policy::read(&[]).max_terminations_per_run == 0);
    assert_eq!(planned(&forgotten(3, 3), &policy(&all()), |_| true, 0).turns.len(), 3);
}

/// The share counts what the rules match. While tags can't be read, most sessions that a rule matches by mistake are protected:
/// without them the others would be a small share, and would be ended.
#[test]
fn tags_that_cant_be_read_dont_make_the_share_smaller() {
    let planned = |unreadable: usize, of: usize| {
        let sessions = forgotten(of, of);
        let policy = policy(&cleanup());
        let judged: Vec<_> = sessions
            .iter()
            .enumerate()
            .map(|(number, session)| {
                let tags = if number < unreadable { Tags::Unreadable("throttled".to_owned()) } else { tags(&[]) };
                let verdict = verdict(&policy, &DeclaredSessions::default(), session, &tags);
                Judged { session: session.listed(), verdict, tried_at: None }
            })
            .collect();
        RunPlan::of(Tally::default(), &judged, &policy, |_| true, 0)
    };
    let plan = planned(60, 100);
    assert_eq!(plan.ends().count(), 0);
    assert!(plan.held.unwrap().to_string().contains("the rules match 100 of 100 sessions"));
    assert_eq!(plan.matched, 40, "those that nothing protects");
    assert!(planned(100, 100).held.is_none(), "nothing would be ended: the tags are what is told");
    assert!(planned(1, 5).held.is_none(), "few");
}
