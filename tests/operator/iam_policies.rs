//! S8: the IAM policies of `deploy/` and of the documentation. The operator works under exactly these policies, and
//! needs each of their lines.

use std::collections::BTreeMap;
use std::time::Duration;

use fake_athena::iam::Policy;
use fake_athena::{Call, Config, FakeAthena, NewSession};
use serde_json::{Value, json};

use crate::api::RETAINED_TAG;
use crate::cleanup_command::end_old_sessions;
use crate::docs::pages::block;
use crate::launch::Start;
use crate::tenancy::{TEAM_A, TEAM_B, Whole, referring};
use crate::world::{World, condition, eventually, in_checkout, within};

const ACCOUNT: &str = "555566667777";

/// A partition and Region, and the policies that the operator's identities have there.
struct Site {
    partition: &'static str,
    region: &'static str,
}

const IRELAND: Site = Site { partition: "aws", region: "eu-west-1" };

impl Site {
    /// The policy, as an administrator would adapt it.
    fn adapt(&self, policy: &str) -> Value {
        let policy = policy.replace("arn:aws:", &format!("arn:{}:", self.partition));
        let policy = policy.replace("eu-west-1", self.region).replace("123456789012", ACCOUNT);
        serde_json::from_str(&policy).unwrap()
    }

    fn shipped(&self, file: &str) -> Value {
        self.adapt(&std::fs::read_to_string(in_checkout(&format!("deploy/{file}"))).unwrap())
    }

    /// The policy of the documentation that has a statement of this name.
    fn documented(&self, sid: &str) -> Value {
        self.adapt(&block(&["json"], |block| block.contains(&format!("\"Sid\": \"{sid}\""))))
    }

    fn user(&self) -> String {
        format!("arn:{}:iam::{ACCOUNT}:user/fake", self.partition)
    }

    fn role(&self, name: &str) -> String {
        format!("arn:{}:iam::{ACCOUNT}:role/{name}", self.partition)
    }

    async fn world(&self) -> World {
        let config = Config { account: ACCOUNT.to_owned(), region: self.region.to_owned(), ..Config::default() };
        let world = World::with(config).await;
        let environment = vec![("AWS_REGION", self.region.to_owned())];
        world.start_operator_with(Start { environment, ..Start::default() }).await;
        world
    }
}

impl World {
    fn give<const N: usize>(&self, policies: [(String, Value); N]) {
        give(&self.athena, policies);
    }

    fn denials(&self) -> Vec<Call> {
        let is_denial = |call: &Call| call.error.as_deref() == Some("AccessDeniedException");
        self.athena.calls().into_iter().filter(is_denial).collect()
    }
}

fn give<const N: usize>(athena: &FakeAthena, policies: [(String, Value); N]) {
    let read = |(identity, policy): (String, Value)| (identity, vec![Policy::read(&policy.to_string()).unwrap()]);
    let policies = BTreeMap::from_iter(policies.map(read));
    athena.reconfigure(|config| config.policies = Some(policies));
}

/// An AthenaWorkGroup for each of two work groups, where sessions may be started.
async fn register(world: &World, role: &str, operators_role: Option<&str>) -> [String; 2] {
    let mut groups = Vec::new();
    for work_group in [TEAM_A, TEAM_B] {
        let roles = if work_group == TEAM_A { vec![role] } else { vec![] };
        let mut spec = json!({
            "workGroup": work_group, "namespaces": {"from": "All"}, "start": {"executionRoles": roles},
        });
        if let Some(role) = operators_role {
            spec["roleArn"] = json!(role);
        }
        groups.push(world.register(work_group, spec).await);
    }
    groups.try_into().unwrap()
}

/// In each work group one session is adopted and one is started. In the first work group the start has an execution
/// role.
async fn create(world: &World, groups: &[String; 2], role: &str, number: usize) -> Vec<String> {
    let mut names = Vec::new();
    for (group, work_group) in groups.iter().zip([TEAM_A, TEAM_B]) {
        let start = if work_group == TEAM_A { json!({"executionRole": role}) } else { json!({}) };
        let tags = BTreeMap::from([("athena-operator.dev/cluster".to_owned(), "adopted".to_owned())]);
        let new = NewSession { work_group: Some(work_group.to_owned()), tags, ..NewSession::default() };
        let session = world.athena.add_session(new);
        let specs = [
            ("adopts", referring(group, &session)),
            ("starts", json!({"start": start, "workGroupRef": {"name": group}})),
        ];
        for (does, spec) in specs {
            let name = format!("{does}-{work_group}-{number}");
            world.create(&name, spec).await;
            names.push(name);
        }
    }
    names
}

/// Waits until all sessions are up, and ends them with their objects.
async fn live(world: &World, names: &[String]) {
    for name in names {
        world.until_reason(name, "Running").await;
    }
    end(world, names).await;
    assert!(world.athena.sessions().iter().all(|session| session.state == "TERMINATED"));
}

/// Deletes the objects, and waits until they are gone. The session of an object that was never adopted stays as it was.
async fn end(world: &World, names: &[String]) {
    for name in names {
        world.delete(name).await;
    }
    for name in names {
        world.until_gone(name).await;
    }
}

#[tokio::test]
async fn the_shipped_policies_are_enough_in_each_partition() {
    let sites = [
        IRELAND,
        Site { partition: "aws-us-gov", region: "us-gov-west-1" },
        Site { partition: "aws-cn", region: "cn-north-1" },
    ];
    for site in sites {
        let world = site.world().await;
        let role = site.role(TEAM_A);
        world.give([(site.user(), site.shipped("iam-policy.json"))]);
        let groups = register(&world, &role, None).await;
        let names = create(&world, &groups, &role, 0).await;
        live(&world, &names).await;
        assert_eq!(world.denials().iter().map(|call| &call.operation).collect::<Vec<_>>(), Vec::<&String>::new());
    }
}

#[tokio::test]
async fn the_shipped_policies_are_enough_for_a_role_that_is_assumed() {
    let (site, world) = (IRELAND, IRELAND.world().await);
    let (role, operators) = (site.role(TEAM_A), site.role("athena-operator-team-a"));
    world.give([
        (site.user(), site.shipped("iam-assume-role.json")),
        (operators.clone(), site.shipped("iam-policy.json")),
    ]);
    let groups = register(&world, &role, Some(&operators)).await;
    let names = create(&world, &groups, &role, 0).await;
    live(&world, &names).await;
    assert!(world.denials().is_empty());
}

/// The policy without each of its actions and resources in turn, each with the name of what is missing. Optional
/// statements are left out, since the operator works without them, and those that deny something.
fn without_each_line(policy: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (number, statement) in policy["Statement"].as_array().unwrap().iter().enumerate() {
        if statement["Sid"].as_str().unwrap().starts_with("Optional") || statement["Effect"] == "Deny" {
            continue;
        }
        for member in ["Action", "Resource"] {
            let lines = statement[member].as_array().cloned().unwrap_or_else(|| vec![statement[member].clone()]);
            for line in &lines {
                let rest: Vec<_> = lines.iter().filter(|other| *other != line).collect();
                let mut policy = policy.clone();
                policy["Statement"][number][member] = json!(rest);
                all.push((line.as_str().unwrap().to_owned(), policy));
            }
        }
    }
    all
}

#[tokio::test]
async fn each_line_of_the_shipped_policy_is_needed() {
    // An operator that watches all namespaces lists the sessions of each work group.
    let (site, world) = (IRELAND, Whole::new().await);
    world.athena.reconfigure(|config| config.account = ACCOUNT.to_owned());
    world.start(&[]).await;
    let role = site.role(TEAM_A);
    let policy = site.shipped("iam-policy.json");
    world.give([(site.user(), policy.clone())]);
    let groups = register(&world, &role, None).await;
    let lines = without_each_line(&policy);
    assert!(lines.len() >= 14, "{}", lines.len());
    for (number, (line, rest)) in lines.into_iter().enumerate() {
        world.athena.clear_calls();
        world.give([(site.user(), rest)]);
        let names = create(&world, &groups, &role, number).await;
        // The missing right matters only for an end.
        for name in names.iter().filter(|name| name.starts_with("adopts")) {
            world.edit(name, json!({"terminate": true})).await;
        }
        eventually(&format!("a call is denied without {line}"), || async {
            (!world.denials().is_empty()).then_some(())
        })
        .await;
        world.give([(site.user(), policy.clone())]);
        end(&world, &names).await;
    }
}

/// S8: with a condition on aws:ResourceTag the operator can end only sessions that it started in this cluster.
#[tokio::test]
async fn with_the_condition_on_tags_only_own_sessions_are_ended() {
    let (site, world) = (IRELAND, IRELAND.world().await);
    let cluster = world.plane.kubectl_ok(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]).await;
    let documented = site.documented("EndOnlyWhatThisClusterStarted").to_string();
    let policy: Value = serde_json::from_str(&documented.replace("UID-OF-KUBE-SYSTEM", &cluster)).unwrap();
    world.give([(site.user(), policy)]);
    let role = site.role(TEAM_A);
    let [group, _] = register(&world, &role, None).await;
    world.create("starts", json!({"start": {"executionRole": role}, "workGroupRef": {"name": group}})).await;
    world.until_reason("starts", "Running").await;
    world.delete("starts").await;
    world.until_gone("starts").await;
    assert!(world.denials().is_empty());

    let session = world.session_of(TEAM_A);
    world.create("adopts", referring(&group, &session)).await;
    world.until_reason("adopts", "Running").await;
    world.delete("adopts").await;
    let object = world.until_reason("adopts", "AccessDenied").await;
    let told = condition(&object, "Stalled").unwrap().2;
    assert!(told.contains(&format!("Allow athena:TerminateSession on arn:aws:athena:{}", site.region)), "{told}");
    assert_eq!(world.athena_session(&session).state, "IDLE");
}

/// S8: with the same policy, the operator tags only sessions that bear this cluster's tag as retained.
#[tokio::test]
async fn with_the_condition_on_tags_only_own_sessions_are_retained() {
    const CLUSTER_TAG: &str = "aws:ResourceTag/athena-operator.dev/cluster";
    let (site, world) = (IRELAND, IRELAND.world().await);
    let cluster = world.plane.kubectl_ok(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]).await;
    let documented = site.documented("TagWhatIsRetained").to_string();
    let ours: Value = serde_json::from_str(&documented.replace("UID-OF-KUBE-SYSTEM", &cluster)).unwrap();
    let mut of_another_cluster = ours.clone();
    for statement in of_another_cluster["Statement"].as_array_mut().unwrap() {
        if statement["Sid"] == "TagWhatIsRetained" {
            statement["Condition"]["StringEquals"][CLUSTER_TAG] = json!("another");
        }
    }
    let role = site.role(TEAM_A);
    let [group, _] = register(&world, &role, None).await;
    for (name, policy, is_tagged) in [("ours", ours, true), ("another", of_another_cluster, false)] {
        world.give([(site.user(), policy)]);
        let id = retained(&world, name, &group, &role).await;
        world.delete(name).await;
        world.until_gone(name).await;
        let tags = world.athena_session(&id).tags;
        assert_eq!(tags.contains_key(RETAINED_TAG), is_tagged, "{name}: {tags:?}");
    }
    assert_eq!(world.denials().iter().map(|call| &call.operation).collect::<Vec<_>>(), ["TagResource"]);
}

/// An object with `deletionPolicy: Retain` that has started a session. Returns the session's id.
async fn retained(world: &World, name: &str, group: &str, role: &str) -> String {
    let start = json!({"executionRole": role});
    world.create(name, json!({"start": start, "workGroupRef": {"name": group}, "deletionPolicy": "Retain"})).await;
    world.until_reason(name, "Running").await.status.unwrap().session_id.unwrap()
}

/// L1: the right to tag may be missing, or withdrawn.
#[tokio::test]
async fn without_the_right_to_tag_a_retained_object_goes() {
    let (site, world) = (IRELAND, IRELAND.world().await);
    let mut policy = site.shipped("iam-policy.json");
    world.give([(site.user(), policy.clone())]);
    let role = site.role(TEAM_A);
    let [group, _] = register(&world, &role, None).await;
    retained(&world, "kept", &group, &role).await;
    policy["Statement"].as_array_mut().unwrap().retain(|statement| statement["Action"] != "athena:TagResource");
    world.give([(site.user(), policy)]);
    world.delete("kept").await;
    assert!(within(Duration::from_secs(10), world.until_gone("kept")).await);
    assert_eq!(world.denials().len(), 1, "{:?}", world.denials());
}

/// The message names the missing right, and not the call that was made.
#[tokio::test]
async fn a_role_that_may_not_be_passed_is_named_with_its_right() {
    let (site, world) = (IRELAND, IRELAND.world().await);
    let mut policy = site.shipped("iam-policy.json");
    policy["Statement"].as_array_mut().unwrap().retain(|statement| statement["Action"] != "iam:PassRole");
    world.give([(site.user(), policy)]);
    let role = site.role(TEAM_A);
    let [group, _] = register(&world, &role, None).await;
    world.create("starts", json!({"start": {"executionRole": role}, "workGroupRef": {"name": group}})).await;
    let object = world.until_reason("starts", "AccessDenied").await;
    let told = condition(&object, "Stalled").unwrap().2;
    assert!(told.contains(&format!("Allow iam:PassRole on {role} to the operator's own AWS identity")), "{told}");
    world.delete("starts").await;
    world.until_gone("starts").await;
}

/// The policy of docs/cleanup.md: enough for the command, each line is needed, and what bears the tag isn't ended.
#[tokio::test]
async fn the_policy_for_clean_up_bounds_what_is_ended() {
    let site = IRELAND;
    let athena = FakeAthena::start(Config { account: ACCOUNT.to_owned(), ..Config::default() }).await.unwrap();
    let policy = site.documented("NeverEndWhatIsKept");
    let forgotten = |tags: &[(&str, &str)]| {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let age = Duration::from_secs(4 * 3600);
        athena.add_session(NewSession { age, tags, work_group: Some(TEAM_A.to_owned()), ..NewSession::default() })
    };
    let state = |id: &str| athena.session(id).unwrap().state;
    let (kept, free) = (forgotten(&[("keep", "until the audit")]), forgotten(&[]));
    give(&athena, [(site.user(), policy.clone())]);
    let report = end_old_sessions(&athena, &[]).await.unwrap();
    assert_eq!([&kept, &free].map(|id| state(id)), ["IDLE", "TERMINATED"], "{report}");
    let denials = athena.calls().iter().filter(|call| call.error.as_deref() == Some("AccessDeniedException")).count();
    assert_eq!((denials, athena.calls_of("TerminateSession", Some(&kept))), (1, 1), "{report}");

    let lines = without_each_line(&policy);
    assert!(lines.len() >= 8, "{}", lines.len());
    for (line, rest) in lines {
        let free = forgotten(&[]);
        give(&athena, [(site.user(), rest)]);
        let report = end_old_sessions(&athena, &[]).await;
        assert_eq!(state(&free), "IDLE", "without {line}: {report:?}");
        athena.set_state(&free, "TERMINATED");
    }
}
