//! The files that say which sessions are ended. A field that isn't known is an error: a misspelt `protect` would protect nobody.

use std::path::Path;

use serde_json::Value;

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
                let policy = policy(&rules.display().to_string(), &yaml(rules)?)?;
                Ok(Self { work_group: work_group.clone(), target: AwsTarget::default(), account: None, policy })
            }
            (_, _, Some(manifest)) => Self::of_manifest(manifest),
            _ => Err("name a work group and its rules, or a manifest with -f".to_owned()),
        }
    }

    fn of_manifest(path: &Path) -> Result<Self, String> {
        let (file, mut value) = (path.display(), yaml(path)?);
        if value["kind"] != "AthenaWorkGroup" {
            return Err(format!(
                "{file} is no AthenaWorkGroup: give -f a file with one AthenaWorkGroup, and nothing else"
            ));
        }
        let cleanup = value["spec"]["cleanup"].take();
        if cleanup.is_null() {
            return Err(format!("{file} has no rules: write them in spec.cleanup, or give --work-group and --rules"));
        }
        let policy = policy(&format!("{file}: spec.cleanup"), &cleanup)?;
        let group: AthenaWorkGroup = serde_json::from_value(value).map_err(|error| format!("{file}: {error}"))?;
        let role = group.spec.role_arn.clone().map(|arn| Role { arn, external_id: group.spec.external_id.clone() });
        let target = AwsTarget { role, region: group.region().map(str::to_owned) };
        let account = group.account().map(str::to_owned);
        Ok(Self { work_group: group.athena_name(), target, account, policy })
    }
}

fn yaml(path: &Path) -> Result<Value, String> {
    let file = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{file} can't be read: {error}"))?;
    serde_saphyr::from_str(&text).map_err(|error| format!("{file} is no YAML: {error}"))
}

/// Reads rules, each of whose faults is an error.
fn policy(path: &str, value: &Value) -> Result<Policy, String> {
    let cleanup: Cleanup = serde_json::from_value(value.clone()).map_err(|error| format!("{path}: {error}"))?;
    let known = serde_json::to_value(&cleanup).map_err(|error| format!("{path}: {error}"))?;
    if let Some(field) = unknown_field(value, &known, "") {
        return Err(format!("{path}: there is no field {field}: correct or remove it"));
    }
    let policy = Policy::read(&[Source { owner: "", cleanup: Some(&cleanup) }]);
    if policy.faults.is_empty() {
        return Ok(policy);
    }
    let faults: Vec<_> = policy.faults.iter().map(|fault| format!("{path}: {fault}")).collect();
    Err(faults.join("\n"))
}

/// The path of a field that was written and isn't among those that were read.
fn unknown_field(written: &Value, read: &Value, path: &str) -> Option<String> {
    let is_nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => written.iter().find_map(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match read.get(name) {
                Some(read) => unknown_field(value, read, &path),
                None if is_nothing(value) && OMITTED_WHEN_EMPTY.contains(&name.as_str()) => None,
                None => Some(path),
            }
        }),
        (Value::Array(written), Value::Array(read)) => {
            let pairs = written.iter().zip(read).enumerate();
            pairs
                .into_iter()
                .find_map(|(number, (written, read))| unknown_field(written, read, &format!("{path}[{number}]")))
        }
        _ => None,
    }
}

/// The fields that aren't written out again where they are empty.
const OMITTED_WHEN_EMPTY: [&str; 9] =
    ["rules", "protect", "states", "idleFor", "olderThan", "description", "orphaned", "tag", "value"];
