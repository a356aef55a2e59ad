//! A fake Amazon Athena: an HTTP server that speaks the wire protocol of Athena's sessions
//! (and the little of AWS STS that its clients need), with the states, delays, quotas and
//! scripted faults that a test wants. Nothing outside loopback is touched.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use fake_athena::{Config, FakeAthena, Fault, NewSession};
//!
//! let athena = FakeAthena::start(Config::default()).await?;
//! let id = athena.add_session(NewSession::default());
//! athena.fault(Fault::cut().after_effect().on("TerminateSession").times(1));
//! // … point a client at athena.url() …
//! assert_eq!(athena.calls_of("TerminateSession", Some(&id)), 2);
//! # Ok(())
//! # }
//! ```

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{net::TcpListener, task::JoinHandle};

mod admin;
mod calls;
mod config;
pub mod duration;
mod engine;
mod error;
mod fake;
mod faults;
pub mod iam;
mod operations;
mod pages;
mod quota;
mod request;
mod server;
mod session;
mod shapes;
mod sts;
mod timeline;
mod world;

pub use calls::Call;
pub use config::{Config, NotFound, Quota, WorkGroup};
pub use engine::{ATHENA_3, PYSPARK_3, SPARK_3_5};
pub use faults::{Fault, FaultKind};
pub use session::{NewSession, SessionView};

/// A running server. It stops when it is dropped, and cuts its connections.
pub struct FakeAthena {
    shared: fake::Shared,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl FakeAthena {
    /// Binds 127.0.0.1 and serves on the current tokio runtime.
    pub async fn start(config: Config) -> io::Result<FakeAthena> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await?;
        let address = listener.local_addr()?;
        let shared = fake::Shared::new(config);
        let server = tokio::spawn(server::serve(listener, shared.clone()));
        Ok(FakeAthena { shared, address, server })
    }

    /// Where it listens, for Athena and for STS: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a session as it is described, and returns its id.
    pub fn add_session(&self, session: NewSession) -> String {
        let mut fake = self.shared.lock();
        let now = fake.now();
        fake.world.add(session, now)
    }

    /// A session as it is now, whatever its account and Region.
    pub fn session(&self, id: &str) -> Option<SessionView> {
        let fake = self.shared.lock();
        fake.world.view(id, fake.now())
    }

    /// All sessions as they are now, a work group's newest first.
    pub fn sessions(&self) -> Vec<SessionView> {
        let fake = self.shared.lock();
        fake.world.views(fake.now())
    }

    /// Puts a session into a state, known or not, that stays until a call changes it.
    ///
    /// # Panics
    /// If there is no such session.
    pub fn set_state(&self, id: &str, state: &str) {
        let mut fake = self.shared.lock();
        let now = fake.now();
        assert!(fake.world.set_state(id, state, now), "no session {id}");
    }

    /// Has lists show a session in this state from now on, and calls for the session in its own; None: lists show its own, too.
    pub fn list_as(&self, id: &str, state: Option<&str>) {
        let listed_as = &mut self.shared.lock().world.listed_as;
        match state {
            Some(state) => listed_as.insert(id.to_owned(), state.to_owned()),
            None => listed_as.remove(id),
        };
    }

    /// Makes a session never have been.
    pub fn forget(&self, id: &str) {
        self.shared.lock().world.forget(id);
    }

    /// Scripts a fault, after those that are scripted already.
    pub fn fault(&self, fault: Fault) {
        self.shared.lock().faults.add(fault);
    }

    /// Drops all scripted faults.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Changes settings. A new delay holds for transitions that begin from now on.
    /// The closure must not call this fake: it runs under its lock.
    pub fn reconfigure(&self, change: impl FnOnce(&mut Config)) {
        change(&mut self.shared.lock().world.config);
    }

    /// Moves the fake's clock ahead, so that delays and timeouts pass at once.
    pub fn advance(&self, time: Duration) {
        self.reconfigure(|config| {
            let time = time.try_into().unwrap_or(SignedDuration::MAX);
            config.skew = config.skew.saturating_add(time);
        });
    }

    /// The fake's time.
    pub fn now(&self) -> Timestamp {
        self.shared.lock().now()
    }

    /// The calls so far, in the order of their arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.all().to_vec()
    }

    /// How many calls of an operation have arrived, of those that name or started this session.
    pub fn calls_of(&self, operation: &str, session: Option<&str>) -> usize {
        let fake = self.shared.lock();
        let counts =
            |call: &&Call| call.operation == operation && (session.is_none() || call.session.as_deref() == session);
        fake.calls.all().iter().filter(counts).count()
    }

    /// How many calls have arrived, by operation and outcome.
    pub fn count_calls(&self) -> BTreeMap<(String, String), usize> {
        let fake = self.shared.lock();
        // By reference first: the log is long, and every call waits for the lock.
        let mut counts = BTreeMap::<(&str, &str), usize>::new();
        for call in fake.calls.all() {
            *counts.entry((&call.operation, &call.outcome)).or_default() += 1;
        }
        let owned =
            |((operation, outcome), count): ((&str, &str), usize)| ((operation.to_owned(), outcome.to_owned()), count);
        counts.into_iter().map(owned).collect()
    }

    /// The role whose credentials AssumeRole handed out under this access key.
    pub fn role_of(&self, access_key: &str) -> Option<String> {
        let fake = self.shared.lock();
        fake.world.credentials.get(access_key).map(|credentials| credentials.role_arn.clone())
    }

    /// Empties the log of calls.
    pub fn clear_calls(&self) {
        self.shared.lock().calls.clear();
    }
}

impl Drop for FakeAthena {
    fn drop(&mut self) {
        self.server.abort();
    }
}
