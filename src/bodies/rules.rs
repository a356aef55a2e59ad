//! The parts of each kind's objects that are kept when they are read. Whatever a tenant writes into an object, these parts
//! stay small: managedFields, and annotations and labels that nothing depends on, are left out.

use super::trim::Keep;
use crate::api::cached::{MARKS, OMITTED};
use crate::api::{FINALIZER, PAUSED, RESTORED, START_RESTORED};

/// The most bytes of `spec.start` of an AthenaSession in memory. An object with more is read anew each time it is reconciled.
const MOST_START: usize = 8 << 10;
/// The most bytes of `status` of an AthenaSession in memory.
const MOST_STATUS: usize = 12 << 10;
/// The most bytes of each other member of `spec`. The CRD allows each no more than a few kilobytes.
const MOST_MEMBER: usize = 8 << 10;
/// The most bytes of all finalizers but ours.
const MOST_FINALIZERS: usize = 1 << 10;
/// The most bytes of a ConfigMap's data. The operator's own ConfigMaps have some hundred bytes.
const MOST_DATA: usize = 64 << 10;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub object: &'static Keep,
    pub list: &'static Keep,
    pub events: &'static Keep,
}

/// The rules for the objects of one kind, made out of the one for a single object.
macro_rules! rules {
    ($object:ident) => {
        const {
            Rules {
                object: &$object,
                list: &Keep::Members(&[
                    ("kind", ALL),
                    ("apiVersion", ALL),
                    ("metadata", ALL),
                    ("items", &Keep::Items(&$object)),
                ]),
                events: &Keep::Members(&[("type", ALL), ("object", &$object)]),
            }
        }
    };
}

/// The rule for an object of which these members are kept. The answer may be a Status instead, so its members are kept, too.
macro_rules! object {
    ($($member:expr),+) => {
        Keep::Members(&[
            ("kind", ALL), ("apiVersion", ALL), ("code", ALL), ("reason", TEXT), ("message", TEXT), ("details", DETAILS),
            $($member),+
        ])
    };
}

const ALL: &Keep = &Keep::All;
const TEXT: &Keep = &Keep::UpTo { most: 4096, instead: "\"\"" };
const DETAILS: &Keep = &Keep::UpTo { most: 4096, instead: "null" };
/// A value of which only the beginning matters, or whether it is there.
const SHORT: &Keep = &Keep::UpTo { most: 256, instead: "\"\"" };
const WORD: &Keep = &Keep::UpTo { most: 256, instead: "null" };

/// Of the metadata of a kind of which only names matter.
const NAMES: &Keep = &Keep::Members(&[
    ("name", ALL),
    ("namespace", ALL),
    ("uid", ALL),
    ("resourceVersion", ALL),
    ("deletionTimestamp", ALL),
]);

/// See `api::cached`.
const LABELS: &Keep = &Keep::Members(&MARKS_KEPT);
const MARKS_KEPT: [(&str, &Keep); MARKS.len() + 3] = {
    let mut kept = [(PAUSED, SHORT); MARKS.len() + 3];
    (kept[1], kept[2]) = ((START_RESTORED, SHORT), (RESTORED, SHORT));
    let mut at = 0;
    while at < MARKS.len() {
        kept[at + 3] = (MARKS[at], SHORT);
        at += 1;
    }
    kept
};

macro_rules! metadata {
    ($finalizers:expr) => {
        &Keep::Members(&[
            ("name", ALL),
            ("namespace", ALL),
            ("uid", ALL),
            ("resourceVersion", ALL),
            ("generation", ALL),
            ("creationTimestamp", ALL),
            ("deletionTimestamp", ALL),
            ("finalizers", $finalizers),
            ("annotations", LABELS),
            ("labels", LABELS),
        ])
    };
}

static SESSION: Keep = object![
    ("metadata", metadata!(&Keep::Strings { most: MOST_FINALIZERS, always: FINALIZER })),
    (
        "spec",
        &Keep::AllMembers(
            &[("start", &Keep::UpTo { most: MOST_START, instead: OMITTED })],
            &Keep::UpTo { most: MOST_MEMBER, instead: OMITTED }
        )
    ),
    ("status", &Keep::UpTo { most: MOST_STATUS, instead: OMITTED })
];
/// For an AthenaSession that is too large to be kept in memory, and is read anew when it is reconciled.
static WHOLE_SESSION: Keep = object![("metadata", metadata!(ALL)), ("spec", ALL), ("status", ALL)];
static GROUP: Keep = object![("metadata", metadata!(ALL)), ("spec", ALL), ("status", ALL)];

static NAMESPACE: Keep = object![(
    "metadata",
    &Keep::Members(&[
        ("name", ALL),
        ("uid", ALL),
        ("resourceVersion", ALL),
        ("deletionTimestamp", ALL),
        ("labels", ALL)
    ])
)];
static CRD: Keep = object![("metadata", NAMES)];
static JOB: Keep = object![
    ("metadata", NAMES),
    ("spec", &Keep::Members(&[("suspend", WORD)])),
    (
        "status",
        &Keep::Members(&[(
            "conditions",
            &Keep::Items(&Keep::Members(&[("type", SHORT), ("status", SHORT), ("lastTransitionTime", WORD)]))
        )])
    )
];
static POD: Keep = object![
    ("metadata", NAMES),
    ("spec", &Keep::Members(&[("schedulingGates", &Keep::UpTo { most: 1024, instead: "[{}]" })])),
    ("status", &Keep::Members(&[("phase", WORD)]))
];
/// A write must not remove the metadata that others have put on the ConfigMap, so nearly all metadata is kept.
static CONFIG_MAP: Keep = object![
    ("metadata", &Keep::AllMembers(&[("managedFields", &Keep::Nothing)], ALL)),
    ("data", &Keep::UpTo { most: MOST_DATA, instead: "null" }),
    ("immutable", ALL)
];

/// The rules for a kind, by the name that paths have for its objects; none where answers are small whatever they say.
/// `is_whole`: AthenaSessions are kept whole, however large they are.
pub(crate) fn rules(plural: &str, is_whole: bool) -> Option<Rules> {
    Some(match plural {
        "athenasessions" if is_whole => rules!(WHOLE_SESSION),
        "athenasessions" => rules!(SESSION),
        "athenaworkgroups" => rules!(GROUP),
        "namespaces" => rules!(NAMESPACE),
        "customresourcedefinitions" => rules!(CRD),
        "jobs" => rules!(JOB),
        "pods" => rules!(POD),
        "configmaps" => rules!(CONFIG_MAP),
        _ => return None,
    })
}
