#!/usr/bin/env bash
# As root: install Debian packages, and start none of their services, now or at the next boot.
#
# usage: scripts/apt-install.sh PACKAGE...
# It says what it adds before it does. A policy-rc.d of ours forbids services to start meanwhile;
# one that was there is put back as it was. Units that came with the new packages are disabled.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/messages.sh

export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C.UTF-8
policy=/usr/sbin/policy-rc.d
kept=$policy.before-ostiary
mark='# Ostiary: no service starts while its test packages are installed'

apt() { apt-get -qq -o DPkg::Lock::Timeout=300 "$@"; }

refresh_lists() {
    say "refreshing Debian's package lists"
    quietly apt update
}

# Prints one line per package that `install` would add or upgrade.
plan() { apt install --no-install-recommends --no-remove --simulate "$@" 2>/dev/null | grep '^Inst '; }

forbid_services() {
    exec 9</usr/sbin
    flock 9 # another clone may be doing the same
    if [ -e "$kept" ]; then
        mv -f "$kept" "$policy" # an earlier run was killed
    elif [ -e "$policy" ] && grep -qF "$mark" "$policy"; then
        rm "$policy" # likewise, and there was none before
    fi
    trap allow_services EXIT
    if [ -e "$policy" ] || [ -L "$policy" ]; then mv "$policy" "$kept"; fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
    chmod 755 "$policy"
}

allow_services() {
    trap - EXIT
    rm -f "$policy"
    if [ -e "$kept" ] || [ -L "$kept" ]; then mv "$kept" "$policy"; fi
    exec 9<&-
}

# Packages enable their units even when policy-rc.d keeps them from starting.
disable_units() {
    command -v systemctl >/dev/null || return 0
    local unit
    for unit in $(dpkg-query --listfiles "$@" | sed -nE 's#^(/usr)?/lib/systemd/system/([^/@]+\.(service|socket|timer|path))$#\2#p'); do
        if [ "$(systemctl is-enabled "$unit" 2>/dev/null)" = enabled ]; then
            say "disabling $unit, which came along"
            quietly systemctl disable "$unit"
        fi
    done
}

planned=$(plan "$@") || { refresh_lists && planned=$(plan "$@"); } || fail "apt-get can't install: $*"
mapfile -t added < <(awk '$3 !~ /^\[/ {print $2}' <<<"$planned")
mapfile -t upgraded < <(awk '$3 ~ /^\[/ {print $2}' <<<"$planned")
say "adding Debian packages: ${added[*]}"
if ((${#upgraded[@]})); then say "upgrading Debian packages: ${upgraded[*]}"; fi

forbid_services
quietly apt install --no-install-recommends --no-remove "$@" || {
    refresh_lists # stale lists name files that the mirror no longer has
    quietly apt install --no-install-recommends --no-remove "$@"
}
allow_services
if ((${#added[@]})); then disable_units "${added[@]}"; fi
