//! One tenant has thousands of AthenaSessions that wait to start. They are deleted while the operator is away. Then the operator
//! starts, in its default settings, where Athena allows no more than the rate that the operator begins with, and another
//! tenant's session is to be adopted.

use std::time::{Duration, Instant};

use athena_session_operator::api::work_group::AthenaWorkGroup;
use fake_athena::{FakeAthena, Quota};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::time::sleep;

use crate::Outcome;
use crate::athena::{self, Calls};
use crate::figure::{Figure, List, Unit};
use crate::objects;
use crate::operator::{Launch, Operator};
use crate::progress::Progress;
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::watched::{self, Light, Watched};

/// The tenant's AthenaWorkGroup.
const GROUP: &str = "attack-restart";
/// The calls of a list in each state, as far back as the objects were made: one page each.
const FULL_LIST: f64 = 9.0;
/// Two lists that show no session, whose beginnings are so far apart, prove that none was started.
const QUIET: f64 = 60.0;

/// Plays the attack.
pub async fn play(scenario: Scenario, stage: &Stage, progress: &Progress) -> Outcome<Vec<Figure>> {
    let (hostile, other) = (scenario.to_string(), format!("{scenario}-other"));
    for namespace in [&hostile, &other] {
        stage.create_namespace(namespace).await?;
    }
    let athena = athena::start(Some(Quota { rate: 5.0, burst: 10.0 })).await?;
    let (waiting, theirs) =
        (watched::objects(stage.client.clone(), &hostile), watched::objects(stage.client.clone(), &other));
    let (mut watched, mut adopted) =
        (Watched::start(stage.client.clone(), &hostile), Watched::start(stage.client.clone(), &other));
    register(stage.client.clone()).await?;
    let launch =
        Launch { namespaces: vec![hostile, other], by_default: true, ..Launch::of(&scenario.to_string(), &athena) };
    make_waiting(scenario, stage, &launch, &waiting, progress).await?;

    progress.phase(&format!("{scenario}: all are deleted while the operator is away; then it starts"));
    objects::delete(&waiting, scenario.objects).await?;
    let session = athena::add_sessions(&athena, 1).remove(0);
    objects::create(&theirs, std::iter::once(stage.session_spec(&session)), false).await?;
    let (before, started) = (lists(&athena), Instant::now());
    let mut operator = Operator::start(stage, &launch).await?;
    adopted.until(|tally| tally.adopted, 1, Some(&mut operator), progress).await?;
    let adoption = started.elapsed();
    watched.until(|tally| tally.gone, scenario.objects, Some(&mut operator), progress).await?;
    let gone = started.elapsed();
    operator.check()?;

    let mut list = List::of(scenario.to_string());
    // While the objects wait, the poller lists each work group that has sessions, too.
    let polls = 4.0 * (gone.as_secs_f64() / 60.0).ceil();
    let calls = (lists(&athena) - before) as f64;
    let note = format!("two lists of {FULL_LIST} calls for {} objects, and {polls} polls", scenario.objects);
    list.add("calls of ListSessions", Unit::Count, calls, Some(2.0 * 1.2 * FULL_LIST + polls), &note);
    list.add("started → all gone", Unit::Seconds, gone.as_secs_f64(), Some(2.0 * QUIET), "2 × quiet time");
    list.add("started → other tenant's adopted", Unit::Seconds, adoption.as_secs_f64(), Some(10.0), "");
    Ok(list.figures)
}

/// An AthenaWorkGroup that allows one session to a namespace.
async fn register(client: Client) -> Outcome {
    let group = serde_json::from_value(json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaWorkGroup", "metadata": {"name": GROUP},
        "spec": {"workGroup": "primary", "namespaces": {"from": "All"}, "start": {"sessionsPerNamespace": 1}},
    }));
    let group: AthenaWorkGroup = group.map_err(|error| error.to_string())?;
    let made = Api::all(client).create(&PostParams::default(), &group).await;
    made.map(drop).map_err(|error| format!("the AthenaWorkGroup: {error}"))
}

/// The operator takes all of them on; one session starts.
async fn make_waiting(
    scenario: Scenario,
    stage: &Stage,
    launch: &Launch,
    waiting: &Api<Light>,
    progress: &Progress,
) -> Outcome {
    progress.phase(&format!("{scenario}: {} objects are made that wait to start", scenario.objects));
    let launch = Launch { name: format!("{}-before", launch.name), ..launch.clone() };
    let mut operator = Operator::start(stage, &launch).await?;
    let spec = || json!({"start": {}, "workGroupRef": {"name": GROUP}});
    objects::create(waiting, (0..scenario.objects).map(|_| spec()), false).await?;
    loop {
        let objects = waiting.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let held = objects.items.iter().filter(|object| !object.finalizers().is_empty()).count();
        if held == scenario.objects {
            return Ok(());
        }
        progress.step(&format!("{held} of {}", scenario.objects));
        operator.check()?;
        sleep(Duration::from_secs(1)).await;
    }
}

fn lists(athena: &FakeAthena) -> usize {
    Calls::of(athena).by_operation.get("ListSessions").copied().unwrap_or_default()
}
