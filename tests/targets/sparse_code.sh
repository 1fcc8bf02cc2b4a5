#!/usr/bin/env bash
# Straight-line code of sparse products for aarch64: the layers of tests/unit/test_sparse_code.c executed under
# qemu-aarch64 and checked, registers that must stay included.
set -euo pipefail
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v "$tool" >/dev/null || { echo "no $tool"; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
test="${BUILD:-build}/tests/unit_test_sparse_code"
aarch64-linux-gnu-gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static "${SOURCE:-.}/tests/targets/sparse_runner.c" -o "$work/runner"
"$test" aarch64-linux-gnu neoverse-n1 "$work/layers"
qemu-aarch64 "$work/runner" <"$work/layers" >"$work/results"
"$test" aarch64-linux-gnu neoverse-n1 "$work/layers" "$work/results"
