#!/bin/sh
# The memory package also lives in programs that run another Python, so its tests run there too where there is one:
# on 3.12 all of them, on another version those without a database. The versions may be named; without any it is 3.12.
set -eu
# Test tools alone: not all of requirements-dev.txt has wheels for every version.
unit_tools='execnet|hypothesis|iniconfig|packaging|pluggy|psutil|pygments|pytest|pytest-asyncio|pytest-timeout|pytest-xdist|sortedcontainers'

# PYTHON312=... (PYTHON313=...) names one that is not on the path.
find_python() {
    version=$1
    eval "named=\${PYTHON$(echo "$version" | tr -d .):-}"
    for candidate in "$named" "python$version" "$HOME/.pyenv/versions/$version"*"/bin/python$version"; do
        if [ -n "$candidate" ] && [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$version" ]; then
            echo "$candidate"
            return
        fi
    done
}

# What the tests need, as it is pinned.
pins() {
    if [ "$1" = 3.12 ]; then
        cat requirements-dev.txt
    else
        awk -v names="^($unit_tools)\$" '/^[^ ]/ { split($1, pin, "=="); kept = pin[1] ~ names } kept' requirements-dev.txt
    fi
}

test_on() {
    version=$1
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        echo "No Python $version on this machine (PYTHON$(echo "$version" | tr -d .)=... names one): the memory package was NOT tested on $version."
        return
    fi
    venv=.venv-$version
    if [ ! -e "$venv/.ready" ] || [ requirements.txt -nt "$venv/.ready" ] || [ requirements-dev.txt -nt "$venv/.ready" ]; then
        sh scripts/make_venv.sh "$python" "$venv"
        pins "$version" > "$venv/tests.txt"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --only-binary :all: --require-hashes -r "$venv/tests.txt"
        touch "$venv/.ready"
    fi
    tests=tests/unit/memory
    if [ "$version" = 3.12 ]; then tests="$tests tests/integration/memory"; fi
    echo "The memory package on $("$venv/bin/python" --version):"
    # shellcheck disable=SC2086 # two folders
    "$venv/bin/python" -m pytest -q -n "${PROCESSES:-2}" --dist loadfile $tests
}

for version in "${@:-3.12}"; do
    test_on "$version"
done
