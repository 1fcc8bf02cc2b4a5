/* What is computed elementwise from one value of bytes, and is bytes again, has 256 results: mcc.Table, made here by
 * the reference kernels, is it exactly. From a node of bytes, its root, the operators before it are gathered up to a
 * value of bytes that all of them start from, further up while that is made of another such value for them alone.
 * Everything else they read must be single constants. Where the target computes the floats in fewer instructions, they
 * stay. */
#include <string.h>
#include "eval/eval.h"
#include "passes/lower.h"

enum { MAX_NODES = 32, MAX_LEAVES = 4, ENTRIES = 256 };

typedef struct Cone { /* of the root; its nodes in topological order, the root last */
    Node *nodes[MAX_NODES];
    Value *leaves[MAX_LEAVES];
    int n, n_leaves;
} Cone;

static bool is_bytes(const Value *v) {
    return v->type.kind == TYPE_TENSOR && (v->type.dtype == DT_U8 || v->type.dtype == DT_I8);
}

static bool is_single(const Value *v) {
    for (int i = 0; i < v->type.rank; i++)
        if (!dim_is(v->type.dims[i], 1)) return false;
    return true;
}

static bool has_node(const Cone *c, const Node *n) {
    for (int i = 0; i < c->n; i++)
        if (c->nodes[i] == n) return true;
    return false;
}

static bool has_leaf(const Cone *c, const Value *v) {
    for (int i = 0; i < c->n_leaves; i++)
        if (c->leaves[i] == v) return true;
    return false;
}

/* made of integers by one operator, or by one between DQ and Q */
static bool is_made_of_bytes(const Value *v) {
    const Node *n = v->def;
    if (!n || !node_is_elementwise(n)) return false;
    for (int i = 0; i < n->n_in; i++) {
        const Value *from = n->in[i];
        if (from && !from->constant && !is_bytes(from) && !value_def(from, OP_DequantizeLinear)) return false;
    }
    return true;
}

static bool gather(Cone *c, Node *n, const Cone *inside, int depth);

/* inside: a smaller cone, whose leaf this one is to look through */
static bool gather_value(Cone *c, Value *v, const Cone *inside, int depth) {
    if (v->constant) return is_single(v);
    bool through = inside && has_leaf(inside, v) && is_made_of_bytes(v);
    if (!is_bytes(v) || through) return v->def && gather(c, v->def, inside, depth - 1);
    if (has_leaf(c, v)) return true;
    if (c->n_leaves == MAX_LEAVES) return false;
    c->leaves[c->n_leaves++] = v;
    return true;
}

static bool gather(Cone *c, Node *n, const Cone *inside, int depth) {
    if (has_node(c, n)) return true;
    if (depth == 0 || !node_is_elementwise(n) || op_has(n->op, OP_DECOMPOSED) || n->n_out != 1) return false;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && !gather_value(c, n->in[i], inside, depth)) return false;
    if (c->n == MAX_NODES) return false;
    c->nodes[c->n++] = n;
    return true;
}

static int uses_inside(const Cone *c, const Value *v) {
    int uses = 0;
    for (int i = 0; i < c->n; i++)
        for (int k = 0; k < c->nodes[i]->n_in; k++) uses += c->nodes[i]->in[k] == v;
    return uses;
}

/* One leaf of the result's dims; nothing but integers, and floats that are made of them at once, is wanted elsewhere.
 */
static bool is_function(const Cone *c) {
    if (c->n_leaves != 1 || c->leaves[0]->type.rank < 1) return false;
    for (int i = 0; i < c->n; i++) {
        const Value *v = c->nodes[i]->out[0];
        bool last = i == c->n - 1, cheap = is_bytes(v) || c->nodes[i]->op == OP_DequantizeLinear;
        if (!value_same_dims(v, c->leaves[0]) || (!last && !cheap && uses_inside(c, v) != v->n_uses)) return false;
    }
    return true;
}

/* The cone, looked through its leaves as long as that leaves one function */
static bool read_cone(Node *root, Cone *out) {
    Cone c = {0};
    bool found = false, more = gather(&c, root, NULL, MAX_NODES);
    while (more) {
        bool is = is_function(&c);
        if (is) *out = c, found = true;
        if (is && uses_inside(&c, c.leaves[0]) != c.leaves[0]->n_uses) break;
        if (!is && c.n_leaves < 2) break;
        Cone wider = {0};
        more = gather(&wider, root, &c, MAX_NODES) && wider.n > c.n;
        c = wider;
    }
    return found;
}

/* ---- what it costs: vector instructions for 16 elements, estimated ---- */

static double instructions(const Node *n) {
    enum { OF_A_FUNCTION = 20 };
    switch (n->op) {
    case OP_QuantizeLinear: return 9;
    case OP_DequantizeLinear: return 4;
    case OP_HardSwish: return 6;
    case OP_HardSigmoid: return 4;
    case OP_Div:
    case OP_Sqrt:
    case OP_Reciprocal: return 6;
    case OP_Clip:
    case OP_Max:
    case OP_Min:
    case OP_LeakyRelu:
    case OP_PRelu: return 2;
    case OP_Add:
    case OP_Sub:
    case OP_Mul:
    case OP_Neg:
    case OP_Abs:
    case OP_Relu:
    case OP_Identity: return 1;
    default: return OF_A_FUNCTION;
    }
}

static double vectors(const Target *t, int bits) { return t->vector_bits ? 16.0 * bits / t->vector_bits : 16; }

static double cost_of_table(const Target *t) {
    switch (t->lookup) {
    case LOOKUP_HALVES: return 6 * vectors(t, 8);
    case LOOKUP_ROWS: return 48 * vectors(t, 8);
    case LOOKUP_QUARTERS: return 12;
    default: return 48;
    }
}

static double cost_of_cone(const Target *t, const Cone *c) {
    double cost = 0;
    for (int i = 0; i < c->n; i++) {
        const Node *n = c->nodes[i];
        bool bytes = is_bytes(n->out[0]) && n->op != OP_QuantizeLinear;
        cost += n->op == OP_Table ? cost_of_table(t) : instructions(n) * vectors(t, bytes ? 8 : 32);
    }
    return cost;
}

double table_saving(const Target *t, const Node *n) { return instructions(n) * vectors(t, 32) - cost_of_table(t); }

/* ---- computing it ---- */

static const Tensor *all_bytes(Graph *g, const Value *leaf) {
    int64_t dims[MCC_MAX_RANK];
    int rank = leaf->type.rank;
    for (int i = 0; i < rank; i++) dims[i] = i == rank - 1 ? ENTRIES : 1;
    Tensor *t = tensor_new(g, leaf->type.dtype, rank, dims);
    for (int i = 0; i < ENTRIES; i++) ((uint8_t *)t->data)[i] = (uint8_t)i;
    return t;
}

static const Tensor *tensor_at(const Cone *c, Tensor *const *made, const Tensor *leaf, const Value *v) {
    if (!v) return NULL;
    if (v->constant) return v->constant;
    for (int i = 0; i < c->n; i++)
        if (c->nodes[i]->out[0] == v) return made[i];
    return leaf;
}

/* NULL: a node fails, or there is no room */
static const Tensor *compute(Rewrite *r, const Cone *c) {
    Tensor *made[MAX_NODES];
    if (!fold_fits(r->ctx, DT_F64, ENTRIES * (c->n + 2))) return NULL;
    const Tensor *leaf = all_bytes(r->g, c->leaves[0]);
    for (int i = 0; i < c->n; i++) {
        const Node *n = c->nodes[i];
        const Tensor **in = ARENA_ARRAY(r->scratch, n->n_in, const Tensor *);
        int status;
        for (int k = 0; k < n->n_in; k++) in[k] = tensor_at(c, made, leaf, n->in[k]);
        if (!eval_node(r->ctx, n, in, &made[i], &status) || status != MCC_OK) return NULL;
    }
    const int64_t entries = ENTRIES;
    Tensor *table = tensor_new(r->g, made[c->n - 1]->dtype, 1, &entries);
    memcpy((void *)table->data, made[c->n - 1]->data, ENTRIES);
    return table;
}

static void look_up(Rewrite *r, Node *root, const Target *target) {
    Cone c;
    if (!is_bytes(root->out[0]) || root->n_out != 1 || !read_cone(root, &c)) return;
    if (cost_of_cone(target, &c) <= cost_of_table(target)) return;
    const Tensor *table = compute(r, &c);
    if (!table) return;
    rewrite_become(r, root, OP_Table, c.leaves, 1);
    node_set_tensor(root, "table", table);
}

bool pass_lookup_tables(Graph *g, PassCtx *p) {
    Rewrite r;
    if (!p->target || p->canonical_only) return false;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));)
        if (node_is_elementwise(n)) look_up(&r, n, p->target);
    return rewrite_end(&r);
}
