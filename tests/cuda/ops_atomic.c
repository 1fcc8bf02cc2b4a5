/* atom and red: lanes one after the other, each a compare-and-swap on the host, since blocks may run side by side.
 * arg: d or none, b, c, then the address. */
#include <string.h>

#include "tests/cuda/memory.h"
#include "tests/cuda/numbers.h"

#define ATOMIC(fn, T, expr)                                                                                            \
    static void run_##fn(Warp *w, const Inst *i) {                                                                     \
        u64 at[LANES];                                                                                                 \
        lane_addresses(w, i, 3, at);                                                                                   \
        FOR_LANES(w->mask, l) {                                                                                        \
            /* as a read first: the variable must have a value */                                                      \
            lane_address(w, i, (int)l, (Space)i->space, at[l], sizeof(T), false);                                      \
            T *p = (T *)(void *)lane_address(w, i, (int)l, (Space)i->space, at[l], sizeof(T), true);                   \
            T a = __atomic_load_n(p, __ATOMIC_SEQ_CST), b = REG(T, 1)[l], c = i->arg[2] == NO_ARG ? 0 : REG(T, 2)[l];  \
            (void)c;                                                                                                   \
            while (!__atomic_compare_exchange_n(p, &a, (T)(expr), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}       \
            if (i->arg[0] != NO_ARG) REG(T, 0)[l] = a;                                                                 \
        }                                                                                                              \
    }

static u32 f32_sum(u32 a, u32 b) { return bits_of(one_nan(f32_of(a) + f32_of(b))); }
static u64 f64_sum(u64 a, u64 b) { return bits_of64(f64_of(a) + f64_of(b)); }
static u16 half_sum(u16 a, u16 b) { return half_of_f32(f32_of_half(a) + f32_of_half(b)); }
static u16 bf16_sum(u16 a, u16 b) { return bf16_of_f32(f32_of_bf16(a) + f32_of_bf16(b)); }

#define INTEGERS(bits)                                                                                                 \
    ATOMIC(add##bits, u##bits, a + b)                                                                                  \
    ATOMIC(and##bits, u##bits, a &b)                                                                                   \
    ATOMIC(or ##bits, u##bits, a | b)                                                                                  \
    ATOMIC(xor##bits, u##bits, a ^ b)                                                                                  \
    ATOMIC(exch##bits, u##bits, b)                                                                                     \
    ATOMIC(cas##bits, u##bits, a == b ? c : a)                                                                         \
    ATOMIC(min_u##bits, u##bits, a < b ? a : b)                                                                        \
    ATOMIC(max_u##bits, u##bits, a > b ? a : b)                                                                        \
    ATOMIC(min_s##bits, u##bits, (s##bits)a < (s##bits)b ? a : b)                                                      \
    ATOMIC(max_s##bits, u##bits, (s##bits)a > (s##bits)b ? a : b)
INTEGERS(32)
INTEGERS(64)
ATOMIC(cas16, u16, a == b ? c : a)
ATOMIC(exch16, u16, b)
ATOMIC(inc32, u32, a >= b ? 0 : a + 1)
ATOMIC(dec32, u32, a == 0 || a > b ? b : a - 1)
ATOMIC(add_f32, u32, f32_sum(a, b))
ATOMIC(add_f64, u64, f64_sum(a, b))
ATOMIC(add_f16, u16, half_sum(a, b))
ATOMIC(add_bf16, u16, bf16_sum(a, b))
ATOMIC(add_f16x2, u32, half_sum((u16)a, (u16)b) | (u32)half_sum((u16)(a >> 16), (u16)(b >> 16)) << 16)
ATOMIC(add_bf16x2, u32, bf16_sum((u16)a, (u16)b) | (u32)bf16_sum((u16)(a >> 16), (u16)(b >> 16)) << 16)

#define BITS(op, bits) {#op, "b" #bits, run_##op##bits},
#define ORDER(op, bits) {#op, "u" #bits, run_##op##_u##bits}, {#op, "s" #bits, run_##op##_s##bits},
#define WIDTH(bits)                                                                                                    \
    BITS(and, bits)                                                                                                    \
    BITS(or, bits)                                                                                                     \
    BITS(xor, bits) BITS(exch, bits) BITS(cas, bits) ORDER(min, bits)                                                  \
        ORDER(max, bits){"add", "u" #bits, run_add##bits},                                                             \
        {"add", "s" #bits, run_add##bits},
static const struct {
    const char *op, *type;
    Handler *run;
} atomics[] = {
    WIDTH(32) WIDTH(64) BITS(cas, 16) BITS(exch, 16){"inc", "u32", run_inc32},
    {"dec", "u32", run_dec32},
    {"add", "f32", run_add_f32},
    {"add", "f64", run_add_f64},
    {"add", "f16", run_add_f16},
    {"add", "bf16", run_add_bf16},
    {"add", "f16x2", run_add_f16x2},
    {"add", "bf16x2", run_add_bf16x2},
};

Handler *atomic_handler(const char *op, const char *type) {
    for (size_t n = 0; n < sizeof atomics / sizeof *atomics; n++)
        if (!strcmp(atomics[n].op, op) && !strcmp(atomics[n].type, type)) return atomics[n].run;
    return NULL;
}
