//! Everything that exists: sessions, calculations, tokens, credentials. Pure: the caller says what time it is.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    config::{Config, NotFound, WorkGroup},
    engine::{SPARK_3_5, check_start},
    error::ApiError,
    pages::Position,
    session::{DEFAULT_IDLE_MINUTES, NewSession, Session, SessionView, epoch, is_active},
    timeline::{Timeline, after, before},
};

/// An account and a Region: what is in one is unknown in another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) account: String,
    pub(crate) region: String,
}

impl Place {
    pub(crate) fn partition(&self) -> &'static str {
        match self.region.split('-').next() {
            Some("cn") => "aws-cn",
            Some("us") if self.region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// The ARN of a work group here.
    pub(crate) fn work_group_arn(&self, name: &str) -> String {
        format!("arn:{}:athena:{}:{}:workgroup/{name}", self.partition(), self.region, self.account)
    }

    /// The work group, and the session in it, that an ARN names.
    fn named_by<'a>(&self, arn: &'a str) -> Option<(&'a str, Option<&'a str>)> {
        let resource = arn.strip_prefix(&self.work_group_arn(""))?;
        Some(resource.split_once("/session/").map_or((resource, None), |(group, id)| (group, Some(id))))
    }
}

/// Where a session stands in the lists: a work group's sessions are neighbours, in the order of their starts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    place: Place,
    work_group: String,
    started_at: Timestamp,
    number: u64,
}

impl Slot {
    fn of(session: &Session) -> Self {
        Slot {
            place: session.place.clone(),
            work_group: session.work_group.clone(),
            started_at: session.timeline.started_at(),
            number: session.number,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Calculation {
    pub(crate) id: String,
    pub(crate) number: u64,
    pub(crate) session: String,
    /// The input of StartCalculationExecution.
    pub(crate) input: Value,
    pub(crate) timeline: Timeline,
}

impl Calculation {
    fn runs(&self, now: Timestamp) -> bool {
        self.timeline.state_at(now) == "RUNNING"
    }

    fn end(&mut self, now: Timestamp, states: &[&str], reason: &str) {
        self.timeline.drop_plans(now);
        for state in states {
            self.timeline.then(now, state, Some(reason));
        }
    }
}

/// What a client request token was first used for.
#[derive(Clone, Debug)]
struct UsedToken {
    input: Value,
    answer: Value,
    session: String,
    at: Timestamp,
}

/// What AssumeRole handed out.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) account: String,
    pub(crate) role_arn: String,
    pub(crate) session_name: String,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) config: Config,
    sessions: HashMap<String, Session>,
    order: BTreeMap<Slot, String>,
    calculations: BTreeMap<u64, Calculation>,
    tokens: HashMap<(Place, String), UsedToken>,
    pub(crate) credentials: HashMap<String, Credentials>,
    /// The states that lists show of sessions, where those aren't the sessions' own.
    pub(crate) listed_as: HashMap<String, String>,
    last_number: u64,
}

impl World {
    pub(crate) fn new(config: Config, now: Timestamp) -> Self {
        let history = config.history;
        let mut world = World {
            config,
            sessions: HashMap::new(),
            order: BTreeMap::new(),
            calculations: BTreeMap::new(),
            tokens: HashMap::new(),
            credentials: HashMap::new(),
            listed_as: HashMap::new(),
            last_number: 0,
        };
        for (index, minutes) in (0..history).zip(60..) {
            let session = NewSession {
                id: Some(format!("00000000-0000-4000-8000-{index:012}")),
                state: "TERMINATED".to_owned(),
                description: Some(format!("history {index}")),
                age: Duration::from_secs(minutes * 60),
                since: Some(Duration::from_secs(minutes * 60 - 30)),
                ..NewSession::default()
            };
            world.add(session, now);
        }
        world
    }

    pub(crate) fn home(&self) -> Place {
        Place { account: self.config.account.clone(), region: self.config.region.clone() }
    }

    /// Adds a session as it is described; an older one of the same id goes.
    pub(crate) fn add(&mut self, new: NewSession, now: Timestamp) -> String {
        let id = new.id.unwrap_or_else(|| Uuid::new_v4().to_string());
        self.forget(&id);
        let first_group = || self.config.work_groups.first().map(|it| it.name.clone());
        let work_group = new.work_group.or_else(first_group).unwrap_or_default();
        let known = self.config.work_group(&work_group).cloned();
        let group = known.unwrap_or_else(|| {
            let group = WorkGroup::named(&work_group);
            self.config.work_groups.push(group.clone());
            group
        });
        let mut input = json!({"WorkGroup": work_group, "EngineConfiguration": {}});
        let given = [
            ("Description", new.description.map(Value::from)),
            ("ExecutionRole", new.execution_role.map(Value::from)),
            ("SessionIdleTimeoutInMinutes", new.idle_timeout_minutes.map(Value::from)),
        ];
        for (member, value) in given {
            if let Some(value) = value {
                input[member] = value;
            }
        }
        let started_at = before(now, new.age);
        let since = new.since.map_or(started_at, |since| before(now, since));
        let earlier = if new.state == "IDLE" { "BUSY" } else { "IDLE" };
        let mut session = Session {
            id: id.clone(),
            number: self.next_number(),
            place: Place {
                account: new.account.unwrap_or_else(|| self.config.account.clone()),
                region: new.region.unwrap_or_else(|| self.config.region.clone()),
            },
            engine_version: group.engine_version,
            work_group,
            input,
            tags: new.tags,
            idle_timeout: new.idle_timeout_minutes.map(|it| minutes(it.into())),
            timeline: Timeline::starting(started_at, earlier),
        };
        if new.state == "IDLE" {
            session.plan_idle(since, &self.config);
        } else {
            let reason = new.state_change_reason.as_deref();
            session.timeline.then(since, &new.state, reason);
        }
        self.insert(session);
        id
    }

    fn insert(&mut self, session: Session) {
        self.order.insert(Slot::of(&session), session.id.clone());
        self.sessions.insert(session.id.clone(), session);
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// StartSession: the answer, the session's id, and whether it is a new one.
    pub(crate) fn start_session(
        &mut self,
        place: &Place,
        input: &Value,
        now: Timestamp,
    ) -> Result<(Value, String, bool), ApiError> {
        let name = input["WorkGroup"].as_str().unwrap_or_default();
        let group = self.work_group(name)?.clone();
        check_start(&group.engine_version, input)?;
        let token = input["ClientRequestToken"].as_str();
        let key = token.map(|token| (place.clone(), token.to_owned()));
        if let Some(used) = key.as_ref().and_then(|key| self.used_token(key, now)) {
            if used.input != *input {
                return Err(ApiError::invalid_request(
                    "Idempotent parameters do not match: the client request token was used with other parameters",
                ));
            }
            return Ok((used.answer.clone(), used.session.clone(), false));
        }
        let mut tags = BTreeMap::new();
        if input["CopyWorkGroupTags"] == true {
            tags.extend(group.tags);
        }
        tags.extend(read_tags(&input["Tags"])?);
        let idle_minutes = input["SessionIdleTimeoutInMinutes"].as_u64();
        let mut session = Session {
            id: Uuid::new_v4().to_string(),
            number: self.next_number(),
            place: place.clone(),
            work_group: name.to_owned(),
            engine_version: group.engine_version,
            input: input.clone(),
            tags,
            idle_timeout: Some(minutes(idle_minutes.unwrap_or(DEFAULT_IDLE_MINUTES))),
            timeline: Timeline::starting(now, "CREATING"),
        };
        session.plan_start(now, &self.config);
        let id = session.id.clone();
        let answer = json!({"SessionId": id, "State": session.state_at(now)});
        self.insert(session);
        if let Some(key) = key {
            let used = UsedToken { input: input.clone(), answer: answer.clone(), session: id.clone(), at: now };
            self.tokens.insert(key, used);
        }
        Ok((answer, id, true))
    }

    fn used_token(&self, key: &(Place, String), now: Timestamp) -> Option<&UsedToken> {
        let used = self.tokens.get(key)?;
        let life = self.config.token_life;
        life.is_none_or(|life| now < after(used.at, life)).then_some(used)
    }

    /// TerminateSession: the state that follows, and whether the call changed it.
    pub(crate) fn terminate(&mut self, place: &Place, id: &str, now: Timestamp) -> Result<(String, bool), ApiError> {
        self.session(place, id)?;
        let mut changed = false;
        if let Some(session) = self.sessions.get_mut(id) {
            changed = session.terminate(now, &self.config);
        }
        if changed {
            self.fail_calculations(id, now);
        }
        let state = self.session(place, id)?.state_at(now).to_owned();
        Ok((state, changed))
    }

    fn fail_calculations(&mut self, session: &str, now: Timestamp) {
        for calculation in self.calculations.values_mut() {
            if calculation.session == session && calculation.runs(now) {
                calculation.end(now, &["FAILED"], "Session was terminated");
            }
        }
    }

    pub(crate) fn session(&self, place: &Place, id: &str) -> Result<&Session, ApiError> {
        let found = self.sessions.get(id).filter(|it| it.place == *place);
        found.ok_or_else(|| {
            let message = format!("Session {id} does not exist");
            match self.config.not_found {
                NotFound::InvalidRequest => ApiError::invalid_request(message),
                NotFound::ResourceNotFound => ApiError::resource_not_found(id, message),
            }
        })
    }

    pub(crate) fn work_group(&self, name: &str) -> Result<&WorkGroup, ApiError> {
        self.config.work_group(name).ok_or_else(|| ApiError::invalid_request(format!("WorkGroup {name} is not found.")))
    }

    /// A work group's sessions in ListSessions' order, newest first, or those of them below a position.
    pub(crate) fn sessions_of<'a>(
        &'a self,
        place: &Place,
        work_group: &str,
        below: Option<Position>,
    ) -> impl Iterator<Item = (Position, &'a Session)> + use<'a> {
        let slot =
            |started_at, number| Slot { place: place.clone(), work_group: work_group.to_owned(), started_at, number };
        // Without this the last pages of a long list would cost as much as all those before them.
        let (last, number) = below.unwrap_or((i128::MAX, u64::MAX));
        let last = Timestamp::from_nanosecond(last).unwrap_or(Timestamp::MAX);
        let slots = slot(Timestamp::MIN, 0)..=slot(last, number);
        self.order.range(slots).rev().filter_map(|(slot, id)| {
            let position = (slot.started_at.as_nanosecond(), slot.number);
            Some((position, self.sessions.get(id)?))
        })
    }

    /// GetSessionEndpoint: the answer, and whether the call changed something. Whoever asks for the endpoint counts as
    /// connected.
    pub(crate) fn connect(&mut self, place: &Place, id: &str, now: Timestamp) -> Result<(Value, bool), ApiError> {
        let session = self.session(place, id)?;
        let engine = &session.engine_version;
        if engine != SPARK_3_5 {
            return Err(ApiError::invalid_request(format!("Session endpoints are not supported on {engine}")));
        }
        let state = session.state_at(now).to_owned();
        if !matches!(state.as_str(), "CREATED" | "IDLE" | "BUSY") {
            // Its word for a session that has ended is none of the states.
            let state = if is_active(&state) { &state } else { "STOPPED" };
            return Err(ApiError::invalid_request(format!("Session {id} is in {state} state")));
        }
        let is_first = state == "CREATED";
        if is_first && let Some(session) = self.sessions.get_mut(id) {
            session.timeline.drop_plans(now);
            session.plan_idle(now, &self.config);
        }
        let answer = json!({
            "EndpointUrl": format!("https://{id}.fake-athena.invalid"),
            "AuthToken": format!("fake-token-of-{id}"),
            "AuthTokenExpirationTime": epoch(after(now, minutes(60))),
        });
        Ok((answer, is_first))
    }

    pub(crate) fn start_calculation(
        &mut self,
        place: &Place,
        id: &str,
        input: &Value,
        now: Timestamp,
    ) -> Result<Calculation, ApiError> {
        let session = self.session(place, id)?;
        let engine = &session.engine_version;
        if engine == SPARK_3_5 {
            let message = format!("Calculations are not supported on {engine}");
            return Err(ApiError::invalid_request(message));
        }
        let state = session.state_at(now);
        if state != "IDLE" {
            // The words that dbt-athena waits for.
            let message = format!("Session is in the {state} state; needs to be IDLE to accept Calculations.");
            return Err(ApiError::invalid_request(message));
        }
        let ends_at = after(now, self.config.calculation);
        if let Some(session) = self.sessions.get_mut(id) {
            session.timeline.drop_plans(now);
            session.timeline.then(now, "BUSY", None);
            session.plan_idle(ends_at, &self.config);
        }
        let mut calculation = Calculation {
            id: Uuid::new_v4().to_string(),
            number: self.next_number(),
            session: id.to_owned(),
            input: input.clone(),
            timeline: Timeline::starting(now, "RUNNING"),
        };
        calculation.timeline.then(ends_at, "COMPLETED", None);
        self.calculations.insert(calculation.number, calculation.clone());
        Ok(calculation)
    }

    /// StopCalculationExecution: the calculation, and whether the call changed it.
    pub(crate) fn stop_calculation(
        &mut self,
        place: &Place,
        id: &str,
        now: Timestamp,
    ) -> Result<(Calculation, bool), ApiError> {
        let number = self.calculation(place, id)?.number;
        let mut stopped = false;
        if let Some(calculation) = self.calculations.get_mut(&number)
            && calculation.runs(now)
        {
            stopped = true;
            calculation.end(now, &["CANCELING", "CANCELED"], "Calculation was stopped");
            if let Some(session) = self.sessions.get_mut(&calculation.session) {
                session.timeline.drop_plans(now);
                session.plan_idle(now, &self.config);
            }
        }
        Ok((self.calculation(place, id)?.clone(), stopped))
    }

    pub(crate) fn calculation(&self, place: &Place, id: &str) -> Result<&Calculation, ApiError> {
        let mut all = self.calculations.values();
        let here = |session| self.session(place, session).is_ok();
        all.find(|it| it.id == id && here(&it.session))
            .ok_or_else(|| ApiError::invalid_request(format!("Calculation {id} does not exist")))
    }

    /// A session's calculations, newest first.
    pub(crate) fn calculations_of(&self, session: &str) -> impl Iterator<Item = (Position, &Calculation)> {
        let calculations = self.calculations.values().rev();
        calculations
            .filter(move |calculation| calculation.session == session)
            .map(|calculation| ((0, calculation.number), calculation))
    }

    /// The tags of a session or a work group, named by its ARN.
    pub(crate) fn tags(&mut self, place: &Place, arn: &str) -> Result<&mut BTreeMap<String, String>, ApiError> {
        let tags = match place.named_by(arn) {
            Some((group, Some(id))) => {
                let session = self.sessions.get_mut(id);
                session.filter(|it| it.work_group == group && it.place == *place).map(|session| &mut session.tags)
            }
            Some((name, None)) => {
                let mut groups = self.config.work_groups.iter_mut();
                groups.find(|group| group.name == name).map(|group| &mut group.tags)
            }
            None => None,
        };
        tags.ok_or_else(|| ApiError::resource_not_found(arn, format!("Resource {arn} was not found")))
    }

    /// The tags of what an ARN names; none where it names nothing.
    pub(crate) fn tags_of(&self, place: &Place, arn: &str) -> BTreeMap<String, String> {
        let tags = match place.named_by(arn) {
            Some((_, Some(id))) => self.session(place, id).ok().map(|session| &session.tags),
            Some((name, None)) => self.config.work_group(name).map(|group| &group.tags),
            None => None,
        };
        tags.cloned().unwrap_or_default()
    }

    pub(crate) fn view(&self, id: &str, now: Timestamp) -> Option<SessionView> {
        Some(self.sessions.get(id)?.view(now))
    }

    /// All sessions of all places, a work group's newest first.
    pub(crate) fn views(&self, now: Timestamp) -> Vec<SessionView> {
        let sessions = self.order.values().rev();
        sessions.filter_map(|id| self.view(id, now)).collect()
    }

    /// Puts a session into a state that stays until something happens; false if there is no such session.
    pub(crate) fn set_state(&mut self, id: &str, state: &str, now: Timestamp) -> bool {
        let Some(session) = self.sessions.get_mut(id) else {
            return false;
        };
        session.timeline.drop_plans(now);
        session.timeline.then(now, state, None);
        if !is_active(state) {
            self.fail_calculations(id, now);
        }
        true
    }

    /// Makes a session never have been; false if there is none.
    pub(crate) fn forget(&mut self, id: &str) -> bool {
        let Some(session) = self.sessions.remove(id) else {
            return false;
        };
        self.order.remove(&Slot::of(&session));
        self.listed_as.remove(id);
        self.tokens.retain(|_, used| used.session != id);
        self.calculations.retain(|_, it| it.session != id);
        true
    }
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// A list of `Tag` structures; a key that comes twice keeps its last value.
pub(crate) fn read_tags(tags: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    let tags = tags.as_array().map(Vec::as_slice).unwrap_or_default();
    let pairs = tags.iter().map(|tag| {
        let key = tag["Key"].as_str().ok_or_else(|| ApiError::invalid_request("A tag needs a Key"))?;
        let value = tag["Value"].as_str().unwrap_or_default();
        Ok((key.to_owned(), value.to_owned()))
    });
    pairs.collect()
}
