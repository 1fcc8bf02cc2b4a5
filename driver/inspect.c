/* mcc inspect: what a model holds, before anything is done to it, or what an object says of itself. */
#include "driver/driver.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { OPEN_BOUND = 1024 }; /* of open dims that the command line does not speak of */

typedef struct Census {
    Ctx *ctx;
    int64_t of_op[OP_COUNT];
    int64_t nodes, elements;
    uint64_t bytes;
    const Tensor **seen;
    size_t n_seen, room;
} Census;

static void print_type(Ctx *ctx, const Type *t) {
    if (t->kind != TYPE_TENSOR) {
        printf("not a tensor");
        return;
    }
    printf("%s[", dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++) printf("%s%s", i ? "," : "", t->dims[i] ? dim_text(ctx, t->dims[i]) : "?");
    printf(t->rank < 0 ? "…]" : "]");
}

static void print_values(Ctx *ctx, const char *title, Value **values, int n) {
    printf("%s\n", title);
    for (int i = 0; i < n; i++) {
        printf("  \"%s\": ", diag_name(ctx, values[i]->name));
        print_type(ctx, &values[i]->type);
        putchar('\n');
    }
}

static void count_constant(Census *c, Arena *a, const Value *v) {
    if (!v || !v->constant) return;
    if (c->n_seen == c->room) {
        size_t room = c->room ? 2 * c->room : 256;
        c->seen = arena_grow(a, c->seen, c->room, room, sizeof *c->seen);
        c->room = room;
    }
    c->seen[c->n_seen++] = v->constant;
}

static void count_graph(Census *c, const Graph *g) {
    for (const Node *n = g->first; n; n = n->next) {
        c->nodes++;
        c->of_op[n->op]++;
        for (int i = 0; i < n->n_in; i++) count_constant(c, g->arena, n->in[i]);
        for (int i = 0; i < n->n_attrs; i++)
            if (n->attrs[i].graph) count_graph(c, n->attrs[i].graph);
    }
}

static int by_address(const void *a, const void *b) {
    uintptr_t x = (uintptr_t)*(const Tensor *const *)a, y = (uintptr_t)*(const Tensor *const *)b;
    return (x > y) - (x < y);
}

static void count_parameters(Census *c) {
    if (c->n_seen) qsort(c->seen, c->n_seen, sizeof *c->seen, by_address);
    for (size_t i = 0; i < c->n_seen; i++) {
        const Tensor *t = c->seen[i];
        int64_t n = 1;
        if (i && t == c->seen[i - 1]) continue;
        for (int d = 0; d < t->rank; d++) n *= t->dims[d];
        c->elements += n;
        c->bytes += t->bytes;
    }
}

static void print_operators(const Census *c) {
    bool done[OP_COUNT] = {false};
    printf("operators: %" PRId64 " nodes\n", c->nodes);
    for (;;) {
        int most = -1;
        for (int op = 1; op < OP_COUNT; op++)
            if (!done[op] && c->of_op[op] && (most < 0 || c->of_op[op] > c->of_op[most])) most = op;
        if (most < 0) return;
        done[most] = true;
        printf("  %6" PRId64 " %s\n", c->of_op[most], op_info((Op)most)->name);
    }
}

static int inspect_model(void *arg) {
    Pipeline *p = arg;
    Ctx *ctx = p->ctx;
    DimPin rest = {"*", OPEN_BOUND};
    if (!ctx->opt.n_max_dims) ctx->opt.max_dims = &rest, ctx->opt.n_max_dims = 1;
    int result = pipeline_read(p);
    progress_stage(NULL);
    ctx->opt.max_dims = p->command->opt.max_dims;
    ctx->opt.n_max_dims = p->command->opt.n_max_dims;
    if (result != DONE) return result;
    Census c = {.ctx = ctx};
    count_graph(&c, p->graph);
    count_parameters(&c);
    print_values(ctx, "inputs", p->graph->inputs, p->graph->n_inputs);
    print_values(ctx, "outputs", p->graph->outputs, p->graph->n_outputs);
    print_operators(&c);
    printf("constants: %" PRId64 " elements, %" PRIu64 " bytes\n", c.elements, c.bytes);
    return DONE;
}

int inspect_main(const Command *c) {
    if (!one_model(c)) return BAD_USAGE;
    if (object_is(c->files[0])) return object_inspect(c->files[0]);
    Pipeline p = {.command = c};
    if (!(p.ctx = pipeline_ctx(c, c->files[0]))) return BAD_MODEL;
    int result = with_memory(p.ctx, inspect_model, &p);
    pipeline_free(&p);
    ctx_free(p.ctx);
    return result;
}
