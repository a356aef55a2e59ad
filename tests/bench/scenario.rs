//! What can be measured.

use std::fmt;
use std::str::FromStr;

use crate::attack::Attack;

/// What happens to the objects of a scenario, once they are adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All are deleted at once; Athena has no quotas.
    Deleted,
    /// As the one before, but the operator has its default settings: it doesn't know that Athena has no quota.
    Default,
    /// As the one before, but Athena allows just the rate that the operator begins with.
    Quota,
    /// As the one before, but Athena allows more than that, which the operator has to find out.
    Found,
    /// Nothing, for a minute.
    Idle,
    /// The sessions of half of them change between IDLE and BUSY.
    Flips,
    /// There are none: rules of clean-up are applied to sessions that nobody declared.
    Cleanup,
    /// They are what a hostile tenant makes.
    Attack(Attack),
}

/// A scenario and its size: `deleted-1000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    pub kind: Kind,
    /// How many objects; of [`Kind::Cleanup`], how many sessions.
    pub objects: usize,
}

impl Scenario {
    /// Those that have targets.
    pub fn usual() -> Vec<Self> {
        let sizes = [
            (Kind::Deleted, 1_000),
            (Kind::Deleted, 10_000),
            (Kind::Default, 1_000),
            (Kind::Quota, 300),
            (Kind::Found, 600),
            (Kind::Idle, 10_000),
            (Kind::Flips, 10_000),
            (Kind::Cleanup, 10_000),
        ];
        sizes.map(|(kind, objects)| Self { kind, objects }).to_vec()
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let kind = match self.kind {
            Kind::Deleted => "deleted",
            Kind::Default => "default",
            Kind::Quota => "quota",
            Kind::Found => "found",
            Kind::Idle => "idle",
            Kind::Flips => "flips",
            Kind::Cleanup => "cleanup",
            Kind::Attack(attack) => return write!(out, "attack-{}-{}", attack.name(), self.objects),
        };
        write!(out, "{kind}-{}", self.objects)
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let attacks: Vec<_> = Attack::ALL.iter().map(|attack| format!("attack-{}-N", attack.name())).collect();
            let attacks = attacks.join(", ");
            format!(
                "not deleted-N, default-N, quota-N, found-N, idle-N, flips-N, cleanup-N or {attacks}, with N from 1 to 100000"
            )
        };
        let (kind, objects) = text.rsplit_once('-').ok_or_else(wrong)?;
        let kind = match kind {
            "deleted" => Kind::Deleted,
            "default" => Kind::Default,
            "quota" => Kind::Quota,
            "found" => Kind::Found,
            "idle" => Kind::Idle,
            "flips" => Kind::Flips,
            "cleanup" => Kind::Cleanup,
            kind => Kind::Attack(kind.strip_prefix("attack-").and_then(Attack::named).ok_or_else(wrong)?),
        };
        let objects = objects.parse().ok().filter(|objects| (1..=100_000).contains(objects));
        Ok(Self { kind, objects: objects.ok_or_else(wrong)? })
    }
}
