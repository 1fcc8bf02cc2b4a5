/* DepthToSpace: blocks of channels become blocks of pixels; SpaceToDepth: the reverse. Both are a transposition of X
 * seen with six axes. */
#include "runtime/kernels/strided.h"

static inline void put(walk *w, int slot, idx n, idx stride) {
    w->n[slot] = n;
    w->stride[slot] = stride;
}

int ref_DepthToSpace(const mcc_arg *a, const mcc_attr *at) {
    const attrs_DepthToSpace *p = (const attrs_DepthToSpace *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    enum { DCR };
    idx b = (idx)p->blocksize, C = dim(y, 1), H = dim(x, 2), W = dim(x, 3), plane = H * W;
    walk w;
    walk_clear(&w); /* Y as n, c, h, block row, w, block column */
    put(&w, 2, dim(x, 0), dim(x, 1) * plane);
    put(&w, 3, C, p->mode == DCR ? plane : b * b * plane);
    put(&w, 4, H, W);
    put(&w, 5, b, p->mode == DCR ? b * C * plane : b * plane);
    put(&w, 6, W, 1);
    put(&w, 7, b, p->mode == DCR ? C * plane : plane);
    return strided_read(y, x, 0, &w);
}

int ref_SpaceToDepth(const mcc_arg *a, const mcc_attr *at) {
    const attrs_SpaceToDepth *p = (const attrs_SpaceToDepth *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    idx b = (idx)p->blocksize, C = dim(x, 1), W = dim(x, 3), plane = dim(x, 2) * W;
    walk w;
    walk_clear(&w); /* Y as n, block row, block column, c, h, w */
    put(&w, 2, dim(x, 0), C * plane);
    put(&w, 3, b, W);
    put(&w, 4, b, 1);
    put(&w, 5, C, plane);
    put(&w, 6, dim(y, 2), b * W);
    put(&w, 7, dim(y, 3), b);
    return strided_read(y, x, 0, &w);
}
