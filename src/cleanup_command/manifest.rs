//! The files that say which sessions are ended. A field that isn't known is an error: a misspelt `protect` would protect nobody,
//! and a misspelt `region` would lead to the sessions of another one.

use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};
use kube::{CustomResourceExt, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::UserMessageFormatter;

use super::options::Options;
use crate::api::cleanup::Cleanup;
use crate::api::work_group::AthenaWorkGroup;
use crate::athena::types::{AwsTarget, Role};
use crate::cleanup::policy::{Policy, Source};

/// Whose sessions are judged, and by which rules.
pub(super) struct Task {
    /// The work group, by its name in Athena.
    pub(super) work_group: String,
    /// Where calls go, and by which identity.
    pub(super) target: AwsTarget,
    /// The account that the manifest's status names. Calls to another account are refused.
    pub(super) account: Option<String>,
    pub(super) policy: Policy,
}

impl Task {
    /// Reads the files that the flags name.
    ///
    /// # Errors
    /// Why they can't be used, and what to do.
    pub(super) fn read(options: &Options) -> Result<Self, String> {
        match (&options.work_group, &options.rules, &options.filename) {
            (Some(work_group), Some(rules), _) => {
                let policy = Self::policy_of_rules(rules)?;
                Ok(Self { work_group: work_group.clone(), target: AwsTarget::default(), account: None, policy })
            }
            (_, _, Some(manifest)) => Self::of_manifest(manifest),
            _ => Err("name a work group and its rules, or a manifest with -f".to_owned()),
        }
    }

    fn policy_of_rules(path: &Path) -> Result<Policy, String> {
        let (file, text) = (path.display(), text(path)?);
        let written: Value = yaml(path, &text)?;
        if !written.is_object() {
            return Err(format!("{file} has no rules: write the fields of spec.cleanup of an AthenaWorkGroup"));
        }
        if written.get("kind").is_some() {
            return Err(format!("{file} is a manifest: give it with -f, without --work-group and --rules"));
        }
        only_known_fields(path, &written, &["spec", "cleanup"], "")?;
        let cleanup: Cleanup = typed(path, &text, written)?;
        policy(&file.to_string(), &cleanup)
    }

    fn of_manifest(path: &Path) -> Result<Self, String> {
        let (file, text) = (path.display(), text(path)?);
        let written: Value = yaml(path, &text)?;
        let (version, kind) = (AthenaWorkGroup::api_version(&()), AthenaWorkGroup::kind(&()));
        if written["apiVersion"] != *version || written["kind"] != *kind {
            return Err(format!("{file} is no {kind} of {version}: give -f a file with one {kind}, and nothing else"));
        }
        only_known_fields(path, &written["spec"], &["spec"], "spec")?;
        let group: AthenaWorkGroup = typed(path, &text, written)?;
        let Some(cleanup) = &group.spec.cleanup else {
            return Err(format!("{file} has no rules: write them in spec.cleanup, or give --work-group and --rules"));
        };
        let policy = policy(&format!("{file}: spec.cleanup"), cleanup)?;
        let role = group.spec.role_arn.clone().map(|arn| Role { arn, external_id: group.spec.external_id.clone() });
        let target = AwsTarget { role, region: group.region().map(str::to_owned) };
        let account = group.account().map(str::to_owned);
        Ok(Self { work_group: group.athena_name(), target, account, policy })
    }
}

fn text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{} can't be read: {error}", path.display()))
}

fn yaml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.without_snippet().render_with_formatter(&UserMessageFormatter);
        format!("{}: {error}", path.display())
    })
}

/// Reads what was written as a `T`. A text isn't taken for a number, nor a number for a text.
fn typed<T: DeserializeOwned>(path: &Path, text: &str, written: Value) -> Result<T, String> {
    serde_json::from_value(written).map_err(|error| {
        // This error says what is wrong, and not where.
        let place = serde_saphyr::from_str::<T>(text).err().and_then(|error| error.location());
        let place = place.map(|at| format!("line {}, column {}: ", at.line(), at.column())).unwrap_or_default();
        format!("{}: {place}{error}", path.display())
    })
}

/// Reads rules, each of whose faults is an error.
fn policy(place: &str, cleanup: &Cleanup) -> Result<Policy, String> {
    let policy = Policy::read(&[Source { owner: "", cleanup: Some(cleanup) }]);
    if policy.faults.is_empty() {
        return Ok(policy);
    }
    let faults: Vec<_> = policy.faults.iter().map(|fault| format!("{place}: {fault}")).collect();
    Err(faults.join("\n"))
}

/// Refuses fields that the part `part` of an AthenaWorkGroup doesn't have. `place`: how the part is called.
fn only_known_fields(path: &Path, written: &Value, part: &[&str], place: &str) -> Result<(), String> {
    let kind = AthenaWorkGroup::crd();
    let root = kind.spec.versions.first().and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    let schema =
        root.and_then(|root| part.iter().try_fold(root, |schema, field| schema.properties.as_ref()?.get(*field)));
    match schema.and_then(|schema| unknown_field(written, schema, place)) {
        Some(field) => Err(format!("{}: there is no field {field}: correct or remove it", path.display())),
        None => Ok(()),
    }
}

/// The path of a field that was written, and that the schema doesn't have.
fn unknown_field(written: &Value, schema: &JSONSchemaProps, place: &str) -> Option<String> {
    match (written, &schema.properties, &schema.items) {
        (Value::Object(written), Some(known), _) => written.iter().find_map(|(name, value)| {
            let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
            match known.get(name) {
                Some(schema) => unknown_field(value, schema, &place),
                None => Some(place),
            }
        }),
        (Value::Array(written), _, Some(JSONSchemaPropsOrArray::Schema(item))) => written
            .iter()
            .enumerate()
            .find_map(|(number, value)| unknown_field(value, item, &format!("{place}[{number}]"))),
        _ => None,
    }
}
