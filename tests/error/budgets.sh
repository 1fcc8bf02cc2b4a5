#!/usr/bin/env bash
# --max-flash, --max-ram, --max-latency: what holds is written, what does not is not, and the message says whose fault it is.
set -euo pipefail
model=$SOURCE/examples/digits/digits.onnx
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
failures=0

# expect CODE TEXT ARGUMENT…: mcc ARGUMENT… ends with CODE and says TEXT
expect() {
    local code=0 want=$1 text=$2
    shift 2
    rm -f out.*
    "$MCC" "$model" -o out.o "$@" >log 2>&1 </dev/null || code=$?
    local written=0
    [ ! -e out.o ] && [ ! -e out.h ] || written=1
    if [ $code = "$want" ] && { [ -z "$text" ] || grep -qF -- "$text" log; } && [ $written = $((code == 0)) ]; then return; fi
    echo "mcc $*: exit $code, want $want with '$text'"
    head -c 2000 log
    failures=1
}

"$MCC" "$model" -o plain.o --name=out # names count, too
read -r text data bss < <(size plain.o | awk 'NR == 2 { print $1, $2, $3 }')
workspace=$("$MCC" inspect plain.o | awk '$1 == "workspace" { print $2 }')
flash=$((text + data)) ram=$((workspace + data + bss))

# to the byte, as size and inspect count
expect 0 '' --max-flash=$flash --max-ram=$ram --max-latency=10s
expect 1 "--max-flash=$((flash - 1)): the object needs $flash bytes" --max-flash=$((flash - 1))
expect 1 "the most constants are those of '/conv5/Conv' (Conv)" --max-flash=128K
expect 1 'mcc search' --max-flash=128K
expect 1 "--max-ram=$((ram - 1)): the model needs $ram bytes, $workspace of workspace" --max-ram=$((ram - 1))
expect 1 "alive while '/conv2/Conv' (Conv) runs" --max-ram=64K
expect 1 'on this machine' --max-latency=0.001us
expect 1 'the slowest layers are' --max-latency=0.001us
expect 1 "the most constants" --max-flash=1K --max-ram=1K # both are told
expect 1 "alive while" --max-flash=1K --max-ram=1K
expect 0 '' --quantize=w8 --max-flash=$((flash / 2))

# of a processor that is not here, time is modelled, in proportion to its clock
arm="--target=aarch64-linux-gnu -mcpu=cortex-a72"
expect 1 'as modelled for 1000 MHz' $arm --max-latency=1us
expect 1 "the slowest layers are '/conv" $arm --max-latency=1us
modelled() { "$MCC" "$model" -o arm.o $arm -v --max-latency=10s "$@" 2>&1 | sed -n 's/.*modelled to take \([0-9.]*\) ms.*/\1/p'; }
slow=$(modelled --clock=500M) fast=$(modelled --clock=2G)
awk -v slow="$slow" -v fast="$fast" 'BEGIN { exit !(fast > 0 && slow / fast > 3.9 && slow / fast < 4.1) }' || {
    echo "modelled: $slow ms at 500 MHz, $fast ms at 2 GHz"
    failures=1
}

expect 2 'such as 5ms' --max-latency=5
expect 2 'such as 5ms' --max-latency=-5ms
expect 2 'such as 168M' --clock=fast
expect 2 'is not a value of --max-flash' --max-flash=much
expect 2 'are for an object' --max-flash=1M --emit=loops
exit $failures
