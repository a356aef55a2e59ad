//! One thing to do for an object. PURE.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::session::{AthenaSessionStatus, TerminationReason};
use crate::athena::informer::proof_of_absence::ListRequest;
use crate::athena::types::StartRequest;
use crate::index::claims::Claim;
use crate::session::observed::config_map::Request;
use crate::status::event::Event;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Put our finalizer on the object.
    AddFinalizer,
    /// Read the object from the API server, not from a cache.
    GetObject,
    /// Read the object that the session belongs to from the API server.
    GetOwner {
        /// That object.
        owner: Claim,
    },
    /// Call GetSession.
    GetSession,
    /// Call GetSessionStatus.
    GetSessionStatus,
    /// Call GetSessionStatus, whose answer TerminateSession has to follow at once: so it is called when it is this object's
    /// turn to call TerminateSession.
    GetSessionStatusBeforeEnd,
    /// Call GetCallerIdentity.
    GetCallerIdentity,
    /// Ask the informer for a complete list of a work group: for the object's session, or for the session that bears the
    /// object's mark.
    ListSessions {
        /// What is asked for.
        wanted: Box<ListRequest>,
    },
    /// Reserve a slot among the sessions of the namespace; the access tells whether one was free.
    ReserveSlot,
    /// Call StartSession.
    StartSession {
        /// What it is asked for.
        request: Box<StartRequest>,
    },
    /// Call TerminateSession.
    TerminateSession {
        /// On whose behalf.
        reason: TerminationReason,
    },
    /// Read the ConfigMap of `spec.publishTo`.
    GetConfigMap,
    /// Write it.
    WriteConfigMap {
        /// What it is to say.
        data: BTreeMap<String, String>,
    },
    /// Remove it.
    DeleteConfigMap {
        /// Its UID.
        uid: String,
        /// Its version.
        resource_version: String,
    },
    /// Read the workloads of `spec.endWith`.
    GetWorkloads,
    /// Delete the object: its session ended long enough ago.
    DeleteObject,
    /// Write this status.
    WriteStatus {
        /// All of it.
        status: Box<AthenaSessionStatus>,
        /// What to tell once it is written.
        events: Vec<Event>,
    },
    /// Take our finalizer off: nothing holds the object any more.
    RemoveFinalizer {
        /// What to tell once it is off.
        event: Option<Event>,
    },
    /// Nothing until the object changes, or until this long from now.
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
