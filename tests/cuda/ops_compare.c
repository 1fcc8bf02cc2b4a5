/* setp and set: comparisons of two registers, joined with a third predicate. */
#include "tests/cuda/rows.h"

#define COMPARE(fn, T, expr)                                                                                           \
    static u32 fn(const void *va, const void *vb, u32 mask) {                                                          \
        const T *pa = va, *pb = vb;                                                                                    \
        u32 result = 0;                                                                                                \
        if (mask == ALL_LANES) {                                                                                       \
            for (u32 l = 0; l < LANES; l++) {                                                                          \
                T a = pa[l], b = pb[l];                                                                                \
                result |= (u32)(expr) << l;                                                                            \
            }                                                                                                          \
        } else {                                                                                                       \
            FOR_LANES(mask, l) {                                                                                       \
                T a = pa[l], b = pb[l];                                                                                \
                result |= (u32)(expr) << l;                                                                            \
            }                                                                                                          \
        }                                                                                                              \
        return result;                                                                                                 \
    }

#define ORDERS(T)                                                                                                      \
    COMPARE(lt_##T, T, a < b)                                                                                          \
    COMPARE(le_##T, T, a <= b)                                                                                         \
    COMPARE(gt_##T, T, a > b)                                                                                          \
    COMPARE(ge_##T, T, a >= b)
#define EQUALITY(T)                                                                                                    \
    COMPARE(eq_##T, T, a == b)                                                                                         \
    COMPARE(ne_##T, T, a != b)
ORDERS(s16)
ORDERS(s32)
ORDERS(s64)
ORDERS(u16)
ORDERS(u32)
ORDERS(u64)
EQUALITY(u16)
EQUALITY(u32)
EQUALITY(u64)

/* T a holder, V(a) its value: the ordered comparisons, false with a NaN, and the unordered ones, true with it */
#define FLOATS(suffix, T, V)                                                                                           \
    COMPARE(eq_##suffix, T, V(a) == V(b))                                                                              \
    COMPARE(ne_##suffix, T, V(a) < V(b) || V(a) > V(b))                                                                \
    COMPARE(lt_##suffix, T, V(a) < V(b))                                                                               \
    COMPARE(le_##suffix, T, V(a) <= V(b))                                                                              \
    COMPARE(gt_##suffix, T, V(a) > V(b))                                                                               \
    COMPARE(ge_##suffix, T, V(a) >= V(b))                                                                              \
    COMPARE(equ_##suffix, T, !(V(a) < V(b) || V(a) > V(b)))                                                            \
    COMPARE(neu_##suffix, T, !(V(a) == V(b)))                                                                          \
    COMPARE(ltu_##suffix, T, !(V(a) >= V(b)))                                                                          \
    COMPARE(leu_##suffix, T, !(V(a) > V(b)))                                                                           \
    COMPARE(gtu_##suffix, T, !(V(a) <= V(b)))                                                                          \
    COMPARE(geu_##suffix, T, !(V(a) < V(b)))                                                                           \
    COMPARE(num_##suffix, T, V(a) == V(a) && V(b) == V(b))                                                             \
    COMPARE(nan_##suffix, T, V(a) != V(a) || V(b) != V(b))
#define ITSELF(x) x
FLOATS(f32, f32, ITSELF)
FLOATS(f64, f64, ITSELF)
FLOATS(f16, u16, f32_of_half)
FLOATS(bf16, u16, f32_of_bf16)

#define INTEGER_ROWS(type, S, U)                                                                                       \
    {"eq." #type, eq_##U}, {"ne." #type, ne_##U}, {"lt." #type, lt_##S}, {"le." #type, le_##S}, {"gt." #type, gt_##S}, \
        {"ge." #type, ge_##S},
#define UNSIGNED_ROWS(type, U)                                                                                         \
    INTEGER_ROWS(type, U, U){"lo." #type, lt_##U}, {"ls." #type, le_##U}, {"hi." #type, gt_##U}, {"hs." #type, ge_##U},
#define BIT_ROWS(type, U) {"eq." #type, eq_##U}, {"ne." #type, ne_##U},
#define FLOAT_ROWS(type)                                                                                               \
    {"eq." #type, eq_##type}, {"ne." #type, ne_##type}, {"lt." #type, lt_##type}, {"le." #type, le_##type},            \
        {"gt." #type, gt_##type}, {"ge." #type, ge_##type}, {"equ." #type, equ_##type}, {"neu." #type, neu_##type},    \
        {"ltu." #type, ltu_##type}, {"leu." #type, leu_##type}, {"gtu." #type, gtu_##type},                            \
        {"geu." #type, geu_##type}, {"num." #type, num_##type}, {"nan." #type, nan_##type},
const CompareRow compare_rows[] = {INTEGER_ROWS(s16, s16, u16) INTEGER_ROWS(s32, s32, u32) INTEGER_ROWS(s64, s64, u64)
                                       UNSIGNED_ROWS(u16, u16) UNSIGNED_ROWS(u32, u32) UNSIGNED_ROWS(u64, u64)
                                           BIT_ROWS(b16, u16) BIT_ROWS(b32, u32) BIT_ROWS(b64, u64) FLOAT_ROWS(f32)
                                               FLOAT_ROWS(f64) FLOAT_ROWS(f16) FLOAT_ROWS(bf16){0}};

static u32 join(u32 result, u32 with, int how) {
    return how == JOIN_AND ? result & with : how == JOIN_OR ? result | with : how == JOIN_XOR ? result ^ with : result;
}

static void set_predicate(Warp *w, const Inst *i, int n, u32 value) {
    if (i->arg[n] == NO_ARG) return;
    u32 *out = REG(u32, n);
    *out = (*out & ~w->mask) | (value & w->mask);
}

/* arg: p, q or none, a, b, c or none */
void run_setp(Warp *w, const Inst *i) {
    u32 result = i->compare(reg_at(w, i->arg[2]), reg_at(w, i->arg[3]), w->mask);
    u32 with = i->arg[4] == NO_ARG ? 0 : *REG(u32, 4) ^ (i->flags ? ALL_LANES : 0);
    set_predicate(w, i, 0, join(result, with, i->type));
    set_predicate(w, i, 1, join(~result, with, i->type));
}

/* Pairs of halves: p of the low ones, q of the high ones. */
void run_setp_pair(Warp *w, const Inst *i) {
    u16 parts[4][LANES];
    const u32 *a = REG(const u32, 2), *b = REG(const u32, 3);
    for (int l = 0; l < LANES; l++) {
        parts[0][l] = (u16)a[l], parts[1][l] = (u16)b[l];
        parts[2][l] = (u16)(a[l] >> 16), parts[3][l] = (u16)(b[l] >> 16);
    }
    u32 with = i->arg[4] == NO_ARG ? 0 : *REG(u32, 4) ^ (i->flags ? ALL_LANES : 0);
    set_predicate(w, i, 0, join(i->compare(parts[0], parts[1], w->mask), with, i->type));
    set_predicate(w, i, 1, join(i->compare(parts[2], parts[3], w->mask), with, i->type));
}

/* set: the destination is all ones or 0, or 1.0 or 0.0. arg: d, none, a, b, c or none */
void run_set(Warp *w, const Inst *i) {
    u32 result = i->compare(reg_at(w, i->arg[2]), reg_at(w, i->arg[3]), w->mask), *out = REG(u32, 0);
    u32 with = i->arg[4] == NO_ARG ? 0 : *REG(u32, 4) ^ (i->flags ? ALL_LANES : 0);
    result = join(result, with, i->type);
    FOR_LANES(w->mask, l) out[l] = result >> l & 1 ? (u32)i->offset : 0;
}
