#!/usr/bin/python3
"""Renders text as a page: page.py OUT.png [--font FILE] [--size N] [--degrees N] [--gap N] LINE…   (Debian: python3-pil, fonts-dejavu-core)"""
import argparse
from PIL import Image, ImageDraw, ImageFont

p = argparse.ArgumentParser()
p.add_argument("out")
p.add_argument("lines", nargs="+")
p.add_argument("--font", default="/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
p.add_argument("--size", type=int, default=28)
p.add_argument("--degrees", type=float, default=0)
p.add_argument("--gap", type=float, default=1.0, help="between lines, in font sizes")
a = p.parse_args()
font = ImageFont.truetype(a.font, a.size)
width = max(font.getbbox(line)[2] for line in a.lines) + 3 * a.size
step = round(a.size * (1 + a.gap))
page = Image.new("RGB", (width, step * len(a.lines) + 2 * a.size), (250, 248, 240))
draw = ImageDraw.Draw(page)
for i, line in enumerate(a.lines):
    draw.text((1.5 * a.size, a.size + i * step), line, (30, 30, 40), font)
page.rotate(a.degrees, Image.BICUBIC, True, fillcolor=(250, 248, 240)).save(a.out)
