# What there is to do, and how. `make` alone lists it.
SHELL := /bin/bash
CARGO ?= cargo
CONFIG ?= conf/hydrogen.json
SEEDS ?= 256
ROUNDS ?= 200
EVENTS ?= 1000000
CHAOS = HYDROGEN_CHAOS_BINARY=$(CURDIR)/target/release/hydrogen $(if $(SEED),HYDROGEN_CHAOS_SEED=$(SEED)) \
  $(CARGO) test --locked --test chaos
ARGS ?=
SUITES := tests/conformance/suites.sh
export CARGO

.DEFAULT_GOAL := help
.PHONY: help run build test check suite deps-test bench bench-plots costs topics sim chaos powercut damage backlog docs fmt clean distclean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## build, and start the server with CONFIG (conf/hydrogen.json)
	target/release/hydrogen serve --config $(CONFIG)

build: ## build target/release/hydrogen
	$(CARGO) build --locked --release --bin hydrogen

test: deps-test ## run every test suite, and sum up
	@$(SUITES)

check: ## run what is quick: format, lints, unit tests, layers
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --locked --all-targets -- -D warnings
	@$(CARGO) test --locked --lib --test layers

suite: deps-test ## run single suites, as in: make suite S="build protocol"
	@$(SUITES) $(S)

deps-test: ## install what the test suites need and this machine lacks
	@tests/conformance/deps.sh

bench: build ## run the benchmarks against their targets; ARGS go to benches/run.py
	python3 benches/run.py $(ARGS)

bench-plots: build ## measure how costs grow, and draw docs/plots; ARGS go to benches/plots.py
	python3 benches/plots.py $(ARGS)

costs: deps-test ## count what operations take, and compare; BLESS=1 adds the counts to the history
	$(if $(BLESS),benches/costs.py --bless,@$(SUITES) costs)

topics: deps-test ## measure what finding subscribers takes among 1 to 1,000,000
	benches/costs.py --topics

sim: ## run the simulation with SEEDS seeds (256)
	HYDROGEN_SIM_SEEDS=$(SEEDS) $(CARGO) test --locked --release --test simulation --test delivery_simulation --test signaling_simulation -- --nocapture

chaos: build ## kill the server ROUNDS times (200), and check; SEED repeats a run
	HYDROGEN_CHAOS_ROUNDS=$(ROUNDS) $(CHAOS) kill:: -- --include-ignored --nocapture

powercut: build ## cut the power ROUNDS times (200), and check; SEED repeats a run
	HYDROGEN_POWERCUT_ROUNDS=$(ROUNDS) $(CHAOS) powercut:: -- --include-ignored --nocapture

damage: build ## damage every byte of a small store, and check: the store (minutes), then the server (hours)
	HYDROGEN_DAMAGE_ALL=1 $(CARGO) test --locked --release --lib sqlite::tests::damaged
	HYDROGEN_DAMAGE_ALL=1 $(CHAOS) --release damage:: -- --include-ignored --nocapture

backlog: build ## measure what absent and slow subscribers cost, with EVENTS events (1000000)
	HYDROGEN_BOUNDS_EVENTS=$(EVENTS) HYDROGEN_BOUNDS_SECONDS=3 $(CARGO) test --locked --release --test bounds \
	  -- --test-threads=1 --nocapture

docs: ## build the pages of the Rust interface
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --lib

fmt: ## format the Rust sources
	$(CARGO) fmt --all

clean: ## remove what was built, and the reports
	$(CARGO) clean
	rm -rf .test/log .test/metrics .test/systemd .test/dashboard.png .test/autobahn/core .test/autobahn/limits .test/autobahn/compress*

distclean: clean ## remove also what was installed for the tests
	rm -rf .test
