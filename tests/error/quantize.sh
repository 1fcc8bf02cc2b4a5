#!/usr/bin/env bash
# Samples, plans and command lines of --quantize that cannot be taken: one clear message, no signal, no output.
set -euo pipefail
model=$SOURCE/examples/digits/digits.onnx
. "$SOURCE/tests/lib/expect.sh"
absent=out.o

refuse() { expect 1 "$1" "$model" --quantize=int8 -o out.o "${@:2}"; }
head -c 3136 /dev/zero >black.raw
head -c 3135 /dev/zero >short.raw
{ head -c 3132 /dev/zero; printf '\x00\x00\xc0\x7f'; } >nan.raw
mkdir empty folder
touch folder/notes.md
printf '\x93NUMPY\x01\x00\x46\x00{"descr": "<f4", "fortran_order": False, "shape": (1, 1, 28, 28)}     \n' >cut.npy
printf 'PK\x05\x06' >cut.npz
printf 'missing.raw\n' >list.txt

refuse 'needs samples' # none
refuse 'give them with --calibrate=FOLDER'
refuse 'missing: there is no such file' --calibrate=missing
refuse 'there are no samples' --calibrate=empty
refuse 'there are no samples' --calibrate=folder
refuse 'does not know samples of this kind' --calibrate=folder/notes.md
refuse 'short.raw: its bytes are no multiple' --calibrate=short.raw
refuse 'nan.raw: it holds a NaN' --calibrate=nan.raw
refuse 'cut.npy: ' --calibrate=cut.npy
refuse 'cut.npz: it is not a .npz file' --calibrate=cut.npz
refuse 'missing.raw: there is no such file' --calibrate=list.txt
expect 2 "is not a value of --rounding" "$model" --quantize=w4 --rounding=best --calibrate=black.raw -o out.o
expect 2 "--rounding needs" "$model" --quantize=w4 --rounding=gptq -o out.o
expect 2 "--bias-correction needs" "$model" --quantize=w8 --bias-correction -o out.o
expect 2 "--bias-correction needs" "$model" --quantize=f16 --bias-correction --calibrate=black.raw -o out.o
expect 2 "--rounding needs" "$model" --quantize=dynamic --rounding=gptq --calibrate=black.raw -o out.o
refuse 'nan.raw: it holds a NaN' --calibrate=nan.raw --rounding=gptq
refuse "--quantize-skip: 'nothing' is neither" --calibrate=black.raw --quantize-skip=nothing
refuse "--quantize-only: 'nothing' is neither" --calibrate=black.raw --quantize-only=nothing
expect 2 "is not a value of --quantize" "$model" --quantize=int7 -o out.o
expect 2 "is not a value of --calibrate-method" "$model" --quantize=int8 --calibrate-method=percentile:101 -o out.o
expect 2 "is not a value of --calibrate-method" "$model" --quantize=int8 --calibrate-method=mse:9 -o out.o
expect 2 "is not a value of --activations" "$model" --quantize=int8 --activations=u9 -o out.o
expect 2 "is not a value of --quantize" "$model" --quantize=w4:48 -o out.o
expect 2 "is not a value of --quantize" "$model" --quantize=w8:32 -o out.o
expect 2 "need --quantize=int8" "$model" --calibrate=black.raw -o out.o
expect 2 "need --quantize=int8" "$model" --quantize=w8 --calibrate=black.raw -o out.o
expect 2 "needs --quantize or --prune" "$model" --save-plan=plan.txt -o out.o
echo "# mcc plan 1" >empty.txt
expect 1 "says nothing of zeros" "$model" --plan=empty.txt -o out.o
expect 2 "need --quantize" "$model" --quantize-skip=Conv -o out.o
cp "$model" m.onnx
expect 2 'would be written over' m.onnx --quantize=int8 --calibrate=black.raw --save-plan=m.onnx -o out.o

# what is 0 in all samples: a warning, an error when it was asked to be one; never a scale of 0
"$MCC" "$model" --quantize=int8 --calibrate=black.raw --save-plan=plan.txt -o black.o 2>log
grep -qF "tensor 'image' is 0 in all samples: its scale is taken to be 1" log
refuse 'is 0 in all samples' --calibrate=black.raw -Werror=calibration

plan() { # TEXT SED-COMMAND: such a plan is refused
    sed "$2" plan.txt >bad.txt
    ! cmp -s plan.txt bad.txt
    refuse "$1" --plan=bad.txt
}
plan 'a scale is a positive number' 's/^tensor image u8 [^ ]*/tensor image u8 0/'
plan 'a scale is a positive number' 's/^tensor image u8 [^ ]*/tensor image u8 -1/'
plan 'a scale is a positive number' 's/^tensor image u8 [^ ]*/tensor image u8 nan/'
plan 'a scale is a positive number' 's/^tensor image u8 [^ ]*/tensor image u8 inf/'
plan 'a scale is a positive number' 's/^tensor image u8 [^ ]*/tensor image u8 1x/'
plan 'the zero point is not within its type' 's/^\(tensor image u8 [^ ]*\) .*/\1 256/'
plan 'its type is not that of --activations' 's/^tensor image u8/tensor image i8/'
plan 'the model has no such tensor' 's/^tensor image/tensor imag/'
plan 'the model has no such node' 's/^node [^ ]*conv2[^ ]*/node conv22/'
plan 'a node is int8, dynamic, w8, w4, f16, bf16 or f32' 's/ int8 Conv$/ int9 Conv/'
plan 'it is a plan of another version' '1s/plan 1/plan 2/'
plan 'it has no weights' 's/ int8 MaxPool$/ f16 MaxPool/'
plan 'it has no weights' 's/ int8 MaxPool$/ w4 MaxPool/'
plan 'dynamic is for products alone' 's/ int8 Conv$/ dynamic Conv/'
plan 'wanted: tensor NAME' 's/^tensor image.*/tensor image/'
plan 'a line begins with' 's/^tensor image/tenser image/'
plan 'the model has no such layer to prune' '1i prune /conv22/Conv dense'
plan 'wanted: prune NAME dense' '1i prune /conv2/Conv sparse'
plan 'wanted: prune NAME dense' '1i prune /conv2/Conv 3:4 1.5 magnitude'
plan 'wanted: prune NAME dense' '1i prune /conv2/Conv auto 0.5 magnitude'
plan 'need samples' '1i prune /conv2/Conv block:4x1 0.5 inputs'
plan 'too many words' 's/^tensor image.*/& 1 2 3 4/'
plan "'like' leads to no other tensor" 's/^tensor image.*/tensor image like image/'
plan "says nothing of tensor 'image'" '/^tensor image/d'
refuse 'missing.txt: ' --plan=missing.txt
refuse '.: it is not a regular file' --plan=.
printf 'node\x00' >bad.txt
refuse 'it is not text' --plan=bad.txt
exit $failures
