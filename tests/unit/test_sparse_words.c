/* Sparse products of bytes as code, executed: words of four weights against plain sums in int32, over densities, sizes,
 * few rows, and rows in parts, each of which writes its own y. Needs a processor that runs the code. */
#include "tests/unit/executed.h"

enum { LANES = 16, LINE = 64, UNIT = 16 };
#define UNTOUCHED 0x12345678

static int32_t *random_words(Arena *a, int64_t n, double density) {
    int32_t *w = ARENA_ARRAY(a, n, int32_t);
    for (int64_t i = 0; i < n; i++) w[i] = random_bits() < density * 4294967296.0 ? (int32_t)random_bits() : 0;
    return w;
}

static int32_t dot(int32_t acc, uint32_t x, uint32_t w) {
    for (int i = 0; i < 32; i += 8) acc = (int32_t)((uint32_t)acc + (x >> i & 255) * (uint32_t)(int8_t)(w >> i & 255));
    return acc;
}

static void run(const Target *t, Arena *a, const SparseLayer *l, const uint32_t *x, int32_t *y, int64_t panels) {
    Str code = sparse_encode(a, t, l);
    SparseCode *f = load_code(code);
    if (!f) return; /* y stays untouched, which is a failure */
    int64_t parts = l->shares ? l->shares : 1, unit = l->shares ? l->unit : l->rows;
    int64_t most = (l->rows / unit + parts - 1) / parts * unit, blocks = sparse_blocks(t, most, false);
    for (int64_t i = 0; i < parts; i++) {
        char *own = (char *)y + l->rows / unit * i / parts * unit * (l->shares ? l->y_row : 0);
        f(x, own, NULL, NULL, panels, i * blocks | (i + 1) * blocks << 32, i == 0);
    }
    munmap((void *)(uintptr_t)f, code.n);
}

static void test_random(const Target *t, Ctx *ctx, int number) {
    static const double densities[] = {0, 0.01, 0.1, 0.2, 0.5, 1};
    Arena *a = arena_new(ctx);
    int64_t units = 1 + below(12), panels = 1 + below(6), sources = 1 + below(below(2) ? 20 : 300);
    bool in_parts = below(3) > 0;
    SparseLayer l = {.rows = in_parts ? units * UNIT : 1 + below(100), .n_sources = sources, .panels = 1 + below(6)};
    l.all_panels = below(2) ? panels : 1000;
    if (in_parts) l.unit = UNIT, l.shares = 1 + below(units);
    l.words = random_words(a, l.rows * sources, densities[below(6)]);
    l.word_bias = below(2) ? random_words(a, l.rows, 1) : NULL;
    SparseSource *s = ARENA_ARRAY(a, sources, SparseSource);
    for (int64_t i = 0; i < sources; i++) s[i].offset = i * LINE;
    l.sources = s;
    l.x_step = sources * LINE, l.y_row = LINE, l.y_step = l.rows * LINE;
    const uint32_t *x = (const uint32_t *)random_words(a, panels * sources * LANES, 1);
    int64_t n = panels * l.rows * LANES;
    int32_t *y = ARENA_ARRAY(a, n + LANES, int32_t), wrong = 0;
    for (int64_t i = 0; i < n + LANES; i++) y[i] = UNTOUCHED;
    check(sparse_fits(t, &l), "does not fit", number);
    run(t, a, &l, x, y, panels);
    for (int64_t i = 0; i < n; i++) {
        int64_t lane = i % LANES, row = i / LANES % l.rows, panel = i / LANES / l.rows;
        int32_t sum = l.word_bias ? l.word_bias[row] : 0;
        for (int64_t k = 0; k < sources; k++)
            sum = dot(sum, x[(panel * sources + k) * LANES + lane], (uint32_t)l.words[row * sources + k]);
        wrong += y[i] != sum;
    }
    check(!wrong, "differs from plain sums", number);
    for (int64_t i = 0; i < LANES; i++) check(y[n + i] == UNTOUCHED, "writes behind the last row", number);
    arena_free(a);
}

int main(void) {
    Ctx *ctx = ctx_new("sparse");
    const char *why;
    const Target *t = target_find("", "native", "", &why);
    if (!ctx || !t || !sparse_words(t)) return 77;
    const Target *spreads = target_find("x86_64-linux-gnu", "znver5", "", &why); /* code for it runs on others too */
    for (int i = 0; i < 200 && !failures; i++) test_random(i % 2 ? spreads : t, ctx, i);
    ctx_free(ctx);
    return failures != 0;
}
