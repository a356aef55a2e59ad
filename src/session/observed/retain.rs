//! What this process has learned of an object that is deleted with `deletionPolicy: Retain`. PURE.

use std::time::Instant;

use super::answers::Now;
use crate::api::session::{AthenaSession, DeletionPolicy};

/// Whether the object is being deleted with `deletionPolicy: Retain`, and what became of the tag that says so on its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retain {
    #[default]
    No,
    /// Since then, as far as this process has seen. TagResource hasn't been called.
    Since(Instant),
    Tagged,
    /// TagResource failed. It isn't called again, since the tag must not keep the object from going.
    NotTagged,
}

impl Retain {
    pub(super) fn found(&mut self, object: &AthenaSession, now: Now) {
        let is_deleted = object.metadata.deletion_timestamp.is_some();
        match self {
            _ if !is_deleted || object.spec.deletion_policy != DeletionPolicy::Retain => *self = Self::No,
            Self::No => *self = Self::Since(now.tick),
            Self::Since(_) | Self::Tagged | Self::NotTagged => {}
        }
    }
}
