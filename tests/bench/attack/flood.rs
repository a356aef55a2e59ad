//! One tenant floods Athena's quotas with thousands of objects. Meanwhile another tenant adopts a session, starts one, and
//! ends both: how long that takes is compared with how long it takes without the flood.

use std::time::{Duration, Instant};

use fake_athena::{FakeAthena, Quota};
use futures::{StreamExt, TryStreamExt, stream};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::Outcome;
use crate::athena;
use crate::figure::{Figure, List, Unit};
use crate::objects;
use crate::operator::{Launch, Operator};
use crate::progress::Progress;
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::watched::{self, Light, Watched};

/// What Athena allows for each operation: just the rate that the operator begins with.
const QUOTA: Quota = Quota { rate: 5.0, burst: 10.0 };
/// The flood may delay another tenant by no more than this factor.
const MOST: f64 = 2.0;
/// For the flood to fill the quotas.
const BEGINS: Duration = Duration::from_secs(10);
/// Requests at once.
const IN_FLIGHT: usize = 32;

/// What the flood consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// New objects for sessions that exist, each of which takes a call of its own.
    Create,
    /// `spec.terminate` of all objects.
    Terminate,
    /// The deletion of all objects.
    Delete,
    /// New objects that ask for the end of sessions that Athena doesn't know.
    UnknownIds,
    /// New objects that start sessions.
    Starts,
    /// New objects whose sessions end with Jobs that don't exist.
    MissingJobs,
}

impl Flood {
    /// As in the name of a scenario.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Terminate => "terminate",
            Self::Delete => "delete",
            Self::UnknownIds => "unknown-ids",
            Self::Starts => "starts",
            Self::MissingJobs => "missing-jobs",
        }
    }

    /// Whether the objects are adopted before the flood begins.
    fn is_of_adopted_objects(self) -> bool {
        matches!(self, Self::Terminate | Self::Delete)
    }
}

/// Plays the attack.
pub async fn play(flood: Flood, scenario: Scenario, stage: &Stage, progress: &Progress) -> Outcome<Vec<Figure>> {
    let (hostile, other) = (scenario.to_string(), format!("{scenario}-other"));
    for namespace in [&hostile, &other] {
        stage.create_namespace(namespace).await?;
    }
    stage.grant_end_with().await?;
    let athena = athena::start(Some(QUOTA)).await?;
    let attack = Attack {
        flood,
        count: scenario.objects,
        stage,
        athena: &athena,
        api: watched::objects(stage.client.clone(), &hostile),
    };
    let mut watched = Watched::start(stage.client.clone(), &hostile);
    let launch = Launch {
        // As `deploy/` does it. Namespaces that are named have a controller each.
        namespaces: vec![],
        arguments: vec!["--end-with".to_owned()],
        by_default: true,
        ..Launch::of(&hostile, &athena)
    };
    let mut operator = Operator::start(stage, &launch).await?;
    if flood.is_of_adopted_objects() {
        progress.phase(&format!("{scenario}: {} objects are adopted", scenario.objects));
        let sessions = athena::add_sessions(&athena, scenario.objects);
        objects::create(&attack.api, sessions.iter().map(|id| stage.session_spec(id)), false).await?;
        watched.until(|tally| tally.adopted, scenario.objects, Some(&mut operator), progress).await?;
    }
    let mut tenant = Tenant {
        stage,
        athena: &athena,
        api: watched::objects(stage.client.clone(), &other),
        watched: Watched::start(stage.client.clone(), &other),
        done: 0,
    };
    progress.phase(&format!("{scenario}: another tenant adopts, starts and ends a session"));
    let alone = tenant.behave(&mut operator, progress).await?;
    progress.phase(&format!("{scenario}: the flood begins"));
    attack.begin().await?;
    tokio::time::sleep(BEGINS).await;
    progress.phase(&format!("{scenario}: the other tenant does the same beside the flood"));
    let flooded = tenant.behave(&mut operator, progress).await?;
    operator.check()?;

    let mut list = List::of(scenario.to_string());
    for ((what, alone), (_, flooded)) in alone.into_iter().zip(flooded) {
        let note = format!("{alone:.2} s without the flood");
        list.add(what, Unit::Seconds, flooded, Some(MOST * alone), &note);
    }
    Ok(list.figures)
}

struct Attack<'a> {
    flood: Flood,
    count: usize,
    stage: &'a Stage,
    athena: &'a FakeAthena,
    /// The objects of the hostile tenant.
    api: Api<Light>,
}

impl Attack<'_> {
    async fn begin(&self) -> Outcome {
        match self.flood {
            Flood::Delete => objects::delete(&self.api, self.count).await,
            Flood::Terminate => self.terminate().await,
            Flood::Create | Flood::UnknownIds | Flood::Starts | Flood::MissingJobs => {
                let specs: Vec<_> = (0..self.count).map(|number| self.spec(number)).collect();
                objects::create(&self.api, specs.into_iter(), false).await
            }
        }
    }

    fn spec(&self, number: usize) -> Value {
        let session = || athena::add_sessions(self.athena, 1).remove(0);
        match self.flood {
            Flood::Starts => self.stage.start_spec(),
            Flood::UnknownIds => json!({"sessionId": format!("unknown-{number:05}"), "terminate": true}),
            Flood::MissingJobs => {
                json!({"sessionId": session(), "endWith": [{"kind": "Job", "name": format!("missing-{number}")}]})
            }
            Flood::Create | Flood::Terminate | Flood::Delete => json!({"sessionId": session()}),
        }
    }

    async fn terminate(&self) -> Outcome {
        let patch = Patch::Merge(json!({"spec": {"terminate": true}}));
        let requests = (0..self.count).map(|number| {
            let patch = &patch;
            async move {
                let patched = self.api.patch(&objects::name(number), &PatchParams::default(), patch).await;
                patched.map(drop).map_err(|error| format!("an object can't be terminated: {error}"))
            }
        });
        stream::iter(requests).buffer_unordered(IN_FLIGHT).try_collect().await
    }
}

/// The tenant that behaves well.
struct Tenant<'a> {
    stage: &'a Stage,
    athena: &'a FakeAthena,
    api: Api<Light>,
    watched: Watched,
    /// How many of its objects have come and gone.
    done: usize,
}

impl Tenant<'_> {
    /// What it did, and how many seconds that took.
    async fn behave(&mut self, operator: &mut Operator, progress: &Progress) -> Outcome<Vec<(&'static str, f64)>> {
        let session = athena::add_sessions(self.athena, 1).remove(0);
        let specs = [
            (json!({"sessionId": session}), ["another tenant's first look", "its end"]),
            (self.stage.start_spec(), ["another tenant's start", "the end of that session"]),
        ];
        let mut took = Vec::new();
        for (spec, [begins, ends]) in specs {
            let asked = Instant::now();
            objects::create(&self.api, [spec].into_iter(), false).await?;
            self.done += 1;
            self.watched.until(|tally| tally.adopted, self.done, Some(operator), progress).await?;
            took.push((begins, asked.elapsed().as_secs_f64()));
            let asked = Instant::now();
            objects::delete(&self.api, 1).await?;
            self.watched.until(|tally| tally.gone, self.done, Some(operator), progress).await?;
            took.push((ends, asked.elapsed().as_secs_f64()));
        }
        Ok(took)
    }
}
