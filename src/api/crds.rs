//! The CustomResourceDefinitions, made of the kinds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::UNOBSERVED;
use super::session::AthenaSession;
use super::work_group::AthenaWorkGroup;

pub fn all() -> Vec<Value> {
    let crds: [CustomResourceDefinition; 2] = [AthenaSession::crd(), AthenaWorkGroup::crd()];
    let mut crds = crds.map(|crd| json!(crd));
    for crd in &mut crds {
        unfold_descriptions(crd);
        begin_unobserved(crd);
        crd["metadata"]["labels"] = json!({
            "app.kubernetes.io/name": env!("CARGO_PKG_NAME"),
            "app.kubernetes.io/version": env!("CARGO_PKG_VERSION"),
        });
        // Deleting the kind AthenaSession ends every session of the cluster. These tell Helm, Argo CD and Flux to keep the kinds.
        crd["metadata"]["annotations"] = json!({
            "helm.sh/resource-policy": "keep",
            "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
            "kustomize.toolkit.fluxcd.io/prune": "disabled",
        });
    }
    crds.into()
}

/// An object that the operator hasn't seen bears `status.observedGeneration: -1`, as Flux' own kinds do. Without that,
/// kstatus takes an object without a status for one that is as its spec asks.
fn begin_unobserved(crd: &mut Value) {
    for version in crd["spec"]["versions"].as_array_mut().into_iter().flatten() {
        let status = version["schema"]["openAPIV3Schema"]["properties"]["status"].as_object_mut();
        let Some(status) = status else { continue };
        status.insert("default".to_owned(), json!({"observedGeneration": UNOBSERVED}));
        // Where a field is nullable, the API server keeps a null. Where it isn't, the default takes the place of the null.
        status.remove("nullable");
    }
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
