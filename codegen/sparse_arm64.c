/* Sparse products for aarch64 with NEON. A panel is worked on by VECS vectors at a time. Rows are cut into blocks of up
 * to ROWS, whose sums stay in v0 … v23 while v24 … v27 take the sources in turn, one ahead of the products: VECS loads
 * a source that any row needs, and a nonzero is VECS times fmla by an element of v28 or v29, which take four weights a
 * load. A block is a loop over panels, its weights lie behind it in the order in which they are read, then comes the
 * next block. Masks are made once a part of a panel, as vectors on the stack: a masked source costs an `and` more.
 *
 * While a block runs its n parts of panels, part j fetches lines j, j + n, … of the next block: every line once.
 *
 * x0 x, x1 y, x2 residual, x3 masks, x4 panels, x5 the block behind the last; they stay. x6 … x9: the part's x, y,
 * residual, masks; x10: panels left; x11: the part's first lane; x12, x13: the weights, those that are near; x14, x15:
 * from row to row; x16, x17: scratch; x19 … x22: near the sources whose offsets are 0, 4, 8, 12 modulo 16; x23: what is
 * fetched; x24: a row of the residual. */
#include <math.h>
#include <string.h>
#include "codegen/arm64.h"
#include "codegen/sparse_blocks.h"

enum {
    LANES = 4,
    VECTOR = 16, /* bytes */
    VECS = 2,
    PART = VECS * VECTOR,
    PANEL_BYTES = 64,
    LINE = 64,
    ROWS = 12,
    LATENCY = 8 / VECS, /* rows whose sums in turn hide a multiply-add's latency, two a cycle */
    CLASSES = VECTOR / 4,
    MASK_WORDS = 2 * LANES /* that stand before the weights: what the lanes' bits are */
};

typedef enum Vector { V_SOURCE = 24, V_WEIGHT = 28, V_MASK = 30 } Vector; /* two sets of sources, weights, masks */
typedef enum Register {
    X_PANELS = 4,
    X_BLOCKS = 5,
    X_X = 6,
    X_Y,
    X_RESIDUAL,
    X_MASKS,
    X_LEFT,
    X_LANE,
    X_WEIGHTS,
    X_NEAR_WEIGHTS,
    X_Y_ROW,
    X_RESIDUAL_ROW,
    X_SCRATCH,
    X_SOURCE = 19,
    X_FETCH = 23,
    X_ROW
} Register;

enum { MASK_AT = 0, SAVED_AT = (SPARSE_MASKS - 1) * PART, N_SAVED = 6, N_VECTORS = 8 };
enum { VECTORS_AT = SAVED_AT + N_SAVED * 8, FRAME = VECTORS_AT + N_VECTORS * 8 };
_Static_assert(FRAME % 16 == 0 && FRAME < 512, "the stack's alignment; a pair's reach");

typedef struct Sparse {
    const SparseLayer *l;
    Arm64 x;
    SparseBlocks blocks;
    SparseBlock *b; /* that is being written */
    int64_t *used;  /* the sources that the block needs */
    int64_t n_used;
    float *weights; /* of the block, in their order */
    int64_t n_weights;
    int64_t weight_base, source_base[CLASSES]; /* what the registers stand at, from the weights and the part's start */
    int turn[ROWS];                            /* by row: the set that its next product goes to */
    int64_t fetched, to_fetch;
} Sparse;

static int sum_of(const Sparse *s, int row, int set, int vec) { return (row + s->b->rows * set) * VECS + vec; }

/* ---- fetching ahead ---- */

/* about how long its code and weights are */
static int64_t block_bytes(const SparseBlock *b) {
    enum { NONZERO = 9, LOAD = 5, ROW = 16, REST = 160 };
    return b->nonzeros * (NONZERO + (VECS - 1) * 4) + b->loads * LOAD * VECS + b->rows * ROW * VECS + REST;
}

static int64_t parts(const Sparse *s) { return s->l->panels * (PANEL_BYTES / PART); }

static void begin_fetching(Sparse *s) {
    const SparseBlock *next = s->b + 1 < s->blocks.all + s->blocks.n ? s->b + 1 : s->blocks.all;
    int64_t lines = (block_bytes(next) + LINE - 1) / LINE;
    s->fetched = 0;
    s->to_fetch = (lines + parts(s) - 1) / parts(s);
}

/* as far as belongs to `done` of the block's `of` steps */
static void fetch(Sparse *s, int64_t done, int64_t of) {
    for (int64_t to = s->to_fetch * done / of; s->fetched < to; s->fetched++)
        arm64_prefetch(&s->x, X_FETCH, s->fetched * LINE * parts(s));
}

/* ---- weights ---- */

static void load_weights(Sparse *s, int64_t group) {
    int64_t at = group * VECTOR - s->weight_base;
    if (at > ARM64_REACH) {
        s->weight_base += at;
        arm64_add(&s->x, X_NEAR_WEIGHTS, X_NEAR_WEIGHTS, at);
        at = 0;
    }
    arm64_load(&s->x, V_WEIGHT + (int)(group % 2), X_NEAR_WEIGHTS, at);
}

/* the next place of the stream of weights, which w takes; four are loaded ahead */
static Arm64Lane put_weight(Sparse *s, float w) {
    int64_t at = s->n_weights++, group = at / LANES;
    if (at % LANES == 0) load_weights(s, group + 1);
    s->weights[at] = w;
    return (Arm64Lane){V_WEIGHT + (int)(group % 2), (int)(at % LANES)};
}

static void begin_weights(Sparse *s) {
    s->n_weights = s->weight_base = 0;
    arm64_move(&s->x, X_NEAR_WEIGHTS, X_WEIGHTS);
    if (sparse_masks_used(s->l)) {
        const uint32_t bits[MASK_WORDS] = {1, 2, 4, 8, 16, 32, 64, 128};
        memcpy(s->weights, bits, sizeof bits);
        s->n_weights = MASK_WORDS;
    }
    load_weights(s, s->n_weights / LANES);
}

/* ---- masks ---- */

static int64_t mask_at(int mask, int vec) { return MASK_AT + (mask - 1) * PART + vec * VECTOR; }

/* the bits of a mask from the part's first lane on */
static void load_bits(Sparse *s, int mask) {
    arm64_load_half(&s->x, X_SCRATCH, X_MASKS, (mask - 1) * 2);
    arm64_shift_right(&s->x, X_SCRATCH, X_LANE);
}

static void make_masks(Sparse *s) {
    unsigned masks = sparse_masks_used(s->l);
    if (!masks) return;
    for (int v = 0; v < VECS; v++) arm64_load(&s->x, V_SOURCE + v, X_WEIGHTS, v * VECTOR);
    for (int m = 1; m < SPARSE_MASKS; m++) {
        if (!(masks >> m & 1)) continue;
        load_bits(s, m);
        arm64_dup_word(&s->x, V_MASK, X_SCRATCH);
        for (int v = 0; v < VECS; v++) {
            arm64_vectors(&s->x, ARM64_CMTST, V_MASK + 1, V_MASK, V_SOURCE + v);
            arm64_store(&s->x, V_MASK + 1, ARM64_SP, mask_at(m, v));
        }
    }
}

static void load_mask(Sparse *s, int mask) {
    for (int v = 0; v < VECS; v++) arm64_load(&s->x, V_MASK + v, ARM64_SP, mask_at(mask, v));
}

/* ---- a part of a panel ---- */

static void begin_sources(Sparse *s) {
    unsigned classes = 0;
    for (int64_t i = 0; i < s->n_used; i++) classes |= 1u << (s->l->sources[s->used[i]].offset / 4 & 3);
    for (int c = 0; c < CLASSES; c++) {
        s->source_base[c] = (int64_t)c * 4;
        if (classes >> c & 1) arm64_add(&s->x, X_SOURCE + c, X_X, s->source_base[c]);
    }
}

/* A sum begins as bias and residual. */
static void begin_row(Sparse *s, int row) {
    const SparseLayer *l = s->l;
    const int tmp = V_SOURCE;
    Arm64Lane bias = {0, 0};
    if (l->bias) bias = put_weight(s, l->bias[s->b->first + row]);
    if (l->bias && l->residual) arm64_dup(&s->x, tmp, bias);
    for (int v = 0; v < VECS; v++) {
        int sum = sum_of(s, row, 0, v);
        if (l->residual) arm64_load(&s->x, sum, X_ROW, v * VECTOR);
        if (l->bias && l->residual) arm64_vectors(&s->x, ARM64_FADD, sum, tmp, sum);
        else if (l->bias) arm64_dup(&s->x, sum, bias);
        else if (!l->residual) arm64_zero(&s->x, sum);
    }
    if (l->residual) arm64_add_register(&s->x, X_ROW, X_ROW, X_RESIDUAL_ROW);
}

static void begin_sums(Sparse *s) {
    if (s->l->residual) arm64_move(&s->x, X_ROW, X_RESIDUAL);
    for (int r = 0; r < s->b->rows; r++) begin_row(s, r);
    for (int i = s->b->rows * VECS; i < s->b->rows * s->b->sets * VECS; i++) arm64_zero(&s->x, i);
}

/* Moves a register that is near such sources where it must be: by whole multiples of what an addition takes at once,
 * and somewhat before the source, since taps also go back. */
static int64_t near_source(Sparse *s, int64_t offset, int class) {
    enum { STEP = 4096, BACK = 2 * STEP };
    int64_t by = offset - s->source_base[class];
    if (by >= 0 && by + PART - VECTOR <= ARM64_REACH) return by;
    int64_t move = by - BACK;
    move -= (move % STEP + STEP) % STEP;
    arm64_add(&s->x, X_SOURCE + class, X_SOURCE + class, move);
    s->source_base[class] += move;
    return by - move;
}

static void load_source(Sparse *s, int64_t i) {
    if (i >= s->n_used) return;
    int64_t offset = s->l->sources[s->used[i]].offset;
    int class = (int)(offset / 4 & 3), mask = s->l->sources[s->used[i]].mask;
    int64_t by = near_source(s, offset, class);
    for (int v = 0; v < VECS; v++)
        arm64_load(&s->x, V_SOURCE + (int)(i % 2) * VECS + v, X_SOURCE + class, by + v * VECTOR);
    if (mask) load_mask(s, mask);
}

static void multiply_source(Sparse *s, int64_t i) {
    int source = V_SOURCE + (int)(i % 2) * VECS;
    for (int v = 0; v < VECS && s->l->sources[s->used[i]].mask; v++)
        arm64_vectors(&s->x, ARM64_AND, source + v, source + v, V_MASK + v);
    load_source(s, i + 1);
    for (int r = 0; r < s->b->rows; r++) {
        float w = sparse_weight(s->l, s->b, r, s->used[i]);
        if (w == 0) continue;
        Arm64Lane by = put_weight(s, w);
        for (int v = 0; v < VECS; v++) arm64_fmla(&s->x, sum_of(s, r, s->turn[r], v), source + v, by);
        s->turn[r] = (s->turn[r] + 1) % s->b->sets;
    }
}

static void multiply(Sparse *s) {
    begin_fetching(s);
    memset(s->turn, 0, sizeof s->turn);
    load_source(s, 0);
    for (int64_t i = 0; i < s->n_used; i++) {
        multiply_source(s, i);
        fetch(s, i + 1, s->n_used);
    }
    fetch(s, 1, 1);
}

static void add_sets(Sparse *s) {
    int sums = s->b->rows * VECS;
    for (int n = s->b->sets; n > 1; n--)
        for (int i = 0; i < sums; i++) arm64_vectors(&s->x, ARM64_FADD, i, i, i + (n - 1) * sums);
}

static void clamp(Sparse *s, Arm64Op op, float bound) {
    if (isinf(bound)) return;
    arm64_dup(&s->x, V_SOURCE, put_weight(s, bound));
    for (int i = 0; i < s->b->rows * VECS; i++) arm64_vectors(&s->x, op, i, i, V_SOURCE);
}

/* lane by lane; what has no bit in x16 stays, and is not touched */
static void store_within(Sparse *s, int sum, int vec) {
    enum { STORE = 1 /* instruction */ };
    for (int lane = 0; lane < LANES; lane++) {
        arm64_branch_if_clear(&s->x, X_SCRATCH, vec * LANES + lane, STORE);
        arm64_store_first(&s->x, sum, X_ROW, vec * VECTOR + lane * 4);
        arm64_rotate(&s->x, sum);
    }
}

static void store(Sparse *s) {
    const SparseLayer *l = s->l;
    bool zeros = l->store == SPARSE_STORE_ZEROS && l->store_mask, within = l->store == SPARSE_STORE_WITHIN;
    if (zeros) load_mask(s, l->store_mask);
    if (within && l->store_mask) load_bits(s, l->store_mask);
    arm64_move(&s->x, X_ROW, X_Y);
    for (int r = 0; r < s->b->rows; r++) {
        for (int v = 0; v < VECS; v++) {
            int sum = sum_of(s, r, 0, v);
            if (zeros) arm64_vectors(&s->x, ARM64_AND, sum, sum, V_MASK + v);
            if (within && l->store_mask) store_within(s, sum, v);
            else arm64_store(&s->x, sum, X_ROW, v * VECTOR);
        }
        arm64_add_register(&s->x, X_ROW, X_ROW, X_Y_ROW);
    }
}

static void write_part(Sparse *s) {
    begin_weights(s);
    make_masks(s);
    begin_sources(s);
    begin_sums(s);
    multiply(s);
    add_sets(s);
    clamp(s, ARM64_FMAX, s->l->low);
    clamp(s, ARM64_FMIN, s->l->high);
    store(s);
}

/* ---- the function ---- */

static void save(Sparse *s, bool load) {
    if (!load) arm64_add(&s->x, ARM64_SP, ARM64_SP, -FRAME);
    for (int i = 0; i < N_SAVED; i += 2) arm64_pair(&s->x, load, false, X_SOURCE + i, SAVED_AT + i * 8);
    for (int i = 0; i < N_VECTORS; i += 2) arm64_pair(&s->x, load, true, 8 + i, VECTORS_AT + i * 8);
    if (load) arm64_add(&s->x, ARM64_SP, ARM64_SP, FRAME);
}

/* r = a constant that may be negative */
static void set(Sparse *s, int r, int64_t v) {
    arm64_constant(&s->x, r, 0);
    arm64_add(&s->x, r, r, v);
}

static void begin_block(Sparse *s, const SparseBlock *next) {
    const SparseLayer *l = s->l;
    const SparseBlock *b = s->b;
    arm64_address(&s->x, X_FETCH, next ? next->at : l->repeats ? s->blocks.all[0].at : b->end);
    arm64_address(&s->x, X_WEIGHTS, b->weights_at);
    arm64_move(&s->x, X_X, 0);
    arm64_add(&s->x, X_Y, 1, b->first * l->y_row);
    arm64_add(&s->x, X_RESIDUAL, 2, b->first * l->residual_row);
    arm64_move(&s->x, X_MASKS, 3);
    arm64_move(&s->x, X_LEFT, X_PANELS);
    arm64_constant(&s->x, X_LANE, 0);
    set(s, X_Y_ROW, l->y_row);
    set(s, X_RESIDUAL_ROW, l->residual_row);
}

/* goes back unless the last comparison found both equal */
static void loop_to(Sparse *s, size_t start) {
    arm64_branch_if(&s->x, ARM64_EQUAL, 1);
    arm64_branch(&s->x, start);
}

static void write_loop(Sparse *s) {
    const SparseLayer *l = s->l;
    size_t start = s->x.n;
    write_part(s);
    arm64_add(&s->x, X_X, X_X, PART);
    arm64_add(&s->x, X_Y, X_Y, PART);
    arm64_add(&s->x, X_RESIDUAL, X_RESIDUAL, PART);
    arm64_add(&s->x, X_FETCH, X_FETCH, LINE);
    arm64_add(&s->x, X_LANE, X_LANE, VECS * LANES);
    arm64_subtract_set(&s->x, ARM64_NONE, X_LANE, PANEL_BYTES / 4);
    loop_to(s, start);
    arm64_constant(&s->x, X_LANE, 0);
    arm64_add(&s->x, X_X, X_X, l->x_step - PANEL_BYTES);
    arm64_add(&s->x, X_Y, X_Y, l->y_step - PANEL_BYTES);
    arm64_add(&s->x, X_RESIDUAL, X_RESIDUAL, l->residual_step - PANEL_BYTES);
    arm64_add(&s->x, X_MASKS, X_MASKS, SPARSE_MASKS * 2);
    arm64_subtract_set(&s->x, X_LEFT, X_LEFT, 1);
    loop_to(s, start);
}

static void write_block(Sparse *s, int64_t i) {
    SparseBlock *b = s->b = &s->blocks.all[i], *next = i + 1 < s->blocks.n ? b + 1 : NULL;
    s->n_used = 0;
    for (int64_t k = 0; k < s->l->n_sources; k++)
        if (sparse_nonzeros(s->l, b, k)) s->used[s->n_used++] = k;
    arm64_align(&s->x, LINE);
    b->at = s->x.n;
    begin_block(s, next);
    write_loop(s);
    if (next) {
        set(s, X_SCRATCH, i + 1);
        arm64_compare(&s->x, X_BLOCKS, X_SCRATCH);
        arm64_branch_if(&s->x, ARM64_AT_MOST, 1);
        arm64_branch(&s->x, next->at);
    }
    save(s, true);
    arm64_return(&s->x);
    arm64_align(&s->x, LINE);
    b->weights_at = s->x.n;
    for (int64_t to = s->n_weights + 2 * LANES; s->n_weights < to;) s->weights[s->n_weights++] = 0;
    arm64_bytes(&s->x, s->weights, (size_t)s->n_weights * 4);
    b->end = (s->x.n + LINE - 1) / LINE * LINE;
}

/* goes to the block that the call begins with, by a table of how far each is from the table */
static void write_entry(Sparse *s) {
    enum { TABLE = 9, TO = 10 };
    arm64_subtract_set(&s->x, ARM64_NONE, X_PANELS, 0);
    arm64_branch_if(&s->x, ARM64_GREATER, 1);
    arm64_return(&s->x);
    save(s, false);
    size_t address = s->x.n + 4 * 4, table = address + 4 * 4;
    arm64_address(&s->x, TABLE, table);
    arm64_load_offset(&s->x, TO, TABLE, X_BLOCKS);
    arm64_high_half(&s->x, X_BLOCKS);
    arm64_add_register(&s->x, TABLE, TABLE, TO);
    arm64_branch_register(&s->x, TABLE);
    for (int64_t i = 0; i < s->blocks.n; i++) arm64_word(&s->x, (uint32_t)(s->blocks.all[i].at - table));
}

static void write_code(Sparse *s) {
    s->x.n = 0;
    write_entry(s);
    for (int64_t i = 0; i < s->blocks.n; i++) write_block(s, i);
    arm64_align(&s->x, LINE);
}

Str sparse_encode_arm64(Arena *a, const Target *t, const SparseLayer *l) {
    Sparse s = {.l = l, .blocks = sparse_cut_rows(a, t, l, LATENCY)};
    s.weights = ARENA_ARRAY(a, s.blocks.most + ROWS + MASK_WORDS + 2 + 2 * LANES, float);
    s.used = ARENA_ARRAY(a, l->n_sources, int64_t);
    write_code(&s); /* counts, and finds where everything lies */
    s.x.bytes = arena_alloc(a, s.x.n);
    write_code(&s);
    return (Str){(const char *)s.x.bytes, s.x.n};
}
