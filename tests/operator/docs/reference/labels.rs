//! The reference of labels, annotations and finalizers, from `src/api/labels.rs`.

use std::path::Path;

use athena_session_operator::api::labels::{By, TABLE};

use super::{escaped, keep, table};
use crate::docs::pages::Page;
use crate::world::in_checkout;

#[test]
fn the_reference_of_the_labels_is_up_to_date_and_complete() {
    let of = |by: By| {
        let rows = TABLE.iter().filter(|row| row.by == by).map(|row| {
            let what = format!("{:?}", row.what).to_lowercase();
            [format!("`{}`", row.name), what, row.on.to_owned(), escaped(row.meaning)]
        });
        table(["name", "what it is", "on", "meaning"], rows)
    };
    keep(
        "labels-and-annotations.md",
        &[("user", of(By::User)), ("operator", of(By::Operator)), ("others", of(By::Others))],
    );
    assert_each_name_is_documented();
}

/// Also the names that only manifests have.
fn assert_each_name_is_documented() {
    const OURS: &str = "athena-operator.dev/";
    let page = Page::at("docs/reference/labels-and-annotations.md").prose().collect::<Vec<_>>().join("\n");
    let mut source = String::new();
    for folder in ["src/api", "deploy", "crds"] {
        source += &super::super::promises::source_of(Path::new(&in_checkout(folder)));
    }
    // An apiVersion is no label, and this one is only on the operator's own copy of an object.
    let others = ["v1alpha1", "tracked-by"];
    let is_of_name = |it: char| it.is_ascii_alphanumeric() || it == '-';
    let names = source.split(OURS).skip(1).map(|rest| rest.split(|it| !is_of_name(it)).next().unwrap_or_default());
    let names: Vec<_> = names.filter(|name| !name.is_empty() && !others.contains(name)).collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{OURS}{name}`")), "labels-and-annotations.md doesn't have {OURS}{name}");
    }
}
