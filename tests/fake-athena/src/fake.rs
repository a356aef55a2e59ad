//! What one lock guards: the world, the scripted faults, the rates and the log of calls.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    calls::{Call, CallLog},
    config::Config,
    error::ApiError,
    faults::{Fault, FaultKind, Faults},
    iam,
    operations::{self, Reply},
    quota::Buckets,
    request::{Protocol, Request},
    sts,
    world::{Place, World},
};

pub(crate) struct Fake {
    pub(crate) world: World,
    pub(crate) faults: Faults,
    pub(crate) calls: CallLog,
    buckets: Buckets,
}

/// How a call ended, for the log.
pub(crate) enum Ending<'a> {
    Answered(u16, Option<&'a ApiError>),
    Lost(&'static str),
}

/// What is settled about a call at its arrival.
pub(crate) struct Admission {
    pub(crate) number: u64,
    pub(crate) latency: Duration,
    pub(crate) fault: Option<Fault>,
    pub(crate) throttled: bool,
}

impl Fake {
    pub(crate) fn new(config: Config) -> Self {
        let now = clock(&config);
        Fake {
            world: World::new(config, now),
            faults: Faults::default(),
            calls: CallLog::default(),
            buckets: Buckets::default(),
        }
    }

    /// The fake's time.
    pub(crate) fn now(&self) -> Timestamp {
        clock(&self.world.config)
    }

    fn place(&self, request: &Request) -> Place {
        let home = self.world.home();
        let key = request.access_key.as_deref();
        let credentials = key.and_then(|key| self.world.credentials.get(key));
        Place {
            account: credentials.map_or(home.account, |it| it.account.clone()),
            region: request.region.clone().unwrap_or(home.region),
        }
    }

    /// Takes a call in: logs it, and settles whether a fault or a quota stops it.
    pub(crate) fn admit(&mut self, request: &Request) -> Admission {
        let place = self.place(request);
        let session = request.session();
        let operation = &request.operation;
        let fault = self.faults.take(operation, session.as_deref());
        let now = Timestamp::now();
        let quotas = &self.world.config.quotas;
        let throttled = !self.buckets.allow(quotas, &place, operation, now);
        let number = self.calls.record(Call {
            number: 0,
            at: now,
            operation: operation.clone(),
            session,
            outcome: "pending".to_owned(),
            status: None,
            error: None,
            effect: false,
            access_key: request.access_key.clone(),
            region: place.region,
            account: place.account,
            user_agent: request.user_agent.clone(),
            body: request.body.clone(),
        });
        Admission { number, latency: self.world.config.latency, fault, throttled }
    }

    /// Does what a call asks; with a `NoEffect` fault, to a copy of the world.
    pub(crate) fn perform(&mut self, admission: &Admission, request: &Request) -> Result<Reply, ApiError> {
        if admission.throttled {
            return Err(ApiError::throttled());
        }
        let place = self.place(request);
        let now = self.now();
        let fault = admission.fault.as_ref().map(|fault| &fault.kind);
        if matches!(fault, Some(FaultKind::NoEffect)) {
            let reply = call(&mut self.world.clone(), &place, request, now)?;
            return Ok(Reply { effect: false, ..reply });
        }
        let reply = call(&mut self.world, &place, request, now)?;
        if let Some(logged) = self.calls.get_mut(admission.number) {
            logged.effect = reply.effect;
            logged.session = reply.session.clone().or(logged.session.take());
        }
        Ok(reply)
    }

    /// Notes how a call ended.
    pub(crate) fn finish(&mut self, number: u64, ending: &Ending) {
        let Some(call) = self.calls.get_mut(number) else {
            return;
        };
        match ending {
            Ending::Answered(status, error) => {
                let code = error.map(|error| error.code.clone());
                let space = if code.is_some() { " " } else { "" };
                call.outcome = format!("{status}{space}{}", code.as_deref().unwrap_or_default());
                call.status = Some(*status);
                call.error = code;
            }
            Ending::Lost(how) => (*how).clone_into(&mut call.outcome),
        }
        tracing::info!(
            operation = call.operation,
            session = call.session.as_deref().unwrap_or("-"),
            outcome = call.outcome,
            effect = call.effect,
            "call {number}"
        );
    }
}

fn clock(config: &Config) -> Timestamp {
    let now = Timestamp::now();
    now.checked_add(config.skew).unwrap_or(now)
}

fn call(world: &mut World, place: &Place, request: &Request, now: Timestamp) -> Result<Reply, ApiError> {
    let key = request.access_key.as_deref();
    let credentials = key.and_then(|key| world.credentials.get(key));
    if credentials.is_some_and(|it| it.expires_at <= now) {
        let (code, status) = match request.protocol {
            Protocol::Json => ("ExpiredTokenException", 400),
            Protocol::Query => ("ExpiredToken", 403),
        };
        let message = "The security token included in the request is expired";
        return Err(ApiError::new(code, message, status));
    }
    iam::authorize(world, place, request)?;
    let operation = &request.operation;
    match request.protocol {
        Protocol::Json => {
            let input = request.input.as_ref().map_err(ApiError::clone)?;
            operations::call(world, place, operation, input, now)
        }
        Protocol::Query => sts::call(world, place, key, operation, &request.body, now),
    }
}

/// The fake, shared between the server's tasks and the library's user.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Fake>>);

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        Shared(Arc::new(Mutex::new(Fake::new(config))))
    }

    /// A test that panics elsewhere must not hide behind a poisoned lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Fake> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
