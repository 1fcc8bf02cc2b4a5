/* One node on its reference kernel. Output dtypes and dims come from inference on a shadow of the node, whose inputs
 * are the concrete tensors; where dims depend on tensor values, from shape_<op>. Nothing of the shadow outlives the
 * call. */
#include "eval/eval.h"
#include "eval/internal.h"
#include <assert.h>
#include <string.h>

typedef struct Call { /* one evaluation under way */
    Ctx *ctx;
    const Node *node;
    Node *shadow;
    const EvalEnv *env;
    mcc_arg *args; /* inputs, then outputs */
    int n_in;
    int64_t words[MAX_ATTR_WORDS];
} Call;

static void set_arg(mcc_arg *a, const Tensor *t) {
    if (!t) return;
    *a = (mcc_arg){.data = (void *)t->data, .dtype = (int32_t)t->dtype, .rank = t->rank};
    memcpy(a->dims, t->dims, sizeof a->dims);
}

static Value *shadow_input(Graph *g, const Tensor *t) {
    Value *v = value_new(g, (Str){0});
    Dim dims[MCC_MAX_RANK];
    for (int i = 0; i < t->rank; i++) dims[i] = dim_const(g->ctx, t->dims[i]);
    if (t->data || t->bytes == 0) value_set_tensor(g, v, t);
    else value_set_dims(v, t->dtype, t->rank, dims); /* dims alone: OP_SHAPE_ONLY */
    return v;
}

static bool make_shadow(Call *c, Graph *g, const Tensor *const *in) {
    const Node *n = c->node;
    Value **values = ARENA_ARRAY(g->arena, n->n_in + 1, Value *);
    for (int i = 0; i < n->n_in; i++) values[i] = n->in[i] && in[i] ? shadow_input(g, in[i]) : NULL;
    Node *s = c->shadow = node_new(g, n->op, NULL, values, n->n_in, n->n_out);
    s->name = n->name;
    s->index = n->index;
    s->attrs = n->attrs;
    s->n_attrs = n->n_attrs;
    for (int i = 0; i < n->n_out; i++) {
        if (n->out[i]) s->out[i]->type = n->out[i]->type;
        else s->out[i] = NULL;
    }
    return node_infer(c->ctx, s);
}

/* ConstantOfShape's fill and a Table's table are inputs of their kernels that the nodes have as attributes. */
static void add_hidden(Call *c, Arena *a) {
    const Attr *value = node_attr(c->node, c->node->op == OP_Table ? "table" : "value");
    if (value && value->tensor) {
        set_arg(&c->args[1], value->tensor);
        return;
    }
    c->args[1] = (mcc_arg){.data = arena_alloc(a, sizeof(float)), .dtype = DT_F32, .rank = 1, .dims = {1}};
}

static void fill_args(Call *c, Arena *a, const Tensor *const *in) {
    const Node *n = c->node;
    bool hidden = n->op == OP_ConstantOfShape || n->op == OP_Table;
    c->n_in = n->n_in + hidden;
    c->args = ARENA_ARRAY(a, c->n_in + n->n_out + 1, mcc_arg);
    for (int i = 0; i < n->n_in; i++) set_arg(&c->args[i], n->in[i] ? in[i] : NULL);
    if (hidden) add_hidden(c, a);
    for (int i = 0; i < n->n_out; i++) {
        const Value *v = c->shadow->out[i];
        if (v) c->args[c->n_in + i] = (mcc_arg){.dtype = (int32_t)v->type.dtype, .rank = v->type.rank};
    }
    node_attr_words(n, c->words);
    mcc_attr header = {.args = {c->n_in, n->n_out}};
    memcpy(c->words, &header, sizeof header);
}

/* the argument behind the outputs of OP_SCRATCH */
static bool add_scratch(Call *c) {
    size_t bytes;
    if (!op_has(c->node->op, OP_SCRATCH)) return true;
    if (!node_scratch(c->shadow, &bytes) || bytes > c->ctx->opt.max_fold) {
        diag_error(c->ctx, c->node, "cannot be evaluated: it needs too much memory");
        return false;
    }
    c->args[c->n_in + c->node->n_out] = (mcc_arg){.data = arena_alloc(c->shadow->graph->arena, bytes)};
    return true;
}

typedef struct Search {
    const EvalEnv *env;
    bool failed; /* a symbol was not found */
} Search;

static int64_t look_up(void *arg, Dim symbol) {
    Search *s = arg;
    for (const EvalEnv *env = s->env; env; env = env->outer)
        for (int i = 0; i < env->n; i++)
            if (env->symbols[i].dim == symbol) return env->symbols[i].value;
    s->failed = true;
    return 0;
}

bool eval_dim(const EvalEnv *env, Dim d, int64_t *size) {
    Search s = {.env = env};
    return d && dim_eval(d, look_up, &s, size) && !s.failed && *size >= 0;
}

/* Dims that inference knows, or that are expressions over symbols of known size. */
static bool fill_dims(const Call *c, int i) {
    const Value *v = c->shadow->out[i];
    int64_t *dims = c->args[c->n_in + i].dims;
    for (int k = 0; k < v->type.rank; k++) {
        if (!eval_dim(c->env, v->type.dims[k], &dims[k])) {
            diag_error(c->ctx, c->node, "cannot be evaluated: dim %d of output %d is not known", k, i);
            return false;
        }
    }
    return true;
}

static bool find_dims(Call *c, const EvalKernels *k, int *status) {
    for (int i = 0; i < c->node->n_out; i++) {
        const Value *v = c->shadow->out[i];
        if (v && (v->type.kind != TYPE_TENSOR || v->type.rank < 0)) {
            diag_error(c->ctx, c->node, "cannot be evaluated: the rank of output %d is not known", i);
            return false;
        }
        if (v && !k->shape && !fill_dims(c, i)) return false;
    }
    if (k->shape) *status = k->shape(c->args, (const mcc_attr *)c->words);
    return true;
}

static bool run(Call *c, Graph *home, const Tensor *const *in, Tensor **out, int *status) {
    const EvalKernels *k = eval_kernels(c->node->op);
    fill_args(c, c->shadow->graph->arena, in);
    if (!k->run) {
        diag_error(c->ctx, c->node, "cannot be evaluated: the operator has no kernel of its own");
        return false;
    }
    if (!add_scratch(c) || !find_dims(c, k, status)) return false;
    if (*status != MCC_OK) return true;
    for (int i = 0; i < c->node->n_out; i++) {
        mcc_arg *a = &c->args[c->n_in + i];
        if (!c->shadow->out[i]) continue;
        out[i] = tensor_new(home, (Dtype)a->dtype, a->rank, a->dims);
        if (!out[i]) return false;
        a->data = (void *)out[i]->data;
    }
    *status = k->run(c->args, (const mcc_attr *)c->words);
    return true;
}

bool eval_node_in(Ctx *ctx, const Node *n, const Tensor *const *in, Tensor **out, int *status, Graph *home,
                  const EvalEnv *env) {
    Graph scratch = {.ctx = ctx, .arena = arena_new(ctx)};
    Call c = {.ctx = ctx, .node = n, .env = env};
    *status = MCC_OK;
    for (int i = 0; i < n->n_out; i++) out[i] = NULL;
    bool ok = make_shadow(&c, &scratch, in) && run(&c, home, in, out, status);
    arena_free(scratch.arena);
    return ok;
}

bool eval_node(Ctx *ctx, const Node *n, const Tensor *const *in, Tensor **out, int *status) {
    return eval_node_in(ctx, n, in, out, status, n->graph, NULL);
}
