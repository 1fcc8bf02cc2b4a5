/* Gather, GatherElements, GatherND: elements that indices name. The kernels check the indices. */
#include "frontend/infer/infer.h"

/* Known elements at constant places along the axis */
static void gather_content(Ctx *ctx, Node *n, int axis) {
    Dim out[VALUE_CONTENT_MAX];
    int64_t at[VALUE_CONTENT_MAX], pitch[MCC_MAX_RANK];
    const Type *x = type_of(n, 0);
    int have = value_content(n->in[0]), places = value_content_const(n->in[1], at), count = 0;
    if (places < 0 || !content_pitches(n->in[0], pitch)) return;
    int64_t size = x->dims[axis]->value, inner = pitch[axis], slab = size * inner, outer = slab > 0 ? have / slab : 0;
    if (outer * places * inner > VALUE_CONTENT_MAX) return;
    for (int64_t o = 0; o < outer; o++)
        for (int k = 0; k < places; k++) {
            int64_t place = at[k] < 0 ? at[k] + size : at[k];
            for (int64_t e = 0; e < inner; e++, count++)
                out[count] = place >= 0 && place < size ? n->in[0]->content[(o * size + place) * inner + e] : NULL;
        }
    content_set(ctx, n, 0, out, count);
}

bool infer_gather(Ctx *ctx, Node *n) {
    int axis, rank = 0;
    if (!infer_begin(ctx, n) || !need_index_dtype(ctx, n, 1) ||
        !read_axis(ctx, n, node_int(n, "axis"), type_of(n, 0)->rank, &axis))
        return false;
    const Type *x = type_of(n, 0), *indices = type_of(n, 1);
    Dim dims[2 * MCC_MAX_RANK];
    for (int i = 0; i < axis; i++) dims[rank++] = x->dims[i];
    for (int i = 0; i < indices->rank; i++) dims[rank++] = indices->dims[i];
    for (int i = axis + 1; i < x->rank; i++) dims[rank++] = x->dims[i];
    if (!set_output(ctx, n, 0, x->dtype, rank, dims)) return false;
    gather_content(ctx, n, axis);
    return true;
}

bool infer_gather_elements(Ctx *ctx, Node *n) {
    int axis;
    if (!infer_begin(ctx, n) || !need_index_dtype(ctx, n, 1) ||
        !read_axis(ctx, n, node_int(n, "axis"), type_of(n, 0)->rank, &axis))
        return false;
    const Type *x = type_of(n, 0), *indices = type_of(n, 1);
    if (!need_rank(ctx, n, 1, x->rank, x->rank)) return false;
    for (int i = 0; i < x->rank; i++) /* sizes that only the run tells are the kernel's business */
        if (i != axis && !dim_has_data(indices->dims[i]) && !dim_has_data(x->dims[i]) &&
            !need_at_most(ctx, n, indices->dims[i], x->dims[i], "sizes of indices and data"))
            return false;
    return set_output(ctx, n, 0, x->dtype, x->rank, indices->dims);
}

/* indices[…, k] name the first k axes behind the batch axes */
bool infer_gather_nd(Ctx *ctx, Node *n) {
    int64_t batch, k;
    int rank = 0;
    if (!infer_begin(ctx, n) || !need_index_dtype(ctx, n, 1) || !need_rank(ctx, n, 0, 1, MCC_MAX_RANK) ||
        !need_rank(ctx, n, 1, 1, MCC_MAX_RANK))
        return false;
    const Type *x = type_of(n, 0), *indices = type_of(n, 1);
    int q = indices->rank;
    batch = node_int(n, "batch_dims");
    if (batch < 0 || batch >= x->rank || batch >= q)
        return fail(ctx, n, "batch_dims is %lld, must be less than both ranks", (long long)batch);
    if (!dim_is_const(indices->dims[q - 1], &k))
        return fail(ctx, n, "the last size of the indices is %s: it decides the rank and must be pinned (--dim)",
                    dim_text(ctx, indices->dims[q - 1]));
    if (k < 1 || k > x->rank - batch)
        return fail(ctx, n, "the last size of the indices is %lld, must be 1 to %lld", (long long)k,
                    (long long)(x->rank - batch));
    Dim dims[2 * MCC_MAX_RANK];
    for (int i = 0; i < q - 1; i++) {
        dims[rank++] = i < batch
                           ? equal_dims(ctx, n, indices->dims[i], x->dims[i], "the batch sizes of data and indices")
                           : indices->dims[i];
        if (!dims[i]) return false;
    }
    for (int i = (int)(batch + k); i < x->rank; i++) dims[rank++] = x->dims[i];
    return set_output(ctx, n, 0, x->dtype, rank, dims);
}
