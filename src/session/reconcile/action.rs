//! How a reconciliation ends.

use std::time::Duration;

use thiserror::Error;

use crate::kubernetes::RequestError;
use crate::session::plan::Step;

/// No object needs more steps in one reconciliation. More would be a loop without end.
pub(super) const MOST_STEPS: usize = 24;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// There is nothing to do until the object changes, or so long from now.
    Wait(Option<Duration>),
    /// The object doesn't exist any more, or our finalizer is off.
    Gone,
}

#[derive(Debug, Error)]
pub(super) enum ReconcileError {
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The API server refuses a write, in these words, though the copy is up to date: an admission policy, or a schema
    /// that was tightened.
    #[error("{0}")]
    Refused(String),
    /// The object kept changing meanwhile, or the operator has a fault. Holds the last step.
    #[error(
        "the object kept changing, or the operator has a bug: still not done after {MOST_STEPS} steps; last: {0:?}"
    )]
    Unsettled(Box<Step>),
}

impl ReconcileError {
    /// What to tell people of a refusal by the API server; None where the error isn't one.
    pub(super) fn refusal(&self) -> Option<String> {
        match self {
            Self::Request(error) => error.refusal(),
            Self::Refused(refusal) => Some(refusal.clone()),
            Self::Unsettled(_) => None,
        }
    }
}
