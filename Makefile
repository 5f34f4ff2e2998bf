# `make` alone lists what there is. Each target first installs what it needs, if the pins have changed.
#   NB=03                 which notebook
#   ARGS=--port=9999      more arguments for the command that a target runs, here JupyterLab
#   PYTHON=python3.12     which Python makes .venv (else the first found of 3.11 or later)

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

# ------------------------------------------------------------------ set-up

PY = .venv/bin/python
PIP = $(PY) -m pip --disable-pip-version-check install
# Empty files that say what is installed. The folder's place is in their names: a moved folder is set up again.
READY := .venv/ready-$(shell pwd | cksum | cut -d ' ' -f 1)

define CPU_HINT

torch for Linux comes with CUDA, several gigabytes. No NVIDIA GPU is seen here, and torch's CPU build is
much smaller. For that one: Ctrl-C, then PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make lab

endef
define PIP_HELP

The packages could not be installed. What pip says above usually means one of these:
  no network   behind a proxy set HTTPS_PROXY; for an index of your own set PIP_INDEX_URL
  no room      the packages need about 2 GB, with CUDA 8 GB
  no match     they exist for Python 3.11 to 3.13, on Linux, Windows and Apple-silicon Macs;
               to use another Python: make clean, then make lab PYTHON=python3.13
Then run the same command again. To start over: make clean.

endef
export PYTHON CPU_HINT PIP_HELP

$(PY):
	@python=$$(sh tools/find_python.sh) && "$$python" -m venv --clear .venv || { rm -rf .venv; exit 1; }
	@[ "$$(uname)" != Linux ] || command -v nvidia-smi > /dev/null || \
		[ -n "$$PIP_INDEX_URL$$PIP_EXTRA_INDEX_URL" ] || echo "$$CPU_HINT"

$(READY): requirements.txt pyproject.toml | $(PY)
	@$(PIP) -r requirements.txt || { echo "$$PIP_HELP"; exit 1; }
	@# no question about news, no look-ups of new versions
	@$(PY) -m jupyterlab.labextensions disable --level=sys_prefix @jupyterlab/apputils-extension:announcements
	@touch $@

$(READY)-%: $(READY)
	@$(PIP) -r requirements.txt -e ".[$*]" || { echo "$$PIP_HELP"; exit 1; }
	@touch $@

# ------------------------------------------------------------------ to learn

NOTEBOOK = $(firstword $(foreach n,$(or $(NB),01),$(wildcard notebooks/$n_*.ipynb notebooks/0$n_*.ipynb)))
SCREEN = $(if $(filter Linux,$(shell uname)),$(DISPLAY)$(WAYLAND_DISPLAY)$(BROWSER),yes)
LAB = $(PY) -m jupyterlab --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/$(NOTEBOOK) \
	--Application.log_level=WARN -y $(if $(SCREEN),,--no-browser) $(if $(filter 0,$(shell id -u)),--allow-root)

lab: $(READY)  ## open JupyterLab on the first notebook (NB=03: on the third)
	$(if $(NOTEBOOK),,$(error there is no notebook $(NB): there are $(notdir $(wildcard notebooks/*.ipynb))))
	@$(PY) -m mygpt text
	@echo "Starting JupyterLab on $(NOTEBOOK). Ctrl-C here stops it."
	@unset MAKEFLAGS MFLAGS MAKELEVEL PYTHON CPU_HINT PIP_HELP; exec $(LAB) $(ARGS)

clean:  ## remove .venv, build/ and caches; your runs, notebooks and texts stay
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache
	find . -path ./.git -prune -o -name __pycache__ -exec rm -rf {} +

.PHONY: help lab clean

# ------------------------------------------------------------------ in a clone: to go on, to teach, to change it

reset: $(READY)  ## set a notebook back, NB=03, or your exercise 2 in it, EX=2; yours is kept in my-work/
	$(if $(NB),,$(error say which notebook: make reset NB=03, or one exercise of it: make reset NB=03 EX=2))
	@$(PY) tools/reset.py $(NB) $(EX)

book: $(READY)-book  ## write the course as a web site into build/book/
	@$(PY) tools/build_book.py

colab: $(READY)-dev  ## write each notebook as one file for Colab (REPO=owner/name: with badges)
	@$(PY) tools/make_colab.py $(NB) $(if $(REPO),--repo $(REPO))

student: $(READY)-dev  ## write the course without solutions, to hand out, into build/student/
	@$(PY) tools/make_student.py

test: $(READY)-dev  ## run every test and, at small size, every notebook
	@$(PY) -m ruff format --check && $(PY) -m ruff check
	@$(PY) -m mygpt text
	@$(PY) -m pytest $(ARGS)

test-browser: $(READY)-dev $(READY)-book $(READY)-browser  ## try the notebooks and the book in a browser
	@$(PY) -m mygpt text
	@$(PY) tools/browser.py
	@$(PY) -m pytest tests/slow/test_browser.py $(ARGS)

test-all: test $(READY)-book $(READY)-browser  ## test, and all that takes longer
	@$(PY) tools/browser.py
	@$(PY) -m pytest tests/slow $(ARGS)

notebooks: $(READY)-dev  ## run the notebooks in full and save them (NB=03: only that one)
	@$(PY) tools/run_notebooks.py $(NB) $(ARGS)

reference: $(READY)-dev  ## train the laptop preset with five seeds (or PRESET=gpu, ablations): what the course compares with
	@$(PY) tools/make_reference.py $(PRESET)

bench: $(READY)-dev  ## measure speeds side by side
	@$(PY) tools/bench.py $(ARGS)

.PHONY: reset book colab student test test-browser test-all notebooks reference bench
