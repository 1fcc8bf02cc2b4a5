/* Integer arithmetic, bits, selection and copies between registers; predicates as words of 32 lanes. */
#include "tests/cuda/rows.h"

static u64 high_product(u64 a, u64 b) {
    u64 al = (u32)a, ah = a >> 32, bl = (u32)b, bh = b >> 32;
    u64 low = al * bl, mid1 = ah * bl + (low >> 32), mid2 = al * bh + (u32)mid1;
    return ah * bh + (mid1 >> 32) + (mid2 >> 32);
}

static s64 high_product_signed(s64 a, s64 b) {
    u64 h = high_product((u64)a, (u64)b);
    if (a < 0) h -= (u64)b;
    if (b < 0) h -= (u64)a;
    return (s64)h;
}

/* The highest bit that differs from the sign, or -1. */
static int find_sign_change(s64 a) {
    u64 x = a < 0 ? ~(u64)a : (u64)a;
    return x ? 63 - __builtin_clzll(x) : -1;
}

static u64 reverse_bits(u64 a) {
    a = (a >> 1 & 0x5555555555555555ull) | (a & 0x5555555555555555ull) << 1;
    a = (a >> 2 & 0x3333333333333333ull) | (a & 0x3333333333333333ull) << 2;
    a = (a >> 4 & 0x0f0f0f0f0f0f0f0full) | (a & 0x0f0f0f0f0f0f0f0full) << 4;
    return __builtin_bswap64(a);
}

/* bfe: `length` bits from `at` on; beyond the end the sign, or 0. */
static u64 extract(u64 a, u32 at, u32 length, u32 width, bool is_signed) {
    u64 result = 0;
    if (!length) return 0;
    u32 last = at + length - 1 < width - 1 ? at + length - 1 : width - 1;
    u64 sign = is_signed ? a >> last & 1 : 0;
    for (u32 n = 0; n < width; n++) {
        u64 bit = n < length && at + n < width ? a >> (at + n) & 1 : sign;
        result |= bit << n;
    }
    return result;
}

static u64 insert(u64 a, u64 b, u32 at, u32 length, u32 width) {
    if (at >= width || !length) return b;
    u64 mask = length >= 64 ? ~0ull : (1ull << length) - 1;
    mask <<= at;
    return (b & ~mask) | (a << at & mask);
}

static u32 look_up(u32 a, u32 b, u32 c, u32 table) {
    u32 result = 0;
    for (u32 n = 0; n < 8; n++)
        if (table >> n & 1) result |= (n & 4 ? a : ~a) & (n & 2 ? b : ~b) & (n & 1 ? c : ~c);
    return result;
}

static u32 permute(u32 a, u32 b, u32 selectors) {
    u64 all = (u64)b << 32 | a;
    u32 result = 0;
    for (u32 n = 0; n < 4; n++) {
        u32 s = selectors >> 4 * n & 15, byte = (u32)(all >> 8 * (s & 7)) & 255;
        if (s & 8) byte = byte & 0x80 ? 255 : 0;
        result |= byte << 8 * n;
    }
    return result;
}

static u32 dot_bytes(u32 a, u32 b, u32 c, bool a_signed, bool b_signed) {
    for (u32 n = 0; n < 32; n += 8) {
        u32 x = a >> n & 255, y = b >> n & 255;
        if (a_signed) x = (u32)(s32)(s8)x;
        if (b_signed) y = (u32)(s32)(s8)y;
        c += x * y;
    }
    return c;
}

static u32 dot_halves(u32 a, u32 b, u32 c, bool a_signed, bool b_signed) {
    for (u32 n = 0; n < 2; n++) {
        u32 x = a >> 16 * n & 0xffff, y = b >> 8 * n & 255;
        if (a_signed) x = (u32)(s32)(s16)x;
        if (b_signed) y = (u32)(s32)(s8)y;
        c += x * y;
    }
    return c;
}

#define OP1(names, fn, D, A, expr) OP1_HANDLER(fn, D, A, expr)
#define OP2(names, fn, D, A, B, expr) OP2_HANDLER(fn, D, A, B, expr)
#define OP3(names, fn, D, A, B, C, expr) OP3_HANDLER(fn, D, A, B, C, expr)
#define OP4(names, fn, D, A, B, C, E, expr) OP4_HANDLER(fn, D, A, B, C, E, expr)
#include "tests/cuda/ops_integer.def"
#undef OP1
#undef OP2
#undef OP3
#undef OP4

OP1_HANDLER(copy16, u16, u16, a)
OP1_HANDLER(copy32, u32, u32, a)
OP1_HANDLER(copy64, u64, u64, a)

/* Words of predicates: only the active lanes' bits change. */
#define PREDICATE(fn, expr)                                                                                            \
    static void run_##fn(Warp *w, const Inst *i) {                                                                     \
        u32 a = *REG(u32, 1), b = *REG(u32, i->count == 3 ? 2 : 1), *out = REG(u32, 0);                                \
        (void)b;                                                                                                       \
        *out = (*out & ~w->mask) | ((expr) & w->mask);                                                                 \
    }
PREDICATE(and_pred, a &b)
PREDICATE(or_pred, a | b)
PREDICATE(xor_pred, a ^ b)
PREDICATE(not_pred, ~a)
PREDICATE(copy_pred, a)

#define SELECT(fn, T)                                                                                                  \
    static void run_##fn(Warp *w, const Inst *i) {                                                                     \
        T *out = REG(T, 0);                                                                                            \
        const T *a = REG(const T, 1), *b = REG(const T, 2);                                                            \
        u32 p = *REG(u32, 3);                                                                                          \
        EACH_LANE(w, l, out[l] = p >> l & 1 ? a[l] : b[l]);                                                            \
    }
SELECT(selp16, u16)
SELECT(selp32, u32)
SELECT(selp64, u64)

OP3_HANDLER(slct32_s32, u32, u32, u32, s32, c >= 0 ? a : b)
OP3_HANDLER(slct32_f32, u32, u32, u32, f32, c >= 0 ? a : b)
OP3_HANDLER(slct64_s32, u64, u64, u64, s32, c >= 0 ? a : b)
OP3_HANDLER(slct64_f32, u64, u64, u64, f32, c >= 0 ? a : b)

/* Sums that set and take the carry: a ± b ± carry. */
#define CARRY(fn, T, take, set, subtract)                                                                              \
    static void run_##fn(Warp *w, const Inst *i) {                                                                     \
        T *out = REG(T, 0);                                                                                            \
        const T *pa = REG(const T, 1), *pb = REG(const T, 2);                                                          \
        u32 carry = w->carry;                                                                                          \
        FOR_LANES(w->mask, l) {                                                                                        \
            T a = pa[l], b = pb[l], in = take ? carry >> l & 1 : 0, sum = subtract ? a - b - in : a + b + in;          \
            bool over = subtract ? a < b || (a == b && in) : sum < a || (in && sum == a);                              \
            out[l] = sum;                                                                                              \
            if (set) carry = (carry & ~(1u << l)) | (u32)over << l;                                                    \
        }                                                                                                              \
        w->carry = carry;                                                                                              \
    }
CARRY(add_cc32, u32, false, true, false)
CARRY(addc32, u32, true, false, false)
CARRY(addc_cc32, u32, true, true, false)
CARRY(sub_cc32, u32, false, true, true)
CARRY(subc32, u32, true, false, true)
CARRY(subc_cc32, u32, true, true, true)
CARRY(add_cc64, u64, false, true, false)
CARRY(addc64, u64, true, false, false)
CARRY(addc_cc64, u64, true, true, false)
CARRY(sub_cc64, u64, false, true, true)
CARRY(subc64, u64, true, false, true)
CARRY(subc_cc64, u64, true, true, true)

#define OP1(names, fn, D, A, expr) OP1_ROW(names, fn, D, A)
#define OP2(names, fn, D, A, B, expr) OP2_ROW(names, fn, D, A, B)
#define OP3(names, fn, D, A, B, C, expr) OP3_ROW(names, fn, D, A, B, C)
#define OP4(names, fn, D, A, B, C, E, expr) OP4_ROW(names, fn, D, A, B, C, E)
const Row integer_rows[] = {
#include "tests/cuda/ops_integer.def"
    {"mov.b16 mov.u16 mov.s16 mov.f16 mov.bf16", "hh", run_copy16},
    {"mov.b32 mov.u32 mov.s32 mov.f32", "ww", run_copy32},
    {"mov.b64 mov.u64 mov.s64 mov.f64", "dd", run_copy64},
    {"mov.pred", "pp", run_copy_pred},
    {"and.pred", "ppp", run_and_pred},
    {"or.pred", "ppp", run_or_pred},
    {"xor.pred", "ppp", run_xor_pred},
    {"not.pred", "pp", run_not_pred},
    {"selp.b16 selp.u16 selp.s16 selp.f16", "hhhp", run_selp16},
    {"selp.b32 selp.u32 selp.s32 selp.f32", "wwwp", run_selp32},
    {"selp.b64 selp.u64 selp.s64 selp.f64", "dddp", run_selp64},
    {"slct.b32.s32 slct.u32.s32 slct.s32.s32 slct.f32.s32", "wwww", run_slct32_s32},
    {"slct.b32.f32 slct.u32.f32 slct.s32.f32 slct.f32.f32", "wwww", run_slct32_f32},
    {"slct.b64.s32 slct.u64.s32 slct.s64.s32 slct.f64.s32", "dddw", run_slct64_s32},
    {"slct.b64.f32 slct.u64.f32 slct.s64.f32 slct.f64.f32", "dddw", run_slct64_f32},
    {"add.cc.s32 add.cc.u32", "www", run_add_cc32},
    {"addc.s32 addc.u32", "www", run_addc32},
    {"addc.cc.s32 addc.cc.u32", "www", run_addc_cc32},
    {"sub.cc.s32 sub.cc.u32", "www", run_sub_cc32},
    {"subc.s32 subc.u32", "www", run_subc32},
    {"subc.cc.s32 subc.cc.u32", "www", run_subc_cc32},
    {"add.cc.s64 add.cc.u64", "ddd", run_add_cc64},
    {"addc.s64 addc.u64", "ddd", run_addc64},
    {"addc.cc.s64 addc.cc.u64", "ddd", run_addc_cc64},
    {"sub.cc.s64 sub.cc.u64", "ddd", run_sub_cc64},
    {"subc.s64 subc.u64", "ddd", run_subc64},
    {"subc.cc.s64 subc.cc.u64", "ddd", run_subc_cc64},
    {0}};
