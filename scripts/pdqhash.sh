#!/usr/bin/env bash
# Build pdqhash, which has no wheel, and put it into .venv, for the tests of the engine `perceptual`.
#
# From its source by hash, with locked build tools, in a virtual environment of its own that keeps the
# wheel. Quick when nothing changed. Without a compiler or Python's headers (scripts/debian.sh gets
# them where it may) it says what is missing, and succeeds: those tests are skipped, and fail in CI.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/messages.sh

python=.venv/bin/python
workshop=.peers/pdqhash
stamp=.venv/.installed-pdqhash
built=$workshop/wheels/.built
wanted=$({ "$python" --version && cat requirements/pdqhash.txt requirements/pdqhash-build.txt; } | sha256sum)

if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

if [ ! -e "$built" ] || [ "$(cat "$built")" != "$wanted" ]; then
    header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
    if ! command -v g++ >/dev/null || [ ! -e "$header" ]; then
        warn "no C++ compiler (g++) or no $header: tests of perceptual lists" \
            "$([ -n "${CI:-}" ] && echo 'will fail' || echo 'are skipped')"
        exit 0
    fi
    scripts/venv.sh "$workshop" requirements/pdqhash-build.txt
    say "building pdqhash"
    rm -rf "$workshop/wheels"
    quietly "$workshop/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-input --no-deps \
        --no-build-isolation --no-binary pdqhash --require-hashes --requirement requirements/pdqhash.txt \
        --wheel-dir "$workshop/wheels"
    echo "$wanted" >"$built"
fi

quietly "$python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-index \
    --force-reinstall "$workshop"/wheels/pdqhash-*.whl
echo "$wanted" >"$stamp"
