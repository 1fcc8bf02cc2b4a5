/* Run by softint.sh on 32-bit Arm, linked with our __aeabi_ helpers before the C library's: plain C arithmetic that the
 * compiler turns into those calls, against identities that do not use them. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

uint64_t __aeabi_llsl(uint64_t, int32_t), __aeabi_llsr(uint64_t, int32_t), __aeabi_lasr(int64_t, int32_t);
uint64_t __aeabi_lmul(uint64_t, uint64_t);

#define AEABI __attribute__((pcs("aapcs")))
#define DECLARE(F, UINT)                                                                                               \
    AEABI UINT __aeabi_##F##add(UINT, UINT), __aeabi_##F##sub(UINT, UINT), __aeabi_##F##rsub(UINT, UINT),              \
        __aeabi_##F##mul(UINT, UINT), __aeabi_##F##div(UINT, UINT), __aeabi_i2##F(int32_t), __aeabi_ui2##F(uint32_t);  \
    AEABI int __aeabi_##F##cmpeq(UINT, UINT), __aeabi_##F##cmplt(UINT, UINT), __aeabi_##F##cmple(UINT, UINT),          \
        __aeabi_##F##cmpge(UINT, UINT), __aeabi_##F##cmpgt(UINT, UINT), __aeabi_##F##cmpun(UINT, UINT);                \
    AEABI int32_t __aeabi_##F##2iz(UINT);                                                                              \
    AEABI uint32_t __aeabi_##F##2uiz(UINT);
DECLARE(f, uint32_t)
DECLARE(d, uint64_t)
AEABI uint64_t __aeabi_f2d(uint32_t);
AEABI uint32_t __aeabi_d2f(uint64_t);

static int failures;
static void expect(const char *what, uint64_t x, uint64_t y, uint64_t got, uint64_t want) {
    if (got != want && failures++ < 20)
        printf("%s(%llx, %llx): got %llx, want %llx\n", what, (unsigned long long)x, (unsigned long long)y,
               (unsigned long long)got, (unsigned long long)want);
}
static uint64_t state = 77;
static uint64_t draw(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

/* x = q y + r, 0 ≤ r < y */
static void divide(uint64_t x, uint64_t y) {
    volatile uint64_t a = x, b = y ? y : 1;
    uint64_t q = a / b, r = a % b;
    expect("64-bit division", x, b, q * b + r, x);
    expect("64-bit remainder", x, b, r < b, 1);
    volatile uint32_t c = (uint32_t)x, d = (uint32_t)y ? (uint32_t)y : 1;
    uint32_t p = c / d, s = c % d;
    expect("32-bit division", c, d, (uint64_t)p * d + s, c);
    expect("32-bit remainder", c, d, s < d, 1);
    volatile int64_t e = (int64_t)(x >> 1), f = -(int64_t)((b >> 1) + 1); /* signs: truncates towards 0 */
    expect("signed division", (uint64_t)e, (uint64_t)f, (uint64_t)(e / f), 0 - (uint64_t)e / ((b >> 1) + 1));
    expect("signed remainder", (uint64_t)e, (uint64_t)f, (uint64_t)(-e % f), 0 - (uint64_t)e % ((b >> 1) + 1));
    volatile int32_t g = (int32_t)(c >> 1), h = -(int32_t)((d >> 1) + 1);
    expect("signed 32-bit division", (uint64_t)g, (uint64_t)h, (uint64_t)(int64_t)(g / h),
           0 - (uint64_t)((uint32_t)g / ((d >> 1) + 1)));
}

/* the FPU's result, any NaN as 1, against the helper's */
#define FLOATS(F, REAL, UINT)                                                                                          \
    static UINT bits_##F(REAL x) {                                                                                     \
        UINT u;                                                                                                        \
        memcpy(&u, &x, sizeof u);                                                                                      \
        return x != x ? 1 : u;                                                                                         \
    }                                                                                                                  \
    static REAL real_##F(UINT u) {                                                                                     \
        REAL x;                                                                                                        \
        memcpy(&x, &u, sizeof x);                                                                                      \
        return x;                                                                                                      \
    }                                                                                                                  \
    static void floats_##F(UINT a, UINT b) {                                                                           \
        volatile REAL x = real_##F(a), y = real_##F(b);                                                                \
        expect(#F "add", a, b, bits_##F(real_##F(__aeabi_##F##add(a, b))), bits_##F(x + y));                           \
        expect(#F "sub", a, b, bits_##F(real_##F(__aeabi_##F##sub(a, b))), bits_##F(x - y));                           \
        expect(#F "rsub", a, b, bits_##F(real_##F(__aeabi_##F##rsub(a, b))), bits_##F(y - x));                         \
        expect(#F "mul", a, b, bits_##F(real_##F(__aeabi_##F##mul(a, b))), bits_##F(x * y));                           \
        expect(#F "div", a, b, bits_##F(real_##F(__aeabi_##F##div(a, b))), bits_##F(x / y));                           \
        expect(#F "cmpeq", a, b, (uint64_t)__aeabi_##F##cmpeq(a, b), x == y);                                          \
        expect(#F "cmplt", a, b, (uint64_t)__aeabi_##F##cmplt(a, b), x < y);                                           \
        expect(#F "cmple", a, b, (uint64_t)__aeabi_##F##cmple(a, b), x <= y);                                          \
        expect(#F "cmpge", a, b, (uint64_t)__aeabi_##F##cmpge(a, b), x >= y);                                          \
        expect(#F "cmpgt", a, b, (uint64_t)__aeabi_##F##cmpgt(a, b), x > y);                                           \
        expect(#F "cmpun", a, b, (uint64_t)__aeabi_##F##cmpun(a, b), x != x || y != y);                                \
        expect("i2" #F, a, 0, __aeabi_i2##F((int32_t)a), bits_##F((REAL)(int32_t)a));                                  \
        expect("ui2" #F, a, 0, __aeabi_ui2##F((uint32_t)a), bits_##F((REAL)(uint32_t)a));                              \
        /* the FPU saturates too, and takes NaN to 0 */                                                                \
        expect(#F "2iz", a, 0, (uint32_t)__aeabi_##F##2iz(a), (uint32_t)(int32_t)x);                                   \
        expect(#F "2uiz", a, 0, __aeabi_##F##2uiz(a), (uint32_t)x);                                                    \
    }
FLOATS(f, float, uint32_t)
FLOATS(d, double, uint64_t)

int main(void) {
    for (int i = 0; i < 20000; i++) {
        uint64_t a = draw(), near = a ^ draw() >> (draw() % 64), b = i & 1 ? draw() : near ^ (uint64_t)(i & 2) << 62;
        floats_f((uint32_t)a, (uint32_t)b);
        floats_d(a, b);
        volatile float f = real_f((uint32_t)a);
        volatile double d = real_d(a);
        expect("f2d", a, 0, bits_d(real_d(__aeabi_f2d((uint32_t)a))), bits_d((double)f));
        expect("d2f", a, 0, bits_f(real_f(__aeabi_d2f(a))), bits_f((float)d));
    }
    for (int i = 0; i < 20000; i++) {
        uint64_t x = draw() >> (draw() % 64), y = draw() >> (draw() % 64);
        divide(x, y);
        uint64_t product = 0;
        for (int n = 0; n < 64; n++) product += y >> n & 1 ? x << n : 0;
        expect("product", x, y, __aeabi_lmul(x, y), product);
        int32_t n = (int32_t)(draw() % 64);
        uint64_t left = x, right = x;
        int64_t arithmetic = (int64_t)x;
        for (int k = 0; k < n; k++) left += left, right = right >> 1, arithmetic = arithmetic >> 1;
        expect("shift left", x, (uint64_t)n, __aeabi_llsl(x, n), left);
        expect("shift right", x, (uint64_t)n, __aeabi_llsr(x, n), right);
        expect("arithmetic shift", x, (uint64_t)n, __aeabi_lasr((int64_t)x, n), (uint64_t)arithmetic);
        volatile uint64_t whole = x >> 11; /* 53 bits: exact in f64 and back */
        volatile double d = (double)whole, m = -(double)(int64_t)whole;
        expect("u64 to f64 and back", whole, 0, (uint64_t)d, whole);
        expect("i64 to f64 and back", whole, 0, (uint64_t)(int64_t)m, 0 - whole);
        volatile float f = (float)(x >> 40); /* 24 bits */
        expect("u64 to f32 and back", x >> 40, 0, (uint64_t)f, x >> 40);
    }
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
