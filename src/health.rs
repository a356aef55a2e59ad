//! The HTTP server for probes and metrics: `/livez`, `/readyz`, `/metrics`, on one port.
//!
//! An answer waits for nothing: all that is told is in memory. So each connection is accepted at once, and when there are too
//! many, the oldest one is closed: clients that connect and ask nothing can't keep out the kubelet, whose request comes with
//! its connection. Otherwise the kubelet would restart the operator again and again.

pub(crate) mod aws;
mod checks;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{sleep, timeout};
use tracing::warn;

use self::checks::{Check, report};
pub(crate) use self::checks::{Heartbeats, Pulse, Readiness};
use crate::metrics::{Format, Metrics};
use crate::write_refusals::WriteRefusals;

/// Connections at once. For a further one, the oldest of these is closed.
const MOST_CONNECTIONS: usize = 128;
/// So long a client may take for its request.
const REQUEST: Duration = Duration::from_secs(1);
/// The life of a connection, which serves one request.
const CONNECTION_LIFE: Duration = Duration::from_secs(10);
/// The wait after a connection couldn't be accepted: most probably there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// What is served.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    /// For `/metrics`.
    pub metrics: Metrics,
    /// For `/livez` and `/readyz`: whether no loop is stuck.
    pub heartbeats: Heartbeats,
    /// For `/readyz`: whether the operator can do its work.
    pub readiness: Readiness,
    /// For `/readyz`: whether the API server accepts the operator's writes.
    pub writes: WriteRefusals,
}

impl Health {
    fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .with_state(self)
    }
}

/// Serves until `stop` says true, or nobody can say it any more.
pub(crate) async fn serve(listener: TcpListener, health: Health, mut stop: watch::Receiver<bool>) {
    let router = health.router();
    let mut open = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                make_room(&mut open);
                open.push_back(tokio::spawn(answer(stream, router.clone())).abort_handle());
                // A request that has arrived is answered before the next connection is accepted.
                yield_now().await;
            }
            Err(error) => {
                warn!(%error, "a connection for probes or metrics can't be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Makes room for another connection.
fn make_room(open: &mut VecDeque<AbortHandle>) {
    open.retain(|connection| !connection.is_finished());
    if open.len() >= MOST_CONNECTIONS
        && let Some(oldest) = open.pop_front()
    {
        oldest.abort();
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let service = TowerToHyperService::new(router);
    let mut server = http1::Builder::new();
    server.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(REQUEST);
    // What goes wrong with a connection is its client's business.
    let _ = timeout(CONNECTION_LIFE, server.serve_connection(TokioIo::new(stream), service)).await;
}

async fn metrics(State(health): State<Health>, headers: HeaderMap) -> impl IntoResponse {
    let format = Format::asked(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    ([(CONTENT_TYPE, format.content_type())], health.metrics.text(format))
}

async fn livez(State(health): State<Health>) -> impl IntoResponse {
    answer_of("livez", &health.heartbeats.checks(Instant::now()))
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    let mut checks = health.readiness.checks();
    checks.push(Check::new("writes", health.writes.check(Instant::now())));
    checks.extend(health.heartbeats.checks(Instant::now()));
    answer_of("readyz", &checks)
}

fn answer_of(name: &str, checks: &[Check]) -> impl IntoResponse + use<> {
    let (passed, text) = report(name, checks);
    let status = if passed { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text)
}

#[cfg(test)]
mod tests;
