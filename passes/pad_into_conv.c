/* A constant Pad of spatial axes before a window becomes the window's own pads:
 *   Pad(0) -> Conv          zeros are what Conv pads with
 *   Pad(0) -> AveragePool   which then counts the padding; it must have no pads of its own
 *   Pad(-inf) -> MaxPool    or Pad(0), where its input is never negative and no window sees padding alone */
#include "passes/internal.h"
#include <math.h>
#include <string.h>

enum { AUTO_NOTSET = 0, AUTO_VALID = 3 };

/* Pads of each spatial axis: begins, then ends. false: not constant, negative, or of other axes */
static bool read_pads(Rewrite *r, const Node *pad, int64_t *pads) {
    const int64_t *list, *axes = NULL;
    int64_t n, n_axes;
    int rank = pad->in[0]->type.rank, spatial = rank - 2;
    if (node_enum(pad, "mode") != 0 || spatial < 1 || !const_ints(pad->in[1], &list, &n, r->scratch)) return false;
    if (node_in(pad, 3) && !const_ints(pad->in[3], &axes, &n_axes, r->scratch)) return false;
    if (!axes) n_axes = rank;
    if (n != 2 * n_axes) return false;
    memset(pads, 0, sizeof *pads * 2 * (size_t)spatial);
    for (int64_t i = 0; i < n_axes; i++) {
        int64_t axis = axes ? axis_of(axes[i], rank) : i, begin = list[i], end = list[n_axes + i];
        if (axis < 0 || begin < 0 || end < 0 || (axis < 2 && (begin || end))) return false;
        if (axis < 2) continue;
        pads[axis - 2] = begin;
        pads[spatial + axis - 2] = end;
    }
    return true;
}

static bool has_no_pads(const Node *n) {
    const int64_t *pads;
    int count = node_ints(n, "pads", &pads);
    for (int i = 0; i < count; i++)
        if (pads[i]) return false;
    return true;
}

static bool is_never_negative(const Value *v) {
    double lo;
    const Node *n = v->def;
    if (!n) return false;
    if (n->op == OP_Relu || n->op == OP_Sigmoid || n->op == OP_HardSigmoid) return true;
    return n->op == OP_Clip && node_in(n, 1) && const_splat(n->in[1], &lo) && lo >= 0;
}

/* Every window begins inside the input, and ends beyond its begin */
static bool sees_input(const Node *n, const int64_t *pads, int spatial) {
    const int64_t *kernel, *dilation;
    if (node_ints(n, "kernel_shape", &kernel) != spatial || node_ints(n, "dilations", &dilation)) return false;
    for (int i = 0; i < spatial; i++)
        if (pads[i] >= kernel[i] || pads[spatial + i] >= kernel[i]) return false;
    return true;
}

static bool is_legal(const Node *n, const Node *pad, const int64_t *pads, int spatial) {
    const Value *fill = node_in(pad, 2);
    bool zero = !fill || const_is(fill, 0);
    switch (n->op) {
    case OP_Conv: return zero;
    case OP_AveragePool: return zero && has_no_pads(n) && !node_int(n, "ceil_mode");
    case OP_MaxPool:
        if (!value_is_float(pad->in[0]) || n->n_out > 1 || !has_no_pads(n) || node_int(n, "ceil_mode")) return false;
        return (fill && const_is(fill, -INFINITY)) ||
               (zero && is_never_negative(pad->in[0]) && sees_input(n, pads, spatial));
    default: return false;
    }
}

static void visit(Rewrite *r, Node *n) {
    int64_t pads[2 * MCC_MAX_RANK];
    const int64_t *own;
    Node *pad = n->n_in ? value_only_def(n->in[0], OP_Pad) : NULL;
    if (!pad || (n->op != OP_Conv && !op_has(n->op, OP_POOL)) || !read_pads(r, pad, pads)) return;
    int spatial = pad->in[0]->type.rank - 2, how = node_enum(n, "auto_pad"), count = node_ints(n, "pads", &own);
    if ((how != AUTO_NOTSET && how != AUTO_VALID) || !is_legal(n, pad, pads, spatial)) return;
    if (how == AUTO_VALID) count = 0;
    for (int i = 0; i < count && i < 2 * spatial; i++)
        if (!add_i64(pads[i], own[i], &pads[i])) return;
    node_remove_attr(n, "auto_pad");
    node_set_ints(n, "pads", pads, 2 * spatial);
    if (n->op == OP_AveragePool) node_set_int(n, "count_include_pad", 1);
    rewrite_input(r, n, 0, pad->in[0]);
}

bool pass_pad_into_conv(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));) visit(&r, n);
    return rewrite_end(&r);
}
