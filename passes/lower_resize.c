/* Resize that weighs its neighbours, of a value in blocks, as mcc.BlockResize: which places are weighed, and how, is
 * known now, for sizes and scales are. */
#include <string.h>
#include "passes/lower.h"
#include "runtime/kernels/resize.h"

enum { MOST_TAPS = 4, SCALES = 2, SIZES = 3 };

/* scales or sizes of all axes, NULL: there are none */
static const Tensor *list_of(const Node *n, int input) {
    const Value *v = node_in(n, input);
    return v && v->constant && v->constant->dims[0] == n->in[0]->type.rank ? v->constant : NULL;
}

/* scale of axis i, which grows from `in` to `out` */
static float scale_of(const Node *n, int i, int64_t in, int64_t out) {
    const Tensor *scales = list_of(n, SCALES);
    return scales ? (float)tensor_float(scales, i) : (float)out / (float)in;
}

/* Scales or sizes are known, and of nothing else an axis's weights depend. A region counts for tf_crop_and_resize
 * alone. */
static bool is_plain(const Node *n) {
    enum { TF_CROP_AND_RESIZE = 5, NEAREST = 0, STRETCH = 0 };
    const int64_t *unused;
    const Value *scales = node_in(n, SCALES);
    int mode = node_enum(n, "coordinate_transformation_mode");
    bool known = list_of(n, SCALES) || ((!scales || dim_is(scales->type.dims[0], 0)) && list_of(n, SIZES));
    return known && !node_ints(n, "axes", &unused) && mode >= 0 && mode < TF_CROP_AND_RESIZE &&
           node_enum(n, "mode") != NEAREST && node_enum(n, "keep_aspect_ratio_policy") == STRETCH;
}

static Value *table(Layout *l, Dtype t, int64_t out, int64_t taps, const void *data) {
    const int64_t dims[2] = {out, taps};
    Tensor *made = tensor_packed(l->g, t, 2, dims);
    memcpy((void *)made->data, data, made->bytes);
    return value_of_tensor(l->g, made);
}

static bool fill_tables(Layout *l, const Node *n, int axis, Value **in) {
    enum { MOST_OUT = 1 << 16 };
    int64_t words[MAX_ATTR_WORDS], from, out;
    if (!dim_is_const(n->in[0]->type.dims[axis], &from) || !dim_is_const(n->out[0]->type.dims[axis], &out) ||
        from < 1 || out < 1 || out > MOST_OUT)
        return false;
    float scale = scale_of(n, axis, from, out), *weights = ARENA_ARRAY(l->g->arena, out * MOST_TAPS, float);
    int32_t *places = ARENA_ARRAY(l->g->arena, out * MOST_TAPS, int32_t);
    node_attr_words(n, words);
    int taps = scale > 0 ? mcc_resize_axis((const mcc_attr *)words, from, out, scale, places, weights, MOST_TAPS) : 0;
    if (!taps) return false;
    in[0] = table(l, DT_I32, out, taps, places);
    in[1] = table(l, DT_F32, out, taps, weights);
    return true;
}

bool lower_weighted_resize(Layout *l, Node *n, Value *x) {
    Value *in[1 + 2 * MCC_MAX_RANK] = {x};
    const Type *from = &n->in[0]->type, *to = &n->out[0]->type;
    int spatial = from->rank - 2;
    if (!value_is_f32(x) || spatial < 1 || spatial > 3 || !is_plain(n) || from->dims[0] != to->dims[0] ||
        from->dims[1] != to->dims[1] || scale_of(n, 0, 1, 1) != 1 || scale_of(n, 1, 1, 1) != 1)
        return false;
    for (int i = 0; i < spatial; i++)
        if (!fill_tables(l, n, 2 + i, in + 1 + 2 * i)) return false;
    replace_blocked(l, n, OP_BlockResize, in, 1 + 2 * spatial, block_of(x));
    return true;
}
