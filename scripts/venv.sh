#!/usr/bin/env bash
# Put what LOCK files name into the virtual environment FOLDER: pinned, by hash, wheels only.
#
# usage: scripts/venv.sh FOLDER LOCK...
# Quick when nothing changed: a stamp in FOLDER holds a digest of the locks. An environment that
# was moved, or whose Python went away, is made anew.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/messages.sh

folder=$1
shift
python="$folder/bin/python"
place="$folder/.place"
stamp="$folder/.installed-$(basename -s .txt "$@" | paste -sd+)"

usable() {
    "$python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || return 1
    [ ! -e "$place" ] || [ "$(cat "$place")" = "$PWD" ] # its scripts name this path in their first line
}

digest() { { "$python" --version && cat "$@"; } | sha256sum; }

if ! usable; then
    base=$(scripts/python.sh)
    say "making $folder with $("$base" --version)"
    quietly "$base" -m venv --clear "$folder"
    echo "$PWD" >"$place"
fi

wanted=$(digest "$@")
if [ ! -e "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    say "installing $* into $folder"
    quietly "$python" -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --only-binary :all: "${@/#/--requirement=}"
    echo "$wanted" >"$stamp"
fi
