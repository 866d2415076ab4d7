#!/bin/sh
# Resolves what the Dify plugin needs into exact versions for Python 3.12, and writes both lists that the daemon knows.
set -eu
uv=$1
python=$2
compile="$uv pip compile --quiet --upgrade --universal --python-version 3.12 --no-annotate --no-header --no-emit-index-url"
$compile dify_plugin/requirements.in --output-file dify_plugin/requirements.txt
$compile dify_plugin/requirements-milvus.in --output-file dify_plugin/requirements-milvus.txt
"$python" -m dify_package pin
