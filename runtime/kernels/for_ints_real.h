/* Includes TEMPLATE once for each integer dtype (bool is u8), computing in double with the macros of for_floats.h;
 * STORE truncates toward zero and saturates, NaN → 0. FN(name) is name_real_i8, … */
#define IS_FLOAT 1
#define IS_NAN(v) ((v) != (v))
#define INEXACT
#define ACC double
#define MATH(name) mcc_##name##_f64
#define LOWEST (-__builtin_inf())
#define HIGHEST __builtin_inf()
#define ADD(a, b) ((a) + (b))
#define SUB(a, b) ((a) - (b))
#define MUL(a, b) ((a) * (b))

#define T int8_t
#define FN(name) name##_real_i8
#define LOAD(x) mcc_i32_to_f64(x)
#define STORE(v) mcc_f64_to_i8(v)
#include TEMPLATE
#undef T
#undef FN
#undef LOAD
#undef STORE

#define T int16_t
#define FN(name) name##_real_i16
#define LOAD(x) mcc_i32_to_f64(x)
#define STORE(v) mcc_f64_to_i16(v)
#include TEMPLATE
#undef T
#undef FN
#undef LOAD
#undef STORE

#define T int32_t
#define FN(name) name##_real_i32
#define LOAD(x) mcc_i32_to_f64(x)
#define STORE(v) mcc_f64_to_i32(v)
#include TEMPLATE
#undef T
#undef FN
#undef LOAD
#undef STORE

#define T int64_t
#define FN(name) name##_real_i64
#define LOAD(x) mcc_i64_to_f64(x)
#define STORE(v) mcc_f64_to_i64(v)
#include TEMPLATE
#undef T
#undef FN
#undef LOAD
#undef STORE

#define T uint8_t
#define FN(name) name##_real_u8
#define LOAD(x) mcc_u32_to_f64(x)
#define STORE(v) mcc_f64_to_u8(v)
#include TEMPLATE
#undef T
#undef FN
#undef LOAD
#undef STORE

#define T uint16_t
#define FN(name) name##_real_u16
#define LOAD(x) mcc_u32_to_f64(x)
#define STORE(v) mcc_f64_to_u16(v)
#include TEMPLATE
#undef T
#undef FN
#undef LOAD
#undef STORE

#define T uint32_t
#define FN(name) name##_real_u32
#define LOAD(x) mcc_u32_to_f64(x)
#define STORE(v) mcc_f64_to_u32(v)
#include TEMPLATE
#undef T
#undef FN
#undef LOAD
#undef STORE

#define T uint64_t
#define FN(name) name##_real_u64
#define LOAD(x) mcc_u64_to_f64(x)
#define STORE(v) mcc_f64_to_u64(v)
#include TEMPLATE
#undef T
#undef FN
#undef LOAD
#undef STORE

#undef IS_FLOAT
#undef IS_NAN
#undef INEXACT
#undef ACC
#undef MATH
#undef LOWEST
#undef HIGHEST
#undef ADD
#undef SUB
#undef MUL
