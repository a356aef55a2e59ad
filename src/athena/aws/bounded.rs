//! Bodies of HTTP answers, read only up to a bound. The AWS SDK reads each answer whole before it looks at the content,
//! so an answer without an end would take all memory.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) bytes: usize,
    /// The opening braces in its body, which limit the JSON objects. Once it is read, a JSON object may take a hundred
    /// times the memory of its text, and a page of 4 MiB could hold a million empty sessions. Braces inside texts count
    /// as well, so the bound leaves room for them.
    pub(super) braces: usize,
}

impl Bound {
    /// For ListSessions: up to a hundred sessions, each with a description of 1,024 characters.
    pub(super) const PAGE: Self = Self { bytes: 4 << 20, braces: 128 << 10 };
    /// For GetSession, whose answer repeats the input of StartSession. The operator takes that input from an object,
    /// and the API server accepts no object of more than 1.5 MB.
    pub(super) const SESSION: Self = Self { bytes: 2 << 20, braces: 16 << 10 };
    /// For each other answer of AWS, of the instance's metadata, and of a container's credentials.
    pub(super) const OTHER: Self = Self { bytes: 256 << 10, braces: 256 << 10 };

    /// The bound that is left for the rest of the answer after this piece; None where the piece is already too much.
    fn after(self, piece: &[u8]) -> Option<Self> {
        let braces = piece.iter().filter(|byte| **byte == b'{').count();
        Some(Self { bytes: self.bytes.checked_sub(piece.len())?, braces: self.braces.checked_sub(braces)? })
    }
}

/// The answer holds more than its bound. The rest of the answer wasn't read.
#[derive(Debug, Error)]
#[error("the answer is larger than any answer of AWS")]
pub(super) struct TooLarge;

/// A body that fails with [`TooLarge`] as soon as it has held more than its bound.
#[derive(Debug)]
pub(super) struct Bounded<B> {
    body: B,
    rest: Bound,
}

impl<B> Bounded<B> {
    pub(super) fn new(body: B, bound: Bound) -> Self {
        Self { body, rest: bound }
    }
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        let piece = frame.data_ref().map_or(&[][..], AsRef::as_ref);
        let Some(rest) = self.rest.after(piece) else { return Poll::Ready(Some(Err(TooLarge.into()))) };
        self.rest = rest;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::Waker;

    use super::*;

    /// A body that has come in so many pieces.
    struct Pieces(Vec<&'static str>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let piece = if self.0.is_empty() { None } else { Some(self.0.remove(0)) };
            Poll::Ready(piece.map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
        }
    }

    /// What is read of these pieces; None where that fails.
    fn read(pieces: &[&'static str], bound: Bound) -> Option<String> {
        let mut body = Bounded::new(Pieces(pieces.to_vec()), bound);
        let mut text = String::new();
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match Pin::new(&mut body).poll_frame(&mut context) {
                Poll::Ready(Some(Ok(frame))) => text.push_str(std::str::from_utf8(frame.data_ref()?).ok()?),
                Poll::Ready(Some(Err(error))) => {
                    assert!(error.is::<TooLarge>());
                    return None;
                }
                Poll::Ready(None) => return Some(text),
                Poll::Pending => panic!("it has all come"),
            }
        }
    }

    #[test]
    fn an_answer_is_read_whole_up_to_its_bound_and_not_beyond() {
        let bound = Bound { bytes: 5, braces: 2 };
        assert_eq!(read(&["ab", "cde"], bound).as_deref(), Some("abcde"));
        assert_eq!(read(&["ab", "cdef"], bound), None);
        assert_eq!(read(&["abcdef"], bound), None);
        assert_eq!(read(&["{", "{}"], bound).as_deref(), Some("{{}"));
        assert_eq!(read(&["{", "{", "{"], bound), None);
        assert_eq!(read(&[], Bound { bytes: 0, braces: 0 }).as_deref(), Some(""));
    }
}
