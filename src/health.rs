//! The HTTP server for probes and metrics: `/livez`, `/readyz`, `/metrics`, on one port.
//!
//! Nothing here holds anything up, nor is held up: what is asked is in memory, no lock is held while
//! something is awaited, and a slow client only loses its connection.

pub mod aws;
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
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::warn;

use self::checks::{Check, report};
pub use self::checks::{Heartbeats, Pulse, Readiness};
use crate::metrics::{Format, Metrics};
use crate::writes::Writes;

/// Connections at once. One more ends the oldest, which can only be a slow one.
const MOST_CONNECTIONS: usize = 64;
/// The life of a connection, which serves one request.
const CONNECTION_LIFE: Duration = Duration::from_secs(10);
/// After a connection couldn't be taken: most probably there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// What is served. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Health {
    /// What `/metrics` tells.
    pub metrics: Metrics,
    /// What `/livez` tells: whether no loop is stuck.
    pub heartbeats: Heartbeats,
    /// What `/readyz` tells, beside that.
    pub readiness: Readiness,
    /// Whether the API server takes the operator's writes, which `/readyz` tells too.
    pub writes: Writes,
}

impl Health {
    fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(told))
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .with_state(self)
    }
}

/// Serves until `stop` says true, or nobody can say it any more; connections that are open then are cut.
pub async fn serve(listener: TcpListener, health: Health, mut stop: watch::Receiver<bool>) {
    let router = health.router();
    let mut connections = JoinSet::new();
    let mut by_age = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "a connection for probes or metrics can't be taken");
                sleep(PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        by_age.retain(|connection: &tokio::task::AbortHandle| !connection.is_finished());
        if by_age.len() >= MOST_CONNECTIONS {
            by_age.pop_front().inspect(tokio::task::AbortHandle::abort);
        }
        by_age.push_back(connections.spawn(answer(stream, router.clone())));
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    // What goes wrong with a connection is its client's business.
    let _ = timeout(CONNECTION_LIFE, connection).await;
}

async fn told(State(health): State<Health>, headers: HeaderMap) -> impl IntoResponse {
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
