# `make run` starts the server, `make test` proves it; each builds what it needs first.
PYTHON ?= python3
VENV := .venv
PROCESSES ?= 2
BIN := $(VENV)/bin
# Dialogues in the form of LoCoMo's are not in here: those in data are taken, or in the data of a folder beside this one.
DATA ?= $(firstword $(wildcard data/locomo*.json ../*/data/locomo*.json))
PIP_INSTALL := install --quiet --disable-pip-version-check --no-compile --only-binary :all: --require-hashes

.DEFAULT_GOAL := help
.PHONY: help run chat test check bench bench-memory bench-plugin plugin fuzz lock lock-plugin check-lock clean

help:
	@echo "make run           start the server (PRESET=openai for real models, ARGS=... for options)"
	@echo "make chat          talk to the running server from this terminal"
	@echo "make test          every test (PROCESSES=2 at once); the memory's on Python 3.12 and 3.13 too, if they are there"
	@echo "make check         format, lint, types, arrows, unit tests"
	@echo "make bench         how soon devices hear an answer, and what it costs (ARGS=... for one case, a profile)"
	@echo "make bench-memory  how much memory finds, and how fast (DATA=dialogues.json, ARGS=... for its part on speed)"
	@echo "make bench-plugin  the Dify plugin's memory against the public plugin's way of working (ARGS=... for one case)"
	@echo "make plugin        the Dify plugin as dist/mem0-VERSION.difypkg, checked (WITH=milvus for Milvus's client)"
	@echo "make fuzz          look for inputs that break a promise (FUZZ_SECONDS=60 a target; Linux)"
	@echo "make lock          resolve requirements*.in again; make lock-plugin: those of the plugin"
	@echo "make check-lock    whether every pin has a wheel for every platform"
	@echo "make clean         remove environments and caches; what the server keeps in data and tmp stays"
	@echo "PYTHON=python3.12 names the Python that .venv is made with"

run: $(VENV)/.ready
	@exec $(BIN)/python -m xiaozhi_server serve $(if $(PRESET),--preset $(PRESET)) $(ARGS)

chat: $(VENV)/.ready
	@exec $(BIN)/python -m firmware_sim chat $(ARGS)

test: $(VENV)/.ready-dev
	@$(BIN)/python -m pytest -q -n $(PROCESSES) --dist loadfile $(ARGS)
	@PROCESSES=$(PROCESSES) sh scripts/test_memory_on_3_12.sh 3.12 3.13

check: $(VENV)/.ready-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=dify_plugin $(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/unit

bench: $(VENV)/.ready-dev
	@$(BIN)/python -m bench.server --json bench.json $(ARGS)

bench-memory: $(VENV)/.ready-dev
	@$(BIN)/python -m bench.recall $(if $(DATA),--data "$(DATA)") --json recall.json
	@$(BIN)/python -m bench.extraction --json extraction.json
	@$(BIN)/python -m bench.forgetting --json forgetting.json
	@$(BIN)/python -m bench.transfer --json transfer.json
	@$(BIN)/python -m bench.memory_speed --json memory-speed.json $(ARGS)

bench-plugin: $(VENV)/.ready-dev
	@$(BIN)/python -m bench.plugin --json plugin.json $(ARGS)

plugin: $(VENV)/.ready
	@$(BIN)/python -m dify_package build --out dist $(if $(WITH),--with $(WITH)) --check

$(VENV)/.ready: requirements.txt requirements-models.txt
	@sh scripts/make_venv.sh "$(PYTHON)" "$(VENV)"
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.txt
	@$(BIN)/python -m pip $(PIP_INSTALL) -r requirements-dev.txt
	@touch $@

fuzz: $(VENV)/.ready-dev
	@sh scripts/fuzz.sh "$(BIN)/python" "$(or $(FUZZ_SECONDS),60)" $(ARGS)

lock: $(VENV)/.ready-lock
	@sh scripts/lock.sh "$(BIN)/uv"

lock-plugin: $(VENV)/.ready-lock
	@sh scripts/lock_plugin.sh "$(BIN)/uv" "$(BIN)/python"

check-lock: $(VENV)/.ready-lock
	@sh scripts/check_lock.sh "$(BIN)/uv"

$(VENV)/.ready-lock: $(VENV)/.ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

clean:
	rm -rf $(VENV) .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
