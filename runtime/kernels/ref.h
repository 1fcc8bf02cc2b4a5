/* The contract between mcc and its reference kernels. Freestanding C, compiled natively into mcc (folding, oracle) and by
 * clang to the bitcode that mcc carries, specialises and links into models. One layout on every ABI: fixed-width fields,
 * each at a multiple of its size.
 *
 *   int ref_<Op>(const mcc_arg *a, const mcc_attr *at);     a: inputs, then outputs; MCC_OK or MCC_E_…
 *   int shape_<Op>(mcc_arg *a, const mcc_attr *at);         writes the dims of the outputs; operators with OP_DATA_SHAPE
 *
 * OP_SCRATCH: behind the outputs stands one more argument, of both functions, whose data is memory to work in, of the
 * size that node_scratch tells, aligned to 16. A missing optional input or unwanted output has data NULL and dtype 0. Variadic kernels get their input count in
 * ref_args.n_in, output count in n_out. Kernels trust ranks and dtypes (the compiler checked them) and the dims that
 * follow from them; they check every tensor value that is used as an index or a size (MCC_E_INDEX). */
#ifndef MCC_REF_H
#define MCC_REF_H
#include <stddef.h>
#include <stdint.h>
#include "mcc/runtime.h"

typedef struct mcc_arg { /* 80 bytes everywhere */
    union {
        uint64_t word; /* integer first: LLVM lays it out as i64, 8 bytes on 32-bit targets too */
        void *data;
    };
    int32_t dtype, rank;
    int64_t dims[MCC_MAX_RANK];
} mcc_arg;

/* Attributes as 8-byte words in the order of the operator's row. The first word of every kernel's attributes is a header. */
typedef union mcc_attr {
    int64_t i;
    double f;
    struct { int32_t n_in, n_out; } args; /* the header: how many entries of a are inputs, outputs */
} mcc_attr;

typedef struct mcc_ints { int64_t n, v[MCC_MAX_RANK * 2]; } mcc_ints;     /* INTS(name) */
typedef struct mcc_floats { int64_t n; double v[MCC_MAX_RANK]; } mcc_floats; /* FLOATS(name) */

/* struct attrs_<Op>: what the words mean, generated from the table. ENUM is the index of the chosen word,
 * WORDS those of all of them. */
#define INT(name, value) int64_t name;
#define FLOAT(name, value) double name;
#define INTS(name) mcc_ints name;
#define FLOATS(name) mcc_floats name;
#define ENUM(name, words) int64_t name;
#define WORDS(name, words) mcc_ints name;
#define OTHER(name)
#define NO_ATTRS
#define ATTRS(...) __VA_ARGS__
#define OP(name, domain, since, min_in, max_in, min_out, max_out, dtypes, flags, infer, attrs) \
    typedef struct attrs_##name { mcc_attr header; attrs } attrs_##name;
#include "../../ir/ops.def"
#undef INT
#undef FLOAT
#undef INTS
#undef FLOATS
#undef ENUM
#undef WORDS
#undef OTHER
#undef NO_ATTRS
#undef ATTRS

/* dtype numbers: ONNX TensorProto.DataType */
enum {
    MCC_F32 = 1, MCC_U8 = 2, MCC_I8 = 3, MCC_U16 = 4, MCC_I16 = 5, MCC_I32 = 6, MCC_I64 = 7, MCC_STRING = 8, MCC_BOOL = 9,
    MCC_F16 = 10, MCC_F64 = 11, MCC_U32 = 12, MCC_U64 = 13, MCC_BF16 = 16, MCC_F8E4M3FN = 17,
    MCC_F8E4M3FNUZ = 18, MCC_F8E5M2 = 19, MCC_F8E5M2FNUZ = 20, MCC_U4 = 21, MCC_I4 = 22, MCC_F4E2M1 = 23, MCC_F8E8M0 = 24, MCC_U2 = 25, MCC_I2 = 26
};
#endif
