#!/usr/bin/env bash
# Print the command of a Python >= 3.11 that can make virtual environments.
#
# $PYTHON if it is set, else python3, else newer ones under their own names. On Debian and Ubuntu
# the venv module is a package of its own: root gets it installed, everybody else is told how.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/messages.sh

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

makes_venvs() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.11 or newer."
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.14; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed, and python3 is $(python3 --version 2>/dev/null || echo missing)." \
        "Install one (Debian 12, Ubuntu 24.04 and later: apt-get install python3 python3-venv)," \
        "or name it: make PYTHON=/path/to/python3.12 ..."
}

python=$(find_python)
if ! makes_venvs "$python"; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if ! command -v apt-get >/dev/null; then
        fail "$python lacks the modules venv and ensurepip: install them from where your Python came."
    elif [ "$(id -u)" -ne 0 ]; then
        fail "$python lacks the modules venv and ensurepip. Run: sudo apt-get install $package"
    fi
    scripts/apt-install.sh "$package" >&2
    makes_venvs "$python" || fail "$package is installed, and still $python can't make virtual environments."
fi
echo "$python"
