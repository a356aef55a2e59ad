//! The right and the resource that AWS names when it denies a call, read from the text of the error. PURE.
//!
//! The missing right often isn't the one for the operation that was called: StartSession also needs
//! `athena:TagResource` for the session and `iam:PassRole` for the role. Only AWS' text says which right is missing.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial<'a> {
    Right {
        /// The IAM action that AWS names, if it names one.
        action: Option<&'a str>,
        /// The resource that AWS names, if it names one in full.
        resource: Option<&'a str>,
        /// A policy denies the action explicitly. Then it doesn't help that another policy allows the action.
        is_explicit: bool,
    },
    Expired,
    /// AWS doesn't accept the credentials, or the signature that was made with them.
    Credentials,
}

impl<'a> Denial<'a> {
    /// Reads why AWS denied a call from the code and the message of the error.
    pub(super) fn read(code: &str, message: &'a str) -> Self {
        Self::of_credentials(code).unwrap_or_else(|| right(message))
    }

    /// What is wrong with the credentials, by the code of the error; None for each other code.
    pub(super) fn of_credentials(code: &str) -> Option<Self> {
        match code {
            "ExpiredTokenException" | "ExpiredToken" => Some(Self::Expired),
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "RequestExpired" => Some(Self::Credentials),
            _ => None,
        }
    }
}

/// Reads `… is not authorized to perform: ACTION on resource: RESOURCE because …`, and the older text of Athena
/// `You are not authorized to perform: ACTION on the resource.`
fn right(message: &str) -> Denial<'_> {
    let named = message.split_once("not authorized to perform: ").map(|(_, rest)| rest);
    let action = named.and_then(|rest| rest.split_whitespace().next()).map(without_full_stop);
    let resource = named.and_then(|rest| rest.split_once(" on resource: ")).map(|(_, rest)| rest);
    let resource = resource.and_then(|rest| rest.split_whitespace().next()).map(without_full_stop);
    Denial::Right {
        action: action.filter(|action| is_action(action)),
        resource: resource.filter(|resource| is_resource(resource)),
        is_explicit: message.contains("explicit deny"),
    }
}

fn without_full_stop(word: &str) -> &str {
    word.trim_end_matches(['.', ','])
}

fn is_action(word: &str) -> bool {
    let is_word =
        |part: &str| (1..=64).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    word.split_once(':').is_some_and(|(service, action)| is_word(service) && is_word(action))
}

/// Whether this can be a whole ARN. A message that was too long was cut, and ends with `…`. The first part of an ARN
/// would name another resource.
fn is_resource(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '`' | '<' | '>');
    (1..=1011).contains(&word.len()) && word.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::athena::types::{CallError, ErrorClass, Operation};

    fn denied(code: &str, message: &str) -> CallError {
        CallError {
            operation: Operation::StartSession,
            class: ErrorClass::Denied,
            code: code.to_owned(),
            message: message.to_owned(),
            request_id: None,
        }
    }

    const WORK_GROUP: &str = "arn:aws:athena:eu-west-1:123456789012:workgroup/spark-team-a";
    const ROLE: &str = "arn:aws-us-gov:iam::123456789012:role/path/spark";

    #[test]
    fn the_action_and_the_resource_are_those_that_aws_names() {
        let user = "User: arn:aws:sts::123456789012:assumed-role/operator/name";
        let long = format!("{user} is not authorized to perform: iam:PassRole on resource: {}…", "x".repeat(300));
        let full = |action: &str, resource: &str, end: &str| {
            format!("{user} is not authorized to perform: {action} on resource: {resource}{end}")
        };
        let by_policy = " because no identity-based policy allows the athena:StartSession action";
        let by_deny = " with an explicit deny in a service control policy";
        let table = [
            (full("athena:StartSession", WORK_GROUP, by_policy), Some("athena:StartSession"), Some(WORK_GROUP), false),
            (full("iam:PassRole", ROLE, by_deny), Some("iam:PassRole"), Some(ROLE), true),
            (full("iam:PassRole", ROLE, "."), Some("iam:PassRole"), Some(ROLE), false),
            (
                "You are not authorized to perform: athena:GetSession on the resource. After".to_owned(),
                Some("athena:GetSession"),
                None,
                false,
            ),
            (format!("{user} is not authorized to perform: athena:GetSession"), Some("athena:GetSession"), None, false),
            (long, Some("iam:PassRole"), None, false),
            (full("<b>no action</b>", "a\u{7}b", ""), None, None, false),
            (full(&format!("iam:{}", "x".repeat(65)), ROLE, ""), None, Some(ROLE), false),
            ("not authorized to perform: ".to_owned(), None, None, false),
            ("no".to_owned(), None, None, false),
            (String::new(), None, None, false),
        ];
        for (message, action, resource, is_explicit) in &table {
            let expected = Denial::Right { action: *action, resource: *resource, is_explicit: *is_explicit };
            assert_eq!(denied("AccessDeniedException", message).denial(), Some(expected), "{message}");
        }
    }

    #[test]
    fn credentials_are_told_from_rights() {
        let message = full_denial();
        assert_eq!(denied("ExpiredTokenException", &message).denial(), Some(Denial::Expired));
        assert_eq!(denied("InvalidSignatureException", &message).denial(), Some(Denial::Credentials));
        let invalid = CallError { class: ErrorClass::Invalid, ..denied("ValidationException", &message) };
        assert_eq!(invalid.denial(), None);
    }

    fn full_denial() -> String {
        format!("User: x is not authorized to perform: athena:StartSession on resource: {WORK_GROUP}")
    }
}
