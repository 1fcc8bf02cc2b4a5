/* Elementwise functions: the one definition of what an elementwise operator does to one element. Exported, small and
 * branch-free, so that a generated loop that calls one is inlined and vectorised.
 *
 *   T       mcc_el_<Op>_<dtype>(T x, const mcc_attr *at)            unary
 *   T       mcc_el_<Op>_<dtype>(T x, T y, const mcc_attr *at)       binary; Max and Min in their binary form
 *   uint8_t mcc_el_<Op>_<dtype>(…)                                  comparisons, And, Or, Xor, Not, IsNaN, IsInf: 0 or
 * 1 T       mcc_el_Where_<dtype>(uint8_t c, T x, T y, const mcc_attr *at) T       mcc_el_Clip_<dtype>(T x, T lo, T hi,
 * const mcc_attr *at)    absent bounds: the dtype's limits To      mcc_cast_<from>_<to>(From x, const mcc_attr *at)
 * every pair of the thirteen dtypes
 *
 * dtype: f32 f64 f16 bf16 i8 i16 i32 i64 u8 u16 u32 u64 bool. <Op> is the name in ir/ops.def and exists for the dtypes
 * that its row there allows. f16 and bf16 travel as their bits in uint16_t, bool as uint8_t (any value but 0 is true).
 * at points to the struct attrs_<Op> (ref.h); where an operator has no attributes it is not read and may be NULL.
 *
 * Pow takes both operands in one dtype. ref_Pow also takes mixed ones, by this rule: a float base converts the exponent
 * to the type that it is computed in (f32 for f16, bf16, f32); an integer base with a float exponent computes in f64
 * and truncates, saturating; two integer dtypes convert the exponent to i64 (u64 stays) and wrap. */
#ifndef MCC_ELEMENTWISE_H
#define MCC_ELEMENTWISE_H
#include "runtime/kernels/ref.h"

#pragma push_macro("bool") /* <stdbool.h> would turn the suffix into _Bool */
#undef bool
#define EL_NAME__(op, s) mcc_el_##op##_##s
#define EL_NAME_(op, s) EL_NAME__(op, s)
#define EL_NAME(op) EL_NAME_(op, EL_S)
#define EL_CAST__(from, to) mcc_cast_##from##_##to
#define EL_CAST_(from, to) EL_CAST__(from, to)
#define EL_CAST(to) EL_CAST_(EL_S, to)

/* M(suffix, C type) for every dtype */
#define EL_EACH_DTYPE(M)                                                                                               \
    M(f32, float)                                                                                                      \
    M(f64, double)                                                                                                     \
    M(f16, uint16_t)                                                                                                   \
    M(bf16, uint16_t)                                                                                                  \
    M(i8, int8_t)                                                                                                      \
    M(i16, int16_t)                                                                                                    \
    M(i32, int32_t)                                                                                                    \
    M(i64, int64_t)                                                                                                    \
    M(u8, uint8_t)                                                                                                     \
    M(u16, uint16_t)                                                                                                   \
    M(u32, uint32_t)                                                                                                   \
    M(u64, uint64_t)                                                                                                   \
    M(bool, uint8_t)

#define ROW1(op, RESULT, e) RESULT EL_NAME(op)(EL_T x, const mcc_attr *at);
#define ROW2(op, RESULT, e) RESULT EL_NAME(op)(EL_T x, EL_T y, const mcc_attr *at);
#define CAST(to, To) To EL_CAST(to)(EL_T x, const mcc_attr *at);
#define EL_EXTRA                                                                                                       \
    EL_T EL_NAME(Where)(uint8_t c, EL_T x, EL_T y, const mcc_attr *at);                                                \
    EL_NUMBER(EL_T EL_NAME(Clip)(EL_T x, EL_T lo, EL_T hi, const mcc_attr *at);)                                       \
    EL_EACH_DTYPE(CAST)
#include "runtime/kernels/elementwise_each.inc"
#undef ROW1
#undef ROW2
#undef CAST
#undef EL_EXTRA
#pragma pop_macro("bool")
#endif
