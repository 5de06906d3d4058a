# Two commands do everything: `make run` and `make test`. Both set up what they need first.
PYTHON ?= python3
PORT ?= 8501
BIN := .venv/bin
# Two files of tests at a time, each on one core; the tests of one file share models, all browser tests are as one file.
WORKERS := --numprocesses 2 --dist loadfile --no-loadscope-reorder

# On Linux PyPI's torch brings CUDA, which takes gigabytes. Without an NVIDIA driver the CPU build is enough.
# TORCH=cuda or TORCH=cpu decides otherwise.
TORCH ?= $(if $(filter Linux,$(shell uname -s)),$(if $(shell command -v nvidia-smi),cuda,cpu),pypi)
TORCH_INDEX := $(if $(filter cpu,$(TORCH)),--extra-index-url https://download.pytorch.org/whl/cpu)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: setup run test check bench nightly pictures reference docs

# Create .venv and install the pinned packages; done again only when the lists change.
setup: .venv/ready

.venv/ready: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(PIP) --retries 1 --no-deps $(TORCH_INDEX) torch -c constraints.txt
	$(PIP) -r requirements.txt -c constraints.txt
	touch $@

.venv/ready-test: .venv/ready tests/requirements.txt
	$(PIP) -r tests/requirements.txt -c constraints.txt
	touch $@

# Download and build the larger model, into the user's cache. It is tried once, and again when the recipe changes.
.venv/ready-model: .venv/ready $(wildcard sample_models/updates/*/recipe.json)
	@$(BIN)/python -m app get-model || echo "The explorer opens with its small model. To try again: $(BIN)/python -m app get-model"
	@touch $@

# Serve the app on this machine: http://127.0.0.1:8501, or PORT=n.
run: setup .venv/ready-model
	$(BIN)/python -m app serve --port $(PORT)

# All tests: unit, app, and a real browser (found, or installed if that is possible; else the run says what it left out).
test: .venv/ready-test
	$(BIN)/python -m tests.browser_setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(WORKERS) -m "not slow"

# Format, lint and the quick tests.
check: .venv/ready-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(WORKERS) -m "not browser and not slow"

# Ratios measured side by side, and 1,000 damaged uploads; nothing here is a timed test.
bench: .venv/ready-test
	$(BIN)/python -m benchmarks.ffn
	$(BIN)/python -m benchmarks.capture
	$(BIN)/python -m benchmarks.generation
	$(BIN)/python -m benchmarks.depth
	$(BIN)/python -m benchmarks.chance
	$(BIN)/python -m benchmarks.cards
	$(BIN)/python -m benchmarks.browser
	$(BIN)/python -m benchmarks.uploads --kinds parquet trace
	$(BIN)/python -m benchmarks.uploads --kinds model --count 5000
	$(BIN)/python -m benchmarks.clicks
	$(BIN)/python -m benchmarks.interventions
	$(BIN)/python -m benchmarks.runs
	$(BIN)/python -m benchmarks.atlas
	$(BIN)/python -m benchmarks.studies

# What takes long: a download of the larger model's package, and Ray, which has a venv of its own beside .venv.
nightly: .venv-ray/ready
	.venv-ray/bin/python -m pytest -m slow

.venv-ray/ready: .venv/ready-test
	$(PYTHON) -m venv .venv-ray
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$(.venv-ray/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/explorer.pth"
	.venv-ray/bin/python -m pip install --quiet --disable-pip-version-check 'ray[data]==2.60.0' -c constraints.txt
	touch $@

# Remake the pictures of the README from the shipped model.
pictures: .venv/ready-test
	$(BIN)/python -m tests.browser_setup
	$(BIN)/python -m docs.make_pictures

# The reference of the Python packages, from their docstrings: docs/reference/index.html.
reference: .venv/ready-test
	$(BIN)/python -m docs.make_reference

# The documentation site: site/index.html. Its packages have a venv of their own; docstrings are read, not imported.
docs: .venv-docs/ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --strict

.venv-docs/ready: docs/requirements.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	touch $@
