//! The kinds that people write: what a manifest may say, and what its status tells.

pub mod reason;
pub mod session;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use session::AthenaSession;

/// The finalizer on every [`session::AthenaSession`] whose session this operator answers for.
pub const FINALIZER: &str = "athena-operator.dev/session";

/// The CustomResourceDefinition, as it is installed.
#[must_use]
pub fn crd() -> Value {
    let mut crd = json!(AthenaSession::crd() as CustomResourceDefinition);
    unfold_descriptions(&mut crd);
    crd
}

/// `kubectl explain` keeps line breaks and folds lines itself: those of the doc comments would show.
fn unfold_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => *text = text.replace('\n', " "),
                    member => unfold_descriptions(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unfold_descriptions),
        _ => {}
    }
}
