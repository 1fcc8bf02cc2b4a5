/* The loops of the elementwise kernels. Broadcasting is NumPy's: an input's dims stand at the right of the output's,
 * and where an input has 1 (or nothing) its elements repeat.
 *
 * A plan has eight axes, the output's at the right and ones before them; axes that all inputs walk alike are merged
 * into one, so that tensors of equal dims take a single loop. With constant dims the plan folds away: what is left is
 * the loop nest of the axes that are not 1, with constant strides. Outputs may be computed in place. */
#ifndef MCC_ELEMENTWISE_LOOPS_H
#define MCC_ELEMENTWISE_LOOPS_H
#include "runtime/builtins/bits.h"
#include "runtime/kernels/elementwise.h"

typedef ptrdiff_t idx;

static inline idx element_count(const mcc_arg *a) {
    idx n = 1;
    MCC_UNROLL for (int i = 0; i < MCC_MAX_RANK; i++) n *= i < a->rank ? (idx)a->dims[i] : 1;
    return n;
}

#define LOOP_INPUTS 3
typedef struct {
    idx dims[MCC_MAX_RANK];
    idx strides[LOOP_INPUTS][MCC_MAX_RANK]; /* in elements; 0 repeats */
} loop_plan;

static inline void plan_strides(idx *strides, const mcc_arg *in) {
    idx n = 1;
    MCC_UNROLL for (int i = MCC_MAX_RANK - 1; i >= 0; i--) {
        int axis = i - (MCC_MAX_RANK - in->rank);
        idx dim = axis < 0 ? 1 : (idx)in->dims[axis < 0 ? 0 : axis];
        strides[i] = dim == 1 ? 0 : n;
        n *= dim;
    }
}

/* in: n_in inputs; out has the broadcast dims. n_in is a constant ≤ LOOP_INPUTS. */
static inline void plan_loops(loop_plan *p, const mcc_arg *in, int n_in, const mcc_arg *out) {
    MCC_UNROLL for (int i = 0; i < MCC_MAX_RANK; i++) {
        int axis = i - (MCC_MAX_RANK - out->rank);
        p->dims[i] = axis < 0 ? 1 : (idx)out->dims[axis < 0 ? 0 : axis];
    }
    MCC_UNROLL for (int k = 0; k < n_in; k++) plan_strides(p->strides[k], in + k);
    /* merge axis i into the axis `last` at its right, where in every input a step of i is a whole turn of last */
    int last = MCC_MAX_RANK - 1;
    MCC_UNROLL for (int i = MCC_MAX_RANK - 2; i >= 0; i--) {
        int merge = 1, trivial = p->dims[last] == 1;
        MCC_UNROLL for (int k = 0; k < n_in; k++) merge &= p->strides[k][i] == p->strides[k][last] * p->dims[last];
        merge |= p->dims[i] == 1;
        if (trivial) MCC_UNROLL for (int k = 0; k < n_in; k++) p->strides[k][last] = p->strides[k][i];
        if (merge | trivial) {
            p->dims[last] *= p->dims[i];
            p->dims[i] = 1;
        } else last = i;
    }
}

/* Runs the statement ROW(n) for every innermost row: n elements from offset o of the output, and from at(k) of input k
 * in steps of step(k). */
#define LOOP_AXIS(k) for (idx i##k = 0; i##k < p.dims[k]; i##k++)
#define LOOP_OFFSET(k)                                                                                                 \
    (i0 * p.strides[k][0] + i1 * p.strides[k][1] + i2 * p.strides[k][2] + i3 * p.strides[k][3] +                       \
     i4 * p.strides[k][4] + i5 * p.strides[k][5] + i6 * p.strides[k][6])
#define LOOP_STEP(k) p.strides[k][7]
#define LOOP_ROWS(ROW)                                                                                                 \
    do {                                                                                                               \
        idx o = 0, n = p.dims[7];                                                                                      \
        LOOP_AXIS(0) LOOP_AXIS(1) LOOP_AXIS(2) LOOP_AXIS(3) LOOP_AXIS(4) LOOP_AXIS(5) LOOP_AXIS(6) { ROW o += n; }     \
    } while (0)

/* M(op, suffix, C type, dtype number) for the dtypes of a class */
#define EACH_F(M, op)                                                                                                  \
    M(op, f32, float, MCC_F32)                                                                                         \
    M(op, f64, double, MCC_F64)                                                                                        \
    M(op, f16, uint16_t, MCC_F16)                                                                                      \
    M(op, bf16, uint16_t, MCC_BF16)
#define EACH_I(M, op)                                                                                                  \
    M(op, i8, int8_t, MCC_I8)                                                                                          \
    M(op, i16, int16_t, MCC_I16)                                                                                       \
    M(op, i32, int32_t, MCC_I32)                                                                                       \
    M(op, i64, int64_t, MCC_I64)
#define EACH_U(M, op)                                                                                                  \
    M(op, u8, uint8_t, MCC_U8)                                                                                         \
    M(op, u16, uint16_t, MCC_U16)                                                                                      \
    M(op, u32, uint32_t, MCC_U32)                                                                                      \
    M(op, u64, uint64_t, MCC_U64)
#define EACH_B(M, op) M(op, bool, uint8_t, MCC_BOOL)

/* int ref_<op>, switched on the dtype of a[which]; cases: of the form case D: … return MCC_OK; */
#define KERNEL(op, which, cases)                                                                                       \
    int ref_##op(const mcc_arg *a, const mcc_attr *at) {                                                               \
        switch (a[which].dtype) { cases default : return MCC_E_DTYPE; }                                                \
    }
#endif
