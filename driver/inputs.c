/* A model's inputs: from .npy files, the rest at random. A file's dims pin the open dims of its input, unless --max-dim
 * asks to leave dims open; dims that stay open get one size for each symbol, over all inputs. */
#include "driver/call.h"
#include "frontend/npy.h"
#include <string.h>

typedef struct Symbol {
    Dim dim;
    int64_t value;
} Symbol;
typedef struct Sizes { /* of the open dims */
    Symbol *symbols;
    int n;
    int size;
    uint64_t *state;
} Sizes;

static bool is_pinned(const Command *c, const char *name) {
    for (int i = 0; i < c->opt.n_shapes; i++)
        if (!strcmp(c->opt.shapes[i].name, name)) return true;
    return c->opt.n_max_dims > 0;
}

static void pin_shapes(Inputs *in, Ctx *ctx) {
    const Command *c = in->command;
    ShapePin *pins = ARENA_ARRAY(ctx->arena, c->opt.n_shapes + c->n_inputs, ShapePin);
    int n = c->opt.n_shapes;
    if (n) memcpy(pins, c->opt.shapes, sizeof *pins * (size_t)n);
    for (int i = 0; i < c->n_inputs; i++) {
        const Tensor *t = in->given[i];
        if (is_pinned(c, c->inputs[i].name)) continue;
        pins[n] = (ShapePin){.name = c->inputs[i].name, .rank = t->rank};
        memcpy(pins[n++].dims, t->dims, sizeof t->dims);
    }
    ctx->opt.shapes = pins;
    ctx->opt.n_shapes = n;
}

int inputs_read(Inputs *in, Ctx *ctx, const Command *c) {
    *in = (Inputs){.command = c, .state = (uint64_t)c->seed};
    in->given = ARENA_ARRAY(ctx->arena, c->n_inputs + 1, const Tensor *);
    Graph *holder = graph_new(ctx, NULL);
    for (int i = 0; i < c->n_inputs; i++) {
        const char *why;
        in->given[i] = npy_read(holder, c->inputs[i].path, &why);
        if (in->given[i]) continue;
        say_error("%s: %s", c->inputs[i].path, why);
        return BAD_USAGE;
    }
    pin_shapes(in, ctx);
    return DONE;
}

static Symbol *symbol(Sizes *s, Dim d) {
    for (int i = 0; i < s->n; i++)
        if (s->symbols[i].dim == d) return &s->symbols[i];
    return NULL;
}

static int64_t size_of(void *arg, Dim d) {
    Sizes *s = arg;
    Symbol *known = symbol(s, d);
    if (known) return known->value;
    int64_t low = d->lo > 1 ? d->lo : 1, high = d->hi, v = high;
    if (low > high) low = high;
    if (s->size == SIZE_ANY) v = low + (int64_t)(random_bits(s->state) % ((uint64_t)(high - low) + 1));
    s->symbols[s->n++] = (Symbol){d, v};
    return v;
}

static const Tensor *find_given(const Inputs *in, Str name, int *at) {
    const Command *c = in->command;
    for (*at = 0; *at < c->n_inputs; ++*at)
        if (str_is(name, c->inputs[*at].name)) return in->given[*at];
    return NULL;
}

static bool check_names(const Inputs *in, const Graph *g) {
    const Command *c = in->command;
    for (int i = 0; i < c->n_inputs; i++) {
        bool found = false;
        for (int j = 0; j < g->n_inputs && !found; j++) found = str_is(g->inputs[j]->name, c->inputs[i].name);
        if (found) continue;
        say_error("the model has no input '%s'", c->inputs[i].name);
        for (int j = 0; j < g->n_inputs; j++) say_note("it has '%s'", diag_name(g->ctx, g->inputs[j]->name));
        return false;
    }
    return true;
}

static const Tensor *take_given(const Inputs *in, Graph *holder, const Value *v, int at, Sizes *sizes) {
    const Tensor *t = npy_as(holder, in->given[at], v->type.dtype);
    const char *path = in->command->inputs[at].path;
    if (!t) {
        say_error("%s holds %s; the input is %s", path, dtype_name(in->given[at]->dtype), dtype_name(v->type.dtype));
        return NULL;
    }
    for (int i = 0; i < v->type.rank && i < t->rank; i++) {
        Dim d = v->type.dims[i];
        if (d->kind == DIM_SYMBOL && !symbol(sizes, d)) sizes->symbols[sizes->n++] = (Symbol){d, t->dims[i]};
    }
    return t;
}

static const Tensor *make_random(Inputs *in, Arena *a, const Value *v, Sizes *sizes) {
    int64_t dims[MCC_MAX_RANK];
    for (int i = 0; i < v->type.rank; i++)
        if (!dim_eval(v->type.dims[i], size_of, sizes, &dims[i]) || dims[i] < 0) return NULL;
    return random_tensor(a, v->type.dtype, v->type.rank, dims, &in->state);
}

int inputs_choose(Inputs *in, const Graph *g, const mcc_model *m, bool random, int size) {
    Graph *holder = graph_new(g->ctx, NULL);
    Arena *a = holder->arena;
    Sizes sizes = {
        .symbols = ARENA_ARRAY(a, g->n_inputs * MCC_MAX_RANK + 1, Symbol), .size = size, .state = &in->state};
    in->in = ARENA_ARRAY(a, m->n_inputs + 1, const Tensor *);
    if (m->n_inputs != g->n_inputs) {
        say_error("the code takes %d inputs, the model %d", m->n_inputs, g->n_inputs);
        return OUR_BUG;
    }
    if (!check_names(in, g)) return BAD_USAGE;
    for (int i = 0, at; i < g->n_inputs; i++)
        if (find_given(in, g->inputs[i]->name, &at) && !(in->in[i] = take_given(in, holder, g->inputs[i], at, &sizes)))
            return BAD_USAGE;
    for (int i = 0; i < g->n_inputs; i++) {
        if (in->in[i]) continue;
        if (random && (in->in[i] = make_random(in, a, g->inputs[i], &sizes))) continue;
        const char *name = diag_name(g->ctx, g->inputs[i]->name);
        if (random) say_error("the input '%s' is too large", name);
        else say_error("the input '%s' is missing: --input '%s=FILE.npy', or --random", name, name);
        return random ? BAD_MODEL : BAD_USAGE;
    }
    return DONE;
}
