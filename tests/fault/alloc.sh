#!/usr/bin/env bash
# Memory runs out at the Nth allocation, for every N up to 40 and ever fewer behind: exit 1, one clear line, the old files as they were.
# A leak fails the test in a build with ASan, whose exit code is another one.
set -euo pipefail
model=$SOURCE/examples/digits/digits.onnx
dir=$(mktemp -d)

# exhaust WHAT…: runs mcc WHAT… with the fault at 1, 2, … until it succeeds
exhaust() {
    local n=1 faults=0 code
    while :; do
        echo old >"$dir/out.o"
        echo old >"$dir/out.h"
        code=0
        "$MCC" "$@" --fault-alloc=$n >"$dir.log" 2>&1 || code=$?
        [ $code = 0 ] && break
        if [ $code != 1 ] || ! grep -q 'out of memory' "$dir.log"; then
            echo "$*, allocation $n: exit $code"
            cat "$dir.log"
            return 1
        fi
        if [ "$(cat "$dir/out.o" "$dir/out.h")" != $'old\nold' ] || [ "$(ls -A "$dir" | wc -l)" != 2 ]; then
            echo "$*, allocation $n: files were touched:"
            ls -lA "$dir"
            return 1
        fi
        faults=$((faults + 1))
        n=$((n < 40 ? n + 1 : n + n / 6))
    done
    echo "$1 …: $faults of $n allocations failed"
    [ $faults -gt 40 ]
}

trap 'rm -rf "$dir" "$dir.log"' EXIT
exhaust "$model" -O0 -o "$dir/out.o"
exhaust "$model" --emit=graph -o "$dir/out.o"
exhaust "$model" --emit=onnx -o "$dir/out.o"
exhaust run "$model" -O0 --random --output-dir "$dir.log.d"
rm -r "$dir.log.d"
