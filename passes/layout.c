/* Chooses layouts: convolutions with constant weights compute on channel blocks, and what lies between them follows. A
 * value [N, C, spatial…] gets a twin [N, ⌈C/b⌉, spatial…, b], an ordinary value of one more dim, so that every other
 * pass and kernel handles it as it is; reorders stand only where a plain and a blocked operator meet, once a value.
 * Sparse products of [N, rows, K] read and write rows in blocks, as if those were the channels.
 * What stands beyond C in the last block is anything: no kernel mixes the lanes of a block, and a contraction reads C
 * channels. */
#include <string.h>
#include "passes/lower.h"

int block_of(const Value *blocked) { return (int)blocked->type.dims[blocked->type.rank - 1]->value; }

Value *twin_of(const Layout *l, const Value *plain) {
    return plain && plain->id < l->n_ids ? l->twin[plain->id] : NULL;
}

static void set_blocked_type(Layout *l, Value *v, const Value *plain, int block) {
    Dim dims[MCC_MAX_RANK];
    int rank = plain->type.rank;
    memcpy(dims, plain->type.dims, sizeof *dims * (size_t)rank);
    dims[1] = dim_ceildiv(l->ctx, dims[1], dim_const(l->ctx, block));
    dims[rank] = dim_const(l->ctx, block);
    value_set_dims(v, plain->type.dtype, rank + 1, dims);
}

/* Are the elements of both in one order? */
static bool lies_alike(const Value *plain, int block) {
    if (dim_is(plain->type.dims[1], 1)) return block == 1;
    for (int i = 2; i < plain->type.rank; i++)
        if (!dim_is(plain->type.dims[i], 1)) return false;
    return dim_is(plain->type.dims[1], block);
}

static Value *make_blocked(Layout *l, Value *plain, Node *before, int block) {
    Node *n = node_new(l->g, lies_alike(plain, block) ? OP_View : OP_Block, before, &plain, 1, 1);
    if (n->op == OP_Block) node_set_int(n, "block", block);
    set_blocked_type(l, n->out[0], plain, block);
    return n->out[0];
}

Value *want_blocked(Layout *l, Value *plain, Node *before, int block) {
    Value *twin = twin_of(l, plain);
    int64_t channels = 0;
    if (twin && (!block || block_of(twin) == block)) return twin;
    if (!block && dim_is_const(plain->type.dims[1], &channels)) block = channel_block(l->target, channels);
    if (plain->constant && value_in_blocks(plain))
        return pack_channels(l->g, plain, plain->type.rank, 1, block);
    Value *made = make_blocked(l, want_plain(l, plain, before), before, block);
    if (!twin && plain->id < l->n_ids) l->twin[plain->id] = made;
    return made;
}

Value *want_vectors(Layout *l, Value *plain, Node *before) {
    int64_t channels;
    bool pixels = target_has_pixels(l->target) && dim_is_const(plain->type.dims[1], &channels);
    return want_blocked(l, plain, before, pixels ? channel_block(l->target, channels) : 0);
}

Value *want_plain(Layout *l, Value *v, Node *before) {
    Value *twin = twin_of(l, v);
    if (!twin || v->def || v->constant) return v;
    for (int i = 0; i < l->g->n_inputs; i++)
        if (l->g->inputs[i] == v) return v;
    Node *n = node_new(l->g, lies_alike(v, block_of(twin)) ? OP_View : OP_Unblock, before, &twin, 1, 1);
    n->out[0] = v;
    v->def = n;
    v->def_index = 0;
    return v;
}

Node *replace_blocked(Layout *l, Node *n, Op op, Value **in, int n_in, int block) {
    Node *made = node_new(l->g, op, n, in, n_in, 1);
    Value *plain = n->out[0];
    made->name = n->name;
    made->index = n->index;
    set_blocked_type(l, made->out[0], plain, block);
    l->twin[plain->id] = made->out[0];
    plain->def = NULL; /* until somebody wants it plain */
    node_remove(n);
    return made;
}

static void lower_plain(Layout *l, Node *n) {
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]) n->in[i] = want_plain(l, n->in[i], n);
}

static bool lower(Layout *l, Node *n) {
    if (n->op == OP_Conv || n->op == OP_ConvTranspose) return lower_conv(l, n);
    if (n->op == OP_ConvInteger) return lower_conv_integer(l, n);
    if (n->op == OP_SparseMatMul) return lower_sparse_product(l, n);
    if (n->op == OP_LayerNormalization || n->op == OP_RMSNormalization) return lower_norm(l, n);
    if (lower_bias_integer(l, n)) return true;
    if (op_has(n->op, OP_POOL)) return lower_pool(l, n);
    if (node_is_elementwise(n)) return lower_elementwise(l, n);
    if (op_has(n->op, OP_REDUCTION)) return lower_reduction(l, n);
    return lower_attention(l, n) || lower_movement(l, n);
}

bool pass_layout(Graph *g, PassCtx *p) {
    if (!p->target) return false;
    Layout l = {.g = g, .ctx = g->ctx, .target = p->target, .pass = p, .n_ids = g->ctx->next_id};
    Arena *scratch = arena_new(g->ctx);
    bool changed = false;
    graph_count_uses(g);
    l.twin = ARENA_ARRAY(scratch, l.n_ids, Value *);
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (lower(&l, n)) changed = true;
        else lower_plain(&l, n);
    }
    for (int i = 0; i < g->n_outputs; i++) want_plain(&l, g->outputs[i], NULL);
    arena_free(scratch);
    return changed;
}
