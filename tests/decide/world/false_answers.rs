//! Answers of Athena that aren't true.

use crate::core::SessionState;

/// What Athena says instead of the truth, one answer after the other. After the last answer comes the first one again.
#[derive(Clone, Debug, Default)]
pub struct Lies {
    /// The states that answers show. None stands for the truth.
    pub states: Vec<Option<SessionState>>,
    /// Whether GetSession and GetSessionStatus give false answers, too, and not only lists and TerminateSession.
    pub in_calls: bool,
    /// The work groups that GetSession names. None stands for the truth.
    pub work_groups: Vec<Option<&'static str>>,
    /// How many answers were given.
    pub told: usize,
}

impl Lies {
    /// Lists and TerminateSession always show this state.
    pub fn of_lists(state: SessionState) -> Self {
        Self { states: vec![Some(state)], ..Self::default() }
    }

    /// The state that the next answer shows. `is_call`: it is the answer to a call for the session.
    pub(super) fn next(&mut self, is_call: bool) -> Option<SessionState> {
        if is_call && !self.in_calls {
            return None;
        }
        self.told += 1;
        let count = self.states.len().max(1);
        self.states.get(self.told % count).cloned().flatten()
    }

    /// The work group that this answer names.
    pub(super) fn work_group(&self) -> Option<&'static str> {
        let count = self.work_groups.len().max(1);
        self.work_groups.get(self.told % count).copied().flatten()
    }
}
