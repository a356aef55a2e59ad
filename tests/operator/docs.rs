//! The pages that people read: what they point to is there, and what asks for a person says what to do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use athena_session_operator::status::reason::{Reason, Standing};

use crate::world::in_checkout;

/// The checkout's own pages.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in ["", "docs"] {
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

/// What is Stalled waits for a person, who looks for its reason here.
#[test]
fn each_reason_that_waits_for_a_person_says_what_to_do() {
    let page = std::fs::read_to_string(in_checkout("docs/troubleshooting.md")).unwrap();
    let waits = |standing| matches!(standing, Standing::Stalled | Standing::StalledLater);
    let mut missing = Vec::new();
    for row in Reason::TABLE.iter().filter(|row| waits(row.standing)) {
        let begins = format!("| `{}` | ", row.word);
        let advice = page.lines().find_map(|line| line.strip_prefix(&begins));
        if advice.is_none_or(|advice| advice.trim_end_matches(['|', ' ']).len() < 20) {
            missing.push(row.word);
        }
    }
    assert!(missing.is_empty(), "docs/troubleshooting.md has no row with what to do for {missing:?}");
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

#[test]
fn each_row_of_the_threat_model_has_a_number_of_its_own() {
    let mut numbers = BTreeSet::new();
    for [number, ..] in threats() {
        assert!(numbers.insert(number.clone()), "docs/threat-model.md has {number} twice");
    }
    assert!(numbers.len() >= 25, "{numbers:?}");
}

/// The last cell names files of tests, and after each file, perhaps, tests in that file.
#[test]
fn each_test_that_the_threat_model_names_exists() {
    for [number, _, _, tests] in threats() {
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).filter(|name| !name.starts_with("make ")).collect();
        assert!(names.first().is_some_and(|name| name.ends_with(".rs")), "{number} names no file of tests: {tests}");
        let mut source = String::new();
        for name in names {
            if name.ends_with(".rs") {
                let path = if name.contains('/') { name.to_owned() } else { format!("tests/operator/{name}") };
                let file = in_checkout(&path);
                source = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{number}: {path}: {error}"));
                assert!(
                    source.contains("#[test]") || source.contains("#[tokio::test]"),
                    "{number}: {path} has no test"
                );
            } else {
                let (before, _) =
                    source.split_once(&format!("fn {name}(")).unwrap_or_else(|| panic!("{number}: no test {name}"));
                let before = before.trim_end().trim_end_matches("async").trim_end();
                let is_test = before.ends_with("#[test]") || before.ends_with("#[tokio::test]");
                assert!(is_test, "{number}: {name} is no test");
            }
        }
    }
}
