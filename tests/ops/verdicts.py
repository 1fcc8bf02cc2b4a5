"""mcc verify itself: that it sees a wrong value, dtype and shape, a missing file, a timeout; and counts and exits as it says.

Makes its own tests, a Relu each, from the wire format up: needs nothing but mcc."""
import os
import struct
import subprocess
import sys
import tempfile

MCC = os.environ["MCC"]
FLOAT, INT64 = 1, 7


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def value_info(name, dtype, dims):
    shape = b"".join(field(1, field(2, d) if isinstance(d, str) else field(1, d)) for d in dims)
    return field(1, name) + field(2, field(1, field(1, dtype) + field(2, shape)))


def model(op, dims, domain=""):
    node = field(1, "x") + field(2, "y") + field(4, op) + field(7, domain)
    graph = field(1, node) + field(2, "g") + field(11, value_info("x", FLOAT, dims)) + field(12, value_info("y", FLOAT, dims))
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 17))


def tensor(name, dtype, dims, values):
    raw = struct.pack("<%d%s" % (len(values), "f" if dtype == FLOAT else "q"), *values)
    return b"".join(field(1, d) for d in dims) + field(2, dtype) + field(8, name) + field(9, raw)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


NAN, INF = float("nan"), float("inf")
GIVEN = [-1, 2, 3, -4, NAN, INF]
RELU = tensor("y", FLOAT, [2, 3], [0, 2, 3, 0, NAN, INF])


def make(root, name, op="Relu", dims=(2, 3), want=RELU, inputs=1):
    folder = os.path.join(root, name)
    write(os.path.join(folder, "model.onnx"), model(op, dims))
    for i in range(inputs):
        write(os.path.join(folder, "test_data_set_0", "input_%d.pb" % i), tensor("x", FLOAT, [2, 3], GIVEN))
    if want:
        write(os.path.join(folder, "test_data_set_0", "output_0.pb"), want)


def output(values, dtype=FLOAT, dims=(2, 3)):
    return tensor("y", dtype, list(dims), values)


def main():
    failures = 0
    with tempfile.TemporaryDirectory() as root:
        make(root, "a_right")
        make(root, "b_near", want=output([0, 2.001, 3, 0, NAN, INF]))
        make(root, "c_open", dims=("n", "m"))
        make(root, "d_value", want=output([0, 2, 3.1, 0, NAN, INF]))
        make(root, "e_nan", want=output([0, 2, 3, 0, 5, INF]))
        make(root, "f_infinity", want=output([0, 2, 3, 0, NAN, 1e30]))
        make(root, "g_dtype", want=output([0, 2, 3, 0, 0, 0], INT64))
        make(root, "h_dims", want=output([0, 2, 3, 0, NAN, INF], dims=(3, 2)))
        make(root, "i_no_output", want=None)
        make(root, "j_inputs", inputs=2)
        make(root, "k_operator", op="NoSuchOperator")
        make(root, "l_truncated", want=RELU[:-3])
        make(root, "m_second_set")
        write(os.path.join(root, "m_second_set", "test_data_set_1", "input_0.pb"), tensor("x", FLOAT, [2, 3], GIVEN))
        write(os.path.join(root, "m_second_set", "test_data_set_1", "output_0.pb"), output([1, 2, 3, 0, NAN, INF]))
        make(root, "n_sets_of_two_sizes", dims=("n", "m"))
        write(os.path.join(root, "n_sets_of_two_sizes", "test_data_set_1", "input_0.pb"), tensor("x", FLOAT, [1, 2], [-1, 5]))
        write(os.path.join(root, "n_sets_of_two_sizes", "test_data_set_1", "output_0.pb"), output([0, 5], dims=(1, 2)))
        expected = [
            "PASS a_right", "PASS b_near", "PASS c_open",
            "FAIL d_value: output 0 at [0,2]: got 3, want 3.0999999",
            "FAIL e_nan: output 0 at [1,1]: got nan, want 5",
            "FAIL f_infinity: output 0 at [1,2]: got inf, want 1.00000002e+30",
            "FAIL g_dtype: output 0: got float32[2,3], want int64[2,3]",
            "FAIL h_dims: output 0: got float32[2,3], want float32[3,2]",
            "FAIL i_no_output: the data has no output",
            "FAIL j_inputs: it takes 1 inputs, the data has 2",
            "UNSUPPORTED k_operator: ",
            "FAIL l_truncated: a .pb file of its data is no tensor",
            "FAIL m_second_set: output 0 at [0,0]: got 0, want 1",
            "PASS n_sets_of_two_sizes",
            "4 passed, 9 failed, 1 unsupported",
        ]
        for arguments in (["-j1"], ["-j3", "--open"]):
            done = subprocess.run([MCC, "verify", *arguments, root], stdout=subprocess.PIPE, text=True)
            lines = done.stdout.splitlines()
            for got, want in zip(lines, expected):
                if got != want and not (want.endswith(": ") and got.startswith(want) and got > want):
                    print("%s: got  %s\n%swant %s" % (arguments, got, " " * (len(str(arguments)) + 2), want))
                    failures += 1
            if len(lines) != len(expected) or done.returncode != 1:
                print(arguments, len(lines), "lines, exit", done.returncode)
                failures += 1
        good = subprocess.run([MCC, "verify", os.path.join(root, "a_right"), os.path.join(root, "k_operator")], stdout=subprocess.PIPE, text=True)
        if good.returncode != 0 or good.stdout.splitlines()[-1] != "1 passed, 0 failed, 1 unsupported":
            print("an unsupported model fails:", good)
            failures += 1
        missing = subprocess.run([MCC, "verify", os.path.join(root, "nowhere")], capture_output=True, text=True)
        if missing.returncode != 1 or missing.stdout or "No such file" not in missing.stderr:
            print("a path that does not exist:", missing)
            failures += 1
    return 1 if failures else 0


sys.exit(main())
