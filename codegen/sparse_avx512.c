/* Sparse products for AVX-512: a panel is one vector. Sums of up to 29 rows stay in zmm0 … zmm28 while zmm31 takes each
 * source that any of them needs, and a nonzero is one vfmadd231ps with its weight broadcast from memory, or a vpdpbusd
 * with a word of four. Masks are in k1 … k7.
 *
 * Every nonzero loads its weight, so that loads are what is scarce, and a vector that crosses a line takes two. Sources
 * that lie near one another, as the taps of a row do, are put together from whole lines in zmm29 and zmm30 (valignd).
 */
#include <math.h>
#include "codegen/sparse_x86.h"

enum {
    VECTOR = 64, /* bytes */
    LINE = 64,
    ROWS = SPARSE_X86_ROWS,
    LINES = SPARSE_X86_LINES, /* that stay at hand */
    FIRST_LINE = 29,          /* their registers */
    SPREAD = 30,              /* a weight's register where there are no lines, */
    SPREAD_BESIDE = 28,       /* where there are: of a row that the block has not */
    SOURCE = 31,              /* the register */
};

static const X86Mask all = {0, false};

static int64_t block_bytes(const SparseX86 *s, const SparseBlock *b) {
    enum { NONZERO = 11, LOAD = 9, SPREAD_MORE = 6, ROW = 32, REST = 128 };
    int64_t load = s->spreads ? LOAD + SPREAD_MORE : LOAD;
    return b->nonzeros * NONZERO + b->loads * load + b->rows * ROW + REST;
}

static void broadcast(SparseX86 *s, int reg, uint32_t v) {
    evex_mem(&s->x, VBROADCASTSS, reg, 0, sparse_x86_word(s, v), 4, false, all);
}

static bool has_bias(const SparseLayer *l) { return l->words ? l->word_bias != NULL : l->bias != NULL; }

static uint32_t bias_of(const SparseLayer *l, int64_t row) {
    return l->words ? (uint32_t)l->word_bias[row] : sparse_x86_bits(l->bias[row]);
}

static X86Mem residual_of(const SparseX86 *s, int row) { return (X86Mem){R13, row * s->l->residual_row}; }

static X86Mem result_of(const SparseX86 *s, int row) { return (X86Mem){R12, row * s->l->y_row}; }

static void begin_sums(SparseX86 *s) {
    const SparseBlock *b = s->b;
    for (int r = 0; r < b->rows && !s->part->first; r++)
        evex_mem(&s->x, VMOVUPS_LOAD, r, 0, result_of(s, r), VECTOR, false, all);
    for (int r = 0; r < b->rows && s->part->first; r++) {
        bool bias = has_bias(s->l);
        if (bias) broadcast(s, r, bias_of(s->l, b->first + r));
        if (bias && s->l->residual) evex_mem(&s->x, VADDPS, r, r, residual_of(s, r), VECTOR, false, all);
        else if (s->l->residual) evex_mem(&s->x, VMOVUPS_LOAD, r, 0, residual_of(s, r), VECTOR, false, all);
        else if (!bias) evex_reg(&s->x, VPXORD, r, r, r, all);
    }
    for (int i = b->rows; i < b->rows * b->sets; i++) evex_reg(&s->x, VPXORD, i, i, i, all);
}

/* ---- sources ---- */

#define NO_LINE INT64_MAX

static int64_t line_of(int64_t offset) { return offset - (offset % LINE + LINE) % LINE; }

static bool crosses_lines(const SparseX86 *s, int64_t offset) { return s->l->whole_lines && offset % LINE; }

/* How many of the next sources from the i-th on lie within a vector's reach of rax, stood it so that this place is the
 * lowest. */
static int in_reach(const SparseX86 *s, int64_t i, int64_t place) {
    enum { LOOK = 8 };
    int n = 0;
    for (int64_t end = i + LOOK; i < s->n_used && i < end; i++) {
        int64_t by = (s->l->whole_lines ? line_of(sparse_x86_offset(s, i)) : sparse_x86_offset(s, i)) - place;
        n += by >= 0 && by % VECTOR == 0 && by / VECTOR < 256;
    }
    return n;
}

static bool has_lines(const SparseX86 *s) {
    for (int64_t i = 0; i < s->l->n_sources; i++)
        if (crosses_lines(s, s->l->sources[i].offset)) return true;
    return false;
}

/* a vector there, for the i-th source; moves rax where that makes several instructions shorter */
static void load(SparseX86 *s, int reg, int64_t i, int64_t place, X86Mask k) {
    enum { LEAST = 3 };
    int64_t by = place - s->source_base;
    bool near = by % VECTOR == 0 && by >= -128 * VECTOR && by <= 127 * VECTOR;
    if (!near && in_reach(s, i, place) >= LEAST) {
        by += 128 * VECTOR;
        x86_add(&s->x, RAX, by);
        s->source_base += by;
    }
    evex_mem(&s->x, VMOVUPS_LOAD, reg, 0, (X86Mem){RAX, place - s->source_base}, VECTOR, false, k);
    s->panel_loads += place % LINE ? 2 : 1;
}

/* the register that has a line; -1: none */
static int line_at_hand(const SparseX86 *s, int64_t line) {
    for (int n = 0; n < LINES; n++)
        if (s->lines[n] == line) return FIRST_LINE + n;
    return -1;
}

static bool is_near(const SparseX86 *s, int64_t i, int64_t line) {
    if (i >= s->n_used) return false;
    int64_t offset = sparse_x86_offset(s, i), first = line_of(offset);
    return line == first || (line == first + LINE && offset != first);
}

/* the line's register, loaded if need be in place of one that is not `other` */
static int want_line(SparseX86 *s, int64_t i, int64_t line, int64_t other) {
    int reg = line_at_hand(s, line);
    if (reg >= 0) return reg;
    int n = s->lines[0] == other || (s->lines[1] != other && s->lines[1] < s->lines[0]) ? 1 : 0;
    load(s, FIRST_LINE + n, i, line, all);
    s->lines[n] = line;
    return FIRST_LINE + n;
}

/* the register of the block's i-th source */
static int load_source(SparseX86 *s, int64_t i) {
    int64_t offset = sparse_x86_offset(s, i), first = line_of(offset), second = first + LINE;
    int mask = s->l->sources[s->used[i]].mask;
    X86Mask k = {mask, mask != 0};
    bool crosses = crosses_lines(s, offset), shared = s->lined && is_near(s, i + 1, first);
    if (!crosses && !mask && (shared || line_at_hand(s, first) >= 0)) return want_line(s, i, first, NO_LINE);
    if (crosses &&
        (shared || is_near(s, i + 1, second) || line_at_hand(s, first) >= 0 || line_at_hand(s, second) >= 0)) {
        int low = want_line(s, i, first, second), high = want_line(s, i, second, first);
        evex_reg(&s->x, VALIGND, SOURCE, high, low, k);
        x86_byte(&s->x, (int)(offset - first) / 4);
    } else {
        load(s, SOURCE, i, offset, k);
    }
    return SOURCE;
}

/* A weight that is not loaded but comes with the instructions, by way of a general register, which is spread over a
 * vector's lanes beside the multiply-adds: so many that loads are no more than multiply-adds, but no more than one for
 * two of them. */
static bool is_spared(const SparseX86 *s) {
    return s->spread && s->spared < s->panel_loads && 2 * s->spared <= s->panel_products;
}

static void multiply(SparseX86 *s, int sum, int source, uint32_t w) {
    X86Op op = s->l->words ? VPDPBUSD : VFMADD231PS;
    if (!is_spared(s)) {
        evex_mem(&s->x, op, sum, source, sparse_x86_word(s, w), 4, true, all);
    } else {
        x86_load_word(&s->x, RBP, w);
        evex_reg(&s->x, VPBROADCASTD_GENERAL, s->spread, 0, RBP, all);
        evex_reg(&s->x, op, sum, source, s->spread, all);
        s->spared++;
    }
    s->panel_products++;
}

static void multiply_source(SparseX86 *s, int64_t i) {
    const SparseBlock *b = s->b;
    int source = load_source(s, i);
    for (int r = 0; r < b->rows; r++) {
        uint32_t w = sparse_word(s->l, b, r, s->used[i]);
        if (!w) continue;
        int sum = r + b->rows * sparse_x86_turn(s, r);
        multiply(s, sum, source, w);
    }
}

static void add_sets(SparseX86 *s) {
    int rows = s->b->rows;
    for (int n = s->b->sets; n > 1; n--)
        for (int r = 0; r < rows; r++) evex_reg(&s->x, s->l->words ? VPADDD : VADDPS, r, r, r + (n - 1) * rows, all);
}

/* NaN as the second source is the result, so the bound is the first */
static void clamp(SparseX86 *s, X86Op op, float bound) {
    if (isinf(bound)) return;
    if (bound == 0) evex_reg(&s->x, VPXORD, SOURCE, SOURCE, SOURCE, all);
    else broadcast(s, SOURCE, sparse_x86_bits(bound));
    for (int r = 0; r < s->b->rows; r++) evex_reg(&s->x, op, r, SOURCE, r, all);
}

static void store(SparseX86 *s) {
    const SparseLayer *l = s->l;
    X86Mask zeros = {l->store_mask, true}, within = {l->store == SPARSE_STORE_WITHIN ? l->store_mask : 0, false};
    for (int r = 0; r < s->b->rows; r++) {
        if (s->part->last && l->store == SPARSE_STORE_ZEROS && l->store_mask) evex_reg(&s->x, VMOVAPS, r, 0, r, zeros);
        evex_mem(&s->x, VMOVUPS_STORE, r, 0, result_of(s, r), VECTOR, false, within);
    }
}

/* 0: there is none */
static int spread_register(const SparseX86 *s) {
    if (!s->spreads) return 0;
    return !s->lined ? SPREAD : s->b->rows * s->b->sets <= SPREAD_BESIDE ? SPREAD_BESIDE : 0;
}

static void write_panel(SparseX86 *s) {
    unsigned masks = sparse_masks_used(s->l);
    sparse_x86_begin_panel(s);
    for (int k = 1; k < SPARSE_MASKS; k++)
        if (masks >> k & 1) x86_kmov(&s->x, k, (X86Mem){R14, (k - 1) * 2});
    begin_sums(s);
    for (int n = 0; n < LINES; n++) s->lines[n] = NO_LINE;
    s->panel_loads = s->b->rows, s->panel_products = s->spared = 0;
    s->lined = has_lines(s), s->spread = spread_register(s);
    sparse_x86_multiply(s, multiply_source);
    add_sets(s);
    if (s->part->last && !s->l->words) {
        clamp(s, VMAXPS, s->l->low);
        clamp(s, VMINPS, s->l->high);
    }
    store(s);
}

const SparseX86Form sparse_avx512 = {
    .busy = 8, .weight_unit = 4, .weights = ROWS + 2, .block_bytes = block_bytes, .panel = write_panel};
