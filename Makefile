# make demo    a spec, a search and a verified ONNX file, from nothing but Python
# make test    the whole test suite (what needs PostgreSQL is left out where there is none: apt-get install postgresql)
# make check   style, types, and who may import whom
# make bench   the figures that README and docs quote
# make docs    the pages that are written from the code
# make clean   removes what the commands above wrote

PYTHON ?= python3
JOBS   ?= 2
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
KEY    := pyproject.toml constraints.txt

.PHONY: demo test check bench docs clean install

install: $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/mmspec build specs/fusion_gated.yaml -o build/fusion_gated
	$(BIN)/mmspec search search/digits_pareto.yaml --resume
	$(BIN)/mmspec export runs/digits_pareto/knee --target export/edge_cpu_fp32.yaml -o build/digits_knee_edge
	@echo
	@echo "front   runs/digits_pareto/front.png"
	@echo "report  runs/digits_pareto/report.html"
	@echo "model   $$(ls build/digits_knee_edge/onnx/*.onnx)"

test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

check: $(VENV)/.installed-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-test
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

docs: $(VENV)/.installed
	$(BIN)/python -m mmspec.cli.reference docs

clean:
	rm -rf build dist runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# torch comes first and by itself: asked for together with the rest, some resolvers look at every build of it.
$(VENV)/.torch: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mmspec needs Python 3.11 or newer; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "$$(grep '^torch==' constraints.txt)"
	@touch $@

$(VENV)/.installed: $(VENV)/.torch $(KEY)
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed $(KEY)
	$(PIP) install -c constraints.txt -e ".[$*]"
	@touch $@
