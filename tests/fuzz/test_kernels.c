/* Fuzzes the values that kernels use as indices and sizes: random ones, many of them extreme. A shape function must
 * refuse them or write dims that are a tensor's; a kernel must refuse, or stay inside of its output (kept between guard
 * bytes; build with MCC_SANITIZE to watch the inputs too). argv: seed, rounds. */
#include <stdbool.h>
#include <stdlib.h>
#include "tests/unit/kernel_call.h"

enum { ROOM = 1 << 16, GUARD = 64, MOST = 4 };
typedef int Kernel(const mcc_arg *, const mcc_attr *);
typedef int Shape(mcc_arg *, const mcc_attr *);

static uint64_t state = 1;
static uint64_t draw(void) { /* xorshift64 */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}
static int below(int n) { return (int)(draw() >> 33) % n; }

static int64_t value(void) {
    static const int64_t extreme[] = {INT64_MAX,        INT64_MIN,           INT64_MIN + 1,
                                      INT64_C(1) << 62, -(INT64_C(1) << 62), INT64_C(1) << 40,
                                      INT64_C(1) << 32, INT32_MAX,           INT32_MIN};
    return below(4) ? below(11) - 4 : extreme[below(sizeof extreme / 8)];
}
static float real(void) {
    static const float extreme[] = {NAN, INFINITY, -INFINITY, 1e30f, 1e-30f, 1e19f, 0, -1};
    return below(3) ? (float)below(400) / 100 : extreme[below(sizeof extreme / 4)];
}

static int64_t ints[3][16];
static float floats[2][16], x_data[1 << 10], one = 1;
static unsigned char room[GUARD + ROOM + GUARD];

static mcc_arg some_ints(int which, int n) {
    for (int i = 0; i < n; i++) ints[which][i] = value();
    return tensor(MCC_I64, (uintptr_t)ints[which], 1, (int64_t[]){n});
}
static mcc_arg some_floats(int which, int n) {
    for (int i = 0; i < n; i++) floats[which][i] = real();
    return tensor(MCC_F32, (uintptr_t)floats[which], 1, (int64_t[]){n});
}
static mcc_arg scalar_int(int which) {
    ints[which][0] = value();
    return SCALAR(MCC_I64, ints[which]);
}
static mcc_arg scalar_float(int which) {
    floats[which][0] = real();
    return SCALAR(MCC_F32, floats[which]);
}
static mcc_arg some_x(int rank) {
    int64_t dims[MOST];
    for (int i = 0; i < rank; i++) dims[i] = below(6);
    return tensor(MCC_F32, (uintptr_t)x_data, (size_t)rank, dims);
}
static mcc_arg unknown(int rank) {
    mcc_arg y = {.dtype = MCC_F32, .rank = rank};
    return y;
}

/* Elements of y, or -1 if they do not fit the room; negative dims are a failure. */
static int64_t room_for(const mcc_arg *y) {
    int64_t n = 1;
    bool empty = false;
    for (int i = 0; i < y->rank; i++) {
        CHECK(y->dims[i] >= 0);
        empty = empty || y->dims[i] == 0;
    }
    for (int i = 0; i < y->rank && !empty; i++) {
        if (y->dims[i] > ROOM / 8 / n) return -1;
        n *= y->dims[i];
    }
    return empty ? 0 : n;
}

static void run(Kernel *kernel, mcc_arg *a, const mcc_attr *at) {
    mcc_arg *y = &a[at->args.n_in];
    const int64_t n = room_for(y);
    if (n < 0) return;
    const size_t bytes = (size_t)n * (y->dtype == MCC_I64 ? 8 : 4);
    memset(room, 0xa5, sizeof room);
    y->data = room + GUARD;
    const int status = kernel(a, at);
    CHECK(status == MCC_OK || status == MCC_E_INDEX || status == MCC_E_SHAPE);
    for (size_t i = 0; i < sizeof room; i++)
        if (i < GUARD || i >= GUARD + bytes || status != MCC_OK) CHECK(room[i] == 0xa5);
}

/* The dims that the shape function writes; where it refuses, the kernel gets others, which it must not trust. */
static void fuzz(Shape *shape, Kernel *kernel, mcc_arg *a, const mcc_attr *at) {
    mcc_arg *y = &a[at->args.n_in];
    const int status = shape(a, at);
    CHECK(status == MCC_OK || status == MCC_E_INDEX);
    if (status != MCC_OK)
        for (int i = 0; i < y->rank; i++) y->dims[i] = below(4);
    room_for(y);
    if (kernel) run(kernel, a, at);
}
#define FUZZ(op, at, ...) fuzz(shape_##op, ref_##op, ARGS(__VA_ARGS__), at)

static void fuzz_movement(int rank) {
    const mcc_arg x = some_x(rank);
    const int n = 1 + below(rank), wanted = below(MOST + 1);
    const mcc_arg shape = some_ints(0, wanted);
    fuzz(shape_Reshape, NULL, ARGS(x, shape, unknown(wanted)), ATTRS(Reshape, 2, 1, .allowzero = below(2)));
    FUZZ(Expand, ATTRS(Expand, 2, 1, ), x, shape, unknown(wanted > rank ? wanted : rank));
    FUZZ(ConstantOfShape, ATTRS(ConstantOfShape, 2, 1, ), shape, F32(&one, 1), unknown(wanted));
    FUZZ(Tile, ATTRS(Tile, 2, 1, ), x, some_ints(0, rank), unknown(rank));
    FUZZ(Pad, ATTRS(Pad, 2, 1, .mode = below(4)), x, some_ints(0, 2 * rank), unknown(rank));
    FUZZ(Pad, ATTRS(Pad, 4, 1, .mode = below(4)), x, some_ints(0, 2 * n), NONE, some_ints(1, n), unknown(rank));
    FUZZ(Slice, ATTRS(Slice, 3, 1, ), x, some_ints(0, n), some_ints(1, n), unknown(rank));
    FUZZ(Slice, ATTRS(Slice, 5, 1, ), x, some_ints(0, n), some_ints(1, n), NONE, some_ints(2, n), unknown(rank));
    FUZZ(Slice, ATTRS(Slice, 4, 1, ), x, some_ints(0, n), some_ints(1, n), some_ints(2, n), unknown(rank));
    FUZZ(Split, ATTRS(Split, 2, 1, .axis = below(rank)), x, some_ints(0, 1), unknown(rank));
    FUZZ(ReduceSum, ATTRS(ReduceSum, 2, 1, .keepdims = 1), x, some_ints(0, n), unknown(rank));
    fuzz(shape_Squeeze, NULL, ARGS(x, some_ints(0, n), unknown(rank - n)), ATTRS(Squeeze, 2, 1, ));
    fuzz(shape_Unsqueeze, NULL, ARGS(x, some_ints(0, n), unknown(rank + n)), ATTRS(Unsqueeze, 2, 1, ));
}

static void fuzz_resize(int rank) {
    const attrs_Resize p = {.header.args = {4, 1},
                            .antialias = below(2),
                            .coordinate_transformation_mode = below(7),
                            .cubic_coeff_a = -0.75,
                            .exclude_outside = below(2),
                            .keep_aspect_ratio_policy = below(3),
                            .mode = below(3),
                            .nearest_mode = below(4)};
    const mcc_attr *at = (const mcc_attr *)&p;
    const mcc_arg x = some_x(rank), roi = some_floats(0, 2 * rank);
    FUZZ(Resize, at, x, roi, some_floats(1, rank), NONE, unknown(rank));
    FUZZ(Resize, at, x, roi, NONE, some_ints(0, rank), unknown(rank));
}

static void fuzz_indices(int rank) {
    mcc_arg x = some_x(rank), y = x, indices = some_ints(0, below(4));
    const int axis = below(rank);
    y.dims[axis] = indices.dims[0];
    run(ref_Gather, ARGS(x, indices, y), ATTRS(Gather, 2, 1, .axis = axis));
    indices = some_ints(0, rank); /* one tuple: a scalar of X */
    run(ref_GatherND, ARGS(x, indices, unknown(0)), ATTRS(GatherND, 2, 1, ));
    indices = tensor(MCC_I64, (uintptr_t)ints[0], (size_t)rank, (int64_t[]){1, 1, 1, 1});
    indices.dims[axis] = below(4);
    y = indices;
    y.dtype = MCC_F32;
    run(ref_GatherElements, ARGS(x, indices, y), ATTRS(GatherElements, 2, 1, .axis = axis));
    run(ref_CumProd, ARGS(x, scalar_int(0), x), ATTRS(CumProd, 2, 1, .exclusive = below(2)));
    run(ref_CumSum, ARGS(x, scalar_int(0), x), ATTRS(CumSum, 2, 1, .reverse = below(2)));
    if (rank > 1) run(ref_Trilu, ARGS(x, scalar_int(0), x), ATTRS(Trilu, 2, 1, .upper = below(2)));
}

/* Memory to work in, kept between guard bytes too. */
static uint64_t memory[GUARD / 8 + (1 << 17) + GUARD / 8];
static mcc_arg scratch(size_t bytes) {
    memset(memory, 0xa5, sizeof memory);
    mcc_arg a = tensor(0, (uintptr_t)(memory + GUARD / 8), 0, NULL);
    a.dims[0] = (int64_t)bytes;
    return a;
}
static void check_scratch(const mcc_arg *a) {
    const unsigned char *all = (const unsigned char *)memory;
    for (size_t i = 0; i < GUARD; i++) CHECK(all[i] == 0xa5 && all[GUARD + (size_t)a->dims[0] + i] == 0xa5);
}

static int64_t elements_of(const mcc_arg *a) {
    int64_t n = 1;
    for (int i = 0; i < a->rank; i++) n *= a->dims[i];
    return n;
}

static void some_reals(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = real();
}

static void fuzz_scatter(int rank) {
    const mcc_arg x = some_x(rank);
    const int axis = below(rank);
    mcc_arg indices = tensor(MCC_I64, (uintptr_t)ints[0], (size_t)rank, (int64_t[]){1, 1, 1, 1}), updates = x;
    some_ints(0, 4);
    indices.dims[axis] = below(4);
    for (int i = 0; i < rank; i++) updates.dims[i] = indices.dims[i];
    run(ref_ScatterElements, ARGS(x, indices, updates, x),
        ATTRS(ScatterElements, 3, 1, .axis = axis, .reduction = below(5)));
    indices = some_ints(0, rank);
    run(ref_ScatterND, ARGS(x, indices, tensor(MCC_F32, (uintptr_t)x_data, 0, NULL), x),
        ATTRS(ScatterND, 3, 1, .reduction = below(5)));
}

static void fuzz_selections(int rank) {
    static uint8_t holds[8];
    mcc_arg x = some_x(rank), memory_of, y = unknown(2);
    const int axis = below(rank);
    for (int i = 0; i < 8; i++) holds[i] = (uint8_t)below(2);
    FUZZ(Compress, ATTRS(Compress, 2, 1, .axis = below(2) ? axis : INT64_MAX), x, TENSOR(MCC_BOOL, holds, below(8)),
         unknown(rank));
    y.dtype = MCC_I64;
    FUZZ(NonZero, ATTRS(NonZero, 1, 1, ), x, y);
    FUZZ(OneHot, ATTRS(OneHot, 3, 1, .axis = -1), some_ints(0, below(4)), scalar_int(1), F32(x_data, 2), unknown(2));
    memory_of = scratch(16 * (size_t)x.dims[axis]);
    FUZZ(TopK, ATTRS(TopK, 2, 2, .axis = axis, .largest = below(2)), x, scalar_int(0), unknown(rank), NONE, memory_of);
    check_scratch(&memory_of);
    const bool flat = below(2);
    memory_of = scratch(24 * (size_t)(flat ? elements_of(&x) : x.dims[axis]));
    FUZZ(Unique, ATTRS(Unique, 1, 4, .axis = flat ? INT64_MAX : axis, .sorted = below(2)), x, unknown(flat ? 1 : rank),
         NONE, NONE, NONE, memory_of);
    check_scratch(&memory_of);
    const mcc_arg table = F32(x_data, below(4), below(4), 3);
    run(ref_ReverseSequence, ARGS(table, some_ints(0, (int)table.dims[1]), table),
        ATTRS(ReverseSequence, 2, 1, .batch_axis = 1));
}

static void fuzz_boxes(void) {
    static float boxes[4 * 4 * 4], scores[4 * 4 * 4], image[64], regions[16];
    const int batches = below(3), n = below(5);
    some_reals(boxes, 64);
    some_reals(scores, 64);
    mcc_arg memory_of = scratch(24 * (size_t)n + 320), y = unknown(2);
    y.dtype = MCC_I64;
    FUZZ(NonMaxSuppression, ATTRS(NonMaxSuppression, 5, 1, .center_point_box = below(2)), F32(boxes, batches, n, 4),
         F32(scores, batches, 2, n), scalar_int(0), scalar_float(0), scalar_float(1), y, memory_of);
    check_scratch(&memory_of);
    some_reals(image, 64);
    some_reals(regions, 16);
    run(ref_RoiAlign, ARGS(F32(image, 2, 2, 4, 4), F32(regions, 2, 4), some_ints(0, 2), F32(NULL, 2, 2, 2, 2)),
        ATTRS(RoiAlign, 3, 1, .coordinate_transformation_mode = below(2), .mode = below(2), .sampling_ratio = below(3),
              .spatial_scale = 1, .output_height = 2, .output_width = 2));
    run(ref_MaxRoiPool, ARGS(F32(image, 2, 2, 4, 4), F32(regions, 3, 5), F32(NULL, 3, 2, 3, 2)),
        ATTRS(MaxRoiPool, 2, 1, .pooled_shape = LIST(3, 2), .spatial_scale = 1));
    run(ref_GridSample, ARGS(F32(image, 1, 1, 4, 4), F32(regions, 1, 2, 4, 2), F32(NULL, 1, 1, 2, 4)),
        ATTRS(GridSample, 2, 1, .align_corners = below(2), .mode = below(5), .padding_mode = below(3)));
    FUZZ(MaxUnpool, ATTRS(MaxUnpool, 3, 1, .kernel_shape = LIST(2, 2), .strides = LIST(2, 2)), F32(image, 1, 1, 1, 2),
         tensor(MCC_I64, some_ints(0, 2).word, 4, (int64_t[]){1, 1, 1, 2}), some_ints(1, 4), unknown(4));
    FUZZ(Col2Im, ATTRS(Col2Im, 3, 1, .dilations = LIST(1, 1)), F32(image, 1, 4, 4), some_ints(0, 2), some_ints(1, 2),
         unknown(4));
}

static void fuzz_signals(void) {
    mcc_arg memory_of = scratch(sizeof memory - 2 * GUARD), y = unknown(1);
    FUZZ(DFT, ATTRS(DFT, 3, 1, .inverse = below(2), .onesided = 0), F32(x_data, 2, 5, 2), scalar_int(0), scalar_int(1),
         unknown(3), memory_of);
    check_scratch(&memory_of);
    FUZZ(STFT, ATTRS(STFT, 4, 1, .onesided = below(2)), F32(x_data, 2, 9, 1), scalar_int(0), NONE, scalar_int(1),
         unknown(4), memory_of);
    check_scratch(&memory_of);
    FUZZ(HannWindow, ATTRS(HannWindow, 1, 1, .periodic = below(2)), scalar_int(0), y);
    FUZZ(MelWeightMatrix, ATTRS(MelWeightMatrix, 5, 1, ), scalar_int(0), scalar_int(1), scalar_int(2), scalar_float(0),
         scalar_float(1), unknown(2));
}

static void fuzz_range(void) {
    mcc_arg y = unknown(1);
    const mcc_attr *at = ATTRS(Range, 3, 1, );
    FUZZ(Range, at, scalar_float(0), scalar_float(1), SCALAR(MCC_F32, &one), y);
    y.dtype = MCC_I64;
    FUZZ(Range, at, scalar_int(0), scalar_int(1), scalar_int(2), y);
}

int main(int argc, char **argv) {
    state = argc > 1 ? strtoull(argv[1], NULL, 0) | 1 : 20250701;
    const int rounds = argc > 2 ? atoi(argv[2]) : 3000;
    printf("seed %llu\n", (unsigned long long)state);
    for (int i = 0; i < 1 << 10; i++) x_data[i] = (float)i;
    for (int i = 0; i < rounds && !failures; i++) {
        const int rank = 1 + below(MOST);
        fuzz_movement(rank);
        fuzz_resize(rank);
        fuzz_indices(rank);
        fuzz_scatter(rank);
        fuzz_selections(rank);
        fuzz_boxes();
        fuzz_signals();
        fuzz_range();
    }
    return failures != 0;
}
