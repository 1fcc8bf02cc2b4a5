/* Operator -> its native reference kernel, generated from the table. Decomposed, fused and lowered operators have
 * none; all views are one copy. */
#include "eval/internal.h"

RefKernel ref_Copy;
#define OP(name, domain, since, min_in, max_in, min_out, max_out, dtypes, flags, infer, attrs)                         \
    RefKernel ref_##name;                                                                                              \
    ShapeKernel shape_##name;
#include "ir/ops.def"

#define RUN(name, flags)                                                                                               \
    ((flags) & (OP_DECOMPOSED | OP_FUSED | OP_LOWERED | OP_CONTROL)) ? NULL                                            \
    : ((flags) & OP_VIEW)                                            ? ref_Copy                                        \
                                                                     : ref_##name
#define SHAPE(name, flags) ((flags) & OP_DATA_SHAPE) ? shape_##name : NULL

static const EvalKernels table[OP_COUNT] = {
#define OP(name, domain, since, min_in, max_in, min_out, max_out, dtypes, flags, infer, attrs)                         \
    [OP_##name] = {RUN(name, flags), SHAPE(name, flags)},
#include "ir/ops.def"
};

const EvalKernels *eval_kernels(Op op) { return &table[op]; }

bool eval_has_kernel(Op op) { return table[op].run != NULL; }
