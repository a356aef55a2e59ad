//! Links of pages, and names of pages in code and manifests, lead somewhere.

use std::fs;
use std::path::Path;

use super::pages::{self, Page};
use crate::world::in_checkout;

#[test]
fn no_link_of_the_docs_leads_nowhere() {
    let (mut checked, mut broken) = (0, Vec::new());
    for page in pages::all() {
        for link in page.links() {
            checked += 1;
            broken.extend(problem(&page, &link).map(|problem| format!("{}: {link}: {problem}", page.path)));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(checked >= 100, "{checked} links were found");
}

fn problem(page: &Page, link: &str) -> Option<&'static str> {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() { Path::new(&in_checkout(&page.path)).to_owned() } else { page.resolve(path) };
    if !target.exists() {
        return Some("there is no such file");
    }
    let target = fs::canonicalize(target).unwrap();
    let top = fs::canonicalize(in_checkout("")).unwrap();
    let Ok(target) = target.strip_prefix(top) else { return Some("it leads out of the repository") };
    if target.extension().is_none_or(|it| it != "md") {
        return None;
    }
    let anchors = Page::at(target.to_str().unwrap()).anchors();
    anchor.filter(|anchor| !anchors.contains(*anchor)).map(|_| "there is no such heading")
}

/// Code, tests and manifests name pages in comments and messages.
#[test]
fn each_page_that_a_file_names_exists() {
    let mut names = Vec::new();
    for place in ["src", "tests", "deploy", ".ci", "Makefile", "Cargo.toml", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        pages_named_in(Path::new(&in_checkout(place)), &mut names);
    }
    let lost: Vec<_> = names.iter().filter(|(_, page)| !Path::new(&in_checkout(page)).exists()).collect();
    assert!(lost.is_empty(), "these files name pages that don't exist: {lost:?}");
    assert!(names.len() >= 20, "{names:?}");
}

fn pages_named_in(place: &Path, names: &mut Vec<(String, String)>) {
    if place.is_dir() {
        for entry in fs::read_dir(place).unwrap() {
            pages_named_in(&entry.unwrap().path(), names);
        }
    } else if let Ok(text) = fs::read_to_string(place) {
        for (before, _) in text.match_indices(".md") {
            let is_of_path = |it: char| it.is_ascii_alphanumeric() || matches!(it, '/' | '-' | '_');
            let path = text[..before].rsplit(|it| !is_of_path(it)).next().unwrap_or_default();
            // The words of a sentence about this test, and paths that begin elsewhere, name no page.
            if path.starts_with("docs/") {
                names.push((place.display().to_string(), format!("{path}.md")));
            }
        }
    }
}
