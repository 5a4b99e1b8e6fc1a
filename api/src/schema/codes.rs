//! The stable codes of errors, in one place: what each means for a client, and what HTTP says of it.
//!
//! Expected refusals are data (a mutation's `CommandRefused`), never errors. An error means that the request was bad,
//! not allowed, or could not be answered just now.

use async_graphql::{Error, ErrorExtensionValues, ErrorExtensions, Response, ServerError};

/// The request is not one: no query, wrong parameters.
pub const BAD_REQUEST: &str = "BAD_REQUEST";
/// An argument's value is not acceptable.
pub const BAD_USER_INPUT: &str = "BAD_USER_INPUT";
/// The document does not parse.
pub const GRAPHQL_PARSE_FAILED: &str = "GRAPHQL_PARSE_FAILED";
/// The document does not fit the schema.
pub const GRAPHQL_VALIDATION_FAILED: &str = "GRAPHQL_VALIDATION_FAILED";
/// The document is over a limit; the message says which.
pub const DOCUMENT_OVER_LIMIT: &str = "DOCUMENT_OVER_LIMIT";
/// The body is over the limit.
pub const BODY_TOO_LARGE: &str = "BODY_TOO_LARGE";
/// Several requests in one are not taken.
pub const BATCHING_REFUSED: &str = "BATCHING_REFUSED";
/// No document is known by this hash: send it in full.
pub const PERSISTED_QUERY_NOT_FOUND: &str = "PERSISTED_QUERY_NOT_FOUND";
/// The hash is not the document's.
pub const PERSISTED_QUERY_MISMATCH: &str = "PERSISTED_QUERY_MISMATCH";
/// This kind of operation is not served here.
pub const OPERATION_NOT_ALLOWED: &str = "OPERATION_NOT_ALLOWED";
/// A known bearer token is needed.
pub const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
/// The thing asked for does not exist (where null is no answer).
pub const NOT_FOUND: &str = "NOT_FOUND";
/// The views have not reached the position of `atLeast` in time: ask again.
pub const BEHIND: &str = "BEHIND";
/// The position or time of `asOf` is still to come.
pub const NOT_YET: &str = "NOT_YET";
/// An answer about the past would be made from more than is taken on at once: ask for less of it.
pub const TOO_MUCH: &str = "TOO_MUCH";
/// The same idempotency key came before with another input.
pub const IDEMPOTENCY_KEY_REUSED: &str = "IDEMPOTENCY_KEY_REUSED";
/// Others changed the same thing all the time: try again.
pub const CONFLICT: &str = "CONFLICT";
/// The database can not be reached just now: try again, safely with the same idempotency key.
pub const UNAVAILABLE: &str = "UNAVAILABLE";
/// More is asked for than the server takes on: try again a little later.
pub const OVERLOADED: &str = "OVERLOADED";
/// The request took longer than it may. A mutation may still have happened: repeat it with its idempotency key.
pub const TIMEOUT: &str = "TIMEOUT";
/// The client takes its messages too slowly; `resumeAfter` says from where to go on.
pub const SLOW_CLIENT: &str = "SLOW_CLIENT";
/// The server is about to stop; `resumeAfter` says from where to go on.
pub const GOING_AWAY: &str = "GOING_AWAY";
/// A fault of the platform; its log says more.
pub const INTERNAL: &str = "INTERNAL";

/// An error with a code, for resolvers.
pub fn coded(code: &'static str, message: impl Into<String>) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("code", code))
}

/// An error with a code, where there is no resolver.
pub fn coded_server_error(code: &'static str, message: impl Into<String>) -> ServerError {
    let mut error = ServerError::new(message, None);
    set_code(&mut error, code);
    error
}

fn set_code(error: &mut ServerError, code: &'static str) {
    error.extensions.get_or_insert_with(ErrorExtensionValues::default).set("code", code);
}

/// The code of an error.
pub fn code_of(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code")? {
        async_graphql::Value::String(code) => Some(code),
        _ => None,
    }
}

/// Gives a code to the errors that the GraphQL library raises itself. Those without a path are about the document;
/// those with one are about an argument, since resolvers of ours give a code to each of theirs.
pub fn assign(response: &mut Response) {
    for error in &mut response.errors {
        if code_of(error).is_some() {
            continue;
        }
        let code = match error.message.as_str() {
            "Query is nested too deep." | "Query is too complex." => DOCUMENT_OVER_LIMIT,
            _ if error.path.is_empty() => GRAPHQL_VALIDATION_FAILED,
            _ => BAD_USER_INPUT,
        };
        set_code(error, code);
    }
}

/// Whether any error of a response has this code.
pub fn has(response: &Response, code: &str) -> bool {
    response.errors.iter().any(|error| code_of(error) == Some(code))
}

/// A code as a label of a metric: from this list only, so that the number of time series is bounded.
pub fn label(code: Option<&str>) -> &'static str {
    const KNOWN: [&str; 20] = [
        BAD_REQUEST,
        BAD_USER_INPUT,
        GRAPHQL_PARSE_FAILED,
        GRAPHQL_VALIDATION_FAILED,
        DOCUMENT_OVER_LIMIT,
        PERSISTED_QUERY_NOT_FOUND,
        PERSISTED_QUERY_MISMATCH,
        OPERATION_NOT_ALLOWED,
        UNAUTHENTICATED,
        NOT_FOUND,
        BEHIND,
        NOT_YET,
        TOO_MUCH,
        IDEMPOTENCY_KEY_REUSED,
        CONFLICT,
        UNAVAILABLE,
        OVERLOADED,
        TIMEOUT,
        SLOW_CLIENT,
        GOING_AWAY,
    ];
    KNOWN.into_iter().find(|known| Some(*known) == code).unwrap_or(INTERNAL)
}
