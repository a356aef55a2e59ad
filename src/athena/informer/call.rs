//! What a call to Athena is for, and whose turn the last calls were. PURE.

use std::time::Instant;

/// What a call is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// GetSessionStatus for this session.
    SessionStatus(String),
    /// The next page of the targeted scan.
    TargetedScan,
    /// The next page of the full scan.
    FullScan,
    /// The next page of the complete list.
    CompleteList,
}

/// Which kinds of calls had the last turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// When GetSessionStatus was called last.
    pub(super) session_status_at: Option<Instant>,
    /// Of GetSessionStatus and the targeted scan, GetSessionStatus had the last turn.
    pub(super) was_session_status: bool,
    /// How many such calls in a row went before a page of a full scan or of a complete list.
    pub(super) ahead: u32,
    /// Of these two, the complete list had the last turn.
    pub(super) was_complete_list: bool,
}

impl Turns {
    pub(super) fn taken(&mut self, call: &Call, now: Instant) {
        match call {
            Call::FullScan | Call::CompleteList => {
                self.ahead = 0;
                self.was_complete_list = *call == Call::CompleteList;
            }
            Call::SessionStatus(_) | Call::TargetedScan => {
                self.ahead = self.ahead.saturating_add(1);
                self.was_session_status = *call != Call::TargetedScan;
            }
        }
        if matches!(call, Call::SessionStatus(_)) {
            self.session_status_at = Some(now);
        }
    }
}
