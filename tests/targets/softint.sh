#!/usr/bin/env bash
# The __aeabi_ helpers that mcc carries for 32-bit Arm: right under qemu, in place of the C library's, and importing nothing
# themselves. On Thumb-1 no integer helper calls itself; what else it calls is one of them.
set -euo pipefail
cd "${SOURCE:-.}"
for tool in clang-19 ld.lld-19 llvm-nm-19 llvm-objdump-19 arm-linux-gnueabihf-gcc qemu-arm; do
    command -v "$tool" >/dev/null || { echo "no $tool"; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-std=c11 -ffreestanding -fno-math-errno -ffp-contract=off -O2 -I. -Iinclude -Wall -Wextra -Werror -DMCC_BITCODE"
for source in softint softfloat soft; do
    clang-19 --target=armv7-linux-gnueabihf $flags -c runtime/builtins/$source.c -o "$work/$source.o"
done
ld.lld-19 -r "$work/softint.o" "$work/softfloat.o" "$work/soft.o" -o "$work/all.o"
open=$(llvm-nm-19 -u "$work/all.o" | awk '{print $NF}')
[ -z "$open" ] || { echo "the helpers import" $open; exit 1; }
arm-linux-gnueabihf-gcc -std=c11 -O1 -static -Wl,--allow-multiple-definition tests/targets/softint.c "$work/all.o" -o "$work/test"
qemu-arm "$work/test"
for name in uidiv idiv uidivmod idivmod uldivmod ldivmod llsl llsr lasr lmul l2f l2d f2lz d2lz ul2f ul2d f2ulz d2ulz; do
    grep -q " T __aeabi_$name\$" <<<"$(llvm-nm-19 --defined-only "$work/all.o")" || { echo "no __aeabi_$name"; exit 1; }
done
# Thumb-1 has neither 64-bit shifts nor long products: uldivmod may use lmul, nothing else may call back
clang-19 --target=thumbv6m-none-eabi $flags -ffunction-sections -c runtime/builtins/softint.c -o "$work/thumb1.o"
for name in uidiv idiv uidivmod idivmod uldivmod ldivmod llsl llsr lasr lmul; do
    calls=$(llvm-objdump-19 -dr --disassemble-symbols=__aeabi_$name "$work/thumb1.o" | awk '/R_ARM_THM_CALL/ {print $NF}' | sort -u)
    case "$name $calls" in
        "$name " | "uldivmod __aeabi_lmul" | "ldivmod __aeabi_lmul") ;;
        *) echo "__aeabi_$name calls" $calls; exit 1 ;;
    esac
done
echo "all helpers, nothing imported"
