#!/usr/bin/env bash
# The builtins and elementwise kernels, carried as bitcode and compiled for each kind of target, call nothing that the
# model's object would have to import: no libm, no compiler run-time library. Only memcpy, memmove, memset may be open
# (and, on Arm, their __aeabi_ forms).
set -euo pipefail
cd "${SOURCE:-.}"
for tool in clang-19 llvm-link-19 llvm-dis-19 llvm-nm-19; do
    command -v "$tool" >/dev/null || { echo "no $tool"; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-std=c11 -ffreestanding -fno-math-errno -ffp-contract=off -fno-stack-protector -fno-unwind-tables
       -fno-asynchronous-unwind-tables -fomit-frame-pointer -fno-jump-tables -O2 -Xclang -disable-llvm-passes
       -I. -Iinclude -DMCC_BITCODE"

bitcode() { # TRIPLE NAME: our sources as one module that has forgotten where it was built
    for source in runtime/builtins/*.c runtime/kernels/elementwise*.c runtime/kernels/cast_small.c; do
        [ "$source" != runtime/builtins/x86_level.c ] || continue # of one architecture, and in fat objects alone: fat.py
        clang-19 --target="$1" $flags -c -emit-llvm "$source" -o "$work/$2-$(basename "$source" .c).bc"
    done
    llvm-link-19 "$work/$2"-*.bc -o "$work/$2.bc"
    llvm-dis-19 "$work/$2.bc" -o - | sed -E 's/"(target-cpu|target-features|tune-cpu)"="[^"]*"//g; /^target (triple|datalayout)/d' >"$work/$2.ll"
}
bitcode x86_64-unknown-none-elf 64
bitcode armv7-unknown-none-eabihf 32

failed=0
check() { # BITS TRIPLE OPTIONS…
    bits=$1 triple=$2
    shift 2
    clang-19 -x ir "$work/$bits.ll" --target="$triple" "$@" -O1 -ffp-contract=off -Wno-override-module -c -o "$work/out.o"
    open=$(llvm-nm-19 -u "$work/out.o" | awk '{print $NF}' | grep -vxE '(__aeabi_)?mem(cpy|move|set|clr)[48]?' || true)
    count=$(llvm-nm-19 --defined-only "$work/out.o" | grep -c ' T mcc_el_')
    if [ -n "$open" ] || [ "$count" -lt 400 ]; then
        echo "$triple $*: $count elementwise functions; imports" $open
        failed=1
    else
        echo "$triple $*: $count elementwise functions, nothing imported"
    fi
}
check 64 x86_64-unknown-linux-gnu
check 64 x86_64-unknown-linux-gnu -march=x86-64-v4
check 64 aarch64-unknown-linux-gnu
check 64 riscv64-unknown-linux-gnu -march=rv64gc
check 32 armv7-unknown-linux-gnueabihf -mfpu=vfpv3-d16
exit $failed
