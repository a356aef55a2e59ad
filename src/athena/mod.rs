//! Calls to Athena, and what the operator knows of Athena by their answers.

#[expect(clippy::disallowed_methods, reason = "credentials expire, and calls are measured")]
pub(crate) mod aws;
#[expect(clippy::disallowed_methods, reason = "Athena's clock is compared with ours")]
pub(crate) mod clock;
pub(crate) mod denial;
pub mod engine;
#[expect(clippy::disallowed_methods, reason = "STS is asked again and again")]
pub(crate) mod identity;
pub mod informer;
pub mod marker;
pub(crate) mod plausible_times;
#[expect(clippy::disallowed_methods, reason = "tokens come with time")]
pub mod quota;
pub(crate) mod recovery;
pub(crate) mod session_arn;
pub mod types;
