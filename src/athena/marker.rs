//! The marker at the end of a session's description, which names the AthenaSession that the session was started for.
//! PURE.
//!
//! `[athena-operator CLUSTER NAMESPACE/NAME UID]`, where CLUSTER is the UID of the namespace kube-system.

use std::fmt;

const OPENING: &str = "[athena-operator ";

/// Which object a session was started for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    pub cluster: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

impl Marker {
    /// The marker at the end of a description; None where there is none, or one that isn't written exactly so.
    pub fn parse(description: &str) -> Option<Self> {
        let inner = description.strip_suffix(']')?;
        let (before, inner) = inner.rsplit_once(OPENING)?;
        if !(before.is_empty() || before.ends_with(' ')) {
            return None;
        }
        let [cluster, object, uid] = inner.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let (namespace, name) = object.split_once('/')?;
        let is_of_uid = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let is_uid = |text: &str| (1..=64).contains(&text.len()) && text.chars().all(is_of_uid);
        let is_name = |text: &str, most| (1..=most).contains(&text.len()) && text.chars().all(is_of_name);
        (is_uid(cluster) && is_uid(uid) && is_name(namespace, 63) && is_name(name, 253)).then(|| Self {
            cluster: cluster.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
        })
    }

    pub fn describe(&self, description: Option<&str>) -> String {
        description.map_or_else(|| self.to_string(), |description| format!("{description} {self}"))
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, namespace, name, uid } = self;
        write!(f, "{OPENING}{cluster} {namespace}/{name} {uid}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "[athena-operator 0a1b-c team-a/nightly 9f-8]";

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark = Marker::parse(MARK).expect("it is one");
        assert_eq!(mark.to_string(), MARK);
        assert_eq!((mark.namespace.as_str(), mark.name.as_str()), ("team-a", "nightly"));
        for description in [None, Some("nightly report"), Some("[x]")] {
            assert_eq!(Marker::parse(&mark.describe(description)).as_ref(), Some(&mark));
        }
    }

    #[test]
    fn what_isnt_exactly_a_mark_is_none() {
        let wrong = [
            "",
            "nightly",
            "[athena-operator]",
            "[athena-operator a b/c]",
            "[athena-operator a b c]",
            "[athena-operator a b/c d e]",
            "[athena-operator  b/c d]",
            "[athena-operator a /c d]",
            "[athena-operator a B/c d]",
            "[athena-operator a b/c d] ",
            "x[athena-operator a b/c d]",
            "[athena-operator a b/c/d e]",
        ];
        for text in wrong {
            assert_eq!(Marker::parse(text), None, "{text:?}");
        }
        // Only the last marker counts. Users write a description, but only the operator writes its end.
        let both = format!("[athena-operator x y/z w] {MARK}");
        assert_eq!(Marker::parse(&both).map(|mark| mark.uid).as_deref(), Some("9f-8"));
    }
}
