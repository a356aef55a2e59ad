//! Where calls to Athena go, and by which identity.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// The identity and the Region by which a work group of Athena is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AwsTarget {
    /// The role to assume; None for the operator's own identity.
    pub role: Option<Role>,
    /// The Region; None for the operator's Region.
    pub region: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Role {
    pub arn: String,
    pub external_id: Option<String>,
}

/// Where calls to Athena would go now, by which role, and what is known of Athena there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerContext {
    /// The ARN of the role that is assumed for the calls; None for the operator's own identity.
    pub role: Option<String>,
    pub region: Option<String>,
    pub account: Account,
    /// When the last GetCallerIdentity that named this account was sent.
    pub confirmed_at: Option<Instant>,
    /// Since when calls go to this account. Earlier answers may have come from another account.
    pub since: Option<Instant>,
    /// How far Athena's clock is ahead of this machine's; None before the first answer.
    pub skew: Option<SignedDuration>,
    /// When an outage of Athena last ended. Calls that failed during the outage may be made again at once.
    pub recovered_at: Option<Instant>,
}

impl CallerContext {
    pub fn unknown(why: &str) -> Self {
        let (role, region, confirmed_at, since, skew, recovered_at) = Default::default();
        let account = Account::Unknown(why.to_owned());
        Self { role, region, account, confirmed_at, since, skew, recovered_at }
    }

    /// What Athena's clock shows when this machine's clock shows `wall`. Before the first answer both count as equal.
    pub fn athena_time(&self, wall: Timestamp) -> Timestamp {
        wall.checked_add(self.skew.unwrap_or_default()).unwrap_or(wall)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    Known(String),
    /// GetCallerIdentity hasn't named an account. Holds the reason.
    Unknown(String),
}

impl Account {
    pub fn known(&self) -> Option<&str> {
        match self {
            Self::Known(account) => Some(account),
            Self::Unknown(_) => None,
        }
    }
}

/// The account and the Region whose service quotas calls count against.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct QuotaScope {
    /// The AWS account; None while it isn't known.
    pub account: Option<String>,
    pub region: Option<String>,
}

impl QuotaScope {
    pub fn of(scope: &CallerContext) -> Self {
        Self { account: scope.account.known().map(str::to_owned), region: scope.region.clone() }
    }
}
