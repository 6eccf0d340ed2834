# Two commands do everything on a bare Debian 12 machine:
#   make        environment, engine, images, RPMs, repo, host, guest, verification, summary
#   make test   every test, the end-to-end one included
VENV   := .venv
PYTHON := $(VENV)/bin/python
INVOKE := $(VENV)/bin/invoke

.PHONY: all test check engine clean
all: $(VENV)/ready
	$(INVOKE) engine all

test: $(VENV)/ready
	$(INVOKE) engine test

check: $(VENV)/ready
	$(INVOKE) check

engine: $(VENV)/ready
	$(INVOKE) engine

# python3-venv is a package of its own in Debian; the lock pins every package by hash.
$(VENV)/ready: requirements.lock
	@rm -rf $(VENV)
	@python3 -m venv $(VENV) >/dev/null 2>&1 || { \
	  rm -rf $(VENV); \
	  test "$$(id -u)" = 0 || { echo "python3 has no venv module; an administrator runs: apt-get install python3-venv" >&2; exit 5; }; \
	  echo "  … installing python3-venv"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null && \
	  python3 -m venv $(VENV); }
	@echo "  … installing the locked Python packages into $(VENV)"
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

clean:
	rm -rf $(VENV) dist .import_linter_cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
