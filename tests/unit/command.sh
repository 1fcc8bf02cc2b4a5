#!/usr/bin/env bash
# The command line: what is taken, what is refused and in which words, and the exit code of each.
set -euo pipefail
model=$SOURCE/examples/digits/digits.onnx
. "$SOURCE/tests/lib/expect.sh"

expect 0 'Usage: mcc [options]' --help
expect 0 'Usage: mcc run' run --help
expect 0 'Usage: mcc verify' help verify
expect 0 '--open' verify -h
expect 0 'Usage: mcc inspect' inspect --help
expect 0 'mcc 0' --version
expect 0 'x86' --print-targets
expect 0 'Attention' --print-operators
expect 2 'no input file'
expect 2 'one file at a time' a.onnx b.onnx
expect 2 "unknown option '--shap'" --shap x=1 "$model"
expect 2 'did you mean --shape?' --shap x=1 "$model"
expect 2 'did you mean --emit?' --emti=asm "$model"
expect 2 'unknown option' -q "$model"
expect 2 'not an option of this verb' run --emit=asm "$model"
expect 2 '-o needs a value' "$model" -o
expect 2 "'exe' is not a value of --emit" --emit=exe "$model"
expect 2 'one of obj, asm' --emit exe "$model"
expect 2 'is not a value of -O' -O7 "$model"
expect 2 'none, openmp or callback' --threads=many "$model"
expect 2 '' --max-threads=0 "$model"
expect 2 'NAME=1x3x224x224' --shape image=1x3x "$model"
expect 2 'NAME=1x3x224x224' --shape image=1x-3 "$model"
expect 2 'NAME=1x3x224x224' --shape image=1x1x1x1x1x1x1x1x1 "$model"
expect 2 'NAME=1x3x224x224' --shape image=99999999999999999999 "$model"
expect 2 "'*=N'" --max-dim 5 "$model"
expect 2 '--dim NAME=N' --dim batch=-1 "$model"
expect 2 'a number of bytes' --max-fold=1X "$model"
expect 2 'a number of bytes' --max-memory=99999999999G "$model"
expect 2 'a number from 0' --stop-after-pass=-2 "$model"
expect 2 "there is no pass 'nothing'" --dump-after=nothing "$model"
expect 2 'unknown warning -Wnothing' -Wnothing "$model"
expect 2 'unknown warning' -Werror=nothing "$model"
expect 2 'cannot be a name' --name=3x "$model" -o x.o
expect 2 'cannot be a name' --name='a b' "$model" -o x.o
expect 2 'cannot be a name' --name=int "$model" -o x.o
expect 2 'cannot be a name' --name="$(printf 'a%.0s' {1..200})" "$model" -o x.o
expect 2 'standard output' "$model" -o -
expect 2 '-MD needs an output file' "$model" -MD --emit=graph
expect 2 'nothing to verify' verify
expect 2 'error' --target=pdp11-none-elf "$model" -o x.o
expect 1 'No such file' nowhere.onnx -o x.o
expect 1 'directory' . -o x.o
expect 2 "is missing" run "$model"
expect 2 'it is not a .npy file' run "$model" --input image="$model"
[ -z "$(ls -A | grep -v '^log$')" ] || { echo 'something was written:'; ls -lA; failures=1; }

# The names of what is written.
expect 0 '' "$model" -o 3-d.net.o
grep -q 'm_3_d_net_run(' 3-d.net.h
expect 0 '' "$model" -o int.o
grep -q 'm_int_run(' int.h
expect 0 '' "$model" --name other -o named.o
grep -q 'other_run(' named.h
expect 0 '' -- "$model"
[ -s digits.o ] && [ -s digits.h ]
expect 0 '' --emit asm "$model"
[ -s digits.s ]
expect 0 'graph' "$model" --emit=graph
expect 0 '' "$model" --emit=onnx -o again.onnx
expect 0 '' again.onnx -o again.o && [ ! -e again.d ] && [ "$(ls again.*)" = $'again.h\nagain.o\nagain.onnx' ]
expect 2 'a model cannot go to standard output' "$model" --emit=onnx -o -
expect 2 'would be written over' again.onnx --emit=onnx
expect 0 'workspace' -v "$model" -o 'a b$.o' -MD
expect 0 "107520 bytes of the weights are what Winograd" -v --winograd=f2 "$model" -o f2.o
expect 0 "workspace" -v --winograd=off "$model" -o off.o
[ $(($(stat -c %s f2.o) - $(stat -c %s off.o))) -gt 100000 ] || { ls -l f2.o off.o; failures=1; }
[ "$(cat 'a b$.d')" = "a\\ b\$\$.o a\\ b\$\$.h: $model" ] || { cat 'a b$.d'; failures=1; }
expect 0 'model "digits"' inspect digits.o
expect 0 '"image": float32[1,1,28,28]' inspect digits.o
expect 0 'Conv' inspect "$model"
"$MCC" "$model" --emit=static -o libdigits.a
grep -qx 'libdigits.o' <<<"$(ar t libdigits.a)"
"$MCC" "$model" --emit=shared -o libdigits.so
grep -q ' T libdigits_run' <<<"$(nm -D libdigits.so)"

# An object that is cut short or overwritten is refused, never a crash.
size=$(wc -c <digits.o)
for cut in 4 16 63 64 100 500 $((size / 2)) $((size - 1)); do
    head -c "$cut" digits.o >cut.o
    expect 1 'not an object that mcc wrote' inspect cut.o
done
for seed in $(seq 40); do
    cp digits.o bad.o
    for k in 1 2 3 4 5 6; do
        at=$(((seed * 7919 + k * 104729) % (k < 3 ? 64 : size)))
        printf "\\x$(printf %02x $(((seed * 31 + k * 17) % 256)))" | dd of=bad.o bs=1 seek=$at conv=notrunc status=none
    done
    code=0
    "$MCC" inspect bad.o >log 2>&1 || code=$?
    [ $code -le 1 ] || { echo "inspect of a damaged object, seed $seed: exit $code"; failures=1; }
done

# run: an output is what NumPy would read, and the same for the same input.
expect 0 'out0 "probabilities": float32[1,10]' run "$model" --random=7 --output-dir outputs
cp outputs/probabilities.npy first.npy
expect 0 'float32' run "$model" --random=7 --output-dir outputs
cmp first.npy outputs/probabilities.npy
expect 1 "no input 'other'" run "$model" --input other=first.npy
expect 0 'median' bench "$model" --runs 3
grep -q '"runs": 3' <<<"$("$MCC" bench "$model" --runs=3 --json)"
expect 0 '1 passed, 0 failed, 0 unsupported' verify "$model"
exit $failures
