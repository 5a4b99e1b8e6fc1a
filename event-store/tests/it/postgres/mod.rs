//! The PostgreSQL backend: the contract, and what is its own.

mod contract;
