#!/usr/bin/env bash
# The digits example, from its model to its program, built with make and with CMake: at least 98.5 % of all held-out
# digits come out right, and both programs print the same.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
(cd "$SOURCE/examples/digits" && cp app.c CMakeLists.txt Makefile digits.onnx heldout.rle "$dir")
cd "$dir"

make -s MCC="$MCC" CPPFLAGS="-I$SOURCE/include" CFLAGS='-std=c11 -O2 -Wall -Wextra -Werror'
./digits heldout.rle >by_make
cat by_make
[ "$(grep -c 'taken for a' by_make)" = 3 ]

./digits --accuracy heldout.rle | tee accuracy
[ "$(grep -c 'of 1996)$' accuracy)" = 1 ]
awk '{ exit !($1 == "accuracy" && $2 >= 98.5) }' accuracy

# CMake finds an installed mcc, and compiles the model again when it changes.
cmake --install "$BUILD" --prefix "$dir/installed" >/dev/null
cmake -S . -B by_cmake -DCMAKE_PREFIX_PATH="$dir/installed" >/dev/null
cmake --build by_cmake >/dev/null
by_cmake/digits heldout.rle | cmp - by_make
touch digits.onnx
cmake --build by_cmake >again
grep 'Compiling model digits.onnx' again
cmake --build by_cmake >unchanged
! grep 'Compiling model' unchanged
