//! The audit log: one line of the log for each call to Athena that changes something.

use kube::ResourceExt;
use tracing::{info, warn};

use crate::api::session::{AthenaSession, TerminationReason};
use crate::athena::types::{CallError, Operation};
use crate::index::objects::key;

#[derive(Clone, Copy)]
pub(super) struct Audited<'a> {
    pub(super) work_group: Option<&'a str>,
    pub(super) session: Option<&'a str>,
    pub(super) reason: Option<TerminationReason>,
}

impl Audited<'_> {
    pub(super) fn accepted(self, operation: Operation, object: &AthenaSession, answer: &str, request_id: Option<&str>) {
        let ((namespace, name), uid) = (key(object), object.uid().unwrap_or_default());
        let (Self { work_group, session, .. }, reason) = (self, self.reason.map(TerminationReason::as_str));
        let aws_request_id = request_id.unwrap_or("none");
        info!(namespace, name, uid, work_group, session, reason, answer, aws_request_id, "{operation}");
    }

    pub(super) fn failed(self, object: &AthenaSession, error: &CallError) {
        let ((namespace, name), uid) = (key(object), object.uid().unwrap_or_default());
        let (Self { work_group, session, .. }, reason) = (self, self.reason.map(TerminationReason::as_str));
        let aws_request_id = error.request_id.as_deref().unwrap_or("none");
        let (operation, answer, error) = (error.operation, &error.code, &error.message);
        warn!(namespace, name, uid, work_group, session, reason, answer, error, aws_request_id, "{operation}");
    }
}
