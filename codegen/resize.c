/* mcc.BlockResize: an output is a sum of the blocks around it, weighed along each axis. The order of the sum is the
 * reference kernel's on plain values: the taps along the last axis outermost, and no multiplication is fused with an
 * addition. */
#include "codegen/contract.h"

enum { MAX_TERMS = 16 }; /* along two axes of 4 taps */

typedef struct Term { /* a choice of taps along the axes so far: where it lies in the plane, in places, and its weight
                       */
    LLVMValueRef place, weight;
} Term;

typedef struct Resize {
    Kernel *k;
    int axes, lanes;
    const Dim *in, *out;   /* sizes of the axes */
    LLVMValueRef from, to; /* the plane at hand */
} Resize;

static int64_t taps_of(const Resize *r, int axis) { return r->k->node->in[1 + 2 * axis]->type.dims[1]->value; }

static LLVMValueRef entry(const Resize *r, int input, LLVMTypeRef type, LLVMValueRef at) {
    return vec_load_of(r->k, type, element_at(r->k, type, r->k->in[input], at), 1, 4);
}

/* tap i of output o along an axis */
static Term tap(const Resize *r, int axis, LLVMValueRef o, int64_t i) {
    Kernel *k = r->k;
    LLVMValueRef at = i_plus(k, i_scale(k, o, taps_of(r, axis)), i);
    LLVMValueRef place = entry(r, 1 + 2 * axis, k->gen->i32, at);
    return (Term){LLVMBuildZExt(k->b, place, k->gen->i64, ""), entry(r, 2 + 2 * axis, k->gen->f32, at)};
}

/* place and weight of `outer` and then of `inner` along the axis */
static Term joined(const Resize *r, int axis, Term outer, Term inner) {
    Kernel *k = r->k;
    LLVMValueRef row = i_mul(k, outer.place, kernel_dim(k, r->in[axis]));
    return (Term){i_add(k, row, inner.place), LLVMBuildFMul(k->b, outer.weight, inner.weight, "")};
}

static void emit_place(const Resize *r, const Term *rows, int n_rows, LLVMValueRef o, LLVMValueRef at) {
    Kernel *k = r->k;
    int last = r->axes - 1;
    LLVMValueRef sum = vec_const(k->gen, 0, r->lanes);
    for (int64_t i = 0; i < taps_of(r, last); i++) {
        Term along = tap(r, last, o, i);
        for (int j = 0; j < n_rows; j++) {
            Term t = joined(r, last, rows[j], along);
            LLVMValueRef x = vec_load(k, f32_at(k, r->from, i_scale(k, t.place, r->lanes)), r->lanes, 4);
            LLVMValueRef part = LLVMBuildFMul(k->b, vec_splat(k, t.weight, r->lanes), x, "");
            sum = LLVMBuildFAdd(k->b, sum, part, "");
        }
    }
    vec_store(k, sum, f32_at(k, r->to, i_scale(k, at, r->lanes)), 4);
}

/* rows: the choices of taps along the axes before; at: the output's place along them */
static void emit_axis(const Resize *r, int axis, const Term *rows, int n_rows, LLVMValueRef at) {
    Kernel *k = r->k;
    LLVMValueRef size = kernel_dim(k, r->out[axis]);
    For f = for_begin(k, gen_i64(k->gen, 0), size, 1);
    LLVMValueRef here = i_add(k, i_mul(k, at, size), f.i);
    if (axis == r->axes - 1) {
        emit_place(r, rows, n_rows, f.i, here);
    } else {
        Term inner[MAX_TERMS];
        int n = 0;
        for (int j = 0; j < n_rows; j++)
            for (int64_t i = 0; i < taps_of(r, axis); i++) inner[n++] = joined(r, axis, rows[j], tap(r, axis, f.i, i));
        emit_axis(r, axis + 1, inner, n, here);
    }
    for_end(k, &f);
}

static bool emit(Kernel *k) {
    Gen *g = k->gen;
    const Value *x = k->node->in[0], *y = k->node->out[0];
    int rank = x->type.rank, axes = rank - 3;
    Resize r = {.k = k, .axes = axes, .lanes = (int)x->type.dims[rank - 1]->value};
    r.in = x->type.dims + 2;
    r.out = y->type.dims + 2;
    LLVMValueRef planes = kernel_dims(k, x->type.dims, 2), none = gen_i64(g, 0);
    Range share = kernel_share(k, planes, 1, k->chunks);
    For plane = for_begin(k, share.from, share.to, 1);
    r.from = f32_at(k, k->in[0], i_mul(k, plane.i, i_scale(k, kernel_dims(k, r.in, axes), r.lanes)));
    r.to = f32_at(k, k->out[0], i_mul(k, plane.i, i_scale(k, kernel_dims(k, r.out, axes), r.lanes)));
    emit_axis(&r, 0, &(Term){none, LLVMConstReal(g->f32, 1)}, 1, none);
    for_end(k, &plane);
    LLVMBuildRet(k->b, gen_i32(g, MCC_OK));
    return true;
}

static double work_of(const Node *n) {
    enum { TERMS = 4 };
    const Type *y = &n->out[0]->type;
    return largest_count(n->out[0]) / (double)y->dims[y->rank - 1]->value * TERMS;
}

const Emitter resize_emitter = {.form = "blocked resize", .emit = emit, .work = work_of};
