//! The control over HTTP, on the paths under `/_fake/`: what the library's methods do, in JSON.

use hyper::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    fake::{Fake, Shared},
    faults::Fault,
    session::NewSession,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForcedState {
    state: String,
}

/// Answers a request: the HTTP status and the body.
pub(crate) fn answer(shared: &Shared, method: &Method, path: &str, body: &[u8]) -> (u16, String) {
    match control(&mut shared.lock(), method, path, body) {
        Ok(answer) => (200, answer.to_string()),
        Err((status, message)) => (status, json!({"error": message}).to_string()),
    }
}

fn control(fake: &mut Fake, method: &Method, path: &str, body: &[u8]) -> Result<Value, (u16, String)> {
    let now = fake.now();
    let absent = |id: &str| (404, format!("no session {id}"));
    let parts: Vec<&str> = path.split('/').collect();
    match (method.as_str(), &parts[..]) {
        ("GET", ["calls"]) => Ok(json!(fake.calls.all())),
        ("DELETE", ["calls"]) => {
            fake.calls.clear();
            Ok(json!({}))
        }
        ("GET", ["faults"]) => Ok(json!(fake.faults.all())),
        ("POST", ["faults"]) => {
            fake.faults.add(read::<Fault>(body)?);
            Ok(json!({}))
        }
        ("DELETE", ["faults"]) => {
            fake.faults.clear();
            Ok(json!({}))
        }
        ("GET", ["sessions"]) => Ok(json!(fake.world.views(now))),
        ("POST", ["sessions"]) => {
            let id = fake.world.add(read::<NewSession>(body)?, now);
            Ok(json!({"id": id}))
        }
        ("GET", ["sessions", id]) => match fake.world.view(id, now) {
            Some(view) => Ok(json!(view)),
            None => Err(absent(id)),
        },
        ("DELETE", ["sessions", id]) => {
            if fake.world.forget(id) {
                Ok(json!({}))
            } else {
                Err(absent(id))
            }
        }
        ("POST", ["sessions", id, "state"]) => {
            let forced: ForcedState = read(body)?;
            if fake.world.set_state(id, &forced.state, now) { Ok(json!({})) } else { Err(absent(id)) }
        }
        ("POST", ["sessions", id, "listed-as"]) => {
            let forced: ForcedState = read(body)?;
            fake.world.listed_as.insert((*id).to_owned(), forced.state);
            Ok(json!({}))
        }
        ("GET", ["config"]) => Ok(json!(fake.world.config)),
        ("PATCH", ["config"]) => {
            let changes: serde_json::Map<String, Value> = read(body)?;
            let mut config = json!(fake.world.config);
            for (setting, value) in changes {
                config[setting] = value;
            }
            fake.world.config = serde_json::from_value(config).map_err(bad_request)?;
            Ok(json!(fake.world.config))
        }
        _ => Err((404, format!("no such control: {method} /_fake/{path}"))),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, (u16, String)> {
    serde_json::from_slice(body).map_err(bad_request)
}

#[allow(clippy::needless_pass_by_value)] // as map_err hands it over
fn bad_request(error: serde_json::Error) -> (u16, String) {
    (400, error.to_string())
}
