//! Bounds the answers of the API server while they are read: whatever a tenant writes into an object, and however many
//! objects there are, no answer takes much memory.
//!
//! kube's client collects an answer as a whole before it is parsed. A page of 500 objects, of which each may have 1.5 MB,
//! would need more memory than the operator has. So a layer below kube's client trims each answer while it arrives
//! ([`trim`]), by rules for each kind ([`mod@rules`]), and asks for pages of a size that fits ([`pages`]).

pub(crate) mod pages;
pub(crate) mod rules;
pub(crate) mod trim;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame};
use hyper::{Request, Response, Uri};
use kube::client::Body as RequestBody;
use parking_lot::Mutex;
use thiserror::Error;
use tower::{BoxError, Layer, Service};

use pages::{Page, Pages};
use rules::rules;
use trim::Trim;

/// The most bytes that are kept of one answer, or of one event of a watch. By the rules for the kinds, only an
/// AthenaWorkGroup, a namespace or a ConfigMap could have more, or an answer that doesn't come from the API server.
const MOST_ANSWER: usize = 32 << 20;
/// The most bytes that are kept of an answer about one object. The API server allows an object some 3 MB.
const MOST_OBJECT: usize = 4 << 20;
/// The most bytes that are kept of a ConfigMap. The operator's own ConfigMaps have less than a kilobyte.
const MOST_CONFIG_MAP: usize = 512 << 10;
const MOST_REFUSAL: usize = 64 << 10;

#[derive(Debug, Error)]
#[error("the answer is larger than {most} bytes, also without what isn't kept of it")]
pub(crate) struct TooLarge {
    most: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds {
    /// AthenaSessions are kept whole, however large they are.
    pub is_whole: bool,
}

impl<S> Layer<S> for Bounds {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { inner, is_whole: self.is_whole, pages: Arc::default() }
    }
}

/// The client below kube's, with bounded answers.
#[derive(Debug)]
pub(crate) struct Bounded<S> {
    inner: S,
    is_whole: bool,
    pages: Arc<Mutex<Pages>>,
}

impl<S, B> Service<Request<RequestBody>> for Bounded<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Response = Response<BoundedBody<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let asked = Asked::of(request.uri());
        let (bound, limit, is_first) = (asked.bound(self.is_whole), asked.limit, asked.is_first);
        let mut listed = None;
        // Who asks for one object wants to know whether there is one.
        if let Some(asked) = limit
            && asked > 1
        {
            let path = request.uri().path().to_owned();
            let limit = self.pages.lock().limit(&path, asked, is_first);
            *request.uri_mut() = with_limit(request.uri(), limit);
            listed = Some(Listed { pages: Arc::clone(&self.pages), path, limit });
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            let is_refusal = answer.status().is_client_error() || answer.status().is_server_error();
            let bound = if is_refusal { Bound::Cut } else { bound };
            Ok(answer.map(|inner| BoundedBody { inner, bound, listed, sent: 0, kept: 0 }))
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    /// The kind of the objects, as paths name it.
    plural: &'a str,
    about: About,
    /// Of a list: how many objects.
    limit: Option<usize>,
    /// Of a list: it is the first page.
    is_first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Object,
    List,
    Watch,
}

impl<'a> Asked<'a> {
    fn of(uri: &'a Uri) -> Self {
        let mut path = uri.path().split('/').filter(|part| !part.is_empty());
        // /api/VERSION/…, or /apis/GROUP/VERSION/…
        let before = if path.next() == Some("apis") { 2 } else { 1 };
        let parts: Vec<_> = path.skip(before).collect();
        let (plural, is_named) = match parts[..] {
            ["namespaces", _, plural, ref rest @ ..] => (plural, !rest.is_empty()),
            [plural, ref rest @ ..] => (plural, !rest.is_empty()),
            [] => ("", true),
        };
        let value_of = |name: &str| {
            let mut pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let about = match is_named {
            true => About::Object,
            false if value_of("watch") == Some("true") => About::Watch,
            false => About::List,
        };
        let limit = if about == About::List { value_of("limit").and_then(|limit| limit.parse().ok()) } else { None };
        Self { plural, about, limit, is_first: value_of("continue").is_none() }
    }

    fn bound(&self, is_whole: bool) -> Bound {
        let most = match self.about {
            _ if self.plural == "configmaps" => MOST_CONFIG_MAP,
            About::Object => MOST_OBJECT,
            About::List | About::Watch => MOST_ANSWER,
        };
        let Some(rules) = rules(self.plural, is_whole) else { return Bound::At { most } };
        let rule = match self.about {
            About::Object => rules.object,
            About::List => rules.list,
            About::Watch => rules.events,
        };
        Bound::Trimmed { trim: Box::new(Trim::by(rule)), most, is_watch: self.about == About::Watch }
    }
}

fn with_limit(uri: &Uri, limit: usize) -> Uri {
    let query = uri.query().unwrap_or_default().split('&');
    let query: Vec<_> =
        query.map(|pair| if pair.starts_with("limit=") { format!("limit={limit}") } else { pair.to_owned() }).collect();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = format!("{}?{}", uri.path(), query.join("&")).parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

#[derive(Debug)]
struct Listed {
    pages: Arc<Mutex<Pages>>,
    path: String,
    limit: usize,
}

#[derive(Debug)]
enum Bound {
    /// It is trimmed by a rule, and fails when more than `most` bytes are kept.
    Trimmed { trim: Box<Trim>, most: usize, is_watch: bool },
    /// It fails when it is larger than this.
    At { most: usize },
    /// It is cut at [`MOST_REFUSAL`]: the most important is the HTTP status.
    Cut,
}

#[derive(Debug)]
pub(crate) struct BoundedBody<B> {
    inner: B,
    bound: Bound,
    listed: Option<Listed>,
    sent: usize,
    /// The bytes kept; of a watch: those of its last event.
    kept: usize,
}

impl<B> BoundedBody<B> {
    fn keep(&mut self, piece: Bytes) -> Result<Bytes, TooLarge> {
        self.sent += piece.len();
        let (kept, most) = match &mut self.bound {
            Bound::Trimmed { trim, most, is_watch } => {
                let mut kept = vec![];
                trim.push(&piece, &mut kept);
                if *is_watch && let Some(end) = kept.iter().rposition(|byte| *byte == b'\n') {
                    // What comes before this is another event's.
                    self.kept = kept.len() - end;
                } else {
                    self.kept += kept.len();
                }
                (kept.into(), *most)
            }
            Bound::At { most } => {
                self.kept += piece.len();
                (piece, *most)
            }
            Bound::Cut => {
                let room = MOST_REFUSAL - self.kept.min(MOST_REFUSAL);
                let kept = piece.slice(..piece.len().min(room));
                self.kept += kept.len();
                (kept, MOST_REFUSAL)
            }
        };
        if self.kept > most { Err(TooLarge { most }) } else { Ok(kept) }
    }

    fn has_ended(&mut self) {
        if let (Some(Listed { pages, path, limit }), Bound::Trimmed { trim, .. }) = (self.listed.take(), &self.bound) {
            let page = Page { limit, objects: trim.elements(), sent: self.sent, kept: self.kept };
            pages.lock().read(&path, page);
        }
    }
}

impl<B> Body for BoundedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if matches!(self.bound, Bound::Cut) && self.kept >= MOST_REFUSAL {
                return Poll::Ready(None);
            }
            let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(context)) else {
                self.has_ended();
                return Poll::Ready(None);
            };
            let kept = match frame.map_err(Into::into)?.into_data() {
                Ok(piece) => self.keep(piece)?,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            };
            if !kept.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(kept))));
            }
        }
    }
}

#[cfg(test)]
mod tests;
