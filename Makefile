# What there is to do, and how. `make` alone lists it.
SHELL := /bin/bash
CARGO ?= cargo
CONFIG ?= conf/hydrogen.json
SEEDS ?= 256
ARGS ?=
SUITES := tests/conformance/suites.sh
export CARGO

.DEFAULT_GOAL := help
.PHONY: help run build test check suite deps-test bench sim docs fmt clean distclean

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

bench: build ## run the benchmarks; ARGS go to benches/run.py
	python3 benches/run.py $(ARGS)

sim: ## run the simulations with SEEDS seeds each (256)
	HYDROGEN_SIM_SEEDS=$(SEEDS) $(CARGO) test --locked --release --test simulation --test delivery_simulation -- --nocapture

docs: ## build the pages of the Rust interface
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --lib

fmt: ## format the Rust sources
	$(CARGO) fmt --all

clean: ## remove what was built, and the reports
	$(CARGO) clean
	rm -rf .test/log .test/metrics .test/systemd .test/dashboard.png .test/autobahn/core .test/autobahn/limits

distclean: clean ## remove also what was installed for the tests
	rm -rf .test
