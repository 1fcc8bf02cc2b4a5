/* What passes ask of values: rounding to small floats, constants, broadcasting. */
#include "tests/passes/passtest.h"

#define EXPECT(what) expect(what, #what, __LINE__)
static void expect(bool ok, const char *what, int line) {
    if (ok) return;
    fprintf(stderr, "%s:%d: %s\n", __FILE__, line, what);
    failures++;
}

static unsigned bits_of(Dtype t, double v) {
    uint16_t bits = 0;
    Tensor one = {.dtype = t, .data = &bits};
    tensor_set_float(&one, 0, v);
    return bits;
}

static void check_rounding(void) {
    EXPECT(bits_of(DT_F16, 1) == 0x3c00 && bits_of(DT_F16, -2) == 0xc000 && bits_of(DT_F16, 0.0) == 0);
    EXPECT(bits_of(DT_F16, -0.0) == 0x8000 && bits_of(DT_F16, INFINITY) == 0x7c00 &&
           bits_of(DT_F16, -INFINITY) == 0xfc00);
    EXPECT((bits_of(DT_F16, NAN) & 0x7fff) > 0x7c00);
    EXPECT(bits_of(DT_F16, 65504) == 0x7bff && bits_of(DT_F16, 65519.99) == 0x7bff && bits_of(DT_F16, 65520) == 0x7c00);
    EXPECT(bits_of(DT_F16, ldexp(1, -24)) == 1 && bits_of(DT_F16, ldexp(1, -25)) == 0);      /* a tie, to even */
    EXPECT(bits_of(DT_F16, ldexp(1.0001, -25)) == 1 && bits_of(DT_F16, ldexp(3, -25)) == 2); /* subnormals */
    EXPECT(bits_of(DT_F16, ldexp(1, -14)) == 0x0400 && bits_of(DT_F16, ldexp(1023.6, -24)) == 0x0400);
    EXPECT(bits_of(DT_F16, 1 + ldexp(1, -11)) == 0x3c00 && bits_of(DT_F16, 1 + ldexp(3, -11)) == 0x3c02);
    EXPECT(bits_of(DT_BF16, 1) == 0x3f80 && bits_of(DT_BF16, -3.5) == 0xc060 &&
           bits_of(DT_BF16, 1 + ldexp(1, -8)) == 0x3f80);
    EXPECT(bits_of(DT_BF16, ldexp(1, -133)) == 1 && bits_of(DT_BF16, INFINITY) == 0x7f80 &&
           bits_of(DT_BF16, 3.4e38) == 0x7f80);
    uint16_t bits;
    Tensor half = {.dtype = DT_F16, .data = &bits};
    for (unsigned i = 0; i < 0x7c00; i++) { /* every finite number survives */
        bits = (uint16_t)i;
        if (bits_of(DT_F16, tensor_float(&half, 0)) != i) failures++;
    }
}

static void check_constants(void) {
    Case c;
    double v;
    case_begin(&c);
    Tensor *t = tensor_new(c.g, DT_F32, 1, (int64_t[]){3});
    for (int i = 0; i < 3; i++) tensor_set_float(t, i, 2.5);
    EXPECT(const_splat(value_of_tensor(c.g, t), &v) && v == 2.5);
    tensor_set_float(t, 2, 2);
    EXPECT(!const_splat(value_of_tensor(c.g, t), &v));
    EXPECT(!const_splat(value_of_tensor(c.g, tensor_new(c.g, DT_F32, 1, (int64_t[]){0})), &v)); /* nothing */
    EXPECT(!const_splat(input(&c, "x", "3"), &v) && !const_splat(NULL, &v));
    const Str word = {"w", 1};
    Tensor text = {.dtype = DT_STRING, .rank = 1, .dims = {1}, .data = &word};
    EXPECT(!const_splat(value_of_tensor(c.g, &text), &v));
    EXPECT(near(DT_F32, 0.1666666716, 1.0 / 6) && !near(DT_F32, 0.16667, 1.0 / 6) && near(DT_F16, 0.16663, 1.0 / 6));
    EXPECT(axis_of(-1, 4) == 3 && axis_of(4, 4) == -1 && axis_of(-5, 4) == -1);
    c.ctx->opt.max_fold = c.ctx->folded + 40;
    EXPECT(fold_fits(c.ctx, DT_F32, 10) && !fold_fits(c.ctx, DT_F32, 11) && !fold_fits(c.ctx, DT_F32, INT64_MAX));
    ctx_free(c.ctx);
}

static void check_broadcast(void) {
    Case c;
    case_begin(&c);
    Value *full = input(&c, "a", "2xNx4"), *row = input(&c, "b", "4"), *column = input(&c, "c", "2xNx1"),
          *other = input(&c, "d", "M");
    EXPECT(broadcast_gives((Value *[]){full, row}, 2, full) && broadcast_gives((Value *[]){column, row}, 2, full));
    EXPECT(!broadcast_gives((Value *[]){row, row}, 2, full) && !broadcast_gives((Value *[]){column, NULL}, 2, full));
    EXPECT(!broadcast_gives((Value *[]){full, other}, 2, full) && !broadcast_gives((Value *[]){full, row}, 2, row));
    EXPECT(value_same_type(full, full) && !value_same_dims(row, other));
    ctx_free(c.ctx);
}

int main(void) {
    check_rounding();
    check_constants();
    check_broadcast();
    return failures ? 1 : 0;
}
