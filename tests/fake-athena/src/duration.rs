//! Durations as people write them: `2s`, `500ms`, `1h30m`, and `never` where there may be none.

use std::time::Duration;

use jiff::SignedDuration;

/// Reads a duration that isn't negative.
pub fn parse(text: &str) -> Result<Duration, String> {
    let signed = parse_signed(text)?;
    Duration::try_from(signed).map_err(|_| format!("a duration can't be negative: {text}"))
}

/// Reads a duration that may be negative, such as `-5m`.
pub fn parse_signed(text: &str) -> Result<SignedDuration, String> {
    text.parse().map_err(|_| format!("not a duration such as 2s, 500ms or 1h30m: {text}"))
}

fn print(duration: Duration) -> String {
    let signed = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    format!("{signed:#}")
}

/// For `#[serde(with)]`: a [`Duration`] as text.
pub(crate) mod text {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::print(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        super::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// For `#[serde(with)]`: an optional [`Duration`] as text; none is `never`.
pub(crate) mod text_or_never {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::text::serialize(duration, serializer),
            None => serializer.serialize_str("never"),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "never" => Ok(None),
            text => super::parse(text).map(Some).map_err(D::Error::custom),
        }
    }
}

/// For `#[serde(with)]`: a [`SignedDuration`](jiff::SignedDuration) as text.
pub(crate) mod signed_text {
    use jiff::SignedDuration;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(duration: &SignedDuration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{duration:#}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SignedDuration, D::Error> {
        super::parse_signed(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
