/* The runner: levels, dumps, bisection, errors, time. */
#include "tests/passes/passtest.h"

#define EXPECT(what) expect(what, #what, __LINE__)
static void expect(bool ok, const char *what, int line) {
    if (ok) return;
    fprintf(stderr, "%s:%d: %s\n", __FILE__, line, what);
    failures++;
}

typedef struct Run {
    Case c;
    PassCtx p;
    char *text;
    size_t size;
} Run;

static void begin(Run *r) {
    case_begin(&r->c);
    r->text = NULL;
    r->p = (PassCtx){
        .ctx = r->c.ctx, .opt_level = 2, .stop_after = -1, .verify = true, .dump = open_memstream(&r->text, &r->size)};
    Value *x = input(&r->c, "x", "2x3"), *sum[] = {x, DO(&r->c, Identity, x), x};
    output(&r->c, "y", DO(&r->c, Exp, result(&r->c, node_named(&r->c, OP_Sum, sum, 3, 1))));
}

static void end(Run *r) {
    ctx_free(r->c.ctx);
    free(r->text);
}

static int count(const Graph *g, Op op) {
    int n = 0;
    for (const Node *k = g->first; k; k = k->next) n += k->op == op;
    return n;
}

static int occurrences(const char *text, const char *of) {
    int n = 0;
    for (const char *p = text; (p = strstr(p, of)); p++) n++;
    return n;
}

static void check_levels(void) {
    Run r;
    begin(&r);
    r.p.opt_level = 0;
    EXPECT(passes_run(r.c.g, &r.p) && count(r.c.g, OP_Add) == 2 && count(r.c.g, OP_Identity) == 1 &&
           count(r.c.g, OP_Fused) == 0);
    fclose(r.p.dump);
    EXPECT(r.size == 0);
    end(&r);
    begin(&r);
    EXPECT(passes_run(r.c.g, &r.p) && count(r.c.g, OP_Fused) == 1 && !r.c.g->first->next);
    EXPECT(r.c.g->outputs[0]->n_uses == 1);
    fclose(r.p.dump);
    end(&r);
}

/* The number of the first step of this pass, as a dump of all names it; 0: there is none */
static int step_of(const char *text, const char *pass) {
    const char *end = strstr(text, pass), *at = end;
    while (at && at > text && *at != '#') at--;
    return at ? atoi(at + 1) : 0;
}

static void check_dumps(void) {
    Run r;
    char title[64];
    begin(&r);
    r.p.dump_after = "all";
    r.p.time = true;
    EXPECT(passes_run(r.c.g, &r.p));
    fclose(r.p.dump);
    EXPECT(strstr(r.text, "# 1: decompose\ngraph (%x: float32[2, 3]) -> (%y)\n"));
    EXPECT(strstr(r.text, "# 2: dead_code (unchanged)\n#") && strstr(r.text, " ms   1 x  decompose\n"));
    int step = step_of(r.text, ": remove_identity");
    snprintf(title, sizeof title, "# %d: remove_identity\ngraph", step);
    EXPECT(step > 2);
    end(&r);
    begin(&r);
    r.p.dump_after = "remove_identity";
    r.p.stop_after = step;
    EXPECT(passes_run(r.c.g, &r.p));
    fclose(r.p.dump);
    EXPECT(occurrences(r.text, "# ") >= 1 && !strncmp(r.text, title, strlen(title)));
    EXPECT(count(r.c.g, OP_Identity) == 0 && count(r.c.g, OP_Fused) == 0);
    end(&r);
    EXPECT(pass_known("cse") && pass_known("decompose") && !pass_known("csf"));
}

static void check_stops(void) {
    Run r;
    begin(&r);
    r.p.stop_after = 0;
    EXPECT(passes_run(r.c.g, &r.p) && count(r.c.g, OP_Sum) == 1);
    fclose(r.p.dump);
    end(&r);
    begin(&r); /* an error ends the run */
    diag_to(r.c.ctx, NULL);
    r.c.g->last->op = OP_Constant;
    r.p.verify = false;
    EXPECT(!passes_run(r.c.g, &r.p));
    fclose(r.p.dump);
    end(&r);
    begin(&r); /* a broken graph is found */
    diag_to(r.c.ctx, NULL);
    r.c.g->last->out[0]->type.rank = -1;
    r.p.opt_level = 0;
    EXPECT(!passes_run(r.c.g, &r.p));
    fclose(r.p.dump);
    EXPECT(strstr(r.text, "without a tensor type"));
    end(&r);
}

/* time is linear in the nodes: long chains of what passes rewrite */
static void check_long_chains(void) {
    Run r;
    begin(&r);
    Value *v = r.c.g->inputs[0];
    for (int i = 0; i < 20000; i++) {
        v = DO(&r.c, Identity, v);
        v = DO(&r.c, Transpose, v);
        v = DO(&r.c, Add, v, number(&r.c, 0));
        v = DO(&r.c, Exp, v);
    }
    output(&r.c, "z", v);
    fclose(r.p.dump);
    r.p.dump = stderr;
    r.p.verify = false;
    for (int i = 0; i < 8; i++) {
        static Pass *const passes[] = {pass_decompose,    pass_fold_const,  pass_remove_identity, pass_cse,
                                       pass_canonicalise, pass_merge_views, pass_sink_transpose,  pass_dead_code};
        passes[i](r.c.g, &r.p);
    }
    EXPECT(count(r.c.g, OP_Identity) == 0 && count(r.c.g, OP_Add) <= 2 && graph_verify(r.c.g, stderr));
    end(&r);
}

/* the graph that every pass finds something in */
static void fill(Case *c) {
    Value *x = input(c, "x", "1x4x6x6"), *w = weights(c, "4x4x1x1");
    Value *norm[] = {DO(c, Conv, x, DO(c, Neg, w)), weights(c, "4"), weights(c, "4"), weights(c, "4"),
                     const_scalar(c->g, DT_F32, 1)};
    norm[4] = DO(c, Abs, weights(c, "4"));
    Value *y = result(c, node_named(c, OP_BatchNormalization, norm, 5, 1));
    y = DO(c, Mul, y, DO(c, Sigmoid, y));
    y = DO(c, Transpose, DO(c, Reshape, DO(c, Identity, y), INTS_OF(c, 4, 36)));
    Value *d = DO(c, Sub, y, DO(c, ReduceMean, y, INTS_OF(c, 1)));
    Value *var = DO(c, ReduceMean, DO(c, Pow, d, number(c, 2)), INTS_OF(c, 1));
    output(c, "y", DO(c, Relu, DO(c, Div, d, DO(c, Sqrt, DO(c, Add, var, number(c, 0.5))))));
    output(c, "z", DO(c, Gather, DO(c, Shape, x), INTS_OF(c, 1)));
}

/* every allocation may fail: the work is given up, and everything is freed with the Ctx */
static void check_faults(void) {
    volatile long nth = 0;
    while (++nth < 2000) {
        Case c;
        MemTry t;
        case_begin(&c);
        fill(&c);
        PassCtx p = {.ctx = c.ctx, .opt_level = 2, .stop_after = -1, .verify = true};
        mem_fail_at(c.ctx, nth);
        if (mem_enter(c.ctx, &t), !setjmp(t.jump)) {
            bool ok = passes_run(c.g, &p);
            mem_leave(c.ctx, &t);
            if (!ok) failures++;
            mem_fail_at(c.ctx, 0);
            ctx_free(c.ctx);
            break;
        }
        ctx_free(c.ctx);
    }
    EXPECT(nth > 20 && nth < 2000);
}

int main(void) {
    check_levels();
    check_dumps();
    check_stops();
    check_long_chains();
    check_faults();
    return failures ? 1 : 0;
}
