//! What people are told once, as Kubernetes Events. PURE.

/// The reason of the event that reports the end of a session.
pub const TERMINATED: &str = "Terminated";

/// The reason of the event that reports that a session was left alone when its object went.
pub const RETAINED: &str = "Retained";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// What was asked for happened.
    Normal,
    /// A person should look.
    Warning,
}

/// Something to tell people once: a Kubernetes Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub type_: EventType,
    /// Its reason, in PascalCase.
    pub reason: &'static str,
    pub note: String,
}

impl Event {
    pub fn normal(reason: &'static str, note: impl Into<String>) -> Self {
        Self { type_: EventType::Normal, reason, note: note.into() }
    }

    pub fn warning(reason: &'static str, note: impl Into<String>) -> Self {
        Self { type_: EventType::Warning, reason, note: note.into() }
    }

    /// Whether the event reports the end of a session.
    pub fn is_end(&self) -> bool {
        self.reason == TERMINATED
    }
}

/// How many writes to one object the API server has refused since the last reconciliation of the object that succeeded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refusals(u32);

impl Refusals {
    /// Counts a refusal. Returns the event for the first one and for each eighth in a row. The API server keeps events for an
    /// hour, and the longest wait between two tries is 5 min by default, so there is always one to see.
    pub fn event(&mut self, refusal: &str) -> Option<Event> {
        let is_told = self.0.is_multiple_of(8);
        self.0 = self.0.saturating_add(1);
        let note = || format!("The API server refuses a write of the operator, which tries again: {refusal}");
        is_told.then(|| Event::warning("Refused", note()))
    }
}
