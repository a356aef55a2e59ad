//! The HTTP server: each call with its latency, its fault and its answer.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    Request as HttpRequest, Response, StatusCode,
    body::{Body, Frame, Incoming},
    header::{CONTENT_TYPE, DATE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use uuid::Uuid;

use crate::{
    admin,
    error::ApiError,
    fake::{Ending, Shared},
    faults::FaultKind,
    operations::Reply,
    request::{Protocol, Request},
    sts,
};

/// Makes hyper close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
pub(crate) struct Cut;

type AnswerBody = Either<Full<Bytes>, Endless>;

/// A body that goes on for as long as somebody reads it.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        const PIECE: &[u8] = &[b' '; 1 << 16];
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))))
    }
}

/// What becomes of a call in the end.
enum Outcome {
    Answer(Result<Reply, ApiError>),
    Endless,
    Cut,
    Hang,
}

/// Serves until it is dropped; its connections go with it.
pub(crate) async fn serve(listener: TcpListener, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, shared.clone()));
                }
                Err(error) => {
                    tracing::warn!("can't accept a connection: {error}");
                    sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(stream: TcpStream, shared: Shared) {
    // Without this the small answers of a reused connection wait for the peer's delayed ACK.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(shared.clone(), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!("connection: {error}");
    }
}

async fn answer(shared: Shared, request: HttpRequest<Incoming>) -> Result<Response<AnswerBody>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    if let Some(path) = head.uri.path().strip_prefix("/_fake/") {
        let (status, answer) = admin::answer(&shared, &head.method, path, &body);
        return Ok(response(status, "application/json", answer));
    }
    let request = Request::read(&head.headers, &body);
    let protocol = request.protocol;
    if request.access_key.is_none() && protocol == Protocol::Json {
        // As AWS does it: a request without a signature is refused before anything else, and isn't in the log of calls.
        return Ok(aws_response(&shared, protocol, Err(ApiError::unsigned())));
    }
    // A task of its own: what a call does must not depend on its client waiting for it.
    let call = tokio::spawn(run(shared.clone(), request));
    match call.await.map_err(|_| Cut)? {
        Outcome::Answer(result) => Ok(aws_response(&shared, protocol, result)),
        Outcome::Endless => {
            let answer = response(200, content_type(protocol), String::new());
            Ok(answer.map(|_| Either::Right(Endless)))
        }
        Outcome::Cut => Err(Cut),
        Outcome::Hang => std::future::pending().await,
    }
}

async fn run(shared: Shared, request: Request) -> Outcome {
    let admission = shared.lock().admit(&request);
    sleep(admission.latency).await;
    let mut result = None;
    if let Some(fault) = &admission.fault {
        if fault.after_effect {
            result = Some(shared.lock().perform(&admission, &request));
        }
        match &fault.kind {
            FaultKind::Error { code, message, status } => result = Some(Err(ApiError::new(code, message, *status))),
            FaultKind::Delay(delay) => sleep(*delay).await,
            FaultKind::Cut => {
                shared.lock().finish(admission.number, &Ending::Lost("cut"));
                return Outcome::Cut;
            }
            FaultKind::Hang => {
                shared.lock().finish(admission.number, &Ending::Lost("hang"));
                return Outcome::Hang;
            }
            FaultKind::Endless => {
                shared.lock().finish(admission.number, &Ending::Lost("endless"));
                return Outcome::Endless;
            }
            FaultKind::Body(body) => {
                let (effect, session) = (false, None);
                result = Some(Ok(Reply { body: body.clone(), effect, session }));
            }
            FaultKind::NoEffect | FaultKind::Says(_) => {}
        }
    }
    let mut fake = shared.lock();
    let mut result = result.unwrap_or_else(|| fake.perform(&admission, &request));
    if let (Some(FaultKind::Says(patch)), Ok(reply)) = (admission.fault.as_ref().map(|fault| &fault.kind), &mut result)
    {
        reply.say(patch);
    }
    let ending = match &result {
        Ok(_) => Ending::Answered(200, None),
        Err(error) => Ending::Answered(error.status, Some(error)),
    };
    fake.finish(admission.number, &ending);
    Outcome::Answer(result)
}

fn content_type(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Json => "application/x-amz-json-1.1",
        Protocol::Query => "text/xml",
    }
}

fn aws_response(shared: &Shared, protocol: Protocol, result: Result<Reply, ApiError>) -> Response<AnswerBody> {
    let (status, body) = match (result, protocol) {
        (Ok(reply), _) => (200, reply.body),
        (Err(error), Protocol::Json) => (error.status, error.to_json().to_string()),
        (Err(error), Protocol::Query) => (error.status, sts::error_body(&error)),
    };
    let mut response = response(status, content_type(protocol), body);
    let headers = response.headers_mut();
    if let Ok(id) = Uuid::new_v4().to_string().parse() {
        headers.insert("x-amzn-requestid", id);
    }
    let now = shared.lock().now();
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
    if let Some(date) = date.ok().and_then(|date| date.parse().ok()) {
        headers.insert(DATE, date);
    }
    response
}

fn response(status: u16, content_type: &'static str, body: String) -> Response<AnswerBody> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(body))));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = hyper::header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
