//! What a failed call of Athena means, and what to do about it. PURE.

use super::reason::Reason;
use crate::athena::denial::Denial;
use crate::athena::types::{CallError, CallerContext, ErrorClass, Operation};
use crate::text::duration;
use crate::timing::Timing;

/// The reason and the message for a call of Athena that failed. `scope`: where the call went.
pub fn explain(error: &CallError, scope: &CallerContext, timing: &Timing) -> (Reason, String) {
    let steady = if error.operation == Operation::StartSession { timing.rarely() } else { timing.steady };
    let (steady, max) = (duration(steady), duration(timing.backoff_max));
    let (reason, advice) = match error.class {
        ErrorClass::Denied => {
            (Reason::AccessDenied, format!("{} The operator tries again every {steady}.", how_to_permit(error, scope)))
        }
        ErrorClass::Invalid | ErrorClass::NotFoundOrInvalid => {
            let instead = match error.operation {
                Operation::StartSession => {
                    " spec.start can't change: if the request can never succeed, create another AthenaSession."
                }
                _ => "",
            };
            let refuses = "That is Athena's reason for refusing the request.";
            (Reason::Invalid, format!("{refuses}{instead} The operator tries again every {steady}."))
        }
        ErrorClass::NotConfigured => {
            (Reason::AwsNotConfigured, format!("The operator tries again, at least every {max}."))
        }
        ErrorClass::NoCapacity => (
            Reason::WaitingForCapacity,
            format!("Athena has no capacity for another session now. The operator tries again, at least every {max}."),
        ),
        ErrorClass::AlreadyStarted => (
            Reason::Starting,
            "Athena says that the session was started before. The operator searches the work group for it.".to_owned(),
        ),
        ErrorClass::Throttled => (
            Reason::Throttled,
            format!("Athena throttles the operator's calls. The operator tries again, at least every {max}."),
        ),
        ErrorClass::Unavailable => (
            Reason::AthenaUnavailable,
            format!("Athena gave no usable answer. The operator tries again, at least every {max}."),
        ),
    };
    (reason, format!("{error}. {advice}"))
}

/// The sentence on what to do where AWS denies a call.
fn how_to_permit(error: &CallError, scope: &CallerContext) -> String {
    let who = scope.role.as_ref();
    let who = who.map_or_else(|| "the operator's own AWS identity".to_owned(), |role| format!("the role {role}"));
    match error.denial() {
        Some(Denial::Expired) => format!("The credentials have expired: renew those of {who}."),
        Some(Denial::Credentials) => {
            format!(
                "AWS doesn't accept the credentials: renew those of {who}, and check the clock of the operator's node."
            )
        }
        Some(Denial::Right { action, resource, is_explicit }) => {
            let action = action.map_or_else(|| error.operation.iam_action(), str::to_owned);
            let resource = resource.map_or_else(String::new, |resource| format!(" on {resource}"));
            if is_explicit {
                format!("A policy explicitly denies {action}{resource} to {who}: remove that denial.")
            } else {
                format!("Allow {action}{resource} to {who}.")
            }
        }
        None => String::new(),
    }
}
