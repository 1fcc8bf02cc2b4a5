#!/usr/bin/env bash
# Files for --tune that cannot be taken, and command lines of mcc tune: one clear message, no signal, no output.
set -euo pipefail
model=$SOURCE/examples/digits/digits.onnx
. "$SOURCE/tests/lib/expect.sh"
absent="out.o out.tune"

head='mcc-tune 1 x86_64-pc-linux-gnu znver5'
refuse() { # TEXT BYTES: such a file is refused
    printf "$2" >t.tune
    expect 1 "$1" "$model" -o out.o --tune=t.tune
    [ "$(wc -l <log)" = 1 ] || { echo "more than one line:"; cat log; failures=1; }
}
refuse "t.tune:1: not a tuning file" ''
refuse "t.tune:1: not a tuning file" 'text\n'
refuse "t.tune:1: not a tuning file" '\x7fELF\x02\x01\x00\x00'
refuse "t.tune:1: of a version" 'mcc-tune 2 x y\n'
refuse "t.tune:2: no ':'" "$head\\nnothing\\n"
refuse "t.tune:3: not one of direct" "$head\\n\\nx: fast\\n"
refuse "t.tune:2: not a number from 1" "$head\\nx: direct rows=99999999999999999999\\n"
refuse "t.tune:2: not a number from 1" "$head\\nx: direct rows=-3\\n"
refuse "t.tune:2: not one of rows" "$head\\nx: direct \\x00=1\\n"
refuse "t.tune:4: the layer of line 2 again" "$head\\nx: direct\\n#\\nx: direct\\n"
head -c 3000000 /dev/zero >t.tune
expect 1 't.tune:1: longer than' "$model" -o out.o --tune=t.tune
expect 1 'cannot read missing.tune' "$model" -o out.o --tune=missing.tune
expect 1 'cannot read .: ' "$model" -o out.o --tune=.
expect 1 't.tune:1: ' run "$model" --random --tune=t.tune
expect 1 't.tune:1: ' bench "$model" --tune=t.tune
expect 2 "is not a value of --tune" "$model" -o out.o --tune=
cp "$model" m.onnx
expect 2 'would be written over' m.onnx -o t.tune --tune=t.tune
expect 2 'would be written over' tune m.onnx -o m.onnx
expect 2 'no input file' tune -o out.tune
expect 2 'is not an option of this verb' tune m.onnx -o out.tune --tune=t.tune
expect 2 'is not an option of this verb' tune m.onnx -o out.tune --threads=openmp
expect 2 'a number from 1' tune m.onnx -o out.tune --seconds=0
expect 1 'cannot write' tune m.onnx --seconds=1 -o missing/out.tune
expect 1 'error' tune missing.onnx -o out.tune
exit $failures
