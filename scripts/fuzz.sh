#!/bin/sh
# Fuzzes for so many seconds a target (all of them, or those that are named), then tries new examples of the
# property tests, and walks one random walk of its own seed.
# What was interesting stays in tmp/fuzz; a crash is kept there too, and `python -m fuzz.NAME FILE` repeats it.
set -eu
python=$1
seconds=$2
shift 2
[ $# -gt 0 ] || set -- messages frames identity ota settings
"$python" -c "import atheris" 2>/dev/null ||
    "$python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements-fuzz.txt
for target in "$@"; do
    corpus=tmp/fuzz/$target
    mkdir -p "$corpus"
    echo "fuzz.$target: $seconds s"
    if ! "$python" -m "fuzz.$target" "$corpus" "fuzz/seeds/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
        -verbosity=0 -artifact_prefix="tmp/fuzz/$target-" > "$corpus.log" 2>&1; then
        tail -n 30 "$corpus.log"
        exit 1
    fi
done
echo "the property tests, with new examples"
"$python" -m pytest -q --hypothesis-profile=default tests/fuzz --deselect tests/fuzz/test_random_device.py
FUZZ_SEED=$("$python" -c "import secrets; print(secrets.randbits(32))") "$python" -m pytest -q -s tests/fuzz/test_random_device.py 2>/dev/null
