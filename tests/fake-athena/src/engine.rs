//! What depends on the engine of a work group.

use serde_json::Value;

use crate::error::ApiError;

/// The engine of Spark sessions that run calculations.
pub const PYSPARK_3: &str = "PySpark engine version 3";
/// The engine of Spark sessions that clients connect to by Spark Connect.
pub const SPARK_3_5: &str = "Apache Spark version 3.5";
/// An engine of SQL queries.
pub const ATHENA_3: &str = "Athena engine version 3";

/// Checks that the engine has sessions at all: that of a work group for SQL has none.
pub(crate) fn check_spark(engine: &str) -> Result<(), ApiError> {
    if engine.starts_with("Athena engine version") {
        return Err(ApiError::invalid_request("Workgroup EngineVersion is not Spark."));
    }
    Ok(())
}

/// Checks the input of StartSession against what the engine takes.
pub(crate) fn check_start(engine: &str, input: &Value) -> Result<(), ApiError> {
    check_spark(engine)?;
    let configuration = &input["EngineConfiguration"];
    let refused: &[&str] = match engine {
        SPARK_3_5 => &["CoordinatorDpuSize", "DefaultExecutorDpuSize", "SparkProperties"],
        _ => &["Classifications"],
    };
    if let Some(member) = refused.iter().find(|member| !configuration[**member].is_null()) {
        return Err(ApiError::invalid_request(format!("{member} is not supported for {engine}")));
    }
    let has_notebook = !configuration["AdditionalConfigs"]["NotebookId"].is_null();
    if has_notebook && input["NotebookVersion"].is_null() {
        return Err(ApiError::invalid_request("NotebookVersion is required when NotebookId is provided."));
    }
    Ok(())
}
