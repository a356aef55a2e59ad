//! Many IAM roles: credentials are kept apart (S4, S8), used until they expire, and cost neither calls nor descriptors.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use fake_athena::iam::Policy;
use fake_athena::{Call, Config, Fault, NewSession};
use futures::future::join_all;
use kube::api::DeleteParams;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::iam_roles::{parameter, role};
use crate::launch::Start;
use crate::probes::{address, ask};
use crate::tenancy::{TEAM_A, Whole, brisk};
use crate::world::{PATIENCE, World, condition, eventually};

const HOME: &str = "123456789012";

/// An AWS account for each role.
fn account(number: usize) -> String {
    format!("{:012}", 200_000_000_000 + number)
}

impl World {
    async fn register_account(&self, number: usize) -> String {
        let spec = json!({
            "workGroup": TEAM_A, "roleArn": role(&account(number), "operator"), "namespaces": {"from": "All"},
        });
        self.register(&format!("role-{number}"), spec).await
    }

    fn session_of_account(&self, number: usize) -> String {
        let (account, work_group) = (Some(account(number)), Some(TEAM_A.to_owned()));
        self.athena.add_session(NewSession { account, work_group, ..NewSession::default() })
    }

    /// How often each role was assumed.
    fn assumed_by_role(&self) -> BTreeMap<String, usize> {
        let mut assumed = BTreeMap::new();
        for call in self.athena.calls().iter().filter(|call| call.operation == "AssumeRole") {
            *assumed.entry(parameter(&call.body, "RoleArn").unwrap()).or_default() += 1;
        }
        assumed
    }

    /// How often each account's work group was listed.
    fn lists_by_account(&self) -> HashMap<String, usize> {
        let mut lists = HashMap::new();
        for call in self.athena.calls().into_iter().filter(|call| call.operation == "ListSessions") {
            *lists.entry(call.account).or_default() += 1;
        }
        lists
    }
}

/// L2: with more than 64 roles, the SDK's own cache would drop credentials that are still needed.
#[tokio::test]
async fn roles_cost_one_assume_role_each_and_no_descriptors() {
    const ROLES: usize = 80;
    const POLLS: usize = 4;
    let whole = Whole::new().await;
    // With latency, as on AWS, so that several calls are under way at once.
    whole.athena.reconfigure(|config| config.latency = Duration::from_millis(20));
    let groups = join_all((0..ROLES).map(|number| whole.register_account(number))).await;
    let sessions: Vec<_> = (0..ROLES).map(|number| whole.session_of_account(number)).collect();
    let arguments = Start::with(&["--poll-interval=2s", "--aws-timeout=20s"]);
    let start = Start { all_namespaces: true, ulimit: Some("-n 256"), ..arguments };
    whole.start_operator_with(start).await;
    let address = address(&whole).await;
    let mut most = 0;
    join_all((0..ROLES).map(|number| {
        let (world, group, session) = (&whole.world, &groups[number], &sessions[number]);
        async move { world.refer(&format!("object-{number}"), group, session).await }
    }))
    .await;
    let running = async {
        for number in 0..ROLES {
            whole.until_reason(&format!("object-{number}"), "Running").await;
        }
        eventually("each work group was polled some times", || async {
            let lists = whole.lists_by_account();
            (0..ROLES).all(|number| lists.get(&account(number)).is_some_and(|lists| *lists >= POLLS)).then_some(())
        })
        .await;
    };
    let probes = async {
        loop {
            let answer = timeout(PATIENCE / 2, ask(&address, "/livez")).await;
            assert_eq!(answer.expect("/livez answers").0, 200);
            most = most.max(whole.descriptors());
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = running => {}
        () = probes => {}
    }
    assert!(most < 200, "{most} descriptors");
    let assumed: usize = whole.assumed_by_role().values().sum();
    assert!(assumed <= ROLES + ROLES / 10, "{assumed} calls of AssumeRole for {ROLES} roles");

    // S4, S8.
    whole.objects().delete_collection(&DeleteParams::default(), &Default::default()).await.unwrap();
    for (number, session) in sessions.iter().enumerate() {
        whole.until_gone(&format!("object-{number}")).await;
        assert_eq!(whole.athena_session(session).state, "TERMINATED");
        let calls = whole.calls_about(session);
        assert!(calls.iter().all(|call| call.account == account(number)), "{calls:?}");
    }
    let by_own = |call: &Call| call.account == HOME && !["AssumeRole", "GetCallerIdentity"].contains(&&*call.operation);
    let calls = whole.athena.calls();
    assert!(!calls.iter().any(by_own), "the operator's own identity asks nothing");
}

/// S4, S8: the roles have the same account and work group. Only the rights that AWS gives them differ.
#[tokio::test]
async fn credentials_of_one_role_are_never_used_for_another() {
    const ROLES: usize = 6;
    let world = World::with(Config { credentials_life: Some(Duration::from_secs(3)), ..brisk() }).await;
    let arn = |number: usize| role(HOME, &format!("role-{number}"));
    let groups = join_all((0..ROLES).map(|number| {
        let spec = json!({
            "workGroup": TEAM_A, "roleArn": arn(number), "externalId": format!("id-{number}"),
            "namespaces": {"from": "All"},
        });
        let world = &world;
        async move { world.register(&format!("role-{number}"), spec).await }
    }))
    .await;
    let sessions: Vec<_> = (0..ROLES).map(|_| world.session_of(TEAM_A)).collect();
    world.start_operator().await;
    for number in 0..ROLES {
        world.refer(&format!("object-{number}"), &groups[number], &sessions[number]).await;
    }
    eventually("the credentials of each role were renewed", || async {
        let assumed = world.assumed_by_role();
        (0..ROLES).all(|number| assumed.get(&arn(number)).is_some_and(|times| *times >= 3)).then_some(())
    })
    .await;
    for number in 0..ROLES {
        world.delete(&format!("object-{number}")).await;
        world.until_gone(&format!("object-{number}")).await;
    }
    let calls = world.athena.calls();
    for call in calls.iter().filter(|call| call.operation == "AssumeRole") {
        let number = parameter(&call.body, "ExternalId").unwrap().replace("id-", "").parse().unwrap();
        assert_eq!(parameter(&call.body, "RoleArn").unwrap(), arn(number));
    }
    let mut users: HashMap<String, HashSet<String>> = HashMap::new();
    for (number, session) in sessions.iter().enumerate() {
        let own =
            calls.iter().filter(|call| call.session.as_ref() == Some(session) && call.operation != "ListSessions");
        for call in own {
            let role = world.athena.role_of(call.access_key.as_deref().unwrap());
            assert_eq!(role, Some(arn(number)), "{call:?}");
            users.entry(arn(number)).or_default().insert(call.access_key.clone().unwrap());
        }
    }
    assert_eq!(users.len(), ROLES);
}

/// L2: the credentials have expired, and STS throttles. Each object alone would ask STS again.
#[tokio::test]
async fn sts_that_throttles_isnt_asked_in_a_tight_loop() {
    const OBJECTS: usize = 20;
    let world = World::with(Config { credentials_life: Some(Duration::from_secs(2)), ..brisk() }).await;
    let group = world.register_account(0).await;
    world.start_operator_with(Start::with(&["--poll-interval=500ms"])).await;
    let names: Vec<_> = (0..OBJECTS).map(|number| format!("object-{number}")).collect();
    for name in &names {
        world.refer(name, &group, &world.session_of_account(0)).await;
        world.until_reason(name, "Running").await;
    }
    world.athena.fault(Fault::error("Throttling", "Rate exceeded").on("AssumeRole"));
    let told = world.until("object-0", "the role can't be assumed", |object| {
        condition(object, "Ready").is_some_and(|ready| ready.2.contains("can't be assumed"))
    });
    let message = condition(&told.await, "Ready").unwrap().2.to_owned();
    assert!(message.contains(&role(&account(0), "operator")) && message.contains("Rate exceeded"), "{message}");
    for name in &names {
        world.delete(name).await;
    }
    world.athena.clear_calls();
    let (since, wanted) = (Instant::now(), 6);
    eventually("STS is asked again and again", || async {
        (world.athena.calls_of("AssumeRole", None) >= wanted).then_some(())
    })
    .await;
    // With a wait of 250 to 500 ms after each failure.
    assert!(since.elapsed() > Duration::from_millis(250 * (wanted as u64 - 2)), "{:?}", since.elapsed());
    assert_eq!(world.operations().len(), 0, "nothing is called without credentials");
    world.athena.clear_faults();
    for name in &names {
        world.until_gone(name).await;
    }
    assert!(world.athena.sessions().iter().all(|session| session.state == "TERMINATED"));
}

/// L1: after "Revoke active sessions" in the AWS console, all earlier credentials of the role are denied.
#[tokio::test]
async fn a_role_whose_sessions_were_revoked_is_assumed_again() {
    let world = World::with(brisk()).await;
    let group = world.register_account(0).await;
    let session = world.session_of_account(0);
    world.start_operator().await;
    world.refer("object", &group, &session).await;
    world.until_reason("object", "Running").await;
    let before = world.assumed_by_role().values().sum::<usize>();
    let policy = |statements: serde_json::Value| {
        Policy::read(&json!({"Version": "2012-10-17", "Statement": statements}).to_string()).unwrap()
    };
    let allow = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    let since = json!({"DateLessThan": {"aws:TokenIssueTime": world.athena.now().to_string()}});
    let revoke = json!({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": since});
    world.athena.reconfigure(|config| {
        let own = (format!("arn:aws:iam::{HOME}:user/fake"), vec![policy(json!([allow]))]);
        let revoked = (role(&account(0), "operator"), vec![policy(json!([allow, revoke]))]);
        config.policies = Some([own, revoked].into());
    });
    world.delete("object").await;
    world.until_gone("object").await;
    assert_eq!(world.athena_session(&session).state, "TERMINATED");
    let assumed = world.assumed_by_role().values().sum::<usize>() - before;
    assert!((1..=2).contains(&assumed), "assumed {assumed} times");
}
