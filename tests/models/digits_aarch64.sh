#!/usr/bin/env bash
# The digits example compiled here for aarch64 prints what the native one prints, bar for bar and figure for figure; with
# MCC_TEST_ALL also over all held-out digits.
set -euo pipefail
command -v qemu-aarch64 aarch64-linux-gnu-gcc >/dev/null || exit 77
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
digits=$SOURCE/examples/digits

# build NAME COMPILER [MCC OPTION…]
build() {
    local name=$1 compiler=$2
    shift 2
    mkdir "$name"
    "$MCC" "$@" "$digits/digits.onnx" -o "$name/digits.o"
    "$compiler" -O2 -static -I"$SOURCE/include" -I"$name" "$digits/app.c" "$name/digits.o" -o "$name/digits"
}
build native cc
build aarch64 aarch64-linux-gnu-gcc --target=aarch64-linux-gnu

same() {
    native/digits "$@" >native/out
    qemu-aarch64 aarch64/digits "$@" >aarch64/out
    diff native/out aarch64/out
}
same "$digits/heldout.rle" 10
[ "$(grep -c 'taken for a' aarch64/out)" = 10 ]
if [ -n "${MCC_TEST_ALL:-}" ]; then same --accuracy "$digits/heldout.rle"; fi
