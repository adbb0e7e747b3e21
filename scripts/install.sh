#!/usr/bin/env bash
# Make .venv with the locked dependencies and this package, editable: .venv/bin/ostiary.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/messages.sh

scripts/venv.sh .venv requirements/runtime.txt requirements/build.txt

stamp=.venv/.installed-ostiary
wanted=$(sha256sum pyproject.toml requirements/build.txt)
if [ ! -x .venv/bin/ostiary ] || [ ! -e "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    say "installing ostiary itself, editable"
    # The build backend is in .venv, by hash: an isolated build would fetch one that nobody checked.
    quietly .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
        --no-deps --no-index --no-build-isolation --editable .
    echo "$wanted" >"$stamp"
fi
