#!/bin/sh
# Asks the package index whether every pin has a wheel on every platform and Python we support.
# Intel Macs and all other Macs are asked with macOS 14, the oldest that onnxruntime's wheels know.
set -eu
uv=$1
pins=$(mktemp)
trap 'rm -f "$pins"' EXIT
cat requirements.txt requirements-models.txt | sed -E '/^ +--hash/d; s/ \\$//' > "$pins"
failed=0
for python in 3.11 3.12 3.13; do
    for platform in x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu aarch64-apple-darwin x86_64-apple-darwin x86_64-pc-windows-msvc; do
        if MACOSX_DEPLOYMENT_TARGET=14.0 "$uv" pip compile --quiet --no-deps --only-binary :all: \
            --python-version "$python" --python-platform "$platform" "$pins" --output-file /dev/null; then
            echo "wheels for Python $python on $platform: all there"
        else
            echo "wheels for Python $python on $platform: missing, see above" >&2
            failed=1
        fi
    done
done
exit $failed
