#!/usr/bin/env bash
# A wrong triple, processor, feature, float ABI or section: one line on stderr with the nearest names, exit 2, nothing written.
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# wants <text in the message> <options…>
wants() {
    local text=$1
    shift
    "$MCC" "$@" "$SOURCE/examples/digits/digits.onnx" -o "$work/out.o" 2>"$work/said"
    local code=$?
    if [ $code != 2 ] || [ "$(wc -l <"$work/said")" != 1 ] || ! grep -qF -- "$text" "$work/said" || [ -e "$work/out.o" ]; then
        echo "mcc $*: exit $code, wanted 2 and: $text"
        cat "$work/said"
        failed=1
    fi
}

wants "did you mean 'aarch64-linux-gnu'" --target=aarch46-linux-gnu
wants "did you mean 'x86_64-linux-gnu'" --target=x86_64-linx-gnu
wants "did you mean 'riscv64-linux-gnu'" --target=riscv46-linux-gnu
wants "unknown target 'aarch64_be-linux-gnu'" --target=aarch64_be-linux-gnu
wants "unknown target '-'" --target=-
wants "'cortex-a76'" --target=aarch64-linux-gnu -mcpu=cortex-a67
wants "did you mean 'cortex-m4'" --target=thumbv7em-none-eabihf -mcpu=cortexm4
wants "did you mean 'znver" -mcpu=znver9 --target=x86_64-linux-gnu
wants "did you mean 'dotprod'" --target=aarch64-linux-gnu -mattr=+dotprd
wants "'avx2'" --target=x86_64-linux-gnu -mattr=+sse4.2,-avx3
wants "+FEATURE or -FEATURE, not 'dotprod'" --target=aarch64-linux-gnu -mattr=dotprod
wants "unknown feature ''" --target=aarch64-linux-gnu -mattr=+
wants "cortex-m3 has no registers for floats" --target=thumbv7m-none-eabihf
wants "soft, softfp or hard, not 'firm'" --target=thumbv7em-none-eabi -mfloat-abi=firm
wants "is for 32-bit Arm" --target=x86_64-linux-gnu -mfloat-abi=hard
wants "unknown target" --target="$(printf 'x%.0s' $(seq 3000))"
wants "unknown cpu" --target=x86_64-linux-gnu -mcpu="$(printf 'x%.0s' $(seq 3000))"
wants "unknown feature" --target=x86_64-linux-gnu -mattr="+$(printf 'x%.0s' $(seq 3000))"
wants "names a section of an ELF object" --target=arm64-apple-macos --weights-section=.flash
wants "is not a value of --weights-section" --weights-section=
"$MCC" --weights-section=.ext_flash "$SOURCE/examples/digits/digits.onnx" -o "$work/out.o" &&
    grep -qE ' \.ext_flash +PROGBITS .* A ' <<<"$(llvm-readelf-19 -S "$work/out.o")" || { echo "no section .ext_flash"; failed=1; }
[ $failed = 0 ] && echo "wrong names are told, with the nearest"
exit $failed
