//! Properties of the aggregates: what holds for any sequence of accepted commands.

#![expect(clippy::expect_used, reason = "a test stops at what should not be")]

mod deployment;
mod finding;
mod policy;
mod policy_file;
mod remediation;
mod replay;
mod run;
