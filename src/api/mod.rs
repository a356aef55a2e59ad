//! The kinds that people write: what a manifest may say, and what its status tells.

pub mod reason;
pub mod session;

/// The finalizer on every [`session::AthenaSession`] whose session this operator answers for.
pub const FINALIZER: &str = "athena-operator.dev/session";
