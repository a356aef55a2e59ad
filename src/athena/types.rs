//! What the operator asks of AWS and learns from it, in types without the AWS SDK.
//!
//! Source: the Amazon Athena API reference, version 2017-05-18. There is no trait for the client, since there is one
//! implementation (`athena::aws`). Tests run against a server that speaks Athena's protocol.

pub(super) mod call;
mod session;
mod target;

pub use self::call::{CallError, ErrorClass, Operation};
pub use self::session::{
    ListedSession, Polled, Session, SessionPage, SessionState, SessionStatus, Source, StartRequest,
};
pub use self::target::{Account, AwsTarget, CallerContext, QuotaScope, Role};
