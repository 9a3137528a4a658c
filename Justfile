# What people type. Each word installs what it needs on first use, into .venv and nowhere else.

set positional-arguments
set shell := ["bash", "-euo", "pipefail", "-c"]

jessy := ".venv/bin/jessy"

# Say what there is
default:
    @just --list --unsorted

# Build a recipe: base, data, training, GGUF, evaluation, deployment, report
build recipe *flags: _install
    @{{ jessy }} build "$@"

# Say what a build would do, and why
plan recipe *flags: _install
    @{{ jessy }} plan "$@"

# Say every problem of a recipe; without one, lint and type-check this repository
check *recipe:
    @if [ $# -gt 0 ]; then just _install; {{ jessy }} check "$@"; else just _lint; fi

# Some prompts as the teacher gets them; asked for real: just preview recipes/jessy.yaml -n 2 --ask
preview recipe *flags: _install
    @{{ jessy }} preview "$@"

# Compare two recipes, locks, builds (build:1), revisions (HEAD~1:recipes/quickstart.yaml) or ollama:jessy:v2
diff a b *flags: _install
    @{{ jessy }} diff "$@" || [ $? -eq 10 ]

# Talk to a built model
chat recipe *flags: _install
    @{{ jessy }} chat "$@"

# Progress of a recipe, what was spent, and its last builds; without one, all recipes built here
status *flags: _install
    @{{ jessy }} status "$@"

# Why a step of the last build ran or was reused, or where an example comes from
why recipe *what: _install
    @{{ jessy }} why "$@"

# The versions of a model: cost, time, metrics, and which one is live
history name *flags: _install
    @{{ jessy }} history "$@"

# One example, and all that is known of where it comes from
show item *flags: _install
    @{{ jessy }} show "$@"

# Read, edit, accept and reject the examples of the last build, on a local page
review recipe *flags: _install
    @{{ jessy }} review "$@"

# Write the built data set for other tools: just export recipes/quickstart.yaml --format chat -o out
export recipe *flags: _install
    @{{ jessy }} export "$@"

# Make the version live again in Ollama that was live before, or a certain one: --to v1
rollback recipe *flags: _install
    @{{ jessy }} rollback "$@"

# Remove from the store what no recent build, lock or live model needs: just gc --dry-run
gc *flags: _install
    @{{ jessy }} gc "$@"

# Where the HTML report of a recipe lies
report recipe *flags: _install
    @{{ jessy }} report "$@"

# Base models, and what each takes to train here: just bases recipes/quickstart.yaml
bases *flags: _install
    @{{ jessy }} bases "$@"

# What this machine has and lacks
doctor *flags: _install
    @{{ jessy }} doctor "$@"

# A small project of your own
init folder: _install
    @{{ jessy }} init "$@"

# Train on an NVIDIA GPU from now on (Linux, driver 580 or newer; 3 GB of libraries)
cuda: _install
    @touch .venv/.cuda && just _cuda

# All tests on all cores, the slow real ones too: just test -m 'not real' leaves those out
test *flags: _install_dev
    @.venv/bin/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder "$@"

# Speed and memory, measured here and written to bench/results/
bench *names: _install_dev
    @.venv/bin/python bench/run.py "$@"

# Mend what can be mended by itself
fix: _install_dev
    .venv/bin/ruff check --fix -q .
    .venv/bin/ruff format -q .

# Take newer versions of everything, within the limits of pyproject.toml
lock: _uv
    uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --upgrade --extra mlx --extra sources pyproject.toml -o requirements.txt
    uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --upgrade --extra mlx --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt
    echo 'mlx[cuda13]' | uv pip compile -q - --python-platform x86_64-manylinux_2_35 --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade -c requirements.txt -o requirements-cuda.txt

# Generate what is generated: schemas, the reference of recipes and the table of errors
docs: _install
    {{ jessy }} schema > schemas/recipe.schema.json
    {{ jessy }} schema --md > docs/recipe.md
    {{ jessy }} schema preview > schemas/preview.schema.json
    {{ jessy }} schema plan > schemas/plan.schema.json
    {{ jessy }} schema plans > schemas/plans.schema.json
    {{ jessy }} schema compared > schemas/compared.schema.json
    {{ jessy }} schema missing > schemas/missing.schema.json
    {{ jessy }} schema diff > schemas/diff.schema.json
    {{ jessy }} schema lock > schemas/lock.schema.json
    for name in suite tokens why status overview history show review export rollback gc bases; do {{ jessy }} schema $name > schemas/$name.schema.json; done
    .venv/bin/python -m tests.recipe.errors_page

_lint: _install_dev
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .
    .venv/bin/mypy

_install:
    @[ .venv/.run -nt requirements.txt ] && [ .venv/.run -nt pyproject.toml ] || just _sync requirements.txt .run

_install_dev: _install
    @[ .venv/.dev -nt requirements-dev.txt ] || just _sync requirements-dev.txt .dev

_sync file stamp: _uv
    @echo "Installing into .venv (a few minutes the first time) …"
    @[ -x .venv/bin/python ] || uv venv -q --python '>=3.11' .venv
    @uv pip install -q --python .venv --require-hashes -r {{ file }}
    @uv pip install -q --python .venv --no-deps -e .
    @[ ! -e .venv/.cuda ] || just _cuda
    @touch .venv/{{ stamp }}

# In the place of the CPU's back end: both have a libmlx.so, at the same path
_cuda: _uv
    @uv pip uninstall -q --python .venv mlx-cpu
    @uv pip install -q --python .venv --reinstall-package mlx-cuda-13 --require-hashes -r requirements-cuda.txt

_uv:
    @command -v uv > /dev/null || { echo "uv is missing. Install it with: pip install uv" >&2; exit 1; }
