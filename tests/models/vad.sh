#!/bin/bash
# examples/vad: built as its Makefile says, it hears a voice where there is one, nothing in silence, and says what is wrong with a file.
set -u
[ -n "${MCC_NPM-}" ] && roots=$MCC_NPM || roots="$SOURCE/build/npm $BUILD/npm"
model=
for r in $roots; do [ -e "$r/node_modules/@ricky0123/vad-web/dist/silero_vad_v5.onnx" ] && model=$r/node_modules/@ricky0123/vad-web/dist/silero_vad_v5.onnx; done
[ -n "$model" ] || { echo "SKIPPED: @ricky0123/vad-web is not installed (scripts/test installs it)"; exit 77; }
command -v espeak-ng >/dev/null || { echo "SKIPPED: espeak-ng is not installed"; exit 77; }
work=$BUILD/vad
mkdir -p "$work" && cp "$SOURCE"/examples/vad/{main.c,Makefile} "$work" && cd "$work" || exit 1
fail() { echo "FAIL: $*"; exit 1; }
make -s MCC="$MCC" MODEL="$model" CPPFLAGS="-I$SOURCE/include" CFLAGS="-O2 -std=c11 -Wall -Wextra -Werror" || fail "make"
espeak-ng -w voice.wav "Is somebody speaking? The quick brown fox jumps over the lazy dog." || fail "espeak-ng"
python3=/usr/bin/python3
$python3 - <<'P' || fail "the recording"
import struct, numpy as np
def write(path, samples):
    data = samples.clip(-32768, 32767).astype("<i2").tobytes()
    head = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVEfmt ", 16, 1, 1, 16000, 32000, 2, 16, b"data", len(data))
    open(path, "wb").write(head + data)
raw = open("voice.wav", "rb").read()
rate = int.from_bytes(raw[24:28], "little")
voice = np.frombuffer(raw[raw.index(b"data") + 8:], np.int16).astype(float)
voice = np.interp(np.arange(int(len(voice) * 16000 / rate)) * rate / 16000, np.arange(len(voice)), voice)
noise = np.random.default_rng(1).normal(0, 20, 32000)
write("speech.wav", np.concatenate([noise, voice, noise]))
write("noise.wav", noise)
P
./vad speech.wav >heard || fail "the program"
./vad noise.wav >silent || fail "the program on noise"
seconds=$(sed -n 's/^speech in .*(\([0-9.]*\) of .*/\1/p' heard)
awk "BEGIN { exit !($seconds > 1.5) }" || fail "only $seconds s of speech were heard"
grep -q "^speech in 0 of" silent || fail "speech was heard in noise: $(tail -1 silent)"
grep -q "#" <<<"$(head -1 heard)" && fail "speech was heard before it began"
./vad voice.wav >/dev/null 2>said && fail "a file of another rate was taken"
grep -q "16000 samples a second" said || fail "said: $(cat said)"
head -c 20 speech.wav >cut.wav
./vad cut.wav >/dev/null 2>said && fail "a cut file was taken"
echo "ok: $(tail -1 heard)"
