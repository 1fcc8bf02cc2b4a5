"""ONNX's node tests on a GPU, or in its emulation: what passes on this machine's processor passes there. A seeded sample of
$MCC_TEST_SAMPLE (60), a third for each level of NVIDIA's processors; all of them for all levels with MCC_TEST_ALL=1."""
import os
import sys
import gpu
import onnxtests
import peer

LEVELS = ["sm_75", "sm_80", "sm_90"]


def main():
    everything = bool(os.environ.get("MCC_TEST_ALL"))
    paths = [p for p in onnxtests.tests(everything, 60) if os.path.basename(os.path.dirname(p)) == "node"]
    if not paths:
        peer.skip("no tests of ONNX's (apt install libonnx-testdata)")
    runners = gpu.runners(LEVELS)
    expected = {name: outcome for outcome, name, _ in onnxtests.verify(paths)}
    failures = passed = 0
    for n, (options, environment) in enumerate(runners):
        chosen = paths if everything else paths[n::len(runners)]
        for outcome, name, reason in onnxtests.verify(chosen, options, environment):
            passed += outcome == "PASS"
            if outcome != expected[name]:
                print("%s %s: %s, where the processor has %s: %s" % (options[1], name, outcome, expected[name], reason))
                failures += 1
    print("%d pass as on the processor, %d differ" % (passed, failures))
    assert passed or failures
    sys.exit(failures > 0)


main()
