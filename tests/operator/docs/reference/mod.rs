//! docs/reference/ has parts that are made from the code: `<!-- generated: NAME -->` … `<!-- /generated -->`. They are compared,
//! and with UPDATE_DOCS written anew (`make docs-reference`).

mod kinds;
mod labels;
mod metrics;
mod reasons;
mod settings;

use crate::world::in_checkout;

const END: &str = "<!-- /generated -->";

/// Compares the generated parts of a page with what they should be, or writes them. The page has no others.
fn keep(page: &str, made: &[(&str, String)]) {
    let file = in_checkout(&format!("docs/reference/{page}"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut renewed = text.clone();
    for (name, content) in made {
        let begin = format!("<!-- generated: {name} -->\n");
        let (before, rest) = renewed.split_once(&begin).unwrap_or_else(|| panic!("{page} has no {begin}"));
        let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("{page}: {begin} has no {END}"));
        renewed = format!("{before}{begin}{}\n{END}{after}", content.trim_end());
    }
    assert_eq!(renewed.matches("<!-- generated: ").count(), made.len(), "{page} has other generated parts");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(file, renewed).unwrap();
    } else {
        let first = renewed.lines().zip(text.lines()).find(|(new, old)| new != old);
        assert!(renewed == text, "docs/reference/{page} is out of date: run `make docs-reference`. First: {first:?}");
    }
}

/// A table in Markdown.
fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: [String; N]| {
        let cells = cells.map(|cell| cell.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|"));
        let cells = cells.map(|cell| if cell.is_empty() { " |".to_owned() } else { format!(" {cell} |") });
        format!("|{}\n", cells.concat())
    };
    let body: String = rows.into_iter().map(line).collect();
    format!("{}|{}\n{body}", line(head.map(str::to_owned)), "---|".repeat(N))
}

/// A text without marks of Markdown, but with code in backticks, as Markdown.
fn escaped(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let escape = |(number, part): (usize, &str)| {
        if number % 2 == 1 { format!("`{part}`") } else { part.replace('<', "&lt;").replace('*', "\\*") }
    };
    parts.map(escape).collect()
}

/// A list of sentences in one cell.
fn sentences(texts: &[String]) -> String {
    texts.join("<br>")
}
