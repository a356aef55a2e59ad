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
            (Reason::AccessDenied, format!("{} Tried again every {steady}.", how_to_permit(error, scope)))
        }
        ErrorClass::Invalid | ErrorClass::NotFoundOrInvalid => {
            let instead = match error.operation {
                Operation::StartSession => {
                    " spec.start can't change: if it asks for what Athena can't give, create another AthenaSession."
                }
                _ => "",
            };
            let refuses = "Athena refuses the request, for the reason it gives.";
            (Reason::Invalid, format!("{refuses}{instead} Tried again every {steady}."))
        }
        ErrorClass::NotConfigured => (Reason::AwsNotConfigured, format!("Tried again, at the latest every {max}.")),
        ErrorClass::NoCapacity => (
            Reason::WaitingForCapacity,
            format!("Athena has no room for another session now. Tried again, at the latest every {max}."),
        ),
        ErrorClass::AlreadyStarted => (
            Reason::Starting,
            "Athena says that the session was started before: it is looked for in the list.".to_owned(),
        ),
        ErrorClass::Throttled => {
            (Reason::Throttled, format!("Athena asks for fewer calls. Tried again, at the latest every {max}."))
        }
        ErrorClass::Unavailable => (
            Reason::AthenaUnavailable,
            format!("Athena gave no usable answer. Tried again, at the latest every {max}."),
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
