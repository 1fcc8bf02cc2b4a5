/* Random nodes on random inputs, hostile numbers among them. Whatever comes in, inference ends with types that hold
 * together or with a message; what it says of open dims agrees with what it says where those are constants; and what it
 * says of constant lists agrees with what the kernels' shape functions make of them. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "eval/eval.h"
#include "frontend/frontend.h"

enum { ROUNDS = 100000, SYMBOLS = 3, MAX_INPUTS = 9, MAX_OUTPUTS = 4 };

static uint64_t seed = 0x2545F4914F6CDD1Du;
static uint32_t next(uint32_t below) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % below;
}

/* ---- a recipe: one node with its inputs, to be built with open dims and again with constants ---- */

typedef struct Input {
    bool absent, constant;
    Dtype dtype;
    int rank;
    int64_t dims[MCC_MAX_RANK + 1]; /* -1 - k: symbol k */
    int64_t values[8];
    bool from_shape; /* the shape of the first input in place of values */
} Input;

typedef struct Recipe {
    Op op;
    int n_in, n_out;
    Input in[MAX_INPUTS];
    int64_t attr_seed;
    int declared_rank;
    int64_t declared[MCC_MAX_RANK];
} Recipe;

static const int64_t numbers[] = {0,  1,  2,  3,  4,   5,       6,         7,         8,         -1,
                                  -2, -3, 12, 16, 100, 1 << 20, INT32_MAX, INT64_MAX, INT64_MIN, -INT64_MAX};
enum { N_NUMBERS = sizeof numbers / sizeof *numbers, MODEST = 12 };

static int64_t number(void) { return numbers[next(next(6) ? MODEST : N_NUMBERS)]; }

static int64_t random_dim(void) {
    if (next(3) == 0) return -1 - (int64_t)next(SYMBOLS);
    return next(40) ? (int64_t)next(7) : (int64_t)1 << next(62);
}

static Dtype random_dtype(void) {
    static const Dtype common[] = {DT_F32, DT_F32, DT_F32, DT_I64, DT_BOOL, DT_I32, DT_U8};
    return next(8) ? common[next(7)] : (Dtype)(1 + next(DT_COUNT - 1));
}

/* An operator's later inputs look like its first in most cases, or are short lists of integers. */
static Input random_input(const Recipe *r, int i) {
    Input in = {.absent = i >= op_info(r->op)->min_in && next(3) == 0, .dtype = random_dtype(), .rank = (int)next(6)};
    if (i && next(2)) in = r->in[0];
    if (next(50) == 0) in.rank = (int)next(MCC_MAX_RANK + 1);
    for (int k = 0; k < in.rank; k++)
        if (i == 0 || next(4) == 0 || in.dims[k] == 0) in.dims[k] = random_dim();
    if (i && next(3) == 0) {
        in.dtype = next(5) ? DT_I64 : DT_F32;
        in.rank = next(4) != 0;
        in.dims[0] = next(5);
        in.constant = next(4) != 0;
        in.from_shape = !in.constant && next(2);
        for (int k = 0; k < 8; k++) in.values[k] = number();
    }
    return in;
}

static Recipe random_recipe(void) {
    Recipe r = {.op = (Op)(1 + next(OP_COUNT - 1)), .attr_seed = (int64_t)next(1u << 30)};
    while (op_has(r.op, OP_CONTROL) || op_info(r.op)->domain != ONNX) r.op = (Op)(1 + next(OP_COUNT - 1));
    const OpInfo *op = op_info(r.op);
    int most = op->max_in == VAR ? MAX_INPUTS : op->max_in;
    r.n_in = op->min_in + (int)next((uint32_t)(most - op->min_in + 1));
    r.n_out = op->min_out + (int)next((uint32_t)((op->max_out == VAR ? MAX_OUTPUTS : op->max_out) - op->min_out + 1));
    for (int i = 0; i < r.n_in; i++) r.in[i] = random_input(&r, i);
    if (op->flags & OP_VARIADIC)
        for (int i = 0; i < r.n_in; i++) r.in[i].absent = false;
    r.declared_rank = (int)next(MCC_MAX_RANK) - 2;
    for (int k = 0; k < r.declared_rank; k++) r.declared[k] = next(9);
    return r;
}

/* ---- building it ---- */

typedef struct Build {
    Ctx *ctx;
    Graph *g;
    const int64_t *values; /* of the symbols; NULL: they stay open */
    bool all_constant;     /* every input is a tensor, of zeros where it is no list */
    Dim symbols[SYMBOLS];
} Build;

static Dim build_dim(Build *b, int64_t d) {
    if (d >= 0) return dim_const(b->ctx, d);
    return b->values ? dim_const(b->ctx, b->values[-1 - d]) : b->symbols[-1 - d];
}

static Value *build_constant(Build *b, const Input *in) {
    int64_t n = in->rank ? in->dims[0] : 1;
    Tensor *t = tensor_new(b->g, in->dtype, in->rank, &n);
    for (int64_t i = 0; t && i < n; i++) {
        if (in->dtype == DT_I64) ((int64_t *)t->data)[i] = in->values[i];
        else ((float *)t->data)[i] = (float)in->values[i] / 4;
    }
    return t ? value_of_tensor(b->g, t) : NULL;
}

static Value *build_input(Build *b, const Recipe *r, int i) {
    const Input *in = &r->in[i];
    if (in->absent) return NULL;
    if (in->constant) return build_constant(b, in);
    Value *v = value_new(b->g, (Str){0});
    Dim dims[MCC_MAX_RANK];
    int64_t sizes[MCC_MAX_RANK];
    for (int k = 0; k < in->rank; k++) dims[k] = build_dim(b, in->dims[k]);
    if (b->all_constant) {
        for (int k = 0; k < in->rank; k++) sizes[k] = dims[k]->value;
        Tensor *t = tensor_new(b->g, in->dtype, in->rank, sizes);
        return t ? value_of_tensor(b->g, t) : NULL;
    }
    value_set_dims(v, in->dtype, in->rank, dims);
    return v;
}

static void build_attr(Node *n, const AttrSchema *s) {
    int64_t list[2 * MCC_MAX_RANK];
    int count = next(4) ? (int)next(5) : (int)next(2 * MCC_MAX_RANK + 1);
    switch (s->kind) {
    case ATTR_INT: node_set_int(n, s->name, number()); break;
    case ATTR_FLOAT: node_set_float(n, s->name, (double)number()); break;
    case ATTR_INTS:
        for (int i = 0; i < count; i++) list[i] = next(3) ? 1 + (int64_t)next(3) : number();
        node_set_ints(n, s->name, list, count);
        break;
    case ATTR_STRING: {
        char word[64];
        const char *w = s->words;
        for (uint32_t skip = next(4); skip && strchr(w, '|'); skip--) w = strchr(w, '|') + 1;
        snprintf(word, sizeof word, "%.*s", (int)strcspn(w, "|"), w);
        node_set_string(n, s->name, word);
        break;
    }
    default: break;
    }
}

static Node *build(Build *b, const Recipe *r) {
    Value *in[MAX_INPUTS];
    b->g = graph_new(b->ctx, NULL);
    for (int i = 0; i < SYMBOLS; i++) b->symbols[i] = dim_symbol(b->ctx, (Str){&"ABC"[i], 1}, 0, 6);
    for (int i = 0; i < r->n_in; i++) {
        in[i] = build_input(b, r, i);
        if (i && in[i] && r->in[i].from_shape && in[0] && !b->all_constant)
            in[i] = node_new(b->g, OP_Shape, NULL, in, 1, 1)->out[0];
    }
    Node *n = node_new(b->g, r->op, NULL, in, r->n_in, r->n_out);
    uint64_t saved = seed;
    seed = (uint64_t)r->attr_seed + 1;
    for (const AttrSchema *s = op_info(r->op)->attrs; s->name; s++)
        if (next(2)) build_attr(n, s);
    seed = saved;
    Dim dims[MCC_MAX_RANK];
    for (int k = 0; k < r->declared_rank; k++) dims[k] = dim_const(b->ctx, r->declared[k]);
    if (r->n_out && r->declared_rank >= 0) value_set_dims(n->out[0], DT_F32, r->declared_rank, dims);
    return n;
}

static bool infer(Build *b, const Recipe *r, const int64_t *values, bool all_constant, Node **node) {
    *b = (Build){.ctx = ctx_new("test"), .values = values, .all_constant = all_constant};
    b->ctx->opt.max_fold = 1 << 16;
    diag_to(b->ctx, NULL);
    *node = build(b, r);
    bool ok = true;
    for (int i = 0; i < r->n_in; i++) ok = ok && ((*node)->in[i] || r->in[i].absent); /* else it was too large */
    for (Node *n = b->g->first; n; n = n->next) ok = ok && node_infer(b->ctx, n);
    if (ok == (diag_errors(b->ctx) > 0)) abort();
    return ok;
}

/* ---- what must hold ---- */

static int64_t lookup(void *env, Dim d) {
    const Build *b = env;
    for (int i = 0; i < SYMBOLS; i++)
        if (b->symbols[i] == d) return b->values[i];
    abort(); /* a data dim: not asked for */
}

static const char *recipe_text(const Recipe *r) {
    static char text[400];
    int at = snprintf(text, sizeof text, "%s", op_info(r->op)->name);
    for (int i = 0; i < r->n_in; i++) {
        at += snprintf(text + at, sizeof text - (size_t)at, " %s%s[", r->in[i].absent ? "absent " : "",
                       dtype_name(r->in[i].dtype));
        for (int k = 0; k < r->in[i].rank; k++)
            at += snprintf(text + at, sizeof text - (size_t)at, "%lld ", (long long)r->in[i].dims[k]);
        at += snprintf(text + at, sizeof text - (size_t)at, "]");
    }
    return text;
}

static void check_whole(const Recipe *r, const Node *n) {
    for (int i = 0; i < n->n_out; i++) {
        const Type *t = &n->out[i]->type;
        bool whole = t->kind == TYPE_TENSOR && t->rank >= 0 && t->rank <= MCC_MAX_RANK && dtype_supported(t->dtype);
        for (int k = 0; whole && k < t->rank; k++) whole = t->dims[k] && t->dims[k]->hi >= 0;
        if (whole && value_content(n->out[i]) >= -1) continue;
        fprintf(stderr, "%s: output %d is not whole\n", recipe_text(r), i);
        abort();
    }
}

/* The entry's checks, evaluated */
static bool checks_hold(const Build *b) {
    for (int i = 0; i < b->ctx->n_equal; i++) {
        if (b->ctx->equal[i].in) continue;
        int64_t x, y;
        if (!dim_eval(b->ctx->equal[i].a, lookup, (void *)b, &x) ||
            !dim_eval(b->ctx->equal[i].b, lookup, (void *)b, &y) || x != y)
            return false;
    }
    return true;
}

static bool agrees(const Build *open, Dim d, Dim closed) {
    int64_t v, want;
    if (dim_has_data(d) || !dim_is_bounded(d) || !dim_is_const(closed, &want)) return true;
    return dim_eval(d, lookup, (void *)open, &v) && v == want && d->lo <= v && v <= d->hi;
}

/* What the run rejects: values, sizes beyond every bound, a reshaped or resized tensor without elements */
static bool decided_in_run(const Recipe *r, const Node *n, const Node *closed) {
    bool reshaped = r->op == OP_Reshape || r->op == OP_Resize;
    if (reshaped && dim_is(value_elements(closed->graph->ctx, closed->in[0]), 0)) return true;
    for (int i = 0; i < r->n_in; i++)
        if (r->in[i].from_shape) return true;
    for (int i = 0; i < n->n_out; i++)
        for (int k = 0; k < n->out[i]->type.rank; k++)
            if (dim_has_data(n->out[i]->type.dims[k]) || !dim_is_bounded(n->out[i]->type.dims[k])) return true;
    return false;
}

/* Open dims at `values`: the same as with constants, or a check at the entry that says why not. */
static bool compare(const Recipe *r, Build *open, const Node *n, int64_t *values) {
    Build closed;
    Node *m;
    bool ok = infer(&closed, r, values, false, &m), same = true;
    open->values = values;
    bool held = checks_hold(open);
    open->values = values;
    if (ok && held)
        for (int i = 0; i < n->n_out; i++) {
            const Value *v = n->out[i], *w = m->out[i];
            same = same && v->type.dtype == w->type.dtype && v->type.rank == w->type.rank;
            for (int k = 0; same && k < v->type.rank; k++) same = agrees(open, v->type.dims[k], w->type.dims[k]);
            for (int k = 0; same && k < value_content(v) && k < value_content(w); k++)
                same = !v->content[k] || !w->content[k] || agrees(open, v->content[k], w->content[k]);
        }
    bool explained = ok || !held || decided_in_run(r, n, m);
    ctx_free(closed.ctx);
    if (same && explained) return true;
    fprintf(stderr, "%s at A=%lld B=%lld C=%lld: %s\n", recipe_text(r), (long long)values[0], (long long)values[1],
            (long long)values[2], same ? "wrong only with constants" : "another shape with constants");
    for (int i = 0; i < n->n_out; i++)
        for (int k = 0; k < n->out[i]->type.rank; k++)
            fprintf(stderr, "  output %d: %s\n", i, dim_text(open->ctx, n->out[i]->type.dims[k]));
    return false;
}

/* The dims that inference tells from constant lists, and those that shape_<op> computes from them */
static bool kernel_agrees(const Recipe *r) {
    static const int64_t values[SYMBOLS] = {2, 3, 1};
    const Tensor *in[MAX_INPUTS];
    Tensor *out[MAX_OUTPUTS];
    Build b;
    Node *n;
    int status;
    bool same = true, fits = op_has(r->op, OP_DATA_SHAPE) && infer(&b, r, values, true, &n);
    if (!op_has(r->op, OP_DATA_SHAPE)) return true;
    for (int i = 0; fits && i < r->n_in; i++) in[i] = n->in[i] ? n->in[i]->constant : NULL;
    if (fits && r->op == OP_Reshape && dim_is(value_elements(b.ctx, n->in[0]), 0))
        fits = false; /* the kernel takes no -1 beside a 0 */
    if (fits && op_has(r->op, OP_MOVEMENT) && dtype_bits(n->in[0]->type.dtype) < 8)
        fits = false; /* a pass makes bytes of them before a kernel moves them */
    for (int i = 0; fits && i < n->n_out; i++) {
        size_t bytes;
        fits = value_is_static(n->out[i]) && value_max_bytes(b.ctx, n->out[i], &bytes) && bytes < 1 << 12;
    }
    if (fits && eval_node(b.ctx, n, in, out, &status)) {
        same = status == MCC_OK;
        for (int i = 0; same && i < n->n_out; i++)
            for (int k = 0; k < n->out[i]->type.rank; k++)
                same = same && dim_is(n->out[i]->type.dims[k], out[i]->dims[k]);
        if (!same)
            fprintf(stderr, "%s: the kernel says status %d, other dims than inference\n", recipe_text(r), status);
        for (int i = 0; !same && i < n->n_out; i++)
            for (int k = 0; k < n->out[i]->type.rank; k++)
                fprintf(stderr, "  output %d: %s, %lld\n", i, dim_text(b.ctx, n->out[i]->type.dims[k]),
                        status == MCC_OK ? (long long)out[i]->dims[k] : -1);
    }
    ctx_free(b.ctx);
    return same;
}

int main(void) {
    int inferred = 0, compared = 0, failed = 0;
    for (int round = 0; round < ROUNDS && failed < 10; round++) {
        Recipe r = random_recipe();
        Build open;
        Node *n;
        bool rank_by_values =
            r.op == OP_Squeeze && (r.n_in < 2 || r.in[1].absent); /* ours keeps an open dim that may be 1 */
        if (infer(&open, &r, NULL, false, &n) && !rank_by_values) {
            check_whole(&r, n);
            inferred++;
            for (int point = 0; point < 3; point++) {
                int64_t values[SYMBOLS];
                for (int i = 0; i < SYMBOLS; i++) values[i] = next(7);
                compared++;
                failed += !compare(&r, &open, n, values);
            }
        }
        ctx_free(open.ctx);
        failed += !kernel_agrees(&r);
    }
    printf("%d of %d nodes inferred, %d comparisons, %d failed\n", inferred, ROUNDS, compared, failed);
    return failed != 0 || inferred < ROUNDS / 50;
}
