/* Arithmetic of f32 and f64. */
#include <fenv.h>

#include "tests/cuda/rows.h"

/* minNum: a NaN gives way to a number, -0 is below +0. */
static inline f32 lesser(f32 a, f32 b) {
    if (a != a) return one_nan(b);
    if (b != b) return a;
    if (a == b) return f32_of(bits_of(a) | bits_of(b));
    return a < b ? a : b;
}
static inline f64 lesser64(f64 a, f64 b) {
    if (a != a) return b;
    if (b != b) return a;
    if (a == b) return f64_of(bits_of64(a) | bits_of64(b));
    return a < b ? a : b;
}

#define OP1(names, fn, D, A, expr) OP1_HANDLER(fn, D, A, expr)
#define OP2(names, fn, D, A, B, expr) OP2_HANDLER(fn, D, A, B, expr)
#define OP3(names, fn, D, A, B, C, expr) OP3_HANDLER(fn, D, A, B, C, expr)
#include "tests/cuda/ops_float.def"
#undef OP1
#undef OP2
#undef OP3

enum { FINITE = 1, INFINITE = 2, NUMBER = 4, NOT_A_NUMBER = 8, NORMAL = 16, SUBNORMAL = 32 };

static int classes_of(f64 v, bool subnormal) {
    if (v != v) return NOT_A_NUMBER;
    if (isinf(v)) return INFINITE | NUMBER;
    if (v == 0) return FINITE | NUMBER;
    return FINITE | NUMBER | (subnormal ? SUBNORMAL : NORMAL);
}

#define TEST(fn, class)                                                                                                \
    static void run_##fn##_f32(Warp *w, const Inst *i) {                                                               \
        u32 *out = REG(u32, 0), result = 0;                                                                            \
        const f32 *a = REG(const f32, 1);                                                                              \
        FOR_LANES(w->mask, l) {                                                                                        \
            if (classes_of((f64)a[l], fpclassify(a[l]) == FP_SUBNORMAL) & (class)) result |= 1u << l;                  \
        }                                                                                                              \
        *out = (*out & ~w->mask) | result;                                                                             \
    }                                                                                                                  \
    static void run_##fn##_f64(Warp *w, const Inst *i) {                                                               \
        u32 *out = REG(u32, 0), result = 0;                                                                            \
        const f64 *a = REG(const f64, 1);                                                                              \
        FOR_LANES(w->mask, l) {                                                                                        \
            if (classes_of(a[l], fpclassify(a[l]) == FP_SUBNORMAL) & (class)) result |= 1u << l;                       \
        }                                                                                                              \
        *out = (*out & ~w->mask) | result;                                                                             \
    }
TEST(finite, FINITE)
TEST(infinite, INFINITE)
TEST(number, NUMBER)
TEST(notanumber, NOT_A_NUMBER)
TEST(normal, NORMAL)
TEST(subnormal, SUBNORMAL)

#define OP1(names, fn, D, A, expr) OP1_ROW(names, fn, D, A)
#define OP2(names, fn, D, A, B, expr) OP2_ROW(names, fn, D, A, B)
#define OP3(names, fn, D, A, B, C, expr) OP3_ROW(names, fn, D, A, B, C)
#define TEST_ROWS(fn) {"testp." #fn ".f32", "pw", run_##fn##_f32}, {"testp." #fn ".f64", "pd", run_##fn##_f64},
const Row float_rows[] = {
#include "tests/cuda/ops_float.def"
    TEST_ROWS(finite) TEST_ROWS(infinite) TEST_ROWS(number) TEST_ROWS(notanumber) TEST_ROWS(normal)
        TEST_ROWS(subnormal){0}};

void run_rounded(Warp *w, const Inst *i) {
    static const int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
    fesetround(modes[i->rounding]);
    i->core(w, i);
    fesetround(FE_TONEAREST);
}
