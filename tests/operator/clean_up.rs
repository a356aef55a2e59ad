//! Clean-up by the rules of an AthenaWorkGroup: which undeclared sessions are ended, and which aren't.

use std::collections::BTreeSet;
use std::time::Duration;

use fake_athena::{Config, Fault, NewSession};
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::api::{AthenaWorkGroup, FINALIZER};
use crate::launch::{Operator, Start};
use crate::tenancy::{TEAM_A, TEAM_B, Whole, referring};
use crate::world::eventually;

/// Nothing is ended meanwhile, if nothing is to be ended: several complete lists are read.
const SEVERAL_LISTS: Duration = Duration::from_secs(5);

const HOUR: u64 = 3600;

impl Whole {
    /// A session that was forgotten, or looks so but for what is given.
    fn left(&self, session: NewSession) -> String {
        let work_group = Some(session.work_group.unwrap_or_else(|| TEAM_A.to_owned()));
        self.athena.add_session(NewSession { work_group, ..session })
    }

    fn forgotten(&self) -> String {
        self.left(dbt())
    }

    async fn clean(&self, name: &str, cleanup: Value) -> String {
        self.register(name, json!({"workGroup": TEAM_A, "namespaces": {"from": "All"}, "cleanup": cleanup})).await
    }

    async fn until_ended(&self, ids: &[String]) {
        eventually("they have ended", || async {
            ids.iter().all(|id| self.athena_session(id).state == "TERMINATED").then_some(())
        })
        .await;
    }

    /// The sessions that TerminateSession was called for.
    fn ended(&self) -> BTreeSet<String> {
        let calls = self.athena.calls().into_iter().filter(|call| call.operation == "TerminateSession");
        calls.filter_map(|call| call.session).collect()
    }

    async fn until_held(&self, group: &str, reason: &str) -> String {
        let held = |group: &AthenaWorkGroup| {
            let conditions = &group.status.as_ref()?.conditions;
            conditions.iter().find(|it| it.type_ == "CleanupHeld" && it.reason == reason).map(|it| it.message.clone())
        };
        let group = self.until_group(group, reason, |group| held(group).is_some()).await;
        held(&group).unwrap()
    }

    async fn until_matched(&self, group: &str, matched: u32) -> AthenaWorkGroup {
        let is_it = |group: &AthenaWorkGroup| {
            group.status.as_ref().and_then(|status| status.cleanup.as_ref()).is_some_and(|it| it.matched == matched)
        };
        self.until_group(group, &format!("{matched} are matched"), is_it).await
    }
}

fn dbt() -> NewSession {
    NewSession { description: Some("dbt: orders".to_owned()), ..aged() }
}

fn aged() -> NewSession {
    NewSession { age: Duration::from_secs(4 * HOUR), ..NewSession::default() }
}

fn tagged(key: &str, value: &str) -> NewSession {
    NewSession { tags: [(key.to_owned(), value.to_owned())].into(), ..dbt() }
}

fn rules(mode: &str) -> Value {
    json!({
        "mode": mode,
        "rules": [
            {"name": "forgotten-dbt",
             "match": {"states": ["IDLE"], "idleFor": "1h", "olderThan": "2h", "description": "^dbt: "}},
            {"name": "lost", "match": {"orphaned": true, "olderThan": "1h"}},
        ],
        "protect": [{"description": "prod"}, {"tag": "team", "value": "risk"}],
        "maxTerminationsPerRun": 10, "maxMatchedPercent": 100,
    })
}

#[tokio::test]
async fn of_500_sessions_the_37_forgotten_ones_end_and_no_others() {
    let whole = Whole::new().await;
    whole.athena.reconfigure(|config: &mut Config| config.list_lag = Duration::from_millis(700));
    let forgotten: Vec<_> = (0..37).map(|_| whole.forgotten()).collect();
    let cluster = whole.plane.kubectl_ok(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]).await;
    let described = |text: String| NewSession { description: Some(text), ..dbt() };
    for number in 0..463 {
        whole.left(match number % 8 {
            0 => NewSession { state: "BUSY".to_owned(), ..dbt() },
            1 => NewSession { age: Duration::from_secs(HOUR), ..dbt() },
            2 => described("a notebook".to_owned()),
            3 => described("dbt: prod".to_owned()),
            4 => tagged("team", "risk"),
            5 => tagged("athena-operator.dev/keep-until", "2999-01-01T00:00:00Z"),
            6 => described(format!("dbt: x [athena-operator another-cluster team/nightly uid-{number}]")),
            _ => described("dbt: y".to_owned() + if number > 400 { "" } else { " prod" }),
        });
    }
    // Declared, though their objects may not use the work group, or lack a grant.
    let all = whole.athena.sessions().into_iter().filter(|session| session.description.as_deref() == Some("dbt: y"));
    let declared: Vec<_> = all.map(|session| session.id).collect();
    for (number, id) in declared.iter().enumerate() {
        whole.create(&format!("declared-{number}"), json!({"sessionId": id})).await;
    }
    for (operation, fault) in [
        ("ListSessions", Fault::throttled().times(2)),
        ("GetSessionStatus", Fault::internal().times(3)),
        ("ListTagsForResource", Fault::throttled().times(3)),
        ("TerminateSession", Fault::internal().after_effect().times(1)),
        ("TerminateSession", Fault::cut().skip(2).times(2)),
        ("TerminateSession", Fault::throttled().skip(5).times(2)),
    ] {
        whole.athena.fault(fault.on(operation));
    }
    let orphan = whole.left(described(format!("[athena-operator {cluster} {}/gone uid-of-old]", whole.namespace)));
    whole.start(&["--require-work-group"]).await;
    let group = whole.clean("a", rules("Enforce")).await;
    whole.until_ended(&forgotten).await;
    whole.until_ended(std::slice::from_ref(&orphan)).await;
    sleep(SEVERAL_LISTS).await;
    let expected: BTreeSet<_> = forgotten.iter().cloned().chain([orphan]).collect();
    assert_eq!(whole.ended(), expected);
    // What the last run has ended isn't recorded for a minute.
    let recorded = whole.group(&group).await.unwrap().status.unwrap().cleanup.unwrap();
    assert!((20..=38).contains(&recorded.ended), "all runs count: {recorded:?}");

    let log = whole.log();
    let ends: Vec<_> = log.lines().filter(|line| line.contains("\"TerminateSession\"")).collect();
    let told = ends.iter().find(|line| line.contains(&forgotten[0])).unwrap();
    for word in ["forgotten-dbt", "4h", "dbt: orders", TEAM_A] {
        assert!(told.contains(word), "{told}");
    }
    let events = whole.plane.kubectl_ok(&["get", "events", "-A", "--field-selector", "reason=SessionCleanedUp"]).await;
    assert!(events.contains(&format!("athenaworkgroup/{group}")) && events.contains(&forgotten[1]), "{events}");
    let agent = whole.athena.calls().into_iter().find(|call| call.operation == "TerminateSession").unwrap().user_agent;
    assert!(agent.unwrap().contains(&format!("(cleanup {group}/")));
}

/// DryRun tells what Enforce does, and ends nothing. While nothing matches there is no call but for the lists.
#[tokio::test]
async fn a_dry_run_tells_what_enforce_then_ends() {
    let whole = Whole::new().await;
    let young = whole.left(NewSession { age: Duration::from_secs(HOUR), ..dbt() });
    whole.start(&[]).await;
    let group = whole.clean("a", rules("DryRun")).await;
    whole.until_matched(&group, 0).await;
    sleep(Duration::from_secs(3)).await;
    let operations: Vec<_> = whole.operations().into_iter().collect();
    assert_eq!(operations, ["GetWorkGroup", "ListSessions"]);

    let (one, two, prod) = (whole.forgotten(), whole.forgotten(), whole.left(tagged("team", "risk")));
    whole.kill_operator();
    whole.edit_group(&group, json!({"status": null})).await;
    whole.record_of_group(&group, Value::Null).await;
    whole.start(&[]).await;
    let reported = whole.until_group(&group, "both are due", |group| {
        let cleanup = group.status.as_ref().and_then(|status| status.cleanup.as_ref());
        cleanup.is_some_and(|cleanup| (cleanup.matched, cleanup.due) == (2, 2))
    });
    let cleanup = reported.await.status.unwrap().cleanup.unwrap();
    assert_eq!((cleanup.looked_at, cleanup.ended, &cleanup.held, &cleanup.problem), (4, 0, &None, &None));
    assert_eq!(cleanup.protected, [("Tag".to_owned(), 1)].into());
    let told: BTreeSet<_> = cleanup.matched_sessions.iter().map(|session| session.id.clone()).collect();
    assert_eq!(told, [one.clone(), two.clone()].into());
    let first = &cleanup.matched_sessions[0];
    assert_eq!((first.rule.as_str(), first.state.as_str()), (format!("{group}/forgotten-dbt").as_str(), "IDLE"));
    assert_eq!((first.age.as_deref(), first.idle.as_deref()), (Some("4h"), Some("4h")));
    assert_eq!(first.description.as_deref(), Some("dbt: orders"));
    let table = whole.plane.kubectl_ok(&["get", "atwg"]).await;
    assert!(table.contains("MATCHED"), "{table}");
    assert_eq!(whole.ended(), BTreeSet::new());

    whole.edit_group(&group, json!({"spec": {"cleanup": {"mode": "Enforce"}}})).await;
    whole.until_ended(&[one.clone(), two.clone()]).await;
    sleep(SEVERAL_LISTS).await;
    assert_eq!(whole.ended(), [one, two].into());
    for id in [young, prod] {
        assert_eq!(whole.athena_session(&id).state, "IDLE");
    }
}

/// An object that is applied while its session is being looked at for the last time saves the session.
#[tokio::test]
async fn an_object_that_is_applied_in_the_middle_of_a_run_saves_its_session() {
    let whole = Whole::new().await;
    let id = whole.forgotten();
    whole.athena.fault(Fault::delay(Duration::from_millis(2500)).on("GetSessionStatus").session(&id));
    whole.start(&["--require-work-group"]).await;
    whole.clean("a", rules("Enforce")).await;
    let is_looked_at =
        || async { whole.calls_about(&id).iter().any(|it| it.operation == "GetSessionStatus").then_some(()) };
    eventually("the session is looked at", is_looked_at).await;
    // Without a grant.
    whole.create("late", json!({"sessionId": id})).await;
    sleep(SEVERAL_LISTS).await;
    assert_eq!(whole.ended(), BTreeSet::new());
    assert_eq!(whole.athena_session(&id).state, "IDLE");
}

/// A session that goes to work after the list is left alone.
#[tokio::test]
async fn a_session_that_goes_to_work_after_the_list_lives_on() {
    let whole = Whole::new().await;
    let id = whole.forgotten();
    whole.athena.set_state(&id, "BUSY");
    whole.athena.list_as(&id, Some("IDLE"));
    whole.start(&[]).await;
    let rule = json!({"name": "idle", "match": {"states": ["IDLE"], "olderThan": "2h"}});
    whole.clean("a", json!({"mode": "Enforce", "rules": [rule], "maxMatchedPercent": 100})).await;
    sleep(SEVERAL_LISTS).await;
    assert!(!whole.calls_about(&id).is_empty(), "it was looked at");
    assert_eq!(whole.ended(), BTreeSet::new());
}

/// Rules and protections of all AthenaWorkGroups of a work group add up, and Enforce needs all of them.
#[tokio::test]
async fn two_work_groups_for_one_work_group_of_athena_protect_each_others_sessions() {
    let whole = Whole::new().await;
    let (dbt, other) = (whole.forgotten(), whole.left(NewSession { description: Some("mine".to_owned()), ..aged() }));
    let second = whole.register_for_all("second", TEAM_A).await;
    whole.start(&[]).await;
    let group = whole.clean("a", rules("Enforce")).await;
    let message = whole.until_held(&group, "NotEnforcedByAll").await;
    assert!(message.contains(&second), "{message}");
    sleep(SEVERAL_LISTS).await;
    assert_eq!(whole.ended(), BTreeSet::new());
    let theirs = json!({"mode": "Enforce", "rules": [{"name": "mine", "match": {"description": "^mine"}}],
        "protect": [{"description": "^dbt"}]});
    whole.edit_group(&second, json!({"spec": {"cleanup": theirs}})).await;
    whole.until_ended(std::slice::from_ref(&other)).await;
    sleep(SEVERAL_LISTS).await;
    assert_eq!(whole.ended(), [other].into());
    assert_eq!(whole.athena_session(&dbt).state, "IDLE");
}

#[tokio::test]
async fn tags_that_cant_be_read_protect() {
    let whole = Whole::new().await;
    whole.forgotten();
    whole.athena.fault(Fault::error("AccessDeniedException", "not authorized").on("ListTagsForResource").times(1000));
    whole.start(&[]).await;
    let group = whole.clean("a", rules("Enforce")).await;
    let group = whole.until_group(&group, "it is protected", |group| {
        let cleanup = group.status.as_ref().and_then(|status| status.cleanup.as_ref());
        cleanup.is_some_and(|cleanup| cleanup.protected.contains_key("UnreadableTags"))
    });
    let group = group.await.metadata.name.unwrap();
    let message = whole.until_held(&group, "UnreadableTags").await;
    assert!(message.starts_with("The tags of 1 session that rules match can't be read (ListTags"), "{message}");
    sleep(SEVERAL_LISTS).await;
    assert_eq!(whole.ended(), BTreeSet::new());
    assert_eq!(whole.athena.calls_of("ListTagsForResource", None), 1, "the denial isn't asked for again and again");
}

#[tokio::test]
async fn what_holds_clean_up_is_told_and_nothing_is_ended() {
    let whole = Whole::new().await;
    let ids: Vec<_> = (0..6).map(|_| whole.forgotten()).collect();
    whole.left(NewSession { description: None, ..aged() });
    whole.start(&[]).await;
    let group = whole.clean("a", {
        let mut rules = rules("Enforce");
        rules["maxMatchedPercent"] = json!(50);
        rules
    });
    let group = group.await;
    let message = whole.until_held(&group, "TooManyMatched").await;
    let wide = whole.plane.kubectl_ok(&["get", "atwg", &group, "-o", "wide"]).await;
    let row: Vec<_> = wide.lines().last().unwrap().split_whitespace().collect();
    assert!(row.ends_with(&["Enforce", "TooManyMatched"]), "{wide}");
    assert!(message.contains("6 of 7 sessions"), "{message}");
    let events = whole.plane.kubectl_ok(&["get", "events", "-A", "--field-selector", "reason=CleanupHeld"]).await;
    assert!(events.contains(&group), "{events}");
    assert!(whole.log().contains("clean-up is held"));
    whole.kill_operator();
    whole.edit_group(&group, json!({"spec": {"cleanup": {"maxMatchedPercent": 100}}})).await;
    whole.start(&["--read-only"]).await;
    whole.until_held(&group, "ReadOnly").await;
    whole.kill_operator();
    whole.edit_group(&group, json!({"metadata": {"annotations": {"athena-operator.dev/paused": ""}}})).await;
    whole.start(&[]).await;
    whole.until_held(&group, "Paused").await;
    sleep(SEVERAL_LISTS).await;
    assert_eq!(whole.ended(), BTreeSet::new());
    whole.edit_group(&group, json!({"metadata": {"annotations": {"athena-operator.dev/paused": null}}})).await;
    whole.until_ended(&ids).await;
}

/// After a start nothing is ended before two complete lists have been read.
#[tokio::test]
async fn a_restart_needs_two_complete_lists_before_an_end() {
    let whole = Whole::new().await;
    let group = whole.clean("a", rules("Enforce")).await;
    let id = whole.forgotten();
    whole.start(&[]).await;
    whole.until_ended(std::slice::from_ref(&id)).await;
    let calls: Vec<_> = whole.athena.calls().into_iter().map(|call| call.operation).collect();
    let end = calls.iter().position(|operation| operation == "TerminateSession").unwrap();
    let lists = calls[..end].iter().filter(|operation| *operation == "ListSessions").count();
    assert!(lists >= 6, "a complete list takes three calls: {calls:?}");
    let group = whole.group(&group).await.unwrap();
    assert_eq!(group.status.unwrap().cleanup.unwrap().budget.unwrap().reserved, 1, "recorded before the call");
}

/// S6: of two operators one ends sessions, within one budget.
#[tokio::test]
async fn two_operators_share_one_budget() {
    let whole = Whole::new().await;
    let ids: Vec<_> = (0..12).map(|_| whole.forgotten()).collect();
    let mut rules = rules("Enforce");
    rules["maxTerminationsPerRun"] = json!(2);
    whole.clean("a", rules).await;
    let interval = "--poll-interval=3s";
    whole.start(&[interval]).await;
    let start = Start { all_namespaces: true, ..Start::with(&[interval]) };
    let _second = Operator::start(&whole, start).await;
    let began = std::time::Instant::now();
    whole.until_ended(&ids).await;
    // Six runs of two ends; after the second list, the first of them.
    assert!(began.elapsed() >= Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(whole.athena.calls_of("TerminateSession", None), 12, "each once");
}

/// Sessions of another work group, and those that objects of other namespaces started, are nobody's business.
#[tokio::test]
async fn only_the_work_groups_own_undeclared_sessions_count() {
    let whole = Whole::new().await;
    let elsewhere = whole.left(NewSession { work_group: Some(TEAM_B.to_owned()), ..dbt() });
    whole.start(&[]).await;
    let mut spec = json!({"workGroup": TEAM_A, "namespaces": {"from": "All"}, "start": {}});
    spec["cleanup"] = json!({"mode": "Enforce", "maxMatchedPercent": 100,
        "rules": [{"name": "all", "match": {"olderThan": "1s"}}]});
    let group = whole.register("a", spec).await;
    whole.create("started", json!({"start": {}, "workGroupRef": {"name": group}})).await;
    let started = whole.until_reason("started", "Running").await;
    let adopted = whole.session_of(TEAM_A);
    whole.create("adopted", referring(&group, &adopted)).await;
    let gone = whole.forgotten();
    whole.until_ended(std::slice::from_ref(&gone)).await;
    sleep(SEVERAL_LISTS).await;
    assert_eq!(whole.ended(), [gone].into());
    assert!(started.finalizers().iter().any(|name| name == FINALIZER));
    assert_eq!(whole.athena_session(&elsewhere).state, "IDLE");
}

/// A run waits for Athena. AthenaWorkGroups beside it are reconciled meanwhile, however many have rules.
#[tokio::test]
async fn slow_runs_of_many_work_groups_hold_up_no_other() {
    let whole = Whole::new().await;
    let names = ["clean-1", "clean-2", "clean-3", "clean-4"];
    whole.athena.reconfigure(|config: &mut Config| {
        config.work_groups.extend(names.map(fake_athena::WorkGroup::named));
    });
    whole.athena.fault(Fault::hang().on("ListTagsForResource").times(1000));
    whole.start(&[]).await;
    for name in names {
        whole.left(NewSession { work_group: Some(name.to_owned()), ..dbt() });
        let spec = json!({"workGroup": name, "namespaces": {"from": "All"}, "cleanup": rules("Enforce")});
        whole.register(name, spec).await;
    }
    let asked = || {
        let calls = whole.athena.calls().into_iter().filter(|call| call.operation == "ListTagsForResource");
        calls.filter_map(|call| call.session).collect::<BTreeSet<_>>().len()
    };
    eventually("runs wait for Athena", || async { (asked() >= 2).then_some(()) }).await;
    let another = whole.register_for_all("another", TEAM_B).await;
    whole.until_group_reason(&another, "Available").await;
    // Several lists of each work group.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(asked(), 2, "two runs at once at the most");
}

/// The operator of some namespaces doesn't see what is declared in the others.
#[tokio::test]
async fn an_operator_of_some_namespaces_cleans_nothing_up_and_says_so() {
    let whole = Whole::new().await;
    let id = whole.forgotten();
    let group = whole.clean("a", rules("Enforce")).await;
    whole.world.start_operator().await;
    let message = whole.until_held(&group, "NotAllNamespaces").await;
    assert!(message.contains("--watch-namespace"), "{message}");
    assert!(whole.log().contains("the rules of spec.cleanup aren't applied"));
    sleep(SEVERAL_LISTS).await;
    assert_eq!(whole.ended(), BTreeSet::new());
    let kept = whole.group(&group).await.unwrap();
    assert!(kept.finalizers().is_empty() && kept.status.unwrap().account_id.is_none(), "nothing else is written");
    // An operator of all namespaces takes over.
    whole.kill_operator();
    whole.start(&[]).await;
    whole.until_ended(&[id]).await;
    whole
        .until_group(&group, "nothing is held", |group| {
            group.status.as_ref().is_some_and(|status| status.conditions.iter().all(|it| it.type_ != "CleanupHeld"))
        })
        .await;
}
