#!/usr/bin/env bash
# The builtins give the same bits from gcc, from clang with and without vectors, and on every target that a cross compiler
# and qemu-user can run here. Hosts without any of them compare what they have; without clang: skipped.
set -euo pipefail
cd "${SOURCE:-.}"
command -v clang-19 >/dev/null || { echo "no clang-19"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-std=c11 -O2 -fno-math-errno -ffp-contract=off -I. -Iinclude tests/targets/builtins_bits.c runtime/builtins/*.c"
failed=0
compare() { # NAME RUNNER COMPILER…
    name=$1 runner=$2
    shift 2
    command -v "$1" >/dev/null || return 0
    [ -z "$runner" ] || command -v "$runner" >/dev/null || return 0
    "$@" $flags -o "$work/program"
    $runner "$work/program" >"$work/$name"
    if diff "$work/reference" "$work/$name"; then echo "$name: $(wc -l <"$work/$name") hashes agree"; else echo "$name differs"; failed=1; fi
}
clang-19 $flags -o "$work/program"
"$work/program" >"$work/reference"
[ "$(wc -l <"$work/reference")" -ge 50 ]
compare gcc "" gcc
compare clang-native "" clang-19 -O3 -march=native
compare aarch64 qemu-aarch64 aarch64-linux-gnu-gcc -static
compare armhf qemu-arm arm-linux-gnueabihf-gcc -static
compare riscv64 qemu-riscv64 riscv64-linux-gnu-gcc -static
exit $failed
