//! Athena's operations: from a request's JSON to an answer's.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    engine::check_spark,
    error::ApiError,
    pages::{page, start},
    session::{engine_version_json, epoch, is_listed},
    shapes::check_input,
    timeline::before,
    world::{Calculation, Place, World, read_tags},
};

/// The most work groups on a page.
const WORK_GROUPS_ON_A_PAGE: usize = 50;

/// A successful answer.
pub(crate) struct Reply {
    pub(crate) body: String,
    /// Whether the call changed something.
    pub(crate) effect: bool,
    /// The session that the call started.
    pub(crate) session: Option<String>,
}

impl Reply {
    fn looked(body: &Value) -> Self {
        Self::acted(body, false)
    }

    fn acted(body: &Value, effect: bool) -> Self {
        Reply { body: body.to_string(), effect, session: None }
    }

    /// Changes what is answered, but not what was done.
    pub(crate) fn say(&mut self, patch: &Value) {
        let mut answer = serde_json::from_str(&self.body).unwrap_or_default();
        json_patch::merge(&mut answer, patch);
        self.body = answer.to_string();
    }
}

/// The session that a request names, be it by its ARN.
pub(crate) fn session_of(input: &Value) -> Option<String> {
    let by_arn = || Some(input["ResourceARN"].as_str()?.split_once("/session/")?.1);
    let id = input["SessionId"].as_str().or_else(by_arn)?;
    Some(id.to_owned())
}

/// Does what a request asks.
pub(crate) fn call(
    world: &mut World,
    place: &Place,
    operation: &str,
    input: &Value,
    now: Timestamp,
) -> Result<Reply, ApiError> {
    check_input(operation, input)?;
    let text = |member: &str| input[member].as_str().unwrap_or_default();
    let id = text("SessionId");
    match operation {
        "StartSession" => {
            let (answer, id, effect) = world.start_session(place, input, now)?;
            Ok(Reply { session: Some(id), ..Reply::acted(&answer, effect) })
        }
        "GetSession" => Ok(Reply::looked(&world.session(place, id)?.json(now))),
        "GetSessionStatus" => {
            let status = world.session(place, id)?.status_json(now);
            Ok(Reply::looked(&json!({"SessionId": id, "Status": status})))
        }
        "GetSessionEndpoint" => {
            let (answer, effect) = world.connect(place, id, now)?;
            Ok(Reply::acted(&answer, effect))
        }
        "ListSessions" => list_sessions(world, place, input, now),
        "TerminateSession" => {
            let (state, effect) = world.terminate(place, id, now)?;
            Ok(Reply::acted(&json!({"State": state}), effect))
        }
        "TagResource" => {
            let new = read_tags(&input["Tags"])?;
            world.tags(place, text("ResourceARN"))?.extend(new);
            Ok(Reply::acted(&json!({}), true))
        }
        "UntagResource" => {
            let tags = world.tags(place, text("ResourceARN"))?;
            let gone = |key: &String| input["TagKeys"].as_array().is_some_and(|keys| keys.contains(&json!(key)));
            tags.retain(|key, _| !gone(key));
            Ok(Reply::acted(&json!({}), true))
        }
        "ListTagsForResource" => list_tags(world, place, input),
        "GetWorkGroup" => get_work_group(world, text("WorkGroup")),
        "ListWorkGroups" => list_work_groups(world, input),
        "StartCalculationExecution" => {
            let calculation = world.start_calculation(place, id, input, now)?;
            let state = calculation.timeline.state_at(now);
            let answer = json!({"CalculationExecutionId": calculation.id, "State": state});
            Ok(Reply::acted(&answer, true))
        }
        "StopCalculationExecution" => {
            let id = text("CalculationExecutionId");
            let (calculation, effect) = world.stop_calculation(place, id, now)?;
            let state = calculation.timeline.state_at(now);
            Ok(Reply::acted(&json!({"State": state}), effect))
        }
        "ListCalculationExecutions" => list_calculations(world, place, input, now),
        _ => {
            let calculation = world.calculation(place, text("CalculationExecutionId"))?;
            Ok(Reply::looked(&look_at_calculation(calculation, operation, now)))
        }
    }
}

fn list_sessions(world: &World, place: &Place, input: &Value, now: Timestamp) -> Result<Reply, ApiError> {
    let group = input["WorkGroup"].as_str().unwrap_or_default();
    check_spark(&world.work_group(group)?.engine_version)?;
    let filter = input["StateFilter"].as_str();
    let seen_at = before(now, world.config.list_lag);
    let query = format!("{group}/{}", filter.unwrap_or_default());
    let token = input["NextToken"].as_str();
    let listed = world.sessions_of(place, group, start(&query, token)?).filter(|(_, session)| {
        let state = session.timeline.at(seen_at).map(|step| step.state.as_str());
        let state = world.listed_as.get(&session.id).map(String::as_str).or(state);
        match filter {
            Some(filter) => state == Some(filter),
            None => state.is_some_and(is_listed),
        }
    });
    let size = page_size(world, input, 100);
    let (sessions, next) = page(listed, &query, token, size)?;
    let sessions = sessions.iter().map(|session| {
        let mut summary = session.summary_json(seen_at);
        if let Some(state) = world.listed_as.get(&session.id) {
            summary["Status"]["State"] = json!(state);
        }
        summary
    });
    Ok(list_reply("Sessions", sessions.collect(), next))
}

fn list_calculations(world: &World, place: &Place, input: &Value, now: Timestamp) -> Result<Reply, ApiError> {
    let id = input["SessionId"].as_str().unwrap_or_default();
    world.session(place, id)?;
    let filter = input["StateFilter"].as_str();
    let listed = world
        .calculations_of(id)
        .filter(|(_, calculation)| filter.is_none_or(|filter| calculation.timeline.state_at(now) == filter));
    let query = format!("{id}/{}", filter.unwrap_or_default());
    let size = page_size(world, input, 100);
    let (calculations, next) = page(listed, &query, input["NextToken"].as_str(), size)?;
    let calculations = calculations.iter().map(|calculation| {
        let mut summary = described(calculation);
        summary.insert("CalculationExecutionId".to_owned(), json!(calculation.id));
        summary.insert("Status".to_owned(), calculation_status(calculation, now));
        Value::Object(summary)
    });
    Ok(list_reply("Calculations", calculations.collect(), next))
}

fn list_work_groups(world: &World, input: &Value) -> Result<Reply, ApiError> {
    let groups = world.config.work_groups.iter();
    let listed = (0..).zip(groups).map(|(at, group)| ((-at, 0), group));
    let size = page_size(world, input, WORK_GROUPS_ON_A_PAGE);
    let (groups, next) = page(listed, "", input["NextToken"].as_str(), size)?;
    let groups = groups.iter().map(|group| {
        json!({
            "Name": group.name,
            "State": "ENABLED",
            "CreationTime": epoch(Timestamp::UNIX_EPOCH),
            "EngineVersion": engine_version_json(&group.engine_version),
        })
    });
    Ok(list_reply("WorkGroups", groups.collect(), next))
}

fn page_size(world: &World, input: &Value, default: usize) -> usize {
    let asked = input["MaxResults"].as_u64().and_then(|it| usize::try_from(it).ok());
    asked.unwrap_or(default).min(world.config.page_limit)
}

fn list_reply(member: &str, items: Vec<Value>, next: Option<String>) -> Reply {
    let mut answer = json!({});
    answer[member] = Value::Array(items);
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Reply::looked(&answer)
}

fn list_tags(world: &mut World, place: &Place, input: &Value) -> Result<Reply, ApiError> {
    // A resource's tags fit on one page, so no token has ever been given.
    if !input["NextToken"].is_null() {
        return Err(ApiError::invalid_request("NextToken is invalid"));
    }
    let tags = world.tags(place, input["ResourceARN"].as_str().unwrap_or_default())?;
    let tags = tags.iter().map(|(key, value)| json!({"Key": key, "Value": value}));
    Ok(list_reply("Tags", tags.collect(), None))
}

fn get_work_group(world: &World, name: &str) -> Result<Reply, ApiError> {
    let group = world.work_group(name)?;
    Ok(Reply::looked(&json!({"WorkGroup": {
        "Name": group.name,
        "State": "ENABLED",
        "CreationTime": epoch(Timestamp::UNIX_EPOCH),
        "Configuration": {
            "ResultConfiguration": {"OutputLocation": "s3://fake-athena-results/"},
            "EnforceWorkGroupConfiguration": false,
            "PublishCloudWatchMetricsEnabled": true,
            "RequesterPaysEnabled": false,
            "EngineVersion": engine_version_json(&group.engine_version),
        },
    }})))
}

fn look_at_calculation(calculation: &Calculation, operation: &str, now: Timestamp) -> Value {
    let input = &calculation.input;
    if operation == "GetCalculationExecutionCode" {
        let nested = &input["CalculationConfiguration"]["CodeBlock"];
        let code = input["CodeBlock"].as_str().or(nested.as_str());
        return json!({"CodeBlock": code.unwrap_or_default()});
    }
    let mut answer = Map::new();
    let folder = format!("s3://fake-athena-results/{}/{}", calculation.session, calculation.id);
    if operation == "GetCalculationExecution" {
        answer = described(calculation);
        answer.insert("CalculationExecutionId".to_owned(), json!(calculation.id));
        answer.insert("SessionId".to_owned(), json!(calculation.session));
        answer.insert("WorkingDirectory".to_owned(), json!(folder));
        if calculation.timeline.state_at(now) == "COMPLETED" {
            let result = json!({
                "StdOutS3Uri": format!("{folder}/stdout"),
                "StdErrorS3Uri": format!("{folder}/stderr"),
                "ResultS3Uri": format!("{folder}/result"),
                "ResultType": "application/vnd.aws.athena.v1+json",
            });
            answer.insert("Result".to_owned(), result);
        }
    }
    answer.insert("Status".to_owned(), calculation_status(calculation, now));
    let ran = completed_at(calculation, now).unwrap_or(now).duration_since(calculation.timeline.started_at());
    let millis = i64::try_from(ran.as_millis()).unwrap_or(i64::MAX).max(0);
    answer.insert("Statistics".to_owned(), json!({"DpuExecutionInMillis": millis}));
    Value::Object(answer)
}

fn described(calculation: &Calculation) -> Map<String, Value> {
    let description = calculation.input.get("Description");
    let description = description.filter(|value| !value.is_null());
    let member = |value: &Value| ("Description".to_owned(), value.clone());
    description.map(member).into_iter().collect()
}

fn completed_at(calculation: &Calculation, now: Timestamp) -> Option<Timestamp> {
    let step = calculation.timeline.at(now)?;
    let over = matches!(step.state.as_str(), "COMPLETED" | "CANCELED" | "FAILED");
    over.then_some(step.at)
}

/// The structure `CalculationStatus`.
fn calculation_status(calculation: &Calculation, now: Timestamp) -> Value {
    let timeline = &calculation.timeline;
    let mut status = json!({
        "SubmissionDateTime": epoch(timeline.started_at()),
        "State": timeline.state_at(now),
    });
    if let Some(at) = completed_at(calculation, now) {
        status["CompletionDateTime"] = epoch(at);
    }
    if let Some(reason) = timeline.at(now).and_then(|step| step.reason.as_deref()) {
        status["StateChangeReason"] = json!(reason);
    }
    status
}
