//! What random stories have in common: their lines, and how a world lives through them. A story is a list of lines,
//! each of which lets time pass, makes a pass, or lets something happen in the middle of a pass.

use std::time::Duration;

use proptest::prelude::*;

use super::{Event, Fault, Poller, World};
use crate::core::ErrorClass;
use crate::fixtures::seconds;

/// How many stories are tried: 3000, or as many as the environment variable PROPTEST_CASES says.
pub fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(3000), ..ProptestConfig::default() }
}

/// What happens to a call to Athena other than StartSession.
pub fn fault() -> impl Strategy<Value = Fault> {
    let classes = [ErrorClass::Throttled, ErrorClass::Denied, ErrorClass::Unavailable];
    prop_oneof![
        5 => Just(Fault::None),
        1 => Just(Fault::CutAfter),
        1 => Just(Fault::NoEffect),
        2 => prop::sample::select(classes.to_vec()).prop_map(Fault::Fails),
    ]
}

pub fn poller() -> impl Strategy<Value = Poller> {
    let pollers =
        [Poller::Off, Poller::Shows { lag: seconds(0) }, Poller::Shows { lag: seconds(5) }, Poller::AskYourself];
    prop::sample::select(pollers.to_vec())
}

/// A line of a story.
#[derive(Clone, Debug)]
pub enum Line {
    /// The operator works for so long.
    Run(Duration),
    /// One pass, in which this happens after so many steps.
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

    /// Lives through these lines, until an invariant is broken.
    pub fn live_through(&mut self, lines: &[Line]) {
        for line in lines {
            self.live(line);
            if self.breach.is_some() {
                return;
            }
        }
    }

    /// The API server and Athena answer again, and then this happens.
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
