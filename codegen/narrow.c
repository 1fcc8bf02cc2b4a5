/* Products of floats with weights of 4 or 8 bits, mcc.NarrowMatMul. A row of x becomes integers of 24 bits, one fixed
 * point a segment, in three digits of 8 bits (runtime/kernels/digits.c); a digit times a word of weights is one
 * instruction where the target has it, and unpacking the weights once serves all digits of all rows of a tile. The sums
 * are exact in int32, so that what is left is as good as a product in f32. An x that is not finite makes its row NaN.
 * Scratch memory holds the digits of some rows: [rows][segments][digit][segment], then by segment their step, the sums
 * of digits, and the sum of all. */
#include "codegen/contract.h"

enum {
    DIGITS = 3,
    ROWS_AT_ONCE = 64 /* whose digits are in scratch memory */,
    FETCH = 4096 /* bytes ahead */,
    MAX_VECS = 4
};

typedef struct Narrow {
    Kernel *k;
    int lanes, vecs, bits, rows; /* rows of a tile */
    int64_t zero, group, segment, inner, cols;
    LLVMValueRef q, step, sum, total; /* in scratch memory */
    LLVMValueRef first;               /* row of the output that scratch memory begins with */
    Contraction c;                    /* its epilogue alone */
} Narrow;

/* ---- a tile ---- */

typedef struct Part { /* a tile: some vectors of a panel of `wide` columns, for `rows` rows from `row` of the scratch
                         memory on */
    int rows, vecs;
    int64_t wide;
    LLVMValueRef row, codes, scales, zeros, col;
    Tile digits[DIGITS], sums; /* of a segment as integers; of all */
    Tile group;                /* of a group's segments; only where it has several */
} Part;

static LLVMValueRef bytes_at(const Narrow *s, LLVMValueRef base, LLVMValueRef n) {
    return element_at(s->k, s->k->gen->i8, base, n);
}

static LLVMTypeRef i32_of(const Narrow *s) { return s->k->gen->i32; }

/* x's segment `segment` of row `row` of the tile, as a number of segments from the start of the scratch memory */
static LLVMValueRef segment_at(const Narrow *s, const Part *p, int row, LLVMValueRef segment) {
    return i_add(s->k, i_scale(s->k, i_plus(s->k, p->row, row), s->inner / s->segment), segment);
}

static LLVMValueRef number_at(const Narrow *s, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef at) {
    return vec_splat(s->k, vec_load_of(s->k, type, f32_at(s->k, base, at), 1, 4), s->lanes);
}

/* minus the zero point times the sum of the digits, where that is the same in all columns */
static void begin_segment(const Narrow *s, Part *p, LLVMValueRef segment) {
    Kernel *k = s->k;
    LLVMValueRef zero = vec_repeat(gen_i32(k->gen, (int)-s->zero), s->lanes);
    for (int d = 0; d < DIGITS; d++) {
        tile_begin_of(&p->digits[d], k, TILE_U8, i32_of(s), p->rows, p->vecs, s->lanes);
        for (int r = 0; r < p->rows; r++) {
            LLVMValueRef at = i_plus(k, i_scale(k, segment_at(s, p, r, segment), DIGITS), d);
            LLVMValueRef v = LLVMBuildMul(k->b, number_at(s, i32_of(s), s->sum, at), zero, "");
            for (int i = 0; i < p->vecs; i++) tile_put(&p->digits[d], r, i, v);
        }
    }
}

/* four neighbouring weights of each column, in each of the bytes one: the low ones, or the high ones of 4 bits */
static LLVMValueRef unpack(const Narrow *s, LLVMValueRef word, bool high) {
    Kernel *k = s->k;
    if (s->bits == 8) return word;
    if (high) word = LLVMBuildLShr(k->b, word, vec_repeat(gen_i32(k->gen, 4), s->lanes), "");
    return LLVMBuildAnd(k->b, word, vec_repeat(gen_i32(k->gen, 0x0f0f0f0f), s->lanes), "");
}

/* Weights of 4 bits are the same with and without a sign: as the target likes them. */
static bool codes_signed(const Narrow *s) {
    return s->bits == 4 && dot_flips(dot_form(s->k->gen->target, s->lanes), false);
}

/* the products of one word of each column, at channel `at` of the segment */
static void multiply_word(const Narrow *s, Part *p, LLVMValueRef segment, LLVMValueRef at, LLVMValueRef codes) {
    Kernel *k = s->k;
    LLVMValueRef words[MAX_VECS];
    for (int i = 0; i < p->vecs; i++) {
        LLVMValueRef from = f32_at(k, codes, gen_i64(k->gen, i * s->lanes));
        fetch_line(k, bytes_at(s, from, gen_i64(k->gen, FETCH)));
        words[i] = vec_load_of(k, i32_of(s), from, s->lanes, (unsigned)s->lanes * 4);
    }
    for (int half = 0; half < 8 / s->bits; half++)
        for (int i = 0; i < p->vecs; i++) {
            LLVMValueRef w = unpack(s, words[i], half);
            for (int r = 0; r < p->rows; r++) {
                LLVMValueRef first = i_scale(k, segment_at(s, p, r, segment), DIGITS * s->segment);
                for (int d = 0; d < DIGITS; d++) {
                    LLVMValueRef place = i_plus(k, i_add(k, first, at), d * s->segment + half * 4);
                    LLVMValueRef x = vec_load_of(k, i32_of(s), bytes_at(s, s->q, place), 1, 4);
                    LLVMValueRef sum = tile_get(&p->digits[d], r, i);
                    sum = dot_add(k, w, vec_splat(k, x, s->lanes), sum, s->lanes, codes_signed(s));
                    tile_put(&p->digits[d], r, i, sum);
                }
            }
        }
}

static LLVMValueRef as_float(const Narrow *s, LLVMValueRef v) {
    return LLVMBuildSIToFP(s->k->b, v, vec_type(s->k->gen, s->lanes), "");
}

/* the segment's sum into `to`, times its step and what of `by` there is for each vector */
static void end_segment(const Narrow *s, Part *p, LLVMValueRef segment, LLVMValueRef zeros, LLVMValueRef by, Tile *to) {
    Kernel *k = s->k;
    LLVMValueRef base = vec_const(k->gen, 256, s->lanes);
    for (int r = 0; r < p->rows; r++) {
        LLVMValueRef at = segment_at(s, p, r, segment), step = number_at(s, k->gen->f32, s->step, at);
        for (int i = 0; i < p->vecs; i++) {
            LLVMValueRef v = as_float(s, tile_get(&p->digits[0], r, i)), column = gen_i64(k->gen, i * s->lanes);
            for (int d = 1; d < DIGITS; d++)
                v = vec_mul_add(k, v, base, as_float(s, tile_get(&p->digits[d], r, i)), s->lanes);
            if (zeros) {
                LLVMValueRef z = LLVMBuildFNeg(k->b, vec_load(k, f32_at(k, zeros, column), s->lanes, 4), "");
                v = vec_mul_add(k, z, number_at(s, k->gen->f32, s->total, at), v, s->lanes);
            }
            if (by) v = LLVMBuildFMul(k->b, v, vec_load(k, f32_at(k, by, column), s->lanes, 4), "");
            tile_put(to, r, i, vec_mul_add(k, v, step, tile_get(to, r, i), s->lanes));
        }
    }
}

static void one_segment(const Narrow *s, Part *p, LLVMValueRef segment, LLVMValueRef codes, LLVMValueRef zeros,
                        LLVMValueRef by, Tile *to) {
    Kernel *k = s->k;
    int64_t each = 32 / s->bits;
    begin_segment(s, p, segment);
    For f = for_begin(k, gen_i64(k->gen, 0), gen_i64(k->gen, s->segment), each);
    multiply_word(s, p, segment, f.i, f32_at(k, codes, i_scale(k, i_div(k, f.i, each), p->wide)));
    for_end(k, &f);
    end_segment(s, p, segment, zeros, by, to);
}

/* all segments of a group, whose scales and zero points are these */
static void one_group(const Narrow *s, Part *p, LLVMValueRef group) {
    Kernel *k = s->k;
    int64_t segments = s->group / s->segment, words = s->segment * s->bits / 32 * p->wide;
    LLVMValueRef at = i_scale(k, group, p->wide), scales = f32_at(k, p->scales, at);
    LLVMValueRef zeros = p->zeros ? f32_at(k, p->zeros, at) : NULL;
    if (segments == 1) {
        one_segment(s, p, group, f32_at(k, p->codes, i_scale(k, group, words)), zeros, scales, &p->sums);
        return;
    }
    tile_begin(&p->group, k, p->rows, p->vecs, s->lanes);
    tile_fill(&p->group, NULL, 4);
    For f = for_count(k, segments);
    LLVMValueRef segment = i_add(k, i_scale(k, group, segments), f.i);
    one_segment(s, p, segment, f32_at(k, p->codes, i_scale(k, segment, words)), zeros, NULL, &p->group);
    for_end(k, &f);
    for (int r = 0; r < p->rows; r++)
        for (int i = 0; i < p->vecs; i++) {
            LLVMValueRef by = vec_load(k, f32_at(k, scales, gen_i64(k->gen, i * s->lanes)), s->lanes, 4);
            tile_put(&p->sums, r, i, vec_mul_add(k, tile_get(&p->group, r, i), by, tile_get(&p->sums, r, i), s->lanes));
        }
}

static void emit_tile(const Narrow *s, Part *p) {
    Kernel *k = s->k;
    LLVMValueRef none = gen_i64(k->gen, 0);
    tile_begin(&p->sums, k, p->rows, p->vecs, s->lanes);
    tile_fill(&p->sums, NULL, 4);
    For f = for_count(k, s->inner / s->group);
    one_group(s, p, f.i);
    for_end(k, &f);
    Point at = {.batch = none, .col = p->col, .space = {none, none, i_add(k, s->first, p->row)}};
    tile_store(&p->sums, &s->c.epilogue, &at, 1);
}

/* ---- panels ---- */

/* `vecs` vectors from vector `skip` of the panel on, for some rows */
static void emit_vectors(const Narrow *s, const Part *panel, int skip, int vecs, int rows, LLVMValueRef row) {
    Kernel *k = s->k;
    LLVMValueRef by = gen_i64(k->gen, skip * s->lanes);
    Part p = {.rows = rows, .vecs = vecs, .wide = panel->wide, .row = row};
    p.codes = f32_at(k, panel->codes, by);
    p.scales = f32_at(k, panel->scales, by);
    p.zeros = panel->zeros ? f32_at(k, panel->zeros, by) : NULL;
    p.col = i_add(k, panel->col, by);
    emit_tile(s, &p);
}

/* rows of the scratch memory from … to - 1, a multiple of the tile's */
static void emit_rows(const Narrow *s, const Part *panel, int vecs, int rows, LLVMValueRef from, LLVMValueRef to) {
    int most = rows > 1 ? (vecs + 1) / 2 : vecs; /* as many registers either way */
    For f = for_begin(s->k, from, to, rows);
    for (int skip = 0; skip < vecs; skip += most)
        emit_vectors(s, panel, skip, vecs - skip < most ? vecs - skip : most, rows, f.i);
    for_end(s->k, &f);
}

/* vecs vectors of columns from `col` on; before: columns of earlier panels */
static void emit_panel(const Narrow *s, int vecs, LLVMValueRef col, LLVMValueRef rows) {
    Kernel *k = s->k;
    int64_t groups = s->inner / s->group;
    LLVMValueRef numbers = i_scale(k, col, groups);
    Part p = {.wide = (int64_t)vecs * s->lanes, .col = col};
    p.codes = bytes_at(s, k->in[1], i_scale(k, col, s->inner * s->bits / 8));
    p.scales = f32_at(k, k->in[2], numbers);
    p.zeros = node_int(k->node, "zeros") ? f32_at(k, k->in[3], numbers) : NULL;
    LLVMValueRef whole = i_scale(k, i_div(k, rows, s->rows), s->rows);
    emit_rows(s, &p, vecs, s->rows, gen_i64(k->gen, 0), whole);
    if (s->rows > 1) emit_rows(s, &p, vecs, 1, whole, rows);
}

/* this chunk's panels, for the rows whose digits are in scratch memory */
static void emit_panels(const Narrow *s, LLVMValueRef rows) {
    Kernel *k = s->k;
    int64_t wide = (int64_t)s->vecs * s->lanes, full = s->cols / wide; /* of columns that all exist */
    int64_t left = (s->cols - full * wide + s->lanes - 1) / s->lanes;
    Range own = kernel_share(k, gen_i64(k->gen, full + (left > 0)), 1, k->chunks);
    if (full) {
        For f = for_begin(k, own.from, i_min(k, own.to, gen_i64(k->gen, full)), 1);
        emit_panel(s, s->vecs, i_scale(k, f.i, wide), rows);
        for_end(k, &f);
    }
    if (!left) return;
    If mine = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSGT, own.to, gen_i64(k->gen, full), ""));
    emit_panel(s, (int)left, gen_i64(k->gen, full * wide), rows);
    if_end(k, &mine);
}

/* ---- the kernel ---- */

static void make_digits(const Narrow *s, LLVMValueRef rows) {
    Kernel *k = s->k;
    Gen *g = k->gen;
    LLVMValueRef x = f32_at(k, k->in[0], i_scale(k, s->first, s->inner));
    LLVMValueRef args[7] = {
        x, i_scale(k, rows, s->inner / s->segment), gen_i64(g, s->segment), s->q, s->step, s->sum, s->total};
    LLVMTypeRef types[7];
    for (int i = 0; i < 7; i++) types[i] = LLVMTypeOf(args[i]);
    LLVMTypeRef type = LLVMFunctionType(g->void_type, types, 7, 0);
    LLVMValueRef fn = LLVMGetNamedFunction(g->module, "mcc_digits");
    if (!fn) fn = LLVMAddFunction(g->module, "mcc_digits", type);
    LLVMBuildCall2(k->b, type, fn, args, 7, "");
}

static int64_t most_rows(const Node *n) {
    double rows = largest_count(n->out[0]) / (double)n->out[0]->type.dims[n->out[0]->type.rank - 1]->hi;
    return rows < ROWS_AT_ONCE ? (int64_t)rows : ROWS_AT_ONCE;
}

static int64_t inner_of(const Node *n) { return n->in[0]->type.dims[n->in[0]->type.rank - 1]->value; }

static void read_node(Narrow *s, Kernel *k) {
    const Node *n = k->node;
    Gen *g = k->gen;
    *s =
        (Narrow){.k = k, .zero = node_int(n, "zero"), .group = node_int(n, "group"), .segment = node_int(n, "segment")};
    s->lanes = (int)node_int(n, "lanes");
    s->vecs = (int)node_int(n, "vecs");
    s->bits = (int)node_int(n, "bits");
    s->inner = inner_of(n);
    s->cols = n->out[0]->type.dims[n->out[0]->type.rank - 1]->value;
    s->rows = most_rows(n) > 1 ? 2 : 1;
    if (dot_flips(dot_form(g->target, s->lanes), codes_signed(s))) s->zero -= 128;
    int64_t rows = most_rows(n), segments = rows * (s->inner / s->segment);
    s->step = f32_at(k, k->scratch, gen_i64(g, 0));
    s->total = f32_at(k, s->step, gen_i64(g, segments));
    s->sum = f32_at(k, s->total, gen_i64(g, segments));
    s->q = f32_at(k, s->sum, gen_i64(g, segments * DIGITS));
    s->c.k = k;
    s->c.epilogue.cols = s->cols % s->lanes ? gen_i64(g, s->cols) : NULL;
    epilogue_operands(&s->c, n, node_int(n, "zeros") ? 4 : 3, true, row_operand);
}

static bool emit(Kernel *k) {
    Narrow s;
    read_node(&s, k);
    const Type *y = &k->node->out[0]->type;
    LLVMValueRef all = kernel_dims(k, y->dims, y->rank - 1);
    For f = for_begin(k, gen_i64(k->gen, 0), all, ROWS_AT_ONCE);
    s.first = f.i;
    LLVMValueRef rows = i_min(k, i_sub(k, all, f.i), gen_i64(k->gen, ROWS_AT_ONCE));
    make_digits(&s, rows);
    emit_panels(&s, rows);
    for_end(k, &f);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static bool scratch(Ctx *ctx, const Node *n, size_t *bytes) {
    int64_t rows = most_rows(n), inner = inner_of(n), size, numbers = inner / node_int(n, "segment") * (2 + DIGITS) * 4;
    if (mul_i64(inner, DIGITS, &size) && add_i64(size, numbers, &size) && mul_i64(size, rows, &size)) {
        *bytes = (size_t)size;
        return true;
    }
    diag_error(ctx, n, "the memory that its inputs' digits need overflows");
    return false;
}

static double work(const Node *n) {
    return largest_count(n->out[0]) / (double)node_int(n, "lanes") * (double)inner_of(n) * DIGITS / 4;
}

const Emitter narrow_emitter = {.form = "narrow product", .emit = emit, .scratch = scratch, .work = work};
