/* Elementwise nodes that follow a contraction go into its body: they are computed on the accumulators, before these are
 * stored. From a contraction's result the nodes are gathered that need nothing else of what is computed from it, and of
 * those the longest row, in the graph's order, that leaves one value for the rest of the graph. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "passes/lower.h"

enum { MAX_NODES = 32, MAX_OPERANDS = 16, MAX_SEARCH = 256 };

typedef struct Users { /* of one value */
    Node **node;
    int n;
} Users;

typedef struct Search {
    Graph *g;
    Arena *scratch;
    Users *users; /* by value id */
    int *place;   /* of nodes, by node id */
    bool *is_output;
    int n_ids;
} Search;

typedef struct Tail { /* of a contraction: nodes in the graph's order */
    Node *root;
    Node *nodes[MAX_NODES];
    int n;
} Tail;

static void fill_users(Search *s) {
    Graph *g = s->g;
    int at = 0;
    graph_count_uses(g);
    for (Node *n = g->first; n; n = n->next) {
        s->place[n->id] = at++;
        for (int i = 0; i < n->n_in; i++) {
            Value *v = n->in[i];
            if (!v || v->constant) continue;
            Users *u = &s->users[v->id];
            if (!u->node) u->node = ARENA_ARRAY(s->scratch, v->n_uses, Node *);
            u->node[u->n++] = n;
        }
    }
    for (int i = 0; i < g->n_outputs; i++) s->is_output[g->outputs[i]->id] = true;
}

static bool same_dims(const Value *a, const Value *b) {
    if (a->type.rank != b->type.rank) return false;
    for (int i = 0; i < a->type.rank; i++)
        if (a->type.dims[i] != b->type.dims[i]) return false;
    return true;
}

static bool is_single(const Value *v) {
    for (int i = 0; i < v->type.rank; i++)
        if (!dim_is(v->type.dims[i], 1)) return false;
    return true;
}

/* all dims from `from` to `to` - 1 of `out` are v's too, or all are broadcast */
static bool moves_as_one(const Value *v, const Value *out, int from, int to) {
    int same = 0, still = 0, shift = out->type.rank - v->type.rank;
    for (int i = from; i < to; i++) {
        if (dim_is(out->type.dims[i], 1)) continue;
        if (i < shift || dim_is(v->type.dims[i - shift], 1)) still++;
        else same++;
    }
    return !same || !still;
}

static bool is_pointwise(const Node *n) {
    const int64_t *k, *s;
    if (n->op == OP_SparseBlockConv) return true; /* its pixels are one row, whatever its window */
    if (n->op != OP_BlockConv || node_int(n, "transposed")) return false;
    int count = node_ints(n, "kernel_shape", &k);
    node_ints(n, "strides", &s);
    for (int i = 0; i < count; i++)
        if (k[i] != 1 || s[i] != 1) return false;
    return true; /* padding would move it off the flat row, and be an operand's business too */
}

static bool is_pixels(const Node *root) { return root->op == OP_PixelConv || root->op == OP_PixelDepthwise; }

/* of GPUs: as the standard has it, or as their own passes made it (codegen/gpu.h) */
static bool is_gpu(const Node *n) {
    return n->op == OP_Conv || n->op == OP_ConvTranspose || n->op == OP_MatMul || n->op == OP_Gemm ||
           n->op == OP_ConvInteger || n->op == OP_MatMulInteger || n->op == OP_GpuMatMul || n->op == OP_GpuConv;
}

/* does the contraction's kernel read and write numbers of v's dtype? */
static bool has_dtype(const Node *root, const Value *v) {
    if (is_gpu(root)) return dtype_computes(v->type.dtype);
    bool words = root->op == OP_SparseMatMul && !value_is_f32(root->in[0]);
    bool integers = root->op == OP_BlockConv || root->op == OP_SparseBlockConv || root->op == OP_BlockDepthwise || root->op == OP_BlockResize || root->op == OP_PackedMatMul || words || is_pixels(root);
    return integers ? value_in_blocks(v) : value_is_f32(v);
}

static bool is_planar(const Node *root) { return root->op == OP_SparseConv || root->op == OP_PlaneDepthwise; }

/* can the contraction's kernel read v beside its result? */
static bool is_operand(const Node *root, const Value *v) {
    const Value *out = root->out[0];
    int rank = out->type.rank, shift = rank - v->type.rank;
    if (!has_dtype(root, v)) return false;
    if (is_single(v)) return true;
    if (shift < 0) return false;
    for (int i = 0; i < v->type.rank; i++)
        if (!dim_is(v->type.dims[i], 1) && v->type.dims[i] != out->type.dims[i + shift]) return false;
    if (root->op == OP_GpuConv) return moves_as_one(v, out, 2, rank);
    if (root->op == OP_PanelMatMul || is_gpu(root)) return true;
    if (is_planar(root)) return dim_is(v->type.dims[v->type.rank - 1], 1) || same_dims(v, out);
    if (root->op == OP_PackedMatMul || root->op == OP_NarrowMatMul || root->op == OP_SparseMatMul || root->op == OP_SparseGemv || is_pixels(root))
        return moves_as_one(v, out, 0, rank - 1);
    bool channels = shift <= 1 && !dim_is(v->type.dims[1 - shift], 1),
         lanes = !dim_is(v->type.dims[v->type.rank - 1], 1);
    if (channels && !lanes) return false;
    return !is_pointwise(root) || moves_as_one(v, out, 2, rank - 1);
}

static bool in_tail(const Tail *t, const Node *n) {
    for (int i = 0; i < t->n; i++)
        if (t->nodes[i] == n) return true;
    return n == t->root;
}

/* is v computed from the root's result? Looks back no further than to the root's place; true too where that is too far.
 */
static bool depends(const Search *s, const Node *root, const Value *v, int *budget) {
    const Node *n = v->def;
    if (!n || s->place[n->id] < s->place[root->id]) return false;
    if (n == root || --*budget < 0) return true;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && depends(s, root, n->in[i], budget)) return true;
    return false;
}

/* v is made from what the root's kernel could read instead, and for this one node alone */
static bool is_own_conversion(const Search *s, const Tail *t, const Value *v) {
    const Node *n = v->def;
    return n && n->op == OP_DequantizeLinear && node_is_elementwise(n) && s->users[v->id].n == 1 &&
           !s->is_output[v->id] && same_dims(v, t->root->out[0]) && is_operand(t->root, n->in[0]);
}

/* its body is a part of the straight-line code */
static bool is_code(const Node *root) {
    return root->op == OP_SparseConv || (root->op == OP_SparseMatMul && node_int(root, "blocked"));
}

/* Straight-line code adds one operand as large as its result, and then clamps: n is the next of that. */
static bool joins_sparse(const Tail *t, const Node *n) {
    const Value *last = (t->n ? t->nodes[t->n - 1] : t->root)->out[0];
    if (n->op == OP_Add) {
        const Value *other = n->in[n->in[0] == last];
        return t->n == 0 && (n->in[0] == last || n->in[1] == last) && other != last && !other->constant && same_dims(other, last);
    }
    if ((n->op != OP_Relu && n->op != OP_Clip) || n->in[0] != last) return false;
    for (int i = 1; i < n->n_in; i++)
        if (n->in[i] && (!n->in[i]->constant || isnan(tensor_float(n->in[i]->constant, 0)))) return false;
    return true;
}

static bool joins(const Search *s, const Tail *t, const Node *n) {
    const Value *out = t->root->out[0];
    if (is_code(t->root) && !joins_sparse(t, n)) return false;
    if (!node_is_elementwise(n) || n->n_in > 3 || n->n_out != 1 || !has_dtype(t->root, n->out[0]) ||
        !same_dims(n->out[0], out))
        return false;
    if (op_has(n->op, OP_VARIADIC) && n->n_in != 2) return false;
    for (int i = 0; i < n->n_in; i++) {
        const Value *v = n->in[i];
        int budget = MAX_SEARCH;
        if (!v || (v->def && in_tail(t, v->def))) continue;
        if (!is_operand(t->root, v) || depends(s, t->root, v, &budget)) return false;
    }
    return true;
}

static int by_place(const Search *s, const Node *a, const Node *b) { return s->place[a->id] - s->place[b->id]; }

static void insert(const Search *s, Tail *t, Node *n) {
    int i = t->n++;
    for (; i > 0 && by_place(s, t->nodes[i - 1], n) > 0; i--) t->nodes[i] = t->nodes[i - 1];
    t->nodes[i] = n;
}

/* with n, what makes its operands of narrower ones */
static void insert_conversions(const Search *s, Tail *t, const Node *n) {
    for (int i = 0; i < n->n_in && t->n < MAX_NODES; i++)
        if (n->in[i] && n->in[i]->def && !in_tail(t, n->in[i]->def) && is_own_conversion(s, t, n->in[i]))
            insert(s, t, n->in[i]->def);
}

static void gather(const Search *s, Tail *t) {
    bool changed = true;
    while (changed) {
        changed = false;
        for (int i = -1; i < t->n && !changed; i++) {
            const Users *u = &s->users[(i < 0 ? t->root : t->nodes[i])->out[0]->id];
            for (int k = 0; k < u->n && t->n < MAX_NODES; k++)
                if (!in_tail(t, u->node[k]) && joins(s, t, u->node[k])) {
                    insert(s, t, u->node[k]);
                    insert_conversions(s, t, u->node[k]);
                    changed = true;
                    break;
                }
        }
    }
}

/* values that the first `count` nodes and the root leave for others */
static int left_for_others(const Search *s, Tail *t, int count, Value **out) {
    Tail part = *t;
    int left = 0;
    part.n = count;
    for (int i = -1; i < count; i++) {
        Value *v = (i < 0 ? t->root : t->nodes[i])->out[0];
        const Users *u = &s->users[v->id];
        bool used = s->is_output[v->id];
        for (int k = 0; k < u->n; k++) used = used || !in_tail(&part, u->node[k]);
        if (used) left++, *out = v;
    }
    return left;
}

static void cut(const Search *s, Tail *t, Value **out) {
    for (; t->n > 0; t->n--)
        if (left_for_others(s, t, t->n, out) == 1) break;
    for (Value *less; t->n > 1; t->n--) { /* what others read stays integers */
        const Node *last = t->nodes[t->n - 1];
        if (last->op != OP_DequantizeLinear || *out != last->out[0] || s->is_output[(*out)->id]) return;
        if (left_for_others(s, t, t->n - 1, &less) != 1) return;
        *out = less;
    }
}

static bool is_number(const Value *v) { return v->constant && is_single(v); }

/* distinct operands that the body reads from memory, the accumulator apart */
static int count_operands(const Tail *t) {
    const Value *seen[MAX_NODES * 3];
    int n = 0;
    for (int i = 0; i < t->n; i++)
        for (int k = 0; k < t->nodes[i]->n_in; k++) {
            const Value *v = t->nodes[i]->in[k];
            if (!v || is_number(v) || (v->def && in_tail(t, v->def))) continue;
            bool known = false;
            for (int j = 0; j < n; j++) known = known || seen[j] == v;
            if (!known) seen[n++] = v;
        }
    return n;
}

/* ---- building the body ---- */

typedef struct Build {
    Graph *body;
    Value *outside[MAX_OPERANDS], *inside[MAX_OPERANDS];
    int n;
} Build;

static Value *body_input(Build *b, Value *v) {
    for (int i = 0; i < b->n; i++)
        if (b->outside[i] == v) return b->inside[i];
    Value *in = value_new(b->body, v->name);
    in->type = v->type;
    b->outside[b->n] = v;
    return b->inside[b->n++] = in;
}

static void fill_body(Build *b, const Tail *t, Value *out) {
    Value *made[MAX_NODES];
    for (int i = 0; i < t->n; i++) {
        const Node *n = t->nodes[i];
        Node *copy = node_new(b->body, n->op, NULL, n->in, n->n_in, 1);
        for (int k = 0; k < n->n_in; k++) {
            Value *v = n->in[k];
            int at = -1;
            for (int j = 0; j < i && v; j++)
                if (t->nodes[j]->out[0] == v) at = j;
            if (v && !is_number(v)) copy->in[k] = at >= 0 ? made[at] : body_input(b, v);
        }
        copy->attrs = n->attrs;
        copy->n_attrs = n->n_attrs;
        copy->name = n->name;
        copy->index = n->index;
        copy->out[0]->type = n->out[0]->type;
        copy->out[0]->name = n->out[0]->name;
        made[i] = copy->out[0];
        if (n->out[0] == out) b->body->outputs[0] = made[i];
    }
}

/* behind the operator's own, of which those that are left out at the end are NULL then */
static void take_operands(Node *root, const Build *b) {
    int most = op_info(root->op)->max_in, own = is_gpu(root) && most != VAR ? most : root->n_in;
    Value **in = ARENA_ARRAY(root->graph->arena, own + b->n, Value *);
    memcpy(in, root->in, sizeof *in * (size_t)root->n_in);
    root->n_in = own;
    for (int i = 1; i < b->n; i++) in[root->n_in + i - 1] = b->outside[i];
    root->in = in;
    root->n_in += b->n - 1;
}

static void replace_user(Search *s, const Value *v, const Node *from, Node *to) {
    Users *u = &s->users[v->id];
    for (int i = 0; i < u->n; i++)
        if (u->node[i] == from) u->node[i] = to;
}

static void absorb(Search *s, Tail *t, Value *out) {
    Graph *g = s->g;
    Node *root = t->root, *last = t->nodes[t->n - 1];
    Build b = {.body = graph_new(g->ctx, g)};
    b.body->outputs = ARENA_ARRAY(g->arena, 1, Value *);
    b.body->n_outputs = 1;
    body_input(&b, root->out[0]);
    fill_body(&b, t, out);
    b.body->inputs = ARENA_ARRAY(g->arena, b.n, Value *);
    b.body->n_inputs = b.n;
    memcpy(b.body->inputs, b.inside, sizeof *b.inside * (size_t)b.n);
    take_operands(root, &b);
    root->body = b.body;
    node_move_before(root, last);
    s->place[root->id] = s->place[last->id];
    root->out[0] = out;
    out->def = root;
    out->def_index = 0;
    for (int i = 0; i < t->n; i++) {
        for (int k = 0; k < t->nodes[i]->n_in; k++)
            if (t->nodes[i]->in[k]) replace_user(s, t->nodes[i]->in[k], t->nodes[i], root);
        node_remove(t->nodes[i]);
    }
}

static bool is_contraction(const Node *n) {
    return n->op == OP_BlockConv || n->op == OP_SparseBlockConv || n->op == OP_Winograd || n->op == OP_BlockDepthwise || n->op == OP_BlockResize || n->op == OP_PackedMatMul || n->op == OP_NarrowMatMul || n->op == OP_SparseGemv ||
           n->op == OP_PanelMatMul || n->op == OP_SparseMatMul || is_planar(n) || is_pixels(n);
}

bool pass_fuse_epilogues(Graph *g, PassCtx *p) {
    Search s = {.g = g, .scratch = arena_new(g->ctx), .n_ids = g->ctx->next_id};
    bool changed = false;
    s.users = ARENA_ARRAY(s.scratch, s.n_ids, Users);
    s.place = ARENA_ARRAY(s.scratch, s.n_ids, int);
    s.is_output = ARENA_ARRAY(s.scratch, s.n_ids, bool);
    fill_users(&s);
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (!(p->gpu ? is_gpu(n) : is_contraction(n)) || n->body) continue;
        Tail t = {.root = n};
        Value *out = NULL;
        gather(&s, &t);
        cut(&s, &t, &out);
        while (t.n && count_operands(&t) + 1 > MAX_OPERANDS) {
            t.n--;
            cut(&s, &t, &out);
        }
        if (!t.n) continue;
        while (next && in_tail(&t, next)) next = next->next;
        absorb(&s, &t, out);
        changed = true;
    }
    arena_free(s.scratch);
    return changed;
}
