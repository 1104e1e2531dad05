# Weir. `make` lists what there is. Everything that is missing is installed, or the command to install it is printed.
#
# One cargo profile (release) for lint, tests and program, and one build directory for all checkouts: RocksDB, librdkafka
# and wasmtime take long to build, so they are built once. All cargo calls select the whole workspace, because cargo
# builds a dependency again for each different selection of packages.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help deps build crash-host test torture demo bench lint fmt guests

CARGO_HOME ?= $(HOME)/.cargo
export CARGO_HOME
export PATH := $(CARGO_HOME)/bin:$(PATH)
export CARGO_TARGET_DIR ?= $(HOME)/.cache/weir/target
export WEIR_PLUGINS := $(CURDIR)/target/plugins
export WEIR_HOST := $(CURDIR)/target/release/host
export WEIR_CRASH_HOST := $(CURDIR)/target/release/host-crash-points
export WEIR_FULL := $(FULL)
export WEIR_QUICK := $(QUICK)

cargo := cargo --locked
tool := $(CARGO_TARGET_DIR)/release

help: ## list the goals
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

deps: ## install what building and testing need
	@tests/install-tools

build: deps guests ## build target/release/host and target/plugins/*.wasm
	@$(cargo) build --release --workspace
	@mkdir -p target/release
	@if [ $(tool)/host -nt target/release/host ]; then strip --strip-debug -o target/release/host $(tool)/host; fi

crash-host: deps ## build target/release/host-crash-points: for tests, a host that can be told where to crash
	@$(cargo) build --release --workspace --features host/crash-points --bin host-crash-points
	@mkdir -p target/release
	@if [ $(tool)/host-crash-points -nt target/release/host-crash-points ]; then \
	    strip --strip-debug -o target/release/host-crash-points $(tool)/host-crash-points; fi

guests: deps
	@plugins/build.sh target/plugins

test: build crash-host ## run all tests (FULL=1: at the sizes the issue asks for, about 10 minutes more)
	@tests/run-tests

torture: build crash-host ## kill, stop and double a job at every step, by seeds, without end (RUNS=N, SEED=S, TABLE=FILE)
	@$(tool)/torture $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED)) $(if $(TABLE),--table $(TABLE))

demo: build ## show on a real Kafka that kill -9 loses and duplicates nothing
	@$(tool)/demo

bench: build ## measure throughput, CPU, latency, memory and restart (QUICK=1: in 10 minutes)
	@$(tool)/bench

lint: guests ## check format, lints, documentation and dependencies of host, tests and guests
	@tests/check-dependencies
	@cargo fmt --all --check
	@$(cargo) clippy --release --workspace --all-targets -- -D warnings
	@$(cargo) clippy --release --workspace --all-targets --features host/crash-points -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(cargo) doc --release --workspace --no-deps --document-private-items --quiet
	@tests/each-guest fmt --all --check
	@tests/each-guest --locked clippy --quiet --all-targets -- -D warnings

fmt: ## format all Rust
	@cargo fmt --all
	@tests/each-guest fmt --all
