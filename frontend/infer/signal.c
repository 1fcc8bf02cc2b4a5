/* DFT, STFT, windows, MelWeightMatrix; n-grams. Their sizes are scalar inputs. */
#include "frontend/infer/infer.h"

/* The integer that scalar input `in` holds; NULL: known at run time only. */
static Dim scalar_dim(Ctx *ctx, const Node *n, int in) {
    const Value *v = n->in[in];
    if (value_content(v) == 1) return v->content[0];
    return v->constant ? dim_const(ctx, tensor_int(v->constant, 0)) : NULL;
}

static bool need_int_scalar(Ctx *ctx, const Node *n, int in) {
    return need_index_dtype(ctx, n, in) && need_scalar(ctx, n, in);
}

/* n/2 + 1 */
static Dim half_of(Ctx *ctx, Dim n) { return dim_add(ctx, dim_floordiv(ctx, n, dim_const(ctx, 2)), dim_const(ctx, 1)); }

/* Real or complex: 1 or 2 as the last dim. */
static bool need_parts(Ctx *ctx, const Node *n, int64_t *parts) {
    const Type *x = type_of(n, 0);
    if (dim_is_const(x->dims[x->rank - 1], parts) && (*parts == 1 || *parts == 2)) return true;
    return fail(ctx, n, "input 0 has shape %s: its last size must be 1 (real) or 2 (complex)",
                shape_text(ctx, n->in[0]));
}

/* ---- DFT ---- */

/* The transform's number of points along an axis of size `have`; NULL: known at run time only. */
static Dim dft_points(Ctx *ctx, const Node *n, Dim have) {
    if (node_in(n, 1)) return scalar_dim(ctx, n, 1);
    if (!node_int(n, "inverse") || !node_int(n, "onesided")) return have;
    return dim_mul(ctx, dim_const(ctx, 2), dim_sub(ctx, have, dim_const(ctx, 1)));
}

static bool check_points(Ctx *ctx, const Node *n, Dim points) {
    return !points || need_at_most(ctx, n, dim_const(ctx, 1), points, "the least number of points and theirs");
}

/* Which axis is known at run time only: each may be the one. */
static bool dft_any_axis(Ctx *ctx, Node *n, Dim *dims, int rank, bool half) {
    for (int i = 0; i < rank - 1; i++) {
        Dim points = dft_points(ctx, n, dims[i]);
        bool same = !half && points == dims[i];
        if (same) continue;
        Dim most = points ? dim_const(ctx, points->hi > dims[i]->hi ? points->hi : dims[i]->hi) : NULL;
        if (!(dims[i] = data_dim(ctx, n, 0, rank, i, 0, most))) return false;
    }
    return true;
}

bool infer_dft(Ctx *ctx, Node *n) {
    int64_t parts, given = -2;
    bool inverse = node_int(n, "inverse") != 0, onesided = node_int(n, "onesided") != 0;
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 2, MCC_MAX_RANK) || !need_parts(ctx, n, &parts) ||
        (node_in(n, 1) && !need_int_scalar(ctx, n, 1)) || (node_in(n, 2) && !need_int_scalar(ctx, n, 2)))
        return false;
    Type y = *type_of(n, 0);
    if (onesided && !inverse && parts == 2)
        return fail(ctx, n, "onesided: the spectrum of complex numbers has no half that tells the other");
    if (onesided && inverse && parts == 1) return fail(ctx, n, "onesided, inverse: the spectrum must be complex");
    y.dims[y.rank - 1] = dim_const(ctx, onesided && inverse ? 1 : 2);
    Dim axis = node_in(n, 2) ? scalar_dim(ctx, n, 2) : dim_const(ctx, -2);
    if (!dim_is_const(axis, &given)) {
        return dft_any_axis(ctx, n, y.dims, y.rank, onesided && !inverse) &&
               set_output(ctx, n, 0, y.dtype, y.rank, y.dims);
    }
    int at;
    if (!read_axis(ctx, n, given, y.rank, &at)) return false;
    if (at == y.rank - 1) return fail(ctx, n, "axis %lld holds the parts of complex numbers", (long long)given);
    Dim points = dft_points(ctx, n, y.dims[at]);
    if (!check_points(ctx, n, points)) return false;
    if (!points) y.dims[at] = data_dim(ctx, n, 0, y.rank, at, 0, NULL);
    else y.dims[at] = onesided && !inverse ? half_of(ctx, points) : points;
    return y.dims[at] && set_output(ctx, n, 0, y.dtype, y.rank, y.dims);
}

/* ---- STFT ---- */

bool infer_stft(Ctx *ctx, Node *n) {
    int64_t parts = 1;
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 2, 3) || !need_int_scalar(ctx, n, 1) ||
        (type_of(n, 0)->rank == 3 && !need_parts(ctx, n, &parts)) ||
        (node_in(n, 2) && (!need_same_dtype(ctx, n, 2, 0) || !need_rank(ctx, n, 2, 1, 1))) ||
        (node_in(n, 3) && !need_int_scalar(ctx, n, 3)))
        return false;
    const Type *x = type_of(n, 0);
    bool onesided = node_int(n, "onesided") != 0;
    if (onesided && parts == 2)
        return fail(ctx, n, "onesided: the spectrum of complex numbers has no half that tells the other");
    Dim step = scalar_dim(ctx, n, 1), one = dim_const(ctx, 1);
    Dim length = node_in(n, 3) ? scalar_dim(ctx, n, 3) : node_in(n, 2) ? type_of(n, 2)->dims[0] : x->dims[1];
    if (step && step->hi < 1) return fail(ctx, n, "frame_step is %s, must be at least 1", dim_text(ctx, step));
    if (!check_points(ctx, n, length)) return false;
    if (length && node_in(n, 2) &&
        !equal_dims(ctx, n, length, type_of(n, 2)->dims[0], "frame_length and the length of the window"))
        return false;
    Dim dims[] = {x->dims[0], NULL, NULL, dim_const(ctx, 2)};
    if (step && step->lo >= 1 && length)
        dims[1] = clamp_size(ctx, dim_add(ctx, dim_floordiv(ctx, dim_sub(ctx, x->dims[1], length), step), one));
    else dims[1] = data_dim(ctx, n, 0, 4, 1, 0, x->dims[1]);
    if (length) dims[2] = onesided ? half_of(ctx, length) : length;
    else dims[2] = data_dim(ctx, n, 0, 4, 2, 0, x->dims[1]);
    return dims[1] && dims[2] && set_output(ctx, n, 0, x->dtype, 4, dims);
}

/* ---- windows, MelWeightMatrix ---- */

static bool read_datatype(Ctx *ctx, const Node *n, Dtype *t) {
    int64_t given = node_int(n, "output_datatype");
    *t = given > DT_NONE && given < DT_COUNT ? (Dtype)given : DT_NONE;
    if (dtype_computes(*t) && dtype_class(*t) & (F | I | U)) return true;
    return fail(ctx, n, "output_datatype is %lld, must be a number's type", (long long)given);
}

/* The size that input `in` asks for, or a dim that the run tells. */
static Dim size_input(Ctx *ctx, const Node *n, int in, int rank, int axis) {
    Dim d = scalar_dim(ctx, n, in);
    if (d && d->hi < 0) return fail_dim(ctx, n, "input %d is %s, must not be negative", in, dim_text(ctx, d));
    return d ? d : data_dim(ctx, n, 0, rank, axis, 0, NULL);
}

bool infer_signal_window(Ctx *ctx, Node *n) {
    Dtype t;
    if (!infer_begin(ctx, n) || !need_int_scalar(ctx, n, 0) || !read_datatype(ctx, n, &t)) return false;
    Dim size = size_input(ctx, n, 0, 1, 0);
    return size && set_output(ctx, n, 0, t, 1, &size);
}

bool infer_mel_weight_matrix(Ctx *ctx, Node *n) {
    Dtype t;
    if (!infer_begin(ctx, n) || !read_datatype(ctx, n, &t)) return false;
    for (int i = 0; i < 3; i++)
        if (!need_int_scalar(ctx, n, i)) return false;
    for (int i = 3; i < 5; i++)
        if (!need_dtype(ctx, n, i, F) || !need_scalar(ctx, n, i)) return false;
    Dim points = scalar_dim(ctx, n, 1), bins = size_input(ctx, n, 0, 2, 1);
    if (points && points->hi < 0) return fail(ctx, n, "input 1 is %s, must not be negative", dim_text(ctx, points));
    Dim dims[] = {points ? half_of(ctx, points) : data_dim(ctx, n, 0, 2, 0, 0, NULL), bins};
    return dims[0] && dims[1] && set_output(ctx, n, 0, t, 2, dims);
}

/* ---- n-grams ---- */

static bool set_rows(Ctx *ctx, Node *n, int64_t columns) {
    const Type *x = type_of(n, 0);
    if (!need_index_dtype(ctx, n, 0) || !need_rank(ctx, n, 0, 0, 2)) return false;
    Dim dims[] = {x->rank == 2 ? x->dims[0] : dim_const(ctx, columns), dim_const(ctx, columns)};
    return set_output(ctx, n, 0, DT_F32, x->rank == 2 ? 2 : 1, dims);
}

static const Attr *list_attr(const Node *n, const char *name, AttrKind kind) {
    const Attr *a = node_attr(n, name);
    return a && a->kind == kind ? a : NULL;
}

/* Where the n-grams of each length begin in the pool, and how long it is, must be in order. */
static bool check_counts(Ctx *ctx, const Node *n, const Attr *counts, int64_t pool, int64_t *grams) {
    *grams = 0;
    for (int i = 0; i < counts->n; i++) {
        int64_t from = counts->ints[i], to = i + 1 < counts->n ? counts->ints[i + 1] : pool;
        if (from < 0 || to < from || to > pool || (to - from) % (i + 1))
            return fail(ctx, n, "ngram_counts[%d] is %lld, which does not cut the pool into n-grams of %d", i,
                        (long long)from, i + 1);
        *grams += (to - from) / (i + 1);
    }
    return counts->n == 0 || counts->ints[0] == 0 || fail(ctx, n, "ngram_counts does not begin with 0");
}

bool infer_tf_idf(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n)) return false;
    if (node_attr(n, "pool_strings")) return fail(ctx, n, "n-grams of strings are not supported");
    const Attr *counts = list_attr(n, "ngram_counts", ATTR_INTS), *pool = list_attr(n, "pool_int64s", ATTR_INTS),
               *columns = list_attr(n, "ngram_indexes", ATTR_INTS), *weights = list_attr(n, "weights", ATTR_FLOATS);
    int64_t least = node_int(n, "min_gram_length"), most = node_int(n, "max_gram_length"), grams, last = -1;
    if (!counts || !pool || !columns)
        return fail(ctx, n, "ngram_counts, ngram_indexes and pool_int64s must be lists of integers");
    if (!node_attr(n, "mode")) return fail(ctx, n, "attribute mode is missing");
    if (least < 1 || most < least || most > counts->n)
        return fail(ctx, n, "lengths %lld to %lld are no lengths of the pool's n-grams, 1 to %d", (long long)least,
                    (long long)most, counts->n);
    if (node_int(n, "max_skip_count") < 0) return fail(ctx, n, "max_skip_count is negative");
    if (!check_counts(ctx, n, counts, pool->n, &grams)) return false;
    if (grams != columns->n)
        return fail(ctx, n, "ngram_indexes has %d entries, the pool %lld n-grams", columns->n, (long long)grams);
    for (int i = 0; i < columns->n; i++) {
        if (columns->ints[i] < 0 || columns->ints[i] > INT32_MAX - 1)
            return fail(ctx, n, "ngram_indexes[%d] is %lld", i, (long long)columns->ints[i]);
        if (columns->ints[i] > last) last = columns->ints[i];
    }
    if (node_attr(n, "weights") && (!weights || weights->n != columns->n))
        return fail(ctx, n, "weights must have as many entries as ngram_indexes, %d", columns->n);
    return set_rows(ctx, n, last + 1);
}

bool infer_ngrams(Ctx *ctx, Node *n) { return infer_begin(ctx, n) && set_rows(ctx, n, node_int(n, "columns")); }
