# The commands of README.md. Each installs first; the install is quick when nothing changed.
# TORCH_INDEX=<index> takes torch from another package index, for a CPU-only build. EXTRAS are those of the image.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0
TORCH_INDEX ?=
NAME ?=
EXTRAS ?= postgres,s3
# Tests mostly wait for processes that they started; each of these has one thread for its arithmetic.
TESTERS ?= 2
STAMP := $(VENV)/.installed
PIP := $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt

.PHONY: install demo test lint docs audit format bench browser service data-folder

install: $(STAMP)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What torch itself needs always comes from the default index: another one seldom has the versions we pin.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) --no-deps $(TORCH))
	$(PIP) $(TORCH)
	$(PIP) -e '.[dev]'
	touch $@

service: | $(BIN)/python  # what the image needs: no development tools
	$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) --no-deps $(TORCH))
	$(PIP) $(TORCH)
	$(PIP) '.[service,$(EXTRAS)]'

data-folder:  # the image's: a volume mounted there belongs to the user the service runs as
	install -d -o 10001 -g 10001 /data

demo: install
	$(BIN)/python -m benchmarks.demo

test: install browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadfile

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --severity-level medium adapt app workers
	$(MAKE) --no-print-directory docs

# Anew each time, since tables of the pages come from the code. A link that leads nowhere, a page that nothing leads to or
# a table that cannot be made ends it with 1. Nothing is fetched.
docs: install  # the site of docs/ in build/site
	$(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet -b html -d build/doctrees docs build/site

# Needs the advisories of pypi.org, so it is no part of `lint`. pip-audit has an environment of its own: what it brings
# is no business of the service. What is installed is looked at, in the versions that constraints.txt pins.
audit: install
	test -x $(VENV)-audit/bin/pip-audit || { $(PYTHON) -m venv $(VENV)-audit && \
	  $(VENV)-audit/bin/pip install -q --disable-pip-version-check 'pip-audit>=2.10,<3'; }
	$(VENV)-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	@test -n "$(NAME)" || { echo "give NAME=<name>, a script of benchmarks/" >&2; exit 2; }
	$(BIN)/python -m benchmarks.$(NAME)

# Debian's package; the tests' driver and axe-core come from the package index with the rest.
browser: install
	@command -v chromium >/dev/null || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } || \
	  { echo "the browser tests need chromium: install it as root, or put it on the PATH" >&2; exit 1; }
