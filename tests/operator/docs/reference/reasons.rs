//! The reference of the reasons, from `src/status/reason.rs`, and their order, from `src/session/conditions/mod.rs`.

use super::{escaped, keep, table};
use crate::api::{HOLD_REASONS, Kinds, ORDER, Pace, Reason, Standing};
use crate::docs::pages::{Page, heading, slug};

#[test]
fn the_reference_of_the_reasons_is_up_to_date() {
    let advice = Page::named("troubleshooting.md");
    let from_here = advice.path.strip_prefix("docs/").expect("below docs/");
    let rows = Reason::TABLE.iter().map(|row| {
        let kinds = match row.kinds {
            Kinds::Session => "AthenaSession",
            Kinds::WorkGroup => "AthenaWorkGroup",
            Kinds::Both => "both",
        };
        let pace = match row.pace {
            Pace::Fast => "changing",
            Pace::Slow => "steady",
            Pace::BackOff => "back-off",
            Pace::Never => "never",
        };
        let waits_for_a_person = matches!(row.standing, Standing::Stalled | Standing::StalledLater);
        let what_to_do = if waits_for_a_person {
            let heading = heading_with_advice(&advice, row.word);
            format!("[what to do](../{from_here}#{})", slug(heading))
        } else {
            String::new()
        };
        let warning = if row.warns { "yes" } else { "" };
        [
            format!("`{}`", row.word),
            kinds.to_owned(),
            escaped(row.meaning),
            what_to_do,
            format!("{:?}", row.standing),
            format!("{:?}", row.active),
            pace.to_owned(),
            warning.to_owned(),
        ]
    });
    let head = ["reason", "of", "meaning", "what to do", "stands", "Active", "looked at again", "Warning"];
    let held = HOLD_REASONS.map(|(reason, meaning)| [format!("`{reason}`"), meaning.to_owned()]);
    let held = table(["reason of `CleanupHeld`", "meaning"], held);
    keep("conditions.md", &[("reasons", table(head, rows)), ("order", order()), ("cleanup", held)]);
}

/// The checks of all groups, numbered.
fn order() -> String {
    let mut rows = Vec::new();
    let mut number = 0;
    for group in ORDER.into_iter().flatten() {
        rows.push([String::new(), format!("**{}**", group.objects), String::new()]);
        for check in group.checks {
            number += 1;
            let reasons: Vec<_> = check.reasons.iter().map(|reason| format!("`{reason}`")).collect();
            rows.push([number.to_string(), escaped(check.says), reasons.join(", ")]);
        }
    }
    table(["", "check", "reasons"], rows)
}

/// The heading above the last row of a table that says what to do for this reason.
fn heading_with_advice<'a>(page: &'a Page, reason: &str) -> &'a str {
    let row = format!("| `{reason}` | ");
    let (mut above, mut found) = ("", None);
    for line in page.prose() {
        above = heading(line).unwrap_or(above);
        let advice = line.trim_start().strip_prefix(&row);
        if advice.is_some_and(|advice| advice.trim_end_matches(['|', ' ']).len() >= 20) {
            found = Some(above);
        }
    }
    found.unwrap_or_else(|| panic!("{} has no row with what to do for {reason}", page.path))
}
