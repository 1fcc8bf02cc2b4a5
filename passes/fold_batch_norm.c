/* BatchNormalization with constant parameters is one multiplication and one addition a channel:
 *   scale · (x - mean) / sqrt(var + eps) + bias = x · s + t,  s = scale / sqrt(var + eps),  t = bias - mean · s
 * computed in double. fold_scale takes both into the weights of a convolution before them. */
#include "passes/internal.h"
#include <math.h>

enum { X, SCALE, BIAS, MEAN, VARIANCE, N_IN };

static bool is_foldable(const Node *n, int64_t *channels) {
    const Value *x = n->in[X];
    if (n->op != OP_BatchNormalization || n->n_out != 1 || node_int(n, "training_mode") || x->type.rank < 2)
        return false;
    for (int i = SCALE; i < N_IN; i++)
        if (!n->in[i]->constant || !value_is_float(n->in[i])) return false;
    *channels = n->in[SCALE]->constant->dims[0];
    return dim_is(x->type.dims[1], *channels);
}

/* One number a channel, shaped to broadcast along axis 1 */
static Tensor *channel_tensor(Graph *g, const Value *x, int64_t channels) {
    int64_t dims[MCC_MAX_RANK] = {channels};
    for (int i = 1; i < x->type.rank - 1; i++) dims[i] = 1;
    if (!fold_fits(g->ctx, x->type.dtype, channels)) return NULL;
    return tensor_new(g, x->type.dtype, x->type.rank - 1, dims);
}

static bool fill(const Node *n, int64_t channels, Tensor *s, Tensor *t) {
    double epsilon = node_float(n, "epsilon");
    for (int64_t c = 0; c < channels; c++) {
        double scale =
            tensor_float(n->in[SCALE]->constant, c) / sqrt(tensor_float(n->in[VARIANCE]->constant, c) + epsilon);
        tensor_set_float(s, c, scale);
        scale = tensor_float(s, c); /* the shift belongs to the scale as it was rounded */
        tensor_set_float(t, c, tensor_float(n->in[BIAS]->constant, c) - tensor_float(n->in[MEAN]->constant, c) * scale);
        if (!isfinite(scale) || !isfinite(tensor_float(t, c))) return false;
    }
    return true;
}

static void fold(Rewrite *r, Node *n) {
    int64_t channels;
    if (!is_foldable(n, &channels)) return;
    Value *x = n->in[X];
    Tensor *s = channel_tensor(r->g, x, channels), *t = s ? channel_tensor(r->g, x, channels) : NULL;
    if (!t || !fill(n, channels, s, t)) return;
    Node *mul = rewrite_insert(r, n, OP_Mul, (Value *[]){x, value_of_tensor(r->g, s)}, 2);
    rewrite_infer(r, mul);
    rewrite_become(r, n, OP_Add, (Value *[]){mul->out[0], value_of_tensor(r->g, t)}, 2);
}

bool pass_fold_batch_norm(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));) fold(&r, n);
    return rewrite_end(&r);
}
