//! The crash sweep of clean-up: the operator is killed at each request of its runs, before and after the request takes
//! effect, and another one begins, or runs already. Or the answer is cut off. In each case exactly the forgotten sessions
//! end, each end was reserved before, and all operators together stay within the budget.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use control_plane::ControlPlane;
use fake_athena::NewSession;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use crate::api::CleanupBudget;
use crate::crash_sweep::{Strike, strike_each};
use crate::launch::{Operator, Start};
use crate::proxy::{Key, Script, When, before_athena, kubeconfig_by_way_of};
use crate::tenancy::{TEAM_A, brisk, installed};
use crate::world::{PATIENCE, World, eventually};

/// How many runs take place side by side. Mostly they wait for lists.
const AT_ONCE: usize = 6;

/// So many sessions are to be ended, in two runs.
const FORGOTTEN: usize = 3;

const MOST_ENDS: u32 = 2;

/// The requests of two runs, with how often each is struck at the most.
const STRUCK: [(&str, u32); 8] = [
    // A complete list takes three calls.
    ("AmazonAthena.ListSessions", 3),
    ("AmazonAthena.ListTagsForResource", 2),
    // GetCallerIdentity. STS has another protocol.
    ("POST /", 2),
    ("GET /apis/athena-operator.dev/v1alpha1/athenaworkgroups", 2),
    ("PUT /apis/athena-operator.dev/v1alpha1/athenaworkgroups/NAMESPACE-a/status", 4),
    ("AmazonAthena.GetSessionStatus", 3),
    ("GET /apis/athena-operator.dev/v1alpha1/athenasessions", 3),
    ("AmazonAthena.TerminateSession", 3),
];

/// What happens at a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Blow {
    /// The operator is killed, and another one starts.
    Kill,
    /// The operator is killed, and another one runs already, as during a rollout.
    KillBesideAnother,
    /// The answer is cut off, and the operator lives on.
    Cut,
}

impl Blow {
    /// Between two complete lists.
    fn interval(self) -> Duration {
        // The operator that runs already makes its run a third of an interval after the one that is killed, and a budget is
        // recorded in whole seconds.
        Duration::from_secs(if self == Self::KillBesideAnother { 3 } else { 1 })
    }
}

/// The operator is killed at each request of clean-up. A read has no effect: a blow before a read would find what a blow
/// after the request before the read finds.
#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_forgotten_sessions_end_after_a_crash_at_any_request() {
    let whens = |request: &str| match request.starts_with("PUT") || request.ends_with("TerminateSession") {
        true => vec![When::Before, When::After],
        false => vec![When::After],
    };
    sweep(Blow::Kill, |_| true, whens).await;
}

/// S6: what the killed operator reserved counts for the one that goes on.
#[tokio::test(flavor = "multi_thread")]
async fn ends_that_a_killed_operator_reserved_count_in_the_budget_of_another() {
    let is_late = |request: &str| ["PUT", "GetSessionStatus", "TerminateSession"].iter().any(|it| request.contains(it));
    sweep(Blow::KillBesideAnother, is_late, |_| vec![When::After]).await;
}

/// The operator lives on, and doesn't know whether its request had an effect.
#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_forgotten_sessions_end_despite_a_cut_connection() {
    sweep(Blow::Cut, |_| true, |_| vec![When::After]).await;
}

async fn sweep(blow: Blow, is_struck: impl Fn(&str) -> bool, whens: impl Fn(&str) -> Vec<When>) {
    // One sweep after the other: with too many operators side by side a run takes longer than the interval between two lists,
    // and each list ends the run before.
    static UNDER_WAY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _under_way = UNDER_WAY.lock().await;
    let most = |request: &str| STRUCK.iter().find(|(name, _)| *name == request).map_or(0, |(_, most)| *most);
    let strikes_at = |key: Key| {
        let is_struck = key.occurrence <= most(&key.request) && is_struck(&key.request);
        let whens = if is_struck { whens(&key.request) } else { Vec::new() };
        whens.into_iter().map(|when| (key.clone(), when)).collect()
    };
    let (known, struck) = strike_each(AT_ONCE, strikes_at, |strike| run(blow, strike)).await;
    let seen: HashSet<_> = known.iter().map(|key| key.request.as_str()).collect();
    for (request, _) in STRUCK {
        assert!(seen.contains(request), "{request} was never seen in {seen:?}");
    }
    let kinds = STRUCK.iter().filter(|(request, _)| is_struck(request)).count();
    assert!(struck >= 2 * kinds, "only {struck} blows");
}

/// Clean-up of one work group, with the blow at `strike`. Returns whether the blow fell, and all requests of the first
/// operator.
async fn run(blow: Blow, strike: Option<Strike>) -> (bool, Vec<Key>) {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    let world = World::on(installed(&PLANE).await, brisk()).await;
    let forgotten: BTreeSet<_> = (0..FORGOTTEN).map(|_| left(&world, dbt())).collect();
    let declared = left(&world, dbt());
    world.create("declared", json!({"sessionId": declared})).await;
    let others = [
        (declared, "IDLE"),
        (left(&world, NewSession { tags: [("team".to_owned(), "risk".to_owned())].into(), ..dbt() }), "IDLE"),
        (left(&world, NewSession { state: "BUSY".to_owned(), ..dbt() }), "BUSY"),
        (left(&world, NewSession { age: Duration::from_secs(60), ..dbt() }), "IDLE"),
    ];
    let spec = json!({"workGroup": TEAM_A, "namespaces": {"from": "All"}, "cleanup": rules()});
    let group = world.register("a", spec).await;
    let ends = Arc::new(Ends { interval: blow.interval(), forgotten: forgotten.clone(), ..Ends::default() });
    let scripted = |cuts: bool, operator: usize| {
        let (script, ends) = (if cuts { Script::cutting() } else { Script::default() }, Arc::clone(&ends));
        Arc::new(script.showing_only(&group).with_meddler(move |request, body| {
            ends.requested(operator, request, body);
            None
        }))
    };
    let first = scripted(blow == Blow::Cut, 0);
    if let Some((key, when)) = strike.clone() {
        first.strike_at(key, when);
    }
    let second = scripted(false, 1);
    let scenario = async {
        world.start_operator_with(start(&world, &first, blow.interval()).await).await;
        let _beside = if blow == Blow::KillBesideAnother {
            // The first status of an AthenaWorkGroup may be written before a list, and that write may be struck.
            let has_begun = || first.count("AmazonAthena.ListSessions") > 0 || first.is_spent();
            eventually("the first list, or the blow", || async { has_begun().then_some(()) }).await;
            sleep(blow.interval() / 3).await;
            Some(Operator::start(&world, start(&world, &second, blow.interval()).await).await)
        } else {
            None
        };
        eventually("the forgotten sessions have ended", || async {
            forgotten.iter().all(|id| world.athena_session(id).state == "TERMINATED").then_some(())
        })
        .await;
    };
    let killer = async {
        first.struck().await;
        if blow != Blow::Cut {
            world.kill_operator();
            let status = world.group(&group).await.unwrap().status.unwrap_or_default();
            ends.killed(status.cleanup.and_then(|cleanup| cleanup.budget));
        }
        if blow == Blow::Kill {
            world.start_operator_with(start(&world, &second, blow.interval()).await).await;
        }
        std::future::pending::<()>().await;
    };
    let outcome = timeout(2 * PATIENCE, async {
        tokio::select! {
            () = scenario => {}
            () = killer => {}
        }
    });
    assert!(outcome.await.is_ok(), "hangs after a blow at {strike:?}");
    // Numbers are written once a minute. So it is the last operator that tells how it ends.
    world.kill_operator();
    world.start_operator_with(start(&world, &scripted(false, 2), Duration::from_millis(500)).await).await;
    let told = world.until_group(&group, "the status says what is left", |group| {
        let cleanup = group.status.as_ref().and_then(|status| status.cleanup.as_ref());
        cleanup.is_some_and(|it| {
            (it.looked_at as usize, it.matched, it.due) == (others.len(), 0, 0)
                && it.protected == BTreeMap::from([("Tag".to_owned(), 1)])
                && (&it.held, &it.problem, it.matched_sessions.len()) == (&None, &None, 0)
        })
    });
    told.await;
    assert_eq!(*ends.breach.lock().unwrap(), None, "{blow:?} at {strike:?}");
    for (id, state) in others {
        assert_eq!(
            (world.athena_session(&id).state.as_str(), world.terminations(&id)),
            (state, 0),
            "{blow:?} at {strike:?}"
        );
    }
    (strike.is_some() && first.is_spent(), first.seen())
}

async fn start(world: &World, script: &Arc<Script>, interval: Duration) -> Start {
    Start {
        kubeconfig: kubeconfig_by_way_of(script, world).await,
        athena_url: Some(before_athena(&world.athena.url(), script, &world.namespace).await),
        all_namespaces: true,
        ..Start::with(&[&format!("--poll-interval={}ms", interval.as_millis())])
    }
}

fn left(world: &World, session: NewSession) -> String {
    world.athena.add_session(NewSession { work_group: Some(TEAM_A.to_owned()), ..session })
}

fn dbt() -> NewSession {
    NewSession {
        description: Some("dbt: orders".to_owned()),
        age: Duration::from_secs(4 * 3600),
        ..NewSession::default()
    }
}

fn rules() -> Value {
    json!({
        "mode": "Enforce",
        "rules": [{"name": "forgotten", "match": {"states": ["IDLE"], "idleFor": "1h", "description": "^dbt: "}}],
        "protect": [{"tag": "team", "value": "risk"}],
        "maxTerminationsPerRun": MOST_ENDS, "maxMatchedPercent": 100,
    })
}

/// What the operators of a run reserve and end, as their requests show.
#[derive(Default)]
struct Ends {
    interval: Duration,
    forgotten: BTreeSet<String>,
    operators: Mutex<[Reserved; 3]>,
    /// How many calls of TerminateSession there were.
    made: AtomicU64,
    /// What was recorded when the first operator was killed.
    killed: Mutex<Option<CleanupBudget>>,
    /// What was wrong first.
    breach: Mutex<Option<String>>,
}

/// What an operator has reserved for a run.
#[derive(Default)]
struct Reserved {
    /// The AthenaWorkGroups have been read: a write of the status reserves ends.
    is_reserving: bool,
    left: u32,
}

impl Ends {
    fn killed(&self, recorded: Option<CleanupBudget>) {
        *self.killed.lock().unwrap() = recorded;
    }

    /// An operator makes a request.
    fn requested(&self, operator: usize, request: &str, body: &str) {
        let mut operators = self.operators.lock().unwrap();
        let reserved = &mut operators[operator];
        if request.starts_with("GET ") && request.ends_with("/athenaworkgroups") {
            reserved.is_reserving = true;
        }
        if request.starts_with("PUT ") && request.ends_with("/status") {
            let object: Value = serde_json::from_str(body).unwrap();
            self.recorded(reserved, &object["status"]["cleanup"]);
        }
        if request.ends_with(".TerminateSession") {
            let asked: Value = serde_json::from_str(body).unwrap();
            let id = asked["SessionId"].as_str().unwrap();
            self.expect(self.forgotten.contains(id), || format!("{id} wasn't to be ended"));
            self.expect(reserved.left > 0, || format!("the end of {id} wasn't reserved, or not within the budget"));
            reserved.left = reserved.left.saturating_sub(1);
            self.made.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn recorded(&self, reserved: &mut Reserved, cleanup: &Value) {
        if let Ok(budget) = serde_json::from_value::<CleanupBudget>(cleanup["budget"].clone())
            && std::mem::take(&mut reserved.is_reserving)
        {
            self.expect(budget.reserved <= MOST_ENDS, || format!("{budget:?} is more than may end"));
            let killed = self.killed.lock().unwrap();
            let counts = |killed: &&CleanupBudget| {
                let age = Timestamp::now().duration_since(killed.reserved_at.0);
                age.unsigned_abs() < self.interval && **killed != budget
            };
            let by_others = killed.as_ref().filter(counts).map_or(0, |killed| killed.reserved);
            *reserved = Reserved { left: budget.reserved.saturating_sub(by_others), ..Reserved::default() };
        }
        let (told, made) = (cleanup["ended"].as_u64().unwrap_or_default(), self.made.load(Ordering::Relaxed));
        self.expect(told <= made, || format!("{told} ends are told, and {made} were made"));
    }

    fn expect(&self, is_so: bool, otherwise: impl FnOnce() -> String) {
        if !is_so {
            self.breach.lock().unwrap().get_or_insert_with(otherwise);
        }
    }
}
