/* cvt: between all types. The usual ones are loops of their own; the rest goes lane by lane through a 64-bit integer or
 * a double, which hold every source exactly. Integers saturate, NaN becomes 0 (as the hardware does it). */
#include "tests/cuda/convert.h"

#define SIMPLE(fn, D, A, expr) OP1_HANDLER(fn, D, A, expr)
SIMPLE(u64_u32, u64, u32, a)
SIMPLE(s64_s32, s64, s32, a)
SIMPLE(u32_u64, u32, u64, a)
SIMPLE(u32_u16, u32, u16, a)
SIMPLE(s32_s16, s32, s16, a)
SIMPLE(u64_u16, u64, u16, a)
SIMPLE(u16_u32, u16, u32, a)
SIMPLE(u16_u64, u16, u64, a)
SIMPLE(f32_s32, f32, s32, a)
SIMPLE(f32_u32, f32, u32, a)
SIMPLE(f32_f16, f32, u16, f32_of_half(a))
SIMPLE(f16_f32, u16, f32, half_of_f32(a))
SIMPLE(f32_bf16, f32, u16, f32_of_bf16(a))
SIMPLE(bf16_f32, u16, f32, bf16_of_f32(a))
SIMPLE(f64_f32, f64, f32, a)
SIMPLE(f32_f64, f32, f64, one_nan((f32)a))
/* the first source is the upper half */
OP2_HANDLER(f16x2_f32, u32, f32, f32, (u32)half_of_f32(a) << 16 | half_of_f32(b))
OP2_HANDLER(bf16x2_f32, u32, f32, f32, (u32)bf16_of_f32(a) << 16 | bf16_of_f32(b))
static void run_s32_f32(Warp *w, const Inst *i) {
    s32 *out = REG(s32, 0);
    const f32 *pa = REG(const f32, 1);
    EACH_LANE(w, l, f32 a = pa[l]; f32 inside = a > -0x1p31f ? (a < 0x1p31f ? a : 0) : -0x1p31f;
              out[l] = a >= 0x1p31f ? INT32_MAX
                       : a != a     ? 0
                                    : (s32)inside);
}

static const struct {
    const char *names;
    Handler *run;
} usual[] = {
    {"u64.u32 s64.u32", run_u64_u32},
    {"s64.s32 u64.s32", run_s64_s32},
    {"u32.u64 s32.u64 u32.s64 s32.s64", run_u32_u64},
    {"u32.u16 s32.u16", run_u32_u16},
    {"s32.s16 u32.s16", run_s32_s16},
    {"u64.u16 s64.u16", run_u64_u16},
    {"u16.u32 u16.s32 s16.s32 s16.u32", run_u16_u32},
    {"u16.u64 u16.s64 s16.s64 s16.u64", run_u16_u64},
    {"rn.f32.s32", run_f32_s32},
    {"rn.f32.u32", run_f32_u32},
    {"f32.f16", run_f32_f16},
    {"rn.f16.f32", run_f16_f32},
    {"f32.bf16", run_f32_bf16},
    {"rn.bf16.f32", run_bf16_f32},
    {"f64.f32", run_f64_f32},
    {"rn.f32.f64", run_f32_f64},
    {"rn.f16x2.f32", run_f16x2_f32},
    {"rn.bf16x2.f32", run_bf16x2_f32},
    {"rzi.s32.f32", run_s32_f32},
};

Handler *convert_usual(const char *name) {
    for (size_t n = 0; n < sizeof usual / sizeof *usual; n++)
        if (names_hold(usual[n].names, name)) return usual[n].run;
    return NULL;
}

static u64 read_lane(const Warp *w, s32 arg, int bits, u32 l) {
    const void *r = reg_at(w, arg);
    return bits == 16 ? ((const u16 *)r)[l] : bits == 32 ? ((const u32 *)r)[l] : ((const u64 *)r)[l];
}

static void write_lane(const Warp *w, s32 arg, int bits, u32 l, u64 v) {
    void *r = reg_at(w, arg);
    if (bits == 16) ((u16 *)r)[l] = (u16)v;
    else if (bits == 32) ((u32 *)r)[l] = (u32)v;
    else ((u64 *)r)[l] = v;
}

static s64 sign_extended(u64 v, int bits) { return (s64)(v << (64 - bits)) >> (64 - bits); }

static f64 float_value(u64 v, NumberType t) {
    switch (t) {
    case NUMBER_F16: return (f64)f32_of_half((u16)v);
    case NUMBER_BF16: return (f64)f32_of_bf16((u16)v);
    case NUMBER_F32:
    case NUMBER_TF32: return (f64)f32_of((u32)v);
    default: return f64_of(v);
    }
}

static f64 to_integral(f64 v, int rounding) {
    switch (rounding) {
    case TO_ZERO: return trunc(v);
    case TO_MINUS: return floor(v);
    case TO_PLUS: return ceil(v);
    default: return nearbyint(v);
    }
}

static u64 integer_of_float(f64 v, NumberType t, int rounding) {
    int bits = number_bits(t);
    bool is_signed = t >= NUMBER_S8;
    if (v != v) return 0;
    v = to_integral(v, rounding);
    f64 top = ldexp(1, is_signed ? bits - 1 : bits), low = is_signed ? -top : 0;
    u64 all = bits == 64 ? ~0ull : (1ull << bits) - 1;
    if (v >= top) return is_signed ? all >> 1 : all;
    if (v <= low) return is_signed ? (u64)(s64)low : 0;
    return is_signed ? (u64)(s64)v : (u64)v;
}

static u64 saturated_integer(u64 v, NumberType from, NumberType to) {
    int bits = number_bits(to);
    bool to_signed = to >= NUMBER_S8, negative = from >= NUMBER_S8 && (s64)v < 0;
    u64 top = (bits == 64 ? ~0ull : (1ull << bits) - 1) >> to_signed;
    if (negative) {
        s64 low = to_signed ? -(s64)top - 1 : 0;
        return (u64)((s64)v < low ? low : (s64)v);
    }
    return v > top ? top : v;
}

/* An integer as a float of `fraction` bits: doubles do not hold all 64-bit integers, so the rest is made sticky. */
static f64 integer_value(u64 v, bool is_signed, bool to_double) {
    if (to_double) return is_signed ? (f64)(s64)v : (f64)v;
    bool negative = is_signed && (s64)v < 0;
    u64 size = negative ? 0 - v : v;
    if (size >> 53) size = (size & ~0xfffull) | ((size & 0xfff) ? 0x1000 : 0);
    return negative ? -(f64)size : (f64)size;
}

static u64 float_result(f64 v, NumberType t, int rounding, u32 modifiers) {
    bool saturate = modifiers & SATURATE_FINITE;
    if (modifiers & SATURATE) v = v > 0 ? (v < 1 ? v : 1) : 0;
    if ((modifiers & RELU) && v < 0) v = 0;
    switch (t) {
    case NUMBER_F16: return round_to(v, &format_f16, rounding, saturate);
    case NUMBER_BF16: return round_to(v, &format_bf16, rounding, saturate);
    case NUMBER_TF32: return (u64)round_to(v, &format_tf32, rounding, saturate) << 13;
    case NUMBER_E4M3: return round_to(v, &format_e4m3, rounding, saturate);
    case NUMBER_E5M2: return round_to(v, &format_e5m2, rounding, saturate);
    case NUMBER_F32: return round_to(v, &format_f32, rounding, saturate);
    default: return bits_of64(v);
    }
}

static f64 flushed(f64 v, NumberType t, u32 modifiers) {
    return (modifiers & FLUSH) && t == NUMBER_F32 && fabs(v) < 0x1p-126 ? copysign(0, v) : v;
}

static u64 convert_lane(const Inst *i, u64 v) {
    NumberType from = (NumberType)i->from, to = (NumberType)i->type;
    if (!number_floats(from)) {
        int bits = number_bits(from);
        if (from >= NUMBER_S8) v = (u64)sign_extended(v, bits);
        else if (bits < 64) v &= (1ull << bits) - 1;
        if (number_floats(to))
            return float_result(integer_value(v, from >= NUMBER_S8, to == NUMBER_F64), to, i->rounding, i->modifiers);
        v = i->modifiers & SATURATE ? saturated_integer(v, from, to) : v;
    } else {
        f64 x = flushed(float_value(v, from), from, i->modifiers);
        if (number_floats(to)) {
            if (i->flags) x = to_integral(x, i->rounding);
            return float_result(flushed(x, to, i->modifiers), to, i->rounding, i->modifiers);
        }
        v = integer_of_float(x, to, i->rounding);
    }
    int bits = number_bits(to); /* into a register that may be wider */
    return to >= NUMBER_S8 ? (u64)sign_extended(v, bits) : bits < 64 ? v & ((1ull << bits) - 1) : v;
}

/* count: bits of the destination's register; bytes: bits of the source's */
void run_convert(Warp *w, const Inst *i) {
    FOR_LANES(w->mask, l) write_lane(w, i->arg[0], i->count, l, convert_lane(i, read_lane(w, i->arg[1], i->bytes, l)));
}

/* Two floats into one register, the first above. type: of a half */
void run_convert_pack(Warp *w, const Inst *i) {
    NumberType to = (NumberType)i->type;
    int part = to == NUMBER_E4M3 || to == NUMBER_E5M2 ? 8 : 16;
    FOR_LANES(w->mask, l) {
        u64 high = convert_lane(i, read_lane(w, i->arg[1], 32, l)),
            low = convert_lane(i, read_lane(w, i->arg[2], 32, l));
        write_lane(w, i->arg[0], part * 2, l, high << part | low);
    }
}

/* A pair of 8-bit floats in 16 bits to a pair of halves, and back: i->from and i->type say which. */
void run_convert_pair(Warp *w, const Inst *i) {
    bool out_small = i->type == NUMBER_E4M3 || i->type == NUMBER_E5M2;
    const Format *small = (out_small ? i->type : i->from) == NUMBER_E4M3 ? &format_e4m3 : &format_e5m2;
    FOR_LANES(w->mask, l) {
        if (out_small) {
            u32 v = REG(u32, 1)[l], result = 0;
            for (int n = 0; n < 2; n++)
                result |= (u32)float_result((f64)f32_of_half((u16)(v >> 16 * n)), (NumberType)i->type, TO_NEAREST,
                                            i->modifiers)
                          << 8 * n;
            REG(u16, 0)[l] = (u16)result;
        } else {
            u32 v = REG(u16, 1)[l], result = 0;
            for (int n = 0; n < 2; n++)
                result |= (u32)float_result(value_of(v >> 8 * n & 255, small), NUMBER_F16, TO_NEAREST, i->modifiers)
                          << 16 * n;
            REG(u32, 0)[l] = result;
        }
    }
}
