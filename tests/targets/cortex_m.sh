#!/usr/bin/env bash
# The digits on Cortex-M without an operating system, in integers and floats, with and without an FPU: the same class as on
# this machine for each of a hundred; code of at most 16 KB for int8; RAM and stack as the header says; nothing undefined but memcpy,
# memmove, memset. Pruned to 80 % zeros they take less flash than dense, and fewer instructions. Code of Cortex-M0+ runs on a Cortex-M3, that of M23 on an
# M33. MCC_TEST_ALL: floats of M0+ too, which take a minute, and others
# (on a Cortex-M55 the network stays in floats, which Helium is as fast at).
set -euo pipefail
for tool in clang-19 ld.lld-19 llvm-nm-19 llvm-size-19 qemu-system-arm make python3; do
    command -v "$tool" >/dev/null || { echo "no $tool"; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failed=0
fail() {
    echo "$*"
    failed=1
}
pruned="--quantize=int8 --calibrate=samples/calibrate --prune=0.8 --prune-by=update"
cc -std=c11 -O2 -shared -fPIC "$SOURCE/tests/lib/count_plugin.c" -o count.so
build() { make -s -f "$SOURCE/examples/cortex-m/Makefile" MCC="$MCC" CPPFLAGS="-I$SOURCE/include" QUANTIZE_pruned="$pruned" QEMU="qemu-system-arm -plugin $work/count.so" "$@" >made 2>&1 || { cat made; fail "make $*"; }; }
classes() { grep -E '^[0-9]( [0-9]){24}$' || true; }
figure() { awk -v name="$1" '$2 == "DIGITS_" name {print $3}' digits.h; }

check() { # NUMBERS TARGET CPU MACHINE [BOARD]
    local what="$3 $1"
    rm -f ./*.o ./*.elf
    build run NUMBERS="$1" TARGET="$2" CPU="$3" MACHINE="$4" BOARD="${5:-an386}"
    classes <made >classes
    if [ "$1" = pruned ]; then # fitted by this machine's floats, which are not those of the other compile
        [ "$(grep -oE '^[0-9]+ of 100 right' made | cut -d' ' -f1)" -ge 97 ] || fail "$what: wrong classes"
    elif ! cmp -s classes "host.$1"; then
        cat made
        fail "$what: not the classes of this machine"
    fi
    local open code stack
    open=$(llvm-nm-19 -u digits.o | awk '{print $NF}' | grep -vxE 'memcpy|memmove|memset' || true)
    [ -z "$open" ] || fail "$what: undefined" $open
    code=$(llvm-size-19 -A -d digits.o | awk '/^\.(text|rodata |ARM.exidx)/ {sum += $2} END {print sum}')
    [ "$1" != int8 ] || [ "$3" = cortex-m55 ] || [ "$code" -le 16384 ] || fail "$what: $code bytes of code"
    # beside the workspace start.c has one pointer
    grep -q "ram $(($(figure WORKSPACE_BYTES) + 4)) bytes" made || fail "$what: RAM is not the header's workspace"
    stack=$(awk '/^stack/ {print $2}' made)
    [ -n "$stack" ] && [ "$stack" -le "$(figure STACK_BYTES)" ] || fail "$what: stack $stack, at most $(figure STACK_BYTES)"
    flash[$1]=$(grep -o 'flash [0-9]*' made | cut -d' ' -f2)
    instructions[$1]=$(grep -xE '[0-9]{5,}' made)
    echo "$what: ${instructions[$1]} instructions, $code bytes of code, $(grep -o 'flash.*' made), $(grep -o 'stack [0-9]* of [0-9]* bytes' made)"
}

declare -A flash instructions
for numbers in int8 f32; do
    build host NUMBERS=$numbers
    ./host | classes >host.$numbers
    [ "$(wc -l <host.$numbers)" = 4 ] || fail "this machine does not classify"
done
check int8 thumbv7em-none-eabihf cortex-m4 mps2-an386
check pruned thumbv7em-none-eabihf cortex-m4 mps2-an386
[ $((${flash[int8]} - ${flash[pruned]})) -ge 15000 ] || fail "pruned: flash ${flash[pruned]} of ${flash[int8]}"
[ $((${instructions[pruned]} * 4)) -le $((${instructions[int8]} * 3)) ] || fail "pruned: not a quarter fewer instructions"
check f32 thumbv7em-none-eabihf cortex-m4 mps2-an386
check int8 thumbv7em-none-eabi cortex-m4 mps2-an386
check int8 thumbv7m-none-eabi cortex-m3 mps2-an385
check int8 thumbv6m-none-eabi cortex-m0plus mps2-an385
check int8 thumbv8m.base-none-eabi cortex-m23 mps2-an505 an505
check int8 thumbv8m.main-none-eabihf cortex-m33 mps2-an505 an505
if [ -n "${MCC_TEST_ALL:-}" ]; then
    check f32 thumbv6m-none-eabi cortex-m0plus mps2-an385
    for numbers in int8 f32; do
        check $numbers thumbv7em-none-eabihf cortex-m7 mps2-an500
        check $numbers thumbv8.1m.main-none-eabihf cortex-m55 mps3-an547
    done
fi
exit $failed
