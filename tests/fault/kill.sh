#!/usr/bin/env bash
# A compile that is killed leaves the old pair of object and header or the new one, never half a file, and, unless the
# signal cannot be caught, no temporary file.
set -euo pipefail
model=$SOURCE/examples/digits/digits.onnx
if [ -z "${KILL_DIR:-}" ]; then # no trap cleans up: a child that is hit before it becomes mcc would run it
    dir=$(mktemp -d) code=0
    KILL_DIR=$dir bash "$0" || code=$?
    rm -rf "$dir" "$dir.ref"
    exit $code
fi
dir=$KILL_DIR
mkdir "$dir.ref"
"$MCC" "$model" -o "$dir.ref/out.o"
start=$(date +%s%N)
"$MCC" "$model" -o "$dir.ref/out.o"
whole=$((($(date +%s%N) - start) / 1000)) # microseconds
killed=0 finished=0
for signal in TERM INT HUP KILL; do
    for step in $(seq 0 24); do
        echo old >"$dir/out.o"
        echo old >"$dir/out.h"
        (trap - INT && exec "$MCC" "$model" -o "$dir/out.o") &
        pid=$!
        sleep "$(printf '0.%06d' $((whole * step / 20 % 1000000)))"
        code=0
        kill -s $signal $pid 2>/dev/null || true
        wait $pid 2>/dev/null || code=$?
        if [ $code = 0 ]; then finished=$((finished + 1)); else killed=$((killed + 1)); fi
        if ! { cmp -s "$dir/out.o" "$dir.ref/out.o" && cmp -s "$dir/out.h" "$dir.ref/out.h"; } &&
            [ "$(cat "$dir/out.o" "$dir/out.h")" != $'old\nold' ]; then
            if [ $signal = KILL ] && cmp -s "$dir/out.o" "$dir.ref/out.o" && [ "$(cat "$dir/out.h")" = old ]; then
                continue # between the two renames: whole files, and the pair does not link
            fi
            echo "SIG$signal at step $step: neither the old pair nor the new one"
            exit 1
        fi
        [ $signal = KILL ] && rm -rf "$dir"/.mcc-*
        if [ "$(ls -A "$dir" | tr '\n' ' ')" != 'out.h out.o ' ]; then
            echo "SIG$signal at step $step left something behind:"
            ls -lA "$dir"
            exit 1
        fi
    done
done
echo "$killed killed, $finished finished"
[ $killed -gt 20 ]
