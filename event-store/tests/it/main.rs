//! Tests of the event log: the contract that every backend must keep, and what is PostgreSQL's own.

mod contract;
mod postgres;
mod support;
