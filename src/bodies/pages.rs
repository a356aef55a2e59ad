//! How many objects a page of a list is asked for, so that a page weighs about the same whatever is in it. PURE.

use std::collections::HashMap;

/// The objects of a first page, of which nothing is known yet.
const FIRST: usize = 50;
/// A page may ask for so many times the objects of the one before.
const GROWTH: usize = 4;
/// What a page may weigh as the API server sends it, in bytes.
const MOST_SENT: usize = 16 << 20;
const MOST_KEPT: usize = 2 << 20;

/// The size of the next page, of each list.
#[derive(Debug, Default)]
pub(crate) struct Pages(HashMap<String, usize>);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub limit: usize,
    pub objects: usize,
    pub sent: usize,
    pub kept: usize,
}

impl Pages {
    /// How many objects to ask for in the next page of the list at this path, where `asked` would do. `is_first`: nothing of
    /// the list has been read yet.
    pub(crate) fn limit(&mut self, path: &str, asked: usize, is_first: bool) -> usize {
        if is_first {
            self.0.remove(path);
        }
        self.0.get(path).copied().unwrap_or(FIRST).min(asked)
    }

    pub(crate) fn read(&mut self, path: &str, page: Page) {
        let fitting = |most: usize, bytes: usize| (most * page.objects).checked_div(bytes).unwrap_or(usize::MAX);
        let next = fitting(MOST_SENT, page.sent).min(fitting(MOST_KEPT, page.kept)).min(GROWTH * page.limit);
        self.0.insert(path.to_owned(), next.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_grows_while_objects_are_small_and_shrinks_when_they_are_large() {
        let mut pages = Pages::default();
        let mut limits = vec![];
        for size in [1_000, 1_000, 1_000, 1_000_000, 1_000_000, 40_000_000, 1_000] {
            let limit = pages.limit("/pods", 500, limits.is_empty());
            limits.push(limit);
            pages.read("/pods", Page { limit, objects: limit, sent: limit * size, kept: limit * 200 });
        }
        assert_eq!(limits, [50, 200, 500, 500, 16, 16, 1]);
        assert_eq!(pages.limit("/pods", 500, true), 50, "a new list begins anew");
        assert_eq!(pages.limit("/pods", 1, true), 1, "no more than is asked for");
        pages.read("/pods", Page { limit: 50, objects: 50, sent: 50_000_000, kept: 10_000_000 });
        assert_eq!(pages.limit("/pods", 500, false), 10, "what is kept counts as well");
    }
}
