//! Real clients (PyAthena, awswrangler, dbt-athena, SageMaker Studio) with sessions that the operator started, and sessions that
//! they started and left behind.

#[path = "../fake-athena/tests/common/python.rs"]
mod python;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use fake_athena::{Config, FakeAthena, NewSession, SPARK_3_5, WorkGroup};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::cleanup_command::cleanup;
use crate::docs::pages::Page;
use crate::tenancy::TEAM_A;
use crate::world::{World, eventually, in_checkout};

const SPARK_3_5_GROUP: &str = "spark-3-5";

/// Packages that can be installed together. dbt-athena asks for an older PyAthena.
const MOST: &str = "requirements.txt";
const DBT: &str = "requirements-dbt.txt";

/// A script of `tests/operator/clients` with these packages.
async fn script(name: &str, requirements: &str, athena: &FakeAthena) -> Command {
    let folder = PathBuf::from(in_checkout("tests/operator/clients"));
    let environment = if requirements == DBT { "dbt" } else { "clients" };
    let mut command = Command::new(python::environment(environment, &folder.join(requirements)).await);
    command.arg("-B").arg(folder.join(name)).arg(athena.url());
    command
}

/// Starts a session with a client of `forget.py`, and kills the client when the session is in this state. Returns the
/// session's id.
async fn leave_behind(athena: &FakeAthena, client: &str, work_group: &str, state: &str) -> String {
    let requirements = if client.starts_with("dbt") { DBT } else { MOST };
    let before: Vec<_> = athena.sessions().into_iter().map(|session| session.id).collect();
    let mut command = script("forget.py", requirements, athena).await;
    command.args([client, work_group]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let process = command.kill_on_drop(true).spawn().unwrap();
    let left = eventually(client, || async {
        let is_it = |session: &fake_athena::SessionView| session.state == state && !before.contains(&session.id);
        athena.sessions().into_iter().find(is_it).map(|session| session.id)
    });
    tokio::select! {
        output = process.wait_with_output() => panic!("{client}: {}", String::from_utf8_lossy(&output.unwrap().stderr)),
        id = left => id,
    }
}

#[tokio::test]
async fn pyathena_and_awswrangler_work_in_a_started_session() {
    let world = World::new().await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_session("nightly", &group).await;
    let status = world.until_reason("nightly", "Running").await.status.unwrap();
    let (id, work_group) = (status.session_id.unwrap(), status.work_group.unwrap());
    let mut command = script("use.py", MOST, &world.athena).await;
    command.envs([("ATHENA_SESSION_ID", id.as_str()), ("ATHENA_WORK_GROUP", &work_group), ("AWS_REGION", "eu-west-1")]);
    assert_eq!(python::run(&mut command).await, "COMPLETED\nCOMPLETED\n");
    assert_eq!(world.athena.calls_of("StartCalculationExecution", Some(&id)), 2);
    world.until_reason("nightly", "Running").await;
    assert_eq!(world.athena.sessions().len(), 1, "neither started one of its own");
    world.delete("nightly").await;
    world.until_gone("nightly").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

#[tokio::test]
async fn what_pyathena_and_awswrangler_left_behind_is_ended() {
    let world = World::with(Config { calculation: Duration::from_secs(3600), ..brisk() }).await;
    world.start_operator().await;
    for client in ["pyathena_at_work", "awswrangler_at_work"] {
        let id = leave_behind(&world.athena, client, TEAM_A, "BUSY").await;
        let name = client.replace('_', "-");
        world.create(&name, json!({"sessionId": id})).await;
        world.until_reason(&name, "Running").await;
        world.delete(&name).await;
        world.until_gone(&name).await;
        assert_eq!(world.athena_session(&id).state, "TERMINATED");
    }
}

/// An Athena where sessions start and end within a moment.
fn brisk() -> Config {
    let moment = Some(Duration::from_millis(200));
    Config { creating: moment, terminating: moment, ..Config::default() }
}

/// A client that was killed, and the rule of docs/cleanup.md that finds its session.
struct LeftBehind {
    client: &'static str,
    work_group: &'static str,
    /// How the session stands when its client is killed.
    state: &'static str,
    /// When somebody looks.
    hours_later: u64,
    rule: &'static str,
}

const LEFT_BEHIND: [LeftBehind; 5] = [
    of("dbt_at_work", "BUSY", 25, "dbt"),
    of("pyathena_at_work", "BUSY", 25, "pyathena"),
    of("pyathena_idle", "IDLE", 3, "idle"),
    of("awswrangler_at_work", "BUSY", 25, "no-description"),
    LeftBehind { work_group: SPARK_3_5_GROUP, ..of("sagemaker_studio_connected", "IDLE", 25, "no-description") },
];

const fn of(client: &'static str, state: &'static str, hours_later: u64, rule: &'static str) -> LeftBehind {
    LeftBehind { client, work_group: TEAM_A, state, hours_later, rule }
}

#[tokio::test]
async fn the_rules_of_the_docs_find_what_clients_left_behind() {
    // Two at a time: each loads large packages.
    futures::stream::iter(LEFT_BEHIND).map(is_found).buffer_unordered(2).collect::<Vec<()>>().await;
}

async fn is_found(LeftBehind { client, work_group, state, hours_later, rule }: LeftBehind) {
    let work_groups = vec![WorkGroup::named(TEAM_A), WorkGroup::with_engine(SPARK_3_5_GROUP, SPARK_3_5)];
    let calculation = Duration::from_secs(100 * 3600);
    let athena = FakeAthena::start(Config { calculation, work_groups, ..brisk() }).await.unwrap();
    let left = leave_behind(&athena, client, work_group, state).await;
    if work_group == SPARK_3_5_GROUP {
        // A query that runs on: there are no calculations. Otherwise the idle timeout would end the session.
        athena.set_state(&left, "BUSY");
    }
    athena.advance(Duration::from_secs(hours_later * 3600));
    // What the same client has just started is still used.
    let used = NewSession { description: athena.session(&left).unwrap().description, ..NewSession::default() };
    let used = athena.add_session(NewSession { work_group: Some(work_group.to_owned()), ..used });

    let dry = clean_up(&athena, work_group, &[]).await;
    let told =
        |id: &str| dry["sessions"].as_array().unwrap().iter().find(|session| session["sessionId"] == id).unwrap();
    let found = |id| (told(id)["verdict"].as_str().unwrap(), told(id)["rule"].as_str());
    assert_eq!(found(&left), ("WouldEnd", Some(rule)), "{client}: {dry}");
    assert_eq!(found(&used), ("Left", None), "{client}: {dry}");
    assert_eq!(athena.calls_of("TerminateSession", None), 0);

    let enforced = clean_up(&athena, work_group, &["--enforce"]).await;
    let states = [&left, &used].map(|id| athena.session(id).unwrap().state);
    assert_eq!(states, ["TERMINATED", "IDLE"], "{client}: {enforced}");
}

/// Runs the command with the rules of docs/cleanup.md.
async fn clean_up(athena: &FakeAthena, work_group: &str, arguments: &[&str]) -> Value {
    let page = Page::named("cleanup.md");
    let has_rules = |text: &str| text.contains("kind: AthenaWorkGroup") && text.contains("  cleanup:");
    let manifest = &page.blocks().find(|block| has_rules(&block.text)).expect("the page shows the rules").text;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("work-group.yaml");
    std::fs::write(&file, manifest.replace(TEAM_A, work_group)).unwrap();
    let file = file.display().to_string();
    cleanup(athena, &[&["-f", &file], arguments].concat()).await.unwrap()
}
