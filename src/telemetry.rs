//! The log, on stderr: as logfmt or as JSON.

use std::fmt::{self, Debug, Write as _};
use std::io::stderr;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;
use crate::text::{is_hidden, visible};

/// The filter where RUST_LOG is not set. The libraries log each failure at each retry; the operator logs it once, and says
/// what to do.
const DEFAULT_FILTER: &str = "athena_session_operator=info";

/// Starts logging. `RUST_LOG` selects the lines, in the syntax of tracing's `EnvFilter`.
pub(crate) fn start(format: LogFormat) {
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|asked| !asked.trim().is_empty());
    let asked = asked.map(|asked| EnvFilter::try_new(&asked).map_err(|error| format!("RUST_LOG={asked}: {error}")));
    let (filter, refused) = match asked {
        Some(Ok(filter)) => (filter, None),
        Some(Err(refused)) => (EnvFilter::new(DEFAULT_FILTER), Some(refused)),
        None => (EnvFilter::new(DEFAULT_FILTER), None),
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    match format {
        LogFormat::Pretty => logs.event_format(Visible(Logfmt)).init(),
        LogFormat::Json => {
            let json = Format::default().json().flatten_event(true);
            logs.fmt_fields(JsonFields::new()).event_format(Visible(json)).init();
        }
    }
    if let Some(refused) = refused {
        warn!(refused, "RUST_LOG can't be read, and counts as not set");
    }
}

/// The lines of another format, with hidden characters written out. Both formats have hidden characters only in strings of
/// JSON, where `\u` may be written. The JSON format by itself would leave some of them in.
struct Visible<F>(F);

impl<S, N, F> FormatEvent<S, N> for Visible<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        writeln!(out, "{}", visible(line.trim_end_matches('\n')))
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

    // A field that is recorded with `%` comes here as well, and its Debug is its Display.
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A value, in quotation marks where a reader of logfmt needs them.
struct Value<'a>(&'a str);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |it: char| it > ' ' && it != '"' && it != '=' && it != '\\' && !is_hidden(it);
        if !self.0.is_empty() && self.0.chars().all(is_plain) {
            return f.write_str(self.0);
        }
        // A string of JSON is one of logfmt.
        write!(f, "{}", serde_json::Value::from(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

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
            // What stands in quotation marks can be written out.
            ("\u{202e}", "\"\u{202e}\""),
        ] {
            assert_eq!(Value(value).to_string(), quoted);
        }
    }

    /// What is logged, where a test can read it.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn read(&self) -> String {
            String::from_utf8(self.0.lock().expect("no panic").clone()).expect("UTF-8")
        }
    }

    /// A line in each format, logfmt and JSON, with a text that a stranger chose.
    fn lines(text: &str) -> [String; 2] {
        let (logfmt, json) = (Lines::default(), Lines::default());
        let (to_logfmt, to_json) = (logfmt.clone(), json.clone());
        let logs = tracing_subscriber::fmt().event_format(Visible(Logfmt)).with_writer(move || to_logfmt.clone());
        with_default(logs.finish(), || warn!(session = text, "a line"));
        let format = Visible(Format::default().json().flatten_event(true));
        let logs = tracing_subscriber::fmt().fmt_fields(JsonFields::new()).event_format(format);
        with_default(logs.with_writer(move || to_json.clone()).finish(), || warn!(session = text, "a line"));
        [logfmt.read(), json.read()]
    }

    #[test]
    fn neither_format_lets_a_hidden_character_through() {
        let hostile = "\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\nlevel=ERROR";
        for line in lines(hostile) {
            let line = line.strip_suffix('\n').expect("a whole line");
            assert!(!line.contains(is_hidden), "{line:?}");
            let written = r"\u001b[2J\u009b31m\u007f\u202e\u2066\u200f\u061c\u2028\nlevel=ERROR";
            assert!(line.contains(written), "{line}");
        }
        let [_, json] = lines(hostile);
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["session"], hostile);
    }
}
