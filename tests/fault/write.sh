#!/usr/bin/env bash
# Files that cannot be written: exit 1, a line that says which and why, and everything in the folder as it was.
set -euo pipefail
model=$SOURCE/examples/digits/digits.onnx
dir=$(mktemp -d)
trap 'rm -rf "$dir" "$dir.log"' EXIT
cd "$dir"
failures=0

fresh() {
    rm -rf "$dir"/* "$dir"/.mcc*
    echo old >out.o
    echo old >out.h
}

# fails CODE TEXT WHAT…: the command ends with CODE, says TEXT, and leaves the folder alone
fails() {
    local code=0 want=$1 text=$2 before
    shift 2
    before=$(ls -lAR --time-style=+ && cat out.o out.h 2>/dev/null || true)
    "$@" >"$dir.log" 2>&1 || code=$?
    if [ $code != "$want" ] || ! grep -q "$text" "$dir.log"; then
        echo "$*: exit $code, want $want with '$text'"
        cat "$dir.log"
        failures=1
    fi
    if [ "$before" != "$(ls -lAR --time-style=+ && cat out.o out.h 2>/dev/null || true)" ]; then
        echo "$*: the folder has changed"
        ls -lAR
        failures=1
    fi
}

limited() { # files of at most 1 KiB
    (ulimit -f 1 && "$@")
}

with_empty_path() { (PATH=/nowhere && "$@"); }

fresh
fails 1 'No space left' "$MCC" "$model" -o /dev/full
fails 1 'No space left' "$MCC" "$model" --emit=llvm -o /dev/full
fails 1 'standard output' bash -c '"$0" "$1" --emit=graph >/dev/full' "$MCC" "$model"
fails 1 'standard output' bash -c '"$0" --help >/dev/full' "$MCC"
fails 1 'out.o: File too large' limited "$MCC" "$model" -o out.o
fails 1 'out.o: File too large' limited "$MCC" "$model" --emit=asm -o out.o
fails 1 'No such file' "$MCC" "$model" -o nowhere/out.o
fails 1 'No such file' "$MCC" "$model" -MF nowhere/out.d -o out.o
fails 1 'cannot run cc' with_empty_path "$MCC" "$model" --emit=shared -o out.so
fails 1 'cannot run ar' with_empty_path "$MCC" "$model" --emit=static -o out.a
fails 2 'written over' "$MCC" "$model" -o out.h
cp "$model" model.onnx
fails 2 'written over' "$MCC" model.onnx -o model.onnx
fails 2 'written over' "$MCC" model.onnx -MF ./model.onnx -o out.o
rm out.h
mkdir out.h
fails 1 'out.h: Is a directory' "$MCC" "$model" -o out.o
fresh
fails 1 'Is a directory' "$MCC" "$model" -o "$dir"

# A link is followed: the file behind it is replaced, the link stays.
mkdir behind
echo old >behind/real.o
ln -s behind/real.o link.o
"$MCC" "$model" -o link.o
[ -L link.o ] && [ "$(wc -c <behind/real.o)" -gt 100 ] && [ "$(ls -A behind)" = real.o ]
# What is no regular file is written in place.
mkfifo pipe.o
cat pipe.o >copy.o &
"$MCC" "$model" -o pipe.o
wait
[ -p pipe.o ] && [ "$(wc -c <copy.o)" -gt 100 ]
"$MCC" "$model" -o /dev/null
[ -c /dev/null ]
exit $failures
