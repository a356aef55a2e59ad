//! A client of the fake that shows what the AWS SDKs hide: raw answers and lost connections.

#![allow(clippy::unwrap_used)] // in a test a panic is the report

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// An answer: its HTTP status and its JSON.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// Calls an operation from eu-west-1; an error means that the connection closed without an answer.
pub(crate) async fn call(url: &str, operation: &str, input: Value) -> hyper::Result<Answer> {
    call_from("eu-west-1", url, operation, input).await
}

/// Calls an operation from a Region.
pub(crate) async fn call_from(region: &str, url: &str, operation: &str, input: Value) -> hyper::Result<Answer> {
    let stream = TcpStream::connect(url.strip_prefix("http://").unwrap());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream.await.unwrap())).await?;
    let request = Request::post("/")
        .header("host", "athena")
        .header("user-agent", "test/1")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("AmazonAthena.{operation}"))
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/{region}/athena/aws4_request, SignedHeaders=host"),
        )
        .body(Full::new(Bytes::from(input.to_string())))
        .unwrap();
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        let body = serde_json::from_slice(&body).unwrap();
        Ok(Answer { status, body })
    };
    // Driven here, not in a task: a caller that drops this future closes the connection.
    tokio::select! {
        biased;
        answer = exchange => answer,
        Err(lost) = connection => Err(lost),
    }
}
