//! The table of reasons.

use crate::core::{Reason, Standing, Tristate};

#[test]
fn no_row_contradicts_itself() {
    for row in Reason::TABLE {
        // What is beside the session doesn't keep it from taking calculations.
        let is_beside = matches!(
            row.reason,
            Reason::PublishConflict
                | Reason::PublishForbidden
                | Reason::EndWithDisabled
                | Reason::EndWithForbidden
                | Reason::GetSessionDenied
        );
        let is_usable = row.standing == Standing::Ready || is_beside;
        assert!(row.active != Tristate::True || is_usable, "{}: active, not ready", row.word);
        assert!(
            row.warns || !matches!(row.standing, Standing::Stalled | Standing::StalledLater),
            "{}: stalled in silence",
            row.word
        );
    }
}
