//! The request of StartSession.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_athena::Client;
use aws_sdk_athena::error::BuildError;
use aws_sdk_athena::operation::start_session::builders::StartSessionFluentBuilder;
use aws_sdk_athena::types;

use super::errors::own_error;
use crate::api::start::{Classification, EngineConfiguration, MonitoringConfiguration};
use crate::athena::types::{CallError, ErrorClass, Operation, StartRequest};

pub(super) fn build(client: &Client, request: &StartRequest) -> Result<StartSessionFluentBuilder, CallError> {
    let invalid =
        |error: BuildError| own_error(Operation::StartSession, ErrorClass::Invalid, "Monitoring", &error.to_string());
    let tags = request.tags.iter().map(|(key, value)| types::Tag::builder().key(key).value(value).build());
    Ok(client
        .start_session()
        .work_group(&request.work_group)
        .client_request_token(&request.token)
        .description(&request.description)
        .engine_configuration(engine_configuration(&request.engine))
        .set_notebook_version(request.notebook_version.clone())
        .set_execution_role(request.execution_role.clone())
        .set_monitoring_configuration(request.monitoring.as_ref().map(monitoring).transpose().map_err(invalid)?)
        .set_tags(Some(tags.collect()))
        .set_copy_work_group_tags(request.copy_work_group_tags)
        .set_session_idle_timeout_in_minutes(request.idle_timeout_minutes))
}

fn engine_configuration(configuration: &EngineConfiguration) -> types::EngineConfiguration {
    let map = |map: &Option<BTreeMap<String, String>>| map.clone().map(HashMap::from_iter);
    let classification = |it: &Classification| {
        types::Classification::builder().name(&it.name).set_properties(map(&it.properties)).build()
    };
    let classifications = configuration.classifications.as_ref();
    types::EngineConfiguration::builder()
        .set_coordinator_dpu_size(configuration.coordinator_dpu_size)
        .set_max_concurrent_dpus(configuration.max_concurrent_dpus)
        .set_default_executor_dpu_size(configuration.default_executor_dpu_size)
        .set_additional_configs(map(&configuration.additional_configs))
        .set_spark_properties(map(&configuration.spark_properties))
        .set_classifications(classifications.map(|all| all.iter().map(classification).collect()))
        .build()
}

fn monitoring(configuration: &MonitoringConfiguration) -> Result<types::MonitoringConfiguration, BuildError> {
    let logs = configuration.cloud_watch_logging_configuration.as_ref().map(|it| {
        types::CloudWatchLoggingConfiguration::builder()
            .enabled(it.enabled)
            .set_log_group(it.log_group.clone())
            .set_log_stream_name_prefix(it.log_stream_name_prefix.clone())
            .set_log_types(it.log_types.clone().map(HashMap::from_iter))
            .build()
    });
    let managed = configuration.managed_logging_configuration.as_ref().map(|it| {
        types::ManagedLoggingConfiguration::builder().enabled(it.enabled).set_kms_key(it.kms_key.clone()).build()
    });
    let s3 = configuration.s3_logging_configuration.as_ref().map(|it| {
        types::S3LoggingConfiguration::builder()
            .enabled(it.enabled)
            .set_kms_key(it.kms_key.clone())
            .set_log_location(it.log_location.clone())
            .build()
    });
    Ok(types::MonitoringConfiguration::builder()
        .set_cloud_watch_logging_configuration(logs.transpose()?)
        .set_managed_logging_configuration(managed.transpose()?)
        .set_s3_logging_configuration(s3.transpose()?)
        .build())
}
