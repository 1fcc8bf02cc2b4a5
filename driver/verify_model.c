/* A model without test data: compiled code against the reference kernels on the graph as it was read, on seeded inputs,
 * and where dims are open twice: at their maxima, and at other sizes. */
#include "driver/verify.h"
#include "eval/eval.h"
#include <string.h>

typedef struct ModelCheck {
    Verdict *verdict;
    Pipeline code, reference;
    Inputs inputs;
    Tensor *got, **want;
    int round;
    bool good;
} ModelCheck;

static int evaluate(void *arg) {
    ModelCheck *k = arg;
    int status = MCC_OK;
    if (!eval_graph(k->reference.ctx, k->reference.graph, k->inputs.in, k->want, &status)) {
        verdict_set(k->verdict, FAIL, ": the reference kernels could not run it");
        return BAD_MODEL;
    }
    if (status == MCC_OK) return DONE;
    verdict_set(k->verdict, FAIL, ": the reference kernels returned %s", call_status(status));
    return BAD_MODEL;
}

/* Appends to the verdict how far each output is off. */
static void compare(ModelCheck *k, int n) {
    Verdict *v = k->verdict;
    k->good = true;
    if (k->round == 0) v->text[0] = 0;
    for (int i = 0; i < n; i++) {
        Distance d;
        size_t used = strlen(v->text);
        bool same_form = compare_distance(&k->got[i], k->want[i], &d),
             good = same_form && d.relative_l2 <= compare_tolerance(k->want[i]->dtype);
        if (same_form)
            snprintf(v->text + used, sizeof v->text - used, "%s output %d: max abs %.3g, relative L2 %.3g",
                     used ? ";" : ":", i, d.max_abs, d.relative_l2);
        else
            snprintf(v->text + used, sizeof v->text - used, "%s output %d has other dims than the reference's",
                     used ? ";" : ":", i);
        k->good = k->good && good;
    }
    v->outcome = k->good ? PASS : FAIL;
}

static int check_round(ModelCheck *k) {
    const mcc_model *m = loaded_model(k->code.loaded);
    Arena *a = k->code.ctx->arena;
    Call call = {0};
    int result = inputs_choose(&k->inputs, k->code.graph, m, true, k->round ? SIZE_ANY : SIZE_MAXIMAL);
    if (result != DONE) {
        verdict_set(k->verdict, FAIL, ": no inputs for it");
        return result;
    }
    k->got = ARENA_ARRAY(a, m->n_outputs + 1, Tensor);
    k->want = ARENA_ARRAY(a, m->n_outputs + 1, Tensor *);
    k->good = false;
    if (verify_call(&k->code, &call, k->inputs.in, k->got, k->verdict) &&
        with_memory(k->reference.ctx, evaluate, k) == DONE)
        compare(k, m->n_outputs);
    call_free(&call);
    return k->good ? DONE : BAD_MODEL;
}

static bool has_open_dims(const Graph *g) {
    for (int i = 0; i < g->n_inputs; i++)
        if (!value_is_static(g->inputs[i])) return true;
    return false;
}

static int read_reference(void *arg) {
    ModelCheck *k = arg;
    int result = pipeline_read(&k->reference);
    return result == DONE ? pipeline_optimise(&k->reference) : result;
}

static int check(void *arg) {
    ModelCheck *k = arg;
    int result = inputs_read(&k->inputs, k->code.ctx, k->code.command);
    if (result != DONE) {
        verdict_set(k->verdict, FAIL, ": an input file cannot be used");
        return result;
    }
    if (!verify_compile(&k->code, k->verdict)) return BAD_MODEL;
    k->reference.ctx->opt.shapes = k->code.ctx->opt.shapes;
    k->reference.ctx->opt.n_shapes = k->code.ctx->opt.n_shapes;
    diag_to(k->reference.ctx, NULL);
    result = with_memory(k->reference.ctx, read_reference, k);
    progress_stage(NULL);
    if (result != DONE) {
        verdict_set(k->verdict, FAIL, ": it compiles, but not without optimisation");
        return result;
    }
    int rounds = has_open_dims(k->code.graph) ? 2 : 1;
    for (k->round = 0; k->round < rounds && result == DONE; k->round++) result = check_round(k);
    return result;
}

void verify_model(const Command *c, const Subject *s, Verdict *v) {
    Command plain = *c;
    plain.opt_level = 0;
    plain.tune = NULL;
    plain.dump_after = NULL;
    plain.time_passes = false;
    ModelCheck k = {.verdict = v, .code = {.command = c}, .reference = {.command = &plain}};
    k.code.target = k.reference.target = pipeline_target(c);
    k.code.ctx = pipeline_ctx(c, s->path);
    k.reference.ctx = pipeline_ctx(&plain, s->path);
    if (k.code.ctx && k.reference.ctx && k.code.target) {
        k.reference.ctx->opt.max_fold = SIZE_MAX;
        with_memory(k.code.ctx, check, &k);
    }
    if (k.code.ctx) pipeline_free(&k.code);
    if (k.reference.ctx) pipeline_free(&k.reference);
    ctx_free(k.code.ctx);
    ctx_free(k.reference.ctx);
}
