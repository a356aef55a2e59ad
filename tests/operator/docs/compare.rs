//! Compares what a command prints with what a page shows. Ids, times, ages, ports and versions differ from run to run, and each
//! counts as equal to any other of its kind. `…` or `...` stands for anything: alone on a line for any number of lines.

/// Whether this is what the page shows.
pub fn is_as_shown(shown: &str, printed: &str) -> bool {
    let lines = |text: &str| text.lines().map(normal).filter(|line| !line.is_empty()).collect::<Vec<_>>();
    let shown = shown.replace("...", "…");
    lines_match(&lines(&shown), &lines(printed))
}

fn lines_match(shown: &[String], printed: &[String]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((gap, rest)), _) if gap == "…" => (0..=printed.len()).any(|from| lines_match(rest, &printed[from..])),
        (Some((line, rest)), Some((other, others))) => line_matches(line, other) && lines_match(rest, others),
        _ => false,
    }
}

fn line_matches(shown: &str, printed: &str) -> bool {
    let Some((beginning, rest)) = shown.split_once('…') else { return shown == printed };
    let Some(printed) = printed.strip_prefix(beginning.trim_end()) else { return false };
    // Each further piece at the first place possible, the last one at the end.
    let mut pieces: Vec<_> = rest.split('…').map(str::trim).collect();
    let end = pieces.pop().unwrap_or_default();
    let mut left = printed;
    for piece in pieces {
        let Some((_, after)) = left.split_once(piece) else { return false };
        left = after;
    }
    left.ends_with(end)
}

/// A line with one space between words, and one word for each kind of thing that differs from run to run.
fn normal(line: &str) -> String {
    line.split_whitespace().map(|word| normal_word(&without_ids(word))).collect::<Vec<_>>().join(" ")
}

fn normal_word(word: &str) -> String {
    let inner = word.trim_matches(|it: char| !it.is_ascii_alphanumeric());
    let Some((before, after)) = word.split_once(inner) else { return word.to_owned() };
    let kind = if is_age(inner) {
        "AGE"
    } else if is_time(inner) {
        "TIME"
    } else if is_version(inner) {
        "VERSION"
    } else {
        return with_ports(&without_suffixes(word));
    };
    format!("{before}{kind}{after}")
}

/// As kubectl prints ages, and Go durations: `5s`, `2d3h`, `1m30s`.
fn is_age(word: &str) -> bool {
    let mut digits = 0;
    let mut is_whole = false;
    for it in word.chars() {
        is_whole = match it {
            '0'..='9' => {
                digits += 1;
                false
            }
            's' | 'm' | 'h' | 'd' | 'y' if digits > 0 => {
                digits = 0;
                true
            }
            _ => return false,
        };
    }
    is_whole
}

/// RFC 3339.
fn is_time(word: &str) -> bool {
    let shape: String = word.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
    let fraction =
        shape.strip_prefix("0000-00-00T00:00:00").map(|rest| rest.trim_end_matches('Z').trim_matches(['.', '0']));
    fraction.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', '-']))
}

/// Three numbers: `v1.34.1`.
fn is_version(word: &str) -> bool {
    let numbers: Vec<_> = word.trim_start_matches('v').split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    numbers.len() == 3 && numbers.iter().all(is_number)
}

/// A name without what `generateName` has put at its end, and without a Unix time: `report-x7k2p`, `report-1764374400`.
fn without_suffixes(word: &str) -> String {
    let mut pieces = word.split('-');
    let first = pieces.next().unwrap_or_default().to_owned();
    let is_random =
        |piece: &str| piece.len() == 5 && piece.chars().all(|it| "bcdfghjklmnpqrstvwxz2456789".contains(it));
    let is_unix_time = |piece: &str| piece.len() >= 10 && piece.bytes().all(|it| it.is_ascii_digit());
    pieces.fold(first, |name, piece| {
        let piece = if is_random(piece) || is_unix_time(piece) { "SUFFIX" } else { piece };
        format!("{name}-{piece}")
    })
}

/// `127.0.0.1:41234` with another port.
fn with_ports(word: &str) -> String {
    let Some((before, after)) = word.split_once("127.0.0.1:") else { return word.to_owned() };
    format!("{before}127.0.0.1:PORT{}", after.trim_start_matches(|it: char| it.is_ascii_digit()))
}

/// Each UUID as one word.
fn without_ids(word: &str) -> String {
    const LENGTH: usize = 36;
    let is_id = |at: usize| {
        word.get(at..at + LENGTH).is_some_and(|part| {
            part.char_indices().all(|(place, it)| match place {
                8 | 13 | 18 | 23 => it == '-',
                _ => it.is_ascii_hexdigit(),
            })
        })
    };
    match (0..word.len()).find(|at| is_id(*at)) {
        Some(at) => format!("{}ID{}", &word[..at], without_ids(&word[at + LENGTH..])),
        None => word.to_owned(),
    }
}

#[test]
fn ids_times_and_ages_differ_and_other_words_dont() {
    for (shown, printed) in [
        ("NAME  AGE\na  1s", "NAME   AGE\na      12m5s\n"),
        ("id 11111111-2222-4333-8444-555555555555.", "id 0a1b2c3d-2222-4333-8444-555555555555."),
        ("at \"2026-11-28T09:30:00Z\"", "at \"2025-01-02T03:04:05.678901Z\""),
        ("a\n…\nd", "a\nb\nc\nd"),
        ("a\n...\nd", "a\nd"),
        ("says … and goes", "says this, that and goes"),
        ("begins …", "begins"),
        ("athenasession/exploration-x7k2p created", "athenasession/exploration-8hj2k created"),
        ("http://127.0.0.1:1234/metrics", "http://127.0.0.1:8080/metrics"),
    ] {
        assert!(is_as_shown(shown, printed), "{shown} {printed}");
    }
    for (shown, printed) in [
        ("a", "b"),
        ("a", "a\nb"),
        ("a\n…\nd", "a\nb"),
        ("IDLE 1", "IDLE 2"),
        ("spark-team-a", "spark-team-b"),
        ("one … three", "one two"),
        ("2026-11-28T09:30:00Z", "yesterday"),
    ] {
        assert!(!is_as_shown(shown, printed), "{shown} {printed}");
    }
}
