//! The documents: links lead somewhere, named tests exist, and each reason that waits for a person says what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::api::{Reason, Standing};
use crate::world::in_checkout;

/// The checkout's own pages.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/design", "docs/operations", "docs/tasks"] {
        let files = std::fs::read_dir(in_checkout(folder)).unwrap().map(|file| file.unwrap().path());
        pages.extend(files.filter(|file| file.extension().is_some_and(|it| it == "md")));
    }
    assert!(pages.len() >= 8, "{pages:?}");
    pages
}

/// A page's lines without those of its code blocks.
fn prose(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let mut is_code = false;
    let is_prose = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    };
    text.lines().filter(is_prose).map(str::to_owned).collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &Path) -> BTreeSet<String> {
    let headings = prose(page).into_iter().filter(|line| line.starts_with('#'));
    let slug = |line: String| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
        kept.map(|it| if it == ' ' { '-' } else { it }).collect()
    };
    headings.map(slug).collect()
}

/// Where the links of a page lead.
fn links(page: &Path) -> Vec<String> {
    let text = prose(page).join("\n");
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).filter(|target| !target.contains("://")).collect()
}

#[test]
fn no_link_of_the_docs_leads_nowhere() {
    let mut checked = 0;
    for page in pages() {
        for link in links(&page) {
            let (path, anchor) = link.split_once('#').map_or((link.as_str(), None), |(path, it)| (path, Some(it)));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link}: there is no such file", page.display());
            if let Some(anchor) = anchor {
                assert!(anchors(&target).contains(anchor), "{}: {link}: there is no such heading", page.display());
            }
            checked += 1;
        }
    }
    assert!(checked >= 40, "{checked} links were found");
}

/// An object that is Stalled waits for a person, who looks for the reason in docs/operations/troubleshooting.md.
#[test]
fn each_reason_that_waits_for_a_person_says_what_to_do() {
    let page = std::fs::read_to_string(in_checkout("docs/operations/troubleshooting.md")).unwrap();
    let waits = |standing| matches!(standing, Standing::Stalled | Standing::StalledLater);
    let mut missing = Vec::new();
    for row in Reason::TABLE.iter().filter(|row| waits(row.standing)) {
        let begins = format!("| `{}` | ", row.word);
        let advice = page.lines().find_map(|line| line.strip_prefix(&begins));
        if advice.is_none_or(|advice| advice.trim_end_matches(['|', ' ']).len() < 20) {
            missing.push(row.word);
        }
    }
    assert!(missing.is_empty(), "docs/operations/troubleshooting.md has no row with what to do for {missing:?}");
}

/// The rows of the threat model: number, threat, bound, test.
fn threats() -> Vec<[String; 4]> {
    let page = prose(Path::new(&in_checkout("docs/threat-model.md")));
    let cells = |line: String| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = page.into_iter().filter(|line| line.starts_with('|')).map(cells);
    let rows = rows.map(|cells| match &cells[..] {
        [_, number, threat, bound, test, _] => [number, threat, bound, test].map(String::clone),
        cells => panic!("docs/threat-model.md: not four cells: {cells:?}"),
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
    for line in prose(Path::new(&in_checkout("docs/design/invariants.md"))) {
        if let Some((label, _)) =
            line.strip_prefix('#').and_then(|title| title.trim_start_matches('#').split_once(": "))
        {
            found.push(Invariant { label: label.trim().to_owned(), points: BTreeMap::new() });
            point = None;
        } else if let Some((name, text)) = line.strip_prefix("- ").and_then(|line| line.split_once(": "))
            && let Some(invariant) = found.last_mut()
        {
            invariant.points.insert(name.to_owned(), text.to_owned());
            point = Some(name.to_owned());
        } else if let (Some(invariant), Some(name)) = (found.last_mut(), &point) {
            invariant.points.entry(name.clone()).or_default().push_str(&line);
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
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/design/invariants.md", "docs/threat-model.md"] {
        for path in paths(&prose(Path::new(&in_checkout(page))).join("\n")) {
            assert!(Path::new(&in_checkout(path)).exists(), "{page}: {path}: there is no such file");
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
fn source_of(folder: &Path) -> String {
    let mut source = String::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        source += &if entry.is_dir() { source_of(&entry) } else { std::fs::read_to_string(&entry).unwrap() };
    }
    source.split("\\\n").map(str::trim_start).collect()
}

#[test]
fn each_message_that_troubleshooting_cites_is_in_the_code() {
    let page = prose(Path::new(&in_checkout("docs/operations/troubleshooting.md"))).join("\n");
    let (_, section) = page.split_once("## An answer of Athena isn't believed\n").unwrap();
    let source = source_of(Path::new(&in_checkout("src")));
    let mut checked = 0;
    for row in section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `")) {
        let cell = row.split(" | ").next().unwrap();
        // What a message has in places of `…` differs.
        for words in cell.split('`').skip(1).step_by(2).flat_map(|message| message.split('…')) {
            let words = words.trim_matches(|it: char| !it.is_alphanumeric());
            assert!(
                source.contains(words),
                "docs/operations/troubleshooting.md cites a message that isn't there: {words}"
            );
            checked += 1;
        }
    }
    assert!(checked >= 12, "{checked}");
}
