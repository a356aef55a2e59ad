//! Each AthenaWorkGroup has a role of its own, in an AWS account of its own. What that costs is compared with as many
//! AthenaWorkGroups that the operator's own identity reaches.
//!
//! AWS' credentials live for an hour. Here they live for three minutes, so that a life of them stands for an hour.

use std::time::{Duration, Instant};

use athena_session_operator::api::work_group::AthenaWorkGroup;
use fake_athena::{Config, NewSession};
use futures::{StreamExt, TryStreamExt, stream};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::Outcome;
use crate::athena;
use crate::figure::{Figure, List, Unit};
use crate::objects;
use crate::operator::{Launch, Operator};
use crate::progress::Progress;
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::watched::{self, Watched};

const LIFE: Duration = Duration::from_secs(180);
/// Over so many lives the calls of AssumeRole are counted.
const LIVES: u32 = 2;
/// AssumeRole calls an hour for each role.
const MOST_CALLS: f64 = 1.1;
const MOST_DESCRIPTORS: f64 = 256.0;
/// In MiB, with as many roles as the target speaks of.
const MOST_MEMORY: f64 = 64.0;
const IN_FLIGHT: usize = 32;

/// Plays the attack.
pub async fn play(scenario: Scenario, stage: &Stage, progress: &Progress) -> Outcome<Vec<Figure>> {
    let without = measure(scenario, stage, progress, false).await?;
    let with = measure(scenario, stage, progress, true).await?;
    let (roles, mebibytes) = (scenario.objects as f64, |bytes: u64| bytes as f64 / f64::from(1 << 20));
    let mut list = List::of(scenario.to_string());
    let calls = with.assumed as f64 / f64::from(LIVES);
    list.add(
        "AssumeRole calls an hour",
        Unit::Count,
        calls,
        Some(roles * MOST_CALLS),
        "an hour is a life of credentials",
    );
    list.add("descriptors, at the most", Unit::Count, with.descriptors as f64, Some(MOST_DESCRIPTORS), "");
    let note = format!("{:.1} MiB without roles", mebibytes(without.peak_rss));
    let more = mebibytes(with.peak_rss.saturating_sub(without.peak_rss));
    list.add("peak RSS, more than without roles", Unit::Mebibytes, more, Some(MOST_MEMORY), &note);
    list.add("created → adopted", Unit::Seconds, with.adopted.as_secs_f64(), None, "");
    list.add("/livez without an answer within 1 s", Unit::Count, with.silences as f64, Some(0.0), "asked each second");
    Ok(list.figures)
}

/// What so many AthenaWorkGroups cost.
struct Costs {
    /// In `LIVES`.
    assumed: usize,
    descriptors: usize,
    peak_rss: u64,
    adopted: Duration,
    silences: usize,
}

async fn measure(scenario: Scenario, stage: &Stage, progress: &Progress, with_roles: bool) -> Outcome<Costs> {
    let count = scenario.objects;
    let name = format!("{scenario}-{}", if with_roles { "with" } else { "without" });
    stage.create_namespace(&name).await?;
    let athena = athena::start_with(Config { credentials_life: Some(LIFE), ..athena::config(None) }).await?;
    let api = watched::objects(stage.client.clone(), &name);
    let mut watched = Watched::start(stage.client.clone(), &name);
    let groups = Api::all(stage.client.clone());
    progress.phase(&format!("{name}: {count} AthenaWorkGroups are made"));
    create_groups(&groups, &name, count, with_roles).await?;
    let mut operator = Operator::start(stage, &Launch::of(&name, &athena)).await?;
    progress.phase(&format!("{name}: {count} objects are created and adopted"));
    let started = Instant::now();
    let specs = (0..count).map(|number| {
        let account = with_roles.then(|| account(number));
        let session = NewSession { account, work_group: Some(work_group(number)), ..NewSession::default() };
        json!({"sessionId": athena.add_session(session), "workGroupRef": {"name": group(&name, number)}})
    });
    objects::create(&api, specs, false).await?;
    let mut costs = Costs { assumed: 0, descriptors: 0, peak_rss: 0, adopted: Duration::ZERO, silences: 0 };
    tokio::select! {
        adopted = watched.until(|tally| tally.adopted, count, None, progress) => adopted?,
        failed = costs.follow(&mut operator) => failed?,
    }
    costs.adopted = started.elapsed();
    progress.phase(&format!("{name}: nothing changes for {} lives of credentials", LIVES + 1));
    costs.follow_for(LIFE, &mut operator).await?;
    let before = athena.calls_of("AssumeRole", None);
    costs.follow_for(LIFE * LIVES, &mut operator).await?;
    costs.assumed = athena.calls_of("AssumeRole", None) - before;
    costs.peak_rss = operator.usage()?.peak_rss;
    drop(operator);
    progress.phase(&format!("{name}: the AthenaWorkGroups are deleted"));
    delete_groups(&groups, &name, count).await?;
    Ok(costs)
}

impl Costs {
    /// Looks once a second, until the operator ends.
    async fn follow(&mut self, operator: &mut Operator) -> Outcome {
        loop {
            operator.check()?;
            self.descriptors = self.descriptors.max(operator.descriptors()?);
            self.silences += usize::from(!operator.is_live().await?);
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn follow_for(&mut self, time: Duration, operator: &mut Operator) -> Outcome {
        tokio::time::timeout(time, self.follow(operator)).await.unwrap_or(Ok(()))
    }
}

fn account(number: usize) -> String {
    format!("{:012}", 200_000_000_000_u64 + number as u64)
}

fn work_group(number: usize) -> String {
    format!("spark-{number}")
}

fn group(name: &str, number: usize) -> String {
    format!("{name}-{number}")
}

async fn create_groups(groups: &Api<AthenaWorkGroup>, name: &str, count: usize, with_roles: bool) -> Outcome {
    let requests = (0..count).map(|number| async move {
        let mut spec = json!({"workGroup": work_group(number), "namespaces": {"from": "All"}});
        if with_roles {
            spec["roleArn"] = Value::from(format!("arn:aws:iam::{}:role/operator", account(number)));
        }
        let object = json!({
            "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaWorkGroup",
            "metadata": {"name": group(name, number)}, "spec": spec,
        });
        let object = serde_json::from_value(object).map_err(|error| error.to_string())?;
        let made = groups.create(&PostParams::default(), &object).await;
        made.map(drop).map_err(|error| format!("an AthenaWorkGroup can't be created: {error}"))
    });
    stream::iter(requests).buffer_unordered(IN_FLIGHT).try_collect().await
}

async fn delete_groups(groups: &Api<AthenaWorkGroup>, name: &str, count: usize) -> Outcome {
    let requests = (0..count).map(|number| async move {
        let deleted = groups.delete(&group(name, number), &DeleteParams::default()).await;
        deleted.map(drop).map_err(|error| format!("an AthenaWorkGroup can't be deleted: {error}"))
    });
    stream::iter(requests).buffer_unordered(IN_FLIGHT).try_collect().await
}
