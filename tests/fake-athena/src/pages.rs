//! Pages of a list and the opaque token that leads from one to the next.

use crate::error::ApiError;

/// Where an item stands in its list; lists go from the greatest to the smallest.
pub(crate) type Position = (i128, u64);

/// One page of a list, and the token of the next one if there is more.
/// `query` says what is listed: a token leads on only in the list that it came from.
pub(crate) fn page<T>(
    items: impl Iterator<Item = (Position, T)>,
    query: &str,
    token: Option<&str>,
    size: usize,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let from = start(query, token)?;
    let mut rest = items.filter(|(position, _)| from.is_none_or(|from| *position < from)).peekable();
    let mut listed = Vec::new();
    let mut last = None;
    while listed.len() < size.max(1)
        && let Some((position, item)) = rest.next()
    {
        last = Some(position);
        listed.push(item);
    }
    let more = rest.peek().is_some();
    let next = last.filter(|_| more).map(|last| print(last, query));
    Ok((listed, next))
}

/// Where the page that a token leads to begins: below this position; none is the first page.
pub(crate) fn start(query: &str, token: Option<&str>) -> Result<Option<Position>, ApiError> {
    let refused = || ApiError::invalid_request("NextToken is invalid");
    token.map(|token| position(token, query).ok_or_else(refused)).transpose()
}

fn print((major, minor): Position, query: &str) -> String {
    let text = format!("{major}:{minor}:{query}");
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn position(token: &str, query: &str) -> Option<Position> {
    let digits = token.as_bytes();
    if !digits.len().is_multiple_of(2) || !token.is_ascii() {
        return None;
    }
    let bytes: Option<Vec<u8>> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&token[at..at + 2], 16).ok()).collect();
    let text = String::from_utf8(bytes?).ok()?;
    let (major, rest) = text.split_once(':')?;
    let (minor, asked) = rest.split_once(':')?;
    (asked == query).then_some((major.parse().ok()?, minor.parse().ok()?))
}
