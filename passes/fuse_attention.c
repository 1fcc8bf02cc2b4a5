/* Attention in one kernel: MatMul(q, kᵀ) [* or / number] [+ mask] -> Softmax along the last axis -> MatMul(…, v)
 * becomes mcc.FusedAttention, which has no matrix of scores in memory. Transposes around it become orders of axes that
 * the kernel reads and writes in, as far as rows of q and y stay contiguous; numbers that q and k are multiplied by
 * join the scale. What else uses the scores or the weights keeps the parts as they are. */
#include <math.h>
#include "passes/internal.h"
#include "passes/lower.h"

typedef struct Side { /* an operand: axis i of what the product sees is axis perm[i] of v */
    Value *v;
    int64_t perm[MCC_MAX_RANK];
} Side;

typedef struct Match {
    Node *product, *scores; /* the two of them */
    Side q, k, v;
    Value *mask; /* NULL: none; added, or with `where` taken instead where its element is not 0 */
    Node *where;
    int side;  /* of `where`'s inputs: the number */
    bool zero; /* weights that are NaN count as 0 */
    double scale;
} Match;

static int rank_of(const Value *v) { return v->type.rank; }

/* n = x · c or x / c of a finite number that is not 0, x of the dims of n */
static bool is_scaled(const Node *n, Value **x, double *by) {
    double c;
    for (int side = 0; side < (n->op == OP_Mul ? 2 : 1); side++) {
        if ((n->op != OP_Mul && n->op != OP_Div) || !const_splat(n->in[1 - side], &c) || c == 0 || !isfinite(c))
            continue;
        if (n->in[side]->constant || !value_same_type(n->in[side], n->out[0])) continue;
        *x = n->in[side];
        *by = n->op == OP_Mul ? c : 1 / c;
        return true;
    }
    return false;
}

static void read_perm(const Node *transpose, int64_t *perm) {
    const int64_t *given;
    int rank = rank_of(transpose->in[0]), count = node_ints(transpose, "perm", &given);
    for (int i = 0; i < rank; i++) perm[i] = count ? given[i] : rank - 1 - i;
}

static Side side_of(Value *v) {
    Side s = {.v = v};
    for (int i = 0; i < rank_of(v); i++) s.perm[i] = i;
    return s;
}

/* past transposes, and multiplications where `scale` is wanted; contiguous: the last axis must stay the last */
static Side peel(Value *v, bool contiguous, double *scale) {
    Side s = side_of(v), best = s;
    double by = 1, c;
    for (Value *x; s.v->def;) {
        const Node *n = s.v->def;
        if (n->op == OP_Transpose) {
            int64_t inner[MCC_MAX_RANK];
            read_perm(n, inner);
            for (int i = 0; i < rank_of(v); i++) s.perm[i] = inner[s.perm[i]];
            s.v = n->in[0];
        } else if (scale && is_scaled(n, &x, &c)) {
            s.v = x;
            by *= c;
        } else {
            break;
        }
        if (contiguous && s.perm[rank_of(v) - 1] != rank_of(v) - 1) continue;
        best = s;
        if (scale) *scale *= by;
        by = 1;
    }
    return best;
}

/* the MatMul that v is, but for numbers that it is multiplied by; nothing else uses any of them */
static Node *scaled_product(Value *v, double *scale) {
    double by;
    for (*scale = 1; v->def && v->n_uses == 1; *scale *= by) {
        if (v->def->op == OP_MatMul) return v->def;
        if (!is_scaled(v->def, &v, &by)) break;
    }
    return NULL;
}

/* v = where(condition, number, scores) or where(condition, scores, number): masked scores are one number, not 0 */
static bool match_where(Match *m, const Value *v) {
    double c;
    m->where = value_only_def(v, OP_Where);
    for (int side = 1; m->where && side <= 2; side++) {
        Value *scores = m->where->in[3 - side];
        if (!const_splat(m->where->in[side], &c) || c == 0 || isnan(c) || !value_same_type(scores, v)) continue;
        m->side = side;
        if ((m->scores = scaled_product(scores, &m->scale))) return rank_of(m->where->in[0]) > 0;
    }
    m->where = NULL;
    return false;
}

static bool match_scores(Match *m, Value *v) {
    if ((m->scores = scaled_product(v, &m->scale)) || match_where(m, v)) return true;
    Node *sum = value_only_def(v, OP_Add);
    for (int side = 0; sum && side < 2; side++) {
        m->mask = sum->in[1 - side];
        if (!value_same_type(sum->in[side], v) || !value_is_f32(m->mask) || rank_of(m->mask) < 1) continue;
        if ((m->scores = scaled_product(sum->in[side], &m->scale))) return true;
    }
    return false;
}

/* v = softmax, or where(isnan(softmax), 0, softmax): rows that are masked altogether */
static Node *softmax_of(const Value *v, bool *zero) {
    Node *where = value_only_def(v, OP_Where), *test = where ? value_only_def(where->in[0], OP_IsNaN) : NULL;
    *zero = test && test->in[0] == where->in[2] && test->in[0]->n_uses == 2 && const_is(where->in[1], 0);
    return *zero && value_same_type(where->in[2], v) ? value_def(where->in[2], OP_Softmax)
                                                     : value_only_def(v, OP_Softmax);
}

static bool match(Node *product, Match *m) {
    *m = (Match){.product = product};
    Value *weights = product->in[0], *y = product->out[0], *v = product->in[1];
    Node *softmax = product->op == OP_MatMul ? softmax_of(weights, &m->zero) : NULL;
    if (!softmax || !value_is_f32(y) || rank_of(v) < 2 || rank_of(weights) != rank_of(y)) return false;
    if (axis_of(node_int(softmax, "axis"), rank_of(weights)) != rank_of(weights) - 1) return false;
    if (!match_scores(m, softmax->in[0])) return false;
    Value *q = m->scores->in[0], *k = m->scores->in[1];
    if (rank_of(q) < 2 || rank_of(k) < 2) return false;
    m->q = peel(q, true, &m->scale);
    m->k = peel(k, false, &m->scale);
    m->v = peel(v, false, NULL);
    return true;
}

/* the number where scores are masked and 0 elsewhere, of the condition's dims before it was spread over the heads */
static Value *mask_of(Rewrite *r, Node *n, const Node *where, int side) {
    Value *in[3] = {where->in[0], NULL, NULL};
    Node *spread = value_def(in[0], OP_Expand);
    double c;
    const_splat(where->in[side], &c);
    if (spread && rank_of(spread->in[0]) > 0) in[0] = spread->in[0];
    in[side] = const_scalar(r->g, DT_F32, c);
    in[3 - side] = const_scalar(r->g, DT_F32, 0);
    const Tensor *known = in[0]->constant;
    if (!known || !fold_fits(r->ctx, DT_F32, (int64_t)known->bytes)) {
        Node *made = rewrite_insert(r, n, OP_Where, in, 3);
        rewrite_infer(r, made);
        return made->out[0];
    }
    Tensor *t = tensor_new(r->g, DT_F32, known->rank, known->dims);
    for (int64_t i = 0; i < (int64_t)known->bytes; i++)
        tensor_set_float(t, i, (tensor_int(known, i) != 0) == (side == 1) ? c : 0);
    return value_of_tensor(r->g, t);
}

static int64_t known(Dim d) {
    int64_t n;
    return dim_is_const(d, &n) ? n : 0;
}

/* what codegen/gpu_attention.c takes: a query's line in registers and shared memory, and blocks that can be numbered */
static bool fits_gpu(const Match *m) {
    enum { MOST = 128 };
    const double blocks = 2147483647.0;
    const Type *q = &m->q.v->type, *v = &m->v.v->type, *scores = &m->scores->out[0]->type;
    int64_t depth = known(q->dims[m->q.perm[q->rank - 1]]), cols = known(v->dims[m->v.perm[v->rank - 1]]);
    double rows = 1;
    for (int i = 0; i + 1 < scores->rank; i++) rows *= (double)scores->dims[i]->hi;
    return depth >= 1 && depth <= MOST && cols >= 1 && cols <= MOST && rows < blocks;
}

static void set_vectors(Node *n, const Match *m, const Target *t) {
    const Type *scores = &m->scores->out[0]->type, *y = &n->out[0]->type;
    int64_t keys = known(scores->dims[scores->rank - 1]), cols = known(y->dims[y->rank - 1]);
    TileChoice tile = tile_for_any(t);
    node_set_int(n, "lanes", tile.lanes);
    node_set_int(n, "rows", tile.rows);
    node_set_int(n, "key_vecs", panel_vecs(keys, tile.lanes, tile.vecs));
    node_set_int(n, "value_vecs", panel_vecs(cols, tile.lanes, tile.vecs));
}

static void fuse(Rewrite *r, Node *n, Match *m, const Target *t) {
    int rank = rank_of(n->out[0]);
    int64_t order[MCC_MAX_RANK];
    for (int i = 0; i < rank; i++) order[i] = i;
    bool replaces = m->where != NULL;
    if (replaces) m->mask = mask_of(r, n, m->where, m->side);
    rewrite_become(r, n, OP_FusedAttention, (Value *[]){m->q.v, m->k.v, m->v.v, m->mask}, m->mask ? 4 : 3);
    node_set_ints(n, "q_perm", m->q.perm, rank_of(m->q.v));
    node_set_ints(n, "k_perm", m->k.perm, rank_of(m->k.v));
    node_set_ints(n, "v_perm", m->v.perm, rank_of(m->v.v));
    node_set_ints(n, "y_perm", order, rank);
    node_set_float(n, "scale", m->scale);
    node_set_int(n, "replace", replaces);
    node_set_int(n, "nan_to_zero", m->zero);
    if (t) set_vectors(n, m, t);
}

/* Transpose(FusedAttention) -> FusedAttention that writes in the other order, where rows stay contiguous */
static void write_transposed(Rewrite *r, Node *n) {
    Node *attention = value_only_def(n->in[0], OP_FusedAttention);
    int64_t perm[MCC_MAX_RANK], order[MCC_MAX_RANK];
    int rank = rank_of(n->out[0]);
    if (!attention) return;
    read_perm(n, perm);
    if (perm[rank - 1] != rank - 1) return;
    for (int i = 0; i < rank; i++) order[perm[i]] = i;
    Node was = *attention;
    rewrite_become(r, n, OP_FusedAttention, was.in, was.n_in);
    node_copy_attrs(n, &was);
    node_set_ints(n, "y_perm", order, rank);
}

bool pass_fuse_attention(Graph *g, PassCtx *p) {
    Rewrite r;
    rewrite_begin(&r, g);
    for (Node *n; (p->target || p->gpu) && (n = rewrite_next(&r));) {
        Match m;
        if (n->op == OP_Transpose) write_transposed(&r, n);
        else if (match(n, &m) && (p->target || fits_gpu(&m))) fuse(&r, n, &m, p->target);
    }
    return rewrite_end(&r);
}
