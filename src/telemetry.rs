//! Logs: talk, on stderr.

use std::io::{IsTerminal, stderr};

use tracing::warn;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// What is logged where RUST_LOG doesn't say otherwise. The libraries say each failure that is retried;
/// the operator says each once, and what to do.
const DEFAULT_FILTER: &str = "athena_session_operator=info";

/// Starts logging. `RUST_LOG` chooses what, in the syntax of tracing's `EnvFilter`.
pub fn start(format: LogFormat) {
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|asked| !asked.trim().is_empty());
    let asked = asked.map(|asked| EnvFilter::try_new(&asked).map_err(|error| format!("RUST_LOG={asked}: {error}")));
    let (filter, refused) = match asked {
        Some(Ok(filter)) => (filter, None),
        Some(Err(refused)) => (EnvFilter::new(DEFAULT_FILTER), Some(refused)),
        None => (EnvFilter::new(DEFAULT_FILTER), None),
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal());
    match format {
        LogFormat::Pretty => logs.with_target(false).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    if let Some(refused) = refused {
        warn!(refused, "RUST_LOG can't be read, and counts as not set");
    }
}
