//! Scripted faults: which calls go wrong, and how.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration;

/// One scripted fault. The first one that matches a call decides about it.
///
/// ```
/// use fake_athena::Fault;
/// let lost_answer = Fault::cut().after_effect().on("StartSession").times(1);
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Only calls of this operation.
    #[serde(default)]
    pub operation: Option<String>,
    /// Only calls that name this session.
    #[serde(default)]
    pub session: Option<String>,
    /// Lets so many matching calls pass first.
    #[serde(default)]
    pub skip: u32,
    /// Holds for so many calls; none: until the faults are cleared.
    #[serde(default)]
    pub times: Option<u32>,
    /// Strikes after the call has had its effect, instead of before it.
    #[serde(default)]
    pub after_effect: bool,
}

/// What goes wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// An error answer.
    Error {
        /// The `__type`, such as `AccessDeniedException`.
        code: String,
        /// The text.
        message: String,
        /// The HTTP status.
        #[serde(default = "FaultKind::default_status")]
        status: u16,
    },
    /// No answer, ever; the connection stays open.
    Hang,
    /// The answer comes late. A client that has gone by then doesn't stop the effect.
    Delay(#[serde(with = "duration::text")] Duration),
    /// The connection closes without an answer.
    Cut,
    /// The answer tells of success, but nothing has changed.
    NoEffect,
    /// The answer has status 200 and this body, whatever was asked.
    Body(String),
    /// The answer has status 200 and a body without an end.
    Endless,
    /// The call does what it does, and its answer says something else: a JSON merge patch (RFC 7386) changes it.
    Says(Value),
}

impl FaultKind {
    fn default_status() -> u16 {
        400
    }
}

impl Fault {
    /// A fault for each call until the faults are cleared; the methods below narrow it.
    pub fn new(kind: FaultKind) -> Self {
        Fault { kind, operation: None, session: None, skip: 0, times: None, after_effect: false }
    }

    /// An error answer with HTTP status 400.
    pub fn error(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::error_with_status(code, message, 400)
    }

    /// An error answer.
    pub fn error_with_status(code: impl Into<String>, message: impl Into<String>, status: u16) -> Self {
        Self::new(FaultKind::Error { code: code.into(), message: message.into(), status })
    }

    /// InternalServerException with HTTP status 500.
    pub fn internal() -> Self {
        Self::error_with_status("InternalServerException", "Internal server error", 500)
    }

    /// ThrottlingException.
    pub fn throttled() -> Self {
        Self::error("ThrottlingException", "Rate exceeded")
    }

    /// No answer, ever.
    pub fn hang() -> Self {
        Self::new(FaultKind::Hang)
    }

    /// A late answer.
    pub fn delay(delay: Duration) -> Self {
        Self::new(FaultKind::Delay(delay))
    }

    /// A connection that closes without an answer.
    pub fn cut() -> Self {
        Self::new(FaultKind::Cut)
    }

    /// Success that changes nothing.
    pub fn no_effect() -> Self {
        Self::new(FaultKind::NoEffect)
    }

    /// An answer with this body.
    pub fn body(body: impl Into<String>) -> Self {
        Self::new(FaultKind::Body(body.into()))
    }

    /// An answer without an end.
    pub fn endless() -> Self {
        Self::new(FaultKind::Endless)
    }

    /// An answer that this JSON merge patch changes.
    pub fn says(patch: Value) -> Self {
        Self::new(FaultKind::Says(patch))
    }

    /// Only calls of this operation.
    #[must_use]
    pub fn on(mut self, operation: impl Into<String>) -> Self {
        self.operation = Some(operation.into());
        self
    }

    /// Only calls that name this session.
    #[must_use]
    pub fn session(mut self, id: impl Into<String>) -> Self {
        self.session = Some(id.into());
        self
    }

    /// Only the next so many matching calls.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Lets so many matching calls pass first.
    #[must_use]
    pub fn skip(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    /// Strikes after the effect, instead of before it.
    #[must_use]
    pub fn after_effect(mut self) -> Self {
        self.after_effect = true;
        self
    }

    fn matches(&self, operation: &str, session: Option<&str>) -> bool {
        self.operation.as_deref().is_none_or(|it| it == operation)
            && (self.session.is_none() || self.session.as_deref() == session)
    }
}

/// The faults that still hold, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        if fault.times != Some(0) {
            self.0.push(fault);
        }
    }

    pub(crate) fn all(&self) -> &[Fault] {
        &self.0
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault of the call that arrives now, used up by one.
    pub(crate) fn take(&mut self, operation: &str, session: Option<&str>) -> Option<Fault> {
        let mut struck = None;
        for (index, fault) in self.0.iter_mut().enumerate() {
            if !fault.matches(operation, session) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            struck = Some((index, fault.clone()));
            break;
        }
        let (index, fault) = struck?;
        match self.0[index].times.as_mut() {
            Some(times) if *times > 1 => *times -= 1,
            Some(_) => {
                self.0.remove(index);
            }
            None => {}
        }
        Some(fault)
    }
}
