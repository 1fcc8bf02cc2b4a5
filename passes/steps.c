/* Multiplications and additions of a constant that varies along one axis at most, and weights that take them in. */
#include "passes/internal.h"
#include <math.h>

bool step_constant(const Value *c, const Value *like, Step *s) {
    double same;
    int pad = like->type.rank - c->type.rank;
    if (!c->constant || c->type.dtype != like->type.dtype || pad < 0) return false;
    s->axis = -1;
    s->n = 1;
    s->c = c->constant;
    if (const_splat(c, &same)) return true;
    for (int i = 0; i < c->type.rank; i++) {
        if (dim_is(c->type.dims[i], 1)) continue;
        if (s->axis >= 0 || c->type.dims[i] != like->type.dims[i + pad]) return false;
        s->axis = i + pad;
        s->n = c->constant->dims[i];
    }
    return s->axis >= 0 && s->n > 0;
}

bool step_read(const Node *n, Step *s) {
    bool scale = n->op == OP_Mul || n->op == OP_Div, inverse = n->op == OP_Div || n->op == OP_Sub;
    if (!scale && n->op != OP_Add && n->op != OP_Sub) return false;
    int side = !inverse && n->in[0]->constant ? 0 : 1;
    *s = (Step){.is_scale = scale, .inverse = inverse, .x = n->in[1 - side]};
    return !s->x->constant && value_is_float(s->x) && value_same_type(s->x, n->out[0]) &&
           step_constant(n->in[side], n->out[0], s);
}

double step_at(const Step *s, int64_t i) {
    double c = tensor_float(s->c, s->axis < 0 ? 0 : i);
    return !s->inverse ? c : s->is_scale ? 1 / c : -c;
}

bool step_is_finite(const Step *s) {
    for (int64_t i = 0; i < s->n; i++)
        if (!isfinite(step_at(s, i))) return false;
    return true;
}

/* n elements from `at` on, times c. false: a finite one became infinite */
static bool scale_run(Tensor *to, const Tensor *from, int64_t at, int64_t n, double c) {
    bool finite = true;
    if (to->dtype == DT_F32) {
        const float *x = (const float *)from->data + at;
        float *y = (float *)to->data + at;
        for (int64_t i = 0; i < n; i++) {
            y[i] = (float)((double)x[i] * c);
            finite = finite && (isfinite(y[i]) || !isfinite(x[i]));
        }
        return finite;
    }
    for (int64_t i = at; i < at + n; i++) {
        double x = tensor_float(from, i);
        tensor_set_float(to, i, x * c);
        finite = finite && (isfinite(tensor_float(to, i)) || !isfinite(x));
    }
    return finite;
}

Value *weights_scaled(Rewrite *r, const Tensor *w, WeightOrder o, const Step *by) {
    int64_t n, at = 0, channels = o.groups * o.channels;
    if (!product_i64(w->dims, w->rank, &n) || !fold_fits(r->ctx, w->dtype, n)) return NULL;
    double *c = ARENA_ARRAY(r->scratch, channels, double);
    for (int64_t i = 0; i < channels; i++) c[i] = step_at(by, i);
    Tensor *t = tensor_new(r->g, w->dtype, w->rank, w->dims);
    for (int64_t group = 0; group < o.groups; group++)
        for (int64_t outer = 0; outer < o.outer; outer++)
            for (int64_t i = 0; i < o.channels; i++, at += o.inner)
                if (!scale_run(t, w, at, o.inner, c[group * o.channels + i])) return NULL;
    return value_of_tensor(r->g, t);
}
