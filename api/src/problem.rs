//! Errors outside GraphQL: RFC 9457 `application/problem+json`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::time::Duration;

/// A problem as RFC 9457 writes it, with our stable `code`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The status, also in the body for whoever sees only that.
    #[serde(serialize_with = "status_number")]
    pub status: StatusCode,
    /// The kind of problem, for people.
    pub title: &'static str,
    /// The kind of problem, for programs.
    pub code: &'static str,
    /// What is wrong with this request.
    pub detail: String,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn status_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem with its explanation.
    pub fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, code, detail: detail.into(), retry_after: None }
    }

    /// The server can not answer just now.
    pub fn unavailable(detail: impl Into<String>, retry_after: Duration) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "Not available just now", detail);
        Self { retry_after: Some(retry_after), ..problem }
    }

    /// The server has more to do than it takes on.
    pub fn overloaded(detail: impl Into<String>, retry_after: Duration) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", "Too much to do", detail);
        Self { retry_after: Some(retry_after), ..problem }
    }
}

/// A duration as `Retry-After` says it: whole seconds, at least one.
pub fn retry_after_value(duration: Duration) -> HeaderValue {
    HeaderValue::from(duration.as_secs_f64().ceil().max(1.0) as u64)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, retry_after_value(after));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_when_to_come_back_in_whole_seconds() {
        let response = Problem::unavailable("the database is away", Duration::from_millis(1_200)).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
