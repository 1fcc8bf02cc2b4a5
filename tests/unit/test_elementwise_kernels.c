/* The elementwise reference kernels: every operator of ir/ops.def flagged OP_ELEMENTWISE takes exactly the dtypes of
 * its row; broadcasting over random shapes of every rank, empty and rank-0 tensors, in place; Clip with and without
 * bounds; Pow with an exponent of another dtype. The reference indexes every element by its coordinates. */
#include "ir/ir.h"
#include "runtime/kernels/elementwise.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static int failures;
#define EXPECT(condition, ...)                                                                                         \
    do {                                                                                                               \
        if (!(condition) && failures++ < 30) printf("%s:%d: ", __FILE__, __LINE__), printf(__VA_ARGS__), puts("");     \
    } while (0)

typedef int Kernel(const mcc_arg *a, const mcc_attr *at);
typedef struct {
    const char *name;
    Kernel *kernel;
} Entry;

/* ---- the table of operators and the kernels agree ---- */
#define DECLARE(op) Kernel ref_##op;
#define UNARY_F(op, ...) DECLARE(op)
#define UNARY_FI(op, ...) DECLARE(op)
#define UNARY_FIU(op, ...) DECLARE(op)
#define UNARY_IU(op, ...) DECLARE(op)
#define PREDICATE_F(op, ...) DECLARE(op)
#define PREDICATE_B(op, ...) DECLARE(op)
#define BINARY_FIU(op, ...) DECLARE(op)
#define BINARY_FIU_MIXED(op, ...) DECLARE(op)
#define BINARY_IU(op, ...) DECLARE(op)
#define BINARY_U(op, ...) DECLARE(op)
#define COMPARE_B(op, ...) DECLARE(op)
#define COMPARE_FIU(op, ...) DECLARE(op)
#define COMPARE_FIUB(op, ...) DECLARE(op)
#include "runtime/kernels/elementwise.def"
Kernel ref_Where, ref_Clip, ref_Cast;

#define LIST(op) {#op, ref_##op},
#define UNARY_F(op, ...) LIST(op)
#define UNARY_FI(op, ...) LIST(op)
#define UNARY_FIU(op, ...) LIST(op)
#define UNARY_IU(op, ...) LIST(op)
#define PREDICATE_F(op, ...) LIST(op)
#define PREDICATE_B(op, ...) LIST(op)
#define BINARY_FIU(op, ...) LIST(op)
#define BINARY_FIU_MIXED(op, ...) LIST(op)
#define BINARY_IU(op, ...) LIST(op)
#define BINARY_U(op, ...) LIST(op)
#define COMPARE_B(op, ...) LIST(op)
#define COMPARE_FIU(op, ...) LIST(op)
#define COMPARE_FIUB(op, ...) LIST(op)
static const Entry kernels[] = {
#include "runtime/kernels/elementwise.def"
    LIST(Where) LIST(Clip) LIST(Cast)};

static Kernel *find(const char *name) {
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (!strcmp(kernels[i].name, name)) return kernels[i].kernel;
    return NULL;
}

static const struct {
    int32_t dtype;
    unsigned class;
    size_t bytes;
} dtypes[] = {{MCC_F32, F, 4}, {MCC_F64, F, 8}, {MCC_F16, F, 2}, {MCC_BF16, F, 2}, {MCC_I8, I, 1},
              {MCC_I16, I, 2}, {MCC_I32, I, 4}, {MCC_I64, I, 8}, {MCC_U8, U, 1},   {MCC_U16, U, 2},
              {MCC_U32, U, 4}, {MCC_U64, U, 8}, {MCC_BOOL, B, 1}};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

static mcc_arg scalar(int32_t dtype, void *data) { return (mcc_arg){.data = data, .dtype = dtype, .rank = 0}; }

static void check_dtypes(const char *name, unsigned classes, int inputs, int32_t out_dtype) {
    Kernel *k = find(name);
    EXPECT(k, "%s has no kernel", name);
    if (!k) return;
    struct {
        mcc_attr header;
        int64_t words[4];
    } attrs = {.header.args = {inputs, 1}};
    for (int i = 0; i < DTYPES; i++) {
        uint64_t data[4] = {0};
        int where = !strcmp(name, "Where");
        mcc_arg a[4];
        for (int j = 0; j < inputs; j++) a[j] = scalar(where && j == 0 ? MCC_BOOL : dtypes[i].dtype, data + j);
        a[inputs] = scalar(out_dtype ? out_dtype : dtypes[i].dtype, data + 3);
        int status = k(a, (const mcc_attr *)&attrs), want = dtypes[i].class & classes ? MCC_OK : MCC_E_DTYPE;
        EXPECT(status == want, "%s on dtype %d: %d, want %d", name, dtypes[i].dtype, status, want);
    }
    uint64_t data[4] = {0};
    mcc_arg a[4] = {scalar(MCC_STRING, data), scalar(MCC_STRING, data), scalar(MCC_STRING, data),
                    scalar(MCC_STRING, data)};
    EXPECT(k(a, (const mcc_attr *)&attrs) == MCC_E_DTYPE, "%s took strings", name);
}

static void check_table(void) {
    int rows = 0;
    for (int op = 0; op < OP_COUNT; op++) {
        const OpInfo *info = op_info((Op)op);
        if (!(info->flags & OP_ELEMENTWISE) || info->domain == MCC) continue;
        const char *name = info->name;
        int to_bool = strstr("Equal Greater GreaterOrEqual Less LessOrEqual IsInf IsNaN", name) != NULL;
        int inputs = info->max_in == VAR ? 2 : info->max_in;
        check_dtypes(name, info->dtypes, inputs, to_bool ? MCC_BOOL : !strcmp(name, "Cast") ? MCC_F32 : 0);
        rows++;
    }
    EXPECT(rows == (int)(sizeof kernels / sizeof *kernels), "%d rows, %zu kernels", rows,
           sizeof kernels / sizeof *kernels);
}

/* ---- broadcasting ---- */
static uint64_t state = 5;
static uint64_t draw(uint64_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state % n;
}

enum { MOST = 4096 };
/* the element of `in` that stands at the coordinates of element `flat` of `out` */
static int64_t source(const mcc_arg *in, const mcc_arg *out, int64_t flat) {
    int64_t index = 0, step = 1;
    for (int i = out->rank - 1; i >= 0; i--) {
        int64_t coordinate = flat % out->dims[i];
        int axis = i - (out->rank - in->rank);
        flat /= out->dims[i];
        if (axis < 0) continue;
        index += in->dims[axis] == 1 ? 0 : coordinate * step;
        step *= in->dims[axis];
    }
    return index;
}
static int64_t count(const mcc_arg *a) {
    int64_t n = 1;
    for (int i = 0; i < a->rank; i++) n *= a->dims[i];
    return n;
}

/* random dims for out, and for n inputs that broadcast to them */
static void draw_shapes(mcc_arg *in, int n, mcc_arg *out) {
    do {
        out->rank = (int32_t)draw(MCC_MAX_RANK + 1);
        for (int i = 0; i < out->rank; i++) out->dims[i] = (int64_t)(draw(12) ? 1 + draw(draw(3) ? 4 : 9) : 0);
    } while (count(out) > MOST);
    for (int k = 0; k < n; k++) {
        in[k].rank = k == 0 || draw(2) ? out->rank : (int32_t)draw((uint64_t)out->rank + 1);
        for (int i = 0; i < in[k].rank; i++) {
            in[k].dims[i] = out->dims[i + out->rank - in[k].rank];
            if (k && draw(3) == 0) in[k].dims[i] = 1;
        }
    }
}

static void check_broadcast(void) {
    static float x[MOST], y[MOST], z[MOST + 1];
    static uint8_t c[MOST], r[MOST + 1];
    for (int i = 0; i < MOST; i++) x[i] = (float)i, y[i] = (float)(1000000 + i), c[i] = (uint8_t)draw(2);
    for (int trial = 0; trial < 4000; trial++) {
        mcc_arg in[3] = {0}, out = {0};
        draw_shapes(in, 3, &out);
        int swap = (int)draw(2); /* either operand may be the larger */
        mcc_arg a[3] = {in[swap], in[!swap], out};
        a[0].dtype = a[1].dtype = a[2].dtype = MCC_F32, a[0].data = x, a[1].data = y, a[2].data = z;
        int64_t n = count(&out);
        for (int64_t i = 0; i <= n; i++) z[i] = -1;
        EXPECT(ref_Sub(a, NULL) == MCC_OK, "Sub");
        for (int64_t i = 0; i < n; i++)
            EXPECT(z[i] == x[source(&a[0], &out, i)] - y[source(&a[1], &out, i)], "Sub, trial %d, element %d", trial,
                   (int)i);
        EXPECT(z[n] == -1, "Sub wrote past its output");

        a[2].dtype = MCC_BOOL, a[2].data = r, r[n] = 7;
        EXPECT(ref_Less(a, NULL) == MCC_OK, "Less");
        for (int64_t i = 0; i < n; i++)
            EXPECT(r[i] == (x[source(&a[0], &out, i)] < y[source(&a[1], &out, i)]), "Less, trial %d, element %d", trial,
                   (int)i);
        EXPECT(r[n] == 7, "Less wrote past its output");

        mcc_arg w[4] = {in[2], in[swap], in[!swap], out};
        w[0].dtype = MCC_BOOL, w[0].data = c, w[1].dtype = w[2].dtype = w[3].dtype = MCC_F32, w[1].data = x,
        w[2].data = y, w[3].data = z;
        EXPECT(ref_Where(w, NULL) == MCC_OK, "Where");
        for (int64_t i = 0; i < n; i++) {
            float want = c[source(&w[0], &out, i)] ? x[source(&w[1], &out, i)] : y[source(&w[2], &out, i)];
            EXPECT(z[i] == want, "Where, trial %d, element %d", trial, (int)i);
        }
    }
}

/* ---- the odd ones ---- */
static void check_in_place(void) {
    float x[5] = {-2, -1, 0, 1, 2}, y[5] = {1, 2, 3, 4, 5};
    mcc_arg a[3] = {{.data = x, .dtype = MCC_F32, .rank = 1, .dims = {5}},
                    {.data = y, .dtype = MCC_F32, .rank = 1, .dims = {5}}};
    a[2] = a[0];
    EXPECT(ref_Add(a, NULL) == MCC_OK && x[0] == -1 && x[4] == 7, "Add in place");
    a[1] = a[0];
    EXPECT(ref_Neg(a, NULL) == MCC_OK && x[0] == 1 && x[4] == -7, "Neg in place");
}

static void check_clip(void) {
    int8_t x[4] = {-128, -5, 5, 127}, lo = -3, hi = 4, y[4];
    mcc_arg in = {.data = x, .dtype = MCC_I8, .rank = 1, .dims = {4}}, out = in;
    out.data = y;
    attrs_Clip at = {.header.args = {1, 1}};
    mcc_arg one[2] = {in, out};
    EXPECT(ref_Clip(one, &at.header) == MCC_OK && !memcmp(y, x, 4), "Clip without bounds");
    at.header.args.n_in = 2;
    mcc_arg two[3] = {in, scalar(MCC_I8, &lo), out};
    EXPECT(ref_Clip(two, &at.header) == MCC_OK && y[0] == -3 && y[1] == -3 && y[2] == 5 && y[3] == 127,
           "Clip from below");
    at.header.args.n_in = 3;
    mcc_arg three[4] = {in, scalar(0, NULL), scalar(MCC_I8, &hi), out};
    EXPECT(ref_Clip(three, &at.header) == MCC_OK && y[0] == -128 && y[1] == -5 && y[2] == 4 && y[3] == 4,
           "Clip from above");
    three[1] = scalar(MCC_I8, &lo);
    EXPECT(ref_Clip(three, &at.header) == MCC_OK && y[0] == -3 && y[2] == 4, "Clip on both sides");
}

static void check_pow(void) {
    static const double bases[] = {-3, -1, 0, 1, 2, 5}, exponents[] = {-2, -1, 0, 1, 2, 3};
    for (int b = 0; b < DTYPES - 1; b++)
        for (int e = 0; e < DTYPES - 1; e++)
            for (int i = 0; i < 6; i++)
                for (int j = 0; j < 6; j++) {
                    if ((bases[i] < 0 && dtypes[b].class == U) || (exponents[j] < 0 && dtypes[e].class == U)) continue;
                    uint64_t x = 0, y = 0, z = 0;
                    double vx = bases[i], vy = exponents[j], got;
                    attrs_Cast to = {0};
                    mcc_arg fx[2] = {scalar(MCC_F64, &vx), scalar(dtypes[b].dtype, &x)};
                    mcc_arg fy[2] = {scalar(MCC_F64, &vy), scalar(dtypes[e].dtype, &y)};
                    mcc_arg a[3] = {fx[1], fy[1], scalar(dtypes[b].dtype, &z)}, back[2] = {a[2], scalar(MCC_F64, &got)};
                    ref_Cast(fx, &to.header), ref_Cast(fy, &to.header);
                    EXPECT(ref_Pow(a, NULL) == MCC_OK, "Pow");
                    ref_Cast(back, &to.header);
                    double want = pow(vx, vy);
                    int integers = dtypes[b].class != F;
                    if (integers) want = trunc(want);
                    if (integers && vx == 0 && vy < 0) {
                        /* 1 / 0: 0 between integers; through f64 infinity saturates, in f64 the largest i64 and u64 are
                         * rounded */
                        int bits = 8 * (int)dtypes[b].bytes - (dtypes[b].class == I);
                        want = dtypes[e].class == F ? ldexp(1, bits) - (bits < 60) : 0;
                    }
                    double tolerance = dtypes[b].bytes == 2 && !integers ? 5e-3 : 1e-6;
                    EXPECT(got == want || fabs(got - want) <= tolerance * fabs(want),
                           "Pow of dtypes %d, %d: %g^%g = %g", dtypes[b].dtype, dtypes[e].dtype, vx, vy, got);
                }
}

int main(void) {
    check_table();
    check_broadcast();
    check_in_place();
    check_clip();
    check_pow();
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
