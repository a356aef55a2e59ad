//! The ARN of a session, which the operations on tags ask for. PURE.

/// The ARN of a session of this work group, in this account and Region.
pub(crate) fn session_arn(region: &str, account: &str, work_group: &str, session: &str) -> String {
    format!("arn:{}:athena:{region}:{account}:workgroup/{work_group}/session/{session}", partition(region))
}

/// The partition that a Region belongs to.
fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}
