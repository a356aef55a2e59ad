//! The engines of work groups, and the settings of a session that each engine takes. PURE.
//!
//! Source: "Release versions" and "Considerations and limitations" of the guide to Athena for Apache Spark.

use std::fmt;
use std::sync::Arc;

use super::types::call::CallError;
use crate::api::start::EngineConfiguration;

/// A sentence for a person who has just changed the engine of a work group, and still sees the old one.
pub const ASKED_HOURLY: &str = "The operator asks Athena for the engine once an hour.";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// PySpark engine version 3. Clients run calculations, for which the session must be IDLE.
    PySpark3,
    /// Apache Spark version 3.5. Clients connect to the session by Spark Connect; there are no calculations.
    Spark35,
    /// An engine for SQL queries, which has no sessions. Holds Athena's name of the engine, if that is known.
    NotSpark(Option<Box<str>>),
    /// An engine that this operator doesn't know. Holds Athena's name of the engine.
    Unknown(Box<str>),
}

impl Engine {
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::PySpark3 => Some("PySpark engine version 3"),
            Self::Spark35 => Some("Apache Spark version 3.5"),
            Self::NotSpark(word) => word.as_deref(),
            Self::Unknown(word) => Some(word),
        }
    }

    /// [`Engine::NotSpark`] where Athena refused a call because the work group isn't for Spark; otherwise None.
    pub fn of_refusal(error: &CallError) -> Option<Self> {
        error.message.contains("EngineVersion is not Spark").then_some(Self::NotSpark(None))
    }

    /// The settings here that the engine doesn't take, as fields of a manifest; None where it takes all.
    pub fn refused(&self, configuration: &EngineConfiguration) -> Option<String> {
        let is_set = |setting: &&Setting| setting.removed(configuration.clone()) != *configuration;
        let refused = self.unsupported().iter().filter(is_set);
        let fields: Vec<_> = refused.map(|it| format!("spec.start.engineConfiguration.{}", it.field)).collect();
        if fields.is_empty() { None } else { Some(fields.join(", ")) }
    }

    /// This configuration without the settings that the engine doesn't take.
    pub fn supported(&self, configuration: EngineConfiguration) -> EngineConfiguration {
        self.unsupported().iter().fold(configuration, |configuration, setting| setting.removed(configuration))
    }

    fn unsupported(&self) -> &'static [Setting] {
        match self {
            Self::PySpark3 => &[Setting { field: "classifications", remove: |it| it.classifications = None }],
            Self::Spark35 => &[
                Setting { field: "coordinatorDpuSize", remove: |it| it.coordinator_dpu_size = None },
                Setting { field: "defaultExecutorDpuSize", remove: |it| it.default_executor_dpu_size = None },
                Setting { field: "sparkProperties", remove: |it| it.spark_properties = None },
            ],
            Self::NotSpark(_) | Self::Unknown(_) => &[],
        }
    }
}

struct Setting {
    /// The name of its field in a manifest.
    field: &'static str,
    remove: fn(&mut EngineConfiguration),
}

impl Setting {
    fn removed(&self, mut configuration: EngineConfiguration) -> EngineConfiguration {
        (self.remove)(&mut configuration);
        configuration
    }
}

impl From<&str> for Engine {
    fn from(word: &str) -> Self {
        match [Self::PySpark3, Self::Spark35].into_iter().find(|engine| engine.version() == Some(word)) {
            Some(engine) => engine,
            None if word.starts_with("Athena engine version") => Self::NotSpark(Some(word.into())),
            None => Self::Unknown(word.into()),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.version().unwrap_or("an engine of SQL queries"))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineKnowledge {
    Awaited,
    Known(Engine),
    /// The engine isn't known, and nothing waits for it any more. Holds the failure of GetWorkGroup, if there was one.
    NotKnown(Option<Arc<CallError>>),
}

impl EngineKnowledge {
    pub fn known(&self) -> Option<&Engine> {
        match self {
            Self::Known(engine) => Some(engine),
            Self::Awaited | Self::NotKnown(_) => None,
        }
    }
}

impl Default for EngineKnowledge {
    fn default() -> Self {
        Self::NotKnown(None)
    }
}
