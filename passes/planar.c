/* The planar layout: a value [N, C, h, w] gets a twin [N, C, size] of planes (see Plane in ir/ir.h), an ordinary value,
 * so that elementwise operators and Concat handle it as it is. Reorders stand only where planes and plain values meet.
 * What stands around the pixels is zeros, or, in what elementwise operators make that do not keep zeros, anything: then
 * a PlaneHalo puts the zeros there before a convolution reads them. */
#include "passes/planar.h"
#include <string.h>

bool map_of(const Value *v, int64_t *h, int64_t *w) {
    int64_t channels;
    int rank = v ? v->type.rank : 0;
    if (!value_is_f32(v) || (rank != 3 && rank != 4)) return false;
    if (!dim_is_const(v->type.dims[1], &channels) || channels < 1) return false;
    *h = 1;
    if (rank == 4 && !dim_is_const(v->type.dims[2], h)) return false;
    return dim_is_const(v->type.dims[rank - 1], w) && *h > 0 && *w > 0;
}

static Map *map_find(const Planar *p, int64_t h, int64_t w) {
    for (int i = 0; i < p->n_maps; i++)
        if (p->maps[i].h == h && p->maps[i].w == w) return &p->maps[i];
    return NULL;
}

void map_need(Planar *p, const PlaneWindow *w) {
    if (plane_is_split(w)) return;
    Map *m = map_find(p, w->in[0], w->in[1]);
    if (!m) {
        p->maps = arena_grow(p->scratch, p->maps, (size_t)p->n_maps, (size_t)p->n_maps + 1, sizeof *p->maps);
        m = &p->maps[p->n_maps++];
        *m = (Map){w->in[0], w->in[1], 0, 0};
    }
    plane_reach(w, &m->before, &m->behind);
}

Plane map_plane(const Planar *p, int64_t h, int64_t w) {
    const Map *m = map_find(p, h, w);
    return m ? plane_of(h, w, m->before, m->behind) : plane_of(h, w, 0, 0);
}

bool window_of(const Node *n, const int64_t *kernel, PlaneWindow *w) {
    FixedWindow f;
    int64_t sizes[4];
    if (!map_of(n->in[0], &sizes[0], &sizes[1]) || !map_of(n->out[0], &sizes[2], &sizes[3])) return false;
    if (!window_fixed(n, kernel, &f)) return false;
    *w = (PlaneWindow){{sizes[0], sizes[1]}, {sizes[2], sizes[3]}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}};
    for (int i = 0; i < f.n; i++) {
        int at = 2 - f.n + i;
        w->kernel[at] = f.kernel[i], w->stride[at] = f.stride[i], w->dilation[at] = f.dilation[i];
        w->begin[at] = f.begin[i], w->end[at] = f.end[i];
    }
    return plane_possible(w);
}

static void set_planes_type(Planar *p, Value *v, const Value *plain, int64_t phases, int64_t size) {
    Dim dims[3] = {plain->type.dims[0], dim_mul(p->ctx, plain->type.dims[1], dim_const(p->ctx, phases)),
                   dim_const(p->ctx, size)};
    value_set_dims(v, plain->type.dtype, 3, dims);
}

Value *planes_of(const Planar *p, const Value *plain) {
    return plain && plain->id < p->n_ids ? p->twin[plain->id] : NULL;
}

static bool is_dirty(const Planar *p, const Value *planes) { return planes->id < p->n_dirty && p->dirty[planes->id]; }

static void mark_dirty(Planar *p, const Value *planes) {
    if (planes->id >= p->n_dirty) {
        int n = planes->id + 256;
        p->dirty = arena_grow(p->scratch, p->dirty, (size_t)p->n_dirty, (size_t)n, sizeof *p->dirty);
        p->n_dirty = n;
    }
    p->dirty[planes->id] = true;
}

static Plane plain_plane(int64_t h, int64_t w) { return (Plane){h, w, 0, h * w}; }

static Value *make_planes(Planar *p, const Value *plain, Value *x, Node *before, const PlaneWindow *w, Plane from,
                          Plane to) {
    int64_t phases[MAX_PHASES];
    Node *n = node_new(p->g, OP_Planes, before, &x, 1, 1);
    node_set_window(n, w);
    node_set_plane(n, "from", &from);
    node_set_plane(n, "to", &to);
    set_planes_type(p, n->out[0], plain, plane_phases(w, phases), to.size);
    return n->out[0];
}

Value *want_planes(Planar *p, Value *plain, Node *before) {
    int64_t h = 1, w = 1;
    Value *twin = planes_of(p, plain);
    if (twin) return twin;
    map_of(plain, &h, &w);
    PlaneWindow whole = {{h, w}, {h, w}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}};
    Value *made = make_planes(p, plain, plain, before, &whole, plain_plane(h, w), map_plane(p, h, w));
    if (plain->id < p->n_ids) p->twin[plain->id] = made;
    return made;
}

Value *want_clean_planes(Planar *p, Value *plain, Node *before) {
    int64_t h = 1, w = 1;
    Value *x = want_planes(p, plain, before);
    if (!is_dirty(p, x)) return x;
    map_of(plain, &h, &w);
    Plane to = map_plane(p, h, w);
    Node *n = node_new(p->g, OP_PlaneHalo, before, &x, 1, 1);
    node_set_plane(n, "to", &to);
    set_planes_type(p, n->out[0], plain, 1, to.size);
    return p->twin[plain->id] = n->out[0];
}

Value *want_window(Planar *p, Value *plain, Node *before, const PlaneWindow *w, Plane *from) {
    int64_t ahead = 0, behind = 0;
    Plane whole = map_plane(p, w->in[0], w->in[1]);
    plane_reach(w, &ahead, &behind);
    if (!plane_is_split(w)) {
        *from = whole;
        return ahead || behind ? want_clean_planes(p, plain, before) : want_planes(p, plain, before);
    }
    Value *twin = planes_of(p, plain);
    *from = plane_of(plane_rows(w), w->out[1], ahead, behind);
    return make_planes(p, plain, twin ? twin : plain, before, w, twin ? whole : plain_plane(w->in[0], w->in[1]), *from);
}

static Value *int_list(Planar *p, int64_t v) {
    int64_t one = 1;
    Tensor *t = tensor_packed(p->g, DT_I64, 1, &one);
    *(int64_t *)t->data = v;
    return value_of_tensor(p->g, t);
}

/* the pixels alone: a slice of each plane */
Value *want_pixels(Planar *p, Value *v, Node *before) {
    int64_t h = 1, w = 1;
    Value *twin = planes_of(p, v);
    if (!twin || v->def || v->constant) return v;
    for (int i = 0; i < p->g->n_inputs; i++)
        if (p->g->inputs[i] == v) return v;
    map_of(v, &h, &w);
    Plane from = map_plane(p, h, w);
    Value *in[4] = {twin, int_list(p, from.lead), int_list(p, from.lead + h * w), int_list(p, 2)};
    Node *slice = node_new(p->g, OP_Slice, before, in, 4, 1);
    Dim dims[3] = {twin->type.dims[0], twin->type.dims[1], dim_const(p->ctx, h * w)};
    value_set_dims(slice->out[0], twin->type.dtype, 3, dims);
    Node *view = node_new(p->g, OP_View, before, slice->out, 1, 1);
    view->out[0] = v;
    v->def = view;
    v->def_index = 0;
    return v;
}

Node *replace_by_planes(Planar *p, Node *n, Op op, Value **in, int n_in, bool dirty) {
    int64_t h = 1, w = 1;
    Node *made = node_new(p->g, op, n, in, n_in, 1);
    Value *plain = n->out[0];
    map_of(plain, &h, &w);
    made->name = n->name;
    made->index = n->index;
    set_planes_type(p, made->out[0], plain, 1, map_plane(p, h, w).size);
    if (dirty) mark_dirty(p, made->out[0]);
    p->twin[plain->id] = made->out[0];
    plain->def = NULL; /* until somebody wants its pixels */
    node_remove(n);
    return made;
}
