/* Sparse products for AVX2 with FMA: a panel is VECS vectors. Sums of up to 6 rows stay in ymm0 … ymm11 while two
 * registers take a source and one a weight: a nonzero is a broadcast and VECS times vfmadd231ps, which read the source
 * themselves where it has no other nonzero in the block. So the loads, two a cycle, are what bounds it: fewer rows with
 * more vectors, and more rows with every source from memory, need more of them.
 *
 * Masks become vectors in memory, once a panel. Two registers hold that of the sources which are being multiplied; so
 * sums are of 5 rows where there are such, and sources are taken mask by mask. */
#include <math.h>
#include <string.h>
#include "codegen/sparse_x86.h"

enum {
    LANES = 8,
    VECTOR = 32, /* bytes */
    VECS = 2,
    ROWS = 6,
    MASK_BYTES = VECS * VECTOR,
    SCRATCH = 15,                     /* the register */
    FURTHEST = 128,                   /* bytes back that a displacement of 8 bits reaches */
    REACH = 127 - (VECS - 1) * VECTOR /* ahead, with all vectors of a source */
};

/* the first of VECS registers, the one of a weight, and the first of VECS */
static int source_register(const SparseX86 *s) { return s->masked ? 10 : 12; }
static int weight_register(const SparseX86 *s) { return source_register(s) + VECS; }
static int mask_register(const SparseX86 *s) { return weight_register(s) + 1; }
static int sum_of(const SparseX86 *s, int row, int set, int vec) { return (row + s->b->rows * set) * VECS + vec; }

static X86Mem further(X86Mem m, int vec) { return (X86Mem){m.base, m.disp + vec * VECTOR}; }

static int64_t block_bytes(const SparseX86 *s, const SparseBlock *b) {
    enum { NONZERO = 20, LOAD = 13, ROW = 32, REST = 192 };
    (void)s;
    return b->nonzeros * NONZERO + b->loads * LOAD + b->rows * ROW + REST;
}

static void broadcast(SparseX86 *s, int reg, float v) {
    vex_mem(&s->x, VBROADCASTSS, reg, 0, sparse_x86_word(s, sparse_x86_bits(v)));
}

/* ---- masks ---- */

static X86Mem mask_at(int mask, int vec) { return (X86Mem){RSP, (mask - 1) * MASK_BYTES + vec * VECTOR}; }

/* a lane is all ones where its bit of the mask's word is one */
static void make_masks(SparseX86 *s) {
    unsigned masks = sparse_masks_used(s->l);
    int lanes = source_register(s), mask = weight_register(s);
    if (!masks) return;
    X86Mem bits = sparse_x86_word(s, 1);
    for (int i = 1; i < VECS * LANES; i++) sparse_x86_word(s, 1u << i);
    for (int v = 0; v < VECS; v++) vex_mem(&s->x, VMOVUPS_LOAD, lanes + v, 0, further(bits, v));
    for (int m = 1; m < SPARSE_MASKS; m++) {
        if (!(masks >> m & 1)) continue;
        vex_mem(&s->x, VPBROADCASTD, SCRATCH, 0, (X86Mem){R14, (m - 1) * 2});
        for (int v = 0; v < VECS; v++) {
            vex_reg(&s->x, VPAND, mask, SCRATCH, lanes + v);
            vex_reg(&s->x, VPCMPEQD, mask, mask, lanes + v);
            vex_mem(&s->x, VMOVUPS_STORE, mask, 0, mask_at(m, v));
        }
    }
}

static void load_mask(SparseX86 *s, int to, int mask) {
    for (int v = 0; v < VECS; v++) vex_mem(&s->x, VMOVUPS_LOAD, to + v, 0, mask_at(mask, v));
}

/* some sources at a time, so that they stay near one another */
static void order_by_mask(const SparseLayer *l, int64_t *used, int64_t n_used) {
    enum { AT_ONCE = 72 };
    int64_t some[AT_ONCE];
    for (int64_t from = 0; from < n_used; from += AT_ONCE) {
        int64_t n = n_used - from < AT_ONCE ? n_used - from : AT_ONCE, *to = used + from;
        memcpy(some, to, (size_t)n * sizeof *some);
        for (int mask = 0; mask < SPARSE_MASKS; mask++)
            for (int64_t i = 0; i < n; i++)
                if (l->sources[some[i]].mask == mask) *to++ = some[i];
    }
}

/* ---- a panel ---- */

static X86Mem residual_of(const SparseX86 *s, int row, int vec) {
    return (X86Mem){R13, row * s->l->residual_row + vec * VECTOR};
}

static void begin_row(SparseX86 *s, int row) {
    const SparseLayer *l = s->l;
    int first = sum_of(s, row, 0, 0);
    if (l->bias) broadcast(s, first, l->bias[s->b->first + row]);
    for (int v = VECS - 1; v >= 0; v--) {
        int sum = first + v;
        if (l->bias && l->residual) vex_mem(&s->x, VADDPS, sum, first, residual_of(s, row, v));
        else if (l->residual) vex_mem(&s->x, VMOVUPS_LOAD, sum, 0, residual_of(s, row, v));
        else if (!l->bias) vex_reg(&s->x, VXORPS, sum, sum, sum);
        else if (v) vex_reg(&s->x, VMOVAPS, sum, 0, first);
    }
}

static X86Mem result_of(const SparseX86 *s, int sum) {
    return (X86Mem){R12, sum / VECS * s->l->y_row + sum % VECS * VECTOR};
}

static void begin_sums(SparseX86 *s) {
    const SparseBlock *b = s->b;
    for (int r = 0; r < b->rows && s->part->first; r++) begin_row(s, r);
    for (int i = 0; i < b->rows * VECS && !s->part->first; i++) vex_mem(&s->x, VMOVUPS_LOAD, i, 0, result_of(s, i));
    for (int i = b->rows * VECS; i < b->rows * b->sets * VECS; i++) vex_reg(&s->x, VXORPS, i, i, i);
}

/* How many of the next sources lie within reach of rax, stood it so that this one is the lowest. */
static int in_reach(const SparseX86 *s, int64_t i) {
    enum { LOOK = 8 };
    int n = 0;
    for (int64_t k = i; k < s->n_used && k < i + LOOK; k++) {
        int64_t by = sparse_x86_offset(s, k) - sparse_x86_offset(s, i);
        n += by >= 0 && by <= REACH + FURTHEST;
    }
    return n;
}

/* moves rax where that makes several instructions shorter */
static X86Mem source_at(SparseX86 *s, int64_t i) {
    int64_t offset = sparse_x86_offset(s, i), by = offset - s->source_base;
    if ((by < -FURTHEST || by > REACH) && in_reach(s, i) > 1) {
        x86_add(&s->x, RAX, by + FURTHEST);
        s->source_base += by + FURTHEST;
    }
    return (X86Mem){RAX, offset - s->source_base};
}

/* into registers; false: products read it themselves */
static bool load_source(SparseX86 *s, int64_t i, X86Mem at) {
    int64_t source = s->used[i];
    int mask = s->l->sources[source].mask, before = i ? s->l->sources[s->used[i - 1]].mask : 0;
    if (!mask && sparse_nonzeros(s->l, s->b, source) == 1) return false;
    if (mask && mask != before) load_mask(s, mask_register(s), mask);
    for (int v = 0; v < VECS; v++) {
        int to = source_register(s) + v;
        if (mask) vex_mem(&s->x, VPAND, to, mask_register(s) + v, further(at, v));
        else vex_mem(&s->x, VMOVUPS_LOAD, to, 0, further(at, v));
    }
    return true;
}

static void multiply_source(SparseX86 *s, int64_t i) {
    X86Mem at = source_at(s, i);
    bool loaded = load_source(s, i, at);
    int weight = weight_register(s);
    for (int r = 0; r < s->b->rows; r++) {
        float w = sparse_weight(s->l, s->b, r, s->used[i]);
        if (w == 0) continue;
        int set = sparse_x86_turn(s, r);
        broadcast(s, weight, w);
        for (int v = 0; v < VECS; v++) {
            int sum = sum_of(s, r, set, v);
            if (loaded) vex_reg(&s->x, VFMADD231PS, sum, weight, source_register(s) + v);
            else vex_mem(&s->x, VFMADD231PS, sum, weight, further(at, v));
        }
    }
}

static void add_sets(SparseX86 *s) {
    int sums = s->b->rows * VECS;
    for (int n = s->b->sets; n > 1; n--)
        for (int i = 0; i < sums; i++) vex_reg(&s->x, VADDPS, i, i, i + (n - 1) * sums);
}

/* NaN as the second source is the result, so the bound is the first */
static void clamp(SparseX86 *s, X86Op op, float bound) {
    int to = weight_register(s);
    if (isinf(bound)) return;
    if (bound == 0) vex_reg(&s->x, VXORPS, to, to, to);
    else broadcast(s, to, bound);
    for (int i = 0; i < s->b->rows * VECS; i++) vex_reg(&s->x, op, i, to, i);
}

static void store(SparseX86 *s) {
    const SparseLayer *l = s->l;
    bool masked = l->store_mask && (s->part->last || l->store == SPARSE_STORE_WITHIN);
    SparseStore how = masked ? l->store : SPARSE_STORE_ALL;
    int mask = source_register(s);
    if (how != SPARSE_STORE_ALL) load_mask(s, mask, l->store_mask);
    for (int i = 0; i < s->b->rows * VECS; i++) {
        int v = i % VECS;
        X86Mem to = result_of(s, i);
        if (how == SPARSE_STORE_ZEROS) vex_reg(&s->x, VPAND, i, i, mask + v);
        if (how == SPARSE_STORE_WITHIN) vex_mem(&s->x, VMASKMOVPS_STORE, i, mask + v, to);
        else vex_mem(&s->x, VMOVUPS_STORE, i, 0, to);
    }
}

static void write_panel(SparseX86 *s) {
    sparse_x86_begin_panel(s);
    make_masks(s);
    begin_sums(s);
    sparse_x86_multiply(s, multiply_source);
    add_sets(s);
    if (s->part->last) {
        clamp(s, VMAXPS, s->l->low);
        clamp(s, VMINPS, s->l->high);
    }
    store(s);
}

const SparseX86Form sparse_avx2 = {.busy = 8 / VECS,
                                   .weight_unit = 1,
                                   .weights = VECS * LANES + ROWS + 2,
                                   .stack = (SPARSE_MASKS - 1) * MASK_BYTES,
                                   .block_bytes = block_bytes,
                                   .order = order_by_mask,
                                   .panel = write_panel};
