//! The verdict on one session: whether a rule ends it, and why, or why not. PURE.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use super::conditions::{Ages, Subject};
use super::declarations::Declarations;
use super::patterns::{Matches, Pattern};
use super::policy::{Policy, Protection};
use crate::api::cleanup::{KEEP_UNTIL_TAG, RETAINED_TAG};
use crate::api::start::OWN_TAGS;
use crate::athena::marker::Marker;
use crate::athena::types::{ListedSession, SessionState, SessionStatus};

/// The tags of a session, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tags {
    /// The tags haven't been read. Only those of sessions that a rule matches are read.
    #[default]
    Unread,
    /// The session's tags.
    Read(BTreeMap<String, String>),
    /// The tags can't be read, for this reason.
    Unreadable(String),
}

/// What becomes of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The session has ended, or its end is under way.
    Ending,
    /// An AthenaSession declares the session: no rule applies. Holds NAMESPACE/NAME.
    Declared(String),
    /// No rule matches.
    Unmatched,
    /// The rule of this number matches, and something protects the session.
    Protected {
        /// The rule.
        rule: usize,
        /// What protects the session.
        by: ProtectedBy,
    },
    /// The rule of this number matches. The session's tags have to be read before the session may be ended.
    NeedsTags {
        /// The rule.
        rule: usize,
    },
    /// The rule of this number matches, and nothing protects the session.
    Matched {
        /// The rule.
        rule: usize,
    },
}

/// What protects a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtectedBy {
    /// Athena's word for the state isn't known.
    UnknownState(String),
    /// The session bears the mark of another cluster.
    OtherCluster,
    /// The session bears a mark, and no cluster was asked whether the object exists.
    Mark,
    /// An entry of `protect`, with its pattern.
    Description(String),
    /// An entry of `protect`, with the tag's key.
    Tag(String),
    /// A rule or an entry of `protect` that can't be read, by its name or place.
    Unreadable(String),
    /// An AthenaSession let the session go by `deletionPolicy: Retain`.
    Retained,
    /// The tag `keep-until`.
    KeepUntil(Timestamp),
    /// The tag `keep-until` holds no time that can be read.
    UnreadableKeepUntil,
    /// The session's tags can't be read, for this reason.
    UnreadableTags(String),
}

impl ProtectedBy {
    /// The kind of protection, in a word: what the status counts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnknownState(_) => "UnknownState",
            Self::OtherCluster => "OtherCluster",
            Self::Mark => "Mark",
            Self::Description(_) => "Description",
            Self::Tag(_) => "Tag",
            Self::Unreadable(_) => "UnreadableRule",
            Self::Retained => "Retained",
            Self::KeepUntil(_) | Self::UnreadableKeepUntil => "KeepUntil",
            Self::UnreadableTags(_) => "UnreadableTags",
        }
    }
}

impl fmt::Display for ProtectedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownState(word) => write!(f, "the state {word} isn't known"),
            Self::OtherCluster => f.write_str("it was started for an object of another cluster"),
            Self::Mark => f.write_str("it was started for an object, and no cluster was asked whether that exists"),
            Self::Description(pattern) => write!(f, "protect: description {pattern:?}"),
            Self::Tag(key) => write!(f, "protect: tag {key}"),
            Self::Unreadable(what) => write!(f, "{what} can't be read, and may be about this session"),
            Self::Retained => f.write_str("its AthenaSession let it go by deletionPolicy: Retain"),
            Self::KeepUntil(until) => write!(f, "the tag {KEEP_UNTIL_TAG} protects it until {until}"),
            Self::UnreadableKeepUntil => write!(f, "the tag {KEEP_UNTIL_TAG} holds no time as in RFC 3339"),
            Self::UnreadableTags(why) => write!(f, "its tags can't be read: {why}"),
        }
    }
}

/// Judges sessions.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// The rules.
    pub policy: &'a Policy,
    /// What the cluster declares.
    pub declarations: Declarations<'a>,
    /// What Athena's clock shows.
    pub now: Timestamp,
}

impl Judge<'_> {
    /// The verdict on a session. The first of these that answers decides: the state, a declaration, the rules, a protection.
    pub fn verdict(&self, session: &ListedSession<'_>, tags: &Tags) -> Verdict {
        let state = &session.status.state;
        if state.is_ended() || *state == SessionState::Terminating {
            return Verdict::Ending;
        }
        let marker = session.status.marker.as_deref();
        if let Some(object) = (self.declarations.declared_by)(session.id, marker) {
            return Verdict::Declared(object);
        }
        let described =
            Described { policy: self.policy, text: session.description.unwrap_or_default(), found: OnceCell::new() };
        let subject = Subject {
            state,
            ages: Ages::of(session.status, self.now),
            is_orphaned: marker.is_some_and(|marker| self.is_ours(&marker.cluster)),
            description_has: |pattern: Pattern| described.matches(pattern),
        };
        let Some(rule) = self.policy.rules.iter().position(|rule| rule.conditions.hold(&subject)) else {
            return Verdict::Unmatched;
        };
        let skipped = || self.policy.skipped.iter().find(|rule| rule.conditions.hold(&subject));
        let by = self
            .protected_without_tags(session, &described)
            .or_else(|| Some(ProtectedBy::Unreadable(skipped()?.label.clone())));
        if let Some(by) = by {
            return Verdict::Protected { rule, by };
        }
        match tags {
            Tags::Unread => Verdict::NeedsTags { rule },
            Tags::Unreadable(why) => Verdict::Protected { rule, by: ProtectedBy::UnreadableTags(why.clone()) },
            Tags::Read(tags) => match self.judge_tags(session.id, tags) {
                Some(TagVerdict::Declared(object)) => Verdict::Declared(object),
                Some(TagVerdict::Protected(by)) => Verdict::Protected { rule, by },
                None => Verdict::Matched { rule },
            },
        }
    }

    fn is_ours(&self, cluster: &str) -> bool {
        self.declarations.cluster == Some(cluster)
    }

    /// The protections that no call is needed for.
    fn protected_without_tags(&self, session: &ListedSession<'_>, described: &Described<'_>) -> Option<ProtectedBy> {
        if let SessionState::Unknown(word) = &session.status.state {
            return Some(ProtectedBy::UnknownState(word.clone()));
        }
        let marker = session.status.marker.as_deref();
        self.protected_by_mark(marker.map(|marker| marker.cluster.as_str())).or_else(|| {
            self.policy.protections.iter().find_map(|protection| match protection {
                Protection::Description { text, pattern } if described.matches(*pattern) => {
                    Some(ProtectedBy::Description(text.clone()))
                }
                Protection::Everything(place) => Some(ProtectedBy::Unreadable(place.clone())),
                Protection::Description { .. } | Protection::Tag { .. } => None,
            })
        })
    }

    fn protected_by_mark(&self, marked: Option<&str>) -> Option<ProtectedBy> {
        match (marked, self.declarations.cluster) {
            (None, _) => None,
            (Some(_), None) => Some(ProtectedBy::Mark),
            (Some(cluster), Some(_)) => (!self.is_ours(cluster)).then_some(ProtectedBy::OtherCluster),
        }
    }

    fn judge_tags(&self, id: &str, tags: &BTreeMap<String, String>) -> Option<TagVerdict> {
        if let Some(by) = self.protected_by_mark(tags.get(&own_tag("cluster")).map(String::as_str)) {
            return Some(TagVerdict::Protected(by));
        }
        if let Some(marker) = marker_in(tags)
            && let Some(object) = (self.declarations.declared_by)(id, Some(&marker))
        {
            return Some(TagVerdict::Declared(object));
        }
        if tags.contains_key(RETAINED_TAG) {
            return Some(TagVerdict::Protected(ProtectedBy::Retained));
        }
        self.protected_by_keep_until(tags).or_else(|| self.protected_by_tag(tags)).map(TagVerdict::Protected)
    }

    fn protected_by_keep_until(&self, tags: &BTreeMap<String, String>) -> Option<ProtectedBy> {
        match tags.get(KEEP_UNTIL_TAG)?.trim().parse::<Timestamp>() {
            Ok(until) => (until > self.now).then_some(ProtectedBy::KeepUntil(until)),
            Err(_) => Some(ProtectedBy::UnreadableKeepUntil),
        }
    }

    fn protected_by_tag(&self, tags: &BTreeMap<String, String>) -> Option<ProtectedBy> {
        self.policy.protections.iter().find_map(|protection| {
            let Protection::Tag { key, value } = protection else { return None };
            let found = tags.get(key)?;
            value.as_ref().is_none_or(|value| value == found).then(|| ProtectedBy::Tag(key.clone()))
        })
    }
}

/// The marks that a session bears of objects of this cluster: in its description, and in its tags, where somebody has changed
/// the description. Anybody may write tags, so only marks with names that Kubernetes takes count.
pub(crate) fn markers(status: &SessionStatus, tags: Option<&Tags>, cluster: &str) -> Vec<Marker> {
    let in_tags = match tags {
        Some(Tags::Read(tags)) => marker_in(tags),
        Some(Tags::Unread | Tags::Unreadable(_)) | None => None,
    };
    let all = status.marker.as_deref().cloned().into_iter().chain(in_tags);
    all.filter(|marker| marker.cluster == cluster && Marker::parse(&marker.to_string()).is_some()).collect()
}

/// The mark that a session bears as tags: an operator that starts a session writes the mark there, too.
fn marker_in(tags: &BTreeMap<String, String>) -> Option<Marker> {
    let own = |key: &str| tags.get(&own_tag(key)).cloned();
    let (namespace, name) = (own("namespace").unwrap_or_default(), own("name").unwrap_or_default());
    Some(Marker { cluster: own("cluster")?, namespace, name, uid: own("uid")? })
}

fn own_tag(key: &str) -> String {
    format!("{OWN_TAGS}{key}")
}

/// What tags say of a session that a rule matches.
enum TagVerdict {
    Declared(String),
    Protected(ProtectedBy),
}

/// A description. The patterns are matched at the first question, all in one pass.
struct Described<'a> {
    policy: &'a Policy,
    text: &'a str,
    found: OnceCell<Matches<'a>>,
}

impl Described<'_> {
    fn matches(&self, pattern: Pattern) -> bool {
        self.found.get_or_init(|| self.policy.patterns.of(self.text)).has(pattern)
    }
}
