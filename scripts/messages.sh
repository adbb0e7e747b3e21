# shellcheck shell=bash
# Sourced by the other scripts: how they talk. Progress goes to stdout, trouble to stderr.

say() { printf '==> %s\n' "$*"; }

warn() { printf 'warning: %s\n' "$*" >&2; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# quietly COMMAND...: run it without its chatter; when it fails, show all of it.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if ((status)); then cat "$log" >&2; fi
    rm -f "$log"
    return "$status"
}
