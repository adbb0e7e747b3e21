#!/usr/bin/env bash
# Write requirements/*.txt anew: every version pinned, with hashes, for all Pythons that we support.
#
# What is pinned already stays where it still fits; UPGRADE=1 takes the newest of everything.
# The files name no package index: each machine uses its own.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/messages.sh

# lock NAME ARGUMENT...: write requirements/NAME.txt (uv's own arguments say from what).
lock() {
    local name=$1
    shift
    say "requirements/$name.txt"
    .peers/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --only-binary :all: \
        --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
        ${UPGRADE:+--upgrade} --output-file "requirements/$name.txt" "$@"
}

scripts/venv.sh .peers/uv requirements/uv.txt

lock runtime pyproject.toml
lock build --constraint requirements/runtime.txt requirements/build.in
lock dev --constraint requirements/runtime.txt --constraint requirements/build.txt --group dev
lock synapse requirements/synapse.in
lock node requirements/node.in
lock pdqhash --no-binary pdqhash requirements/pdqhash.in # it has wheels for other systems alone
lock pdqhash-build --constraint requirements/dev.txt requirements/pdqhash-build.in
lock uv requirements/uv.in
