//! Attacks at full size: what a hostile tenant does, and what the other tenants notice of it. docs/threat-model.md says what
//! bounds each of them.

mod flood;
mod large;
mod restart;
mod roles;

use std::time::Duration;

use tokio::time::timeout;

use self::flood::Flood;
use crate::Outcome;
use crate::figure::Figure;
use crate::progress::Progress;
use crate::scenario::Scenario;
use crate::stage::Stage;

/// The objects of an attack may take long to make.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// What the hostile tenant does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Makes AthenaSessions and Pods of 1 MB each.
    Large,
    /// Has many AthenaWorkGroups, each with a role of its own.
    Roles,
    /// Floods Athena's quotas.
    Flood(Flood),
    /// Deletes AthenaSessions that wait to start, while the operator is away.
    Restart,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Large,
        Self::Roles,
        Self::Restart,
        Self::Flood(Flood::Create),
        Self::Flood(Flood::Terminate),
        Self::Flood(Flood::Delete),
        Self::Flood(Flood::UnknownIds),
        Self::Flood(Flood::Starts),
        Self::Flood(Flood::MissingJobs),
    ];

    /// As in the name of a scenario: attack-NAME-2000.
    pub fn name(self) -> &'static str {
        match self {
            Self::Large => "large",
            Self::Roles => "roles",
            Self::Flood(flood) => flood.name(),
            Self::Restart => "restart",
        }
    }

    /// The attack of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attack| attack.name() == name)
    }

    /// Plays the attack.
    pub async fn run(self, scenario: Scenario, stage: &Stage, progress: &Progress) -> Outcome<Vec<Figure>> {
        let played = async {
            match self {
                Self::Large => large::play(scenario, stage, progress).await,
                Self::Roles => roles::play(scenario, stage, progress).await,
                Self::Flood(flood) => flood::play(flood, scenario, stage, progress).await,
                Self::Restart => restart::play(scenario, stage, progress).await,
            }
        };
        let minutes = PATIENCE.as_secs() / 60;
        timeout(PATIENCE, played).await.map_err(|_| format!("given up after {minutes} min, at: {}", progress.now()))?
    }
}
