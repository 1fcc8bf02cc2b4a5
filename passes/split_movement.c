/* What moves elements of less than a byte -> the same on bytes, between Casts: x -> Cast to int8 or uint8 -> move ->
 * Cast back. Floats of 4 bits go as the bits of uint4; Where, which takes no float of 8 bits, as uint8. Nothing is
 * lost: every code goes into a byte and comes back. Views stay: the same bits in the same order. */
#include "passes/internal.h"

/* The integers of as many bits that stand for a dtype, and what holds one of them in a byte. */
static Dtype bits_of(Dtype t) { return t == DT_F4E2M1 ? DT_U4 : dtype_class(t) == DTC_SMALL ? DT_U8 : t; }
static Dtype byte_of(Dtype t) { return t == DT_I4 || t == DT_I2 ? DT_I8 : DT_U8; }

bool movement_splits(const Node *n) {
    int typed = n->op == OP_Where ? 1 : 0;
    if (n->n_in <= typed || !n->in[typed]) return false;
    Dtype t = n->in[typed]->type.dtype;
    bool moves = op_has(n->op, OP_MOVEMENT) || n->op == OP_ScatterElements || n->op == OP_ScatterND ||
                 n->op == OP_Compress || n->op == OP_ReverseSequence || n->op == OP_TensorScatter;
    if (n->op == OP_Where) return (dtype_class(t) & (DTC_PACKED | DTC_SMALL)) != 0;
    return moves && dtype_bits(t) && dtype_bits(t) < 8;
}

/* A conversion of x, before `at` (NULL: at the end of the graph), in the name of n */
static Node *conversion(Rewrite *r, const Node *n, Node *at, Op op, Value *x, Dtype to) {
    Node *made = node_new(r->g, op, at, &x, 1, 1);
    made->name = n->name;
    made->index = n->index;
    x->n_uses++;
    node_set_int(made, "to", to);
    rewrite_infer(r, made);
    return made;
}

static Value *convert(Rewrite *r, Node *n, Op op, Value *x, Dtype to) {
    return x->type.dtype == to ? x : conversion(r, n, n, op, x, to)->out[0];
}

/* Output i of n moves bytes from here on; v, what it was, is packed of them. */
static void pack(Rewrite *r, Node *n, int i, Node *behind) {
    Value *v = n->out[i], *moved = value_new(r->g, (Str){0});
    Dtype to = v->type.dtype, bits = bits_of(to);
    moved->type = v->type;
    moved->type.dtype = byte_of(bits);
    Value *x = moved;
    if (bits != to && bits != byte_of(bits)) x = conversion(r, n, behind, OP_Cast, x, bits)->out[0];
    rewrite_define(r, conversion(r, n, behind, bits != to ? OP_BitCast : OP_Cast, x, to), v);
    n->out[i] = moved;
    moved->def = n;
    moved->def_index = i;
}

void split_movement(Rewrite *r, Node *n) {
    Dtype t = n->in[n->op == OP_Where ? 1 : 0]->type.dtype, bits = bits_of(t);
    Node *behind = n->next;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i]->type.dtype == t)
            rewrite_input(r, n, i, convert(r, n, OP_Cast, convert(r, n, OP_BitCast, n->in[i], bits), byte_of(bits)));
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i]) pack(r, n, i, behind);
}
