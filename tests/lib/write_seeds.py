"""Writes the models of the reader's own tests, right and wrong, into a folder, and with them each fourth of ONNX's node
tests, where Debian's libonnx-testdata is installed: what fuzzing starts from."""
import glob
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, os.pardir, "unit"), os.path.join(HERE, os.pardir, "error")]
import hostile
import reader

LARGE = 20000
NODES = "/usr/include/onnx/backend/test/data/node/*/model.onnx"


def main(folder):
    models = [c[1] for c in reader.CASES] + [c[1] for c in hostile.CASES]
    for path in sorted(glob.glob(NODES))[::4]:
        with open(path, "rb") as f:
            models.append(f.read())
    for i, data in enumerate(models):
        if isinstance(data, bytes) and 0 < len(data) < LARGE:
            with open(os.path.join(folder, "%03d.onnx" % i), "wb") as f:
                f.write(data)


if __name__ == "__main__":
    main(sys.argv[1])
