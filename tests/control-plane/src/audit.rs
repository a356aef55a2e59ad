//! What the API server was asked, by whom, and what it answered.

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

use serde::Deserialize;

use crate::{ControlPlane, Error};

pub(crate) const LOG: &str = "audit.log";
pub(crate) const POLICY_FILE: &str = "audit-policy.yaml";

/// Only what an operator is measured by, so that it stays cheap: its own kinds, and what it writes
/// beside them.
pub(crate) const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  resources:
  - group: athena-operator.dev
  - group: coordination.k8s.io
  - group: events.k8s.io
  - group: ""
    resources: [events, configmaps]
- level: None
"#;

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// `create`, `update`, `patch`, `delete`, `get`, `list`, `watch`, …
    pub verb: String,
    /// The API group; empty for the core one.
    pub group: String,
    /// Plural and in lower case, as in `athenasessions`.
    pub resource: String,
    /// Such as `status`; empty for the object itself.
    pub subresource: String,
    /// Such as `admin` or `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// Empty for what is in no namespace.
    pub namespace: String,
    /// Empty for a list, and where the server makes the name.
    pub name: String,
    /// The answer's HTTP status.
    pub code: u16,
    /// Whether it only asked what a request would do.
    pub dry_run: bool,
}

impl AuditEntry {
    /// Whether it asked for a change.
    pub fn is_write(&self) -> bool {
        !self.dry_run && !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

impl ControlPlane {
    /// All requests so far for the group `athena-operator.dev`, Leases, Events and ConfigMaps, in
    /// the order of their answers; watches appear when they end. An entry is written just after
    /// the client has its answer.
    ///
    /// # Errors
    /// Where [`Options::audit`](crate::Options::audit) was off.
    pub fn audit_entries(&self) -> Result<Vec<AuditEntry>, Error> {
        self.audit_reader()?.read()
    }

    /// The same in portions, for a log that is long and read often.
    ///
    /// # Errors
    /// Where [`Options::audit`](crate::Options::audit) was off.
    pub fn audit_reader(&self) -> Result<AuditReader, Error> {
        if self.folder().join(POLICY_FILE).exists() {
            Ok(AuditReader { log: self.folder().join(LOG), offset: 0 })
        } else {
            Err(Error::NoAudit)
        }
    }
}

/// Reads the audit log from its start, and each time on from where it stopped.
#[derive(Debug)]
pub struct AuditReader {
    log: PathBuf,
    offset: u64,
}

impl AuditReader {
    /// The requests that were answered since the last call.
    ///
    /// # Errors
    /// Where the log can't be read.
    pub fn read(&mut self) -> Result<Vec<AuditEntry>, Error> {
        let mut log = match File::open(&self.log) {
            // The first entry makes the file.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
            result => result.map_err(Error::io(LOG))?,
        };
        let mut new = String::new();
        log.seek(SeekFrom::Start(self.offset)).map_err(Error::io(LOG))?;
        log.read_to_string(&mut new).map_err(Error::io(LOG))?;
        // The last line may still be being written.
        let complete = new.rfind('\n').map_or("", |end| &new[..=end]);
        self.offset += complete.len() as u64;
        complete.lines().map(entry).collect()
    }
}

fn entry(line: &str) -> Result<AuditEntry, Error> {
    let event: Event = serde_json::from_str(line).map_err(|error| Error::Io(format!("{LOG}: {line}"), error.into()))?;
    Ok(AuditEntry {
        verb: event.verb,
        group: event.object_ref.api_group,
        resource: event.object_ref.resource,
        subresource: event.object_ref.subresource,
        user: event.user.username,
        namespace: event.object_ref.namespace,
        name: event.object_ref.name,
        code: event.response_status.code,
        dry_run: event.request_uri.contains("dryRun=All"),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    #[serde(default, rename = "requestURI")]
    request_uri: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}
