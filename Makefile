# `make` alone says what there is.

SHELL := /bin/sh
.DEFAULT_GOAL := help
# How many random stories `make stories` plays, and which.
STORIES ?= 100000
# A story of clean-up, with two operators and all their runs, takes as long as 30 others.
CLEANUP_STORIES = $(shell echo $$(( $(STORIES) / 33 > 1000 ? $(STORIES) / 33 : 1000 )))
SEED ?= 20261122
.PHONY: help demo playground test stories bench lint docs docs-reference crds build kubernetes need-rust need-deny need-go need-python

# One folder, and one choice of packages in every cargo command: each crate is compiled once.
export CARGO_TARGET_DIR ?= $(CURDIR)/target
programs := $(CARGO_TARGET_DIR)/debug

# $(call need,name,command that prints its version,oldest version,what it is for)
define need
	@found=$$( ($(2)) 2>/dev/null | grep -Eo '[0-9]+(\.[0-9]+)+' | head -n 1 ); \
	awk -v found="$$found" -v oldest=$(3) 'BEGIN { \
		split(found, f, "."); split(oldest, o, "."); \
		for (i = 1; i <= 3; i++) if (f[i] + 0 != o[i] + 0) exit f[i] + 0 < o[i] + 0 }' || { \
	echo "$(1) $${found:-was not found}: install $(1) $(3) or newer, $(4)" >&2; exit 1; }
endef

help: ## Says what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: kubernetes ## Shows the operator start and end sessions: a real Kubernetes API server, a fake Athena; a minute once built
	@$(programs)/examples/demo

playground: kubernetes ## The same stage, left running until Ctrl-C; prints what to try next
	@$(programs)/examples/demo --playground

test: need-python kubernetes ## Runs every test
	cargo test --workspace

optimized = cargo --config 'profile.dev.package.athena-session-operator.opt-level=2'
# Optimized, since each one is an hour or more of an object's life.
stories: need-rust ## Plays 100,000 random stories of each of four kinds, 3,000 of each kind of clean-up; STORIES=1000: fewer; SEED=1: others
	PROPTEST_CASES=$(STORIES) PROPTEST_RNG_SEED=$(SEED) $(optimized) \
		test --test decide -- holds at_most_one_session before_its_time go_with_their_workloads
	PROPTEST_CASES=$(CLEANUP_STORIES) PROPTEST_RNG_SEED=$(SEED) $(optimized) test --test cleanup -- stories

# The operator by itself first, so that it has the features of its dependencies that a user's has, and no others.
bench: need-rust need-go ## Measures the operator with up to 10,000 objects, in a quarter of an hour; ONLY=deleted-1000: that alone
	cargo build --release --bin athena-session-operator
	cargo build --release --example bench
	@$(CARGO_TARGET_DIR)/release/examples/bench --out $(CARGO_TARGET_DIR)/bench $(addprefix --only=,$(ONLY))

lint: need-rust need-deny ## Checks format, clippy's lints, and the licences of all dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo deny --locked check licenses bans sources

docs: need-rust ## Makes the documentation of the code; a warning is an error
	RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps --locked

crds: build ## Writes crds/ anew, after a change of src/api/
	$(programs)/athena-session-operator crds > crds/athena-operator.dev.yaml.new
	mv crds/athena-operator.dev.yaml.new crds/athena-operator.dev.yaml

docs-reference: need-rust ## Writes the generated parts of docs/reference/ anew, after a change of what they describe
	UPDATE_DOCS=1 cargo test --workspace --test operator docs::reference

build: need-rust ## Builds the operator, the fake Athena and the demo
	cargo build --workspace --bins --examples

# Built once, and kept in target/control-plane; CONTROL_PLANE names a program to use instead.
kubernetes: need-go build
	@$(programs)/control-plane build >/dev/null

need-rust:
	$(call need,Rust,rustc --version,1.94.1,which builds the operator)

need-deny:
	$(call need,cargo-deny,cargo deny --version,0.20,which checks the dependencies: cargo install --locked cargo-deny)

need-go:
ifndef CONTROL_PLANE
	$(call need,Go,go version,1.26,which builds the Kubernetes control plane)
endif

need-python:
	$(call need,Python,python3 --version,3.11,which tests the fake Athena with boto3)
