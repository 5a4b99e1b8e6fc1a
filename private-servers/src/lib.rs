//! Servers of our own: a PostgreSQL and a Redis that nobody has to set up.
//!
//! Each has its own data folder and a free port on the loopback interface, runs without privileges even when started by
//! root, and stops with its parent, however the parent ends. The machine's own clusters are never touched.

mod guard;
mod postgres;
mod programs;
mod redis;
pub mod testing;

pub use guard::ServerError;
pub use postgres::{PostgresOptions, PrivatePostgres};
pub use programs::{postgres_programs, redis_program};
pub use redis::{PrivateRedis, RedisOptions};
