# The front door; meson and ninja do the work. `make help` lists the targets.
SECONDS = 60
CALLS = 2000000

.PHONY: all test demo check format fuzz bench bench-micro bench-rpc bench-agents soak clean help

all: ## build into build/
	@tools/setup build
	@test -f build/build.ninja || meson setup build -Dtests=false
	@ninja -C build

test: ## run all tests, plain and with sanitizers
	@tools/setup build test
	@tools/run-tests

check: ## layers, sizes, headers and format
	@tools/setup build test
	@tools/run-tests check

format: ## lay out all C code
	@tools/setup test
	@clang-format -i $$(tools/sources.py)

demo: ## events from RabbitMQ arrive at an API server
	@tools/setup build demo
	@$(MAKE) --no-print-directory all
	@tools/demo

bench: ## the bridge beside its peers
	@tools/setup build bench
	@$(MAKE) --no-print-directory all
	@bench/run

bench-micro: ## the runtime beside its peers
	@tools/setup build bench
	@$(MAKE) --no-print-directory all
	@bench/micro

bench-rpc: ## RPC beside its peers
	@tools/setup build bench
	@$(MAKE) --no-print-directory all
	@bench/rpc

bench-agents: ## 1,000 RPC servers in one process
	@tools/setup build bench
	@$(MAKE) --no-print-directory all
	@bench/agents

soak: ## is memory steady over CALLS=2000000 RPC calls?
	@tools/setup build bench
	@$(MAKE) --no-print-directory all
	@bench/soak $(CALLS)

fuzz: ## run each fuzz target for SECONDS=60
	@tools/setup build fuzz
	@fuzz/run $(SECONDS)

clean: ## remove everything that was built
	@rm -rf build build-*

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile
