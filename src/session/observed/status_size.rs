//! How much of a status has room in its object. PURE.
//!
//! The API server refuses an object of more than some 1.5 MB. Who creates an object can fill it until next to nothing of a
//! status has room. Nothing of that may hold up an end.

use crate::api::session::{AthenaSession, AthenaSessionStatus};

/// What stands for each message where messages have no room.
const NO_ROOM: &str = "The object is too large for this message: make it smaller.";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatusSize {
    #[default]
    Full,
    /// What decisions depend on, without texts.
    Short,
    Nothing,
}

#[derive(Clone, Debug, Default)]
pub struct StatusLimit(Option<Box<Refused>>);

#[derive(Clone, Debug)]
struct Refused {
    version: Option<String>,
    size: StatusSize,
}

impl StatusLimit {
    /// How much room this copy has. Another version of the object may have more.
    pub fn of(&self, object: &AthenaSession) -> StatusSize {
        let refused = self.0.as_ref().filter(|refused| refused.version == object.metadata.resource_version);
        refused.map_or(StatusSize::Full, |refused| refused.size)
    }

    /// The API server refused a status for this copy for its size. Returns whether less may have room.
    pub fn refused(&mut self, object: &AthenaSession) -> bool {
        let size = match self.of(object) {
            StatusSize::Full => StatusSize::Short,
            StatusSize::Short => StatusSize::Nothing,
            StatusSize::Nothing => return false,
        };
        self.0 = Some(Box::new(Refused { version: object.metadata.resource_version.clone(), size }));
        true
    }

    /// A status was written, which has made `written` of `object`: it has no more room than before.
    pub fn written(&mut self, object: &AthenaSession, written: &AthenaSession) {
        let size = self.of(object);
        self.0 = match size {
            StatusSize::Full => None,
            size => Some(Box::new(Refused { version: written.metadata.resource_version.clone(), size })),
        };
    }
}

/// The status without what only people read.
pub fn shortened(mut status: AthenaSessionStatus) -> AthenaSessionStatus {
    (status.state_change_reason, status.engine_version, status.dpu_execution_millis) = (None, None, None);
    status.conditions.iter_mut().for_each(|condition| NO_ROOM.clone_into(&mut condition.message));
    status
}
