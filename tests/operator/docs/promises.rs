//! What the documents promise: the threat model and the invariants name tests that exist, and troubleshooting.md cites
//! messages that the operator has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::pages::{Page, heading};
use crate::world::in_checkout;

/// The rows of the threat model: number, threat, bound, test.
fn threats() -> Vec<[String; 4]> {
    let page = Page::named("threat-model.md");
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = page.prose().filter(|line| line.starts_with('|')).map(cells);
    let rows = rows.map(|cells| match &cells[..] {
        [_, number, threat, bound, test, _] => [number, threat, bound, test].map(String::clone),
        cells => panic!("{}: not four cells: {cells:?}", page.path),
    });
    rows.filter(|[number, ..]| number != "number" && !number.starts_with('-')).collect()
}

/// The statements of docs/design/invariants.md: label, and the texts of its points.
struct Invariant {
    label: String,
    points: BTreeMap<String, String>,
}

/// Each heading names a statement, whose points follow: `- Why: …`, `- Kept by: …`, `- Test: …`.
fn invariants() -> Vec<Invariant> {
    let mut found: Vec<Invariant> = Vec::new();
    let mut point = None;
    for line in Page::named("invariants.md").prose() {
        if let Some((label, _)) = heading(line).and_then(|title| title.split_once(": ")) {
            found.push(Invariant { label: label.trim().to_owned(), points: BTreeMap::new() });
            point = None;
        } else if let Some((name, text)) = line.strip_prefix("- ").and_then(|line| line.split_once(": "))
            && let Some(invariant) = found.last_mut()
        {
            invariant.points.insert(name.to_owned(), text.to_owned());
            point = Some(name.to_owned());
        } else if let (Some(invariant), Some(name)) = (found.last_mut(), &point) {
            invariant.points.entry(name.clone()).or_default().push_str(line);
        }
    }
    found
}

#[test]
fn each_threat_and_each_invariant_has_a_label_of_its_own() {
    let mut labels = BTreeSet::new();
    for label in threats().into_iter().map(|[number, ..]| number).chain(invariants().into_iter().map(|it| it.label)) {
        assert!(labels.insert(label.clone()), "{label} is there twice");
    }
    assert!(labels.len() >= 90, "{labels:?}");
    for label in ["S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "L1", "L2"] {
        assert!(labels.contains(label), "docs/design/invariants.md doesn't have {label}");
    }
}

#[test]
fn each_invariant_has_its_reason_its_file_and_its_test() {
    for Invariant { label, points } in invariants() {
        let names: Vec<_> = points.keys().map(String::as_str).collect();
        assert_eq!(names, ["Kept by", "Test", "Why"], "{label}");
        assert!(!paths(&points["Kept by"]).is_empty(), "{label} names no file");
    }
}

/// The paths among the names in backticks.
fn paths(text: &str) -> Vec<&str> {
    const FOLDERS: [&str; 5] = ["src/", "tests/", "docs/", "deploy/", "crds/"];
    let names = text.split('`').skip(1).step_by(2);
    names.filter(|name| FOLDERS.iter().any(|folder| name.starts_with(folder)) && !name.contains(' ')).collect()
}

#[test]
fn each_file_that_the_map_and_the_invariants_name_exists() {
    let at_the_top = ["ARCHITECTURE.md", "CONTRIBUTING.md"].map(Page::at);
    for page in at_the_top.into_iter().chain(["invariants.md", "threat-model.md"].map(Page::named)) {
        for path in paths(&page.prose().collect::<Vec<_>>().join("\n")) {
            assert!(Path::new(&in_checkout(path)).exists(), "{}: {path}: there is no such file", page.path);
        }
    }
}

#[test]
fn each_test_that_the_threat_model_and_the_invariants_name_exists() {
    let threats = threats().into_iter().map(|[number, _, _, tests]| (number, tests));
    let invariants = invariants().into_iter().map(|mut it| (it.label, it.points.remove("Test").unwrap_or_default()));
    for (label, tests) in threats.chain(invariants) {
        assert_named_tests_exist(&label, &tests);
    }
}

/// `tests` names files of tests, and after each file, perhaps, tests in that file.
fn assert_named_tests_exist(label: &str, tests: &str) {
    let names: Vec<_> = tests.split('`').skip(1).step_by(2).filter(|name| !name.starts_with("make ")).collect();
    assert!(names.first().is_some_and(|name| name.ends_with(".rs")), "{label} names no file of tests: {tests}");
    let mut source = String::new();
    for name in names {
        if name.ends_with(".rs") {
            let path = if name.contains('/') { name.to_owned() } else { format!("tests/operator/{name}") };
            let file = in_checkout(&path);
            source = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{label}: {path}: {error}"));
            assert!(source.contains("#[test]") || source.contains("#[tokio::test"), "{label}: {path} has no test");
        } else {
            let (before, _) =
                source.split_once(&format!("fn {name}(")).unwrap_or_else(|| panic!("{label}: no test {name}"));
            let attribute =
                before.trim_end().trim_end_matches("async").trim_end().lines().next_back().unwrap_or_default();
            let is_test = ["#[test]", "#[tokio::test"].iter().any(|it| attribute.trim_start().starts_with(it));
            assert!(is_test, "{label}: {name} is no test");
        }
    }
}

/// The texts of all files of a folder, with strings that span lines on one line.
pub fn source_of(folder: &Path) -> String {
    let mut source = String::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        source += &if entry.is_dir() { source_of(&entry) } else { std::fs::read_to_string(&entry).unwrap() };
    }
    source.split("\\\n").map(str::trim_start).collect()
}

#[test]
fn each_message_that_troubleshooting_cites_is_in_the_code() {
    let page = Page::named("troubleshooting.md").prose().collect::<Vec<_>>().join("\n");
    let (_, section) = page.split_once("## An answer of Athena isn't believed\n").unwrap();
    let source = source_of(Path::new(&in_checkout("src")));
    let mut checked = 0;
    for row in section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `")) {
        let cell = row.split(" | ").next().unwrap();
        // What a message has in places of `…` differs.
        for words in cell.split('`').skip(1).step_by(2).flat_map(|message| message.split('…')) {
            let words = words.trim_matches(|it: char| !it.is_alphanumeric());
            assert!(source.contains(words), "troubleshooting.md cites a message that isn't there: {words}");
            checked += 1;
        }
    }
    assert!(checked >= 12, "{checked}");
}
