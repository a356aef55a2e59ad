//! The engines that work groups run on, and which settings of a session each of them takes. PURE.
//!
//! Source: "Release versions" and "Considerations and limitations" of the guide to Athena for Apache Spark.

use std::fmt;
use std::sync::Arc;

use super::types::CallError;
use crate::api::start::EngineConfiguration;

/// The engine of a work group, or of a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// PySpark engine version 3: clients run calculations, for which a session must be IDLE.
    PySpark3,
    /// Apache Spark version 3.5: clients connect to the session itself, by Spark Connect. It has no calculations.
    Spark35,
    /// An engine for SQL queries, which has no sessions. Holds Athena's name of it, where that is known.
    NotSpark(Option<Box<str>>),
    /// An engine that this operator doesn't know. Holds Athena's name of it.
    Unknown(Box<str>),
}

impl Engine {
    /// Athena's name of this engine, where that is known.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::PySpark3 => Some("PySpark engine version 3"),
            Self::Spark35 => Some("Apache Spark version 3.5"),
            Self::NotSpark(word) => word.as_deref(),
            Self::Unknown(word) => Some(word),
        }
    }

    /// [`Engine::NotSpark`] where Athena refused a call because the work group isn't for Spark; None for any other error.
    #[must_use]
    pub fn of_refusal(error: &CallError) -> Option<Self> {
        error.message.contains("EngineVersion is not Spark").then_some(Self::NotSpark(None))
    }

    /// The fields among these settings that the engine doesn't take, as a manifest of either kind has them; None where it
    /// takes all.
    #[must_use]
    pub fn refused(&self, configuration: &EngineConfiguration) -> Option<String> {
        let refused = self.unsupported().iter().filter(|it| it.is_set(configuration));
        let fields: Vec<_> = refused.map(|it| format!("spec.start.engineConfiguration.{}", it.name())).collect();
        if fields.is_empty() { None } else { Some(fields.join(", ")) }
    }

    /// These settings without those that the engine doesn't take.
    #[must_use]
    pub fn supported(&self, mut configuration: EngineConfiguration) -> EngineConfiguration {
        self.unsupported().iter().for_each(|it| it.clear(&mut configuration));
        configuration
    }

    fn unsupported(&self) -> &'static [Setting] {
        match self {
            Self::PySpark3 => &[Setting::Classifications],
            Self::Spark35 => &[Setting::CoordinatorDpuSize, Setting::DefaultExecutorDpuSize, Setting::SparkProperties],
            Self::NotSpark(_) | Self::Unknown(_) => &[],
        }
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

/// A setting that not every engine takes.
#[derive(Clone, Copy)]
enum Setting {
    CoordinatorDpuSize,
    DefaultExecutorDpuSize,
    SparkProperties,
    Classifications,
}

impl Setting {
    fn name(self) -> &'static str {
        match self {
            Self::CoordinatorDpuSize => "coordinatorDpuSize",
            Self::DefaultExecutorDpuSize => "defaultExecutorDpuSize",
            Self::SparkProperties => "sparkProperties",
            Self::Classifications => "classifications",
        }
    }

    fn is_set(self, configuration: &EngineConfiguration) -> bool {
        match self {
            Self::CoordinatorDpuSize => configuration.coordinator_dpu_size.is_some(),
            Self::DefaultExecutorDpuSize => configuration.default_executor_dpu_size.is_some(),
            Self::SparkProperties => configuration.spark_properties.is_some(),
            Self::Classifications => configuration.classifications.is_some(),
        }
    }

    fn clear(self, configuration: &mut EngineConfiguration) {
        match self {
            Self::CoordinatorDpuSize => configuration.coordinator_dpu_size = None,
            Self::DefaultExecutorDpuSize => configuration.default_executor_dpu_size = None,
            Self::SparkProperties => configuration.spark_properties = None,
            Self::Classifications => configuration.classifications = None,
        }
    }
}

/// What is known of the engine of a work group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineKnowledge {
    /// Athena hasn't been asked yet.
    Awaited,
    /// The engine, as Athena said.
    Known(Engine),
    /// The engine isn't known, and nothing waits for it any more. Holds the failure of GetWorkGroup, if there was one.
    NotKnown(Option<Arc<CallError>>),
}

impl EngineKnowledge {
    /// The engine, where it is known.
    #[must_use]
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
