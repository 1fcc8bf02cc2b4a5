/* Where values lie: what Concat joins is computed in its place, in time linear in its parts; slices that are one piece
 * of a value are views of it, others are copied; and random mixtures of both compute what the reference kernels
 * compute. */
#include <time.h>
#include "codegen/gen.h"
#include "tests/unit/compiled.h"

static void check(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "%s\n", what);
    failures++;
}

static Plan plan_of(Case *c) {
    const char *why;
    CodeOptions o = {.name = "m", .target = target_find("", "native", "", &why), .opt_level = 2};
    Plan p = {0};
    check(plan_memory(c->ctx, c->g, &o, &p), "the plan fails");
    return p;
}

static Value *join(Case *c, Value **parts, int n, int64_t axis) {
    Node *node = node_named(c, OP_Concat, parts, n, 1);
    node_set_int(node, "axis", axis);
    return result(c, node);
}

static Value *slice(Case *c, Value *x, int64_t axis, int64_t start, int64_t end, int64_t step) {
    return DO(c, Slice, x, INTS_OF(c, start), INTS_OF(c, end), INTS_OF(c, axis), INTS_OF(c, step));
}

static void check_many_parts(void) {
    enum { PARTS = 20000, SECONDS = 5 };
    static Value *parts[PARTS];
    Case c;
    case_begin(&c);
    Value *x = input(&c, "x", "1x4");
    for (int i = 0; i < PARTS; i++) parts[i] = DO(&c, Neg, x);
    Value *y = join(&c, parts, PARTS, 1);
    output(&c, "y", DO(&c, Abs, y));
    clock_t start = clock();
    Plan p = plan_of(&c);
    check((double)(clock() - start) / CLOCKS_PER_SEC < SECONDS, "a Concat of many parts takes long");
    check(p.joined[y->def->id], "a Concat of many parts is copied");
    for (int i = 0; i < PARTS; i++)
        check(p.loc[parts[i]->id].offset == p.loc[y->id].offset + (size_t)i * 16, "a part lies elsewhere");
    ctx_free(c.ctx);
}

static void check_slices(void) {
    Case c;
    case_begin(&c);
    Value *in = input(&c, "x", "1x16x3"), *x = DO(&c, Neg, in), *y[8];
    y[0] = slice(&c, x, 1, 4, 12, 1);
    y[1] = slice(&c, x, -2, -4, 100, 1);
    y[2] = slice(&c, DO(&c, Reshape, y[0], INTS_OF(&c, 4, 2, 3)), 0, 1, 3, 1);
    y[3] = slice(&c, in, 1, 2, 3, 1);  /* of the app's buffer, as little as it may be */
    y[4] = slice(&c, x, 1, 2, 3, 1);   /* too little to keep x alive for */
    y[5] = slice(&c, x, 2, 0, 2, 1);   /* not one piece */
    y[6] = slice(&c, x, 1, 15, 0, -1); /* backwards */
    y[7] = slice(&c, x, 1, 0, 16, 2);
    for (int i = 0; i < 8; i++) output(&c, arena_printf(c.ctx->arena, "y%d", i), DO(&c, Abs, y[i]));
    Plan p = plan_of(&c);
    size_t at = p.loc[x->id].offset;
    for (int i = 0; i < 8; i++)
        check(p.joined[y[i]->def->id] == (i < 4), i < 4 ? "a piece is copied" : "what is not a piece is a view");
    check(p.loc[y[0]->id].offset == at + 48 && p.loc[y[1]->id].offset == at + 144, "a piece lies elsewhere");
    check(p.loc[y[2]->id].offset == at + 72, "a piece of a piece lies elsewhere");
    check(p.loc[y[3]->id].kind == LOC_INPUT && p.loc[y[3]->id].offset == 24, "a piece of an input lies elsewhere");
    ctx_free(c.ctx);
}

/* pieces of what exists, joined and computed on, in any order; the last values are outputs */
static bool check_random(uint64_t seed) {
    enum { STEPS = 14 };
    static const char *const cpus[] = {"native", "x86-64"};
    Value *all[STEPS + 1];
    Case c;
    case_begin(&c);
    c.seed = seed * 7919 + 1;
    all[0] = input(&c, "x", "1x8x3");
    for (int i = 1; i <= STEPS; i++) {
        Value *x = all[pick(&c, i > 4 ? i - 4 : 0, i - 1)], *z = all[pick(&c, 0, i - 1)];
        int64_t n = x->type.dims[1]->value, from = pick(&c, 0, (int)n - 1), to = pick(&c, (int)from + 1, (int)n);
        int what = pick(&c, 0, 5);
        if (what < 3) all[i] = slice(&c, x, 1, from, to, 1);
        else if (what == 3 && n < 100) all[i] = join(&c, (Value *[]){x, z, DO(&c, Neg, x)}, 3, 1);
        else if (what == 4) all[i] = DO(&c, Sigmoid, DO(&c, MatMul, x, weights(&c, "3x3")));
        else all[i] = DO(&c, Abs, x);
    }
    for (int i = STEPS; i > STEPS - 3; i--) output(&c, arena_printf(c.ctx->arena, "y%d", i), DO(&c, Neg, all[i]));
    if (pick(&c, 0, 1)) output(&c, "direct", DO(&c, Identity, all[STEPS - 3]));
    const Tensor **in = random_inputs(&c, NULL);
    return is_near(&c, seed, cpus[seed % 2], compile_and_run(&c, cpus[seed % 2], in, evaluate(&c, in), OP_NONE));
}

int main(void) {
    check_many_parts();
    check_slices();
    return check_seeds(12, check_random) || failures;
}
