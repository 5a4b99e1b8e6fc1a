//! Carries traces to the collector.
//!
//! The exporter's own thread knows no runtime, and the HTTP client needs one: so each delivery is a task of the
//! runtime. And the exporter is silent about what fails, while the operator who configured it wants to know: so it is
//! said here, once when it begins and once when it is over.

use anyhow::{Context, Result};
use futures::FutureExt;
use futures::future::BoxFuture;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

/// Sends what the exporter has made.
#[derive(Debug)]
pub(super) struct Sender {
    client: reqwest::Client,
    runtime: Handle,
    failing: Arc<AtomicBool>,
}

impl Sender {
    /// Within the runtime that is to do the work; each delivery ends by the bound.
    pub(super) fn new(bound: Duration) -> Result<Self> {
        let redirects = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().timeout(bound).redirect(redirects).build();
        let client = client.context("an HTTP client for traces")?;
        let runtime = Handle::try_current().context("the runtime that sends traces")?;
        Ok(Self { client, runtime, failing: Arc::default() })
    }
}

impl HttpClient for Sender {
    fn send_bytes<'me, 'call>(
        &'me self,
        request: Request<Bytes>,
    ) -> BoxFuture<'call, Result<Response<Bytes>, HttpError>>
    where
        'me: 'call,
        Self: 'call,
    {
        let (client, failing) = (self.client.clone(), Arc::clone(&self.failing));
        let delivery = self.runtime.spawn(async move {
            let answer = client.send_bytes(request).await;
            report(&failing, &answer);
            answer
        });
        async move { delivery.await.unwrap_or_else(|ended| Err(Box::new(ended))) }.boxed()
    }
}

fn report(failing: &AtomicBool, answer: &Result<Response<Bytes>, HttpError>) {
    let trouble = match answer {
        Ok(answer) if answer.status().is_success() => None,
        Ok(answer) => Some(format!("it answers {}", answer.status())),
        Err(error) => Some(in_words(error.as_ref())),
    };
    match trouble {
        Some(why) if !failing.swap(true, Ordering::Relaxed) => {
            tracing::warn!(why, "traces can not be sent to the collector: they are dropped until it takes them");
        }
        None if failing.swap(false, Ordering::Relaxed) => tracing::info!("the collector takes traces again"),
        _ => {}
    }
}

/// An error with its causes, without the address, which may hold a password.
fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let Some(error) = error.downcast_ref::<reqwest::Error>() else { return error.to_string() };
    let mut words = if error.is_timeout() { "it did not answer in time".to_owned() } else { "no answer".to_owned() };
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}
