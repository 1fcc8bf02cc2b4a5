/* The cheapest of all ways to put things into two states: against trying all of them; long chains; what must not be. */
#include "compress/quantize.h"
#include <math.h>

static int failures;
#define CHECK(...)                                                                                                     \
    ((__VA_ARGS__) ? (void)0 : (void)(failures++, printf("%s:%d: %s\n", __FILE__, __LINE__, #__VA_ARGS__)))

enum { MOST_THINGS = 12, MOST_PAIRS = 60 };
typedef struct Pair {
    int a, b;
    double cost;
} Pair;

static uint32_t state = 7;
static int below(int n) {
    state = state * 1664525 + 1013904223;
    return (int)((state >> 8) % (uint32_t)n);
}

static double cost_of(const Pair *pairs, int n, const bool *in_b) {
    double sum = 0;
    for (int i = 0; i < n; i++)
        if (!in_b[pairs[i].a] && in_b[pairs[i].b]) sum += pairs[i].cost;
    return sum;
}

static double least_cost(const Pair *pairs, int n, int things) {
    double least = (double)INFINITY;
    for (int bits = 0; bits < 1 << things; bits++) {
        bool in_b[CUT_THINGS + MOST_THINGS] = {[CUT_B] = true};
        for (int i = 0; i < things; i++) in_b[CUT_THINGS + i] = bits >> i & 1;
        least = fmin(least, cost_of(pairs, n, in_b));
    }
    return least;
}

static void check_random(Ctx *ctx, int things) {
    Pair pairs[MOST_PAIRS];
    bool in_b[CUT_THINGS + MOST_THINGS];
    int n = 0;
    Cut *c = cut_new(ctx->arena, CUT_THINGS + things);
    for (int i = 0; i < MOST_PAIRS; i++) {
        Pair p = {below(CUT_THINGS + things), below(CUT_THINGS + things), (double)below(50)};
        if (below(12) == 0 && p.a != CUT_A && p.b != CUT_B) p.cost = (double)INFINITY;
        if (p.a == p.b || (p.a == CUT_B && p.b == CUT_A)) continue;
        pairs[n++] = p;
        cut_add(c, p.a, p.b, p.cost);
    }
    cut_solve(c, in_b);
    CHECK(!in_b[CUT_A] && in_b[CUT_B]);
    CHECK(cost_of(pairs, n, in_b) == least_cost(pairs, n, things));
}

/* Things that pull to A and to B, ever less the further on: all of them change sides in one place. */
static void check_chain(Ctx *ctx) {
    enum { N = 20000 };
    bool *in_b = ARENA_ARRAY(ctx->arena, CUT_THINGS + N, bool);
    Cut *c = cut_new(ctx->arena, CUT_THINGS + N);
    for (int i = 0; i < N; i++) {
        cut_add(c, CUT_A, CUT_THINGS + i, i < N / 2 ? 3 : 1);
        cut_add(c, CUT_THINGS + i, CUT_B, 2);
        if (i) cut_add(c, CUT_THINGS + i - 1, CUT_THINGS + i, 5);
    }
    cut_solve(c, in_b);
    for (int i = 0; i < N; i++) CHECK(in_b[CUT_THINGS + i] == (i >= N / 2));
}

static void check_forced(Ctx *ctx) {
    bool in_b[CUT_THINGS + 3];
    Cut *c = cut_new(ctx->arena, CUT_THINGS + 3);
    cut_add(c, CUT_A, CUT_THINGS, (double)INFINITY); /* the first is in A, whatever it costs */
    cut_add(c, CUT_THINGS, CUT_B, 1e9);
    cut_add(c, CUT_THINGS, CUT_THINGS + 1, 4); /* dearer than what the second saves in B */
    cut_add(c, CUT_THINGS + 1, CUT_B, 3);
    cut_solve(c, in_b);
    CHECK(!in_b[CUT_THINGS] && !in_b[CUT_THINGS + 1]);
    CHECK(!in_b[CUT_THINGS + 2]); /* all the same: A */
}

int main(void) {
    Ctx *ctx = ctx_new("cut");
    for (int i = 0; i < 300; i++) check_random(ctx, 1 + i % MOST_THINGS);
    check_chain(ctx);
    check_forced(ctx);
    ctx_free(ctx);
    if (!failures) printf("cuts are the cheapest\n");
    return failures != 0;
}
