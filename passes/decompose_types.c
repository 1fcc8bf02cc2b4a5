/* Operators on types that no kernel of theirs takes: the same on types that one does, between Casts.
 *
 *   ConstantOfShape of less than a byte         of float32, which holds them all
 *   IsInf, IsNaN of floats of 8 and 4 bits      the same
 *   Resize of bool                              of uint8
 *   RMSNormalization, scale of another type     in the wider of both; the result is of the scale's
 *   QuantizeLinear, DequantizeLinear            scales of int32 or float8e8m0 as float32
 *   QLinearMatMul of floats of 8 bits           DequantizeLinear of both, MatMul, QuantizeLinear */
#include "passes/decompose.h"

static bool is_small(const Value *v) { return dtype_class(v->type.dtype) == DTC_SMALL; }
static bool is_usual_scale(Dtype t) { return t == DT_F32 || t == DT_F16 || t == DT_BF16; }

bool types_split(const Node *n) {
    switch (n->op) {
    case OP_ConstantOfShape: return n->out[0] && dtype_bits(n->out[0]->type.dtype) < 8;
    case OP_IsInf:
    case OP_IsNaN: return is_small(n->in[0]);
    case OP_Resize: return n->in[0]->type.dtype == DT_BOOL;
    case OP_RMSNormalization: return n->in[0]->type.dtype != n->in[1]->type.dtype;
    case OP_QuantizeLinear:
    case OP_DequantizeLinear: return !is_usual_scale(n->in[1]->type.dtype);
    case OP_QLinearMatMul: return is_small(n->in[0]) || is_small(n->in[3]) || is_small(n->in[7]);
    default: return false;
    }
}

/* The operator itself, of the first `casts` inputs as `t` */
static void run_in(Build *b, Dtype t, int casts) {
    Node *n = b->at;
    Value **in = ARENA_ARRAY(b->r->g->arena, n->n_in, Value *);
    for (int i = 0; i < n->n_in; i++) in[i] = i < casts ? build_cast(b, n->in[i], t) : n->in[i];
    Node *made = build_node(b, n->op, in, n->n_in);
    if (made) node_copy_attrs(made, n);
    build_output(b, 0, build_cast(b, build_value(b, made), n->out[0]->type.dtype));
    build_end(b);
}

static void split_fill(Build *b) {
    const Attr *value = node_attr(b->at, "value");
    Value *number = build_scalar(b, DT_F32, tensor_float(value->tensor, 0));
    Node *made = build_node(b, OP_ConstantOfShape, b->at->in, 1);
    if (made && number) node_set_tensor(made, "value", number->constant);
    build_output(b, 0, build_cast(b, build_value(b, made), b->at->out[0]->type.dtype));
    build_end(b);
}

static void cast_scale(Build *b) {
    Node *n = b->at;
    if (n->op == OP_DequantizeLinear) node_set_int(n, "output_dtype", n->out[0]->type.dtype);
    rewrite_input(b->r, n, 1, build_cast(b, n->in[1], DT_F32));
}

/* Inputs at … at + 2, a matrix's scales along `axis` */
static Value *dequantized(Build *b, int at, int axis) {
    Node *n = b->at;
    Value *in[] = {n->in[at], build_cast(b, n->in[at + 1], DT_F32), n->in[at + 2]};
    Node *made = build_node(b, OP_DequantizeLinear, in, 3);
    if (made) node_set_int(made, "axis", axis);
    return build_value(b, made);
}

static void split_product(Build *b) {
    Node *n = b->at;
    int rows = n->in[0]->type.rank - 2, columns = n->in[3]->type.rank - 1;
    Value *y = build_op(b, OP_MatMul, dequantized(b, 0, rows < 0 ? 0 : rows), dequantized(b, 3, columns));
    Value *in[] = {y, build_cast(b, n->in[6], DT_F32), n->in[7]};
    build_output(b, 0, build_value(b, build_node(b, OP_QuantizeLinear, in, 3)));
    build_end(b);
}

static Dtype wider(Dtype x, Dtype y) { return x == DT_F64 || y == DT_F64 ? DT_F64 : DT_F32; }

void split_types(Build *b) {
    const Node *n = b->at;
    switch (n->op) {
    case OP_ConstantOfShape: split_fill(b); return;
    case OP_IsInf:
    case OP_IsNaN: run_in(b, DT_F32, 1); return;
    case OP_Resize: run_in(b, DT_U8, 1); return;
    case OP_RMSNormalization: run_in(b, wider(n->in[0]->type.dtype, n->in[1]->type.dtype), 2); return;
    case OP_QLinearMatMul: split_product(b); return;
    default: cast_scale(b);
    }
}
