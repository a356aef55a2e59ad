//! Trims JSON while it arrives, piece by piece, so that a part that isn't kept is never in memory as a whole. PURE.
//!
//! Whether the text is JSON isn't checked here: the parser of the trimmed text finds that out.

use memchr::memchr2;

#[derive(Debug)]
pub(crate) enum Keep {
    All,
    /// Nothing of it, nor the name of the member that it is.
    Nothing,
    /// All of it where its text has at most so many bytes, or else `instead`.
    UpTo {
        most: usize,
        instead: &'static str,
    },
    /// Of an object: the members that are named here.
    Members(&'static [(&'static str, &'static Keep)]),
    /// Of an object: the members that are named here, and the others by the second rule.
    AllMembers(&'static [(&'static str, &'static Keep)], &'static Keep),
    /// Of an array: each of its elements.
    Items(&'static Keep),
    /// Of an array of strings: `always`, and others up to so many bytes together. An empty one stands for those that are left out.
    Strings {
        most: usize,
        always: &'static str,
    },
}

/// The rule for a value that isn't an object or an array, though its own rule is for one.
const MISFIT: Keep = Keep::UpTo { most: 4096, instead: "null" };

/// A member with a longer name isn't kept.
const LONGEST_NAME: usize = 512;

/// Trims one text, or several that follow each other.
#[derive(Debug)]
pub(crate) struct Trim {
    rule: &'static Keep,
    /// The objects and arrays that are open, and looked into.
    levels: Vec<Level>,
    step: Step,
    elements: usize,
}

#[derive(Debug)]
struct Level {
    inside: Inside,
    /// Something of it is kept, so that a comma comes before the next.
    has_kept: bool,
}

#[derive(Debug)]
enum Inside {
    Object { known: &'static [(&'static str, &'static Keep)], others: &'static Keep },
    Array(&'static Keep),
    Strings { left: usize, always: &'static str, has_omitted: bool },
}

#[derive(Debug)]
enum Step {
    Value(&'static Keep),
    /// A value, or the end of the array.
    FirstElement,
    /// A member's name, or the end of the object.
    Name,
    InName {
        name: Vec<u8>,
        is_escaped: bool,
    },
    Colon(&'static Keep),
    /// The rest of a value that isn't looked into.
    InWhole(Whole),
    /// A comma, or the end of what is open.
    Comma,
}

#[derive(Debug)]
struct Whole {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Out,
    Nowhere,
    UpTo {
        text: Vec<u8>,
        most: usize,
        instead: &'static str,
        is_over: bool,
    },
    /// An element of [`Inside::Strings`].
    Element {
        text: Vec<u8>,
    },
}

impl Trim {
    pub(crate) fn by(rule: &'static Keep) -> Self {
        Self { rule, levels: vec![], step: Step::Value(rule), elements: 0 }
    }

    /// How many elements the arrays had that are members of the texts themselves: the objects of a list.
    pub(crate) fn elements(&self) -> usize {
        self.elements
    }

    /// Takes the next piece, and adds to `out` what is kept of it.
    pub(crate) fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while let Some(&byte) = piece.first() {
            let read = match &mut self.step {
                Step::InWhole(whole) => {
                    let (read, is_end) = whole.read(piece);
                    whole.sink.take(&piece[..read], out);
                    if is_end {
                        self.end_whole(out);
                    }
                    read
                }
                Step::InName { name, is_escaped } => {
                    let (read, is_end) = read_string(piece, is_escaped);
                    let text = &piece[..read - usize::from(is_end)];
                    let room = (LONGEST_NAME + 1).saturating_sub(name.len());
                    name.extend_from_slice(&text[..text.len().min(room)]);
                    if is_end {
                        self.end_name(out);
                    }
                    read
                }
                _ if byte.is_ascii_whitespace() => {
                    // Texts that follow each other are lines.
                    if self.levels.is_empty() && byte == b'\n' {
                        out.push(byte);
                    }
                    1
                }
                _ => self.next(byte, out),
            };
            piece = &piece[read..];
        }
    }

    /// Takes one byte between values. Returns how many were read: 0, where it is the first byte of a value.
    fn next(&mut self, byte: u8, out: &mut Vec<u8>) -> usize {
        match (&self.step, byte) {
            (Step::Name | Step::Comma, b'}') | (Step::FirstElement | Step::Comma, b']') => self.close(byte, out),
            (Step::Name, b'"') => self.step = Step::InName { name: vec![], is_escaped: false },
            (&Step::Colon(rule), b':') => self.step = Step::Value(rule),
            (Step::Comma, b',') => match self.levels.last() {
                Some(Level { inside: Inside::Object { .. }, .. }) => self.step = Step::Name,
                _ => return self.element(out, 1),
            },
            (Step::FirstElement, _) => return self.element(out, 0),
            // No JSON begins with one of these. Read as a value it would have no bytes, and the loop would never end.
            (Step::Value(_), b',' | b'}' | b']') if self.levels.is_empty() => out.push(byte),
            (&Step::Value(rule), _) => return self.value(rule, byte, out),
            // This is no JSON. The parser will say so.
            _ => out.push(byte),
        }
        1
    }

    /// Before an element of an array, `read` bytes of whose text have been read.
    fn element(&mut self, out: &mut Vec<u8>, read: usize) -> usize {
        let depth = self.levels.len();
        match self.levels.last_mut() {
            Some(Level { inside: Inside::Array(rule), has_kept }) => {
                if std::mem::replace(has_kept, true) {
                    out.push(b',');
                }
                if depth == 2 {
                    self.elements += 1;
                }
                self.step = Step::Value(rule);
            }
            // Whether the element is kept is known at its end.
            _ => self.step = Step::InWhole(Whole::into(Sink::Element { text: vec![] })),
        }
        read
    }

    fn value(&mut self, rule: &'static Keep, byte: u8, out: &mut Vec<u8>) -> usize {
        let (inside, step) = match (rule, byte) {
            (Keep::Members(known), b'{') => (Inside::Object { known, others: &Keep::Nothing }, Step::Name),
            (Keep::AllMembers(known, others), b'{') => (Inside::Object { known, others }, Step::Name),
            (Keep::Items(rule), b'[') => (Inside::Array(rule), Step::FirstElement),
            (&Keep::Strings { most, always }, b'[') => {
                (Inside::Strings { left: most, always, has_omitted: false }, Step::FirstElement)
            }
            _ => {
                self.step = Step::InWhole(Whole::into(Sink::of(rule)));
                return 0;
            }
        };
        out.push(byte);
        self.levels.push(Level { inside, has_kept: false });
        self.step = step;
        1
    }

    fn end_name(&mut self, out: &mut Vec<u8>) {
        let Step::InName { name, .. } = &self.step else { return };
        let Some(Level { inside: Inside::Object { known, others }, has_kept }) = self.levels.last_mut() else { return };
        let rule = match known.iter().find(|(known, _)| known.as_bytes() == name.as_slice()) {
            Some((_, rule)) => *rule,
            None if name.len() > LONGEST_NAME => &Keep::Nothing,
            None => *others,
        };
        if !matches!(rule, Keep::Nothing) {
            if std::mem::replace(has_kept, true) {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(name);
            out.extend_from_slice(b"\":");
        }
        self.step = Step::Colon(rule);
    }

    fn end_whole(&mut self, out: &mut Vec<u8>) {
        let step = self.after_value();
        let Step::InWhole(Whole { sink, .. }) = std::mem::replace(&mut self.step, step) else { return };
        match sink {
            Sink::Out | Sink::Nowhere => {}
            Sink::UpTo { is_over: true, instead, .. } => out.extend_from_slice(instead.as_bytes()),
            Sink::UpTo { text, .. } => out.extend_from_slice(&text),
            Sink::Element { text } => self.end_string(&text, out),
        }
    }

    fn end_string(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let Some(Level { inside: Inside::Strings { left, always, has_omitted }, has_kept }) = self.levels.last_mut()
        else {
            return;
        };
        let is_always = text.len() == always.len() + 2 && &text[1..text.len() - 1] == always.as_bytes();
        let kept: &[u8] = if is_always {
            text
        } else if text.len() < LONGEST_NAME && text.len() <= *left {
            *left -= text.len();
            text
        } else if std::mem::replace(has_omitted, true) {
            return;
        } else {
            br#""""#
        };
        if std::mem::replace(has_kept, true) {
            out.push(b',');
        }
        out.extend_from_slice(kept);
    }

    fn close(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.push(byte);
        self.levels.pop();
        self.step = self.after_value();
    }

    fn after_value(&self) -> Step {
        if self.levels.is_empty() { Step::Value(self.rule) } else { Step::Comma }
    }
}

/// Reads on in a string. Returns how many bytes belong to it, and whether they end it.
fn read_string(piece: &[u8], is_escaped: &mut bool) -> (usize, bool) {
    let mut at = 0;
    while at < piece.len() {
        if std::mem::take(is_escaped) {
            at += 1;
            continue;
        }
        let Some(next) = memchr2(b'"', b'\\', &piece[at..]) else { break };
        at += next + 1;
        if piece[at - 1] == b'"' {
            return (at, true);
        }
        *is_escaped = true;
    }
    (piece.len(), false)
}

impl Whole {
    fn into(sink: Sink) -> Self {
        Self { depth: 0, in_string: false, is_escaped: false, sink }
    }

    /// Reads on. Returns how many bytes belong to the value, and whether they end it.
    fn read(&mut self, piece: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < piece.len() {
            if self.in_string {
                let (read, is_end) = read_string(&piece[at..], &mut self.is_escaped);
                at += read;
                self.in_string = !is_end;
                if is_end && self.depth == 0 {
                    return (at, true);
                }
                continue;
            }
            match piece[at] {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                // The end of a number or a word.
                b'}' | b']' | b',' | b' ' | b'\n' | b'\r' | b'\t' if self.depth == 0 => return (at, true),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (at + 1, true);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        (at, false)
    }
}

impl Sink {
    fn of(rule: &Keep) -> Self {
        match *rule {
            Keep::All => Self::Out,
            Keep::Nothing => Self::Nowhere,
            Keep::UpTo { most, instead } => Self::UpTo { text: vec![], most, instead, is_over: false },
            _ => Self::of(&MISFIT),
        }
    }

    fn take(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Out => out.extend_from_slice(piece),
            Self::Nowhere => {}
            Self::UpTo { text, most, is_over, .. } => {
                *is_over |= text.len() + piece.len() > *most;
                if *is_over {
                    *text = vec![];
                } else {
                    text.extend_from_slice(piece);
                }
            }
            Self::Element { text } => {
                // A longer element isn't kept, so its rest doesn't matter.
                let room = LONGEST_NAME.saturating_sub(text.len());
                text.extend_from_slice(&piece[..piece.len().min(room)]);
            }
        }
    }
}
