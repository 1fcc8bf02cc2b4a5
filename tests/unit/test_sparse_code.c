/* Sparse products as code, executed: every form of a layer against plain sums in float64, over patterns, densities,
 * sizes, tails, masks, clamps and ranges of blocks. What may not be written must stay as it was, and the parts of a
 * call must do what the whole does. Needs a processor that runs the code; or, with arguments TRIPLE CPU FILE, writes
 * layers for tests/targets/sparse_runner.c, and with its RESULTS as a fourth one checks those. */
#include <math.h>
#include "tests/unit/executed.h"

static float random_float(void) { return (float)(int32_t)random_bits() * 0x1p-31f; }

enum { LANES = 16, MARGIN = 64 };
#define UNTOUCHED 12345.0f

typedef struct Case {
    SparseLayer l;
    const Target *t;
    Arena *a;
    int64_t panels;
    float *x, *y, *residual; /* x begins MARGIN floats in, since offsets may be negative */
    int64_t x_floats, y_floats;
    uint16_t *masks;
} Case;

static FILE *layers, *results; /* NULL: the code runs here */

static float *random_floats(Arena *a, int64_t n) {
    float *p = ARENA_ARRAY(a, n, float);
    for (int64_t i = 0; i < n; i++) p[i] = random_float();
    return p;
}

static float *sparse_matrix(Arena *a, int64_t n) {
    static const double densities[] = {0, 0.01, 0.1, 0.2, 0.5, 1};
    double density = densities[below(6)];
    float *w = random_floats(a, n);
    for (int64_t i = 0; i < n; i++)
        if (random_bits() >= density * 4294967296.0) w[i] = below(2) ? 0.0f : -0.0f;
    return w;
}

static void choose_layout(Case *c) {
    SparseLayer *l = &c->l;
    int64_t pitch = (c->panels * LANES + below(3) * 5) * 4; /* of planes; else panels lie one behind the other */
    bool planes = below(2), taps = below(2);                /* taps: several sources near one another */
    l->whole_lines = below(2);
    SparseSource *s = ARENA_ARRAY(c->a, l->n_sources, SparseSource);
    for (int64_t i = 0; i < l->n_sources; i++) {
        s[i].offset = planes ? i * pitch + (below(4) ? 0 : (below(3) - 1) * 4) : i * LANES * 4;
        if (planes && taps) s[i].offset = i / 6 * pitch + (i % 3 - 1 + i % 6 / 3 * 7 + (below(8) ? 0 : below(20))) * 4;
        s[i].mask = below(4) ? 0 : 1 + (int)below(SPARSE_MASKS - 1);
    }
    l->sources = s;
    l->x_step = planes ? LANES * 4 : l->n_sources * LANES * 4;
    l->y_step = l->residual_step = planes ? LANES * 4 : l->rows * LANES * 4;
    l->y_row = l->residual_row = planes ? pitch : LANES * 4;
    c->x_floats = l->n_sources * (pitch / 4) + c->panels * LANES + 2 * MARGIN;
    c->y_floats = l->rows * (pitch / 4) + MARGIN;
}

static float *at_a_line(float *p) {
    while ((uintptr_t)p % (LANES * sizeof *p)) p++;
    return p;
}

static void choose(Case *c) {
    static const int64_t rows[] = {1, 2, 7, 8, 15, 31, 32, 63, 100};
    SparseLayer *l = &c->l;
    l->rows = below(3) ? rows[below(9)] : 1 + below(130);
    l->n_sources = 1 + below(below(2) ? 20 : below(6) ? 300 : 900);
    c->panels = 1 + below(9);
    l->panels = 1 + below(9);
    l->all_panels = below(2) ? c->panels : 1000;
    l->weights = sparse_matrix(c->a, l->rows * l->n_sources);
    l->bias = below(2) ? random_floats(c->a, l->rows) : NULL;
    l->residual = below(2);
    l->low = below(2) ? -INFINITY : below(2) ? 0.0f : -0.5f;
    l->high = below(2) ? INFINITY : 0.75f;
    l->store = (SparseStore)below(3);
    l->store_mask = l->store == SPARSE_STORE_ALL ? 0 : 1 + (int)below(SPARSE_MASKS - 1);
    l->repeats = below(2);
    choose_layout(c);
    c->x = at_a_line(random_floats(c->a, c->x_floats + LANES)) + MARGIN;
    c->residual = random_floats(c->a, c->y_floats);
    c->y = ARENA_ARRAY(c->a, c->y_floats, float);
    for (int64_t i = 0; i < c->y_floats; i++) c->y[i] = UNTOUCHED;
    c->masks = ARENA_ARRAY(c->a, c->panels * SPARSE_MASKS, uint16_t);
    for (int64_t i = 0; i < c->panels * SPARSE_MASKS; i++) c->masks[i] = (uint16_t)random_bits();
}

typedef struct Call { /* bytes from where the arrays begin */
    int64_t x, y, residual, masks, panels, blocks;
} Call;

/* in two runs of blocks and two of panels, where there are as many */
static int cut_calls(const Case *c, Call *calls) {
    bool masked = false;
    for (int64_t i = 0; i < c->l.n_sources; i++) masked = masked || c->l.sources[i].mask;
    int64_t blocks = sparse_blocks(c->t, c->l.rows, masked), cut[] = {0, below(blocks + 1), blocks},
            half[] = {0, below(c->panels + 1), c->panels};
    int n = 0;
    for (int p = 0; p < 2; p++)
        for (int b = 0; b < 2; b++) {
            int64_t from = half[p];
            if (cut[b] == cut[b + 1]) continue;
            calls[n++] = (Call){from * c->l.x_step,        from * c->l.y_step,
                                from * c->l.residual_step, from * SPARSE_MASKS * (int64_t)sizeof(uint16_t),
                                half[p + 1] - from,        cut[b] | cut[b + 1] << 32};
        }
    return n;
}

static void call(const Case *c, Str code, const Call *calls, int n) {
    SparseCode *f = load_code(code);
    check(f != NULL, "no executable memory", -1);
    for (int i = 0; f && i < n; i++)
        f((const char *)c->x + calls[i].x, (char *)c->y + calls[i].y, (const char *)c->residual + calls[i].residual,
          c->masks + calls[i].masks / (int64_t)sizeof *c->masks, calls[i].panels, calls[i].blocks, i % 2);
    if (f) munmap((void *)(uintptr_t)f, code.n);
}

static void put(const void *p, int64_t bytes) {
    check(fwrite(p, 1, (size_t)bytes, layers) == (size_t)bytes, "file", -1);
}

static void write_layer(const Case *c, Str code, const Call *calls, int n) {
    int64_t masks = c->panels * SPARSE_MASKS * (int64_t)sizeof *c->masks;
    put((int64_t[]){(int64_t)code.n, c->x_floats * 4, c->y_floats * 4, c->y_floats * 4, masks, n, MARGIN * 4},
        7 * sizeof(int64_t));
    put(code.p, (int64_t)code.n);
    put(c->x - MARGIN, c->x_floats * 4);
    put(c->residual, c->y_floats * 4);
    put(c->y, c->y_floats * 4);
    put(c->masks, masks);
    put(calls, n * (int64_t)sizeof *calls);
}

/* false: there is nothing to check */
static bool execute(const Case *c, Str code) {
    Call calls[4];
    int n = cut_calls(c, calls);
    if (results) check(fread(c->y, 4, (size_t)c->y_floats, results) == (size_t)c->y_floats, "too few results", -1);
    else if (layers) write_layer(c, code, calls, n);
    else call(c, code, calls, n);
    return results || !layers;
}

static bool lane_counts(const Case *c, int mask, int64_t panel, int lane) {
    return !mask || c->masks[panel * SPARSE_MASKS + mask - 1] >> lane & 1;
}

static bool right(const Case *c, int64_t row, int64_t panel, int lane, float got) {
    const SparseLayer *l = &c->l;
    double sum = l->bias ? (double)l->bias[row] : 0, size = 1;
    for (int64_t s = 0; s < l->n_sources; s++) {
        const SparseSource *from = &l->sources[s];
        float w = l->weights[row * l->n_sources + s];
        if (w == 0 || !lane_counts(c, from->mask, panel, lane)) continue;
        double term = (double)w * (double)c->x[(from->offset + panel * l->x_step) / 4 + lane];
        sum += term;
        size += fabs(term);
    }
    if (l->residual) sum += (double)c->residual[(row * l->residual_row + panel * l->residual_step) / 4 + lane];
    sum = fmin(fmax(sum, (double)l->low), (double)l->high);
    if (l->store != SPARSE_STORE_ALL && !lane_counts(c, l->store_mask, panel, lane))
        return l->store == SPARSE_STORE_ZEROS ? got == 0 : got == UNTOUCHED;
    return fabs((double)got - sum) <= size * 1e-6;
}

static void test_random(const Target *t, Ctx *ctx, int number) {
    Case c = {.t = t, .a = arena_new(ctx)};
    choose(&c);
    check(sparse_fits(t, &c.l), "does not fit", number);
    Str code = sparse_encode(c.a, t, &c.l);
    int64_t wrong = 0;
    if (!execute(&c, code)) return arena_free(c.a);
    for (int64_t row = 0; row < c.l.rows; row++)
        for (int64_t panel = 0; panel < c.panels; panel++)
            for (int lane = 0; lane < LANES; lane++)
                wrong += !right(&c, row, panel, lane, c.y[(row * c.l.y_row + panel * c.l.y_step) / 4 + lane]);
    check(wrong == 0, "differs from plain sums", number);
    for (int64_t i = c.y_floats - MARGIN; i < c.y_floats; i++)
        check(c.y[i] == UNTOUCHED, "writes behind the last row", number);
    arena_free(c.a);
}

/* a NaN stays one through both clamps, infinities become the bounds */
static void test_special(const Target *t, Ctx *ctx) {
    float one = 1, values[LANES] = {NAN, INFINITY, -INFINITY, 0.5f};
    SparseSource source = {0, 0};
    Case c = {.t = t, .a = arena_new(ctx), .panels = 1, .x_floats = 2 * MARGIN, .y_floats = MARGIN};
    c.l = (SparseLayer){.rows = 1, .n_sources = 1, .weights = &one, .sources = &source, .high = 6, .panels = 1};
    c.x = ARENA_ARRAY(c.a, c.x_floats, float) + MARGIN;
    memcpy(c.x, values, sizeof values);
    c.y = ARENA_ARRAY(c.a, c.y_floats, float);
    c.residual = ARENA_ARRAY(c.a, c.y_floats, float);
    c.masks = ARENA_ARRAY(c.a, SPARSE_MASKS, uint16_t);
    Str code = sparse_encode(c.a, t, &c.l);
    if (execute(&c, code)) check(isnan(c.y[0]) && c.y[1] == 6 && c.y[2] == 0 && c.y[3] == 0.5f, "clamps", -1);
    c.y[0] = 1;
    c.panels = 0;
    if (execute(&c, code)) check(c.y[0] == 1, "no panels, but it writes", -1);
    arena_free(c.a);
}

static void test_limits(const Target *t) {
    float one = 1;
    SparseSource near = {0, 0}, far = {(int64_t)1 << 31, 0};
    SparseLayer l = {.rows = 1, .n_sources = 1, .weights = &one, .sources = &near, .panels = 1};
    const char *why;
    check(sparse_fits(t, &l), "fits", -2);
    check(!sparse_fits(target_find("x86_64-linux-gnu", "", "", &why), &l), "a target without such code", -2);
    l.sources = &far;
    check(!sparse_fits(t, &l), "too far for an instruction", -2);
    l.sources = &near;
    l.y_row = (int64_t)1 << 40;
    check(!sparse_fits(t, &l), "rows too far apart", -2);
}

int main(int n_args, char **args) {
    Ctx *ctx = ctx_new("sparse");
    const char *why;
    bool elsewhere = n_args > 3;
    const Target *t = target_find(elsewhere ? args[1] : "", elsewhere ? args[2] : "native", "", &why);
    if (!ctx || !t || !sparse_lanes(t)) return 77;
    if (n_args > 4) results = fopen(args[4], "rb");
    else if (elsewhere) layers = fopen(args[3], "wb");
    check(!elsewhere || results || layers, "no such file", -1);
    const Target *spreads = target_find("x86_64-linux-gnu", "znver5", "", &why); /* code for it runs on others too */
    for (int i = 0; i < 300 && !failures; i++)
        test_random(!elsewhere && t->vector_bits == 512 && i % 2 ? spreads : t, ctx, i);
    if (!failures) test_special(t, ctx);
    test_limits(t);
    if (layers && fclose(layers)) failures++;
    if (results) fclose(results);
    ctx_free(ctx);
    return failures != 0;
}
