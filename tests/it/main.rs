//! Whole-system tests: the layout's rules, and the platform as its users see it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::case_sensitive_file_extension_comparisons, reason = "git's names are as written")]

mod audit;
mod command_line;
mod demo;
mod documentation;
mod erasure;
mod export;
mod faults;
mod kills;
mod missing_programs;
mod outages;
mod projections_cli;
mod remediation_cli;
mod remediation_kills;
mod tidy;
mod tracing_spans;
mod unknowns;
