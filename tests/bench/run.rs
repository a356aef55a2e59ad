//! One scenario, from its first object to its last.

use std::time::{Duration, Instant};

use fake_athena::FakeAthena;
use kube::Api;
use tokio::time::{sleep, timeout};

use crate::Outcome;
use crate::athena::{self, Calls};
use crate::objects;
use crate::operator::{Launch, Operator};
use crate::progress::Progress;
use crate::requests::{Counts, Requests};
use crate::results::{Flips, Floor, Memory, Phase, Results, curve, rounded, thin};
use crate::scenario::{Kind, Scenario};
use crate::stage::Stage;
use crate::watched::{self, Light, Watched};

/// A scenario takes some minutes; one of 100,000 objects needs a quarter of an hour to make them.
const PATIENCE: Duration = Duration::from_secs(40 * 60);
/// Between the last adoption and what is measured then.
const SETTLE: Duration = Duration::from_secs(10);
/// Before calls are counted while nothing changes: a list that began during the adoption, and was slow for that, has ended.
const LISTS_SETTLE: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);
/// How often half of the sessions change; an odd number, so that they end in another state than at the start.
const ROUNDS: usize = 3;
/// After the last change each state is known within an interval between two looks, and some more.
const CATCH_UP: Duration = Duration::from_secs(120);

/// Plays a scenario.
pub async fn run(scenario: Scenario, stage: &Stage, progress: &Progress) -> Outcome<Results> {
    match timeout(PATIENCE, play(scenario, stage, progress)).await {
        Ok(results) => results,
        Err(_) => Err(format!("given up after {} min, at: {}", PATIENCE.as_secs() / 60, progress.now())),
    }
}

async fn play(scenario: Scenario, stage: &Stage, progress: &Progress) -> Outcome<Results> {
    let floor = match scenario.kind {
        Kind::Deleted => Some(floor(scenario, stage, progress).await?),
        _ => None,
    };
    let mut run = Run::start(scenario, stage, progress).await?;
    let empty = run.operator.usage()?.rss;
    let adoption = run.adopt(stage).await?;
    let adopted = run.operator.usage()?.rss;
    let mut rate = vec![];
    let (mut deletion, mut idle, mut flips, mut quota_arithmetic_seconds) = (None, None, None, None);
    match scenario.kind {
        Kind::Deleted => deletion = Some(run.delete().await?),
        Kind::Default | Kind::Quota | Kind::Found => {
            let followed = run.operator.follow_rate()?;
            deletion = Some(run.delete().await?);
            rate = thin(&followed.so_far());
            quota_arithmetic_seconds =
                athena::quota(scenario.kind).map(|quota| athena::quota_arithmetic(quota, scenario.objects));
        }
        Kind::Idle => idle = Some(run.idle().await?),
        Kind::Flips => flips = Some(run.flip().await?),
        // See `crate::attack` and `crate::cleanup`.
        Kind::Attack(_) | Kind::Cleanup => {}
    }
    run.operator.check()?;
    Ok(Results {
        scenario: scenario.to_string(),
        kind: scenario.kind,
        objects: scenario.objects,
        adoption,
        floor,
        quota_arithmetic_seconds,
        deletion,
        rate,
        idle,
        flips,
        memory: Memory { empty, adopted, peak: run.operator.usage()?.peak_rss },
        metrics: run.operator.metrics().await?,
        athena_calls: Calls::of(&run.athena),
        usage: thin(&run.operator.samples()),
    })
}

/// No operator watches this namespace.
async fn floor(scenario: Scenario, stage: &Stage, progress: &Progress) -> Outcome<Floor> {
    let count = scenario.objects;
    let namespace = format!("{scenario}-floor");
    stage.create_namespace(&namespace).await?;
    let mut watched = Watched::start(stage.client.clone(), &namespace);
    let api = watched::objects(stage.client.clone(), &namespace);
    progress.phase(&format!("{scenario}: a bare client makes {count} objects and lets them go: the floor"));
    objects::create(&api, (0..count).map(|number| stage.session_spec(&objects::name(number))), true).await?;
    watched.until(|tally| tally.here, count, None, progress).await?;
    let started = Instant::now();
    objects::delete_and_let_go(&api, count).await?;
    watched.until(|tally| tally.gone, count, None, progress).await?;
    let gone_at = watched.gone_at();
    Ok(Floor { seconds: rounded(until_last(started, &gone_at)), curve: curve(started, &gone_at) })
}

/// What a running scenario consists of.
struct Run<'a> {
    scenario: Scenario,
    progress: &'a Progress,
    athena: FakeAthena,
    sessions: Vec<String>,
    api: Api<Light>,
    watched: Watched,
    requests: Requests,
    operator: Operator,
}

/// Where a phase begins.
struct Start {
    at: Instant,
    calls: Calls,
    cpu: f64,
}

impl<'a> Run<'a> {
    async fn start(scenario: Scenario, stage: &Stage, progress: &'a Progress) -> Outcome<Self> {
        let namespace = scenario.to_string();
        stage.create_namespace(&namespace).await?;
        let athena = athena::start(athena::quota(scenario.kind)).await?;
        let by_default = matches!(scenario.kind, Kind::Default | Kind::Quota | Kind::Found);
        Ok(Self {
            scenario,
            progress,
            sessions: athena::add_sessions(&athena, scenario.objects),
            api: watched::objects(stage.client.clone(), &namespace),
            watched: Watched::start(stage.client.clone(), &namespace),
            requests: stage.requests()?,
            operator: Operator::start(stage, &Launch { by_default, ..Launch::of(&namespace, &athena) }).await?,
            athena,
        })
    }

    async fn adopt(&mut self, stage: &Stage) -> Outcome<Phase> {
        let count = self.scenario.objects;
        self.phase(&format!("{count} objects are created and adopted"));
        let start = self.begin()?;
        objects::create(&self.api, self.sessions.iter().map(|id| stage.session_spec(id)), false).await?;
        let requested = start.at.elapsed();
        self.watched.until(|tally| tally.adopted, count, Some(&mut self.operator), self.progress).await?;
        let adopted_at = self.watched.adopted_at();
        self.end(&start, requested, &adopted_at).await
    }

    async fn delete(&mut self) -> Outcome<Phase> {
        let count = self.scenario.objects;
        self.phase(&format!("{count} objects are deleted and go"));
        let start = self.begin()?;
        objects::delete(&self.api, count).await?;
        let requested = start.at.elapsed();
        self.watched.until(|tally| tally.gone, count, Some(&mut self.operator), self.progress).await?;
        let gone_at = self.watched.gone_at();
        self.end(&start, requested, &gone_at).await
    }

    /// A minute of nothing.
    async fn idle(&mut self) -> Outcome<Phase> {
        self.phase("nothing changes for a minute");
        sleep(LISTS_SETTLE).await;
        self.requests.new_ones()?;
        let start = self.begin()?;
        self.pass(MINUTE).await?;
        let calls = Calls::of(&self.athena);
        let counts = self.requests.new_ones()?;
        self.measured(&start, MINUTE.as_secs_f64(), Duration::ZERO, calls, counts, vec![])
    }

    /// Each minute the session of every other object changes, evenly over the minute.
    async fn flip(&mut self) -> Outcome<Flips> {
        let half = (self.scenario.objects / 2).max(1);
        let flips = ROUNDS * half;
        self.phase(&format!("{half} sessions change between IDLE and BUSY, {ROUNDS} times"));
        sleep(SETTLE).await;
        self.requests.new_ones()?;
        let start = self.begin()?;
        let mut done = 0;
        while done < flips {
            let minutes = start.at.elapsed().as_secs_f64() / MINUTE.as_secs_f64();
            let due = (minutes * half as f64) as usize;
            while done < due.min(flips) {
                self.athena.set_state(&self.sessions[done % half * 2], ["BUSY", "IDLE"][done / half % 2]);
                done += 1;
            }
            self.progress.step(&format!("{done} of {flips} changes"));
            self.operator.check()?;
            sleep(Duration::from_millis(50)).await;
        }
        let last = Instant::now();
        let calls = Calls::of(&self.athena);
        self.phase("the last changes reach the objects");
        let mut missed = self.count_missed();
        while missed > 0 && last.elapsed() < CATCH_UP {
            self.progress.step(&format!("{missed} objects say another state"));
            self.operator.check()?;
            sleep(Duration::from_millis(500)).await;
            missed = self.count_missed();
        }
        let caught_up_seconds = rounded(last.elapsed().as_secs_f64());
        let counts = self.requests.until_quiet().await?;
        let seconds = last.saturating_duration_since(start.at).as_secs_f64();
        let phase = self.measured(&start, seconds, Duration::ZERO, calls, counts, vec![])?;
        // Once more: a late write may have been a wrong one.
        Ok(Flips { flips, missed: self.count_missed(), caught_up_seconds, phase })
    }

    fn count_missed(&self) -> usize {
        let names: Vec<_> = (0..self.sessions.len()).map(objects::name).collect();
        let states: Vec<_> = self.sessions.iter().map(|id| self.athena.session(id)).collect();
        let wanted = names.iter().zip(&states);
        self.watched.count_other_states(
            wanted.map(|(name, session)| (name.as_str(), session.as_ref().map_or("", |it| it.state.as_str()))),
        )
    }

    /// Lets time pass, as long as the operator runs.
    async fn pass(&mut self, time: Duration) -> Outcome {
        let started = Instant::now();
        while let Some(left) = time.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
            self.progress.step(&format!("{} s", left.as_secs()));
            self.operator.check()?;
            sleep(left.min(Duration::from_secs(1))).await;
        }
        Ok(())
    }

    fn phase(&self, what: &str) {
        self.progress.phase(&format!("{}: {what}", self.scenario));
    }

    fn begin(&self) -> Outcome<Start> {
        Ok(Start { calls: Calls::of(&self.athena), cpu: self.operator.usage()?.cpu, at: Instant::now() })
    }

    /// `moments`: when each object was where it had to come.
    async fn end(&mut self, start: &Start, requested: Duration, moments: &[Instant]) -> Outcome<Phase> {
        let calls = Calls::of(&self.athena);
        let counts = self.requests.until_quiet().await?;
        let seconds = until_last(start.at, moments);
        self.measured(start, seconds, requested, calls, counts, curve(start.at, moments))
    }

    fn measured(
        &self,
        start: &Start,
        seconds: f64,
        requested: Duration,
        calls: Calls,
        api_requests: Counts,
        curve: Vec<(f64, usize)>,
    ) -> Outcome<Phase> {
        Ok(Phase {
            seconds: rounded(seconds),
            requested_seconds: rounded(requested.as_secs_f64()),
            cpu_seconds: rounded(self.operator.usage()?.cpu - start.cpu),
            athena_calls: calls.since(&start.calls),
            api_requests,
            curve,
        })
    }
}

fn until_last(started: Instant, moments: &[Instant]) -> f64 {
    moments.last().map_or(0.0, |last| last.saturating_duration_since(started).as_secs_f64())
}
