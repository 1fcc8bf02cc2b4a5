/* mma.sync, ldmatrix, stmatrix. Every register of a factor holds 32 / bits neighbours along k; lane 4·g + t has row g
 * (and g + 8, in the odd registers of A where m is 16) or column g, at k from t · neighbours on, and the next registers
 * follow 4 · neighbours later. Products are exact, sums of floats are doubles, rounded once at the end: the hardware
 * keeps fewer bits, in an order of its own. */
#include <string.h>

#include "tests/cuda/convert.h"
#include "tests/cuda/matrix.h"
#include "tests/cuda/memory.h"

enum { MAX_M = 16, N = 8, MAX_K = 64 };

static bool all_here(Warp *w, const Inst *i) {
    if (w->live != ALL_LANES)
        fault(w, i, -1, CUDA_ERROR_LAUNCH_FAILED, "needs all 32 lanes; only %08x are alive", w->live);
    return warp_gather(w, i, ALL_LANES);
}

static s32 integer_element(u32 word, u32 n, NumberType t) {
    return t == NUMBER_S8 ? (s8)(word >> 8 * n) : (s32)(word >> 8 * n & 255);
}

static f64 float_element(u32 word, u32 n, NumberType t) {
    switch (t) {
    case NUMBER_F16: return (f64)f32_of_half((u16)(word >> 16 * n));
    case NUMBER_BF16: return (f64)f32_of_bf16((u16)(word >> 16 * n));
    case NUMBER_E4M3: return value_of(word >> 8 * n & 255, &format_e4m3);
    case NUMBER_E5M2: return value_of(word >> 8 * n & 255, &format_e5m2);
    default: return (f64)f32_of(word & ~0x1fffu); /* tf32: the other bits are not looked at */
    }
}

typedef struct Place {
    u32 row, k;
} Place;

/* Where element n of register r of a factor stands. rows: 8 or 16 */
static Place place_of(u32 lane, u32 r, u32 n, u32 rows, u32 neighbours) {
    u32 blocks = rows / 8;
    return (Place){lane / 4 + r % blocks * 8, lane % 4 * neighbours + r / blocks * 4 * neighbours + n};
}

static void read_floats(const Warp *w, const Inst *i, int arg, u32 registers, u32 rows, NumberType t,
                        f64 out[MAX_M][MAX_K]) {
    u32 neighbours = 32 / (u32)number_bits(t);
    for (u32 r = 0; r < registers; r++)
        for (u32 l = 0; l < LANES; l++)
            for (u32 n = 0; n < neighbours; n++) {
                Place p = place_of(l, r, n, rows, neighbours);
                out[p.row][p.k] = float_element(REG(u32, arg + (int)r)[l], n, t);
            }
}

static void read_integers(const Warp *w, const Inst *i, int arg, u32 registers, u32 rows, NumberType t,
                          s32 out[MAX_M][MAX_K]) {
    for (u32 r = 0; r < registers; r++)
        for (u32 l = 0; l < LANES; l++)
            for (u32 n = 0; n < 4; n++) {
                Place p = place_of(l, r, n, rows, 4);
                out[p.row][p.k] = integer_element(REG(u32, arg + (int)r)[l], n, t);
            }
}

/* Entry (row, column) of C or D: register and, for halves, which of its two. */
static u32 *entry(const Warp *w, const Inst *i, int arg, u32 row, u32 column, bool halves) {
    u32 lane = row % 8 * 4 + column / 2, r = halves ? row / 8 : row / 8 * 2 + column % 2;
    return &REG(u32, arg + (int)r)[lane];
}

static f64 read_entry(const Warp *w, const Inst *i, int arg, u32 row, u32 column, bool halves) {
    u32 word = *entry(w, i, arg, row, column, halves);
    return halves ? (f64)f32_of_half((u16)(word >> column % 2 * 16)) : (f64)f32_of(word);
}

static void multiply_floats(Warp *w, const Inst *i, const MatrixShape *s) {
    f64 a[MAX_M][MAX_K], b[MAX_M][MAX_K], across[MAX_K][N], sums[MAX_M][N];
    read_floats(w, i, s->a_at, s->a_registers, s->m, s->a, a);
    read_floats(w, i, s->b_at, s->b_registers, N, s->b, b);
    for (u32 k = 0; k < s->k; k++)
        for (u32 n = 0; n < N; n++) across[k][n] = b[n][k];
    for (u32 m = 0; m < s->m; m++)
        for (u32 n = 0; n < N; n++) sums[m][n] = read_entry(w, i, s->c_at, m, n, s->c_halves);
    for (u32 m = 0; m < s->m; m++)
        for (u32 k = 0; k < s->k; k++)
            for (u32 n = 0; n < N; n++) sums[m][n] += a[m][k] * across[k][n];
    for (u32 m = 0; m < s->m; m++)
        for (u32 n = 0; n < N; n++) {
            u32 *out = entry(w, i, 0, m, n, s->d_halves);
            if (!s->d_halves) *out = bits_of(one_nan((f32)sums[m][n]));
            else {
                u32 shift = n % 2 * 16, half = round_to(sums[m][n], &format_f16, TO_NEAREST, false);
                *out = (*out & ~(0xffffu << shift)) | half << shift;
            }
        }
}

static void multiply_integers(Warp *w, const Inst *i, const MatrixShape *s) {
    s32 a[MAX_M][MAX_K], b[MAX_M][MAX_K];
    s64 sums[MAX_M][N];
    read_integers(w, i, s->a_at, s->a_registers, s->m, s->a, a);
    read_integers(w, i, s->b_at, s->b_registers, N, s->b, b);
    for (u32 m = 0; m < s->m; m++)
        for (u32 n = 0; n < N; n++) {
            s32 sum = 0; /* 64 products of 16 bits: no overflow yet */
            for (u32 k = 0; k < s->k; k++) sum += a[m][k] * b[n][k];
            sums[m][n] = (s64)(s32)*entry(w, i, s->c_at, m, n, false) + sum;
        }
    for (u32 m = 0; m < s->m; m++)
        for (u32 n = 0; n < N; n++) {
            s64 v = sums[m][n];
            if (s->saturate) v = v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : v;
            *entry(w, i, 0, m, n, false) = (u32)v;
        }
}

void run_mma(Warp *w, const Inst *i) {
    if (!all_here(w, i)) return;
    const MatrixShape *s = i->any;
    if (s->integers) multiply_integers(w, i, s);
    else multiply_floats(w, i, s);
}

/* count: matrices of 8 rows of 16 bytes; lane 8·j + r has the address of row r of matrix j. from: transposed.
 * arg: the registers, then the address. */
void run_load_matrix(Warp *w, const Inst *i) {
    if (!all_here(w, i)) return;
    u64 at[LANES];
    u16 rows[LANES][8];
    lane_addresses(w, i, i->count, at);
    for (u32 l = 0; l < 8u * i->count; l++)
        memcpy(rows[l], lane_address(w, i, (int)l, (Space)i->space, at[l], 16, false), 16);
    for (u32 j = 0; j < i->count; j++)
        for (u32 l = 0; l < LANES; l++) {
            u32 major = l / 4, minor = l % 4 * 2;
            u16 low = i->from ? rows[8 * j + minor][major] : rows[8 * j + major][minor];
            u16 high = i->from ? rows[8 * j + minor + 1][major] : rows[8 * j + major][minor + 1];
            REG(u32, (int)j)[l] = low | (u32)high << 16;
        }
}

void run_store_matrix(Warp *w, const Inst *i) {
    if (!all_here(w, i)) return;
    u64 at[LANES];
    u16 rows[LANES][8];
    lane_addresses(w, i, i->count, at);
    for (u32 j = 0; j < i->count; j++)
        for (u32 l = 0; l < LANES; l++) {
            u32 major = l / 4, minor = l % 4 * 2, v = REG(u32, (int)j)[l];
            for (u32 n = 0; n < 2; n++)
                *(i->from ? &rows[8 * j + minor + n][major] : &rows[8 * j + major][minor + n]) = (u16)(v >> 16 * n);
        }
    for (u32 l = 0; l < 8u * i->count; l++)
        memcpy(lane_address(w, i, (int)l, (Space)i->space, at[l], 16, true), rows[l], 16);
}
