/* Means and sums of quantized numbers: those of their integers, times the scale, which is one rounding where all sums
 * are whole numbers that f32 holds. */
#include <string.h>
#include "passes/quant.h"

/* Elements of the input that one of the output combines, at most; 0: n is no mean or sum, or it is not known */
static int64_t combined(const Node *n) {
    const int64_t *kernel;
    int64_t count = 1;
    int axes = 0;
    Dim all = value_elements(n->graph->ctx, n->in[0]);
    switch (n->op) {
    case OP_AveragePool:
        axes = node_ints(n, "kernel_shape", &kernel);
        for (int i = 0; i < axes; i++)
            if (!mul_i64(count, kernel[i], &count)) return 0;
        return axes ? count : 0;
    case OP_GlobalAveragePool:
        for (int i = 2; i < n->in[0]->type.rank; i++)
            if (!mul_i64(count, n->in[0]->type.dims[i]->hi, &count)) return 0;
        return count;
    case OP_ReduceMean:
    case OP_ReduceSum: return all ? all->hi : 0;
    default: return 0;
    }
}

bool mean_is_exact(const Node *n, Quant *q) {
    const char *why;
    int64_t reach, count = n->n_in && n->in[0] ? combined(n) : 0;
    return count > 0 && quant_of(n->in[0], OP_DequantizeLinear, q, &why) && q->n == 1 &&
           dtype_bits(q->codes->type.dtype) <= 8 && dtype_computes(q->codes->type.dtype) &&
           mul_i64(quant_difference(q, 0), count, &reach) && reach <= exact_whole;
}

void mean_of_whole(Rewrite *r, Node *n) {
    Quant q;
    if (!mean_is_exact(n, &q) || quant_scale(&q, 0) == 1 || value_has_data_dims(n->out[0])) return;
    Value **in = ARENA_ARRAY(r->scratch, n->n_in, Value *), *scale = n->in[0]->def->in[1];
    memcpy(in, n->in, sizeof *in * (size_t)n->n_in);
    in[0] = quant_whole(r, n, &q);
    Node *made = rewrite_insert(r, n, n->op, in, n->n_in);
    node_copy_attrs(made, n);
    rewrite_infer(r, made);
    rewrite_become(r, n, OP_Mul,
                   (Value *[]){made->out[0], const_scalar(r->g, DT_F32, tensor_float(scale->constant, 0))}, 2);
}
