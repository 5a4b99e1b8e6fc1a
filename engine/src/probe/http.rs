//! One HTTP request: whether it is answered, with what, how soon, and by what clock.

use super::rows::{Measured, row};
use super::sql::{self, Limits, SqlTargets};
use super::{ProbeError, Row, Run, Target, net, tls};
use crate::check::{HttpMethod, HttpSpec};
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderName};
use reqwest::{Client, Response, Url, redirect};
use rustls::ClientConfig;
use serde_json::Value;
use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most bytes of a body that are read.
const MAX_BODY_BYTES: usize = 256 * 1024;
const MAX_SHOWN_CHARS: usize = 200;
const MAX_REDIRECTS: usize = 5;
/// The most clients kept: one for each set of trust roots.
const MAX_CLIENTS: usize = 16;

/// Clients by the trust roots that they use.
#[derive(Default)]
pub(crate) struct Clients(Mutex<HashMap<Vec<u8>, Client>>);

impl Clients {
    fn client(&self, ca: Option<&str>) -> Result<Client, ProbeError> {
        // By the roots themselves and not by the file's name: a renewed file is another client.
        let key = ca.map(net::read_ca).transpose()?.unwrap_or_default();
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = clients.get(&key) {
            return Ok(known.clone());
        }
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        let client = build(ca)?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

/// A client that trusts the usual roots and those of this file.
pub(crate) fn build(ca: Option<&str>) -> Result<Client, ProbeError> {
    let roots = tls::roots(ca)?;
    let fail = |error: String| ProbeError::internal(format!("the HTTP client: {error}"));
    let tls = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| fail(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent("cmdiag probe")
        .no_proxy()
        .redirect(redirect::Policy::custom(stay_on_host))
        .pool_max_idle_per_host(2)
        .pool_idle_timeout(Duration::from_secs(10))
        .build()
        .map_err(|error| fail(error.to_string()))
}

/// Another host is another target: what it says is not measured of this one.
fn stay_on_host(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let same = attempt.previous().last().is_some_and(|from| from.host_str() == attempt.url().host_str());
    if same && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
}

pub(super) async fn measure(
    clients: &Clients,
    databases: &SqlTargets,
    spec: &HttpSpec,
    run: &Run<'_>,
) -> Result<Measured, ProbeError> {
    let base = run.target.setting("url")?;
    let url = join(base, &with_settings(&spec.path, run.target)?)?;
    let host = url.host_str().ok_or_else(|| ProbeError::configuration(format!("{base:?} names no host")))?;
    net::resolve(host.trim_matches(['[', ']']), url.port_or_known_default().unwrap_or(80)).await?;
    let client = clients.client(run.target.optional("ca"))?;
    let request = match spec.method {
        HttpMethod::Get => client.get(url.clone()),
        HttpMethod::Head => client.head(url.clone()),
    };
    let patience = run.timeout.mul_f64(0.8);
    let started = Instant::now();
    let answered = request.timeout(patience).send().await;
    let at = run.target.now + started.elapsed();
    let mut row = match answered {
        Ok(response) => answer(&url, spec, response, started, at).await,
        Err(error) => silence(&url, &reason(&error, patience), started),
    };
    if let Some(compare) = &spec.compare {
        let on = run.target.named_by(&compare.on)?;
        let limits = Limits { rows: 1, bytes: MAX_BODY_BYTES };
        let first = sql::query(databases, on, &compare.query, run, limits).await?.rows.into_iter().next();
        row.insert("compared".to_owned(), first.map_or(Value::Null, Value::Object));
    }
    Ok(Measured::one(row))
}

/// The path with the settings that it names filled in, each as one segment.
fn with_settings(path: &str, target: &Target) -> Result<String, ProbeError> {
    let mut filled = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| ProbeError::configuration(format!("{path:?} has a {{ without a }}")))?;
        let value = target.setting(name)?;
        if !value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) || value.starts_with('.') {
            return Err(ProbeError::configuration(format!("setting {name:?} is {value:?}: that is no part of a path")));
        }
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The setting and the path, with exactly one slash between them.
fn join(base: &str, path: &str) -> Result<Url, ProbeError> {
    let text = match path {
        "" => base.to_owned(),
        path => format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/')),
    };
    let url = Url::parse(&text).map_err(|error| ProbeError::configuration(format!("{text:?} is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(ProbeError::configuration(format!("{text:?} is neither http nor https")));
    }
    if url.password().is_some() {
        return Err(ProbeError::configuration("setting \"url\" holds a password"));
    }
    Ok(url)
}

async fn answer(url: &Url, spec: &HttpSpec, mut response: Response, started: Instant, at: DateTime<Utc>) -> Row {
    let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    let status = response.status().as_u16();
    let content_type = header(CONTENT_TYPE).map(str::to_owned);
    let date_skew_s = header(DATE).and_then(|text| skew(text, at));
    let mut body = Vec::new();
    let mut error = None;
    while body.len() < MAX_BODY_BYTES {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(MAX_BODY_BYTES - body.len())]),
            Ok(None) => break,
            Err(broken) => {
                error = Some(format!("the body breaks off: {}", causes(&broken)));
                break;
            }
        }
    }
    let json: Option<Value> = if spec.expect_json { serde_json::from_slice(&body).ok() } else { None };
    let shown: String = String::from_utf8_lossy(&body).chars().take(MAX_SHOWN_CHARS).collect();
    row! {
        url: url.as_str(), reachable: true, error: error, status: status,
        latency_ms: started.elapsed().as_secs_f64() * 1e3, is_json: json.is_some(), json: json,
        body_start: shown, body_bytes: body.len(), content_type: content_type, date_skew_s: date_skew_s,
    }
}

fn silence(url: &Url, error: &str, started: Instant) -> Row {
    let none = None::<&str>;
    row! {
        url: url.as_str(), reachable: false, error: error, status: none,
        latency_ms: started.elapsed().as_secs_f64() * 1e3, is_json: false, json: none,
        body_start: none, body_bytes: 0, content_type: none, date_skew_s: none,
    }
}

/// How far the server's clock is ahead of ours. The header has whole seconds, so that half a second is added.
fn skew(text: &str, at: DateTime<Utc>) -> Option<f64> {
    let theirs = DateTime::parse_from_rfc2822(text).ok()?;
    Some((theirs.timestamp_millis() + 500 - at.timestamp_millis()) as f64 / 1e3)
}

fn reason(error: &reqwest::Error, patience: Duration) -> String {
    if error.is_timeout() { format!("no answer within {} ms", patience.as_millis()) } else { causes(error) }
}

/// The error with its causes: the outermost alone says only that sending failed.
pub(crate) fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let part = cause.to_string();
        if !text.contains(&part) {
            text = if text.is_empty() { part } else { format!("{text}: {part}") };
        }
        next = cause.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_with_one_slash_and_refuses_what_is_no_web_address() {
        let table = [
            ("https://a/b", "", "https://a/b"),
            ("https://a/b/", "/c?q=1", "https://a/b/c?q=1"),
            ("https://a", "c", "https://a/c"),
        ];
        for (base, path, expected) in table {
            assert_eq!(join(base, path).unwrap().as_str(), expected);
        }
        for base in ["ftp://a", "no url", "https://u:p@a"] {
            let error = join(base, "").unwrap_err();
            assert!(!error.cause.contains("u:p"), "{error}");
        }
    }

    #[test]
    fn measures_the_skew_from_the_header() {
        let at = DateTime::parse_from_rfc3339("2026-11-24T10:00:00.500Z").unwrap().to_utc();
        assert_eq!(skew("Tue, 24 Nov 2026 10:02:00 GMT", at), Some(120.0));
        assert_eq!(skew("nonsense", at), None);
    }
}
