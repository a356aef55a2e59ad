//! One tenant makes AthenaSessions and Pods of 1 MB each, while the operator is away. Then the operator starts under a hard
//! limit of memory, and another tenant's session is to be adopted and ended.

use std::time::{Duration, Instant};

use fake_athena::FakeAthena;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Outcome;
use crate::athena;
use crate::figure::{Figure, List, Unit};
use crate::objects;
use crate::operator::{Launch, Operator};
use crate::progress::Progress;
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::watched::{self, Watched};

/// In MiB, for the operator's data. The limit of deploy/ for the whole Pod is the same.
const DATA_LIMIT: u64 = 256;
/// In MiB.
const MOST_RSS: f64 = 128.0;
/// So many labels of 260 bytes, each of which the API server also notes in managedFields, make an object of 1 MB.
const LABELS: usize = 2_200;
/// Large requests at once: the API server needs several times the memory of each.
const IN_FLIGHT: usize = 8;
/// For the operator to work on the large objects, after the other tenant's session has ended.
const AFTERWARDS: Duration = Duration::from_secs(60);

/// Plays the attack.
pub async fn play(scenario: Scenario, stage: &Stage, progress: &Progress) -> Outcome<Vec<Figure>> {
    let (hostile, other) = (scenario.to_string(), format!("{scenario}-other"));
    for namespace in [&hostile, &other] {
        stage.create_namespace(namespace).await?;
    }
    stage.grant_end_with().await?;
    let athena = athena::start(None).await?;
    let api = watched::objects(stage.client.clone(), &other);
    let mut watched = Watched::start(stage.client.clone(), &other);
    make_large(scenario, stage, &hostile, &athena, progress).await?;
    let sessions = athena::add_sessions(&athena, 1);
    objects::create(&api, sessions.iter().map(|id| stage.session_spec(id)), false).await?;

    progress.phase(&format!(
        "{scenario}: the operator starts with {DATA_LIMIT} MiB, and adopts the other tenant's session"
    ));
    let started = Instant::now();
    let launch = Launch {
        namespaces: vec![hostile, other],
        arguments: vec!["--end-with".to_owned()],
        data_limit: Some(DATA_LIMIT),
        ..Launch::of(&scenario.to_string(), &athena)
    };
    let mut operator = Operator::start(stage, &launch).await?;
    watched.until(|tally| tally.adopted, 1, Some(&mut operator), progress).await?;
    let adopted = started.elapsed();
    progress.phase(&format!("{scenario}: the other tenant's object is deleted and goes"));
    let deleted_at = Instant::now();
    objects::delete(&api, 1).await?;
    watched.until(|tally| tally.gone, 1, Some(&mut operator), progress).await?;
    let gone = deleted_at.elapsed();
    progress.phase(&format!("{scenario}: the operator goes on with the large objects for {} s", AFTERWARDS.as_secs()));
    tokio::time::sleep(AFTERWARDS).await;
    operator.check()?;

    let mut list = List::of(scenario.to_string());
    let note = format!("{} AthenaSessions and as many Pods of 1 MB", scenario.objects);
    list.add("started → other tenant's adopted", Unit::Seconds, adopted.as_secs_f64(), None, &note);
    list.add("other tenant's deleted → gone", Unit::Seconds, gone.as_secs_f64(), None, "");
    let peak = operator.usage()?.peak_rss as f64 / f64::from(1 << 20);
    list.add("peak RSS", Unit::Mebibytes, peak, Some(MOST_RSS), &format!("under RLIMIT_DATA of {DATA_LIMIT} MiB"));
    Ok(list.figures)
}

async fn make_large(
    scenario: Scenario,
    stage: &Stage,
    namespace: &str,
    athena: &FakeAthena,
    progress: &Progress,
) -> Outcome {
    let count = scenario.objects;
    let labels: serde_json::Map<_, _> = (0..LABELS).map(|number| (label(number), json!("v".repeat(60)))).collect();
    let metadata = |name: String| json!({"name": name, "labels": labels});
    progress.phase(&format!("{scenario}: {count} AthenaSessions of 1 MB are made"));
    let sessions = athena::add_sessions(athena, count);
    let specs = sessions.iter().map(|id| stage.session_spec(id)).enumerate().map(|(number, spec)| {
        json!({
            "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
            "metadata": metadata(objects::name(number)), "spec": spec,
        })
    });
    create(&watched::objects(stage.client.clone(), namespace), specs).await?;
    progress.phase(&format!("{scenario}: {count} Pods of 1 MB are made"));
    let pods = (0..count).map(|number| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata(objects::name(number)),
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        })
    });
    create(&Api::<Pod>::namespaced(stage.client.clone(), namespace), pods).await
}

/// A label's name of 194 characters.
fn label(number: usize) -> String {
    format!("{}.example.com/label-{number:06}-{}", "prefix".repeat(20), "x".repeat(48))
}

async fn create<K>(api: &Api<K>, objects: impl Iterator<Item = Value>) -> Outcome
where
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let requests = objects.map(|object| async move {
        let object = serde_json::from_value(object).map_err(|error| error.to_string())?;
        let made = api.create(&PostParams::default(), &object).await;
        made.map(drop).map_err(|error| format!("a large object can't be made: {error}"))
    });
    stream::iter(requests).buffer_unordered(IN_FLIGHT).try_collect().await
}
