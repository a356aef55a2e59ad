//! One session: what it was started with, and its states over time.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    config::Config,
    duration,
    engine::SPARK_3_5,
    timeline::{Step, Timeline, after},
    world::Place,
};

/// The minutes that Athena lets a session idle when StartSession doesn't say.
pub(crate) const DEFAULT_IDLE_MINUTES: u64 = 20;

/// The states in which a session can be used, or will be.
const ACTIVE: [&str; 4] = ["CREATING", "CREATED", "IDLE", "BUSY"];

/// What Athena says about a session that was ended, be it by a call or by its idle timeout.
const ENDED_PER_REQUEST: &str = "Session was terminated per request";

pub(crate) fn is_active(state: &str) -> bool {
    ACTIVE.contains(&state)
}

/// Whether ListSessions lists it without a filter. A state that the service model doesn't know can't be filtered for, and counts
/// as active here.
pub(crate) fn is_listed(state: &str) -> bool {
    is_active(state) || !(is_ended(state) || matches!(state, "TERMINATING" | "DEGRADED"))
}

/// STOPPED is no state of the service model. An error of GetSessionEndpoint calls an ended session so.
fn is_ended(state: &str) -> bool {
    matches!(state, "TERMINATED" | "FAILED" | "STOPPED")
}

/// A session to add without a StartSession. It keeps its state until something happens to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewSession {
    /// Its id; none: a new UUID. A session that has this id already is replaced.
    pub id: Option<String>,
    /// Its work group; none: the first one that is configured. An unknown one is created.
    pub work_group: Option<String>,
    /// Its account; none: the configured one.
    pub account: Option<String>,
    /// Its Region; none: the configured one.
    pub region: Option<String>,
    /// Its state: any text.
    pub state: String,
    /// Why it is in that state.
    pub state_change_reason: Option<String>,
    /// How long ago it was started.
    #[serde(with = "duration::text")]
    pub age: Duration,
    /// How long it has been in its state; by default all its life.
    #[serde(skip_serializing_if = "Option::is_none", with = "duration::text_or_never")]
    pub since: Option<Duration>,
    /// Its description.
    pub description: Option<String>,
    /// Its execution role.
    pub execution_role: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Ends it after so many minutes in IDLE; none: never.
    pub idle_timeout_minutes: Option<u32>,
}

impl Default for NewSession {
    fn default() -> Self {
        NewSession {
            id: None,
            work_group: None,
            account: None,
            region: None,
            state: "IDLE".to_owned(),
            state_change_reason: None,
            age: Duration::ZERO,
            since: None,
            description: None,
            execution_role: None,
            tags: BTreeMap::new(),
            idle_timeout_minutes: None,
        }
    }
}

/// A session as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct SessionView {
    /// Its id.
    pub id: String,
    /// Its account.
    pub account: String,
    /// Its Region.
    pub region: String,
    /// Its work group.
    pub work_group: String,
    /// Its state.
    pub state: String,
    /// Why it is in that state, if Athena says.
    pub state_change_reason: Option<String>,
    /// When it was started.
    pub started_at: Timestamp,
    /// When its state last changed.
    pub last_modified_at: Timestamp,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
    /// Since when it is IDLE, if it is.
    pub idle_since: Option<Timestamp>,
    /// Its description.
    pub description: Option<String>,
    /// The token it was started with.
    pub client_request_token: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The input of its StartSession, or what stands for it.
    pub input: Value,
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// Tells sessions apart that started in the same instant.
    pub(crate) number: u64,
    pub(crate) place: Place,
    pub(crate) work_group: String,
    pub(crate) engine_version: String,
    /// The input of StartSession, or what stands for it.
    pub(crate) input: Value,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) timeline: Timeline,
}

impl Session {
    pub(crate) fn state_at(&self, when: Timestamp) -> &str {
        self.timeline.state_at(when)
    }

    /// Plans the start: CREATING, CREATED, and what the configuration says comes next.
    pub(crate) fn plan_start(&mut self, now: Timestamp, config: &Config) {
        let Some(creating) = config.creating else {
            return;
        };
        let created_at = after(now, creating);
        self.timeline.then(created_at, "CREATED", None);
        if self.engine_version == SPARK_3_5 && config.start_ends_in == "IDLE" {
            // It waits for somebody who connects.
            return;
        }
        let started_at = after(created_at, config.created);
        if config.start_ends_in == "IDLE" {
            self.plan_idle(started_at, config);
        } else {
            let reason = is_ended(&config.start_ends_in).then_some("Session failed to start");
            self.timeline.then(started_at, &config.start_ends_in, reason);
        }
    }

    /// Plans IDLE, and the end that the idle timeout brings.
    pub(crate) fn plan_idle(&mut self, at: Timestamp, config: &Config) {
        self.timeline.then(at, "IDLE", None);
        if let Some(timeout) = self.idle_timeout {
            self.plan_end(after(at, timeout), config);
        }
    }

    pub(crate) fn plan_end(&mut self, at: Timestamp, config: &Config) {
        self.timeline.then(at, "TERMINATING", Some(ENDED_PER_REQUEST));
        if let Some(terminating) = config.terminating {
            let ended_at = after(at, terminating);
            self.timeline.then(ended_at, &config.terminate_ends_in, Some(ENDED_PER_REQUEST));
        }
    }

    /// Ends the session, unless it has ended or is ending: then this returns false.
    pub(crate) fn terminate(&mut self, now: Timestamp, config: &Config) -> bool {
        let state = self.state_at(now);
        if is_ended(state) || state == "TERMINATING" {
            return false;
        }
        self.timeline.drop_plans(now);
        self.plan_end(now, config);
        true
    }

    pub(crate) fn view(&self, now: Timestamp) -> SessionView {
        let text = |member: &str| self.input[member].as_str().map(str::to_owned);
        let step = self.timeline.at(now);
        SessionView {
            id: self.id.clone(),
            account: self.place.account.clone(),
            region: self.place.region.clone(),
            work_group: self.work_group.clone(),
            state: self.state_at(now).to_owned(),
            state_change_reason: step.and_then(|step| step.reason.clone()),
            started_at: self.timeline.started_at(),
            last_modified_at: step.map_or(self.timeline.started_at(), |step| step.at),
            ended_at: self.ended_at(now),
            idle_since: step.filter(|step| step.state == "IDLE").map(|step| step.at),
            description: text("Description"),
            client_request_token: text("ClientRequestToken"),
            tags: self.tags.clone(),
            input: self.input.clone(),
        }
    }

    fn ended_at(&self, now: Timestamp) -> Option<Timestamp> {
        let ended = |step: &&Step| is_ended(&step.state);
        self.timeline.at(now).filter(ended).map(|step| step.at)
    }

    /// The structure `SessionStatus`.
    pub(crate) fn status_json(&self, now: Timestamp) -> Value {
        let view = self.view(now);
        let mut status = Map::new();
        let mut put = |member: &str, value: Option<Value>| {
            status.extend(value.map(|value| (member.to_owned(), value)));
        };
        put("State", Some(json!(view.state)));
        put("StateChangeReason", view.state_change_reason.map(Value::from));
        put("StartDateTime", Some(epoch(view.started_at)));
        put("LastModifiedDateTime", Some(epoch(view.last_modified_at)));
        put("EndDateTime", view.ended_at.map(epoch));
        put("IdleSinceDateTime", view.idle_since.map(epoch));
        Value::Object(status)
    }

    /// The structure `SessionSummary`, which ListSessions answers with.
    pub(crate) fn summary_json(&self, now: Timestamp) -> Value {
        let mut summary = self.given(&["Description", "NotebookVersion"]);
        summary.insert("SessionId".to_owned(), json!(self.id));
        summary.insert("EngineVersion".to_owned(), engine_version_json(&self.engine_version));
        summary.insert("Status".to_owned(), self.status_json(now));
        Value::Object(summary)
    }

    /// The answer of GetSession.
    pub(crate) fn json(&self, now: Timestamp) -> Value {
        let mut session =
            self.given(&["Description", "NotebookVersion", "MonitoringConfiguration", "EngineConfiguration"]);
        let mut put = |member: &str, value: Value| session.insert(member.to_owned(), value);
        put("SessionId", json!(self.id));
        put("WorkGroup", json!(self.work_group));
        put("EngineVersion", json!(self.engine_version));
        put("SessionConfiguration", self.configuration_json());
        put("Status", self.status_json(now));
        let until = self.ended_at(now).unwrap_or(now);
        let lived = until.duration_since(self.timeline.started_at());
        // One DPU, the driver's, for as long as the session lives.
        let millis = i64::try_from(lived.as_millis()).unwrap_or(i64::MAX).max(0);
        put("Statistics", json!({"DpuExecutionInMillis": millis}));
        Value::Object(session)
    }

    fn configuration_json(&self) -> Value {
        let mut configuration = self.given(&["ExecutionRole"]);
        let minutes = self.input["SessionIdleTimeoutInMinutes"].as_u64().unwrap_or(DEFAULT_IDLE_MINUTES);
        let mut put = |member: &str, value: Value| configuration.insert(member.to_owned(), value);
        put("SessionIdleTimeoutInMinutes", json!(minutes));
        put("IdleTimeoutSeconds", json!(minutes * 60));
        let directory = format!("s3://fake-athena-results/{}/", self.id);
        put("WorkingDirectory", json!(directory));
        Value::Object(configuration)
    }

    /// Those of the members that StartSession was given.
    fn given(&self, members: &[&str]) -> Map<String, Value> {
        let given = members.iter().filter_map(|member| {
            let value = self.input.get(member).filter(|value| !value.is_null())?;
            Some(((*member).to_owned(), value.clone()))
        });
        given.collect()
    }
}

/// A timestamp as this protocol writes it: seconds since 1970, with a fraction.
pub(crate) fn epoch(at: Timestamp) -> Value {
    // A whole number of milliseconds below 2^53 loses nothing here.
    #[allow(clippy::cast_precision_loss)]
    let millis = at.as_millisecond() as f64;
    json!(millis / 1000.0)
}

/// The structure `EngineVersion`.
pub(crate) fn engine_version_json(name: &str) -> Value {
    json!({"SelectedEngineVersion": name, "EffectiveEngineVersion": name})
}
