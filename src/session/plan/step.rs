//! One thing to do for an object. PURE.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::session::{AthenaSessionStatus, TerminationReason};
use crate::athena::informer::proof_of_absence::ListRequest;
use crate::athena::types::StartRequest;
use crate::index::claims::Claim;
use crate::session::observed::config_map::Request;
use crate::status::event::Event;

/// One thing to do, named by the request that it makes.
///
/// - `GetObject` reads the object from the API server, not from a cache; `GetOwner` reads the object that the session belongs to.
/// - `GetWorkGroupLimits` reads the object's AthenaWorkGroup from the API server, for its `spec.limits`.
/// - `GetSessionStatusBeforeEnd` is called in the object's turn to call TerminateSession, which has to follow the answer at once.
/// - `ListSessions` asks the informer for a complete list: for the object's session, or for the one that bears the object's mark.
/// - `ReserveSlot` reserves a slot among the sessions of the namespace; the access tells whether one was free.
/// - `TagResource` tags the session with this ARN.
/// - The ConfigMap is that of `spec.publishTo`, the workloads are those of `spec.endWith`.
/// - Events are sent once the request has succeeded.
/// - `Wait` does nothing until the object changes, or until so long from now.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    AddFinalizer,
    GetObject,
    GetOwner { owner: Claim },
    GetWorkGroupLimits,
    GetSession,
    GetSessionStatus,
    GetSessionStatusBeforeEnd,
    GetCallerIdentity,
    ListSessions { wanted: Box<ListRequest> },
    ReserveSlot,
    StartSession { request: Box<StartRequest> },
    TerminateSession { reason: TerminationReason },
    TagResource { arn: String, key: &'static str, value: String },
    GetConfigMap,
    WriteConfigMap { data: BTreeMap<String, String> },
    DeleteConfigMap { uid: String, resource_version: String },
    GetWorkloads,
    DeleteObject,
    WriteStatus { status: Box<AthenaSessionStatus>, events: Vec<Event> },
    RemoveFinalizer { event: Option<Event> },
    Wait(Option<Duration>),
}

impl Step {
    /// The request about the ConfigMap of `spec.publishTo` that the step makes; a read for each other step.
    pub fn config_map_request(&self) -> Request {
        match self {
            Self::WriteConfigMap { .. } => Request::Write,
            Self::DeleteConfigMap { .. } => Request::Delete,
            _ => Request::Get,
        }
    }
}
