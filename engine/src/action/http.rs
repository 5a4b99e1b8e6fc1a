//! HTTP for actions: requests of a component's `action_user`, bounded, and ended with the phase.

use super::{ActionError, ActionTarget, setting_of};
use crate::probe::{Secret, http};
use domain::deployment::Component;
use reqwest::{Client, Method, Response, Url};
use serde_json::Value;
use std::fmt::Write as _;

/// The most bytes of an answer that are read.
const BODY_BYTES_MAX: usize = 16 << 20;
const SHOWN_CHARS_MAX: usize = 300;

/// What a component offers over HTTP, for one phase of one step.
pub(crate) struct Api<'a> {
    client: Client,
    base: Url,
    user: String,
    secret: Secret,
    name: &'a str,
    target: &'a ActionTarget,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body<'a> {
    None,
    Json(&'a Value),
    /// Lines of JSON.
    Lines(&'a str),
}

impl<'a> Api<'a> {
    /// The API at the setting `url` of a component. Who asks is its `action_user`: never the probes, and never nobody.
    pub(crate) fn of(component: &'a Component, target: &'a ActionTarget) -> Result<Self, ActionError> {
        let url = setting_of(component, "url")?;
        let base = Url::parse(url)
            .map_err(|error| ActionError::configuration(format!("setting \"url\" of {}: {error}", component.name)))?;
        if !matches!(base.scheme(), "http" | "https") || base.password().is_some() || base.cannot_be_a_base() {
            let text = format!("setting \"url\" of {} is no plain http or https address", component.name);
            return Err(ActionError::configuration(text));
        }
        let user = setting_of(component, "action_user")
            .map_err(|_| ActionError::configuration(format!("component {} has no action_user", component.name)))?;
        let secret = ActionTarget::secret(component, "action_password")?.ok_or_else(|| {
            ActionError::configuration(format!("component {} has no secret \"action_password\"", component.name))
        })?;
        let ca = component.settings.get("ca").map(String::as_str).filter(|ca| !ca.is_empty());
        let client = http::build(ca).map_err(|error| ActionError::configuration(error.cause))?;
        Ok(Self { client, base, user: user.to_owned(), secret, name: component.name.as_str(), target })
    }

    /// An address below the base; each part is one segment, whatever it holds.
    fn address(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url, ActionError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| ActionError::configuration(format!("the url of {} takes no path", self.name)))?
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Sends a request; gives the status and what was answered.
    pub(crate) async fn ask(
        &self,
        method: Method,
        (path, query): (&[&str], &[(&str, &str)]),
        body: Body<'_>,
    ) -> Result<(u16, Value), ActionError> {
        let url = self.address(path, query)?;
        let request = self.client.request(method, url).basic_auth(&self.user, Some(self.secret.reveal()));
        let request = match body {
            Body::None => request,
            Body::Json(value) => request.json(value),
            Body::Lines(text) => request.header("content-type", "application/x-ndjson").body(text.to_owned()),
        };
        let work = async {
            let response = request.send().await.map_err(|error| self.broken(&error))?;
            let status = response.status().as_u16();
            Ok((status, self.read(response).await?))
        };
        tokio::select! {
            biased;
            () = self.target.cancel.cancelled() => Err(ActionError::cancelled()),
            done = work => done,
            () = tokio::time::sleep(self.target.deadline) => Err(ActionError::timed_out(self.target.deadline)),
        }
    }

    /// The same, where anything but success is an error.
    pub(crate) async fn call(&self, method: Method, path: &[&str], body: Body<'_>) -> Result<Value, ActionError> {
        self.call_with(method, path, &[], body).await
    }

    /// The same, with a query.
    pub(crate) async fn call_with(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Body<'_>,
    ) -> Result<Value, ActionError> {
        let (status, answer) = self.ask(method, (path, query), body).await?;
        if (200..300).contains(&status) { Ok(answer) } else { Err(self.refused(status, &answer)) }
    }

    /// What a refusal says, in words.
    pub(crate) fn refused(&self, status: u16, answer: &Value) -> ActionError {
        let reason = ["/error/reason", "/ResponseStatus/Message"].iter().find_map(|at| answer.pointer(at)?.as_str());
        let mut text = format!("{} answers with status {status}", self.name);
        if let Some(reason) = reason {
            let shown: String = reason.chars().take(SHOWN_CHARS_MAX).collect();
            let _ = write!(text, ": {shown}");
        }
        let text = self.secret.cut_out_of(&text);
        if matches!(status, 401 | 403) { ActionError::configuration(text) } else { ActionError::target(text) }
    }

    /// That it answers otherwise than its contract says.
    pub(crate) fn odd(&self, what: &str) -> ActionError {
        ActionError::target(format!("{} answers otherwise than expected: {what}", self.name))
    }

    async fn read(&self, mut response: Response) -> Result<Value, ActionError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > BODY_BYTES_MAX {
                return Err(self.odd("it says too much"));
            }
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| self.odd("that is no JSON"))
    }

    fn broken(&self, error: &reqwest::Error) -> ActionError {
        let text = format!("{} can not be asked: {}", self.name, http::causes(error));
        ActionError::target(self.secret.cut_out_of(&text))
    }
}

/// Asks again and again: soon at first, as most is done at once, and later less often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looks {
    next: std::time::Duration,
    most: std::time::Duration,
}

impl Looks {
    /// At last this often.
    pub(crate) const fn until(most: std::time::Duration) -> Self {
        Self { next: std::time::Duration::from_millis(10), most }
    }

    /// Waits before the next look; ends with the phase.
    pub(crate) async fn pause(&mut self, target: &ActionTarget) -> Result<(), ActionError> {
        pause(target, self.next).await?;
        self.next = self.most.min(self.next * 2);
        Ok(())
    }
}

/// Waits a moment before asking again; ends with the phase.
pub(crate) async fn pause(target: &ActionTarget, moment: std::time::Duration) -> Result<(), ActionError> {
    tokio::select! {
        biased;
        () = target.cancel.cancelled() => Err(ActionError::cancelled()),
        () = tokio::time::sleep(moment) => Ok(()),
    }
}
