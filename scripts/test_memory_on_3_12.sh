#!/bin/sh
# The memory package also lives in programs that run Python 3.12, so its tests run there too where there is one.
set -eu
find_python() {
    for candidate in "${PYTHON312:-}" python3.12 "$HOME"/.pyenv/versions/3.12*/bin/python3.12; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}
python=$(find_python)
if [ -z "$python" ]; then
    echo "No Python 3.12 on this machine (PYTHON312=... names one): the memory package was NOT tested on 3.12."
    exit 0
fi
venv=.venv-3.12
if [ ! -e "$venv/.ready" ] || [ requirements.txt -nt "$venv/.ready" ] || [ requirements-dev.txt -nt "$venv/.ready" ]; then
    sh scripts/make_venv.sh "$python" "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --only-binary :all: --require-hashes -r requirements-dev.txt
    touch "$venv/.ready"
fi
echo "The memory package on $("$venv/bin/python" --version):"
exec "$venv/bin/python" -m pytest -q -n "${PROCESSES:-2}" --dist loadfile tests/unit/memory tests/integration/memory
