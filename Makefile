# `make demo` and `make test` install what is missing by themselves; see README.md.
PG_CONFIG ?= /usr/lib/postgresql/17/bin/pg_config
export PG_CONFIG

.PHONY: help setup demo stop test chaos faults verify fuzz lint build install bench accuracy topology clean

help:            ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## *' '{printf "  make %-8s %s\n", $$1, $$2}'

setup:           ## install PostgreSQL 17, its extensions and cargo-pgrx where missing
	@scripts/setup.sh

demo: setup      ## build, start a private cluster, watch the workers run ten minutes of made-up telemetry
	@scripts/demo.sh start

stop:            ## stop the demo's cluster
	@scripts/demo.sh stop

test: setup      ## engine tests and black-box tests against a real cluster
	@scripts/test.sh

chaos: setup     ## 200 random crashes at every step of a window: nothing lost, nothing double
	@scripts/chaos.sh

verify: setup    ## workloads with exact truth: sizes x seeds x ways, a table
	@scripts/verify.sh

fuzz:            ## every fuzz target for FUZZ_SECONDS= (60) on TARGETS= (all)
	@scripts/fuzz.sh $(TARGETS)

faults: setup    ## each fault at each kind of source and page: nothing lost, nothing double
	@scripts/faults.sh

lint: setup      ## rustfmt, clippy, shell syntax
	@scripts/lint.sh

build: setup     ## release build
	@cargo build --release --package observe_bridge

install: setup   ## release build into the PostgreSQL of PG_CONFIG
	@scripts/install.sh

bench: setup     ## the figures of docs/benchmarks.md, measured here
	@scripts/bench.sh

accuracy:        ## how well log lines are grouped, on LOGHUB= and on workloads
	@scripts/accuracy.sh

topology:        ## precision and recall of the topology extractors on TOPOLOGY=<folder> (default ../shared/topology)
	@scripts/topology.sh $(TOPOLOGY)

clean:           ## stop the demo and remove everything built
	@scripts/demo.sh stop
	@cargo clean
