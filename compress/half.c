/* Weights as float16 or bfloat16, rounded to nearest even; what is computed with them stays float32: contractions read
 * or recurrent layers read Cast(weights), and of the tables that Gather reads only the rows wanted become float32,
 * behind it. Weights that the type cannot hold stay as they are, with a warning. */
#include <math.h>
#include "compress/quantize.h"
#include "eval/eval.h"

typedef struct Halves {
    const QuantPlan *plan;
    Graph *g;
    Value **of; /* by value id: the same constant in 16 bits; NULL: not known, or it cannot be */
} Halves;

static Node *add_node(Graph *g, const Node *like, Op op, Value **in, int n_in) {
    Node *n = node_new(g, op, (Node *)(uintptr_t)like, in, n_in, 1);
    n->name = like->name;
    n->index = like->index;
    return n;
}

static const Tensor *rounded(Graph *g, const Node *like, Value *v, Dtype t) {
    Tensor *out = NULL;
    const Tensor *in = v->constant;
    int status;
    Node *cast = add_node(g, like, OP_Cast, &v, 1);
    node_set_int(cast, "to", t);
    bool good = node_infer(g->ctx, cast) && eval_node(g->ctx, cast, &in, &out, &status) && status == MCC_OK;
    node_remove(cast);
    return good ? out : NULL;
}

/* What is lost, of the norm, is what that many bits lose of any number. NULL: nothing is wrong */
static const char *problem(const Tensor *w, const Tensor *half) {
    double sum = 0, lost = 0, most = half->dtype == DT_F16 ? 0x1p-10 : 0x1p-7;
    int64_t n = (int64_t)(w->bytes / sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        double x = tensor_float(w, i), y = tensor_float(half, i);
        if (!isfinite(x)) return "not finite in";
        if (!isfinite(y)) return "too large for";
        sum += x * x;
        lost += (x - y) * (x - y);
    }
    return lost > most * most * sum ? "too small for" : NULL;
}

/* true: *half is the constant, or NULL where it has to stay. false after diag_error */
static bool find_half(Halves *h, const Node *n, Value *v, Dtype t, Value **half) {
    *half = v->id < h->plan->n_ids ? h->of[v->id] : NULL;
    if (*half && (*half)->type.dtype == t) return true;
    const Tensor *out = rounded(h->g, n, v, t);
    if (!out) return false;
    const char *why = problem(v->constant, out);
    *half = why ? NULL : value_of_tensor(h->g, (Tensor *)(uintptr_t)out);
    if (why) diag_warn(h->g->ctx, "calibration", n, "its weights are %s %s: they stay float32", why, dtype_name(t));
    else if (v->id < h->plan->n_ids) h->of[v->id] = *half;
    return true;
}

static Value *widened(Graph *g, const Node *before, Value *half) {
    Node *cast = add_node(g, before, OP_Cast, &half, 1);
    node_set_int(cast, "to", DT_F32);
    return node_infer(g->ctx, cast) ? cast->out[0] : NULL;
}

static bool halve_contraction(Halves *h, Node *n, Dtype t) {
    Value *half;
    if (!find_half(h, n, n->in[1], t, &half)) return false;
    if (!half) return true;
    Value *w = widened(h->g, n, half);
    if (w) n->in[1] = w;
    return w != NULL;
}

/* W and R, or neither of them */
static bool halve_recurrent(Halves *h, Node *n, Dtype t) {
    Value *half[2], *w[2];
    if (!find_half(h, n, n->in[1], t, &half[0]) || !find_half(h, n, n->in[2], t, &half[1])) return false;
    for (int i = 0; i < 2 && half[0] && half[1]; i++) {
        if (!(w[i] = widened(h->g, n, half[i]))) return false;
        n->in[1 + i] = w[i];
    }
    return true;
}

/* Gather(table, i) -> Cast(Gather(half, i)) */
static bool halve_table(Halves *h, Node *n, Dtype t) {
    Value *half;
    if (!find_half(h, n, n->in[0], t, &half)) return false;
    if (!half) return true;
    Node *rows = add_node(h->g, n, OP_Gather, (Value *[]){half, n->in[1]}, 2);
    node_set_int(rows, "axis", node_int(n, "axis"));
    Value *y = node_infer(h->g->ctx, rows) ? widened(h->g, n, rows->out[0]) : NULL;
    if (!y) return false;
    quant_stand_in(n, y);
    return true;
}

bool table_read(const Node *n) {
    const Tensor *t = n->op == OP_Gather ? n->in[0]->constant : NULL;
    return t && t->dtype == DT_F32 && t->bytes && !n->in[1]->constant;
}

bool recurrent_read(const Node *n) {
    if ((n->op != OP_LSTM && n->op != OP_GRU && n->op != OP_RNN) || n->in[0]->constant) return false;
    for (int i = 1; i <= 2; i++)
        if (!n->in[i]->constant || n->in[i]->constant->dtype != DT_F32 || !n->in[i]->constant->bytes) return false;
    return true;
}

static bool is_half(QuantMode m) { return m == QUANT_F16 || m == QUANT_BF16; }

bool quant_halves(QuantPlan *plan) {
    QuantMode all = plan->options.mode;
    Halves h = {.plan = plan, .g = plan->graph};
    int done = 0;
    h.of = ARENA_ARRAY(plan->graph->arena, plan->n_ids, Value *);
    for (int i = 0; i < plan->n_nodes; i++) {
        Contraction c;
        Node *n = plan->nodes[i].node;
        bool table = table_read(n), recurrent = recurrent_read(n);
        Dtype t = plan->nodes[i].mode == QUANT_F16 ? DT_F16 : DT_BF16;
        if (!plan->nodes[i].chosen || !is_half(plan->nodes[i].mode) || !(table || recurrent || contraction_read(n, &c)))
            continue;
        if (!(table ? halve_table(&h, n, t) : recurrent ? halve_recurrent(&h, n, t) : halve_contraction(&h, n, t)))
            return false;
        done++;
    }
    if (!done && is_half(all))
        diag_warn(h.g->ctx, "calibration", NULL, "it has no constant weights to be stored as %s", quant_mode_name(all));
    graph_count_uses(h.g);
    return true;
}
