/* What the inference functions share. Each infer_<family> reads the types of the inputs, attributes and content, and
 * sets the type of every present output, or calls diag_error and returns false. It looks at nothing else, but for one
 * thing: the type that an output had before bounds the dims that only run-time values can tell. */
#ifndef MCC_INFER_H
#define MCC_INFER_H

#include "ir/ir.h"

#define fail(...) (diag_error(__VA_ARGS__), false)
#define fail_dim(...) (diag_error(__VA_ARGS__), (Dim)NULL)

enum { AUTO_PAD_NOTSET, AUTO_PAD_SAME_UPPER, AUTO_PAD_SAME_LOWER, AUTO_PAD_VALID };

/* ---- check.c: what may come in ---- */
bool infer_begin(Ctx *ctx,
                 const Node *n); /* arity, attributes, known input types, the row's dtypes; every family's first call */
bool need_dtype(Ctx *ctx, const Node *n, int in, unsigned classes);
bool need_dtype_is(Ctx *ctx, const Node *n, int in, Dtype t);
bool need_index_dtype(Ctx *ctx, const Node *n, int in); /* int32 or int64 */
bool need_same_dtype(Ctx *ctx, const Node *n, int in, int as);
bool need_rank(Ctx *ctx, const Node *n, int in, int lo, int hi);
bool need_scalar(Ctx *ctx, const Node *n, int in);                         /* of rank 0, or of one element */
bool read_axis(Ctx *ctx, const Node *n, int64_t axis, int rank, int *out); /* negative ones count from the end */
bool read_axes(Ctx *ctx, const Node *n, const int64_t *axes, int count, int rank, int *out); /* none twice */
const char *shape_text(Ctx *ctx, const Value *v);
bool type_fits(
    const Type *t); /* its strides and bytes, at the dims' bounds, fit the address space, even beside a dim of 0 */
const Type *type_of(const Node *n, int in);

/* ---- shape.c: dims that must agree, outputs ---- */
/* The dim that a and b both are: equal, or taken to be and checked at run time. NULL after diag_error: what says what
 * they are, as "the inner dims". */
Dim equal_dims(Ctx *ctx, const Node *n, Dim a, Dim b, const char *what);
bool need_at_most(Ctx *ctx, const Node *n, Dim a, Dim b, const char *what);
bool need_divisible(Ctx *ctx, const Node *n, Dim a, int64_t by, const char *what);
Dim broadcast_dim(Ctx *ctx, const Node *n, Dim a, Dim b);
bool broadcast_into(Ctx *ctx, const Node *n, Type *to, const Type *with); /* numpy's rules, both ways */
bool need_broadcast_to(Ctx *ctx, const Node *n, int in, const Type *to);  /* one way: `to` keeps its dims */
bool set_output(Ctx *ctx, Node *n, int out, Dtype t, int rank, const Dim *dims);
bool set_output_like(Ctx *ctx, Node *n, int out, int in); /* the type of that input */
/* A dim of output 0 that only the run tells: at least lo, at most hi and what was declared for it (NULL: nothing
 * known). */
Dim data_dim(Ctx *ctx, const Node *n, int out, int rank, int axis, int64_t lo, Dim hi);
Dim largest_dim(Ctx *ctx, const Dim *dims, int lo,
                int hi);                    /* the upper bound of dims[lo…hi] and 1: a bound for one of them */
int declared_rank(Ctx *ctx, const Node *n); /* of output 0, where the inputs do not tell it; -1 after diag_error */
Dim clamp_size(Ctx *ctx, Dim d);            /* max(d, 0) */

typedef struct IntList { /* an input that lists integers: axes, sizes, pads, … */
    bool present;
    int n;        /* -1: how many is not known */
    const Dim *v; /* NULL elements: known at run time only */
} IntList;
bool read_list(Ctx *ctx, const Node *n, int in, int max, IntList *out);
bool read_axis_list(Ctx *ctx, const Node *n, int in, IntList *out); /* which exporters write as one number, too */
bool need_length(Ctx *ctx, const Node *n, int in, int length);      /* of a list whose length may be open */
bool list_is_const(const IntList *l, int64_t *out);                 /* every element is a constant */

/* ---- window.c: what convolutions and pools share ---- */
typedef struct Window {
    int n; /* spatial axes */
    int auto_pad;
    int64_t stride[MCC_MAX_RANK], dilation[MCC_MAX_RANK], begin[MCC_MAX_RANK], end[MCC_MAX_RANK];
    Dim kernel[MCC_MAX_RANK];
} Window;
bool window_read(Ctx *ctx, const Node *n, int spatial, const Dim *kernel,
                 Window *w);                         /* kernel NULL: from kernel_shape */
Dim window_extent(Ctx *ctx, const Window *w, int i); /* dilation·(kernel - 1) + 1 */
Dim window_output(Ctx *ctx, const Window *w, int i, Dim in, bool ceil_mode);

/* ---- contraction.c: shapes of products whose second operand is input w or b; dtypes are the caller's business ---- */
bool conv_shape(Ctx *ctx, const Node *n, int w, Type *y);
bool matmul_shape(Ctx *ctx, const Node *n, int b, Type *y);

/* ---- content.c: integer tensors whose elements are known as dims ---- */
/* After the output's type is set. Elements that the dtype may not hold are dropped. */
void content_set(Ctx *ctx, Node *n, int out, const Dim *v, int count);
void content_copy(Ctx *ctx, Node *n, int out, int in); /* the same elements in the same order */
void content_elementwise(Ctx *ctx, Node *n);           /* arithmetic, comparison, logic, Where, Clip, Cast */
/* Output element [i, j, …] is element first + i·pitch[0] + j·pitch[1] + … of input 0. */
void content_move(Ctx *ctx, Node *n, int out, int64_t first, const int64_t *pitch);
bool content_pitches(const Value *v, int64_t *pitch); /* of its axes; false: it has no content */
void content_reduce(Ctx *ctx, Node *n);               /* to one element */

/* ---- infer.c ---- */
bool infer_again(Ctx *ctx,
                 Graph *g); /* of a graph whose nodes have types, not held against the model's claims any more */

/* ---- control.c ---- */
bool condition_known(const Value *v, bool *out); /* NULL: absent, which is true */

/* ---- ratio.c ---- */
Dim ratio_cast(Ctx *ctx, const Value *v,
               int i);                     /* element i of a float tensor as an integer; NULL: not known exactly */
Dim ratio_whole(Ctx *ctx, const Value *v); /* the only element, where it is an integer, or NULL */
bool ratio_value(const Value *v, int i, double *out); /* as the float that it is; false: not known */

#endif
