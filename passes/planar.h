/* What the files of the planar layout share: twins of plain values as planes, while lower_sparse walks the graph. */
#ifndef MCC_PASSES_PLANAR_H
#define MCC_PASSES_PLANAR_H

#include "passes/lower.h"

typedef struct Map { /* all maps of one size have one kind of plane, so that elementwise operators need not care */
    int64_t h, w, before, behind; /* what convolutions read beyond the pixels */
} Map;

typedef struct Planar {
    Graph *g;
    Ctx *ctx;
    const Target *target;
    const PassCtx *pass;
    Arena *scratch;
    Value **twin; /* by id of a value that was there before the pass: its planes */
    int n_ids;
    bool *dirty; /* by id of planes: what stands around the pixels is anything */
    int n_dirty;
    Map *maps;
    int n_maps;
    bool *chosen; /* by node id: convolutions that leave their zeros out */
    PackChoice *packed; /* likewise; block 0: as straight-line code */
} Planar;

/* ---- planar.c ---- */
bool map_of(const Value *v, int64_t *h, int64_t *w); /* f32 [N, C, h, w] or [N, C, w], all but N known */
Plane map_plane(const Planar *p, int64_t h, int64_t w);
void map_need(Planar *p, const PlaneWindow *w);        /* planes of this size are read by such a window */
Value *planes_of(const Planar *p, const Value *plain); /* NULL: it has none */
Value *want_planes(Planar *p, Value *plain, Node *before);
Value *want_clean_planes(Planar *p, Value *plain, Node *before); /* with zeros around the pixels */
Value *want_window(Planar *p, Value *plain, Node *before, const PlaneWindow *w,
                   Plane *from);                           /* planes or phases for it */
Value *want_pixels(Planar *p, Value *plain, Node *before); /* the value itself, made from its planes if need be */
/* A node before n that computes the planes of n's output 0; n goes. */
Node *replace_by_planes(Planar *p, Node *n, Op op, Value **in, int n_in, bool dirty);
bool window_of(const Node *n, const int64_t *kernel,
               PlaneWindow *w); /* of a Conv or pool; false: planes cannot do it */

/* ---- lower_planar.c: what follows its input into planes; false: it stays as it is ---- */
bool lower_planar(Planar *p, Node *n);
bool follows_planes(const Node *n, const Value *v); /* would it, were v planes? */
bool joins_mostly_planes(const Node *n, const bool *is_planes); /* of a Concat: by input */
/* ---- choose_sparse.c: which convolutions become straight-line code ---- */
bool choose_sparse(Planar *p);                          /* false: none */
bool sparse_conv_window(const Node *n, PlaneWindow *w); /* false: it cannot be such code */
bool is_planar_depthwise(const Node *n);
bool depthwise_reads_rows(const PlaneWindow *w); /* of planes that are not split */

#endif
