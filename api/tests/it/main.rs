//! The API against a real database, through real sockets.

mod clients;
mod documents;
mod http;
mod mutations;
mod outage;
mod queries;
mod schema_file;
mod sockets;
mod subscriptions;
mod support;
