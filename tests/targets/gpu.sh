#!/usr/bin/env bash
# A model for a GPU from the command line to a program: the object of this machine and its symbols, clean errors without a
# driver, examples/gpu; with a driver, be it the emulator of tests/cuda, its results.
set -euo pipefail
. "$SOURCE/tests/lib/expect.sh"
fail() { echo "$*"; failures=1; }
model=$SOURCE/examples/digits/digits.onnx
lib=$BUILD/libmcc_cuda.a
none=$dir/none # no driver here, whatever the machine has
mkdir "$none"
printf 'int nothing;\n' | cc -shared -x c - -o "$none/libcuda.so.1"

expect 0 '' --target=nvptx64 "$model" -o digits.o
nm -u digits.o | grep -v ' mcc_cuda_' && fail "a symbol that no library of mcc's defines"
for name in run run_on_stream open close wait model; do
    grep -q " [DTR] digits_$name\$" <<<"$(nm digits.o)" || fail "no digits_$name"
done
expect 0 '' --target=nvptx64-nvidia-cuda -mcpu=sm_90 -S "$model" -o digits.ptx
grep -q '^.target sm_90' digits.ptx && grep -q '^.visible .entry k0_' digits.ptx || fail "no PTX for sm_90"
expect 0 '' --target=nvptx64 --emit=llvm "$model" -o digits.ll
grep -q 'ptx_kernel void @k0_' digits.ll || fail "no kernels in LLVM's text"
expect 0 '' --target=nvptx64 --host-target=aarch64-linux-gnu "$model" -o arm.o
grep -q AArch64 <<<"$(llvm-readelf-19 -h arm.o)" || fail "not an object of the host"
expect 2 'did you mean' --target=nvptx64 -mcpu=sm_70 "$model" -o x.o
expect 2 'name one' --target=nvptx64 -mcpu=native "$model" -o x.o
expect 2 '64 bits' --target=nvptx64 --host-target=arm-linux-gnueabihf "$model" -o x.o
expect 2 'for GPUs' --host-target=aarch64-linux-gnu "$model" -o x.o
expect 2 'for GPUs' -mtf32 "$model" -o x.o
expect 2 'there is none of it' --target=nvptx64 --profile "$model" -o x.o
LD_LIBRARY_PATH=$none expect 1 'MCC_E_DEVICE' run --target=nvptx64 "$model" --random

# two objects of one model are the same bytes
expect 0 '' --target=nvptx64 "$model" --name digits -o again.o
cmp digits.o again.o || fail "the same options, other bytes"

mkdir -p gpu/app digits
cp "$SOURCE"/examples/gpu/{app.c,Makefile} gpu/app
ln -s "$SOURCE/examples/digits" gpu/digits
make -s -C gpu/app MCC="$MCC" CPPFLAGS="-I$SOURCE/include" CFLAGS='-std=c11 -O2 -Wall -Wextra -Werror' LIBMCC="$(dirname "$lib")"
code=0
LD_LIBRARY_PATH=$none gpu/app/gpu "$SOURCE/examples/digits/heldout.rle" 3 2>said || code=$?
[ $code = 1 ] && grep -q 'libcuda.so.1' said || { cat said; fail "no clear word without a driver ($code)"; }

emulator=$BUILD/tests/cuda
if [ -e "$emulator/libcuda.so.1" ]; then
    LD_LIBRARY_PATH=$emulator gpu/app/gpu "$SOURCE/examples/digits/heldout.rle" 8 >said || fail "the program failed"
    grep -q '^8 of 8 right' said || { cat said; fail "digits"; }
    echo "run by the emulator"
else
    echo "SKIPPED: no emulator of libcuda.so.1 to run it with"
fi
exit $failures
