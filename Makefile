# All set-up happens here. A machine needs Python >= 3.11, git and make; the rest comes from PyPI.
# Not the newest first: some libraries have no wheels for it yet, and would need a compiler.
PYTHONS := python3.13 python3.12 python3.11 python3 python3.14
PYTHON ?= $(shell for python in $(PYTHONS); do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
CODE := clients demo hooks release tests
TOOLS := .work/tools
ENVIRONMENT := .work/environment
RUN := PATH="$(CURDIR)/$(ENVIRONMENT)/bin:$$PATH"

# With it, which images of containers set, each of hundreds of processes compiles its libraries anew:
# an import of the rendered app takes 2.7 s instead of 0.5 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-installed clients proof-all check format render release clean
help:
	@echo "make demo     render the template, start the result and talk to it"
	@echo "make test     check the template and what it renders"
	@echo "make test-installed  check it on PostgreSQL, Redis and others; .ci/run installs them"
	@echo "make clients  real clients, old and new, against a render; ONLY=litellm picks by name"
	@echo "make proof-all  what takes hours: each combination of extras, many seeds of chaos"
	@echo "make check    lint the template's own code"
	@echo "make format   format the template's own code"
	@echo "make render   render the working tree with ANSWERS=\"ci=none deployment=none\" into OUT"
	@echo "make release  check all, then make the release VERSION=x.y.z"
	@echo "make clean    remove what the other targets made"

demo: .work/ready
	@$(RUN) python -m demo

PYTEST := pytest -n 2 --dist loadfile --no-loadscope-reorder
test: check
	$(RUN) $(PYTEST) -m "not whole_suite and not installed and not campaign"
	$(RUN) $(PYTEST) -m "whole_suite and not installed"

test-installed: .work/ready
	$(RUN) $(PYTEST) -m "installed and not campaign"

clients: .work/ready
	@$(RUN) python -m clients $(ONLY)

proof-all: .work/ready
	$(RUN) pytest -m campaign

check: .work/ready
	$(RUN) ruff check $(CODE)
	$(RUN) ruff format --check $(CODE)
	$(RUN) mypy

format: .work/ready
	$(RUN) ruff check --fix $(CODE)
	$(RUN) ruff format $(CODE)

OUT ?= .work/render
render: .work/ready
	@rm -rf .work/render
	@$(RUN) copier copy --quiet --defaults --overwrite --vcs-ref HEAD $(addprefix --data ,$(ANSWERS)) "$(CURDIR)" "$(OUT)"
	@echo "Rendered into $(OUT)"

release: .work/ready
	@$(RUN) python -m release "$(VERSION)"

clean:
	rm -rf .work

# A private uv makes the environment, whatever the machine has or lacks.
.work/ready: pyproject.toml Makefile
	@test -n "$(PYTHON)" || { echo "This needs Python 3.11 or newer as one of: $(PYTHONS). Or name yours: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Setting up the template's tools with $$($(PYTHON) --version) (once) ..."
	@$(PYTHON) -m venv $(TOOLS) || { echo "$(PYTHON) cannot make environments: install its venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@$(TOOLS)/bin/pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
	@UV_PROJECT_ENVIRONMENT="$(CURDIR)/$(ENVIRONMENT)" $(TOOLS)/bin/uv sync --quiet --python $(TOOLS)/bin/python
	@touch $@
