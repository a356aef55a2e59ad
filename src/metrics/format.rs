//! The two formats of `/metrics`. The Accept header of a request chooses.

use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics, which Prometheus asks for.
    OpenMetrics,
    /// Prometheus' text format, which every client reads.
    Text,
}

impl Format {
    pub(crate) fn asked(accept: Option<&str>) -> Self {
        let accept = accept.unwrap_or_default();
        let (open_metrics, text) = (weight(accept, OPEN_METRICS), weight(accept, TEXT));
        if open_metrics > 0.0 && open_metrics >= text { Self::OpenMetrics } else { Self::Text }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A media type, and the version of it that is served.
const OPEN_METRICS: (&str, &str) = ("application/openmetrics-text", "1.0.0");
const TEXT: (&str, &str) = ("text/plain", "0.0.4");

/// How much a client wants this media type, from 0 to 1. A media range without a version takes each version.
fn weight(accept: &str, (media_type, version): (&str, &str)) -> f32 {
    let weight = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(media_type) {
            return None;
        }
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let value = |name| parameters.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        let is_served = value("version").is_none_or(|it| it == version);
        is_served.then(|| value("q").map_or(Some(1.0), |q| q.parse().ok()))?
    };
    accept.split(',').filter_map(weight).fold(0.0, f32::max)
}

/// Turns OpenMetrics into Prometheus' text format. There the name of a counter ends in `_total` also in its `# HELP` and
/// `# TYPE` lines, and no line marks the end.
pub(super) fn text_of(open_metrics: &str) -> String {
    let of_counter = |line: &'_ str| Some(line.strip_prefix("# TYPE ")?.strip_suffix(" counter")?.to_owned());
    let counters: BTreeSet<_> = open_metrics.lines().filter_map(of_counter).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(name) => {
                text += &format!("# {what} {name}_total {rest}\n");
            }
            _ => text += &format!("{line}\n"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_whoever_asks_for_it() {
        let of_prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in
            [of_prometheus, "application/openmetrics-text", "Application/OpenMetrics-Text; Version=1.0.0, */*"]
        {
            assert_eq!(Format::asked(Some(accept)), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "*/*",
            "",
            "text/plain",
            "text/html, */*;q=0.8",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=nonsense",
            "text/plain;version=0.0.4, application/openmetrics-text;q=0.9",
        ] {
            assert_eq!(Format::asked(Some(accept)), Format::Text, "{accept}");
        }
        assert_eq!(Format::asked(None), Format::Text);
    }

    #[test]
    fn only_what_describes_a_counter_is_named_otherwise() {
        let open_metrics = "# HELP calls Calls made, in all.\n# TYPE calls counter\ncalls_total{code=\"# TYPE a\"} 1\n\
                            # HELP depth Depth.\n# TYPE depth gauge\ndepth 2\n# EOF\n";
        let text = "# HELP calls_total Calls made, in all.\n# TYPE calls_total counter\ncalls_total{code=\"# TYPE a\"} 1\n\
                    # HELP depth Depth.\n# TYPE depth gauge\ndepth 2\n";
        assert_eq!(text_of(open_metrics), text);
    }
}
