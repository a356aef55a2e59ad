//! The pages of the documentation, and the parts that each consists of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::world::in_checkout;

/// A page in Markdown.
pub struct Page {
    /// Its path, from the top of the checkout.
    pub path: String,
    pub parts: Vec<Part>,
}

pub enum Part {
    /// A line of text.
    Prose(String),
    Code(Block),
    /// `<!-- run: COMMAND -->`, which readers don't see.
    Hidden(Block),
}

/// The text between two fences.
#[derive(Clone)]
pub struct Block {
    pub language: String,
    /// The number of its first line.
    pub line: usize,
    pub text: String,
}

/// All pages of the checkout, whatever they are about.
pub fn all() -> Vec<Page> {
    let mut paths = markdown_in("");
    paths.retain(|path| !path.contains('/'));
    for folder in ["docs", "deploy", "tests"] {
        paths.extend(markdown_in(folder));
    }
    assert!(paths.len() >= 12, "{paths:?}");
    paths.iter().map(|path| Page::at(path)).collect()
}

/// The pages for users: README.md and those below docs/.
pub fn for_users() -> Vec<Page> {
    all().into_iter().filter(|page| page.path == "README.md" || page.path.starts_with("docs/")).collect()
}

/// The text of the first block, on any page for users, that is the one asked for.
pub fn block(languages: &[&str], is_it: impl Fn(&str) -> bool) -> String {
    let pages = for_users();
    let mut blocks = pages.iter().flat_map(Page::blocks);
    let found = blocks.find(|block| languages.contains(&block.language.as_str()) && is_it(&block.text));
    found.expect("README.md or a page of docs/ has the block").text.clone()
}

/// The Markdown files of a folder and of those below it; at the top, of the folder alone.
fn markdown_in(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(in_checkout(folder)).unwrap().map(|it| it.unwrap()).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().unwrap();
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if path.ends_with(".md") {
            found.push(path);
        } else if !folder.is_empty() && entry.path().is_dir() {
            found.extend(markdown_in(&path));
        }
    }
    found
}

impl Page {
    pub fn at(path: &str) -> Self {
        let text = std::fs::read_to_string(in_checkout(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), parts: parts(&text, path) }
    }

    /// The page with this file name, wherever below docs/ it stands.
    pub fn named(name: &str) -> Self {
        let paths = markdown_in("docs");
        let is_it = |path: &&String| path.rsplit('/').next() == Some(name);
        Self::at(paths.iter().find(is_it).unwrap_or_else(|| panic!("docs/ has no page {name}")))
    }

    /// The lines that aren't in code blocks.
    pub fn prose(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| if let Part::Prose(line) = part { Some(line.as_str()) } else { None })
    }

    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.parts.iter().filter_map(|part| if let Part::Code(block) = part { Some(block) } else { None })
    }

    /// The headings, without their `#`.
    pub fn headings(&self) -> impl Iterator<Item = &str> {
        self.prose().filter_map(heading)
    }

    /// What links may lead to: the headings as GitHub names them, and the ids in HTML.
    pub fn anchors(&self) -> BTreeSet<String> {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        let mut anchors = BTreeSet::new();
        for slug in self.headings().map(slug) {
            let before = times.entry(slug.clone()).or_default();
            anchors.insert(if *before == 0 { slug } else { format!("{slug}-{before}") });
            *before += 1;
        }
        for attribute in ["id=\"", "name=\""] {
            anchors.extend(self.prose().flat_map(|line| after_each(line, attribute, '"')));
        }
        anchors
    }

    /// Where its links and pictures lead, other servers apart.
    pub fn links(&self) -> Vec<String> {
        let text = without_code(&self.prose().collect::<Vec<_>>().join("\n"));
        let mut links = after_each(&text, "](", ')');
        for attribute in ["href=\"", "src=\"", "srcset=\""] {
            links.extend(after_each(&text, attribute, '"'));
        }
        let definitions = text.lines().filter_map(|line| Some(line.strip_prefix('[')?.split_once("]: ")?.1.to_owned()));
        links.extend(definitions);
        links.retain(|link| !link.contains("://") && !link.starts_with("mailto:"));
        links
    }

    /// The file that a path on this page names.
    pub fn resolve(&self, path: &str) -> PathBuf {
        Path::new(&in_checkout(&self.path)).parent().unwrap().join(path)
    }
}

pub fn heading(line: &str) -> Option<&str> {
    let title = line.trim_start_matches('#');
    (title.len() < line.len()).then(|| title.strip_prefix(' ')).flatten()
}

/// The anchor that GitHub makes of a heading.
pub fn slug(title: &str) -> String {
    let mut shown = String::new();
    let mut rest = title;
    // Of a link, the text counts.
    while let Some((before, (_, after))) =
        rest.split_once("](").and_then(|(it, link)| Some((it, link.split_once(')')?)))
    {
        shown += before;
        rest = after;
    }
    shown += rest;
    let kept = shown.trim().to_lowercase();
    let kept = kept.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.map(|it| if it == ' ' { '-' } else { it }).collect()
}

/// What stands after each of these beginnings, up to this end.
fn after_each(text: &str, beginning: &str, end: char) -> Vec<String> {
    text.split(beginning).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0.to_owned())).collect()
}

/// Takes out what stands in backticks, within each paragraph.
fn without_code(text: &str) -> String {
    let plain = |paragraph: &str| paragraph.split('`').step_by(2).collect::<Vec<_>>().concat();
    text.split("\n\n").map(plain).collect::<Vec<_>>().join("\n\n")
}

fn parts(text: &str, path: &str) -> Vec<Part> {
    const HIDDEN: &str = "<!-- run:";
    let mut parts = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let content = line.trim_start();
        let fence = content.len() - content.trim_start_matches('`').len();
        if fence >= 3 {
            let is_end = |line: &str| line.trim().len() >= fence && line.trim().bytes().all(|byte| byte == b'`');
            let indent = line.len() - content.len();
            let mut block = Vec::new();
            loop {
                let (line, _) = lines.next().unwrap_or_else(|| panic!("{path}:{number}: the block doesn't end"));
                if is_end(line) {
                    break;
                }
                let spaces = line.len() - line.trim_start().len();
                block.push(&line[spaces.min(indent)..]);
            }
            let language = content[fence..].split_whitespace().next().unwrap_or_default().to_owned();
            parts.push(Part::Code(Block { language, line: number + 1, text: block.join("\n") }));
        } else if let Some(begun) = content.strip_prefix(HIDDEN) {
            let mut command = begun.to_owned();
            while !command.contains("-->") {
                let (line, _) = lines.next().unwrap_or_else(|| panic!("{path}:{number}: the comment doesn't end"));
                command += "\n";
                command += line;
            }
            let text = command.split("-->").next().unwrap_or_default().trim().to_owned();
            parts.push(Part::Hidden(Block { language: String::new(), line: number, text }));
        } else {
            parts.push(Part::Prose(line.to_owned()));
        }
    }
    parts
}

#[test]
fn anchors_are_as_github_makes_them() {
    assert_eq!(slug("`spec.start`, and *why*"), "specstart-and-why");
    assert_eq!(slug("See [the table](x.md#y) below"), "see-the-table-below");
    assert_eq!(slug("Health in Argo CD"), "health-in-argo-cd");
}

#[test]
fn code_in_a_list_loses_its_indent_and_hidden_commands_span_lines() {
    let page = "1. One:\n\n   ```sh\n   a\n     b\n   ```\n<!-- run: c\nd -->\n";
    let [Part::Prose(_), Part::Prose(_), Part::Code(code), Part::Hidden(hidden)] = &parts(page, "")[..] else {
        panic!("other parts")
    };
    assert_eq!((code.text.as_str(), code.line, hidden.text.as_str()), ("a\n  b", 4, "c\nd"));
}
