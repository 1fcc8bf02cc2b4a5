#!/usr/bin/env bash
# Straight-line code of sparse products for aarch64 and for x86-64 with AVX2: the layers of
# tests/unit/test_sparse_code.c executed under qemu and checked, registers that must stay
# included.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
test="${BUILD:-build}/tests/unit_test_sparse_code"

# triple, processor, compiler, the command that executes it
check() {
    "$3" -std=gnu11 -O2 -Wall -Wextra -Werror -static "${SOURCE:-.}/tests/targets/sparse_runner.c" -o "$work/runner"
    "$test" "$1" "$2" "$work/layers"
    "${@:4}" "$work/runner" <"$work/layers" >"$work/results"
    "$test" "$1" "$2" "$work/layers" "$work/results"
}

has() {
    for tool; do command -v "$tool" >/dev/null || { echo "no $tool"; return 1; }; done
}

ran=
if has aarch64-linux-gnu-gcc qemu-aarch64; then
    check aarch64-linux-gnu neoverse-n1 aarch64-linux-gnu-gcc qemu-aarch64
    ran=yes
fi
if [ "$(uname -m)" = x86_64 ] && has qemu-x86_64; then
    check x86_64-linux-gnu haswell gcc qemu-x86_64 -cpu Haswell
    ran=yes
fi
[ -n "$ran" ] || exit 77
