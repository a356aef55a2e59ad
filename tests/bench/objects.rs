//! Objects by the thousand, made and deleted as fast as the API server takes it.

use athena_session_operator::api::FINALIZER;
use futures::{StreamExt, TryStreamExt, stream};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::Outcome;
use crate::watched::Light;

/// Requests at once.
const IN_FLIGHT: usize = 32;

/// The name of the object with this number.
pub fn name(number: usize) -> String {
    format!("object-{number:05}")
}

/// Creates an object for each spec.
pub async fn create(api: &Api<Light>, specs: impl Iterator<Item = Value>, with_finalizer: bool) -> Outcome {
    let finalizers = if with_finalizer { vec![FINALIZER] } else { vec![] };
    let requests = specs.enumerate().map(|(number, spec)| {
        let object = json!({
            "apiVersion": "athena-operator.dev/v1alpha1",
            "kind": "AthenaSession",
            "metadata": {"name": name(number), "finalizers": finalizers},
            "spec": spec,
        });
        async move {
            let object = serde_json::from_value(object).map_err(|error| error.to_string())?;
            let made = api.create(&PostParams::default(), &object).await;
            made.map(drop).map_err(|error| format!("an object can't be created: {error}"))
        }
    });
    stream::iter(requests).buffer_unordered(IN_FLIGHT).try_collect().await
}

/// Asks for the deletion of the first `count` objects.
pub async fn delete(api: &Api<Light>, count: usize) -> Outcome {
    let requests = (0..count).map(|number| delete_one(api, number));
    stream::iter(requests).buffer_unordered(IN_FLIGHT).try_collect().await
}

/// Does what an operator has to do at the least: lets each object go as soon as it is being deleted.
pub async fn delete_and_let_go(api: &Api<Light>, count: usize) -> Outcome {
    let requests = (0..count).map(|number| async move {
        delete_one(api, number).await?;
        let operations = serde_json::from_value(json!([{"op": "remove", "path": "/metadata/finalizers"}]));
        let patch = Patch::<()>::Json(operations.map_err(|error| error.to_string())?);
        let patched = api.patch(&name(number), &PatchParams::default(), &patch).await;
        patched.map(drop).map_err(|error| format!("a finalizer can't be removed: {error}"))
    });
    stream::iter(requests).buffer_unordered(IN_FLIGHT).try_collect().await
}

async fn delete_one(api: &Api<Light>, number: usize) -> Outcome {
    let deleted = api.delete(&name(number), &DeleteParams::default()).await;
    deleted.map(drop).map_err(|error| format!("an object can't be deleted: {error}"))
}
