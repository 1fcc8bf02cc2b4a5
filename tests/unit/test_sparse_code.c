/* Sparse products as code, executed: every form of a layer against plain sums in float64, over patterns, densities,
 * sizes, tails, masks, clamps and ranges of blocks. What may not be written must stay as it was, and the parts of a
 * call must do what the whole does. Needs a processor that runs the code. */
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "codegen/sparse.h"

static int failures;
static uint64_t state = 88172645463325252ull;

static uint32_t random_bits(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 32);
}
static int64_t below(int64_t n) { return (int64_t)(random_bits() % (uint64_t)n); }
static float random_float(void) { return (float)(int32_t)random_bits() * 0x1p-31f; }

static void check(bool ok, const char *what, int test) {
    if (ok) return;
    fprintf(stderr, "test %d: %s\n", test, what);
    failures++;
}

/* the code in memory that may be executed and no longer written */
static SparseCode *load_code(Str code) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (code.n + page - 1) / page * page;
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    memcpy(p, code.p, code.n);
    SparseCode *f = NULL;
    if (!mprotect(p, n, PROT_READ | PROT_EXEC)) memcpy(&f, &p, sizeof f);
    return f;
}

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
    bool planes = below(2);
    SparseSource *s = ARENA_ARRAY(c->a, l->n_sources, SparseSource);
    for (int64_t i = 0; i < l->n_sources; i++) {
        s[i].offset = planes ? i * pitch + (below(4) ? 0 : (below(3) - 1) * 4) : i * LANES * 4;
        s[i].mask = below(4) ? 0 : 1 + (int)below(SPARSE_MASKS - 1);
    }
    l->sources = s;
    l->x_step = planes ? LANES * 4 : l->n_sources * LANES * 4;
    l->y_step = l->residual_step = planes ? LANES * 4 : l->rows * LANES * 4;
    l->y_row = l->residual_row = planes ? pitch : LANES * 4;
    c->x_floats = l->n_sources * (pitch / 4) + c->panels * LANES + 2 * MARGIN;
    c->y_floats = l->rows * (pitch / 4) + MARGIN;
}

static void choose(Case *c) {
    static const int64_t rows[] = {1, 2, 7, 8, 15, 31, 32, 63, 100};
    SparseLayer *l = &c->l;
    l->rows = below(3) ? rows[below(9)] : 1 + below(130);
    l->n_sources = 1 + below(below(2) ? 20 : 300);
    c->panels = 1 + below(9);
    l->panels = 1 + below(9);
    l->weights = sparse_matrix(c->a, l->rows * l->n_sources);
    l->bias = below(2) ? random_floats(c->a, l->rows) : NULL;
    l->residual = below(2);
    l->low = below(2) ? -INFINITY : below(2) ? 0.0f : -0.5f;
    l->high = below(2) ? INFINITY : 0.75f;
    l->store = (SparseStore)below(3);
    l->store_mask = l->store == SPARSE_STORE_ALL ? 0 : 1 + (int)below(SPARSE_MASKS - 1);
    l->repeats = below(2);
    choose_layout(c);
    c->x = random_floats(c->a, c->x_floats) + MARGIN;
    c->residual = random_floats(c->a, c->y_floats);
    c->y = ARENA_ARRAY(c->a, c->y_floats, float);
    for (int64_t i = 0; i < c->y_floats; i++) c->y[i] = UNTOUCHED;
    c->masks = ARENA_ARRAY(c->a, c->panels * SPARSE_MASKS, uint16_t);
    for (int64_t i = 0; i < c->panels * SPARSE_MASKS; i++) c->masks[i] = (uint16_t)random_bits();
}

/* in two runs of blocks and two of panels, where there are as many */
static void call(const Case *c, SparseCode *f) {
    int64_t blocks = sparse_blocks(c->t, c->l.rows), cut[] = {0, below(blocks + 1), blocks},
            half[] = {0, below(c->panels + 1), c->panels};
    for (int p = 0; p < 2; p++)
        for (int b = 0; b < 2; b++) {
            int64_t from = half[p];
            if (cut[b] == cut[b + 1]) continue;
            f((const char *)c->x + from * c->l.x_step, (char *)c->y + from * c->l.y_step,
              (const char *)c->residual + from * c->l.residual_step, c->masks + from * SPARSE_MASKS, half[p + 1] - from,
              cut[b] | cut[b + 1] << 32);
        }
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
    SparseCode *f = load_code(code);
    check(f != NULL, "no executable memory", number);
    if (!f) return;
    call(&c, f);
    int64_t wrong = 0;
    for (int64_t row = 0; row < c.l.rows; row++)
        for (int64_t panel = 0; panel < c.panels; panel++)
            for (int lane = 0; lane < LANES; lane++)
                wrong += !right(&c, row, panel, lane, c.y[(row * c.l.y_row + panel * c.l.y_step) / 4 + lane]);
    check(wrong == 0, "differs from plain sums", number);
    for (int64_t i = c.y_floats - MARGIN; i < c.y_floats; i++)
        check(c.y[i] == UNTOUCHED, "writes behind the last row", number);
    munmap((void *)(uintptr_t)f, code.n);
    arena_free(c.a);
}

/* a NaN stays one through both clamps, infinities become the bounds */
static void test_special(const Target *t, Ctx *ctx) {
    Arena *a = arena_new(ctx);
    SparseSource source = {0, 0};
    float one = 1, y[LANES] = {0}, x[LANES] = {NAN, INFINITY, -INFINITY, 0.5f};
    SparseLayer l = {.rows = 1, .n_sources = 1, .weights = &one, .sources = &source, .low = 0, .high = 6, .panels = 1};
    SparseCode *f = load_code(sparse_encode(a, t, &l));
    check(f != NULL, "no executable memory", -1);
    if (f) f(x, y, NULL, NULL, 1, (int64_t)1 << 32);
    check(isnan(y[0]) && y[1] == 6 && y[2] == 0 && y[3] == 0.5f, "clamps", -1);
    y[0] = 1;
    if (f) f(x, y, NULL, NULL, 0, (int64_t)1 << 32);
    check(y[0] == 1, "no panels, but it writes", -1);
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

int main(void) {
    Ctx *ctx = ctx_new("sparse");
    const char *why;
    const Target *t = target_find("", "native", "", &why);
    if (!ctx || !t || !sparse_lanes(t)) return 77;
    for (int i = 0; i < 300; i++) test_random(t, ctx, i);
    test_special(t, ctx);
    test_limits(t);
    ctx_free(ctx);
    return failures != 0;
}
