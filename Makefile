# One entry for everything; `make` alone says what there is.

CARGO ?= cargo
# Process per test where nextest is installed, plain cargo otherwise.
TESTER := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo "nextest run --no-fail-fast" || echo "test --no-fail-fast")

.PHONY: help tools demo run build test lint bench fuzz soak docs-test

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

build: ## the program, optimised: target/fast/squall
	$(CARGO) build --locked --profile fast --bin squall

demo: build ## play confirmations, home-made and native, then leave you at the prompt
	@tests/demo.sh target/fast/squall

run: build ## start a server on ./squall-data
	target/fast/squall up

tools: ## what the tests need beside Rust, from the system's packages
	@tests/tools.sh

test: tools lint ## what CI runs: format, clippy, all tests
	$(CARGO) $(TESTER) --locked --workspace
	$(CARGO) test --locked --workspace --doc
	@tests/demo.sh target/debug/squall --check
	@tests/bench.py target/debug/squall --quick
	@tests/bots.py target/debug/squall

lint: ## format and clippy, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

bench: build ## the measures, as a table
	$(CARGO) bench --locked --profile fast --workspace --bench conductor --bench store --bench expr --bench noop --bench confirm
	@tests/bench.py target/fast/squall
	@tests/bench_expr.py
	@tests/bench_workflow.py

fuzz: ## unforeseen inputs for the expression languages, a minute each; what is new is kept in crates/expr/tests/corpus
	SQUALL_FUZZ_SECONDS=$${SQUALL_FUZZ_SECONDS:-60} $(CARGO) test --locked --profile fast -p squall-expr --test fuzz -- --nocapture --test-threads 2

soak: ## the same tests with full counts; takes hours
	SQUALL_SEQUENCES=100000 SQUALL_RACES=10000 $(CARGO) test --locked --profile fast -p squall-engine --test gate -- --nocapture model race
	SQUALL_SEEDS=100000 $(CARGO) test --locked --profile fast -p squall-engine --test simulation --test workflows -- --nocapture
	SQUALL_KILLS=500 $(CARGO) test --locked --profile fast -p squall-cli --test kill -- --nocapture
