"""Steps on images and signals: sampling at places, regions, unpooling, blocks put back, every form of Resize, transforms and windows."""
import math
import numpy as np
from .elementwise import within
from .maker import NUMBER, Value
from .sums import heaviest, image


def picture(m, ranks=(4,), exact=False):
    return m.pick(lambda v: v.rank in ranks and v.dtype == "f32" and v.size(1) and all(n >= 1 for d in v.dims for n in d) and (v.exact or not exact))


def grid_sample(m):
    m.need(m.opset >= 16)
    x = picture(m, (4, 4, 5) if m.opset >= 20 else (4,))
    new, n = m.opset >= 20, x.rank - 2
    mode = m.one("linear", "nearest", "cubic" if n == 2 else "linear") if new else m.one("bilinear", "nearest", "bicubic")
    padding, align = m.one("zeros", "border", "reflection"), m.one(0, 1)
    m.need(not (x.open() and x.dims[0] not in m.named and len(set(x.dims[0])) > 1))
    grid = m.tensor("f32", [x.dims[0], *[m.dim(m.one(1, 3, 5)) for _ in range(n)], m.dim(n)], -1.25, 1.25)
    m.need(mode != "nearest" or (align == 0 and all((len(set(d)) == 1 and d[0] & (d[0] - 1) == 0) for d in x.dims[2:])))  # places without rounding
    dims = [*x.dims[:2], *grid.dims[1:-1]]
    most = x.mag * (3 if "cubic" in mode else 1)
    m.keep(m.node("GridSample", [x, grid], dims, -most, most, (3 if "cubic" in mode else 1) * x.err + 3e-5 * x.mag, mode=mode, padding_mode=padding, align_corners=align))


def affine_grid(m):
    m.need(m.opset >= 20)
    n, batch = m.one(2, 2, 3), m.one(1, 2)
    corners = m.one(0, 1)  # where an axis of size 1 stands between two corners: -1 in numpy's, 0 in PyTorch, 1 in ONNX Runtime
    sizes = [m.dice.randrange(1 + corners, 6) for _ in range(n)]
    theta = m.tensor("f32", [m.dim(batch), m.dim(n), m.dim(n + 1)], -1, 1)
    m.keep(m.node("AffineGrid", [theta, m.ints(batch, 1, *sizes)], [m.dim(batch), *[m.dim(s) for s in sizes], m.dim(n)], -(n + 1), n + 1, 1e-5,
                  align_corners=corners))


def roi_align(m):
    x = picture(m)
    m.need(m.opset >= 16 and x.size(0))
    n = m.one(1, 2, 4)
    low = m.numbers.integers(-64, 256, (n, 2)) / 64
    rois = np.concatenate([low, low + m.numbers.integers(32, 400, (n, 2)) / 64], 1).astype(np.float32)
    places = m.constant(rois) if m.chance(0.5) else m.given("f32", [rois] * m.runs)
    which = m.constant(m.draw("i64", [n], 0, x.size(0) - 1))
    height, width, mode = m.one(1, 2, 3), m.one(1, 2, 4), m.one("avg", "avg", "max")
    if mode == "max":  # whose result is a weighted term, not what lies between
        x = within(m, x, 0, 4)
    m.keep(m.node("RoiAlign", [x, places, which], [m.dim(n), x.dims[1], m.dim(height), m.dim(width)], min(x.lo, 0), max(x.hi, 0), x.err + 2e-5 * x.mag,
                  mode=mode, output_height=height, output_width=width, sampling_ratio=m.one(0, 1, 2), spatial_scale=m.one(1.0, 0.5),
                  coordinate_transformation_mode=m.one("half_pixel", "output_half_pixel")))


def pool_and_back(m):
    """MaxPool with its places, and MaxUnpool by them"""
    x = picture(m, (3, 4, 5), exact=True)
    n, k = x.rank - 2, m.one(2, 3)
    m.need(all(len(set(d)) == 1 and d[0] >= k for d in x.dims[2:]))
    dims = [*x.dims[:2], *[m.dim((d[0] - k) // k + 1) for d in x.dims[2:]]]
    shape = dict(kernel_shape=[k] * n, strides=[k] * n)
    y, at = m.emit("MaxPool", [x], [Value("", "f32", dims, x.lo, x.hi, 0, x.step), Value("", "i64", dims, 0, 24000, 0, 1)], **shape)
    m.keep(y)
    m.need(all(d[0] % k == 0 for d in x.dims[2:]))  # else places of x are no places of what comes back
    ins, back = [y, at], x.dims
    if m.chance(0.3) and not x.open():
        ins.append(m.ints(*[d[0] for d in x.dims]))
    m.keep(m.node("MaxUnpool", ins, back, min(x.lo, 0), max(x.hi, 0), 0, x.step, exactly=True, **shape))


def col2im(m):
    m.need(m.opset >= 18)
    n, channels, batch = 2, m.one(1, 2, 3), m.one(1, 2)  # of other numbers of axes, dilated, ONNX Runtime gives other sums than ONNX
    block, image_size = [m.one(1, 2, 3) for _ in range(n)], [m.one(4, 5, 7) for _ in range(n)]
    strides, dilations, pads = [m.one(1, 2) for _ in range(n)], [m.one(1, 1, 2) for _ in range(n)], [m.one(0, 0, 1) for _ in range(2 * n)]
    many = [(image_size[i] + pads[i] + pads[n + i] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1 for i in range(n)]
    m.need(all(n >= 1 for n in many))
    taps = math.prod(block)
    x = m.tensor("f32", [m.dim(batch), m.dim(channels * taps), m.dim(math.prod(many))])
    m.keep(m.node("Col2Im", [x, m.ints(*image_size), m.ints(*block)], [m.dim(batch), m.dim(channels), *[m.dim(s) for s in image_size]], taps * x.lo, taps * x.hi,
                  step=x.step, strides=strides, dilations=dilations, pads=pads))


def deform_conv(m):
    m.need(m.opset >= 19)
    x = picture(m)
    c, k, out, groups = x.size(1), m.one(1, 2, 3), m.one(1, 3, 4), 1
    m.need(not x.open() and all(d[0] >= k for d in x.dims[2:]))
    dims = [d[0] - k + 1 for d in x.dims[2:]]
    w = m.weights("f32", [out, c, k, k], c * k * k)
    offset = m.tensor("f32", [x.dims[0], m.dim(groups * k * k * 2), *[m.dim(d) for d in dims]], -1, 1)
    ins = [x, w, offset]
    if m.chance(0.5):
        ins += [m.tensor("f32", [m.dim(out)]) if m.chance(0.6) else None, m.tensor("f32", [x.dims[0], m.dim(groups * k * k), *[m.dim(d) for d in dims]], 0, 1)]
    growth = heaviest(m, w, (1, 2, 3))
    mag = growth * x.mag + 2
    m.keep(m.node("DeformConv", ins, [x.dims[0], m.dim(out), *[m.dim(d) for d in dims]], -mag, mag, growth * (x.err + 1e-5 * x.mag), kernel_shape=[k, k],
                  pads=[0] * 4, offset_group=groups))


# ---- Resize ----
def resize(m):
    """Any axes, policies, antialiasing and crops, as far as the opset goes"""
    x = m.pick(lambda v: v.rank in (3, 4, 5) and v.dtype in ("f32", "u8", "i8") and not v.open() and all(d[0] >= 1 for d in v.dims))
    mode = m.one("nearest", "linear", "cubic") if x.rank == 4 else m.one("nearest", "linear") if x.rank == 5 else "nearest"
    m.need(x.dtype == "f32" or mode == "nearest")
    how = m.one("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "tf_crop_and_resize", *(["half_pixel_symmetric"] if m.opset >= 19 else []))
    sizes = [d[0] for d in x.dims]
    axes = [x.rank - 2, x.rank - 1] if mode != "linear" or x.rank == 4 else [2, 3, 4]
    scales = [m.one(0.5, 1, 1.5, 2, 3, 0.75) for _ in axes]
    out = list(sizes)
    for a, s in zip(axes, scales):
        out[a] = math.floor(sizes[a] * s)
    m.need(all(n >= 1 for n in out))
    by_scales = m.chance(0.5)
    m.need(how in ("half_pixel", "asymmetric") or not by_scales or all((sizes[a] * s) % 1 == 0 for a, s in zip(axes, scales)))
    attrs = {"mode": mode, "coordinate_transformation_mode": how}
    listed_axes = m.opset >= 18 and m.chance(0.4)
    if listed_axes:
        attrs["axes"] = axes
    roi = None
    if how == "tf_crop_and_resize":
        m.need(mode != "nearest" and 1 not in scales)  # an axis of scale 1 is not cropped by ONNX Runtime
        k = len(axes) if listed_axes else x.rank
        moved = [listed_axes or i in axes for i in range(k)]
        roi = m.constant(np.array([0.125 * c for c in moved] + [0.75 if c else 1 for c in moved], np.float32))
        attrs["extrapolation_value"] = m.one(None, 1.5)
    if mode == "nearest":
        # places on a tie are exact in these scales alone
        m.need(how in ("asymmetric", "half_pixel") and by_scales and all(s in (0.5, 1, 2) for s in scales))
        attrs["nearest_mode"] = m.one("round_prefer_floor", "floor", "ceil", "round_prefer_ceil")
    if mode == "cubic":
        attrs["cubic_coeff_a"], attrs["exclude_outside"] = m.one(None, -0.5, -0.75), m.one(None, 0, 1)
    if m.opset >= 18 and mode != "nearest" and roi is None and m.chance(0.35) and how != "half_pixel_symmetric":
        attrs["antialias"] = 1
        m.need(how != "align_corners" and attrs.get("exclude_outside") != 0)
        attrs.pop("exclude_outside", None)
    if by_scales:
        full = scales if listed_axes else [scales[axes.index(i)] if i in axes else 1 for i in range(x.rank)]
        ins = [x, roi, m.constant(np.array(full, np.float32))]
    else:
        ins = [x, roi, None, m.ints(*([out[a] for a in axes] if listed_axes else out))]
    dims = [m.dim(n) for n in out]
    if mode == "nearest":
        return m.keep(m.like("Resize", ins, dims=dims, **attrs))
    most = max(x.mag, 1.5 if roi is not None else 0) * (1 if mode == "linear" else 3)
    m.keep(m.node("Resize", ins, dims, -most, most, (1 if mode == "linear" else 3) * x.err + 2e-5 * x.mag, **attrs))


# ---- signals ----
def dft(m):
    m.need(m.opset >= 17)
    n, batch = m.one(1, 2, 5, 8, 12, 16, 31), m.one(1, 2)
    kind = m.one("real", "complex", "inverse", "onesided")
    x = m.tensor("f32", [m.dim(batch), m.dim(n), m.dim(1 if kind in ("real", "onesided") else 2)], -1, 1)
    bins = n // 2 + 1 if kind == "onesided" else n
    ins, attrs = [x, None], {"inverse": 1 if kind == "inverse" else None, "onesided": 1 if kind == "onesided" else None}
    if m.opset >= 20:
        ins.append(m.constant(np.array(m.one(1, -2), np.int64)))
    else:
        ins, attrs["axis"] = ins[:1], 1
    most = 2 * n if kind != "inverse" else 2
    m.keep(m.node("DFT", ins, [m.dim(batch), m.dim(bins), m.dim(2)], -most, most, 3e-6 * n, **attrs))


def stft(m):
    m.need(m.opset >= 17)
    frame, hop, batch = m.one(4, 8, 10, 16), m.one(2, 3, 5), m.one(1, 2)
    n = frame + hop * m.dice.randrange(0, 5) + m.dice.randrange(hop)
    x, sides = m.tensor("f32", [m.dim(batch), m.dim(n), m.dim(1)], -1, 1), m.one(0, 1)
    window = m.one(None, m.constant(m.draw("f32", [frame], 0, 1)))
    if window is None and m.chance(0.6):
        window = m.node(m.one("HannWindow", "HammingWindow", "BlackmanWindow"), [m.constant(np.array(frame, np.int64))], [m.dim(frame)], 0, 1, 1e-6, dtype="f32",
                        periodic=m.one(None, 0, 1))
    ins = [x, m.constant(np.array(hop, np.int64)), window, m.constant(np.array(frame, np.int64))]
    if window is not None and m.chance(0.5):
        ins.pop()
    dims = [m.dim(batch), m.dim((n - frame) // hop + 1), m.dim(frame // 2 + 1 if sides else frame), m.dim(2)]
    m.keep(m.node("STFT", ins, dims, -2 * frame, 2 * frame, 1e-5 * frame, onesided=sides))


def window_values(m):
    m.need(m.opset >= 17)
    op, n = m.one("HannWindow", "HammingWindow", "BlackmanWindow"), m.one(1, 2, 5, 16, 33)
    dtype = m.one(None, "f32", "f64")
    m.need(n > 1)
    m.keep(m.node(op, [m.constant(np.array(n, m.one(np.int64, np.int32)))], [m.dim(n)], -0.001, 1, 3e-6, dtype=dtype or "f32", periodic=m.one(None, 0, 1),
                  output_datatype=NUMBER.get(dtype)))


def mel(m):
    m.need(m.opset >= 17)
    bins, size, rate = m.one(2, 5, 8), m.one(16, 64), m.one(8000, 16000)
    ins = [m.constant(np.array(v, np.int64)) for v in (bins, size, rate)] + [m.constant(np.array(v, np.float32)) for v in (0, rate / 2)]
    m.keep(m.node("MelWeightMatrix", ins, [m.dim(size // 2 + 1), m.dim(bins)], 0, 1, 1e-5, dtype="f32"))


def shrunk_image(m):
    """Crops an image to a power of two, so that sampling at the nearest place is exact"""
    x = image(m, of=lambda v: v.rank == 4 and all(min(d) >= 4 for d in v.dims[2:]))
    m.keep(m.like("Slice", [x, m.ints(0, 0), m.ints(4, 4), m.ints(2, 3)], dims=[*x.dims[:2], m.dim(4), m.dim(4)]))


IMAGES = [(grid_sample, 3), (affine_grid, 0.7), (roi_align, 2), (pool_and_back, 2), (col2im, 1), (deform_conv, 1), (resize, 5), (shrunk_image, 0.7)]
SIGNALS = [(dft, 2), (stft, 2), (window_values, 1), (mel, 0.7)]
