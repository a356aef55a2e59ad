//! L1, L2: one namespace floods Athena's quotas. Another namespace gets its first look, its start and its end all the
//! same, long before the flood is over.
//!
//! The tests compare the order of the calls to Athena, and no durations. A call that had to wait for the whole flood
//! comes after the flood's last call.

use std::collections::HashSet;

use fake_athena::{Call, Fault, NewSession};
use futures::future::join_all;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::launch::Start;
use crate::tenancy::{TEAM_B, Whole, brisk, referring};
use crate::world::{World, eventually};

/// The number of objects of the flood: 40 s of calls at the rate below.
const FLOOD: usize = 200;
/// Each call for the well-behaved namespace must come before so many of the flood's calls.
const MOST: usize = FLOOD * 3 / 4;
const SLOW: [&str; 6] = [
    "--athena-rate=5",
    "--athena-rate-max=5",
    "--athena-burst=5",
    "--poll-interval=30s",
    "--poll-interval-changing=500ms",
    "--backoff-max=5s",
];

/// The flood comes from the world's own namespace.
struct Fair {
    world: World,
    /// The well-behaved namespace.
    tenant: String,
    /// The AthenaWorkGroup in which the well-behaved namespace starts sessions.
    group: String,
    /// The AthenaWorkGroup of the flood's sessions.
    flooded: String,
}

impl Fair {
    async fn new(world: World) -> Self {
        let tenant = world.second_namespace().await;
        let group = world.register_for_starts("tenant", json!({})).await;
        let of_flood = json!({"workGroup": TEAM_B, "namespaces": {"from": "All"}, "start": {}});
        let flooded = world.register("flood", of_flood).await;
        let fair = Self { world, tenant, group, flooded };
        fair.start_operator(&[]).await;
        fair
    }

    async fn start_operator(&self, arguments: &[&str]) {
        let of_both = ["--watch-namespace", &self.tenant];
        let arguments = [&SLOW[..], &of_both, arguments].concat();
        self.world.start_operator_with(Start::with(&arguments)).await;
    }

    /// The well-behaved namespace adopts a session, starts another one, and ends both.
    async fn behave(&self, run: &str) {
        let (world, tenant) = (&self.world, &self.tenant);
        let (adopted, started) = (format!("adopted-{run}"), format!("started-{run}"));
        world.create_in(tenant, &adopted, json!({"sessionId": world.session_in("IDLE")})).await;
        let start = json!({"start": {}, "workGroupRef": {"name": self.group}});
        world.create_in(tenant, &started, start).await;
        world.until_reason_in(tenant, &adopted, "Running").await;
        world.until_reason_in(tenant, &started, "Running").await;
        for name in [&adopted, &started] {
            world.objects_in(tenant).delete(name, &DeleteParams::default()).await.unwrap();
        }
        world.until_gone_in(tenant, &adopted).await;
        world.until_gone_in(tenant, &started).await;
    }

    async fn create_flood(&self, specs: impl IntoIterator<Item = Value>) {
        let specs = specs.into_iter().enumerate();
        join_all(specs.map(|(number, spec)| async move { self.world.create(&name(number), spec).await })).await;
    }

    /// Creates the flood's objects, and waits until lists have shown their sessions.
    async fn adopt_flood(&self) -> HashSet<String> {
        let sessions: Vec<_> = (0..FLOOD).map(|_| self.world.session_of(TEAM_B)).collect();
        self.create_flood(sessions.iter().map(|id| referring(&self.flooded, id))).await;
        for number in 0..FLOOD {
            self.world.until_reason(&name(number), "Running").await;
        }
        sessions.into_iter().collect()
    }

    /// For how many sessions of the flood this call was made.
    fn done(&self, operation: &str, flood: &HashSet<String>) -> usize {
        let calls = self.world.athena.calls().into_iter().filter(|call| call.operation == operation);
        let sessions = calls.filter_map(|call| call.session).filter(|id| flood.contains(id));
        sessions.collect::<HashSet<_>>().len()
    }

    async fn until_flooded(&self, done: impl Fn() -> usize) {
        eventually("the flood has begun", || async { (done() >= 5).then_some(()) }).await;
    }
}

fn name(number: usize) -> String {
    format!("flood-{number}")
}

#[tokio::test]
async fn many_new_objects_of_one_namespace_hold_up_no_other() {
    let fair = Fair::new(World::with(brisk()).await).await;
    fair.behave("before").await;
    let sessions: Vec<_> = (0..FLOOD).map(|_| fair.world.session_in("IDLE")).collect();
    fair.create_flood(sessions.iter().map(|id| json!({"sessionId": id}))).await;
    let sessions = sessions.into_iter().collect();
    let done = || fair.done("GetSession", &sessions);
    fair.until_flooded(done).await;
    fair.behave("during").await;
    assert!(done() < MOST, "{} of {FLOOD} objects were looked at before", done());
}

#[tokio::test]
async fn many_terminated_objects_of_one_namespace_hold_up_no_other() {
    let fair = Fair::new(World::with(brisk()).await).await;
    fair.behave("before").await;
    let sessions = fair.adopt_flood().await;
    let names: Vec<_> = (0..FLOOD).map(name).collect();
    join_all(names.iter().map(|name| fair.world.edit(name, json!({"terminate": true})))).await;
    let done = || fair.done("TerminateSession", &sessions);
    fair.until_flooded(done).await;
    fair.behave("during").await;
    assert!(done() < MOST, "{} of {FLOOD} sessions were ended before", done());
}

#[tokio::test]
async fn many_deleted_objects_of_one_namespace_hold_up_no_other() {
    let fair = Fair::new(World::with(brisk()).await).await;
    fair.behave("before").await;
    let sessions = fair.adopt_flood().await;
    fair.world.objects().delete_collection(&DeleteParams::default(), &Default::default()).await.unwrap();
    let done = || fair.done("TerminateSession", &sessions);
    fair.until_flooded(done).await;
    fair.behave("during").await;
    assert!(done() < MOST, "{} of {FLOOD} sessions were ended before", done());
}

/// The flood's objects name sessions that Athena doesn't know, and ask for their ends.
#[tokio::test]
async fn many_unknown_ids_of_one_namespace_hold_up_no_other() {
    let fair = Fair::new(World::with(brisk()).await).await;
    fair.behave("before").await;
    let ids: HashSet<_> = (0..FLOOD).map(|number| format!("00000000-0000-0000-0000-{number:012}")).collect();
    fair.create_flood(ids.iter().map(|id| json!({"sessionId": id, "terminate": true}))).await;
    let done = || fair.done("GetSession", &ids);
    fair.until_flooded(done).await;
    fair.behave("during").await;
    assert!(done() < MOST, "{} of {FLOOD} ids were looked at before", done());
}

/// Once each id has been asked for twice, the work group's lists answer for all of them.
#[tokio::test]
async fn unknown_ids_are_asked_for_twice_and_then_listed() {
    const IDS: usize = 40;
    // An operator that watches all namespaces lists each registered work group from end to end.
    let world = Whole::new().await;
    let group = world.register_for_all("a", TEAM_B).await;
    world.start(&["--poll-interval=2s", "--backoff-max=4s"]).await;
    let unknown = |number: usize| format!("00000000-0000-0000-0000-{number:012}");
    for number in 0..IDS {
        let mut spec = referring(&group, &unknown(number));
        spec["terminate"] = json!(true);
        world.create(&name(number), spec).await;
    }
    for number in 0..IDS {
        world.until_reason(&name(number), "SessionNotFound").await;
    }
    let asked = |number: usize| world.athena.calls_of("GetSession", Some(&unknown(number)));
    eventually("each is asked for twice", || async { (0..IDS).all(|number| asked(number) >= 2).then_some(()) }).await;
    // Without lists each object would make a call of its own after 2 s, and then every 4 s.
    let lists = || world.athena.calls_of("ListSessions", None);
    let before = lists();
    eventually("lists go on", || async { (lists() >= before + 30).then_some(()) }).await;
    let asked: usize = (0..IDS).map(asked).sum();
    assert!(asked <= 3 * IDS, "{asked} calls for {IDS} ids");
    // A list that shows the session after all wakes the object.
    let work_group = Some(TEAM_B.to_owned());
    let shown = NewSession { id: Some(unknown(7)), work_group, ..NewSession::default() };
    let shown = world.athena.add_session(shown);
    eventually("it is ended", || async { (world.terminations(&shown) > 0).then_some(()) }).await;
}

#[tokio::test]
async fn many_starts_of_one_namespace_hold_up_no_other() {
    let fair = Fair::new(World::with(brisk()).await).await;
    fair.behave("before").await;
    // Athena has no capacity, so each start is repeated again and again.
    let world = &fair.world;
    world.athena.fault(Fault::error("TooManyRequestsException", "no room").on("StartSession"));
    fair.create_flood((0..FLOOD).map(|_| json!({"start": {}, "workGroupRef": {"name": fair.flooded}}))).await;
    let starts = || world.athena.calls().into_iter().filter(|call| call.operation == "StartSession");
    fair.until_flooded(|| starts().count()).await;
    let before = starts().count();
    let start = json!({"start": {}, "workGroupRef": {"name": fair.group}});
    world.create_in(&fair.tenant, "waiting", start).await;
    let is_ours = |call: &Call| call.body.contains(&fair.tenant);
    let position =
        eventually("the start is tried", || async { starts().skip(before).position(|it| is_ours(&it)) }).await;
    assert!(position < MOST, "{position} starts came before it");
    world.athena.clear_faults();
    let effective = || starts().filter(|call| call.effect && !is_ours(call)).count();
    world.until_reason_in(&fair.tenant, "waiting", "Running").await;
    fair.behave("during").await;
    assert!(effective() < MOST, "{} of {FLOOD} sessions were started before", effective());
}

/// Objects that end with a Job that doesn't exist: the operator looks for the Job again and again.
#[tokio::test]
async fn many_objects_with_missing_jobs_hold_up_no_other_namespace() {
    let world = World::with_workloads().await;
    let fair = Fair::new(world).await;
    fair.world.kill_operator();
    fair.start_operator(&["--end-with", "--end-with-delay=1s"]).await;
    fair.behave("before").await;
    let sessions: Vec<_> = (0..FLOOD).map(|_| fair.world.session_in("BUSY")).collect();
    let missing = |number: usize| json!([{"kind": "Job", "name": format!("missing-{number}")}]);
    let specs = sessions.iter().enumerate();
    fair.create_flood(specs.map(|(number, id)| json!({"sessionId": id, "endWith": missing(number)}))).await;
    let sessions = sessions.into_iter().collect();
    let done = || fair.done("GetSession", &sessions);
    fair.until_flooded(done).await;
    fair.behave("during").await;
    assert!(done() < MOST, "{} of {FLOOD} objects were looked at before", done());
}
