//! The connections to AWS. All clients and roles share one pool, the number of requests that are under way at once is
//! bounded, and each answer is read up to a bound.
//!
//! Without the common pool each client would have its own connections, each of which takes a file descriptor. Without
//! the bound on requests there would be as many connections as work groups that are polled at the same moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::bounded::{Bound, Bounded};

/// How many requests of one operation to one endpoint may be under way at once. There are seven kinds of requests (six
/// operations of Athena, and all those to STS), so there are fewer than 200 connections. At 100 ms a call this bound
/// allows 240 calls a second, and the poll of a work group takes one call a minute.
const AT_ONCE: usize = 24;

/// The header in which requests to Athena name the operation.
const OPERATION: &str = "x-amz-target";

const IDLE: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Connections {
    /// One pool for each setting of timeouts. All calls to Athena and STS share one setting.
    pools: Mutex<HashMap<Timeouts, SharedHttpConnector>>,
    turns: Arc<Turns>,
}

/// The time to connect, and the time to read.
type Timeouts = (Option<Duration>, Option<Duration>);

impl HttpClient for Connections {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let timeouts = (settings.connect_timeout(), settings.read_timeout());
        let mut pools = self.pools.lock();
        let new = || {
            let (pool, turns) = (SharedHttpConnector::new(pool(settings, components)), Arc::clone(&self.turns));
            SharedHttpConnector::new(InTurn { pool, turns })
        };
        pools.entry(timeouts).or_insert_with(new).clone()
    }
}

/// The pool that the SDK makes for a client by default, with another bound on idle connections.
fn pool(settings: &HttpConnectorSettings, components: &RuntimeComponents) -> Connector {
    let mut builder = ConnectorBuilder::default()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .connector_settings(settings.clone())
        .proxy_config(ProxyConfig::from_env())
        .pool_max_idle_per_host(IDLE);
    builder.set_sleep_impl(components.sleep_impl());
    builder.build()
}

/// A pool whose requests take turns, and whose answers are read up to a bound.
#[derive(Debug)]
struct InTurn {
    pool: SharedHttpConnector,
    turns: Arc<Turns>,
}

impl HttpConnector for InTurn {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (turns, pool) = (self.turns.of(&request), self.pool.clone());
        let bound = match request.headers().get(OPERATION) {
            Some("AmazonAthena.ListSessions") => Bound::PAGE,
            Some("AmazonAthena.GetSession") => Bound::SESSION,
            _ => Bound::OTHER,
        };
        HttpConnectorFuture::new(async move {
            // The SDK's deadline of the call includes the wait for a turn.
            let turn = turns.acquire_owned().await.map_err(|closed| ConnectorError::other(closed.into(), None))?;
            let mut answer = pool.call(request).await?;
            // The answer keeps its turn while its body is read. The SDK drops the answer after it has parsed the body.
            answer.add_extension(Arc::new(turn));
            Ok(answer.map(|body| SdkBody::from_body_1_x(Bounded::new(body, bound))))
        })
    }
}

/// The turns of each endpoint and operation. Each operation has its own, so that polls which hang never hold up
/// TerminateSession.
#[derive(Debug, Default)]
struct Turns(Mutex<HashMap<(String, String), Arc<Semaphore>>>);

impl Turns {
    fn of(&self, request: &HttpRequest) -> Arc<Semaphore> {
        let authority = request.uri().split('/').nth(2).unwrap_or_default();
        // Requests to STS and to sources of credentials have no such header.
        let operation = request.headers().get(OPERATION).unwrap_or_default();
        let mut turns = self.0.lock();
        let turns = turns.entry((authority.to_owned(), operation.to_owned()));
        Arc::clone(turns.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
    }
}
