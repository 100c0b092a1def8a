# Wharf's development commands; `make help` lists them. The README names two: demo and test.
PYTHON ?= /usr/bin/python3
BIN := .venv/bin
STAMP := .venv/.ready
WORKERS ?= 2

.PHONY: fuzz-build smoke-hub test-catalog record-compose soak-network dist test-dist test-runc help setup check test test-vm bench demo clean record lock soak fuzz

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup:  ## install what is missing: Debian packages, the virtual environment, the docker client for tests
	@PYTHON=$(PYTHON) tools/setup

check:  ## format, lint, types, unit and architecture tests (under 20 s); what one runs all day
	@test -e $(STAMP) || $(MAKE) -s setup
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy
	$(BIN)/pytest -q -n $(WORKERS) tests/unit tests/architecture

test: setup  ## every test, against the real kernel and real clients (needs root); then a check that nothing is left
	tools/test

test-vm: setup  ## boots stock kernels 6.1 and 6.12 under qemu (cgroup v2; trivial init, systemd) and tests inside (forty minutes: the processor is emulated)
	tools/test-vm

dist: setup  ## a wheel and a Debian package with its own environment, in dist/
	tools/dist

test-catalog: setup  ## every image of catalog/ built, started and asked over a published port (ten minutes)
	WHARF_TEST_CATALOG=1 $(BIN)/pytest -q -n0 tests/catalog

test-dist: setup  ## the package in a fresh Debian root: installed, used, upgraded, purged (a minute or two)
	WHARF_TEST_DIST=1 $(BIN)/pytest -q -n0 tests/dist

test-runc: setup  ## the conformance lines with every container run by Debian's runc (five minutes)
	WHARF_TEST_RUNTIME=$$(tools/runc-peer) $(BIN)/pytest -q -n $(WORKERS) --dist loadgroup tests/conformance

.PHONY: test-docker-py test-testcontainers test-compose test-dockerode
test-compose: setup  ## the shop and 45 Compose projects by docker compose and by wharf compose: equal results (five minutes)
	WHARF_TEST_COMPOSE=1 $(BIN)/pytest -q -n $(WORKERS) tests/compose/test_both.py tests/compose/test_shop.py tests/compose/test_registry.py

test-docker-py: setup  ## docker-py's own integration suite against wharfd: DOCKERPY=<a checkout of docker-py 7.2.0>
	$(BIN)/python -m tests.suites.docker_py $(DOCKERPY)

test-testcontainers: setup  ## Testcontainers' own tests/core against wharfd: TESTCONTAINERS=<a checkout of testcontainers-python 4.15>
	$(BIN)/python -m tests.suites.testcontainers_core $(TESTCONTAINERS)

test-dockerode: setup  ## Node's client runs, streams, execs and builds against wharfd (skips aloud without npm or its registry)
	$(BIN)/python -m tests.suites.dockerode

bench: setup  ## times Wharf beside Docker (PEERS=, ENTER=) or another checkout of it (BEFORE=), and prints medians and ratios
	$(BIN)/python -m bench

soak-network: setup  ## hundreds of kills between the steps of networks, a thousand networks, 500 endpoints on one bridge
	$(BIN)/python -m tests.soak.network

smoke-hub: setup  ## pull from the real Docker Hub; says aloud that it is skipped without a network
	$(BIN)/python -m tests.smoke.hub

soak: setup  ## a thousand runs, hundreds of kills: nothing may grow, nothing may be lost (WHARF_SOAK_RUNS=… scales it down)
	$(BIN)/python -m tests.soak
	WHARF_STEPS_OTHER_SHAPES=1 $(BIN)/python -m pytest -n0 -q tests/system/recovery/test_steps.py -k start-linked

fuzz: setup  ## 20,000 requests made from Docker's description of its API (API=<file>), half of them bent, on one engine
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	$(BIN)/python -m tests.fuzz.api $(API)

demo: setup  ## the web shop of examples/shop, images built on the spot: up, real orders, read back from the database, down
	$(BIN)/python tools/demo.py

fuzz-build: setup  ## hostile Dockerfiles, patterns and contexts for WHARF_FUZZ_SECONDS (30 minutes)
	$(BIN)/python -m tests.fuzz.build

record: setup  ## record again what Docker answers to the conformance lines (PEERS=<root made for the peer>)
	$(BIN)/python -m tests.conformance.record
	$(BIN)/python -m tests.conformance.builds.record

record-compose: setup  ## record again what docker compose (DOCKER_COMPOSE=<binary>) prints for tests/compose/config
	$(BIN)/python -m tests.compose.record

lock: setup  ## resolve the dependencies again and write their versions and hashes to requirements/
	tools/lock

clean:  ## remove what setup and the tests made in this checkout
	rm -rf .venv .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
