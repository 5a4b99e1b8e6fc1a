# The two commands: `make demo` shows the platform at work on a fresh machine, `make test` proves it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Linking many test programs is most of a build on two cores: mold is used where it is installed.
ifneq ($(shell command -v mold),)
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS := -C link-arg=-fuse-ld=mold
endif
export CARGO_TERM_COLOR ?= auto

comma := ,
# What is off by default is built, checked and tested as well: one set of features, so that nothing is compiled twice.
FEATURES := --features cmdiag/kurrentdb

.PHONY: help demo test matrix bench lint docs deny prerequisites node-clients cargo-tools schema clean-data
.PHONY: run-demo run-test run-matrix run-lint run-docs run-bench

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: prerequisites ## Plant faults in the lab, diagnose, score, serve (ONCE=1 ends by itself; FAULTS=all or names)
	@$(MAKE) --no-print-directory run-demo

run-demo:
	@cargo build $(if $(wildcard target/debug/cmdiag),--quiet) --locked -p cmdiag
	@exec target/debug/cmdiag demo $(if $(ONCE),--once) $(if $(FAULTS),--faults $(FAULTS)) $(if $(SCALE),--scale $(SCALE))

test: prerequisites cargo-tools node-clients ## Every test, against private servers
	@$(MAKE) --no-print-directory run-test

run-test:
	# Programs and tests in one build: with the same features, nothing is compiled twice.
	cargo build --workspace --locked $(FEATURES) --bins --tests
	target/debug/with-postgres cargo nextest run --workspace --locked $(FEATURES)
	cargo test --doc --workspace --locked $(FEATURES) --quiet

lint: prerequisites ## Formatting and clippy, warnings are errors
	@$(MAKE) --no-print-directory run-lint

run-lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked $(FEATURES) -- -D warnings

docs: prerequisites ## The API documentation, warnings are errors
	@$(MAKE) --no-print-directory run-docs

run-docs:
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --locked $(FEATURES) --quiet

deny: cargo-tools ## Licences, duplicates, sources; advisories where a copy of the database is at hand
	cargo fetch --locked --quiet
	cargo deny --offline --locked check --hide-inclusion-graph licenses bans sources
	@if [ -d "$${CARGO_HOME:-$$HOME/.cargo}/advisory-dbs" ]; then cargo deny --offline --locked check advisories; \
	  else echo "advisories: not checked, no offline copy of the database on this machine"; fi

matrix: prerequisites ## Take every fault to found, fixed, checked and back; writes docs/fault-matrix.md and .json
	@$(MAKE) --no-print-directory run-matrix

run-matrix:
	cargo build --locked $(FEATURES) -p cmdiag -p acceptance-tests --bins
	target/debug/with-postgres target/debug/fault-matrix $(if $(FAULTS),$(subst $(comma), ,$(FAULTS)),--docs docs)

bench: prerequisites ## Measure every bar side by side; writes docs/performance.md and docs/performance.json
	@$(MAKE) --no-print-directory run-bench

run-bench:
	cargo build --release --locked -p cmdiag -p bench
	target/release/bench $(BENCH)

prerequisites: ## Install what is missing from Debian's packages
	@scripts/install-prerequisites

cargo-tools:
	@command -v cargo-nextest >/dev/null || cargo install cargo-nextest --locked
	@command -v cargo-deny >/dev/null || cargo install cargo-deny --locked --debug

node-clients: ## The npm clients that the tests run against the API
	@cd tests/clients && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --no-audit --no-fund; }

schema: ## Write api/schema.graphql anew
	UPDATE_SCHEMA=1 cargo nextest run --locked -p api schema
