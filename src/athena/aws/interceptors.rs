//! What is read from requests and answers, or changed in requests, while the SDK makes a call.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use aws_sdk_athena::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
    BeforeTransmitInterceptorContextRef,
};
use aws_sdk_athena::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_athena::error::BoxError;
use aws_sdk_athena::primitives::{DateTime, DateTimeFormat};

use super::answers::timestamp;
use crate::athena::clock::Clock;
use crate::text::one_line;

/// Notes the URL that the calls of a client go to, since the SDK's errors don't tell it.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoint(Arc<OnceLock<String>>);

impl Endpoint {
    /// The URL; "AWS" before the first call.
    pub(super) fn url(&self) -> &str {
        self.0.get().map_or("AWS", String::as_str)
    }
}

impl Intercept for Endpoint {
    fn name(&self) -> &'static str {
        "Endpoint"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.get_or_init(|| one_line(context.request().uri().trim_end_matches('/')));
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Unsigned;

impl Intercept for Unsigned {
    fn name(&self) -> &'static str {
        "Unsigned"
    }

    // The SDK runs this hook after it has signed the request.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        headers.remove("authorization");
        headers.remove("x-amz-security-token");
        Ok(())
    }
}

/// Names the object that a call is made for in the call's user agent, and reads the `Date` of the answer or error.
#[derive(Debug)]
pub(super) struct CallInterceptor {
    agent: Option<Arc<str>>,
    clock: Arc<Clock>,
    sent: OnceLock<Instant>,
}

impl CallInterceptor {
    pub(super) fn new(agent: Option<Arc<str>>, clock: Arc<Clock>) -> Self {
        Self { agent, clock, sent: OnceLock::new() }
    }
}

impl Intercept for CallInterceptor {
    fn name(&self) -> &'static str {
        "CallInterceptor"
    }

    // The SDK runs this hook after it has signed the request. The signature doesn't cover the user agent.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.sent.get_or_init(Instant::now);
        if let Some(agent) = &self.agent {
            let headers = context.request_mut().headers_mut();
            let agents = format!("{} {agent}", headers.get("user-agent").unwrap_or_default());
            headers.insert("user-agent", agents);
        }
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok()).and_then(timestamp);
        if let Some((date, sent)) = date.zip(self.sent.get()) {
            self.clock.observe_date(date, *sent, Instant::now());
        }
        Ok(())
    }
}
