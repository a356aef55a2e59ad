//! AthenaWorkGroups with an operator that sees the whole cluster: status, counts, deletion, metrics and probes.

use std::collections::BTreeSet;
use std::time::Duration;

use fake_athena::{Fault, NewSession};
use futures::future::join_all;
use serde_json::json;
use tokio::time::sleep;

use crate::api::AthenaWorkGroup;
use crate::launch::Start;
use crate::probes::{address, ask, until_ready};
use crate::tenancy::{TEAM_A, TEAM_B, Whole, is_kept, ready_of};
use crate::world::{World, condition, eventually, has_finalizer};

const HOME: &str = "123456789012";

#[tokio::test]
async fn the_status_tells_where_it_is_and_how_its_sessions_stand() {
    let whole = Whole::new().await;
    let session = whole.session_of(TEAM_A);
    for state in ["BUSY", "IDLE", "TERMINATED"] {
        let work_group = Some(TEAM_A.to_owned());
        whole.athena.add_session(NewSession { state: state.to_owned(), work_group, ..NewSession::default() });
    }
    whole.session_of(TEAM_B);
    whole.start(&[]).await;
    let group = whole.register_for_all("a", TEAM_A).await;
    whole.refer("object", &group, &session).await;
    whole.until_reason("object", "Running").await;
    let kept = whole.until_group(&group, "it is counted", |group| {
        group.status.as_ref().is_some_and(|status| status.declared == Some(1))
    });
    let kept = kept.await;
    assert!(is_kept(&kept));
    let status = kept.status.clone().unwrap();
    assert_eq!(status.observed_generation, kept.metadata.generation);
    assert_eq!(status.work_group.as_deref(), Some(TEAM_A));
    assert_eq!((status.region.as_deref(), status.account_id.as_deref()), (Some("eu-west-1"), Some(HOME)));
    assert_eq!(status.sessions, [("BUSY".to_owned(), 1), ("IDLE".to_owned(), 2)].into());
    assert_eq!((status.declared, status.undeclared), (Some(1), Some(2)));
    assert_eq!(ready_of(&kept).unwrap().0, "Available");
    let table = whole.plane.kubectl_ok(&["get", "atwg"]).await;
    let (head, row) = table.trim().split_once('\n').unwrap();
    let columns: Vec<_> = head.split_whitespace().collect();
    assert_eq!(
        columns,
        ["NAME", "WORKGROUP", "REGION", "ACCOUNT", "DECLARED", "UNDECLARED", "MATCHED", "REASON", "AGE"]
    );
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells[..7], [&group, TEAM_A, "eu-west-1", HOME, "1", "2", "Available"]);
}

#[tokio::test]
async fn the_account_of_a_role_is_recorded_and_another_one_refused() {
    let whole = Whole::new().await;
    whole.start(&[]).await;
    let role = |account: &str| format!("arn:aws:iam::{account}:role/operator");
    let spec = json!({"workGroup": TEAM_A, "roleArn": role("111111111111"), "namespaces": {"from": "All"}});
    let group = whole.register("a", spec).await;
    whole.until_group_reason(&group, "Available").await;
    assert_eq!(whole.group(&group).await.unwrap().status.unwrap().account_id.as_deref(), Some("111111111111"));
    whole.edit_group(&group, json!({"spec": {"roleArn": role("222222222222")}})).await;
    let message = whole.until_group_reason(&group, "WrongAccount").await;
    assert!(message.contains("111111111111") && message.contains("222222222222"), "{message}");
    sleep(Duration::from_secs(2)).await;
    let calls = whole.athena.calls();
    assert!(
        calls.iter().all(|call| call.account != "222222222222" || call.operation == "GetCallerIdentity"),
        "{calls:?}"
    );
    let kept = whole.group(&group).await.unwrap();
    assert_eq!(kept.status.unwrap().account_id.as_deref(), Some("111111111111"), "where it was");
    whole.edit_group(&group, json!({"spec": {"roleArn": role("111111111111")}})).await;
    whole.until_group_reason(&group, "Available").await;
}

/// L2: the status is written once.
#[tokio::test]
async fn where_nothing_changes_a_work_group_isnt_written() {
    let whole = Whole::new().await;
    let session = whole.session_of(TEAM_A);
    whole.start(&[]).await;
    let group = whole.register_for_all("a", TEAM_A).await;
    whole.refer("object", &group, &session).await;
    whole.until_reason("object", "Running").await;
    let is_counted = |group: &AthenaWorkGroup| group.status.as_ref().is_some_and(|status| status.declared == Some(1));
    let before = whole.until_group(&group, "it is counted", is_counted).await.metadata.resource_version;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(whole.group(&group).await.unwrap().metadata.resource_version, before);
}

/// L1: `kubectl delete -f .` and Argo CD may delete the AthenaWorkGroup before the objects that depend on it.
#[tokio::test]
async fn a_deleted_work_group_waits_for_its_sessions_and_takes_no_new() {
    let whole = Whole::new().await;
    whole.start(&[]).await;
    let group = whole.register_for_all("a", TEAM_A).await;
    let (one, two, late) = (whole.session_of(TEAM_A), whole.session_of(TEAM_A), whole.session_of(TEAM_A));
    for (name, id) in [("one", &one), ("two", &two)] {
        whole.refer(name, &group, id).await;
        whole.until_reason(name, "Running").await;
    }
    whole.delete_group(&group).await;
    let message = whole.until_group_reason(&group, "InUse").await;
    let namespace = &whole.namespace;
    let holders = format!("2 AthenaSessions refer to it ({namespace}/one, {namespace}/two)");
    assert!(message.starts_with(&holders), "{message}");
    assert!(message.contains("kubectl get ats -A -o wide"), "{message}");
    let wide = whole.plane.kubectl_ok(&["get", "ats", "-n", namespace, "-o", "wide"]).await;
    assert!(wide.contains("WORKGROUPREF") && wide.matches(&group).count() == 2, "{wide}");
    whole.refer("late", &group, &late).await;
    let object = whole.until_reason("late", "WorkGroupTerminating").await;
    assert!(!has_finalizer(&object));
    sleep(Duration::from_secs(1)).await;
    assert!(whole.calls_about(&late).is_empty());
    assert!(whole.group(&group).await.is_some());
    whole.delete("one").await;
    whole.until_gone("one").await;
    let told = |group: &AthenaWorkGroup| ready_of(group).is_some_and(|ready| ready.1.starts_with("1 AthenaSession"));
    whole.until_group(&group, "one is left", told).await;
    whole.delete("two").await;
    whole.until_gone("two").await;
    whole.until_group_gone(&group).await;
    assert!([one, two].iter().all(|id| whole.athena_session(id).state == "TERMINATED"));
    whole.until_reason("late", "WorkGroupNotFound").await;
    whole.delete("late").await;
    assert!(whole.get("late").await.is_none());
    assert_eq!(whole.athena_session(&late).state, "IDLE");
}

/// An object whose session isn't started yet has no session id. It holds its own work group, and no other.
#[tokio::test]
async fn a_session_that_waits_for_its_start_holds_no_other_work_group() {
    let whole = Whole::new().await;
    whole.athena.fault(Fault::error("TooManyRequestsException", "Maximum allowed sessions").on("StartSession"));
    whole.start(&[]).await;
    let (own, other) = (whole.register_for_starts("own", json!({})).await, whole.register_for_all("b", TEAM_B).await);
    whole.start_session("nightly", &own).await;
    whole.until_reason("nightly", "WaitingForCapacity").await;
    whole.delete_group(&own).await;
    whole.until_group_reason(&own, "InUse").await;
    whole.delete_group(&other).await;
    whole.until_group_gone(&other).await;
    whole.delete("nightly").await;
    whole.until_group_gone(&own).await;
}

#[tokio::test]
async fn a_work_group_and_its_sessions_can_be_deleted_at_once() {
    let whole = Whole::new().await;
    whole.start(&["--poll-interval=30s"]).await;
    let group = whole.register_for_all("a", TEAM_A).await;
    let mut sessions = Vec::new();
    for round in ["group-first", "sessions-first"] {
        if round == "sessions-first" {
            // The name is used again.
            assert_eq!(whole.register_for_all("a", TEAM_A).await, group);
        }
        let ids: Vec<_> = (0..10).map(|_| whole.session_of(TEAM_A)).collect();
        for (number, id) in ids.iter().enumerate() {
            whole.refer(&format!("object-{number}"), &group, id).await;
        }
        for number in 0..10 {
            whole.until_reason(&format!("object-{number}"), "Running").await;
        }
        if round == "group-first" {
            whole.delete_group(&group).await;
        }
        whole.objects().delete_collection(&Default::default(), &Default::default()).await.unwrap();
        if round == "sessions-first" {
            whole.delete_group(&group).await;
        }
        whole.until_group_gone(&group).await;
        assert!(whole.objects().list(&Default::default()).await.unwrap().items.is_empty(), "{round}");
        sessions.extend(ids);
    }
    assert!(sessions.iter().all(|id| whole.athena_session(id).state == "TERMINATED"));
    assert_eq!(whole.mutations().len(), sessions.len());
}

/// L1: the AthenaWorkGroup and its objects are deleted while no operator runs.
#[tokio::test]
async fn objects_deleted_during_a_downtime_use_their_work_group() {
    let whole = Whole::new().await;
    whole.start(&[]).await;
    let group = whole.register_for_all("a", TEAM_A).await;
    let session = whole.session_of(TEAM_A);
    whole.refer("object", &group, &session).await;
    whole.until_reason("object", "Running").await;
    whole.kill_operator();
    whole.delete_group(&group).await;
    whole.delete("object").await;
    whole.start(&[]).await;
    whole.until_gone("object").await;
    whole.until_group_gone(&group).await;
    assert_eq!(whole.athena_session(&session).state, "TERMINATED");
}

#[tokio::test]
async fn an_object_and_its_work_group_may_come_in_either_order() {
    let whole = Whole::new().await;
    whole.start(&["--poll-interval=1h"]).await;
    let session = whole.session_of(TEAM_A);
    whole.refer("early", &format!("{}-a", whole.namespace), &session).await;
    whole.until_reason("early", "WorkGroupNotFound").await;
    let group = whole.register_for_all("a", TEAM_A).await;
    whole.until_reason("early", "Running").await;
    assert!(is_kept(&whole.group(&group).await.unwrap()), "it is kept before anything depends on it");
    // An AthenaWorkGroup that nothing depends on goes at once.
    let unused = whole.register_for_all("unused", TEAM_B).await;
    whole.until_group_reason(&unused, "Available").await;
    whole.delete_group(&unused).await;
    whole.until_group_gone(&unused).await;
}

/// S1, S2: an AthenaWorkGroup's name is used again for another work group of Athena, while an object refers to it.
#[tokio::test]
async fn a_reused_work_group_name_ends_no_session_of_the_first() {
    let whole = Whole::new().await;
    whole.start(&[]).await;
    let group = whole.register_for_all("a", TEAM_A).await;
    let session = whole.session_of(TEAM_A);
    whole.refer("object", &group, &session).await;
    whole.until_reason("object", "Running").await;
    // Only an administrator can remove the finalizer by force.
    whole.kill_operator();
    whole.edit_group(&group, json!({"metadata": {"finalizers": []}})).await;
    whole.delete_group(&group).await;
    whole.until_group_gone(&group).await;
    whole.register_for_all("a", TEAM_B).await;
    whole.start(&[]).await;
    whole.until_reason("object", "WrongWorkGroup").await;
    whole.delete("object").await;
    sleep(Duration::from_secs(2)).await;
    assert!(whole.mutations().is_empty());
    let object = whole.get("object").await.expect("its session runs, and was its own");
    assert!(condition(&object, "Ready").unwrap().2.contains("deletionPolicy: Retain"));
    whole.edit("object", json!({"deletionPolicy": "Retain"})).await;
    whole.until_gone("object").await;
    assert_eq!(whole.athena_session(&session).state, "IDLE");
}

#[tokio::test]
async fn a_work_group_serves_although_its_sessions_cant_be_listed() {
    let whole = Whole::new().await;
    let denied = Fault::error("AccessDeniedException", "not authorized to perform: athena:ListSessions");
    whole.athena.fault(denied.on("ListSessions"));
    whole.start(&[]).await;
    let group = whole.register_for_all("a", TEAM_A).await;
    let message = whole.until_group_reason(&group, "AccessDenied").await;
    assert!(message.contains("athena:ListSessions") && message.contains("can't be listed"), "{message}");
    let session = whole.session_of(TEAM_A);
    whole.refer("object", &group, &session).await;
    whole.until_reason("object", "Running").await;
    whole.delete("object").await;
    whole.until_gone("object").await;
    assert_eq!(whole.athena_session(&session).state, "TERMINATED");
    whole.athena.clear_faults();
    whole.until_group_reason(&group, "Available").await;
}

#[tokio::test]
async fn a_work_group_unknown_to_athena_says_where_it_looked() {
    let whole = Whole::new().await;
    whole.start(&[]).await;
    let spec = json!({"workGroup": "spark-team-z", "namespaces": {"from": "All"}});
    let group = whole.register("z", spec).await;
    let message = whole.until_group_reason(&group, "WorkGroupUnknown").await;
    for said in ["WorkGroup spark-team-z is not found", HOME, "eu-west-1", "spec.workGroup"] {
        assert!(message.contains(said), "{said} isn't in: {message}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[tokio::test]
async fn metrics_have_bounded_labels_however_many_objects_there_are() {
    const OBJECTS: usize = 60;
    let whole = Whole::new().await;
    whole.start(&[]).await;
    let group = whole.register_for_all("a", TEAM_A).await;
    let address = address(&whole).await;
    let series = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect::<BTreeSet<_>>()
    };
    let refer = |number: usize| {
        let (whole, group) = (&whole, &group);
        async move {
            let id = whole.session_of(TEAM_A);
            whole.refer(&format!("object-{number}"), group, &id).await;
            id
        }
    };
    refer(0).await;
    whole.until_reason("object-0", "Running").await;
    sleep(Duration::from_secs(3)).await;
    let few = series(&ask(&address, "/metrics").await.1);
    let ids = join_all((1..OBJECTS).map(refer)).await;
    for number in 1..OBJECTS {
        whole.until_reason(&format!("object-{number}"), "Running").await;
    }
    eventually("all are counted", || async {
        let text = ask(&address, "/metrics").await.1;
        let line = format!(r#"athena_session_operator_sessions{{account="123456789012",region="eu-west-1",work_group="{TEAM_A}",state="IDLE"}} {OBJECTS}"#);
        text.contains(&line).then_some(())
    })
    .await;
    let (status, text) = ask(&address, "/metrics").await;
    assert_eq!(status, 200);
    let many = series(&text);
    let new: Vec<_> = many.difference(&few).collect();
    assert!(new.len() <= 40, "{} new series: {new:?}", new.len());
    for secret in [ids[0].as_str(), "object-1", &whole.namespace] {
        assert!(!text.contains(secret), "{secret} is in it");
    }
    assert!(text.contains(r#"controller="athenaworkgroup""#), "{text}");
}

#[tokio::test]
async fn probes_answer_when_it_is_up() {
    let whole = Whole::new().await;
    whole.start(&[]).await;
    let address = address(&whole).await;
    until_ready(&address).await;
    let (status, text) = ask(&address, "/livez").await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("[+]work groups ok") && text.contains("[+]sessions ok"), "{text}");
    assert_eq!(ask(&address, "/nothing").await.0, 404);
}

/// The API server is away, so nothing has been listed.
#[tokio::test]
async fn an_operator_that_has_seen_nothing_yet_is_alive_and_not_ready() {
    let world = World::new().await;
    let nobody = world.plane.kubeconfig_for_token_at("http://127.0.0.1:1", "token").unwrap();
    world.start_operator_with(Start { kubeconfig: Some(nobody), ..Start::default() }).await;
    let address = address(&world).await;
    assert_eq!(ask(&address, "/livez").await.0, 200);
    let (status, text) = ask(&address, "/readyz").await;
    assert_eq!(status, 503);
    assert!(text.contains("[-]watches failed"), "{text}");
}
