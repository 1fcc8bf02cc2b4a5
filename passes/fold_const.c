/* Evaluates nodes whose inputs are constants, and makes constants of integer tensors whose elements inference knows. A
 * value becomes a constant in place, so that outputs of the graph keep their names. Where that tells later nodes their
 * dims, they are inferred again.
 *
 * Not folded: what would take too long, what its kernel refuses (it is left to fail at run time), and what grows by
 * repetition (Expand, ConstantOfShape, …) past all proportion, unless it ends up as a weight; and weights whose kernels
 * read them narrower than float32 (passes/narrow.c, passes/narrow_weights.c). */
#include "eval/eval.h"
#include "passes/internal.h"

enum { GROWTH = 16, GROWTH_FREE = 1 << 20 };        /* times the input; bytes that are never too many */
static const int64_t work_limit = (int64_t)1 << 32; /* multiply-adds in one walk */

typedef struct Fold {
    Rewrite r;
    bool *is_weight;  /* by value id: a contraction wants it constant, perhaps through other operators */
    bool *is_news;    /* by value id: a constant, or of another type, since this walk */
    int *narrow_uses; /* by value id: kernels that read it narrower than it is, perhaps through views */
    int64_t work;
} Fold;

/* ---- what to fold ---- */

static void fill_weights(Fold *f) {
    for (const Node *n = f->r.g->last; n; n = n->prev) {
        bool wanted = false;
        for (int i = 0; i < n->n_out; i++) wanted = wanted || (n->out[i] && f->is_weight[n->out[i]->id]);
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i] && (wanted || (i > 0 && op_has(n->op, OP_CONTRACTION)))) f->is_weight[n->in[i]->id] = true;
    }
}

static bool input_is_known(const Node *n, int i) {
    const Value *v = n->in[i];
    if (!v) return true;
    if (op_has(n->op, OP_SHAPE_ONLY)) return value_is_static(v);
    return v->constant && dtype_supported(v->constant->dtype);
}

static bool output_is_known(const Value *v) { return !v || (value_is_static(v) && dtype_supported(v->type.dtype)); }

static bool elements_of(const Value *v, int64_t *out) {
    int64_t dims[MCC_MAX_RANK];
    return value_static_dims(v, dims) && product_i64(dims, v->type.rank, out);
}

static int64_t saturated(int64_t a, int64_t b) {
    int64_t p;
    return mul_i64(a, b, &p) ? p : INT64_MAX;
}

/* Multiply-adds an element of the output: the weights' elements over their output axis */
static int64_t depth(const Node *n) {
    const Value *w = node_in(n, 1);
    int rank = w ? w->type.rank : 0, axis = rank - 1;
    int64_t total, size;
    if (n->op == OP_Conv) axis = 0;
    if (n->op == OP_ConvTranspose) axis = 1;
    if (n->op == OP_Gemm) axis = node_int(n, "transB") ? 0 : 1;
    if (rank == 0 || !elements_of(w, &total)) return 1;
    if (rank == 1 || !dim_is_const(w->type.dims[axis], &size) || size < 1) return total;
    return total / size;
}

static int64_t window(const Node *n) {
    const int64_t *kernel;
    int count = node_ints(n, "kernel_shape", &kernel);
    int64_t p = 1;
    for (int i = 0; i < count; i++) p = saturated(p, kernel[i]);
    return p;
}

/* LSTM, GRU, RNN: W and R for every row of X */
static int64_t recurrent_work(const Node *n) {
    int64_t x, w, r, inputs;
    if (!elements_of(n->in[0], &x) || !elements_of(n->in[1], &w) || !elements_of(n->in[2], &r)) return INT64_MAX;
    if (!dim_is_const(n->in[0]->type.dims[2], &inputs) || inputs < 1) return INT64_MAX; /* steps are not known by x */
    return add_i64(w, r, &w) ? saturated(x / inputs, w) : INT64_MAX;
}

static int64_t work_of(const Node *n, int64_t in, int64_t out) {
    if (op_has(n->op, OP_RECURRENT)) return recurrent_work(n);
    if (op_has(n->op, OP_CONTRACTION)) return saturated(out, depth(n));
    if (op_has(n->op, OP_POOL)) return saturated(out, window(n));
    return in > out ? in : out;
}

static bool grows(const Node *n, const Fold *f, size_t in, size_t out) {
    const Ctx *ctx = f->r.ctx;
    if (f->is_weight[n->out[0]->id] || out <= GROWTH_FREE || out / GROWTH <= in) return false;
    return out <= ctx->opt.max_fold; /* beyond, evaluation says so */
}

static bool is_worth_it(Fold *f, const Node *n) {
    int64_t in = 0, out = 0, elements;
    size_t in_bytes = 0, out_bytes = 0, bytes;
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i] || !elements_of(n->in[i], &elements)) continue;
        if (!add_i64(in, elements, &in)) return false;
        if (n->in[i]->constant) in_bytes += n->in[i]->constant->bytes;
    }
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i]) continue;
        if (!elements_of(n->out[i], &elements) || !dtype_bytes(n->out[i]->type.dtype, elements, &bytes)) return true;
        if (!add_i64(out, elements, &out) || __builtin_add_overflow(out_bytes, bytes, &out_bytes)) return true;
    }
    int64_t work = work_of(n, in, out);
    if (grows(n, f, in_bytes, out_bytes) || work > work_limit - f->work) return false;
    f->work += work;
    return true;
}

static bool all_uses_narrow(const Fold *f, const Value *v) {
    return v && v->id < f->r.n_ids && v->n_uses && f->narrow_uses[v->id] == v->n_uses;
}

static void fill_narrow_uses(Fold *f, const Target *t) {
    NarrowWeights w;
    for (const Node *n = f->r.g->first; n; n = n->next) {
        int i = narrow_weights_read(n, t, &w) ? 1 : narrow_operand(n);
        if (i >= 0) f->narrow_uses[n->in[i]->id]++;
        for (i = 1; i <= 2 && narrow_recurrent(n); i++) f->narrow_uses[n->in[i]->id]++;
    }
    for (const Node *n = f->r.g->last; n; n = n->prev)
        if (op_has(n->op, OP_VIEW) && all_uses_narrow(f, n->out[0])) f->narrow_uses[n->in[0]->id]++;
}

static bool stays_narrow(const Fold *f, const Node *n) {
    return (n->op == OP_Cast || n->op == OP_DequantizeLinear) && all_uses_narrow(f, n->out[0]);
}

static bool is_foldable(Fold *f, const Node *n) {
    if (n->body || stays_narrow(f, n) || !eval_has_kernel(n->op) || op_has(n->op, OP_RANDOM) || n->n_out == 0 || !n->out[0])
        return false;
    for (int i = 0; i < n->n_in; i++)
        if (!input_is_known(n, i)) return false;
    for (int i = 0; i < n->n_out; i++)
        if (!output_is_known(n->out[i])) return false;
    return is_worth_it(f, n);
}

/* ---- folding ---- */

static void become_constant(Fold *f, Value *v, const Tensor *t) {
    value_set_tensor(f->r.g, v, t);
    v->def = NULL;
    if (v->id < f->r.n_ids) f->is_news[v->id] = true;
}

static void evaluate(Fold *f, Node *n) {
    Arena *a = f->r.scratch;
    const Tensor **in = ARENA_ARRAY(a, n->n_in + 1, const Tensor *);
    Tensor **out = ARENA_ARRAY(a, n->n_out + 1, Tensor *);
    int status;
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i] || n->in[i]->constant) {
            in[i] = n->in[i] ? n->in[i]->constant : NULL;
            continue;
        }
        Tensor *dims = ARENA_NEW(a, Tensor); /* dims alone, for OP_SHAPE_ONLY */
        *dims = (Tensor){.dtype = n->in[i]->type.dtype, .rank = n->in[i]->type.rank, .bytes = 1};
        value_static_dims(n->in[i], dims->dims);
        in[i] = dims;
    }
    if (!eval_node(f->r.ctx, n, in, out, &status) || status != MCC_OK) return;
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i]) become_constant(f, n->out[i], out[i]);
    rewrite_remove(&f->r, n);
}

/* A view of a constant: the same bytes */
static bool fold_view(Fold *f, Node *n) {
    if (!op_has(n->op, OP_VIEW) || !n->in[0]->constant || !value_is_static(n->out[0])) return false;
    Tensor *t = ARENA_NEW(f->r.g->arena, Tensor);
    *t = *n->in[0]->constant;
    t->rank = n->out[0]->type.rank;
    value_static_dims(n->out[0], t->dims);
    int64_t before, after;
    if (!elements_of(n->in[0], &before) || !elements_of(n->out[0], &after) || before != after) return false;
    become_constant(f, n->out[0], t);
    rewrite_remove(&f->r, n);
    return true;
}

/* An integer tensor whose elements inference knows */
static bool fold_content(Fold *f, Node *n) {
    Value *v = n->out[0];
    int64_t count, x;
    bool wide = v && v->type.dtype == DT_I64;
    if (n->n_out != 1 || !v->content || (!wide && v->type.dtype != DT_I32) || !elements_of(v, &count)) return false;
    for (int64_t i = 0; i < count; i++)
        if (!dim_is_const(v->content[i], &x) || (!wide && x != (int32_t)x)) return false;
    Tensor *t = ARENA_NEW(f->r.g->arena, Tensor);
    void *data = ARENA_ARRAY(f->r.g->arena, count + 1, int64_t);
    for (int64_t i = 0; i < count; i++) {
        dim_is_const(v->content[i], &x);
        if (wide) ((int64_t *)data)[i] = x;
        else ((int32_t *)data)[i] = (int32_t)x;
    }
    *t = (Tensor){.dtype = v->type.dtype, .rank = v->type.rank, .data = data};
    value_static_dims(v, t->dims);
    dtype_bytes(t->dtype, count, &t->bytes);
    become_constant(f, v, t);
    rewrite_remove(&f->r, n);
    return true;
}

/* ---- what folding tells later nodes ---- */

static bool has_open_content(const Value *v) {
    int64_t n, x;
    if (dtype_class(v->type.dtype) != DTC_I || v->type.rank > 1 || !elements_of(v, &n)) return false;
    for (int64_t i = 0; v->content && i < n; i++)
        if (!dim_is_const(v->content[i], &x)) return true;
    return !v->content;
}

static bool has_news(const Fold *f, const Node *n) {
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i]->id < f->r.n_ids && f->is_news[n->in[i]->id]) return true;
    return false;
}

static bool infer_again(Fold *f, Node *n) {
    bool open = false;
    for (int i = 0; i < n->n_out; i++)
        open = open || (n->out[i] && (value_has_data_dims(n->out[i]) || has_open_content(n->out[i])));
    if (!open || !has_news(f, n)) return true;
    if (!node_infer(f->r.ctx, n)) return false;
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->id < f->r.n_ids) f->is_news[n->out[i]->id] = true;
    return true;
}

bool pass_fold_const(Graph *g, PassCtx *p) {
    Fold f = {.work = 0};
    int errors = diag_errors(p->ctx);
    rewrite_begin(&f.r, g);
    f.is_weight = ARENA_ARRAY(f.r.scratch, f.r.n_ids + 1, bool);
    f.is_news = ARENA_ARRAY(f.r.scratch, f.r.n_ids + 1, bool);
    f.narrow_uses = ARENA_ARRAY(f.r.scratch, f.r.n_ids + 1, int);
    fill_weights(&f);
    if (!p->widen) fill_narrow_uses(&f, p->target);
    for (Node *n; (n = rewrite_next(&f.r)) && diag_errors(p->ctx) == errors;) {
        if (!infer_again(&f, n)) break;
        if (!fold_content(&f, n) && !fold_view(&f, n) && is_foldable(&f, n)) evaluate(&f, n);
    }
    return rewrite_end(&f.r);
}
