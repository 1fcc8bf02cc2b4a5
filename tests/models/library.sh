#!/usr/bin/env bash
# The compiler as a library: examples/library, with models it takes and models it refuses; mcc/mcc.h in C99 and C++; from
# several threads, that what is loaded first still gives the same bits after others have come and gone.
set -euo pipefail
. "$SOURCE/tests/lib/expect.sh"
fail() { echo "$*"; failures=1; }
digits=$SOURCE/examples/digits/digits.onnx
export LD_LIBRARY_PATH=$BUILD
cp "$SOURCE"/examples/library/{main.c,Makefile} .
make -s CPPFLAGS="-I$SOURCE/include" CFLAGS='-std=c11 -O2 -Wall -Wextra -Werror' LIBMCC="$BUILD"

./live "$digits" --quantize=w8 -O3 >said || fail "digits: $(cat said)"
grep -q '^in image: dtype 1, \[1, 1, 28, 28\]$' said && grep -q '^a call takes' said || fail "$(cat said)"
refused() {
    local code=0 want=$1 text=$2
    shift 2
    ./live "$@" >said 2>&1 || code=$?
    [ $code = "$want" ] && grep -qF -- "$text" said || fail "$*: exit $code: $(cat said)"
}
refused 1 'No such file' none.onnx
refused 1 'the file is damaged, or not ONNX' Makefile
refused 2 'did you mean --quantize?' "$digits" --quantise=int8
refused 2 'each with its value in it' "$digits" --help
refused 2 'each with its value in it' "$digits" another.onnx

for language in 'c -std=c99' 'c++ -std=c++11'; do
    printf '#include <mcc/mcc.h>\nint main(void) { mcc_unload(0); return mcc_main(0, 0) == MCC_OUR_BUG; }\n' |
        cc -x $language -pedantic -Wall -Wextra -Werror -fsyntax-only "-I$SOURCE/include" - || fail "mcc.h as $language"
done

cc -std=c11 -O1 -Wall -Wextra -Werror -pthread "-I$SOURCE/include" "$SOURCE/tests/lib/load_threads.c" -o threads "-L$BUILD" -lmcc
./threads "$digits" || fail "threads"

cmake --install "$BUILD" --prefix "$dir/installed" >/dev/null
cmake -S "$SOURCE/examples/library" -B built -DCMAKE_PREFIX_PATH="$dir/installed" >log && cmake --build built >>log || fail "$(cat log)"
unset LD_LIBRARY_PATH
built/live "$digits" >said || fail "by CMake: $(cat said)"
exit $failures
