# Each of these does all of its own set-up (.ci/setup): a fresh Debian with git, python3 and make
# is enough.
PYTHON := .venv/bin/python

.PHONY: help run test docs bench load soak peers model demo clean

help:
	@echo "make run     hear you (without a microphone: hear the demo recording)"
	@echo "make test    lint, types, tests"
	@echo "make docs    build the documentation site -> build/site, every link checked"
	@echo "make bench   what spotting costs here, how well it hears -> benchmarks/*.json"
	@echo "make load    how many streams one core holds, beside a peer -> benchmarks/serve.json"
	@echo "make soak    hours of listening, losses and reloads -> benchmarks/soak.json (10 minutes)"
	@echo "make peers   other spotters beside this one -> benchmarks/peers.json (an hour)"
	@echo "make model   train the bundled models again, first stage and verifier (needs the"
	@echo "             recordings; some hours); run it again after a stop: it goes on"
	@echo "make demo    say the demo recording and the tests' words again, take the picture"
	@echo "make clean   remove what the others made"

run:
	@.ci/setup run
	@.venv/bin/kws listen --demo

test:
	@.ci/setup test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	@.ci/pytest

docs:
	@.ci/setup docs
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet
	@echo "build/site/index.html"

bench:
	@.ci/setup test
	$(PYTHON) -m benchmarks.cost
	$(PYTHON) -m benchmarks.scale
	$(PYTHON) -m benchmarks.accuracy
	$(PYTHON) -m benchmarks.gate
	$(PYTHON) -m benchmarks.det

load:
	@.ci/setup test
	$(PYTHON) -m benchmarks.serve --work .peers

soak:
	@.ci/setup test
	$(PYTHON) -m benchmarks.soak

peers:
	@.ci/setup test
	$(PYTHON) -m benchmarks.peers --work .peers --cost

model:
	@.ci/setup test
	$(PYTHON) -m export.training
	$(PYTHON) -m export.training.verifier
	$(PYTHON) -m export.training.negatives

demo:
	@.ci/setup voices
	$(PYTHON) -m export.demo
	$(PYTHON) tests/words/say.py
	$(PYTHON) -m export.clips
	$(PYTHON) -m benchmarks.picture

clean:
	rm -rf .venv .venv-torch .venv-docs tests/node/node_modules .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
