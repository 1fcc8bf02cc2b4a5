#!/usr/bin/python3
"""Renders samples for calibration: pages of 640 x 640 for the detector and single lines, 48 pixels high, for the recogniser.
samples.py PAGES LINES writes them into these folders. (Debian: python3-pil, fonts-dejavu-core)"""
import os
import random
import sys
from PIL import Image, ImageDraw, ImageFont

FONTS = ["DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono"]
WORDS = """To whom it may concern: Invoice No. 4711, dated 3 March; net 128.40 (19 % VAT). Please note that all goods remain ours until paid.
Kitchen open from 11:30 to 22:00 Mon-Sat; fish, soup & salad; "fresh" bread 2.50 each! Terms apply; see page 7/12 or call +49 30 901820.""".split()


def font(i, size):
    return ImageFont.truetype("/usr/share/fonts/truetype/dejavu/%s.ttf" % FONTS[i % len(FONTS)], size)


def sentence(rng, n):
    return " ".join(rng.choice(WORDS) for _ in range(n))


def page(rng, i):
    size = rng.choice([20, 24, 30, 38])
    image = Image.new("RGB", (640, 640), (255 - 5 * (i % 3), 252, 245 - 10 * (i % 4)))
    for y in range(size, 640 - 2 * size, 2 * size):
        ImageDraw.Draw(image).text((size, y), sentence(rng, 4)[:int(1000 / size)], (20 + 10 * i, 20, 40), font(i, size))
    return image


def line(rng, i):
    face, text = font(i, rng.choice([26, 30, 34])), sentence(rng, rng.randint(1, 5))
    image = Image.new("RGB", (face.getbbox(text)[2] + 16, 48), (250, 248, 255 - i))
    ImageDraw.Draw(image).text((8, 24), text, (40, 30, 2 * i), face, "lm")
    return image


for folder, count, render in (sys.argv[1], 10, page), (sys.argv[2], 40, line):
    rng = random.Random(1)
    os.makedirs(folder, exist_ok=True)
    for number in range(count):
        render(rng, number).save("%s/%02d.png" % (folder, number))
