#!/usr/bin/env bash
# Have the Debian packages of the tests: clamd, its sample files, c-icap, Chromium, curl, a compiler.
#
# Nothing happens where they are already there. Without root or sudo, or on another system, it
# says what is missing and how to get it, and succeeds: the tests that need it are then skipped,
# and fail in CI.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/messages.sh

missing=()
PATH="$PATH:/usr/sbin" command -v clamd >/dev/null || missing+=(clamav-daemon)
[ -d /usr/share/clamav-testfiles ] || missing+=(clamav-testfiles)
command -v c-icap >/dev/null || missing+=(c-icap)
compgen -G '/usr/lib/*/c_icap/virus_scan.so' >/dev/null || missing+=(libc-icap-mod-virus-scan)
command -v curl >/dev/null || missing+=(curl)
command -v g++ >/dev/null || missing+=(g++) # scripts/pdqhash.sh builds with it
headers=$(.venv/bin/python -c 'import sys, sysconfig; print(sys.base_prefix, sysconfig.get_path("include"))' 2>/dev/null || true)
if [ "${headers%% *}" = /usr ] && [ ! -e "${headers#* }/Python.h" ]; then # the system's own Python
    missing+=("$(.venv/bin/python -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])')")
fi
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ] && grep -qx ID=ubuntu /etc/os-release 2>/dev/null; then
    warn 'no Chromium (here it comes as a snap, by hand): the tests in a browser are skipped, or fail in CI'
elif [ -z "$browser" ]; then
    missing+=(chromium)
fi
if ((${#missing[@]} == 0)); then exit 0; fi

fate=$([ -n "${CI:-}" ] && echo 'will fail' || echo 'are skipped')
by_hand="sudo apt-get install --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
    warn "missing: ${missing[*]} (names of Debian packages; here is no apt-get): tests that need them $fate"
elif [ "$(id -u)" -eq 0 ]; then
    scripts/apt-install.sh "${missing[@]}"
elif sudo -n true 2>/dev/null; then
    sudo -n scripts/apt-install.sh "${missing[@]}"
else
    warn "missing: ${missing[*]}: tests that need them $fate. To have them, run: $by_hand"
fi
