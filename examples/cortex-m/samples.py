#!/usr/bin/env python3
"""samples.py HELDOUT FOLDER: of heldout.rle the first hundred digits as FOLDER/images.f32 and FOLDER/labels.u8, and two
hundred others as FOLDER/calibrate/NNN.raw."""
import os, struct, sys

data, at, labels, images = open(sys.argv[1], "rb").read(), 0, [], []
while len(images) < 300:
    labels.append(data[at])
    at += 1
    pixels = []
    while len(pixels) < 28 * 28:
        run = data[at + 1] if data[at] == 0 else 1
        pixels += [data[at] / 255] * run
        at += 2 if data[at] == 0 else 1
    images.append(struct.pack(f"<{len(pixels)}f", *pixels))


def write(name, content):
    with open(os.path.join(sys.argv[2], name), "wb") as out:
        out.write(content)


os.makedirs(os.path.join(sys.argv[2], "calibrate"), exist_ok=True)
write("images.f32", b"".join(images[:100]))
write("labels.u8", bytes(labels[:100]))
for i, image in enumerate(images[100:]):
    write(f"calibrate/{i:03}.raw", image)
