/* Reference kernels that move data or make it, and the shape functions: what values they accept, the dims they write,
 * and that a value out of range is MCC_E_INDEX before anything is written. */
#include "kernel_call.h"

static float ramp[64]; /* 1, 2, 3, … */
static float y[64];
static const int64_t LARGE = INT64_C(1) << 40;

static void test_slice(void) {
    int64_t start[] = {-1, 0}, end[] = {INT64_MIN, INT64_MAX}, axes[] = {-1, 0}, step[] = {-2, 2};
    mcc_arg a[] = {F32(ramp, 3, 4), I64(start, 2), I64(end, 2), I64(axes, 2), I64(step, 2), F32(y, UNKNOWN, UNKNOWN)};
    const mcc_attr *at = ATTRS(Slice, 5, 1, );
    CHECK(shape_Slice(a, at) == MCC_OK && HAS_DIMS(a[5], 2, 2));
    CHECK(ref_Slice(a, at) == MCC_OK && SAME_F32(y, 4, 2, 12, 10));
    start[1] = INT64_MIN, end[1] = INT64_MIN, step[1] = INT64_MIN;
    CHECK(shape_Slice(a, at) == MCC_OK && HAS_DIMS(a[5], 1, 2)); /* clamped to 0 and -1: the first row */
    CHECK(ref_Slice(a, at) == MCC_OK && SAME_F32(y, 4, 2));
    y[0] = 77;
    start[1] = 3; /* now two rows' worth of dims would be wrong */
    a[5].dims[0] = 2;
    CHECK(ref_Slice(a, at) == MCC_E_INDEX && y[0] == 77);
    step[0] = 0;
    CHECK(shape_Slice(a, at) == MCC_E_INDEX);
    step[0] = 1, axes[0] = 0;
    CHECK(shape_Slice(a, at) == MCC_E_INDEX);
    axes[0] = 2;
    CHECK(shape_Slice(a, at) == MCC_E_INDEX);
    int32_t narrow[] = {1};
    mcc_arg b[] = {F32(ramp, 3), TENSOR(MCC_I32, narrow, 1), TENSOR(MCC_I32, (int32_t[]){9}, 1), F32(y, UNKNOWN)};
    CHECK(shape_Slice(b, ATTRS(Slice, 3, 1, )) == MCC_OK && HAS_DIMS(b[3], 2));
    CHECK(ref_Slice(b, ATTRS(Slice, 3, 1, )) == MCC_OK && SAME_F32(y, 2, 3));
}

static void test_transpose(void) {
    mcc_arg a[] = {F32(ramp, 2, 3, 2), F32(y, 2, 2, 3)};
    CHECK(ref_Transpose(a, ATTRS(Transpose, 1, 1, .perm = LIST(2, 0, 1))) == MCC_OK);
    CHECK(SAME_F32(y, 1, 3, 5, 7, 9, 11, 2, 4, 6, 8, 10, 12));
    uint8_t x8[] = {1, 2, 3, 4, 5, 6}, y8[6];
    mcc_arg b[] = {TENSOR(MCC_BOOL, x8, 2, 3), TENSOR(MCC_BOOL, y8, 3, 2)};
    CHECK(ref_Transpose(b, ATTRS(Transpose, 1, 1, )) == MCC_OK && SAME(y8, (uint8_t[]){1, 4, 2, 5, 3, 6}));
    uint16_t x16[256], y16[256]; /* rank 8, reversed: bit i of the index becomes bit 7 - i */
    for (int i = 0; i < 256; i++) x16[i] = (uint16_t)i;
    mcc_arg c[] = {TENSOR(MCC_F16, x16, 2, 2, 2, 2, 2, 2, 2, 2), TENSOR(MCC_F16, y16, 2, 2, 2, 2, 2, 2, 2, 2)};
    CHECK(ref_Transpose(c, ATTRS(Transpose, 1, 1, )) == MCC_OK);
    for (int i = 0; i < 256; i++) {
        int reversed = 0;
        for (int bit = 0; bit < 8; bit++) reversed |= (i >> bit & 1) << (7 - bit);
        CHECK(y16[i] == reversed);
    }
}

static void test_join_and_split(void) {
    double x[] = {1, 2, 3, 4}, z[6];
    mcc_arg a[] = {TENSOR(MCC_F64, x, 2, 1), TENSOR(MCC_F64, NULL, 2, 0), TENSOR(MCC_F64, x, 2, 2),
                   TENSOR(MCC_F64, z, 2, 3)};
    CHECK(ref_Concat(a, ATTRS(Concat, 3, 1, .axis = -1)) == MCC_OK && SAME(z, (double[]){1, 1, 2, 2, 3, 4}));
    int64_t parts[] = {2, 0, 1};
    float p0[4], p2[2];
    mcc_arg s[] = {F32(ramp, 2, 3), I64(parts, 3), F32(p0, 2, UNKNOWN), NONE, F32(p2, 2, UNKNOWN)};
    const mcc_attr *at = ATTRS(Split, 2, 3, .axis = 1);
    CHECK(shape_Split(s, at) == MCC_OK && HAS_DIMS(s[2], 2, 2) && HAS_DIMS(s[4], 2, 1));
    CHECK(ref_Split(s, at) == MCC_OK && SAME_F32(p0, 1, 2, 4, 5) && SAME_F32(p2, 3, 6));
    parts[0] = 3;
    CHECK(shape_Split(s, at) == MCC_E_INDEX);
    parts[0] = INT64_MAX, parts[1] = INT64_MAX;
    CHECK(shape_Split(s, at) == MCC_E_INDEX);
    parts[0] = 4, parts[1] = -2;
    CHECK(ref_Split(s, at) == MCC_E_INDEX);
    mcc_arg e[] = {F32(ramp, 5), F32(y, UNKNOWN), F32(y + 2, UNKNOWN), F32(y + 4, UNKNOWN), F32(y + 5, UNKNOWN)};
    CHECK(shape_Split(e, ATTRS(Split, 1, 4, .num_outputs = 4)) == MCC_OK);
    CHECK(HAS_DIMS(e[1], 2) && HAS_DIMS(e[3], 1) && HAS_DIMS(e[4], 0));
    CHECK(ref_Split(e, ATTRS(Split, 1, 4, .num_outputs = 4)) == MCC_OK && SAME_F32(y, 1, 2, 3, 4, 5));
}

static void test_repetition(void) {
    int64_t shape[] = {2, 1, 3}, repeats[] = {2, 2}, values[] = {LARGE, LARGE, 2};
    mcc_arg a[] = {F32(ramp, 2, 1), I64(shape, 3), F32(y, UNKNOWN, UNKNOWN, UNKNOWN)};
    const mcc_attr *at = ATTRS(Expand, 2, 1, );
    CHECK(shape_Expand(a, at) == MCC_OK && HAS_DIMS(a[2], 2, 2, 3));
    CHECK(ref_Expand(a, at) == MCC_OK && SAME_F32(y, 1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2));
    a[1].data = values;
    CHECK(shape_Expand(a, at) == MCC_E_INDEX); /* 2^81 elements */
    values[0] = 3, values[1] = 3, values[2] = 1;
    CHECK(shape_Expand(a, at) == MCC_E_INDEX); /* 2 against 3 */
    values[1] = -1;
    CHECK(shape_Expand(a, at) == MCC_E_INDEX);
    mcc_arg t[] = {F32(ramp, 2, 2), I64(repeats, 2), F32(y, UNKNOWN, UNKNOWN)};
    CHECK(shape_Tile(t, ATTRS(Tile, 2, 1, )) == MCC_OK && HAS_DIMS(t[2], 4, 4));
    CHECK(ref_Tile(t, ATTRS(Tile, 2, 1, )) == MCC_OK && SAME_F32(y, 1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4));
    const int64_t bad[] = {-1, INT64_MAX, LARGE};
    for (int i = 0; i < 3; i++) {
        repeats[0] = bad[i], repeats[1] = LARGE;
        CHECK(shape_Tile(t, ATTRS(Tile, 2, 1, )) == MCC_E_INDEX);
    }
}

static void test_pad(void) {
    int64_t pads[] = {2, 4}, axes[] = {-1};
    float fill = 9;
    mcc_arg a[] = {F32(ramp, 3), I64(pads, 2), SCALAR(MCC_F32, &fill), NONE, F32(y, UNKNOWN)};
    enum { CONSTANT, REFLECT, EDGE, WRAP };
    CHECK(shape_Pad(a, ATTRS(Pad, 4, 1, )) == MCC_OK && HAS_DIMS(a[4], 9));
    CHECK(ref_Pad(a, ATTRS(Pad, 4, 1, .mode = CONSTANT)) == MCC_OK && SAME_F32(y, 9, 9, 1, 2, 3, 9, 9, 9, 9));
    CHECK(ref_Pad(a, ATTRS(Pad, 4, 1, .mode = REFLECT)) == MCC_OK && SAME_F32(y, 3, 2, 1, 2, 3, 2, 1, 2, 3));
    CHECK(ref_Pad(a, ATTRS(Pad, 4, 1, .mode = EDGE)) == MCC_OK && SAME_F32(y, 1, 1, 1, 2, 3, 3, 3, 3, 3));
    CHECK(ref_Pad(a, ATTRS(Pad, 4, 1, .mode = WRAP)) == MCC_OK && SAME_F32(y, 2, 3, 1, 2, 3, 1, 2, 3, 1));
    pads[0] = -1, pads[1] = 1; /* what is removed is not mirrored */
    a[4].dims[0] = 3;
    CHECK(ref_Pad(a, ATTRS(Pad, 4, 1, .mode = EDGE)) == MCC_OK && SAME_F32(y, 2, 3, 3));
    CHECK(ref_Pad(a, ATTRS(Pad, 4, 1, .mode = CONSTANT)) == MCC_OK && SAME_F32(y, 2, 3, 9));
    pads[0] = -5, pads[1] = 4; /* beyond the tensor: only constants are left */
    a[4].dims[0] = 2;
    CHECK(ref_Pad(a, ATTRS(Pad, 4, 1, .mode = CONSTANT)) == MCC_OK && SAME_F32(y, 9, 9));
    CHECK(ref_Pad(a, ATTRS(Pad, 4, 1, .mode = WRAP)) == MCC_E_INDEX);
    pads[0] = INT64_MIN, pads[1] = INT64_MAX;
    CHECK(ref_Pad(a, ATTRS(Pad, 4, 1, .mode = CONSTANT)) == MCC_OK); /* 3 - 2^63 + 2^63 - 1 */
    const int64_t bad[][2] = {{-2, -2}, {INT64_MAX, 1}, {INT64_MIN, 0}, {INT64_MAX, INT64_MAX}};
    for (int i = 0; i < 4; i++) {
        pads[0] = bad[i][0], pads[1] = bad[i][1];
        CHECK(shape_Pad(a, ATTRS(Pad, 4, 1, )) == MCC_E_INDEX);
    }
    pads[0] = 1, pads[1] = 0;
    mcc_arg b[] = {F32(ramp, 2, 2), I64(pads, 2), NONE, I64(axes, 1), F32(y, UNKNOWN, UNKNOWN)};
    CHECK(shape_Pad(b, ATTRS(Pad, 4, 1, )) == MCC_OK && HAS_DIMS(b[4], 2, 3));
    CHECK(ref_Pad(b, ATTRS(Pad, 4, 1, )) == MCC_OK && SAME_F32(y, 0, 1, 2, 0, 3, 4));
    axes[0] = 2;
    CHECK(shape_Pad(b, ATTRS(Pad, 4, 1, )) == MCC_E_INDEX);
}

static void test_gather(void) {
    int64_t i64[] = {1, -2};
    mcc_arg a[] = {F32(ramp, 2, 2), I64(i64, 2), F32(y, 2, 2)};
    CHECK(ref_Gather(a, ATTRS(Gather, 2, 1, .axis = 1)) == MCC_OK && SAME_F32(y, 2, 1, 4, 3));
    i64[1] = 2, y[0] = 77;
    CHECK(ref_Gather(a, ATTRS(Gather, 2, 1, .axis = 1)) == MCC_E_INDEX && y[0] == 77);
    i64[1] = INT64_MIN;
    CHECK(ref_Gather(a, ATTRS(Gather, 2, 1, .axis = 0)) == MCC_E_INDEX);
    int32_t i32[] = {1, -1, 0, 0};
    mcc_arg e[] = {F32(ramp, 2, 2), TENSOR(MCC_I32, i32, 2, 2), F32(y, 2, 2)};
    CHECK(ref_GatherElements(e, ATTRS(GatherElements, 2, 1, .axis = 0)) == MCC_OK && SAME_F32(y, 3, 4, 1, 2));
    i32[2] = -3;
    CHECK(ref_GatherElements(e, ATTRS(GatherElements, 2, 1, .axis = 0)) == MCC_E_INDEX);
    int64_t nd[] = {1, -1};
    mcc_arg n[] = {F32(ramp, 2, 2, 2), I64(nd, 1, 2), F32(y, 1, 2)};
    CHECK(ref_GatherND(n, ATTRS(GatherND, 2, 1, )) == MCC_OK && SAME_F32(y, 7, 8));
    mcc_arg b[] = {F32(ramp, 2, 2, 2), I64(nd, 2, 1), F32(y, 2, 2)}; /* one index a batch */
    CHECK(ref_GatherND(b, ATTRS(GatherND, 2, 1, .batch_dims = 1)) == MCC_OK && SAME_F32(y, 3, 4, 7, 8));
    nd[0] = 2;
    CHECK(ref_GatherND(b, ATTRS(GatherND, 2, 1, .batch_dims = 1)) == MCC_E_INDEX);
}

static void test_blocks_and_triangles(void) {
    mcc_arg a[] = {F32(ramp, 1, 8, 1, 1), F32(y, 1, 2, 2, 2)};
    CHECK(ref_DepthToSpace(a, ATTRS(DepthToSpace, 1, 1, .blocksize = 2)) == MCC_OK &&
          SAME_F32(y, 1, 3, 5, 7, 2, 4, 6, 8));
    CHECK(ref_DepthToSpace(a, ATTRS(DepthToSpace, 1, 1, .blocksize = 2, .mode = 1)) == MCC_OK);
    CHECK(SAME_F32(y, 1, 2, 3, 4, 5, 6, 7, 8));
    mcc_arg s[] = {F32(ramp, 1, 2, 2, 2), F32(y, 1, 8, 1, 1)};
    CHECK(ref_SpaceToDepth(s, ATTRS(SpaceToDepth, 1, 1, .blocksize = 2)) == MCC_OK &&
          SAME_F32(y, 1, 5, 2, 6, 3, 7, 4, 8));
    int64_t k = 1;
    mcc_arg t[] = {F32(ramp, 2, 3), SCALAR(MCC_I64, &k), F32(y, 2, 3)};
    CHECK(ref_Trilu(t, ATTRS(Trilu, 2, 1, .upper = 1)) == MCC_OK && SAME_F32(y, 0, 2, 3, 0, 0, 6));
    CHECK(ref_Trilu(t, ATTRS(Trilu, 2, 1, .upper = 0)) == MCC_OK && SAME_F32(y, 1, 2, 0, 4, 5, 6));
    k = INT64_MIN;
    CHECK(ref_Trilu(t, ATTRS(Trilu, 2, 1, .upper = 0)) == MCC_OK && SAME_F32(y, 0, 0, 0, 0, 0, 0));
}

static void test_reshape(void) {
    int64_t shape[] = {0, -1, 2};
    mcc_arg a[] = {F32(ramp, 2, 6), I64(shape, 3), F32(y, UNKNOWN, UNKNOWN, UNKNOWN)};
    CHECK(shape_Reshape(a, ATTRS(Reshape, 2, 1, )) == MCC_OK && HAS_DIMS(a[2], 2, 3, 2));
    CHECK(shape_Reshape(a, ATTRS(Reshape, 2, 1, .allowzero = 1)) == MCC_E_INDEX); /* -1 beside 0 says nothing */
    const int64_t bad[][3] = {{-1, -1, 2},       {5, -1, 2}, {3, 2, 1},        {-2, 3, 2},
                              {LARGE, LARGE, 1}, {12, 1, 0}, {INT64_MIN, 1, 1}};
    for (int i = 0; i < 7; i++) {
        memcpy(shape, bad[i], sizeof shape);
        CHECK(shape_Reshape(a, ATTRS(Reshape, 2, 1, )) == MCC_E_INDEX);
    }
    int64_t axes[] = {-1, 0};
    mcc_arg s[] = {F32(ramp, 1, 3, 1), I64(axes, 2), F32(y, UNKNOWN)};
    CHECK(shape_Squeeze(s, ATTRS(Squeeze, 2, 1, )) == MCC_OK && HAS_DIMS(s[2], 3));
    axes[0] = 1;
    CHECK(shape_Squeeze(s, ATTRS(Squeeze, 2, 1, )) == MCC_E_INDEX);
    axes[0] = 0;
    CHECK(shape_Squeeze(s, ATTRS(Squeeze, 2, 1, )) == MCC_E_INDEX);
    s[1] = NONE;
    CHECK(shape_Squeeze(s, ATTRS(Squeeze, 2, 1, )) == MCC_OK && HAS_DIMS(s[2], 3));
    axes[0] = -1;
    mcc_arg u[] = {F32(ramp, 3), I64(axes, 2), F32(y, UNKNOWN, UNKNOWN, UNKNOWN)};
    CHECK(shape_Unsqueeze(u, ATTRS(Unsqueeze, 2, 1, )) == MCC_OK && HAS_DIMS(u[2], 1, 3, 1));
    axes[0] = 3;
    CHECK(shape_Unsqueeze(u, ATTRS(Unsqueeze, 2, 1, )) == MCC_E_INDEX);
    int64_t keep[] = {0};
    mcc_arg r[] = {F32(ramp, 2, 3), I64(keep, 1), F32(y, UNKNOWN, UNKNOWN)};
    CHECK(shape_ReduceSum(r, ATTRS(ReduceSum, 2, 1, .keepdims = 1)) == MCC_OK && HAS_DIMS(r[2], 1, 3));
    keep[0] = -3;
    CHECK(shape_ReduceSum(r, ATTRS(ReduceSum, 2, 1, .keepdims = 1)) == MCC_E_INDEX);
    mcc_arg c[] = {F32(ramp, 3), F32(y, 3)};
    CHECK(ref_Copy(c, ATTRS(Identity, 1, 1, )) == MCC_OK && SAME_F32(y, 1, 2, 3));
}

static void test_sources(void) {
    int64_t dims[] = {2, 2}, out[4];
    uint16_t fill[] = {0x3c00}, filled[4];
    mcc_arg c[] = {I64(dims, 2), TENSOR(MCC_F16, fill, 1), TENSOR(MCC_F16, filled, UNKNOWN, UNKNOWN)};
    const mcc_attr *at = ATTRS(ConstantOfShape, 2, 1, );
    CHECK(shape_ConstantOfShape(c, at) == MCC_OK && HAS_DIMS(c[2], 2, 2));
    CHECK(ref_ConstantOfShape(c, at) == MCC_OK && SAME(filled, (uint16_t[]){0x3c00, 0x3c00, 0x3c00, 0x3c00}));
    dims[0] = -1;
    CHECK(shape_ConstantOfShape(c, at) == MCC_E_INDEX);
    dims[0] = dims[1] = INT64_MAX;
    CHECK(shape_ConstantOfShape(c, at) == MCC_E_INDEX);
    dims[1] = 0; /* no elements, whatever the other dim */
    CHECK(shape_ConstantOfShape(c, at) == MCC_OK);
    const float floats[][4] = {{1, 2, 0.25f, 4}, {0, 0.3f, 0.1f, 4}, {1, 0, 1, 0}, {1, -1, -0.75f, 3}};
    for (int i = 0; i < 4; i++) {
        mcc_arg r[] = {SCALAR(MCC_F32, &floats[i][0]), SCALAR(MCC_F32, &floats[i][1]), SCALAR(MCC_F32, &floats[i][2]),
                       F32(y, UNKNOWN)};
        CHECK(shape_Range(r, ATTRS(Range, 3, 1, )) == MCC_OK && r[3].dims[0] == (int64_t)floats[i][3]);
        CHECK(ref_Range(r, ATTRS(Range, 3, 1, )) == MCC_OK);
    }
    CHECK(SAME_F32(y, 1, 0.25f, -0.5f));
    const float hostile[][3] = {{0, 1, 0}, {0, INFINITY, 1}, {NAN, 1, 1}, {0, 1, NAN}, {0, 1e30f, 1e-3f}};
    for (int i = 0; i < 5; i++) {
        mcc_arg r[] = {SCALAR(MCC_F32, &hostile[i][0]), SCALAR(MCC_F32, &hostile[i][1]),
                       SCALAR(MCC_F32, &hostile[i][2]), F32(y, UNKNOWN)};
        CHECK(shape_Range(r, ATTRS(Range, 3, 1, )) == MCC_E_INDEX);
    }
    const int64_t ints[][4] = {{3, 9, 3, 2},
                               {3, 10, 3, 3},
                               {10, 4, -2, 3},
                               {INT64_MIN, INT64_MAX, INT64_MAX, 3},
                               {5, INT64_MIN, INT64_MIN, 2}};
    for (int i = 0; i < 5; i++) {
        mcc_arg r[] = {SCALAR(MCC_I64, &ints[i][0]), SCALAR(MCC_I64, &ints[i][1]), SCALAR(MCC_I64, &ints[i][2]),
                       I64(out, UNKNOWN)};
        CHECK(shape_Range(r, ATTRS(Range, 3, 1, )) == MCC_OK && r[3].dims[0] == ints[i][3]);
        CHECK(ref_Range(r, ATTRS(Range, 3, 1, )) == MCC_OK && out[0] == ints[i][0] &&
              out[1] == ints[i][0] + ints[i][2]);
    }
    mcc_arg s[] = {F32(NULL, 5, 6, 7), I64(out, 2)};
    CHECK(ref_Shape(s, ATTRS(Shape, 1, 1, .start = -2, .end = INT64_MAX)) == MCC_OK && SAME(out, (int64_t[]){6, 7}));
    s[1] = SCALAR(MCC_I64, out);
    CHECK(ref_Size(s, ATTRS(Size, 1, 1, )) == MCC_OK && out[0] == 210);
    mcc_arg e[] = {F32(NULL, 2, 3), F32(y, 2, 3)};
    CHECK(ref_EyeLike(e, ATTRS(EyeLike, 1, 1, .k = 1)) == MCC_OK && SAME_F32(y, 0, 1, 0, 0, 0, 1));
}

int main(void) {
    for (int i = 0; i < 64; i++) ramp[i] = (float)(i + 1);
    test_slice();
    test_transpose();
    test_join_and_split();
    test_repetition();
    test_pad();
    test_gather();
    test_blocks_and_triangles();
    test_reshape();
    test_sources();
    return failures != 0;
}
