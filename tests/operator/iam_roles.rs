//! S4, S8: IAM roles and accounts. Each session is reached by the role of its AthenaWorkGroup, and only in the account
//! on record.

use std::collections::BTreeSet;
use std::time::Duration;

use fake_athena::{Call, Config, Fault, NewSession};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::launch::Start;
use crate::tenancy::{TEAM_A, brisk, referring};
use crate::world::{World, condition, eventually, has_finalizer};

const ACCOUNT_A: &str = "111111111111";
const ACCOUNT_B: &str = "222222222222";
const HOME: &str = "123456789012";

pub fn role(account: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:role/{name}")
}

impl World {
    async fn register_role(&self, name: &str, role: &str) -> String {
        self.register(name, json!({"workGroup": TEAM_A, "roleArn": role, "namespaces": {"from": "All"}})).await
    }

    fn session_in_account(&self, account: &str) -> String {
        let (account, work_group) = (Some(account.to_owned()), Some(TEAM_A.to_owned()));
        self.athena.add_session(NewSession { account, work_group, ..NewSession::default() })
    }

    fn accounts_of(&self, session: &str) -> BTreeSet<String> {
        self.calls_about(session).into_iter().map(|call| call.account).collect()
    }

    fn assumed(&self) -> Vec<Call> {
        self.athena.calls().into_iter().filter(|call| call.operation == "AssumeRole").collect()
    }

    /// The calls to Athena in this account.
    fn calls_in(&self, account: &str) -> Vec<Call> {
        let of_athena = |call: &Call| call.operation.contains("Session");
        self.athena.calls().into_iter().filter(|call| call.account == account && of_athena(call)).collect()
    }

    async fn give_role(&self, group: &str, role: &str) {
        self.edit_group(group, json!({"spec": {"roleArn": role}})).await;
    }
}

/// The value of a parameter in a form.
pub fn parameter(body: &str, name: &str) -> Option<String> {
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.into_iter().find(|(key, _)| *key == name)?.1;
    Some(value.replace("%3A", ":").replace("%2F", "/"))
}

/// S1, S4, S8: each object reaches only the session of its own account.
#[tokio::test]
async fn work_groups_of_one_name_in_two_accounts_are_kept_apart() {
    let world = World::new().await;
    let a = world.register_role("a", &role(ACCOUNT_A, "operator")).await;
    let b = world.register_role("b", &role(ACCOUNT_B, "operator")).await;
    let (in_a, in_b) = (world.session_in_account(ACCOUNT_A), world.session_in_account(ACCOUNT_B));
    world.start_operator().await;
    world.refer("in-a", &a, &in_a).await;
    world.refer("in-b", &b, &in_b).await;
    for (name, account) in [("in-a", ACCOUNT_A), ("in-b", ACCOUNT_B)] {
        let object = world.until_reason(name, "Running").await;
        assert_eq!(object.status.unwrap().account_id.as_deref(), Some(account));
    }
    // An object of B's work group names the session of account A.
    world.refer("thief", &b, &in_a).await;
    let thief = world.until_reason("thief", "SessionNotFound").await;
    assert!(thief.status.unwrap().state.is_none());
    world.delete("thief").await;
    world.until_gone("thief").await;
    assert!(world.mutations().is_empty());

    world.delete("in-a").await;
    world.until_gone("in-a").await;
    assert_eq!(world.athena_session(&in_a).state, "TERMINATED");
    assert_eq!(world.athena_session(&in_b).state, "IDLE");
    world.delete("in-b").await;
    world.until_gone("in-b").await;
    assert_eq!(world.athena_session(&in_b).state, "TERMINATED");
    for call in world.mutations() {
        let own = if call.session.as_ref() == Some(&in_a) { ACCOUNT_A } else { ACCOUNT_B };
        assert_eq!(call.account, own);
    }
    assert!(world.calls_in(HOME).is_empty(), "the operator's own identity asks nothing");
}

/// S5, S8: both work groups are in one account. A tenant names another namespace's session with a reference to the
/// tenant's own work group, which has another role.
#[tokio::test]
async fn a_namespace_cant_reach_anothers_session_through_the_operator() {
    let world = World::new().await;
    let second = world.second_namespace().await;
    let only = |namespace: &str| json!({"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}});
    let spec = |work_group: &str, role: String, namespace: &str| json!({"workGroup": work_group, "roleArn": role, "namespaces": only(namespace)});
    let a = world.register("a", spec(TEAM_A, role(ACCOUNT_A, "a"), &world.namespace)).await;
    let b = world.register("b", spec("spark-team-b", role(ACCOUNT_A, "b"), &second)).await;
    let session = world.session_in_account(ACCOUNT_A);
    world.start_operator_with(Start::with(&["--watch-namespace", &second])).await;
    world.refer("mine", &a, &session).await;
    world.until_reason("mine", "Running").await;
    // Through A's work group, for which B has no grant, and through B's own, which the session isn't in.
    world.create_in(&second, "by-a", referring(&a, &session)).await;
    world.until_reason_in(&second, "by-a", "NamespaceNotAllowed").await;
    world.create_in(&second, "by-b", referring(&b, &session)).await;
    world.until_reason_in(&second, "by-b", "WrongWorkGroup").await;
    for name in ["by-a", "by-b"] {
        world.objects_in(&second).delete(name, &Default::default()).await.unwrap();
        world.until_gone_in(&second, name).await;
    }
    assert!(world.mutations().is_empty());
    assert_eq!(world.athena_session(&session).state, "IDLE");
    world.until_reason("mine", "Running").await;
}

#[tokio::test]
async fn a_role_is_assumed_with_external_id_and_cluster_name() {
    let world = World::new().await;
    let role = role(ACCOUNT_A, "path/operator");
    let spec = json!({"workGroup": TEAM_A, "roleArn": role, "externalId": "shared-42", "namespaces": {"from": "All"}});
    let group = world.register("a", spec).await;
    let session = world.session_in_account(ACCOUNT_A);
    world.start_operator().await;
    world.refer("object", &group, &session).await;
    world.until_reason("object", "Running").await;
    world.delete("object").await;
    world.until_gone("object").await;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let uid = namespaces.get("kube-system").await.unwrap().uid().unwrap();
    let assumed = world.assumed();
    assert!(!assumed.is_empty());
    for call in &assumed {
        assert_eq!(parameter(&call.body, "RoleArn").as_ref(), Some(&role));
        assert_eq!(parameter(&call.body, "ExternalId").as_deref(), Some("shared-42"));
        assert_eq!(parameter(&call.body, "RoleSessionName"), Some(format!("athena-session-operator-{}", &uid[..8])));
        assert_eq!(call.account, HOME, "by the operator's own identity");
    }
    assert!(assumed.len() <= 3, "{} for one session of a minute", assumed.len());
    let named = format!("({}/object)", world.namespace);
    let calls = world.calls_about(&session);
    let own = calls.iter().filter(|call| matches!(&*call.operation, "GetSession" | "TerminateSession"));
    for call in own {
        assert!(call.user_agent.as_ref().unwrap().contains(&named), "{:?}", call.user_agent);
        assert!(call.user_agent.as_ref().unwrap().contains("athena-session-operator/"), "{:?}", call.user_agent);
    }
}

#[tokio::test]
async fn without_a_role_no_role_is_assumed() {
    let world = World::new().await;
    let group = world.register_for_all("a", TEAM_A).await;
    let session = world.session_of(TEAM_A);
    world.start_operator().await;
    world.refer("object", &group, &session).await;
    world.until_reason("object", "Running").await;
    assert!(world.assumed().is_empty());
}

/// L1: the credentials expire while the operator runs.
#[tokio::test]
async fn credentials_that_expire_are_renewed() {
    let world = World::with(Config { credentials_life: Some(Duration::from_secs(3)), ..brisk() }).await;
    let group = world.register_role("a", &role(ACCOUNT_A, "operator")).await;
    let session = world.session_in_account(ACCOUNT_A);
    world.start_operator().await;
    world.refer("object", &group, &session).await;
    world.until_reason("object", "Running").await;
    sleep(Duration::from_secs(8)).await;
    assert_eq!(condition(&world.get("object").await.unwrap(), "Ready").unwrap().1, "Running");
    world.delete("object").await;
    world.until_gone("object").await;
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
    let refused: Vec<_> = world.athena.calls().into_iter().filter(|call| call.error.is_some()).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

/// S4, S8: while the role isn't known, the operator's own identity calls nothing.
#[tokio::test]
async fn before_the_role_is_known_nothing_is_called() {
    let world = World::new().await;
    let session = world.session_in_account(ACCOUNT_A);
    world.start_operator().await;
    let group = format!("{}-late", world.namespace);
    world.refer("early", &group, &session).await;
    let object = world.until_reason("early", "WorkGroupNotFound").await;
    assert!(!has_finalizer(&object));
    sleep(Duration::from_secs(1)).await;
    assert!(world.operations().is_empty());
    world.register_role("late", &role(ACCOUNT_A, "operator")).await;
    world.until_reason("early", "Running").await;
    assert_eq!(world.accounts_of(&session), [ACCOUNT_A.to_owned()].into());
    assert!(world.calls_in(HOME).is_empty());
}

/// S4, S8: the condition names the role that can't be assumed, and no other identity makes the calls.
#[tokio::test]
async fn a_role_that_cant_be_assumed_is_told_and_tried_again() {
    let world = World::new().await;
    world.athena.fault(Fault::error("AccessDenied", "not authorized to perform: sts:AssumeRole").on("AssumeRole"));
    let group = world.register_role("a", &role(ACCOUNT_A, "operator")).await;
    let session = world.session_in_account(ACCOUNT_A);
    world.start_operator().await;
    world.refer("object", &group, &session).await;
    let object = world.until_reason("object", "AccountUnknown").await;
    assert!(condition(&object, "Ready").unwrap().2.contains(&group));
    assert!(world.operations().is_empty());
    world.delete("object").await;
    sleep(Duration::from_secs(2)).await;
    assert!(world.get("object").await.is_some(), "the session runs");
    world.athena.clear_faults();
    world.until_gone("object").await;
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
}

#[tokio::test]
async fn another_role_of_the_same_account_makes_the_next_call() {
    let world = World::new().await;
    let group = world.register_role("a", &role(ACCOUNT_A, "first")).await;
    let session = world.session_in_account(ACCOUNT_A);
    world.start_operator().await;
    world.refer("object", &group, &session).await;
    world.until_reason("object", "Running").await;
    let before = world.calls_about(&session).pop().unwrap().access_key;
    world.give_role(&group, &role(ACCOUNT_A, "second")).await;
    eventually("the new role is assumed", || async {
        let roles: Vec<_> = world.assumed().iter().filter_map(|call| parameter(&call.body, "RoleArn")).collect();
        (roles.last()? == &role(ACCOUNT_A, "second")).then_some(())
    })
    .await;
    world.delete("object").await;
    world.until_gone("object").await;
    let ended = world.mutations().pop().unwrap();
    assert_ne!(ended.access_key, before);
    assert_eq!(ended.account, ACCOUNT_A);
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
}

/// S4: the role of the AthenaWorkGroup is replaced by one of another account.
#[tokio::test]
async fn a_role_of_another_account_is_refused_until_it_is_taken_back() {
    let world = World::new().await;
    let group = world.register_role("a", &role(ACCOUNT_A, "operator")).await;
    let session = world.session_in_account(ACCOUNT_A);
    world.start_operator().await;
    world.refer("object", &group, &session).await;
    world.until_reason("object", "Running").await;
    world.give_role(&group, &role(ACCOUNT_B, "operator")).await;
    let object = world.until_reason("object", "WrongAccount").await;
    let message = condition(&object, "Ready").unwrap().2;
    assert!(message.contains(ACCOUNT_A) && message.contains(ACCOUNT_B) && !message.contains("  "), "{message}");
    world.delete("object").await;
    sleep(Duration::from_secs(3)).await;
    assert!(world.get("object").await.is_some());
    assert!(world.calls_in(ACCOUNT_B).is_empty(), "{:?}", world.calls_in(ACCOUNT_B));
    assert!(world.mutations().is_empty());
    world.kill_operator();
    world.start_operator().await;
    sleep(Duration::from_secs(3)).await;
    assert!(world.calls_in(ACCOUNT_B).is_empty() && world.mutations().is_empty());
    world.give_role(&group, &role(ACCOUNT_A, "operator")).await;
    world.until_gone("object").await;
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
    assert_eq!(world.accounts_of(&session), [ACCOUNT_A.to_owned()].into());
}

/// S4: the status of the AthenaWorkGroup records another account.
#[tokio::test]
async fn an_account_on_record_that_differs_lets_nothing_be_called() {
    let world = World::new().await;
    let group = world.register_role("a", &role(ACCOUNT_A, "operator")).await;
    world.record_of_group(&group, json!({"accountId": ACCOUNT_B})).await;
    let session = world.session_in_account(ACCOUNT_A);
    world.start_operator().await;
    world.refer("object", &group, &session).await;
    world.until_reason("object", "WrongAccount").await;
    sleep(Duration::from_millis(1_500)).await;
    assert!(world.operations().is_empty(), "{:?}", world.operations());
    world.record_of_group(&group, json!({"accountId": Value::Null})).await;
    world.until_reason("object", "Running").await;
}

/// S1, S4: the object was adopted with the operator's own identity, and then its reference is set.
#[tokio::test]
async fn a_reference_added_later_makes_calls_use_its_role() {
    let world = World::new().await;
    let group = world.register_role("a", &role(HOME, "team-a")).await;
    let other = world.register_role("b", &role(ACCOUNT_B, "team-b")).await;
    let (session, lost) = (world.session_of(TEAM_A), world.session_of(TEAM_A));
    world.start_operator().await;
    for (name, session) in [("object", &session), ("astray", &lost)] {
        world.create(name, json!({"sessionId": session})).await;
        world.until_reason(name, "Running").await;
    }
    world.athena.clear_calls();
    world.edit("object", json!({"workGroupRef": {"name": group}})).await;
    eventually("the role is used", || async {
        world
            .calls_about(&session)
            .iter()
            .any(|call| call.access_key.as_ref().unwrap().starts_with("ASIA"))
            .then_some(())
    })
    .await;
    world.delete("object").await;
    world.until_gone("object").await;
    let ended = world.mutations().pop().unwrap();
    assert!(ended.access_key.unwrap().starts_with("ASIA"));
    // A role of another account is refused, since the session was seen in this account.
    world.edit("astray", json!({"workGroupRef": {"name": other}})).await;
    world.until_reason("astray", "WrongAccount").await;
    world.delete("astray").await;
    sleep(Duration::from_secs(2)).await;
    assert!(world.calls_in(ACCOUNT_B).is_empty());
    assert_eq!(world.athena_session(&lost).state, "IDLE");
    world.edit("astray", json!({"deletionPolicy": "Retain"})).await;
    world.until_gone("astray").await;
}

#[tokio::test]
async fn a_work_group_of_another_region_is_reached_there() {
    let world = World::new().await;
    let spec = json!({"workGroup": TEAM_A, "region": "eu-central-1", "namespaces": {"from": "All"}});
    let group = world.register("far", spec).await;
    let session = world.athena.add_session(NewSession {
        region: Some("eu-central-1".to_owned()),
        work_group: Some(TEAM_A.to_owned()),
        ..NewSession::default()
    });
    world.start_operator().await;
    world.refer("far", &group, &session).await;
    let object = world.until_reason("far", "Running").await;
    assert_eq!(object.status.unwrap().region.as_deref(), Some("eu-central-1"));
    world.delete("far").await;
    world.until_gone("far").await;
    let regions: BTreeSet<_> = world.calls_about(&session).into_iter().map(|call| call.region).collect();
    assert_eq!(regions, ["eu-central-1".to_owned()].into());
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
}
