//! What random stories have in common: their lines, and how they are told.

use std::time::Duration;

use super::{Event, World};

/// A line of a story.
#[derive(Clone, Debug)]
pub enum Line {
    /// The operator works for so long.
    Run(Duration),
    /// One pass, and this happens after so many of its steps.
    Ambush(u8, Event),
    Event(Event),
    /// The watch stands still, or goes on.
    Freeze(bool),
}

impl World {
    pub fn live(&mut self, line: &Line) {
        match line {
            Line::Run(long) => self.run_for(*long),
            Line::Ambush(steps, event) => {
                self.ambush.push((*steps, event.clone()));
                self.pass();
            }
            Line::Event(event) => self.event(event),
            Line::Freeze(frozen) => self.cache_frozen = *frozen,
        }
    }

    /// Lives through these, as far as what must hold does.
    pub fn live_through(&mut self, lines: &[Line]) {
        for line in lines {
            self.live(line);
            if self.breach.is_some() {
                return;
            }
        }
    }

    /// All answer again, and then this happens.
    pub fn calm(&mut self, events: &[Event]) {
        self.faults.clear();
        self.ambush.clear();
        self.cache_frozen = false;
        self.event(&Event::ApiServerFails { requests: 0, late: false });
        events.iter().for_each(|event| self.event(event));
    }

    /// The session hasn't ended.
    pub fn session_runs(&self) -> bool {
        self.session.as_ref().is_some_and(|state| !state.is_ended())
    }
}
