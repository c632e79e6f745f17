# Everything that can be done with a clone. `make` lists it.
# Python 3.11 to 3.14 and GNU make are all that is needed; another interpreter: `PYTHON=python3.12 make test`.

PYTHON ?= python3
# Airflow 2.11 does not run on newer ones. Some installed names are only stand-ins, so each is tried.
fits_2.11 = $(shell $(1) $(PINS)/install.py --check $(PINS)/airflow-2.11.txt 2>/dev/null && echo $(1))
PYTHON_2.11 ?= $(firstword $(foreach python,$(PYTHON) python3.12 python3.11,$(call fits_2.11,$(python))) $(PYTHON))
comma := ,
# These tests mostly wait. A file stays with one worker, since its tests may share an Airflow or a simulator.
TWO_WORKERS := -n 2 --dist loadfile
FOUR_WORKERS := -n 4 --dist loadfile
SIX_WORKERS := -n 6 --dist loadfile
PINS := tests/pins
# For the demo and the chaos run, such as FLAGS="--port 9000" and FLAGS="--seed 7".
FLAGS ?=
export AIRFLOW_HOME := $(CURDIR)/.venv/airflow-home
export AIRFLOW__CORE__LOAD_EXAMPLES := False

# An Airflow that the user's shell is set up for must not reach into this one.
LEAKING := $(filter-out AIRFLOW_HOME AIRFLOW__CORE__LOAD_EXAMPLES,$(filter AIRFLOW% _AIRFLOW% PYTHONPATH PYTHONHOME,$(.VARIABLES)))
ifneq ($(LEAKING),)
unexport $(LEAKING)
endif

# A proxy may be needed to install, never for this machine's own loopback.
LOOPBACK := localhost,127.0.0.1,::1
export no_proxy := $(patsubst %,%$(comma),$(or $(no_proxy),$(NO_PROXY)))$(LOOPBACK)
export NO_PROXY := $(no_proxy)

.DEFAULT_GOAL := help
.PHONY: help demo demo-ui test test-all test-unit test-integration test-slow test-story test-system test-2.11 test-lowest test-matrix test-ui-3.1 test-ui-3.2 docs links tutorial pictures python-2.11 chaos chaos-short chaos-2.11 coverage mutation fuzz benchmark debian lint format check-wheel release pins venv venv-2.11 venv-3.1 venv-3.2 venv-lowest venv-benchmark venv-docs venv-celery venv-celery-2.11 venv-release clean

help: ## list the commands
	@sed -n 's/^\([a-z0-9.-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 26

demo: venv ## make three videos with a real Airflow; with RUNWAY_API_KEY=... from the real service
	@.venv/bin/python -m tests.harness.demo $(FLAGS)

demo-ui: venv ## the same, and leave Airflow running to look at
	@.venv/bin/python -m tests.harness.demo --ui $(FLAGS)

test: test-unit test-integration test-story ## what tells most, with Airflow 3.3: unit, integration, one story (minutes)

test-all: test-unit test-integration test-slow test-system ## all tests with Airflow 3.3 (about half an hour)

test-unit: venv ## the tests that need no server
	.venv/bin/python -m pytest tests/unit -n 2

test-integration: venv ## the tests against the simulated kie.ai
	.venv/bin/python -m pytest tests/integration -m "not slow" $(SIX_WORKERS)

test-slow: venv ## those of them that take long: drawn videos, pages in a browser, downloads that break
	.venv/bin/python -m pytest tests/integration -m slow $(FOUR_WORKERS)

test-story: venv ## one complete story in a real Airflow: three videos
	.venv/bin/python -m pytest tests/system/test_complete_story.py -k three_videos

test-system: venv ## all tests in a real Airflow; FLAGS="-k callbacks"
	.venv/bin/python -m pytest tests/system $(TWO_WORKERS) $(FLAGS)

test-2.11: venv-2.11 ## the tests that need no running Airflow, with Airflow 2.11 (Python 3.11 or 3.12)
	AIRFLOW_HOME=$(CURDIR)/.venv-2.11/airflow-home .venv-2.11/bin/python -m pytest tests/unit tests/integration/durable $(SIX_WORKERS)

test-lowest: venv-lowest ## unit and integration tests with the lowest versions that are supported (Python 3.11 or 3.12)
	AIRFLOW_HOME=$(CURDIR)/.venv-lowest/airflow-home .venv-lowest/bin/python -m pytest tests/unit tests/integration $(SIX_WORKERS)

test-matrix: venv ## on every supported Airflow and Python, with the packages of two days (hours); FLAGS="--airflow 3.1"
	@.venv/bin/python -m tests.matrix $(FLAGS)

test-ui-3.1: venv-3.1 ## the pages in Airflow's UI, with Airflow 3.1 (needs Chromium)
	AIRFLOW_HOME=$(CURDIR)/.venv-3.1/airflow-home .venv-3.1/bin/python -m pytest tests/system/test_looking.py

test-ui-3.2: venv-3.2 ## the same with Airflow 3.2
	AIRFLOW_HOME=$(CURDIR)/.venv-3.2/airflow-home .venv-3.2/bin/python -m pytest tests/system/test_looking.py

# The CeleryExecutor has an environment of its own.
CHAOS_VENV := venv$(if $(findstring celery,$(FLAGS)),-celery)

chaos: $(CHAOS_VENV) ## kill all processes of a real Airflow at random, and count (half an hour); FLAGS="--executor celery"
	@.$(CHAOS_VENV)/bin/python -m tests.chaos $(FLAGS)

chaos-short: $(CHAOS_VENV) ## a few minutes of the same
	@.$(CHAOS_VENV)/bin/python -m tests.chaos --short $(FLAGS)

chaos-2.11: venv-celery-2.11 ## the same with Airflow 2.11 and the CeleryExecutor: the notes on S3
	@.venv-celery-2.11/bin/python -m tests.chaos --executor celery $(FLAGS)

coverage: venv ## how much of the package the unit and integration tests run; under 95 % of lines or branches fails
	.venv/bin/python -m coverage erase
	.venv/bin/python -m coverage run -m pytest tests/unit tests/integration $(FOUR_WORKERS) --quiet
	.venv/bin/python -m coverage combine --quiet
	.venv/bin/python -m coverage report
	@.venv/bin/python -m coverage json --quiet -o .coverage.json
	@.venv/bin/python -m tests.covered .coverage.json $(FLAGS)

mutation: venv ## make mistakes in api/, waiting/ and submissions/, and count those that tests notice; FLAGS="--sample 300"
	@.venv/bin/python -m tests.mutation $(FLAGS)

fuzz: venv ## give the parsers damaged and random answers; FLAGS="--minutes 30"
	@.venv/bin/python -m tests.fuzz $(FLAGS)

benchmark: venv-benchmark ## this package beside other providers (an hour); FLAGS=--quick for a try
	.venv-benchmark/bin/python -m benchmarks $(FLAGS)

debian: ## install what some tests need beside Python from Debian's packages (as root)
	DEBIAN_FRONTEND=noninteractive sh -c 'apt-get -qq update && \
	    apt-get -qq install -y --no-install-recommends chromium fonts-dejavu-core nginx-light postgresql redis-server >/dev/null'

lint: venv ## style and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: venv ## put the code into the style
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

check-wheel: venv venv-release ## build wheel and sdist, check both, and use the wheel beside Airflow 2.11 and 3.3 alone
	@.venv/bin/python -m tests.wheel $(FLAGS)

release: venv venv-release ## make a release of VERSION=0.2.0 up to, and without, its upload; FLAGS=--dry-run
	@.venv/bin/python -m tests.wheel.release $(VERSION) $(FLAGS)

docs: venv-docs ## build the documentation's site into docs/_build/html
	@AIRFLOW_HOME=$(CURDIR)/.venv-docs/airflow-home AIRFLOW__LOGGING__LOGGING_LEVEL=WARNING \
	    .venv-docs/bin/python -m sphinx -q -b html -E -W --keep-going -n -d docs/_build/doctrees docs docs/_build/html
	@echo "docs/_build/html/index.html"

links: venv-docs ## ask whether the addresses in the documentation are there (needs the internet)
	@AIRFLOW_HOME=$(CURDIR)/.venv-docs/airflow-home AIRFLOW__LOGGING__LOGGING_LEVEL=WARNING \
	    .venv-docs/bin/python -m sphinx -q -b linkcheck -d docs/_build/doctrees docs docs/_build/links

tutorial: venv ## follow the tutorial word by word in a fresh environment (four minutes; ports 8080 and 8089)
	@.venv/bin/python -m tests.tutorial $(FLAGS)

pictures: venv ## take the docs' pictures of the pages in Airflow's UI anew (needs Chromium)
	@.venv/bin/python -m tests.harness.pictures

pins: venv ## resolve the pinned packages anew; FLAGS=airflow-3.0 for one file
	.venv/bin/python -m tests.pins.renew $(FLAGS)

venv:
	@$(PYTHON) $(PINS)/install.py .venv $(PINS)/airflow-3.3.txt

venv-3.1 venv-3.2: venv-%:
	@$(PYTHON) $(PINS)/install.py .venv-$* $(PINS)/airflow-$*-released.txt

venv-2.11:
	@$(PYTHON_2.11) $(PINS)/install.py .venv-2.11 $(PINS)/airflow-2.11.txt

venv-lowest:
	@$(PYTHON_2.11) $(PINS)/install.py .venv-lowest $(PINS)/lowest.txt

# Whether there is a Python for it.
python-2.11:
	@$(PYTHON_2.11) $(PINS)/install.py --check $(PINS)/airflow-2.11.txt

venv-celery:
	@$(PYTHON) $(PINS)/install.py .venv-celery $(PINS)/celery.txt

venv-celery-2.11:
	@$(PYTHON_2.11) $(PINS)/install.py .venv-celery-2.11 $(PINS)/celery-2.11.txt

venv-docs:
	@$(PYTHON) $(PINS)/install.py .venv-docs $(PINS)/docs.txt

venv-release:
	@$(PYTHON) $(PINS)/install.py .venv-release $(PINS)/release.txt

venv-benchmark:
	@$(PYTHON) $(PINS)/install.py .venv-benchmark $(PINS)/benchmark.txt

clean: ## remove everything that these commands have made
	for environment in .venv .venv-2.11 .venv-3.1 .venv-3.2 .venv-lowest .venv-benchmark .venv-docs .venv-celery .venv-celery-2.11 .venv-release; do \
	    if [ -f $$environment/made-from ]; then rm -rf $$environment; fi; \
	done
	rm -rf docs/_build docs/reference .demo .chaos .tutorial .matrix .benchmark.md .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
