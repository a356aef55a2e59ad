//! A request to the API server whose failure ends no reconciliation: nothing about it may hold up the end of a session.

use std::time::Duration;

use thiserror::Error;

use crate::kubernetes::within;

#[derive(Debug, Error)]
pub(super) enum Problem {
    #[error("the object doesn't exist")]
    Gone,
    #[error("the object has changed meanwhile")]
    Conflict,
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Failed(String),
}

impl Problem {
    pub(super) fn into_refusal(self) -> Option<String> {
        match self {
            Self::Refused(words) => Some(words),
            Self::Gone | Self::Conflict | Self::Failed(_) => None,
        }
    }
}

pub(super) async fn ask<T>(deadline: Duration, request: impl Future<Output = kube::Result<T>>) -> Result<T, Problem> {
    within(deadline, request).await.map_err(|failure| match (failure.code(), failure.words()) {
        // A proxy on the way may say 404 for a moment. That says nothing about the object.
        (Some(404), _) if failure.is_not_found() => Problem::Gone,
        (Some(404), words) => Problem::Failed(words),
        (Some(409), _) => Problem::Conflict,
        (None | Some(429 | 500..), words) => Problem::Failed(words),
        (Some(_), words) => Problem::Refused(words),
    })
}
