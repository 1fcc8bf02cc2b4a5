/* Winograd's F(m × m, 3 × 3) on channel blocks: for each run of places, where a place is m × m outputs, the inputs of
 * all of them are transformed into scratch, [side²][blocks][places][b]; then, for each panel of columns, side² products
 * of places × channels by channels × columns go to scratch, [side²][vectors][places][lanes], are transformed back and
 * stored through the epilogue. Places of the last run overlap those before, so that every run has as many; taps outside
 * of the input are read from a block of zeros. passes/lower_winograd.c transforms the weights. */
#include <math.h>
#include <string.h>
#include "codegen/contract.h"

enum {
    MAX_SIDE = 6,
    LINE = 16 /* floats: planes of scratch lie so much apart beyond their size, for the caches' sets */
};

typedef struct Shape { /* a Winograd node in numbers */
    int m, side, rows, vecs, unroll, in_block, lanes;
    int64_t run, channels, blocks, cols, in[2], out[2], pad[2], across, places; /* across: places in a row of them */
    int64_t in_plane, out_plane;                                                /* floats between planes of scratch */
} Shape;

typedef struct Winograd {
    Kernel *k;
    Shape s;
    Epilogue epilogue;
    LLVMValueRef x, w, bias, products, zeros, batch, start; /* start: the run's first place */
} Winograd;

static Shape shape_of(const Node *n) {
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    const int64_t *pads;
    node_ints(n, "pads", &pads);
    Shape s = {.m = (int)node_int(n, "m"),
               .rows = (int)node_int(n, "rows"),
               .vecs = (int)node_int(n, "vecs"),
               .unroll = (int)node_int(n, "unroll"),
               .in_block = (int)node_int(n, "in_block"),
               .lanes = (int)y->dims[4]->value,
               .run = node_int(n, "run"),
               .channels = node_int(n, "in_channels"),
               .in = {x->dims[2]->value, x->dims[3]->value},
               .out = {y->dims[2]->value, y->dims[3]->value},
               .pad = {pads[0], pads[1]}};
    s.side = s.m + 2;
    s.blocks = x->dims[1]->value;
    s.cols = y->dims[1]->value * s.lanes;
    s.across = (s.out[1] + s.m - 1) / s.m;
    s.places = (s.out[0] + s.m - 1) / s.m * s.across;
    if ((int64_t)s.vecs * s.lanes > s.cols) s.vecs = (int)(s.cols / s.lanes);
    s.in_plane = s.blocks * s.run * s.in_block + LINE;
    s.out_plane = (int64_t)s.vecs * s.run * s.lanes + LINE;
    return s;
}

static bool scratch_bytes(Ctx *ctx, const Node *n, size_t *bytes) {
    Shape s = shape_of(n);
    int64_t dims[2] = {s.side * s.side, s.in_plane + s.out_plane}, elements;
    if (product_i64(dims, 2, &elements) && dtype_bytes(DT_F32, elements, bytes)) return true;
    diag_error(ctx, n, "needs more scratch memory than there are addresses");
    return false;
}

/* ---- transforms of one line, by rows of the matrices that belong to the points ---- */

static LLVMValueRef add(Kernel *k, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFAdd(k->b, a, b, ""); }
static LLVMValueRef sub(Kernel *k, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFSub(k->b, a, b, ""); }

static LLVMValueRef times(Kernel *k, double a, LLVMValueRef x, int lanes) {
    return LLVMBuildFMul(k->b, vec_const(k->gen, a, lanes), x, "");
}
/* a·x + y */
static LLVMValueRef scaled(Kernel *k, double a, LLVMValueRef x, LLVMValueRef y, int lanes) {
    return a == 1 ? add(k, x, y) : vec_mul_add(k, vec_const(k->gen, a, lanes), x, y, lanes);
}

static void input_line(Kernel *k, int m, int lanes, LLVMValueRef *d, LLVMValueRef *t) {
    if (m == 2) {
        t[0] = sub(k, d[0], d[2]);
        t[1] = add(k, d[1], d[2]);
        t[2] = sub(k, d[2], d[1]);
        t[3] = sub(k, d[3], d[1]);
        return;
    }
    static const double square[2] = {0.5, 2}; /* of the points */
    double both = square[0] * square[1], sum = square[0] + square[1];
    t[0] = scaled(k, both, d[0], scaled(k, -sum, d[2], d[4], lanes), lanes);
    t[5] = scaled(k, both, d[1], scaled(k, -sum, d[3], d[5], lanes), lanes);
    for (int i = 0; i < 2; i++) {
        double other = square[1 - i], point = sqrt(square[i]);
        LLVMValueRef even = scaled(k, -other, d[2], d[4], lanes), odd = scaled(k, -other, d[1], d[3], lanes);
        t[1 + 2 * i] = scaled(k, point, odd, even, lanes);
        t[2 + 2 * i] = scaled(k, -point, odd, even, lanes);
    }
}

static void output_line(Kernel *k, int m, int lanes, LLVMValueRef *p, LLVMValueRef *y) {
    if (m == 2) {
        y[0] = add(k, add(k, p[0], p[1]), p[2]);
        y[1] = add(k, sub(k, p[1], p[2]), p[3]);
        return;
    }
    double a = sqrt(0.5), b = sqrt(2);
    LLVMValueRef s0 = add(k, p[1], p[2]), d0 = sub(k, p[1], p[2]), s1 = add(k, p[3], p[4]), d1 = sub(k, p[3], p[4]);
    y[0] = add(k, add(k, p[0], s0), s1);
    y[1] = scaled(k, a, d0, times(k, b, d1, lanes), lanes);
    y[2] = scaled(k, a * a, s0, times(k, b * b, s1, lanes), lanes);
    y[3] = scaled(k, a * a * a, d0, scaled(k, b * b * b, d1, p[5], lanes), lanes);
}

/* ---- inputs ---- */

typedef struct Corner { /* of a place's input: its first row and column, which may lie outside */
    LLVMValueRef row, col;
} Corner;

static Corner corner_of(const Winograd *w, LLVMValueRef place) {
    Kernel *k = w->k;
    const Shape *s = &w->s;
    LLVMValueRef across = gen_i64(k->gen, s->across);
    return (Corner){i_plus(k, i_scale(k, LLVMBuildUDiv(k->b, place, across, ""), s->m), -s->pad[0]),
                    i_plus(k, i_scale(k, LLVMBuildURem(k->b, place, across, ""), s->m), -s->pad[1])};
}

/* 0 <= at < n, as one comparison */
static LLVMValueRef is_inside(const Winograd *w, LLVMValueRef at, int64_t n) {
    return LLVMBuildICmp(w->k->b, LLVMIntULT, at, gen_i64(w->k->gen, n), "");
}

/* Loads side × side pixels, transforms them, stores them a plane each; `border`: some lie outside. */
static void transform_input(const Winograd *w, const Corner *c, LLVMValueRef x, LLVMValueRef to, bool border) {
    Kernel *k = w->k;
    const Shape *s = &w->s;
    LLVMValueRef t[MAX_SIDE][MAX_SIDE], line[MAX_SIDE], rows[MAX_SIDE], cols[MAX_SIDE];
    unsigned align = (unsigned)s->in_block * 4;
    for (int i = 0; border && i < s->side; i++) {
        rows[i] = is_inside(w, i_plus(k, c->row, i), s->in[0]);
        cols[i] = is_inside(w, i_plus(k, c->col, i), s->in[1]);
    }
    LLVMValueRef first = f32_at(k, x, i_scale(k, i_add(k, i_scale(k, c->row, s->in[1]), c->col), s->in_block));
    for (int j = 0; j < s->side; j++) {
        for (int i = 0; i < s->side; i++) {
            LLVMValueRef p = f32_at(k, first, gen_i64(k->gen, (i * s->in[1] + j) * s->in_block));
            if (border) p = LLVMBuildSelect(k->b, LLVMBuildAnd(k->b, rows[i], cols[j], ""), p, w->zeros, "");
            line[i] = vec_load(k, p, s->in_block, 4);
        }
        LLVMValueRef column[MAX_SIDE];
        input_line(k, s->m, s->in_block, line, column);
        for (int i = 0; i < s->side; i++) t[i][j] = column[i];
    }
    for (int i = 0; i < s->side; i++) {
        input_line(k, s->m, s->in_block, t[i], line);
        for (int j = 0; j < s->side; j++)
            vec_store(k, line[j], f32_at(k, to, gen_i64(k->gen, (i * s->side + j) * s->in_plane)), align);
    }
}

static void transform_inputs(const Winograd *w) {
    Kernel *k = w->k;
    const Shape *s = &w->s;
    For block = for_count(k, s->blocks), place = for_count(k, s->run);
    Corner c = corner_of(w, i_add(k, w->start, place.i));
    LLVMValueRef x = f32_at(k, w->x, i_scale(k, block.i, s->in[0] * s->in[1] * s->in_block));
    LLVMValueRef to = f32_at(k, k->scratch, i_scale(k, i_add(k, i_scale(k, block.i, s->run), place.i), s->in_block));
    LLVMValueRef inside =
        LLVMBuildAnd(k->b, is_inside(w, c.row, s->in[0] - s->side + 1 > 0 ? s->in[0] - s->side + 1 : 0),
                     is_inside(w, c.col, s->in[1] - s->side + 1 > 0 ? s->in[1] - s->side + 1 : 0), "");
    If f = if_begin(k, inside);
    transform_input(w, &c, x, to, false);
    if_else(k, &f);
    transform_input(w, &c, x, to, true);
    if_end(k, &f);
    for_end(k, &place);
    for_end(k, &block);
}

/* ---- products ---- */

/* rows × vecs of one plane: v at the first place of the tile, u at the plane's weights, `ahead` at what to fetch
 * meanwhile */
static void multiply_tile(const Winograd *w, Tile *t, LLVMValueRef v, LLVMValueRef u, LLVMValueRef ahead,
                          int64_t fetch) {
    Kernel *k = w->k;
    const Shape *s = &w->s;
    int64_t last = s->channels - (s->blocks - 1) * s->in_block, panel = (int64_t)t->vecs * s->lanes;
    TileSteps steps = {.row = gen_i64(k->gen, s->in_block),
                       .next = gen_i64(k->gen, panel),
                       .inner = 1,
                       .b_align = (unsigned)s->lanes * 4,
                       .unroll = s->unroll,
                       .mask = (uint32_t)((1ull << t->rows) - 1)};
    int64_t whole = last == s->in_block ? s->blocks : s->blocks - 1;
    tile_fill(t, NULL, 4);
    For f = for_count(k, whole);
    steps.a = f32_at(k, v, i_scale(k, f.i, s->run * s->in_block));
    steps.b = f32_at(k, u, i_scale(k, f.i, s->in_block * panel));
    steps.count = gen_i64(k->gen, s->in_block);
    steps.fetch = fetch;
    if (fetch) {
        LLVMValueRef done = i_scale(k, f.i, s->in_block / s->unroll * fetch);
        steps.ahead = LLVMBuildGEP2(k->b, k->gen->f32, ahead, &done, 1, "");
    }
    tile_steps(t, &steps);
    for_end(k, &f);
    steps.ahead = NULL;
    if (whole == s->blocks) return;
    steps.a = f32_at(k, v, gen_i64(k->gen, whole * s->run * s->in_block));
    steps.b = f32_at(k, u, gen_i64(k->gen, whole * s->in_block * panel));
    steps.count = gen_i64(k->gen, last);
    tile_steps(t, &steps);
}

static void multiply(const Winograd *w, int vecs, LLVMValueRef u) {
    Kernel *k = w->k;
    const Shape *s = &w->s;
    int rows = s->rows < s->run ? s->rows : (int)s->run;
    int64_t wide = (int64_t)vecs * s->lanes;
    Ahead ahead = ahead_of_panel(k->gen->target, s->side * s->side * s->channels * s->cols * 4, s->channels, wide,
                                 (s->run + rows - 1) / rows, s->unroll);
    For plane = for_count(k, s->side * s->side);
    LLVMValueRef v = f32_at(k, k->scratch, i_scale(k, plane.i, s->in_plane)),
                 to = f32_at(k, w->products, i_scale(k, plane.i, s->out_plane));
    u = f32_at(k, u, i_scale(k, plane.i, s->channels * vecs * s->lanes));
    For f = for_begin(k, gen_i64(k->gen, 0), gen_i64(k->gen, s->run), rows);
    LLVMValueRef at = s->run % rows ? i_min(k, f.i, gen_i64(k->gen, s->run - rows)) : f.i;
    Tile t;
    tile_begin(&t, k, rows, vecs, s->lanes);
    LLVMValueRef fetch = i_plus(k, i_scale(k, i_div(k, f.i, rows), ahead.tile), ahead.distance);
    fetch = LLVMBuildGEP2(k->b, k->gen->f32, u, &fetch, 1, ""); /* behind the last plane there may be nothing */
    multiply_tile(w, &t, f32_at(k, v, i_scale(k, at, s->in_block)), u, fetch, ahead.step);
    to = f32_at(k, to, i_scale(k, at, s->lanes));
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < vecs; c++)
            vec_store(k, tile_get(&t, r, c), f32_at(k, to, gen_i64(k->gen, (c * s->run + r) * s->lanes)),
                      (unsigned)s->lanes * 4);
    for_end(k, &f);
    for_end(k, &plane);
}

/* ---- outputs ---- */

/* `n` outputs of each row that lies inside of the output */
static void store_rows(const Winograd *w, LLVMValueRef y[MAX_SIDE][MAX_SIDE], const Point *at, int n) {
    Kernel *k = w->k;
    const Shape *s = &w->s;
    int64_t certain = s->out[0] % s->m ? s->out[0] % s->m : s->m; /* rows that every place has */
    for (int i = 0; i < s->m; i++) {
        Point p = *at;
        p.space[1] = i_plus(k, at->space[1], i);
        If f;
        if (i >= certain) f = if_begin(k, is_inside(w, p.space[1], s->out[0]));
        Tile t;
        tile_begin(&t, k, n, 1, s->lanes);
        for (int j = 0; j < n; j++) tile_put(&t, j, 0, y[i][j]);
        tile_store(&t, &w->epilogue, &p, 1);
        if (i >= certain) if_end(k, &f);
    }
}

static void transform_output(const Winograd *w, LLVMValueRef from, LLVMValueRef bias, const Point *at) {
    Kernel *k = w->k;
    const Shape *s = &w->s;
    LLVMValueRef t[MAX_SIDE][MAX_SIDE], y[MAX_SIDE][MAX_SIDE], line[MAX_SIDE];
    for (int j = 0; j < s->side; j++) {
        LLVMValueRef column[MAX_SIDE];
        for (int i = 0; i < s->side; i++)
            line[i] = vec_load(k, f32_at(k, from, gen_i64(k->gen, (i * s->side + j) * s->out_plane)), s->lanes,
                               (unsigned)s->lanes * 4);
        output_line(k, s->m, s->lanes, line, column);
        for (int i = 0; i < s->m; i++) t[i][j] = column[i];
    }
    for (int i = 0; i < s->m; i++) {
        output_line(k, s->m, s->lanes, t[i], y[i]);
        for (int j = 0; bias && j < s->m; j++) y[i][j] = add(k, y[i][j], bias);
    }
    int last = (int)(s->out[1] % s->m);
    If f;
    if (last) {
        f = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSGT, i_plus(k, at->space[2], s->m), gen_i64(k->gen, s->out[1]), ""));
        store_rows(w, y, at, last);
        if_else(k, &f);
    }
    store_rows(w, y, at, s->m);
    if (last) if_end(k, &f);
}

static void transform_outputs(const Winograd *w, int vecs, LLVMValueRef col) {
    Kernel *k = w->k;
    const Shape *s = &w->s;
    For v = for_count(k, vecs);
    LLVMValueRef column = i_add(k, col, i_scale(k, v.i, s->lanes));
    LLVMValueRef bias = w->bias ? vec_load(k, f32_at(k, w->bias, column), s->lanes, (unsigned)s->lanes * 4) : NULL;
    For place = for_count(k, s->run);
    Corner c = corner_of(w, i_add(k, w->start, place.i));
    Point at = {.batch = w->batch,
                .col = column,
                .space = {gen_i64(k->gen, 0), i_plus(k, c.row, s->pad[0]), i_plus(k, c.col, s->pad[1])}};
    LLVMValueRef from = i_scale(k, i_add(k, i_scale(k, v.i, s->run), place.i), s->lanes);
    transform_output(w, f32_at(k, w->products, from), bias, &at);
    for_end(k, &place);
    for_end(k, &v);
}

/* ---- the whole ---- */

static void emit_panels(const Winograd *w, int vecs, Range panels, int64_t first) {
    Kernel *k = w->k;
    const Shape *s = &w->s;
    For f = for_begin(k, panels.from, panels.to, 1);
    LLVMValueRef col = i_plus(k, i_scale(k, f.i, (int64_t)vecs * s->lanes), first);
    multiply(w, vecs, f32_at(k, w->w, i_scale(k, col, s->side * s->side * s->channels)));
    transform_outputs(w, vecs, col);
    for_end(k, &f);
}

/* Chunks share out runs of places and panels of columns. A chunk of columns transforms all inputs of its runs again:
 * some 216 operations for a block of channels at a place, against side² · channels · vectors of columns in the
 * products. */
static Grid grid_of(const Shape *s, int chunks) {
    int64_t runs = (s->places + s->run - 1) / s->run, wide = (int64_t)s->vecs * s->lanes;
    double repeated = 6.0 * s->lanes / ((double)s->in_block * (double)s->cols);
    return grid_choose(chunks, runs, (s->cols + wide - 1) / wide, repeated, 0.02);
}

static int most_chunks(const Node *n) {
    enum { MANY = 8, FEW = 4 };
    Shape s = shape_of(n);
    return (s.places + s.run - 1) / s.run >= MANY ? MANY : FEW;
}

static void emit_runs(Winograd *w) {
    Kernel *k = w->k;
    const Shape *s = &w->s;
    int64_t wide = (int64_t)s->vecs * s->lanes, full = s->cols / wide, left = s->cols % wide / s->lanes;
    LLVMValueRef whole = gen_i64(k->gen, full), panels = gen_i64(k->gen, full + (left > 0));
    Grid grid = grid_of(s, k->chunks);
    Range runs = kernel_share(k, gen_i64(k->gen, (s->places + s->run - 1) / s->run), grid.cols, grid.rows),
          cols = kernel_share(k, panels, 1, grid.cols);
    For f = for_begin(k, runs.from, runs.to, 1);
    LLVMValueRef start = i_scale(k, f.i, s->run);
    w->start = s->places % s->run ? i_min(k, start, gen_i64(k->gen, s->places - s->run)) : start;
    transform_inputs(w);
    emit_panels(w, s->vecs, (Range){i_min(k, cols.from, whole), i_min(k, cols.to, whole)}, 0);
    Range rest = {i_sub(k, i_max(k, cols.from, whole), whole), i_sub(k, i_max(k, cols.to, whole), whole)};
    if (left) emit_panels(w, (int)left, rest, full * wide);
    for_end(k, &f);
}

static double work_of(const Node *n) {
    Shape s = shape_of(n);
    double products = (double)(s.side * s.side * s.places * s.channels) * (double)(s.cols / s.lanes);
    return products * (double)n->out[0]->type.dims[0]->hi;
}

static bool emit_winograd(Kernel *k) {
    static const float zeros[64];
    const Node *n = k->node;
    const Value *y = n->out[0];
    Winograd w = {.k = k, .s = shape_of(n), .w = k->in[1], .bias = k->in[2]};
    w.products = f32_at(k, k->scratch, gen_i64(k->gen, w.s.side * w.s.side * w.s.in_plane));
    w.zeros = gen_bytes(k->gen, zeros, (size_t)w.s.in_block * 4, (unsigned)w.s.in_block * 4);
    w.epilogue.body = n->body;
    w.epilogue.operands = ARENA_ARRAY(k->gen->ctx->arena, n->n_in, Operand);
    w.epilogue.out = blocked_operand(k, y, y, k->out[0], false);
    for (int i = 3; i < n->n_in; i++) w.epilogue.operands[i - 3] = blocked_operand(k, n->in[i], y, k->in[i], false);
    For batch = for_begin(k, gen_i64(k->gen, 0), kernel_dim(k, y->type.dims[0]), 1);
    w.batch = batch.i;
    w.x = f32_at(k, k->in[0], i_scale(k, batch.i, w.s.blocks * w.s.in[0] * w.s.in[1] * w.s.in_block));
    emit_runs(&w);
    for_end(k, &batch);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

const Emitter winograd_emitter = {.form = "Winograd convolution",
                                  .emit = emit_winograd,
                                  .scratch = scratch_bytes,
                                  .work = work_of,
                                  .most_chunks = most_chunks};
