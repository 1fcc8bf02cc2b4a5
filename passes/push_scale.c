/* Multiplications and additions of one constant a channel that nothing before them takes go into the weights after
 * them: conv(x * s, W, b) -> conv(x, W * s, b) conv(x + t, W, b) -> conv(x, W, b + sum of W * t)     where no window
 * sees padding, which is 0 and not t s and t vary along the input channels at most. Arithmetic is in double, rounded
 * once. */
#include "passes/internal.h"
#include <math.h>

enum { AUTO_NOTSET = 0, AUTO_VALID = 3 };

/* Where the input channels are; false: the weights are not constant, or have no such axis */
static bool input_order(const Node *n, WeightOrder *o) {
    const Tensor *w = n->in[1]->constant;
    int64_t all, group = node_int(n, "group");
    if (!w || !product_i64(w->dims, w->rank, &all) || all == 0) return false;
    switch (n->op) {
    case OP_Conv: *o = (WeightOrder){group, w->dims[0] / group, w->dims[1], all / w->dims[0] / w->dims[1]}; return true;
    case OP_ConvTranspose: *o = (WeightOrder){1, 1, w->dims[0], all / w->dims[0]}; return true;
    case OP_Gemm:
        if (node_int(n, "transA")) return false;
        if (node_int(n, "transB")) *o = (WeightOrder){1, w->dims[0], w->dims[1], 1};
        else *o = (WeightOrder){1, 1, w->dims[0], w->dims[1]};
        return true;
    default:
        if (w->rank < 2) return false;
        *o = (WeightOrder){1, all / w->dims[w->rank - 1] / w->dims[w->rank - 2], w->dims[w->rank - 2],
                           w->dims[w->rank - 1]};
        return n->op == OP_MatMul;
    }
}

static bool sees_no_padding(const Node *n) {
    const int64_t *pads;
    int count = node_ints(n, "pads", &pads), how = node_enum(n, "auto_pad");
    for (int i = 0; i < count && how == AUTO_NOTSET; i++)
        if (pads[i]) return false;
    return how == AUTO_NOTSET || how == AUTO_VALID;
}

/* b + sum of W * t for each output channel of a Conv; NULL: it cannot be told */
static Value *shifted_bias(Rewrite *r, const Node *n, const WeightOrder *o, const Step *by) {
    const Tensor *w = n->in[1]->constant, *b = node_in(n, 2) ? n->in[2]->constant : NULL;
    int64_t channels = w->dims[0], at = 0;
    if ((node_in(n, 2) && !b) || !fold_fits(r->ctx, w->dtype, channels)) return NULL;
    Tensor *t = tensor_new(r->g, w->dtype, 1, &channels);
    for (int64_t output = 0; output < channels; output++) {
        double sum = b ? tensor_float(b, output) : 0;
        for (int64_t i = 0; i < o->channels; i++)
            for (int64_t k = 0; k < o->inner; k++)
                sum += tensor_float(w, at++) * step_at(by, output / o->outer * o->channels + i);
        tensor_set_float(t, output, sum);
        if (!isfinite(tensor_float(t, output))) return NULL;
    }
    return value_of_tensor(r->g, t);
}

static void visit(Rewrite *r, Node *n) {
    Step by;
    WeightOrder o;
    Value *y = n->in[0];
    int axis = n->op == OP_MatMul ? y->type.rank - 1 : 1;
    if (y->n_uses != 1 || !y->def || !step_read(y->def, &by) || !step_is_finite(&by) || !input_order(n, &o)) return;
    if (by.axis >= 0 && by.axis != axis) return;
    if (by.is_scale) {
        Value *w = weights_scaled(r, n->in[1]->constant, o, &by);
        if (!w) return;
        rewrite_input(r, n, 1, w);
    } else {
        Value *bias = n->op == OP_Conv && sees_no_padding(n) ? shifted_bias(r, n, &o, &by) : NULL;
        if (!bias) return;
        Node attrs = *n;
        rewrite_become(r, n, OP_Conv, (Value *[]){y, n->in[1], bias}, 3);
        node_copy_attrs(n, &attrs);
    }
    rewrite_input(r, n, 0, by.x);
}

bool pass_push_scale(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));)
        if (op_has(n->op, OP_CONTRACTION) && value_is_float(n->in[0])) visit(&r, n);
    return rewrite_end(&r);
}
