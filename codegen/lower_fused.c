/* A fused node's body as a loop nest. The body is walked from its output; an index map tells, for each dim of the value at
 * hand, which axis runs along it, with which step and offset. Elementwise nodes hand the map on (a broadcast dim stands
 * still), Transpose permutes it, Slice scales it, Expand and Unsqueeze drop from it; an input of the body becomes a load.
 * Axes along which every access is contiguous are merged. */
#include "codegen/loops.h"

typedef struct Along { /* index along one dim of a value: step·axis + offset; axis -1: the offset alone */
    int axis;
    Dim step, offset;
} Along;

typedef struct Map {
    Along dim[MCC_MAX_RANK];
} Map;

typedef struct Lowered { /* a value at a map, met before */
    const Value *value;
    Map map;
    Expr *expr;
} Lowered;

typedef struct Lowering {
    Ctx *ctx;
    const Node *fused;
    Nest *nest;
    const Node *reduction; /* whose result stands for itself in what follows it */
    Lowered *met;
    int n_met;
} Lowering;

static Along still(Ctx *ctx) { return (Along){-1, dim_const(ctx, 0), dim_const(ctx, 0)}; }

static int input_index(const Node *fused, const Value *v) {
    for (int i = 0; i < fused->body->n_inputs; i++)
        if (fused->body->inputs[i] == v) return i;
    return -1;
}

/* element strides of a value's dims */
static void fill_strides(Ctx *ctx, const Value *v, Dim strides[MCC_MAX_RANK]) {
    Dim s = dim_const(ctx, 1);
    for (int d = v->type.rank - 1; d >= 0; d--) {
        strides[d] = s;
        s = dim_mul(ctx, s, v->type.dims[d]);
    }
}

static Access access_of(Lowering *l, const Value *v, const Map *m, int input) {
    Ctx *ctx = l->ctx;
    Access a = {.input = input, .offset = dim_const(ctx, 0)};
    Dim strides[MCC_MAX_RANK];
    for (int i = 0; i < MAX_AXES; i++) a.stride[i] = dim_const(ctx, 0);
    fill_strides(ctx, v, strides);
    for (int d = 0; d < v->type.rank; d++) {
        const Along *x = &m->dim[d];
        if (dim_is(v->type.dims[d], 1)) continue; /* the only index is 0 */
        a.offset = dim_add(ctx, a.offset, dim_mul(ctx, x->offset, strides[d]));
        if (x->axis >= 0) a.stride[x->axis] = dim_add(ctx, a.stride[x->axis], dim_mul(ctx, x->step, strides[d]));
    }
    return a;
}

static Expr *lower_value(Lowering *l, const Value *v, const Map *m);

static Expr *lower_load(Lowering *l, const Value *v, const Map *m, int input) {
    Expr *e = ARENA_NEW(l->ctx->arena, Expr);
    e->access = access_of(l, v, m, input);
    e->dtype = v->type.dtype;
    for (int i = 0; i < l->nest->n_loads; i++) { /* the same element once */
        const Access *x = &l->nest->loads[i]->access;
        bool same = x->input == input && x->offset == e->access.offset;
        for (int k = 0; k < MAX_AXES; k++) same = same && x->stride[k] == e->access.stride[k];
        if (same) return l->nest->loads[i];
    }
    l->nest->loads = arena_grow(l->ctx->arena, l->nest->loads, (size_t)l->nest->n_loads, (size_t)l->nest->n_loads + 1, sizeof *l->nest->loads);
    return l->nest->loads[l->nest->n_loads++] = e;
}

/* numpy broadcasting: dims are aligned at the right, a dim of 1 stands still */
static Map broadcast_map(Ctx *ctx, const Value *from, const Value *to, const Map *m) {
    Map r = {0};
    int shift = to->type.rank - from->type.rank;
    for (int d = 0; d < from->type.rank; d++)
        r.dim[d] = dim_is(from->type.dims[d], 1) ? still(ctx) : m->dim[d + shift];
    return r;
}

static Expr *lower_elementwise(Lowering *l, const Node *n, const Map *m) {
    Expr *e = ARENA_NEW(l->ctx->arena, Expr);
    e->node = n;
    e->n_args = n->n_in;
    e->dtype = n->out[0]->type.dtype;
    e->args = ARENA_ARRAY(l->ctx->arena, n->n_in, Expr *);
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i]) continue;
        Map in = broadcast_map(l->ctx, n->in[i], n->out[0], m);
        e->args[i] = lower_value(l, n->in[i], &in);
    }
    return e;
}

static Map transpose_map(const Node *n, const Map *m) {
    Map r = {0};
    const int64_t *perm = NULL;
    int rank = n->out[0]->type.rank, given = node_ints(n, "perm", &perm);
    for (int d = 0; d < rank; d++) r.dim[given ? perm[d] : rank - 1 - d] = m->dim[d];
    return r;
}

/* Squeeze, Unsqueeze, Reshape that only add or drop dims of 1 */
static Map unit_map(Ctx *ctx, const Value *from, const Value *to, const Map *m) {
    Map r = {0};
    int t = 0;
    for (int d = 0; d < from->type.rank; d++) {
        r.dim[d] = still(ctx);
        if (dim_is(from->type.dims[d], 1)) continue;
        while (dim_is(to->type.dims[t], 1)) t++;
        r.dim[d] = m->dim[t++];
    }
    return r;
}

static Map slice_map(Ctx *ctx, const Node *n, const Map *m) {
    Map r = *m;
    const Value *starts = n->in[1], *axes = node_in(n, 3), *steps = node_in(n, 4), *x = n->in[0];
    for (int64_t i = 0; i < starts->type.dims[0]->value; i++) {
        int64_t axis = axes ? tensor_int(axes->constant, i) : i, step = steps ? tensor_int(steps->constant, i) : 1;
        if (axis < 0) axis += x->type.rank;
        int64_t start = tensor_int(starts->constant, i), size = x->type.dims[axis]->value;
        if (start < 0) start += size;
        int64_t last = step < 0 ? size - 1 : size;
        start = start < 0 ? (step < 0 ? -1 : 0) : start > last ? last : start;
        Along *a = &r.dim[axis];
        Dim k = dim_const(ctx, step);
        a->offset = dim_add(ctx, dim_const(ctx, start), dim_mul(ctx, a->offset, k));
        a->step = dim_mul(ctx, a->step, k);
    }
    return r;
}

static bool same_map(const Map *a, const Map *b, int rank) {
    bool same = true;
    for (int d = 0; d < rank && same; d++)
        same = a->dim[d].axis == b->dim[d].axis && a->dim[d].step == b->dim[d].step && a->dim[d].offset == b->dim[d].offset;
    return same;
}

static Expr *lower_node(Lowering *l, const Value *v, const Map *m) {
    const Node *n = v->def;
    Map in;
    if (node_is_elementwise(n)) return lower_elementwise(l, n, m);
    switch (n->op) {
    case OP_Transpose: in = transpose_map(n, m); break;
    case OP_Slice: in = slice_map(l->ctx, n, m); break;
    case OP_Expand: in = broadcast_map(l->ctx, n->in[0], v, m); break;
    default: assert(op_has(n->op, OP_VIEW)); in = unit_map(l->ctx, n->in[0], v, m); break;
    }
    return lower_value(l, n->in[0], &in);
}

static Expr *lower_value(Lowering *l, const Value *v, const Map *m) {
    int input = input_index(l->fused, v);
    if (input >= 0) return lower_load(l, v, m, input);
    for (int i = 0; i < l->n_met; i++)
        if (l->met[i].value == v && same_map(&l->met[i].map, m, v->type.rank)) return l->met[i].expr;
    Expr *e;
    if (l->reduction && v == l->reduction->out[0]) {
        e = ARENA_NEW(l->ctx->arena, Expr);
        e->access.input = REDUCED;
        e->dtype = v->type.dtype;
    } else {
        e = lower_node(l, v, m);
    }
    l->met = arena_grow(l->ctx->arena, l->met, (size_t)l->n_met, (size_t)l->n_met + 1, sizeof *l->met);
    l->met[l->n_met++] = (Lowered){v, *m, e};
    return e;
}

static Map identity_map(Ctx *ctx, const Value *v, Nest *nest) {
    Map m = {0};
    for (int d = 0; d < v->type.rank; d++) {
        m.dim[d] = (Along){nest->n_axes, dim_const(ctx, 1), dim_const(ctx, 0)};
        nest->extent[nest->n_axes++] = v->type.dims[d];
    }
    return m;
}

/* ---- merging axes ---- */

static bool merges(Ctx *ctx, const Access *a, int axis, Dim inner) {
    return a->stride[axis] == dim_mul(ctx, a->stride[axis + 1], inner);
}

static void drop_axis(Access *a, int axis, int n) {
    for (int i = axis; i + 1 < n; i++) a->stride[i] = a->stride[i + 1];
}

/* axis and axis + 1 become one where every access steps through both as through one; axes of extent 1 go */
static void merge_axes(Lowering *l) {
    Nest *nest = l->nest;
    Ctx *ctx = l->ctx;
    for (int axis = nest->n_axes - 1; axis >= 0; axis--) {
        bool reduced = axis >= nest->n_axes - nest->n_reduce, unit = dim_is(nest->extent[axis], 1), fits = axis + 1 < nest->n_axes;
        if (fits && !unit) {
            bool next_reduced = axis + 1 >= nest->n_axes - nest->n_reduce;
            fits = reduced == next_reduced && (nest->n_reduce && reduced ? true : merges(ctx, &nest->store, axis, nest->extent[axis + 1]));
            for (int i = 0; i < l->nest->n_loads && fits; i++) fits = merges(ctx, &l->nest->loads[i]->access, axis, nest->extent[axis + 1]);
        }
        if (!unit && !fits) continue;
        if (!unit) nest->extent[axis + 1] = dim_mul(ctx, nest->extent[axis], nest->extent[axis + 1]);
        for (int i = axis; i + 1 < nest->n_axes; i++) nest->extent[i] = nest->extent[i + 1];
        drop_axis(&nest->store, axis, nest->n_axes);
        for (int i = 0; i < l->nest->n_loads; i++) drop_axis(&l->nest->loads[i]->access, axis, nest->n_axes);
        nest->n_axes--;
        nest->n_reduce -= reduced;
    }
}

/* the reduction that the body holds, or NULL */
static const Node *find_reduction(const Graph *body) {
    for (const Node *n = body->first; n; n = n->next)
        if (op_has(n->op, OP_REDUCTION)) return n;
    return NULL;
}

/* A reduction folds the trailing axes of its input (the fusion pass sees to it). What follows it is elementwise on its
 * result, whose loads stand still along the reduced axes. */
static void lower_reduction(Lowering *l, const Node *r) {
    Nest *nest = l->nest;
    Ctx *ctx = l->ctx;
    const Value *x = r->in[0], *out = l->fused->body->outputs[0], *axes = node_in(r, 1);
    nest->n_reduce = axes ? (int)axes->constant->dims[0] : x->type.rank;
    int kept = x->type.rank - nest->n_reduce;
    Map in = identity_map(ctx, x, nest), at = {0};
    nest->reduce = r;
    nest->body = lower_value(l, x, &in);
    for (int d = 0; d < out->type.rank; d++) at.dim[d] = d < kept ? in.dim[d] : still(ctx);
    nest->store = access_of(l, out, &at, -1);
    l->reduction = r;
    if (out != r->out[0]) nest->after = lower_value(l, out, &at);
}

bool nest_lower(Ctx *ctx, const Node *fused, Nest *out) {
    *out = (Nest){0};
    Lowering l = {.ctx = ctx, .fused = fused, .nest = out};
    const Value *y = fused->body->outputs[0];
    const Node *r = find_reduction(fused->body);
    out->dtype = y->type.dtype;
    if (r) {
        lower_reduction(&l, r);
    } else {
        Map m = identity_map(ctx, y, out);
        out->store = access_of(&l, y, &m, -1);
        out->body = lower_value(&l, y, &m);
    }
    merge_axes(&l);
    bool overflow = !out->store.offset;
    for (int i = 0; i < out->n_loads; i++) overflow = overflow || !out->loads[i]->access.offset;
    if (overflow) diag_error(ctx, fused, "an index overflows");
    return !overflow;
}
