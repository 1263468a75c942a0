# Two commands: `make demo` sets up and runs the main job, `make test` sets up and passes the tests.
PYTHON ?= python3
VENV := .venv
YOLO := .venv-yolo
READY := $(VENV)/.ready
YOLO_READY := $(YOLO)/.ready
# File by file, in the order of tests/conftest.py; more than the cores, since many tests wait for flights.
SPREAD := -n 4 --dist loadfile --no-loadscope-reorder

# Names and texts in Chinese are read and written alike under any locale.
export PYTHONUTF8 := 1
# The tests start some hundred processes: each would compile all sources again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test test-explore check test-yolo bench wheel clean

help:
	@echo "make demo       set up, fly the demonstration patrol on simulated drones, open runs/latest/report.html afterwards"
	@echo "make test       set up and run the tests, the same examples every time"
	@echo "make test-explore  the same tests with examples that nobody has tried yet"
	@echo "make check      lint, types, import contracts"
	@echo "make test-yolo  set up the heavy extra (ultralytics, several GB) and run its tests"
	@echo "make bench      the benchmarks, printed as ratios"
	@echo "make wheel      build the wheel into dist/"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"Python 3.11 or later is needed, this is {v.major}.{v.minor}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

$(YOLO_READY): pyproject.toml
	$(PYTHON) -m venv $(YOLO)
	$(YOLO)/bin/python -m pip install --quiet --disable-pip-version-check -r scripts/yolo-requirements.txt
	$(YOLO)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

demo: $(READY)
	$(VENV)/bin/dronectl demo

test: $(READY)
	$(VENV)/bin/python -m pytest $(SPREAD)

test-explore: $(READY)
	$(VENV)/bin/python -m pytest $(SPREAD) --hypothesis-profile=explore

check: $(READY)
	scripts/check

test-yolo: $(YOLO_READY)
	$(YOLO)/bin/python -m pytest -m yolo tests/yolo

bench: $(READY)
	$(VENV)/bin/python -m bench

wheel: $(READY)
	$(VENV)/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) $(YOLO) dist runs
