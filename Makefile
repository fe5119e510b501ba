# Every target sets .venv up by itself, once: with uv where it is present, else with venv and pip.
# ARGS is handed on: `make test ARGS="tests/cli -x"`, `make demo ARGS=--ask`.

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: demo test check bench lock clean tiny draft baseline report
.DEFAULT_GOAL := test

demo: $(STAMP)
	$(PY) docs/demo/demo.py $(ARGS)

# Three at a time: a small machine has two cores, and many tests wait for processes. They start
# hundreds, some of which may not write bytecode.
test: $(STAMP)
	@$(PY) -m compileall -q punie
	$(PY) -m pytest -n 3 --dist worksteal $(ARGS)

check: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache

# Everything that is measured; fails when a limit is missed.
bench: $(STAMP)
	@failed=0; run() { echo; echo "== $$*"; "$$@" || failed=1; }; \
	run $(VENV)/bin/punie bench punie-tiny; \
	run $(VENV)/bin/punie bench punie-tiny --against mlx-lm; \
	if test "$$(uname)" = Linux; then \
		run $(VENV)/bin/punie bench punie-tiny --openblas --only speculation,batch; \
	fi; \
	for bench in tests/bench/bench_*.py; do run $(PY) $$bench; done; \
	exit $$failed

# The bundled model from nothing, by its recipe, into the package, with its card. About an hour and a
# half on two cores; a second call goes on where the first was stopped.
tiny: $(STAMP)
	$(VENV)/bin/punie pipeline run tiny --store build/pipelines
	$(PY) -m punie.evaluation.tiny --bundle tiny --card docs/tiny-model.md
	$(MAKE) baseline
	$(MAKE) report

# How the bundled model does the items that `make test` holds it to (docs/evaluation.md), anew.
BASELINE := tests/evaluation/baseline
baseline: $(STAMP)
	$(VENV)/bin/punie eval --suite generated-tiny --suite discrimination --limit 40 \
		--model punie-tiny --keep-baseline $(BASELINE)

# How the bundled model does every suite, beside what others reported of theirs: the page in
# docs/results. A second call goes on.
REPORT := build/report
report: $(STAMP)
	@export PUNIE_STATE_DIR=$(REPORT)/state; set -e -x; \
	$(VENV)/bin/punie eval --suite all --model punie-tiny --out $(REPORT)/run \
		--keep-baseline docs/results/bundled-model; \
	$(VENV)/bin/punie track import-reported; \
	$(VENV)/bin/punie track export last --out docs/results/bundled-model.md

# A draft model for the bundled one, a sixth of its size: taught by its answers and its logits.
# `draft_model = "<here>/build/draft/model"` in the settings uses it. A second call goes on.
DRAFT := build/draft
draft: $(STAMP)
	test -d $(DRAFT)/data || \
		$(VENV)/bin/punie dataset generate --out $(DRAFT)/data --preset tiny --train 12000
	$(VENV)/bin/punie draft train punie-tiny $(DRAFT)/data --out $(DRAFT)/model

# The lock holds every extra for every platform, with hashes and without index addresses.
lock: $(STAMP)
	uv pip compile -q --universal --all-extras --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The lock is also pip's constraint: without it pip takes a requirement with an extra, such as
# pydantic[email], for one that is not pinned.
$(STAMP): requirements.lock pyproject.toml
	@set -e; \
	if command -v uv >/dev/null 2>&1; then \
		echo "Setting up $(VENV) with uv (once)"; \
		test -x $(PY) || uv venv -q --python '>=3.11,<3.15' $(VENV); \
		uv pip install -q --python $(PY) --compile-bytecode --require-hashes \
			-r requirements.lock; \
		uv pip install -q --python $(PY) --no-deps --no-build-isolation -e .; \
	else \
		python=""; \
		for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
			if $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
				2>/dev/null; then python=$$candidate; break; fi; \
		done; \
		test -n "$$python" || { echo "Punie needs Python 3.11 to 3.14; none was found." >&2; exit 1; }; \
		echo "Setting up $(VENV) with $$python (once, takes a few minutes)"; \
		$$python -m venv $(VENV); \
		$(PY) -m pip install -q --disable-pip-version-check --require-hashes \
			-r requirements.lock -c requirements.lock; \
		$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi
	@touch $@
