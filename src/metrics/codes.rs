//! The codes of failures, as a bounded set.

/// The codes that have a series of their own: those of Athena, of STS, and of all AWS services, and the operator's own for an
/// answer that can't be used. Any other code, which a proxy may make up, is counted as `Other`.
const CODES: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AnswerTooLarge",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InternalFailure",
    "InternalServerException",
    "InvalidClientTokenId",
    "InvalidRequestException",
    "InvalidSignatureException",
    "MetadataException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NoAccount",
    "NoAnswer",
    "NoCredentials",
    "NoEngine",
    "NoRegion",
    "NoSession",
    "NoState",
    "NoWorkGroup",
    "NotAuthorized",
    "OptInRequired",
    "RequestExpired",
    "RequestLimitExceeded",
    "RequestThrottledException",
    "ResourceNotFoundException",
    "SamePage",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SessionAlreadyExistsException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "Timeout",
    "TooManyRequestsException",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
    "UnusableAnswer",
    "UnusablePage",
    "ValidationException",
    "WrongSession",
];

pub(super) fn known(code: &str) -> &'static str {
    CODES.iter().find(|known| **known == code).copied().unwrap_or("Other")
}
