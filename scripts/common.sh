# shellcheck shell=bash
# Sourced by the scripts beside it: finds the checkout, and brings what scripts/packages.txt lists.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

say() { printf '\n== %s\n' "$*"; }

# section NAME: the lines of one section of packages.txt
section() {
    awk -v want="[$1]" '/^\[/ { inside = $0 == want; next } inside && NF && !/^#/' scripts/packages.txt
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need_packages SECTION…: installs what is not there yet; silent about what is
need_packages() {
    local wanted missing
    wanted=$(for name; do section "$name"; done | sort -u)
    missing=$(comm -23 <(printf '%s\n' "$wanted") \
        <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | sed -n 's/^.i  *//p' | sort -u) | xargs)
    if [ -z "$missing" ]; then
        say "Debian packages ($*): all installed"
        return
    fi
    say "Debian packages ($*): installing $missing"
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq
    # shellcheck disable=SC2086  # a list of words
    as_root env DEBIAN_FRONTEND="$DEBIAN_FRONTEND" apt-get install -y -qq --no-install-recommends $missing
}

# need_node_modules: the npm packages into build/npm, again when the list has changed
need_node_modules() {
    local dir=build/npm wanted
    wanted=$(section node_modules)
    if [ "$(cat "$dir/installed" 2>/dev/null)" = "$wanted" ]; then
        say "npm packages in $dir: all installed"
        return
    fi
    command -v npm >/dev/null || need_packages npm
    say "npm packages: installing $(xargs <<<"$wanted") into $dir"
    rm -rf "$dir"
    mkdir -p "$dir"
    # shellcheck disable=SC2086  # a list of words
    npm install --prefix "$dir" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error $wanted
    printf '%s\n' "$wanted" >"$dir/installed"
}

# build PRESET: configures and compiles one preset of CMakePresets.json
build() {
    say "building preset $1"
    cmake --preset "$1" >/dev/null
    cmake --build --preset "$1"
}
