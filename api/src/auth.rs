//! Who asks: a bearer token's actor, or the local operator where no tokens are set.

use crate::options::ApiOptions;
use axum::http::{HeaderMap, header};
use domain::{Actor, TenantId};
use sha2::{Digest, Sha256};

/// Who speaks where no tokens are set.
pub const LOCAL_OPERATOR: &str = "anonymous:local";

/// Whoever sent a request, and as part of what.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// For whom.
    pub tenant: TenantId,
    /// W3C trace context that commands carry on.
    pub traceparent: Option<String>,
}

/// The request carries no token that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a known bearer token is needed")]
pub struct Unauthenticated;

/// The actor behind an `Authorization` value; whoever it is where no tokens are set.
pub fn actor_of(options: &ApiOptions, authorization: Option<&str>) -> Result<Actor, Unauthenticated> {
    if options.tokens.is_empty() {
        return Actor::new(LOCAL_OPERATOR).map_err(|_| Unauthenticated);
    }
    let token = authorization.and_then(bearer).ok_or(Unauthenticated)?;
    // Digests are compared, so the time that a comparison takes tells nothing of the token.
    let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    options.tokens.iter().find(|known| known.digest == digest).map(|known| known.actor.clone()).ok_or(Unauthenticated)
}

/// Whether the actor decides about the platform itself: where no tokens are set, everybody does. One of several tokens
/// of an actor that may not keeps them all from it.
pub fn is_operator(options: &ApiOptions, actor: &Actor) -> bool {
    let mut own = options.tokens.iter().filter(|token| token.actor == *actor).peekable();
    options.tokens.is_empty() || (own.peek().is_some() && own.all(|token| token.operator))
}

/// The request's `Authorization`, where it is text.
pub fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether the request's `Host` and `Origin` are ones that this server answers.
pub fn host_and_origin_allowed(options: &ApiOptions, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let host = text(header::HOST);
    let host_known = options.allowed_hosts.is_empty()
        || host.is_some_and(|host| {
            options.allowed_hosts.iter().any(|allowed| allowed == host || allowed == without_port(host))
        });
    let Some(origin) = headers.get(header::ORIGIN) else { return host_known };
    let Ok(origin) = origin.to_str() else { return false };
    let same = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
    host_known && (same || options.allowed_origins.iter().any(|allowed| allowed == origin))
}

/// `[::1]:80` is `[::1]`, `localhost:80` is `localhost`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ApiToken;

    fn with_token() -> ApiOptions {
        let actor = Actor::new("ada").unwrap();
        ApiOptions { tokens: vec![ApiToken::new("s3cret", actor)], ..ApiOptions::default() }
    }

    #[test]
    fn tokens_name_their_actor() {
        let options = with_token();
        let cases = [
            (Some("Bearer s3cret"), Some("ada")),
            (Some("bearer s3cret"), Some("ada")),
            (Some("Bearer s3cre"), None),
            (Some("Basic s3cret"), None),
            (Some("s3cret"), None),
            (None, None),
        ];
        for (header, expected) in cases {
            let actor = actor_of(&options, header).ok();
            assert_eq!(actor.as_ref().map(Actor::as_str), expected, "{header:?}");
        }
        assert_eq!(actor_of(&ApiOptions::default(), None).unwrap().as_str(), LOCAL_OPERATOR);
    }

    #[test]
    fn foreign_origins_and_hosts_are_refused() {
        let options = ApiOptions {
            allowed_hosts: vec!["localhost".to_owned(), "[::1]".to_owned()],
            allowed_origins: vec!["https://console.example".to_owned()],
            ..ApiOptions::default()
        };
        let cases = [
            ("localhost:8080", None, true),
            ("[::1]:8080", None, true),
            ("evil.example:8080", None, false),
            ("localhost:8080", Some("http://localhost:8080"), true),
            ("localhost:8080", Some("http://localhost:9090"), false),
            ("localhost:8080", Some("https://console.example"), true),
            ("localhost:8080", Some("null"), false),
            // A rebound name is its own origin: only the list of hosts stops it.
            ("evil.example:8080", Some("http://evil.example:8080"), false),
        ];
        for (host, origin, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(host_and_origin_allowed(&options, &headers), expected, "{host} {origin:?}");
        }
    }
}
