//! Logs: talk, on stderr.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// What is logged where RUST_LOG doesn't say otherwise. kube's libraries say each failure that is
/// retried; the operator says each once, and what to do.
const DEFAULT_FILTER: &str = "warn,athena_session_operator=info,kube_runtime=off,kube_client=off";

/// Starts logging. `RUST_LOG` chooses what, in the syntax of tracing's `EnvFilter`.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal());
    match format {
        LogFormat::Pretty => logs.with_target(false).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
}
