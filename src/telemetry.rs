//! Logs: talk, on stderr.

use std::fmt::{self, Debug, Write as _};
use std::io::stderr;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

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
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    match format {
        LogFormat::Pretty => logs.event_format(Logfmt).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    if let Some(refused) = refused {
        warn!(refused, "RUST_LOG can't be read, and counts as not set");
    }
}

/// Formats log lines as `key=value`, with the same field names as in JSON. The crate tracing-logfmt isn't used, since it
/// escapes each apostrophe: readers of logfmt refuse that.
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        line.write_str("timestamp=")?;
        SystemTime.format_time(&mut line)?;
        write!(line, " level={}", event.metadata().level())?;
        let mut fields = Fields { message: String::new(), others: String::new() };
        event.record(&mut fields);
        writeln!(line, "{}{}", fields.message, fields.others)
    }
}

/// The fields of an event as text, each with a space before it. The message comes first.
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        let text = if field.name() == "message" { &mut self.message } else { &mut self.others };
        // Writing to a String doesn't fail.
        let _ = write!(text, " {}={}", field.name(), Value(value));
    }

    // What is recorded with `%` comes here as well: its Debug is its Display.
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A value, in quotation marks where a reader of logfmt needs them.
struct Value<'a>(&'a str);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |it: char| it > ' ' && it != '"' && it != '=' && it != '\\' && !it.is_control();
        if !self.0.is_empty() && self.0.chars().all(is_plain) {
            return f.write_str(self.0);
        }
        // A string of JSON is one of logfmt.
        write!(f, "{}", serde_json::Value::from(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_where_logfmt_needs_it() {
        for plain in ["none", "127.0.0.1:8080", "1m30s", "can't", "a,b", "ü"] {
            assert_eq!(Value(plain).to_string(), plain);
        }
        for (value, quoted) in [
            ("", r#""""#),
            ("it can't be", r#""it can't be""#),
            ("a=b", r#""a=b""#),
            (r#"the "x""#, r#""the \"x\"""#),
            ("C:\\", r#""C:\\""#),
            ("two\nlines", r#""two\nlines""#),
            ("\u{7}", "\"\\u0007\""),
        ] {
            assert_eq!(Value(value).to_string(), quoted);
        }
    }
}
