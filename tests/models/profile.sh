#!/usr/bin/env bash
# --profile: every node is counted once a call, their ticks add up to most of a call's time and to no more, the output is
# that of the object without it, and counters belong to a workspace. Here and, under qemu, for aarch64 and RISC-V.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
model=$SOURCE/examples/digits/digits.onnx

cat >app.c <<'C'
#include <stdio.h>
#include <string.h>
#include "plain.h"
#include "timed.h"
enum { CALLS = 50 };
static float x[PLAIN_IN0_BYTES / sizeof(float)], want[10], got[10];
static _Alignas(64) char room[PLAIN_WORKSPACE_BYTES], one[TIMED_WORKSPACE_BYTES], two[TIMED_WORKSPACE_BYTES];

static uint64_t now(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t t;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
    return t;
#else
    uint64_t t;
    __asm__ volatile("rdtime %0" : "=r"(t));
    return t;
#endif
}

#define CHECK(x) do { if (!(x)) return printf("line %d: " #x "\n", __LINE__), 1; } while (0)

int main(void) {
    mcc_node_profile p;
    uint64_t sum = 0, least = (uint64_t)-1;
    for (int i = 0; i < (int)(sizeof x / sizeof *x); i++) x[i] = (float)(i % 17) / 17;
    CHECK(plain_run(x, want, room) == MCC_OK);
    memset(one, 0xFF, sizeof one);
    memset(two, 0xFF, sizeof two);
    CHECK(timed_open(NULL) == MCC_E_NULL && timed_open(one + 1) == MCC_E_ALIGN);
    CHECK(timed_open(one) == MCC_OK && timed_open(two) == MCC_OK);
    CHECK(timed_run(x, got, two) == MCC_OK && !memcmp(want, got, sizeof got));
    for (int i = 0; i < CALLS; i++) {
        uint64_t start = now();
        CHECK(timed_run(x, got, one) == MCC_OK);
        uint64_t took = now() - start;
        sum += took;
        least = took < least ? took : least;
    }
    CHECK(!memcmp(want, got, sizeof got));
    uint64_t ticks = 0;
    for (int i = 0; i < TIMED_PROFILE_NODES; i++) {
        CHECK(timed_profile(one, i, &p) == MCC_OK && p.calls == CALLS && p.ticks <= sum);
        ticks += p.ticks;
        printf("%s %s (%s)\n", p.node, p.op, p.form);
        CHECK(timed_profile(two, i, &p) == MCC_OK && p.calls == 1);
    }
    CHECK(ticks <= sum && ticks >= CALLS * least / 2 && ticks > 0);
    CHECK(timed_profile(one, TIMED_PROFILE_NODES, &p) == MCC_E_INDEX && timed_profile(one, -1, &p) == MCC_E_INDEX);
    CHECK(timed_profile(NULL, 0, &p) == MCC_E_NULL && timed_profile(one, 0, NULL) == MCC_E_NULL);
    CHECK(timed_open(one) == MCC_OK && timed_profile(one, 0, &p) == MCC_OK && p.calls == 0 && p.ticks == 0);
    return 0;
}
C

# check NAME CC RUN… [-- MCC OPTION…]: the app for one target prints one line a node
check() {
    local name=$1 compiler=$2 run=()
    shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do run+=("$1") && shift; done
    [ $# = 0 ] || shift
    mkdir "$name"
    "$MCC" "$@" "$model" -o "$name/plain.o"
    "$MCC" "$@" "$model" --profile -o "$name/timed.o"
    "$compiler" -std=gnu11 -O2 -static -I"$SOURCE/include" -I"$name" app.c "$name"/*.o -o "$name/app"
    "${run[@]}" "$name/app" >"$name/out" || { cat "$name/out"; exit 1; }
    [ "$(wc -l <"$name/out")" = "$(sed -n 's/.*PROFILE_NODES //p' "$name/timed.h")" ]
    grep -q '^/conv2/Conv mcc\.' "$name/out"
    if nm "$name/plain.o" | grep -E '_(open|profile)$'; then exit 1; fi
    if nm -u "$name/timed.o" | grep -vE ' (memcpy|memmove|memset)$'; then exit 1; fi
}
check native cc
for machine in aarch64 riscv64; do
    if command -v qemu-$machine $machine-linux-gnu-gcc >/dev/null; then
        check $machine $machine-linux-gnu-gcc qemu-$machine -- --target=$machine-linux-gnu
    else echo "skipped: no qemu-$machine or its gcc"; fi
done

# No clock: calls are counted all the same. Cortex-M reads the cycle counter, which has no other way in.
"$MCC" --target=armv7-linux-gnueabihf --profile "$model" -o arm.o
grep -q 'always 0' arm.h
"$MCC" --target=thumbv7em-none-eabihf -mcpu=cortex-m4 --profile "$model" -o m4.o
grep -q 'DWT_CYCCNT' m4.h

"$MCC" bench --profile --runs=3 "$model" | tee bench
[ "$(grep -c ' ms  ' bench)" = "$(wc -l <native/out)" ]
"$MCC" bench --profile --runs=3 --json "$model" | /usr/bin/python3 -c '
import json, sys
nodes = json.load(sys.stdin)["nodes"]
assert nodes and all(n["calls"] == 3 for n in nodes) and [n["ticks"] for n in nodes] == sorted((n["ticks"] for n in nodes), reverse=True)'
