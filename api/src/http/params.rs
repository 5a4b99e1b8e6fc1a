//! A GraphQL request's parameters, from a body or from a query string, typed as the specification has them.

use crate::auth::Caller;
use crate::problem::Problem;
use crate::schema::documents::{AllowedOperations, Documents};
use crate::schema::{as_of, codes};
use crate::state::ApiState;
use crate::stream::ResumeAt;
use async_graphql::{Request, ServerError, Variables};
use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use query_side::Queries;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Why a request has no parameters to run.
#[derive(Debug)]
pub struct Malformed {
    /// What HTTP says.
    pub status: StatusCode,
    /// What GraphQL says.
    pub error: ServerError,
}

impl Malformed {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, error: codes::coded_server_error(code, message) }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, codes::BAD_REQUEST, message)
    }
}

/// The parameters of one GraphQL request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Params {
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    operation_name: Option<String>,
    #[serde(default)]
    variables: Option<Map<String, Value>>,
    #[serde(default)]
    extensions: Option<Map<String, Value>>,
}

impl Params {
    /// From a JSON text. An array is a batch, which is refused.
    pub fn from_json(text: &[u8]) -> Result<Self, Malformed> {
        match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => {}
            Some(b'[') => {
                let message = "send one request at a time: batches are not taken";
                return Err(Malformed::new(StatusCode::BAD_REQUEST, codes::BATCHING_REFUSED, message));
            }
            _ => return Err(Malformed::bad("the body is not a JSON object")),
        }
        let params: Self = serde_json::from_slice(text).map_err(|error| Malformed::bad(error.to_string()))?;
        params.with_a_document()
    }

    /// From a GET's query string.
    pub fn from_uri(uri: &Uri) -> Result<Self, Malformed> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let pairs = pairs.map_err(|error| Malformed::bad(error.to_string()))?;
        let mut params = Self::default();
        for (name, value) in pairs.0 {
            match name.as_str() {
                "query" => params.query = Some(value),
                "operationName" => params.operation_name = Some(value),
                "variables" => params.variables = Some(json_map("variables", &value)?),
                "extensions" => params.extensions = Some(json_map("extensions", &value)?),
                _ => {}
            }
        }
        params.with_a_document()
    }

    /// From a POST's body, whose type and size are checked.
    pub async fn from_body(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Self, Malformed> {
        Self::from_json(&Self::body(headers, body, bytes_max).await?)
    }

    /// A POST's body, whose type and size are checked.
    pub async fn body(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, Malformed> {
        if !is_json(headers) {
            let message = "the content-type must be application/json";
            return Err(Malformed::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, codes::BAD_REQUEST, message));
        }
        match axum::body::to_bytes(body, bytes_max).await {
            Ok(bytes) => Ok(bytes),
            Err(error) if over_the_limit(&error) => {
                let message = format!("the body is over {bytes_max} bytes");
                Err(Malformed::new(StatusCode::PAYLOAD_TOO_LARGE, codes::BODY_TOO_LARGE, message))
            }
            Err(error) => Err(Malformed::bad(format!("the body did not arrive: {error}"))),
        }
    }

    fn with_a_document(self) -> Result<Self, Malformed> {
        let named = self.extensions.as_ref().is_some_and(|extensions| extensions.contains_key("persistedQuery"));
        if self.query.is_none() && !named {
            return Err(Malformed::bad("the parameter query is missing"));
        }
        Ok(self)
    }

    /// Whether the answer may be kept, as far as the document tells.
    pub fn may_be_kept(&self, documents: &Documents) -> bool {
        let claim = self.extensions.as_ref().and_then(|extensions| extensions.get("persistedQuery"));
        documents.may_be_kept(self.query.as_deref().unwrap_or_default(), claim)
    }

    /// The request for the schema, with all that its resolvers and the document's gate need.
    pub fn into_request(self, queries: &Queries, caller: Caller, allowed: AllowedOperations) -> Prepared {
        let mut request = Request::new(self.query.unwrap_or_default());
        request.operation_name = self.operation_name.filter(|name| !name.is_empty());
        request.variables = Variables::from_json(Value::Object(self.variables.unwrap_or_default()));
        for (name, value) in self.extensions.unwrap_or_default() {
            if let Ok(value) = async_graphql::Value::from_json(value) {
                request.extensions.insert(name, value);
            }
        }
        let resume = Arc::new(ResumeAt::default());
        let request = as_of::with_loaders(request, queries).data(caller).data(allowed).data(Arc::clone(&resume));
        Prepared { request, resume }
    }
}

/// A request for the schema, and where its stream of events has come to.
pub struct Prepared {
    /// The request.
    pub request: Request,
    /// Moves on with each event that a subscription gives.
    pub resume: Arc<ResumeAt>,
}

fn json_map(name: &str, text: &str) -> Result<Map<String, Value>, Malformed> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null) => Ok(Map::new()),
        _ => Err(Malformed::bad(format!("the parameter {name} is not a JSON object"))),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(header::CONTENT_TYPE).map(axum::http::HeaderValue::to_str) else { return false };
    let mut parts = value.split(';').map(str::trim);
    let json = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
            charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    json && utf8
}

/// Axum wraps the limit's error: it is found by walking its sources.
fn over_the_limit(error: &axum::Error) -> bool {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        source = error.source();
    }
    false
}

/// The caller of a request; 401 for whoever is not known.
pub fn caller(state: &ApiState, headers: &HeaderMap, traceparent: Option<String>) -> Result<Caller, Problem> {
    let actor = crate::auth::actor_of(&state.options, crate::auth::authorization(headers)).map_err(|error| {
        Problem::new(StatusCode::UNAUTHORIZED, codes::UNAUTHENTICATED, "Who are you?", error.to_string())
    })?;
    Ok(Caller { actor, tenant: state.tenant.clone(), traceparent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_wrong_type_are_refused() {
        let cases = [
            (r#"{"query":"{a}"}"#, None),
            (r#"{"query":"{a}","variables":null,"operationName":null,"extensions":null}"#, None),
            (r#"{"extensions":{"persistedQuery":{}}}"#, None),
            (r#"[{"query":"{a}"}]"#, Some("BATCHING_REFUSED")),
            (r#"["{a}", null, null, null]"#, Some("BATCHING_REFUSED")),
            ("{}", Some("BAD_REQUEST")),
            ("", Some("BAD_REQUEST")),
            ("{", Some("BAD_REQUEST")),
            ("\"{a}\"", Some("BAD_REQUEST")),
            (r#"{"query":1}"#, Some("BAD_REQUEST")),
            (r#"{"query":"{a}","variables":[]}"#, Some("BAD_REQUEST")),
            (r#"{"query":"{a}","operationName":{}}"#, Some("BAD_REQUEST")),
            (r#"{"query":"{a}","extensions":"x"}"#, Some("BAD_REQUEST")),
        ];
        for (text, expected) in cases {
            let refused = Params::from_json(text.as_bytes()).err();
            let code = refused.as_ref().and_then(|malformed| codes::code_of(&malformed.error));
            assert_eq!(code, expected, "{text}");
        }
    }

    #[test]
    fn only_json_in_utf8_is_read() {
        let cases = [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json; charset=\"utf-8\"", true),
            ("application/json; charset=latin1", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(is_json(&headers), expected, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
