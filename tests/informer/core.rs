//! What these tests use of the operator.

pub use athena_session_operator::athena::engine::{Engine, EngineKnowledge};
pub use athena_session_operator::athena::informer::engine::EngineWatch;
pub use athena_session_operator::athena::informer::plan::Plan;
pub use athena_session_operator::athena::informer::proof_of_absence::{ListAnswer, ListRequest, Sought};
pub use athena_session_operator::athena::informer::types::{Asker, CallFailure, Interest, Task};
pub use athena_session_operator::athena::marker::Marker;
pub use athena_session_operator::athena::types::{
    CallError, ErrorClass, Operation, Polled, SessionPage, SessionState, SessionStatus, Source,
};
